"""What do callers send and read?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Generic, Literal, TypeVar

from msgspec import Meta, Struct

from quorate.errors import InvalidInput
from quorate.events import (
    AnyEvent,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunIncomplete,
    RunSummary,
    RunWaiting,
    Status,
)
from quorate.messages import Usage
from quorate.specs import Limits

T = TypeVar("T")
Word = Annotated[str, Meta(min_length=1, max_length=200)]


class RunRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A task to do."""

    task: Annotated[str, Meta(min_length=1, max_length=500_000, examples=["why can't I reach http://127.0.0.1:9?"])]
    agent: Word | None = None
    """Who does it; found by the task's words when not given."""
    model: Word | None = None
    """Instead of the agent's own."""
    session: Word | None = None
    """The session it belongs to: what was said there before is known."""
    limits: Limits | None = None
    """Instead of the agent's own; never above the server's."""
    labels: Annotated[dict[Word, Annotated[str, Meta(max_length=1000)]], Meta(max_length=64)] = {}
    """Facts to find the run by."""


class Reason(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why something is done."""

    reason: Annotated[str, Meta(max_length=1000)] = ""


class RunError(Struct, frozen=True, kw_only=True):
    """How a run failed."""

    code: str
    message: str


class RunView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run, as it stands."""

    id: str
    object: Literal["run"] = "run"
    status: Status
    agent: str
    created: float
    updated: float
    events: int
    task: str = ""
    session: str | None = None
    labels: dict[str, str] = {}
    output: str | None = None
    """The answer, once there is one; what was said until a limit was met, for an incomplete run."""
    error: RunError | None = None
    waits_for: tuple[str, ...] = ()
    """The keys under which answers are awaited."""
    usage: Usage = Usage()
    cost_usd: float | None = None


class Page(Struct, Generic[T], frozen=True, kw_only=True):
    """Some of a list, and how to go on."""

    data: list[T]
    next_cursor: str | None = None
    """Give it as `cursor` for the next page; none is left where it is absent."""


def check_limits(limits: Limits | None) -> Limits | None:
    """Return limits if each is one.

    Raises:
        InvalidInput: One is less than nothing, or without end.
    """
    for name in limits.__struct_fields__ if limits is not None else ():
        value: object = getattr(limits, name)
        if isinstance(value, int | float) and not isinstance(value, bool) and not 0 <= value < math.inf:
            raise InvalidInput(f"limits.{name} is {value!r}, which nothing can be: give none or more, or leave it out.")
    return limits


def view_run(summary: RunSummary, last: AnyEvent | None = None) -> RunView:
    """Build what a caller reads of a run; with its last event, also how it ended."""
    output, error, waits_for = None, None, ()
    if isinstance(last, RunCompleted):
        output = last.output
    elif isinstance(last, RunFailed):
        error = RunError(code=last.code, message=last.message)
    elif isinstance(last, RunIncomplete):
        output, error = last.partial, RunError(code=f"incomplete.{last.limit}", message=last.message)
    elif isinstance(last, RunCancelled):
        error = RunError(code="cancelled", message=last.reason)
    elif isinstance(last, RunWaiting):
        waits_for = last.keys
    return RunView(
        id=summary.run,
        status=summary.status,
        agent=summary.agent,
        created=summary.created,
        updated=summary.updated,
        events=summary.events,
        task=summary.task,
        session=summary.session,
        output=output,
        error=error,
        waits_for=waits_for,
        usage=summary.usage,
        cost_usd=summary.cost_usd,
    )


def build_page(found: Sequence[T], *, limit: int, cursor: str | None) -> Page[T]:
    """Build a page of what was found; a full one may have another behind it."""
    return Page(data=list(found), next_cursor=cursor if len(found) >= limit else None)
