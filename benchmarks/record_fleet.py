"""How many runs a second do several worker processes do that share one database?"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE, Process

from benchmarks.record_figures import STEPS
from benchmarks.record_runs import STEP_S, check_ended, enqueue
from benchmarks.record_store import Scripted, build_agent, open_bench

Values = dict[str, float]


async def start(side: str, place: str, size: float) -> Process:
    """Start a worker and come back when it has everything open."""
    argv = [sys.executable, "-m", "benchmarks.record_worker", "serve", side, place, str(size)]
    process = await asyncio.create_subprocess_exec(*argv, stdin=PIPE, stdout=PIPE)
    assert process.stdout is not None
    line = await process.stdout.readline()
    if line.strip() != b"open":
        raise RuntimeError(f"a worker did not open the store: {line!r}")
    return process


async def measure_fleet(side: str, place: str, size: float, *, workers: int) -> Values:
    runs = int(1000 * size)
    async with open_bench(side, place, [build_agent(Scripted(STEPS // 2), tool_s=STEP_S)]) as runtime:
        await enqueue(runtime, runs)
        fleet = [await start(side, place, size / workers) for _ in range(workers)]
        began = time.perf_counter()
        told = await asyncio.gather(*[process.communicate(b"go\n") for process in fleet])
        spent = time.perf_counter() - began
        await check_ended(runtime, runs)
    found = [json.loads(out.splitlines()[-1])["values"] for out, _ in told]
    name = f"fleet_{workers}"
    return {
        name: runs / spent,
        f"{name}_cpu": sum(one["cpu"] for one in found) / (runs * STEPS) * 1e3,
        f"{name}_p99": max(one["p99"] for one in found),
    }
