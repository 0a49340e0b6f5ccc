"""How did a run end, and what did it give?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, NoReturn, TypeVar, cast

from msgspec import Struct

from quorate.errors import Cancelled, Incomplete, QuorateError, Waiting
from quorate.events import (
    AnyEvent,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunIncomplete,
    RunWaiting,
    Status,
    get_status,
)
from quorate.messages import Message, Usage

Output = TypeVar("Output")


class RunResult(Struct, Generic[Output], frozen=True, kw_only=True):
    """What a run gave.

    `output` is there only when the work was done: a run that met a limit, was cancelled or waits raises instead, so
    that half an answer is never taken for a whole one.
    """

    run_id: str
    text: str
    """The answer's words; what was last said when it is not whole."""
    messages: Sequence[Message]
    """The conversation, to go on with as `history`."""
    events: Sequence[AnyEvent]
    """The run's log."""
    usage: Usage
    """Tokens and calls, delegates included."""
    cost_usd: float | None
    """US dollars; `None` when a price is not known."""
    value: Output | None = None
    """The answer as far as there is one; `output` is the safe way to it."""

    @property
    def status(self) -> Status:
        """How the run stands: `completed`, `incomplete`, `cancelled`, `failed` or `waiting`."""
        return get_status(self.events[-1]) or "running"

    @property
    def reason(self) -> str:
        """Why it is not completed; empty when it is."""
        last = self.events[-1]
        if isinstance(last, (RunIncomplete, RunFailed)):
            return last.message
        if isinstance(last, RunCancelled):
            return last.reason or "The run was cancelled."
        if isinstance(last, RunWaiting) and last.note:
            return f"The run is {last.reason}: {last.note}"
        if isinstance(last, RunWaiting):
            return f"The run waits ({last.reason}) for an answer to: {', '.join(last.keys) or 'nothing; resume it'}."
        return ""

    @property
    def output(self) -> Output:
        """The final answer.

        Raises:
            Incomplete: A limit was met; `text` holds what was said.
            Waiting: Somebody must answer first.
            Cancelled: The run was stopped.
            QuorateError: The run failed.
        """
        if not isinstance(self.events[-1], RunCompleted):
            self._refuse()
        return cast("Output", self.value)

    def _refuse(self) -> NoReturn:
        kinds: dict[Status, type[QuorateError]] = {
            "incomplete": Incomplete,
            "waiting": Waiting,
            "cancelled": Cancelled,
        }
        raise kinds.get(self.status, QuorateError)(self.reason, run=self.run_id)

    def __repr__(self) -> str:
        return f"<RunResult {self.run_id} {self.status}>"
