"""How are several steps made side by side, so that one which waits holds no other up, and the first can win?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence, Sized
from typing import TypeVar, cast

from msgspec import Struct

from quorate.agent.delegate import STOPS
from quorate.agent.procedure.outcome import Outcome
from quorate.agent.procedure.work import Work
from quorate.errors import Cancelled, Waiting

AT_ONCE = 16
"""How many steps are made side by side, unless told otherwise."""
LATE = "another one was first"
"""Why those are stopped who lose a race."""
T = TypeVar("T")


async def side_by_side(jobs: Iterable[Coroutine[object, object, T]], *, at_once: int = AT_ONCE) -> list[T]:
    """Do several things at a time, and return what came of them in their order.

    A thing that waits for somebody does not stop the others; the rest is only then waited for.

    Raises:
        Waiting: At least one waits; its `keys` are those of all that do.
        Exception: What the first one raised that raised anything else; the others are cancelled.
    """
    held, found = dict[int, Waiting](), dict[int, T]()
    rest = enumerate(jobs)

    async def work() -> None:
        for place, job in rest:
            try:
                found[place] = await job
            except Waiting as waiting:
                held[place] = waiting
            finally:
                job.close()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(at_once, len(jobs)) if isinstance(jobs, Sized) else at_once):
                group.create_task(work())
    except BaseExceptionGroup as several:
        raise find_cause(several) from None
    finally:
        for _, job in rest:
            job.close()
    if held:
        raise build_waiting([held[place] for place in sorted(held)])
    return [found[place] for place in range(len(found))]


def find_cause(several: BaseExceptionGroup[BaseException]) -> BaseException:
    """Find what of several things that went wrong is to be told: what ends or rests the whole run, or the first."""
    found: list[BaseException] = []
    waiting: list[BaseException] = [several]
    while waiting:
        error = waiting.pop(0)
        if isinstance(error, BaseExceptionGroup):
            waiting += cast("BaseExceptionGroup[BaseException]", error).exceptions
        else:
            found.append(error)
    return next((error for error in found if isinstance(error, STOPS)), found[0])


def build_waiting(held: Iterable[Waiting]) -> Waiting:
    """Build the error that says that several things wait, and for what."""
    keys = [key for one in held for key in cast("tuple[str, ...]", one.context.get("keys", ()))]
    return Waiting("The run rests until somebody answers.", keys=tuple(keys))


class Candidate(Struct, frozen=True, kw_only=True):
    """One of several who try the same."""

    step: str
    agent: str
    task: str


async def race(
    work: Work, candidates: Sequence[Candidate], accept: Callable[[Outcome], Awaitable[bool]]
) -> tuple[Outcome | None, list[Outcome]]:
    """Have several try the same at once, take the first whose outcome is acceptable, and stop the others.

    Whoever came first in the record is first again when the procedure is begun again.

    Args:
        work: Makes the steps.
        candidates: Who tries.
        accept: Whether an outcome will do; it must say the same each time, or ask by a step of its own.

    Returns:
        The outcome that was taken, if any, and all there are, in the order in which they came.

    Raises:
        Waiting: Nobody is acceptable yet, and at least one waits for somebody.
    """
    came: list[Outcome] = []
    places = {one.step: settled.seq for one in candidates if (settled := work.find_settled(one.step)) is not None}
    for one in sorted((one for one in candidates if one.step in places), key=lambda one: places[one.step]):
        came.append(await work.ask(one.step, one.agent, one.task))
        if await accept(came[-1]):
            for other in candidates:
                await work.drop(other.step, other.agent, LATE)
            return came[-1], came
    finished: asyncio.Queue[Outcome | Waiting | Exception] = asyncio.Queue(len(candidates) + 1)
    fresh, held = [one for one in candidates if one.step not in places], list[Waiting]()
    winner: Outcome | None = None
    try:
        async with asyncio.TaskGroup() as group:
            tasks = {one.step: group.create_task(_try(work, one, finished)) for one in fresh}
            for _ in fresh:
                outcome = await finished.get()
                if isinstance(outcome, Waiting):
                    held.append(outcome)
                    continue
                if isinstance(outcome, Exception):
                    raise outcome
                came.append(outcome)
                if await accept(outcome):
                    winner = outcome
                    break
            if winner is not None:
                came += await _stop_others(work, tasks, came, finished)
    except BaseExceptionGroup as several:
        raise find_cause(several) from None
    if winner is None and held:
        raise build_waiting(held)
    return winner, came


async def _try(work: Work, one: Candidate, finished: asyncio.Queue[Outcome | Waiting | Exception]) -> None:
    try:
        finished.put_nowait(await work.ask(one.step, one.agent, one.task))
    except Exception as error:  # raised where it is read, as itself and not as one of a group
        finished.put_nowait(error)


async def _stop_others(
    work: Work,
    tasks: Mapping[str, asyncio.Task[None]],
    came: Sequence[Outcome],
    finished: asyncio.Queue[Outcome | Waiting | Exception],
) -> list[Outcome]:
    """Stop who is still trying or waits for somebody, and record that they were; return what came of them."""
    left = {step: task for step, task in tasks.items() if step not in {one.step for one in came}}
    for task in left.values():
        task.cancel()
    if left:
        await asyncio.wait(left.values())
    ended: dict[str, Outcome] = {}
    while not finished.empty():
        outcome = finished.get_nowait()
        if isinstance(outcome, Outcome):
            ended[outcome.step] = outcome
    for step in left:
        late = await work.abandon(step, LATE)
        ended.setdefault(step, late or Outcome(step=step, status="failed", text=LATE, code=Cancelled.code))
    return [ended[step] for step in left]
