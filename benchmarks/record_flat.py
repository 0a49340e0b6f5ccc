"""Does what is asked of a store take longer when it holds a million events?"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

from benchmarks.record_store import Scripted, build_agent, build_run, build_turn, open_bench
from quorate.runtime import Runtime

TURNS = 4
EACH = 2 + 4 * TURNS + 3
"""Events of one run: its beginning, its turns, its end."""
AT_ONCE = 100
GOES = 40
Values = dict[str, float]
Go = Callable[[], Awaitable[object]]


async def fill(runtime: Runtime, events: int) -> None:
    """Add ended runs until there are about so many events more."""

    async def add() -> None:
        run = build_run(TURNS)
        await runtime.log.append(run[0].run, run, expected=0)

    for _ in range(max(1, events // EACH // AT_ONCE)):
        await asyncio.gather(*[add() for _ in range(AT_ONCE)])


async def find_median(go: Go, *, before: Go | None = None) -> float:
    seconds: list[float] = []
    for _ in range(GOES):
        if before is not None:
            await before()
        began = time.perf_counter()
        await go()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds) * 1e3


async def measure_filled(runtime: Runtime) -> Values:
    runs = [run.run for run in await runtime.list_runs(status="completed", order="oldest", limit=GOES)]
    left: list[str] = []
    begun = build_run(0, is_ended=False)
    run, last = begun[0].run, len(begun)
    await runtime.log.append(run, begun, expected=0)

    async def append() -> None:
        nonlocal last
        event = build_turn(run, 0, last + 1, "attempt-1")[0]
        await runtime.log.append(run, [event], expected=last)
        last += 1

    async def follow() -> None:
        ended = runs.pop()
        if len([event async for event in runtime.follow(ended)]) != EACH:
            raise RuntimeError(f"run {ended} has another number of events")

    async def leave() -> None:
        events = build_run(TURNS, is_ended=False)
        left.append(events[0].run)
        await runtime.log.append(left[-1], events, expected=0)

    async def resume() -> None:
        result = await (await runtime.resume(left[-1])).wait()
        if result.output != "done":
            raise RuntimeError(f"run {left[-1]} ended with {result.output!r}")

    async def find_work() -> None:
        found = await runtime.owner.find_work(limit=10)
        if len(found) != 10:
            raise RuntimeError(f"{len(found)} runs were found to work on, not 10")

    values = {"append": await find_median(append), "follow": await find_median(follow)}
    values["list"] = await find_median(lambda: runtime.list_runs(limit=50))
    values["resume"] = await find_median(resume, before=leave)
    await runtime.begin()
    values["find_work"] = await find_median(find_work)
    return values


async def measure_flat(side: str, place: str, size: float) -> Values:
    async with open_bench(side, place, [build_agent(Scripted(TURNS))]) as runtime:
        for _ in range(12):
            accepted = build_run(0)[:1]
            await runtime.log.append(accepted[0].run, accepted, expected=0)
        await fill(runtime, 10_000)
        small = await measure_filled(runtime)
        await fill(runtime, int(990_000 * size))
        large = await measure_filled(runtime)
    values = {f"flat_{name}_small": value for name, value in small.items()}
    values |= {f"flat_{name}_large": value for name, value in large.items()}
    return values | {f"flat_{name}_ratio": large[name] / small[name] for name in small}
