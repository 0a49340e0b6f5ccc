"""What does a hook say, within its time, and what if it says nothing good?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

from msgspec import structs

from quorate.errors import BlockedByPolicy, mend_text
from quorate.hooks.hook import ABSTAINED, Heard, Hook, Moment, Point, Verdict, find_fault

MAX_REASON = 500
Report = Callable[[Moment, Heard], None]
"""Hears of everything that every hook said, those inside composites too; it may not change, veto or wait."""


async def ask(hook: Hook, moment: Moment) -> Heard:
    """Ask a hook and return what it said, or what its failure stands for; only a cancellation passes through.

    A hook that waits too long is cut. One that blocks the event loop cannot be, nor one that swallows its
    cancellation; what such a one says late counts for nothing.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    limit = asyncio.timeout(hook.timeout_s)
    try:
        async with limit:
            said = await hook.function(moment)
    except asyncio.CancelledError as error:
        if task is not None and task.cancelling() > before:
            raise
        return _fail(hook, moment, "something in it was cancelled", error)
    except (Exception, SystemExit) as error:  # a hook is anybody's code: what its failure means is declared
        late = isinstance(error, TimeoutError) and limit.expired()
        return _fail(hook, moment, _describe_cut(hook) if late else f"failed with {type(error).__name__}", error)
    if limit.expired():
        return _fail(hook, moment, _describe_cut(hook))
    fault = find_fault(hook, moment, said)
    if fault:
        return _fail(hook, moment, fault)
    if said is None:
        return Heard(hook=hook.name, point=moment.point, verdict=ABSTAINED)
    reason = mend_text(said.reason)
    cut = reason if len(reason) <= MAX_REASON else f"{reason[: MAX_REASON - 1]}…"
    verdict = said if cut is said.reason else structs.replace(said, reason=cut)
    ends_run = any(inner.ends_run for inner in said.heard)
    return Heard(hook=hook.name, point=moment.point, verdict=verdict, ends_run=ends_run)


async def ask_all(hooks: Sequence[Hook], moment: Moment) -> list[Heard]:
    """Ask hooks side by side; what they said, in their order."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(hook, moment)) for hook in hooks]
    return [task.result() for task in tasks]


def _describe_cut(hook: Hook) -> str:
    return f"did not answer within {hook.timeout_s:g} s"


def _fail(hook: Hook, moment: Moment, failure: str, cause: BaseException | None = None) -> Heard:
    verdict = ABSTAINED if hook.on_failure == "fail_open" else Verdict(decision="deny", reason=f"it {failure}")
    return Heard(
        hook=hook.name,
        point=moment.point,
        verdict=verdict,
        failure=failure,
        ends_run=hook.on_failure == "raise",
        cause=cause,
    )


def walk(heard: Heard) -> Iterator[Heard]:
    """Yield what the hooks inside said, and then what the hook itself said."""
    for inner in heard.verdict.heard:
        yield from walk(inner)
    yield heard


async def consult(hook: Hook, moment: Moment, report: Report | None) -> Verdict:
    """Ask the outermost hook, tell whoever listens, and return what holds.

    Raises:
        BlockedByPolicy: A hook failed that was declared to end the run then.
    """
    heard = await ask(hook, moment)
    told = list(walk(heard))
    if report is not None:
        for one in told:
            tell(report, moment, one)
    if heard.ends_run:
        broken = next(one for one in told if one.ends_run)
        raise BlockedByPolicy(
            f"Hook `{broken.hook}` {broken.failure} at `{moment.point}`, and is declared to end the run then.",
            guard=broken.hook,
            reason=broken.failure,
        ) from broken.cause
    return heard.verdict


def tell(report: Report, moment: Moment, heard: Heard) -> None:
    """Tell a listener; one that fails is reported to the event loop and harms no run."""
    try:
        report(moment, heard)
    except Exception as error:  # a listener is anybody's code, and no verdict may depend on it
        facts = {"message": f"a listener failed on hook {heard.hook}", "exception": error}
        asyncio.get_running_loop().call_exception_handler(facts)


def describe_points(hook: Hook, points: Sequence[Point]) -> str:
    """Say why a hook is of no use to a wrapper; empty where it is."""
    if any(hook.takes(point) for point in points):
        return ""
    return f"Hook {hook.name!r} is asked at {', '.join(hook.points)} only, and here are {' and '.join(points)}."
