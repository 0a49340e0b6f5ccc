"""How is a run told something from outside: to stop, or what a person answered?"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from quorate.agent.journal import Journal
from quorate.clock import Clock
from quorate.errors import Conflict, Fenced, NotFound
from quorate.events import (
    ATTEMPTS,
    ENDINGS,
    AnyEvent,
    CancelRequested,
    RunCancelled,
    RunCreated,
    RunResumed,
    RunWaiting,
    summarize,
)
from quorate.ids import new_id
from quorate.messages import Usage
from quorate.ports import Log

Build = Callable[[list[AnyEvent]], AnyEvent]


async def read_run(log: Log, run_id: str, *, tenant: str) -> tuple[RunCreated, list[AnyEvent]]:
    """Read a run's log; another tenant's run is absent, in the same words.

    Raises:
        NotFound: There is no such run.
    """
    events = await log.read(run_id)
    if not events or not isinstance(events[0], RunCreated) or events[0].tenant != tenant:
        raise build_absent(run_id)
    return events[0], events


def build_absent(run_id: str) -> NotFound:
    """Build the error for a run that is not there, or not for whoever asks: in the same words."""
    return NotFound(f"There is no run {run_id!r}: list them with `quorate runs list`.", run=run_id)


async def append_control(log: Log, run_id: str, build: Build, *, tenant: str) -> list[AnyEvent]:
    """Append a control event behind whatever the owner appends meanwhile; return the log, which ends with it.

    `build` sees the whole log each time, so that what it refuses is refused for the log as it then is: of two who
    answer at once, the second one is refused.

    Raises:
        NotFound: There is no such run.
    """
    _, events = await read_run(log, run_id, tenant=tenant)
    while True:
        event = build(events)
        try:
            await log.append(run_id, (event,), expected=len(events))
        except Conflict:
            # Only what is new is read: a long run that is busy would always be ahead of who reads all of it.
            behind = await log.read(run_id, after=len(events))
            if not behind:
                _, events = await read_run(log, run_id, tenant=tenant)  # it was deleted, so this raises
            events = [*events, *behind]
            continue
        return [*events, event]


def build_cancel(events: list[AnyEvent], *, now: float, reason: str, by: str) -> CancelRequested:
    """Build the request to stop a run.

    Raises:
        Conflict: It has ended already.
    """
    run = events[0].run
    if isinstance(events[-1], ENDINGS):
        raise Conflict(f"Run {run!r} has ended already.", run=run)
    return CancelRequested(run=run, seq=len(events) + 1, time=now, key="cancel", reason=reason, by=by)


async def end_resting(log: Log, events: list[AnyEvent], *, clock: Clock, reason: str) -> None:
    """End a run that nobody works on: a last attempt fences every other, and does nothing.

    `events` is the log in which that was seen: whoever began to work on it since is left alone.
    """
    await _attempt_nothing(log, events, clock, RunCancelled, {"reason": reason})


async def park(log: Log, events: list[AnyEvent], *, clock: Clock, note: str) -> None:
    """Put a run aside until a person has looked at it; `resume` goes on with it."""
    await _attempt_nothing(log, events, clock, RunWaiting, {"reason": "parked", "note": note})


async def _attempt_nothing(
    log: Log, events: list[AnyEvent], clock: Clock, kind: Callable[..., AnyEvent], facts: dict[str, str]
) -> None:
    journal = Journal(events[0].run, log, clock=clock, attempt=new_id("try"))
    journal.load(events)
    summary = summarize(None, events)
    usage, cost_usd = (summary.usage, summary.cost_usd) if summary is not None else (Usage(), 0.0)
    journal.write(RunResumed, number=1 + sum(isinstance(event, ATTEMPTS) for event in events))
    journal.write(kind, "", usage=usage, cost_usd=cost_usd, **facts)
    with contextlib.suppress(Fenced):  # somebody began to work on it, and finds in its log what was asked
        await journal.commit()
