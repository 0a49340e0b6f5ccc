"""What does durability add to an agent's turn, what does a durable run hold, and how many are done in a second?"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
import tracemalloc
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from benchmarks.measure import read_rss_mib, reset_highest_rss
from benchmarks.record_figures import STEPS
from benchmarks.record_store import TASK, Scripted, build_agent, find_share, open_bench, open_store
from quorate import MemoryLog
from quorate.assembly import open_runtime
from quorate.events import AnyEvent
from quorate.ports import Log, Store
from quorate.runtime import Runtime
from quorate.runtime.collector import calm_collector
from quorate.runtime.worker import Worker
from quorate.settings import Settings

STEP_S = 0.001
TURNS = 20
SLICES = 3
CROWD_S = 0.05
Values = dict[str, float]


async def time_turns(log: Log, *, at_once: int, runs: int) -> tuple[list[float], float]:
    """Return how long each turn took, and all of them together divided by how many there were."""
    gaps: list[float] = []

    async def run() -> None:
        for _ in range(runs):
            # A model of its own for each run: the time between its requests is the time of a turn.
            model = Scripted(TURNS)
            await build_agent(model).run(TASK, log=log)
            gaps.extend(b - a for a, b in zip(model.asked, model.asked[1:], strict=False))

    began = time.perf_counter()
    await asyncio.gather(*[run() for _ in range(at_once)])
    return gaps, (time.perf_counter() - began) / len(gaps)


async def measure_turn(side: str, place: str, size: float) -> Values:
    values: Values = {}
    async with open_store(side, place) as store:
        for at_once, runs in ((1, max(2, int(12 * size))), (50, max(1, int(2 * size)))):
            kept: dict[str, list[tuple[list[float], float]]] = {"memory": [], "durable": []}
            for number in range(SLICES + 1):
                for name, log in (("memory", MemoryLog()), ("durable", store.log)):
                    found = await time_turns(log, at_once=at_once, runs=runs)
                    if number:
                        kept[name].append(found)
            for name, slices in kept.items():
                gaps = [gap for some, _ in slices for gap in some]
                each = statistics.median(each for _, each in slices)
                values[f"turn_{at_once}_{name}"] = (statistics.median(gaps) if at_once == 1 else each) * 1e3
            values[f"turn_{at_once}_above"] = values[f"turn_{at_once}_durable"] - values[f"turn_{at_once}_memory"]
    return values


async def submit_all(runtime: Runtime, runs: int) -> None:
    """Submit runs at once and wait for their ends."""

    async def one() -> object:
        handle = await runtime.submit(TASK, agent="bench")
        return (await handle.wait()).output

    found = await asyncio.gather(*[one() for _ in range(runs)])
    if wrong := [output for output in found if output != "done"]:
        raise RuntimeError(f"{len(wrong)} of {runs} runs did not come to their answer, such as {wrong[0]!r}")


async def measure_crowd(side: str, place: str, size: float) -> Values:
    runs = int(1000 * size)
    async with open_bench(side, place, [build_agent(Scripted(1, delay_s=CROWD_S))]) as runtime:
        await submit_all(runtime, 10)
        reset_highest_rss()
        before, began = read_rss_mib(), time.perf_counter()
        await submit_all(runtime, runs)
        spent, grown = time.perf_counter() - began, read_rss_mib("VmHWM") - before
    return {"crowd_s": spent, "crowd_kib": grown * 1024 / runs}


async def measure_crowd_traced(side: str, place: str, size: float) -> Values:
    runs = int(1000 * size)
    async with open_bench(side, place, [build_agent(Scripted(1, delay_s=CROWD_S))]) as runtime:
        await submit_all(runtime, 10)
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        await submit_all(runtime, runs)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return {"crowd_traced_kib": (peak - before) / 1024 / runs}


class TimedLog:
    """A log that notes how long each append takes."""

    def __init__(self, inner: Log) -> None:
        self.seconds: list[float] = []
        self._inner = inner
        self.read, self.read_many, self.last = inner.read, inner.read_many, inner.last
        self.list_runs, self.delete = inner.list_runs, inner.delete

    async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
        began = time.perf_counter()
        await self._inner.append(run, events, expected=expected)
        self.seconds.append(time.perf_counter() - began)


@asynccontextmanager
async def open_timed(side: str, place: str, model: Scripted) -> AsyncGenerator[tuple[Runtime, TimedLog]]:
    agent = build_agent(model, tool_s=STEP_S)
    async with open_store(side, place) as store:
        log = TimedLog(store.log)
        timed = Store(
            name=store.name,
            log=log,
            values=store.values,
            blobs=store.blobs,
            leases=store.leases,
            outbox=store.outbox,
        )
        async with open_runtime(Settings(), agents=[agent], store=timed) as runtime:
            yield runtime, log


async def measure_submitted(side: str, place: str, size: float, *, name: str, model: Scripted) -> Values:
    runs = int(1000 * size)
    async with open_timed(side, place, model) as (runtime, log):
        await submit_all(runtime, 10)
        log.seconds.clear()
        with calm_collector():
            began, cpu = time.perf_counter(), time.process_time()
            await submit_all(runtime, runs)
        spent, used = time.perf_counter() - began, time.process_time() - cpu
    p99 = find_share(log.seconds, 0.99) * 1e3
    return {name: runs / spent, f"{name}_cpu": used / (runs * STEPS) * 1e3, f"{name}_append_p99": p99}


async def measure_runs(side: str, place: str, size: float) -> Values:
    # A step is what the record knows as one: a model call or a tool call. Five of each, and the answer at no cost.
    return await measure_submitted(
        side, place, size, name="runs", model=Scripted(STEPS // 2, delay_s=STEP_S, answer_s=0)
    )


async def measure_turns(side: str, place: str, size: float) -> Values:
    return await measure_submitted(side, place, size, name="turns", model=Scripted(STEPS))


async def enqueue(runtime: Runtime, runs: int) -> float:
    """Put runs into the queue and return how long that took."""
    began = time.perf_counter()
    handles = await asyncio.gather(*[runtime.submit(TASK, agent="bench", start=False) for _ in range(runs)])
    spent = time.perf_counter() - began
    for handle in handles:
        handle.release()  # nobody watches them here
    return spent


async def measure_queue(side: str, place: str, size: float) -> Values:
    runs = int(1000 * size)
    async with open_timed(side, place, Scripted(STEPS // 2, delay_s=STEP_S, answer_s=0)) as (runtime, _):
        queued = await enqueue(runtime, runs)
        began, cpu = time.perf_counter(), time.process_time()
        await Worker(runtime, concurrency=runs).run(until_idle=True)
        spent, used = time.perf_counter() - began, time.process_time() - cpu
        await check_ended(runtime, runs)
    return {"accept": runs / queued, "queue": runs / spent, "queue_cpu": used / (runs * STEPS) * 1e3}


async def check_ended(runtime: Runtime, runs: int) -> None:
    left = [*await runtime.list_runs(status="queued"), *await runtime.list_runs(status="running")]
    if left:
        raise RuntimeError(f"{len(left)} of {runs} runs have not ended, such as {left[0].run}")


async def serve(side: str, place: str, size: float) -> Values:
    """Be one worker of a fleet: begin when told to, end when there is nothing left."""
    async with open_timed(side, place, Scripted(STEPS // 2, delay_s=STEP_S, answer_s=0)) as (runtime, log):
        print("open", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        cpu = time.process_time()
        with calm_collector():
            await Worker(runtime, concurrency=max(1, int(1000 * size))).run(until_idle=True)
        used = time.process_time() - cpu
    return {"cpu": used, "p99": find_share(log.seconds, 0.99) * 1e3 if log.seconds else 0.0}
