"""How is a member asked for something of a given form, and told what does not fit?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.work import Work
from quorate.codec.json import check_depth
from quorate.errors import InvalidInput, QuorateError

MAX_REASKS = 2
"""How often a member is told that its answer does not fit."""
MAX_FAULT = 2_000
"""How many characters of what does not fit a member is told."""
T = TypeVar("T")


class TeamFailed(QuorateError):
    """No member of a team gave what its answer needs."""

    code = "team_failed"


def accept(found: object) -> None:
    """Take whatever has the form."""


async def ask_for(
    procedure: Work,
    step: str,
    agent: str,
    task: str,
    form: type[T],
    *,
    check: Callable[[T], None] = accept,
    timeout_s: float | None = None,
) -> T:
    """Ask a member for JSON of a form; it is told what does not fit, a bounded number of times.

    Args:
        procedure: Makes the step.
        step: What the step is called; each try has its number behind it.
        agent: Who is asked.
        task: What for, the form described.
        form: What it must be.
        check: Raises `InvalidInput` when it has the form and does not hold all the same.
        timeout_s: After how many seconds each try is cut; the member has failed then.

    Raises:
        TeamFailed: The member failed, or its answers never fitted.
    """

    def read(text: str) -> T:
        found = read_json(text, form)
        check(found)
        return found

    return await ask_until(procedure, step, agent, task, read, limit=lambda: timeout_s)


async def ask_until(
    procedure: Work,
    step: str,
    agent: str,
    task: str,
    read: Callable[[str], T],
    *,
    limit: Callable[[], float | None] = lambda: None,
) -> T:
    """Ask a member until its answer can be read, a bounded number of times.

    Args:
        procedure: Makes the step.
        step: What the step is called; each try has its number behind it.
        agent: Who is asked.
        task: What for, the form described.
        read: Reads the answer; raises `InvalidInput` with what the member is told.
        limit: After how many seconds the next try is cut; the member has failed then.

    Raises:
        TeamFailed: The member failed, or its answers never fitted; `context["code"]` says how, `invalid_input` for the
            latter.
    """
    fault = ""
    for number in range(1, MAX_REASKS + 2):
        told = f"{task}\n\nYour last answer does not hold: {fault}. Mend it." if fault else task
        outcome = await procedure.ask(f"{step}-{number}", agent, told, timeout_s=limit())
        if not outcome.is_good:
            raise TeamFailed(f"{agent!r} failed: {outcome.text}", agent=agent, code=outcome.code)
        try:
            return read(outcome.text)
        except InvalidInput as error:
            fault = error.message[:MAX_FAULT]
    raise TeamFailed(
        f"What {agent!r} answered did not hold after {MAX_REASKS} repairs: {fault}", agent=agent, code=InvalidInput.code
    )


def read_json(text: str, form: type[T]) -> T:
    """Read JSON, with or without the fence that models put around it.

    Raises:
        InvalidInput: It has another form.
    """
    bare = text.strip().removeprefix("```json").removeprefix("```").removesuffix("```").strip()
    try:
        check_depth(bare)
        return msgspec.json.decode(bare, type=form)
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidInput(f"it is not JSON of that form: {error}") from error


def list_members(members: Sequence[AnyAgent]) -> str:
    """List members for a model to choose from."""
    return "\n".join(f"- {one.name}: {one.description or 'no description'}" for one in members)
