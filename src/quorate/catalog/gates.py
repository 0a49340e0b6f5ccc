"""Does an answer pass the gates of its agent, and if not, what is it told?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from quorate.catalog.definition import Gate
from quorate.conditions import compile_condition
from quorate.errors import QuorateError

NAMES = ("output",)
"""What a gate's condition may read."""
MOST_TOLD = 5


def build_check(gates: Sequence[Gate]) -> Callable[[object], None] | None:
    """Build what refuses an answer that does not pass; `None` where only a reader can tell.

    It raises `ValueError`, which the reader of answers takes for an answer that does not fit: the model is told, and
    asked again.

    Raises:
        InvalidInput: A condition is none.
        MissingExtra: There are conditions, and the extra `cel` is not installed.
    """
    conditions = [(gate.text, compile_condition(gate.condition, names=NAMES)) for gate in gates if gate.condition]
    if not conditions:
        return None

    def check(answer: object) -> None:
        variables = {"output": msgspec.to_builtins(answer)}
        missed: list[str] = []
        for text, condition in conditions:
            try:
                held = condition.holds(variables)
            except QuorateError as error:
                missed.append(f"{text} (`{condition.text}`: {error.message})")
                continue
            if not held:
                missed.append(f"{text} (`{condition.text}`)")
        if missed:
            raise ValueError(f"a gate is not passed: {'; '.join(missed[:MOST_TOLD])}")

    return check
