"""Who is asked, for how long, and what becomes of whoever gives nothing?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct

from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.asking import TeamFailed, accept, ask_for
from quorate.agent.procedure.work import Work
from quorate.codec.json import decode
from quorate.errors import InvalidInput

TIMEOUT_S = 300.0
"""After how many seconds a question to a member is cut, unless told otherwise."""
MAX_PANEL = 50
"""How many may be asked."""
MAX_CASE = 4 << 20
"""How many bytes of a task are read."""
MAX_TOLD = 500
"""How many characters are kept of why somebody gave nothing."""
T = TypeVar("T")


class Absent(Struct, frozen=True):
    """Whoever gave nothing: it failed, hung, or never answered in the form that was asked for."""

    reason: str


async def ask_member(
    work: Work,
    step: str,
    agent: str,
    task: str,
    form: type[T],
    *,
    timeout_s: float,
    check: Callable[[T], None] = accept,
) -> T | Absent:
    """Ask a member for JSON of a form; one who does not give it, after being told what does not fit, is absent.

    Args:
        work: Makes the step.
        step: What the step is called.
        agent: Who is asked.
        task: What for, the form described.
        form: What it must be.
        timeout_s: After how many seconds each try is cut.
        check: Raises `InvalidInput` when it has the form and does not hold all the same.
    """
    try:
        return await ask_for(work, step, agent, task, form, check=check, timeout_s=timeout_s)
    except TeamFailed as error:
        return Absent(error.message[:MAX_TOLD])


def check_panel(name: str, members: Sequence[AnyAgent], *, what: str, least: int = 1, most: int = MAX_PANEL) -> None:
    """Check who is asked.

    Raises:
        InvalidInput: They are too few, too many, or two have one name.
    """
    names = [member.name for member in members]
    if not least <= len(names) <= most or len(set(names)) < len(names):
        shown = ", ".join(names[:12]) or "(none)"
        raise InvalidInput(f"{name!r} has {len(names)} {what}: {shown:.400}. Give {least} to {most}, each once.")


def check_share(name: str, field: str, value: float) -> None:
    """Check a share.

    Raises:
        InvalidInput: It is none.
    """
    if not 0 <= value <= 1:
        raise InvalidInput(f"{name!r} has `{field}` {value!r}: give a share, 0 to 1.")


def check_timeout(name: str, timeout_s: float) -> None:
    """Check a time.

    Raises:
        InvalidInput: It is none.
    """
    if not (timeout_s > 0 and math.isfinite(timeout_s)):
        raise InvalidInput(f"{name!r} has `timeout_s` {timeout_s!r}: give seconds, more than 0.")


def count_share(share: float, whole: int) -> int:
    """Count how many of a whole make a share of it; what rounding does to `0.7 * 10` makes no difference."""
    return math.ceil(share * whole - 1e-9)


def read_case(name: str, task: str, form: type[T], *, example: str) -> T:
    """Read what is to be judged from the task of an agent.

    Raises:
        InvalidInput: It is none; the message shows what one looks like.
    """
    try:
        return decode(task, form, what="the task", max_bytes=MAX_CASE)
    except InvalidInput as error:
        raise InvalidInput(f"{name!r} cannot read its task: {error.message}. Give JSON such as {example}") from error


def write_json(value: object) -> str:
    """Write a report, or what a procedure goes by."""
    return msgspec.json.encode(value).decode()
