"""How many runs a second can a log record, and how long does one append take?

Each run has ten steps of 1 ms (`asyncio.sleep`), every step's result is appended before the next begins, and the run's
start and end are appended too: 12 appends, 13 events. `plain` is the same without a log, the floor.
All variants take turns in every round, so that a slow moment of the machine hits them alike.

    python benchmarks/log_append.py [--rounds 5] [--runs 1000] [--directory DIR]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

from quorate.events import AnyEvent, RunCompleted, RunCreated, RunStarted, ToolFinished
from quorate.ids import new_id
from quorate.messages import ToolResult, build_user_message
from quorate.ports import Log
from quorate.state.backends.memory import MemoryLog
from quorate.state.backends.sqlite import open_sqlite_log

STEPS = 10
STEP_S = 0.001
TASK = (build_user_message("why is the service slow?"),)
CONTENT = "x" * 200


async def append(log: Log | None, events: list[AnyEvent], *, expected: int, latencies: list[float]) -> None:
    if log is None:
        return
    began = time.perf_counter()
    await log.append(events[0].run, events, expected=expected)
    latencies.append(time.perf_counter() - began)


async def work(log: Log | None, latencies: list[float]) -> None:
    """One run, as the loop of an agent would record it."""
    run, token = new_id("run"), new_id("attempt")
    opening: list[AnyEvent] = [
        RunCreated(run=run, seq=1, time=time.time(), agent="bench", messages=TASK),
        RunStarted(run=run, seq=2, time=time.time(), attempt=token),
    ]
    await append(log, opening, expected=0, latencies=latencies)
    for step in range(1, STEPS + 1):
        await asyncio.sleep(STEP_S)
        result = ToolResult(call_id=f"call-{step}", name="probe", content=CONTENT)
        event = ToolFinished(
            run=run, seq=step + 2, time=time.time(), key=f"{step}/tool/call-{step}", attempt=token, result=result
        )
        await append(log, [event], expected=step + 1, latencies=latencies)
    end = RunCompleted(run=run, seq=STEPS + 3, time=time.time(), attempt=token, output="done")
    await append(log, [end], expected=STEPS + 2, latencies=latencies)


async def measure(log: Log | None, runs: int) -> tuple[float, float, list[float]]:
    """Return runs a second, CPU seconds a step, and the latency of each append."""
    latencies: list[float] = []
    began, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(runs):
            group.create_task(work(log, latencies))
    spent = time.perf_counter() - began
    return runs / spent, (time.process_time() - cpu) / (runs * STEPS), latencies


@asynccontextmanager
async def open_log(kind: str, directory: str) -> AsyncGenerator[Log | None]:
    if kind == "sqlite":
        async with open_sqlite_log(Path(directory) / f"{new_id('bench')}.db") as log:
            yield log
    else:
        yield MemoryLog() if kind == "memory" else None


def show(kind: str, runs: int, results: list[tuple[float, float, list[float]]]) -> None:
    rates = [rate for rate, _, _ in results]
    line = (
        f"{kind:<8}{runs:>6}  {statistics.median(rates):>9.1f} runs/s ({min(rates):.1f} to {max(rates):.1f})"
        f"  CPU {statistics.median(cpu for _, cpu, _ in results) * 1e3:.3f} ms/step"
    )
    latencies = sorted(one for _, _, some in results for one in some)
    if latencies:
        p50, p99 = (latencies[int(len(latencies) * share)] * 1e3 for share in (0.5, 0.99))
        line += f"  append p50 {p50:.2f} ms p99 {p99:.2f} ms max {latencies[-1] * 1e3:.2f} ms"
    print(line)


async def main() -> None:
    parser = argparse.ArgumentParser(description="Measure appends to the log.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=1000, help="runs at once")
    parser.add_argument("--directory", help="where the database goes (default: the temporary directory)")
    given = parser.parse_args()
    print("command:", "python", " ".join(sys.argv))
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, msgspec {version('msgspec')}")
    print(f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} CPUs")
    print(f"{STEPS} steps of {STEP_S * 1e3:g} ms a run, {given.rounds} rounds, median (lowest to highest)")
    counts = (1, given.runs)
    results: dict[tuple[str, int], list[tuple[float, float, list[float]]]] = {}
    with tempfile.TemporaryDirectory(dir=given.directory) as directory:
        for _ in range(given.rounds):
            for runs in counts:
                for kind in ("plain", "memory", "sqlite"):
                    async with open_log(kind, directory) as log:
                        await measure(log, min(runs, 10))
                        results.setdefault((kind, runs), []).append(await measure(log, runs))
    for (kind, runs), found in results.items():
        show(kind, runs, found)


if __name__ == "__main__":
    asyncio.run(main())
