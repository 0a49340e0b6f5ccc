"""What do callers send and read?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Generic, TypeVar

from msgspec import Meta, Struct

from quorate.agent.run import PAYER
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
OURS = ("fork", "model", "quota", "replay", "route", "schedule")
"""What labels begin with that a runtime goes by."""
LabelMap = Annotated[dict[Word, Annotated[str, Meta(max_length=1000)]], Meta(max_length=64)]


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
    labels: LabelMap = {}
    """Facts to find the run by."""


class Reason(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why something is done."""

    reason: Annotated[str, Meta(max_length=1000)] = ""


class RunError(Struct, frozen=True, kw_only=True):
    """How a run failed."""

    code: str
    message: str


class RunView(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="object", tag="run"):
    """A run, as it stands."""

    id: str
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


def check_labels(labels: Mapping[str, str]) -> Mapping[str, str]:
    """Return labels if all of them are a caller's own.

    Raises:
        InvalidInput: One says what only a runtime may say of a run.
    """
    ours = [name for name in labels if name.partition(".")[0] in OURS]
    if ours:
        raise InvalidInput(
            f"label {ours[0][:80]!r} is one of ours: choose a name that does not begin with "
            f"{', '.join(f'`{word}`' for word in OURS)}."
        )
    return labels


def view_run(summary: RunSummary, last: AnyEvent | None = None, *, labels: Mapping[str, str] | None = None) -> RunView:
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
        labels={name: value for name, value in (labels or {}).items() if name != PAYER},
        output=output,
        error=error,
        waits_for=waits_for,
        usage=summary.usage,
        cost_usd=summary.cost_usd,
    )


def build_page(found: Sequence[T], *, limit: int, cursor: str | None) -> Page[T]:
    """Build a page of what was found; a full one may have another behind it."""
    return Page(data=list(found), next_cursor=cursor if len(found) >= limit else None)
