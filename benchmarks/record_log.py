"""How many events a second does the log take, beside a keyed table written straight against the same driver?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from benchmarks.record_bare import Append, Row
from benchmarks.record_figures import STEPS
from benchmarks.record_store import CONTENT, TASK, open_bare, open_store
from quorate.codec.json import encode
from quorate.events import AnyEvent, RunCompleted, RunCreated, RunStarted, ToolFinished
from quorate.ids import new_id
from quorate.messages import ToolResult, build_user_message
from quorate.ports import Log

SLICES = 3
STEP_S = 0.001
BODY_BYTES = 300
Values = dict[str, float]
Steps = Sequence[Callable[[], Awaitable[None]]]


def build_step(run: str, seq: int, attempt: str, content: str) -> ToolFinished:
    result = ToolResult(call_id=f"call-{seq}", name="probe", content=content)
    return ToolFinished(
        run=run, seq=seq, time=time.time(), key=f"{seq}/tool/call-{seq}", attempt=attempt, result=result
    )


def build_row(event: AnyEvent) -> Row:
    return (event.run, event.seq, event.key, "tool.finished", encode(event), event.attempt, event.time)


def build_events(count: int) -> list[AnyEvent]:
    """Build a run: its beginning, and as many steps of 300 bytes each."""
    run, attempt = new_id("run"), new_id("attempt")
    empty = len(encode(build_step(run, 100, attempt, "")))
    content = "x" * (BODY_BYTES - empty)
    opening = [
        RunCreated(run=run, seq=1, time=time.time(), agent="bench", messages=(build_user_message(TASK),)),
        RunStarted(run=run, seq=2, time=time.time(), attempt=attempt),
    ]
    return [*opening, *(build_step(run, seq, attempt, content) for seq in range(3, count + 3))]


async def time_bare(append: Append, runs: Sequence[Sequence[AnyEvent]]) -> float:
    lines = [[build_row(event) for event in events[2:]] for events in runs]

    async def write(rows: Sequence[Row]) -> None:
        for row in rows:
            await append((row,))

    began = time.perf_counter()
    await asyncio.gather(*[write(rows) for rows in lines])
    return time.perf_counter() - began


async def time_log(log: Log, runs: Sequence[Sequence[AnyEvent]]) -> float:
    await asyncio.gather(*[log.append(events[0].run, events[:2], expected=0) for events in runs])

    async def write(events: Sequence[AnyEvent]) -> None:
        for event in events[2:]:
            await log.append(event.run, (event,), expected=event.seq - 1)

    began = time.perf_counter()
    await asyncio.gather(*[write(events) for events in runs])
    return time.perf_counter() - began


async def measure_append(side: str, place: str, size: float) -> Values:
    """Let the bare driver and the log take turns, in slices."""
    values: Values = {}
    async with open_bare(side, place) as append, open_store(side, place) as store:
        for appenders, each in ((64, int(150 * size)), (1, int(1500 * size))):
            bare = logged = 0.0
            for _ in range(SLICES):
                bare += await time_bare(append, [build_events(each) for _ in range(appenders)])
                logged += await time_log(store.log, [build_events(each) for _ in range(appenders)])
            done = SLICES * appenders * each
            values |= {
                f"append_{appenders}_bare": done / bare,
                f"append_{appenders}_log": done / logged,
                f"append_{appenders}_ratio": bare / logged,
            }
    return values


async def sleep_only() -> None:
    for _ in range(STEPS):
        await asyncio.sleep(STEP_S)


async def work_bare(append: Append) -> None:
    run, attempt = new_id("run"), new_id("attempt")
    await append([(run, seq, "", "run", b"{}", attempt, time.time()) for seq in (1, 2)])
    for seq in range(3, STEPS + 3):
        await asyncio.sleep(STEP_S)
        await append((build_row(build_step(run, seq, attempt, CONTENT)),))
    await append([(run, STEPS + 3, "", "run", b"{}", attempt, time.time())])


async def work_log(log: Log) -> None:
    run, attempt = new_id("run"), new_id("attempt")
    opening: list[AnyEvent] = [
        RunCreated(run=run, seq=1, time=time.time(), agent="bench", messages=(build_user_message(TASK),)),
        RunStarted(run=run, seq=2, time=time.time(), attempt=attempt),
    ]
    await log.append(run, opening, expected=0)
    for seq in range(3, STEPS + 3):
        await asyncio.sleep(STEP_S)
        await log.append(run, [build_step(run, seq, attempt, CONTENT)], expected=seq - 1)
    end = RunCompleted(run=run, seq=STEPS + 3, time=time.time(), attempt=attempt, output="done")
    await log.append(run, [end], expected=STEPS + 2)


async def time_crowd(name: str, work: Callable[[], Awaitable[None]], runs: int) -> Values:
    """Do a work so many times at once; a small crowd before it fills the caches."""
    await asyncio.gather(*[work() for _ in range(10)])
    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*[work() for _ in range(runs)])
    spent, used = time.perf_counter() - began, time.process_time() - cpu
    return {name: runs / spent, f"{name}_cpu": used / (runs * STEPS) * 1e3}


async def measure_floors(side: str, place: str, size: float) -> Values:
    runs = int(1000 * size)
    values = await time_crowd("plain", sleep_only, runs)
    async with open_bare(side, place) as append:
        values |= await time_crowd("bare", lambda: work_bare(append), runs)
    async with open_store(side, place) as store:
        values |= await time_crowd("keyed", lambda: work_log(store.log), runs)
    return values
