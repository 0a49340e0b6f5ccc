"""How does an engine's own process do one work? Prints one line of JSON; knows nothing of Quorate.

Used as `python -m benchmarks.sides_durable.program ENGINE WORK SIDE PLACE SIZE`, by the engine's interpreter.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Collection
from contextlib import AbstractAsyncContextManager
from typing import Protocol, cast

from benchmarks.sides_durable.branches import EXPECTED, TRIALS, Killer

STEPS = 10
STEP_S = 0.001


class Opened(Protocol):
    """An engine with its database open."""

    left: Collection[str]
    """The runs that had begun and not ended when it was opened."""
    recorded: Collection[str]
    """All runs that were known then."""

    async def run_steps(self, name: str) -> object:
        """Do a run of ten steps."""
        ...

    async def run_branches(self, name: str) -> object:
        """Do a run of parallel branches."""
        ...

    async def resume(self, name: str) -> object:
        """Go on with a run of parallel branches, and return what comes out."""
        ...


class Engine(Protocol):
    """What a file beside this one is: a module with this function and the `KILLER` that its branches count with."""

    KILLER: Killer

    def open_engine(self, side: str, place: str) -> AbstractAsyncContextManager[Opened]: ...


async def measure_runs(engine: Engine, name: str, side: str, place: str, size: float) -> dict[str, float]:
    runs = int(1000 * size)
    async with engine.open_engine(side, place) as opened:
        await asyncio.gather(*[opened.run_steps(f"warm-{number}") for number in range(10)])
        began, cpu = time.perf_counter(), time.process_time()
        found = await asyncio.gather(*[opened.run_steps(f"run-{number}") for number in range(runs)])
        spent, used = time.perf_counter() - began, time.process_time() - cpu
    if any(one != STEPS for one in found):
        raise RuntimeError(f"a run did not do its {STEPS} steps")
    return {name: runs / spent, f"{name}_cpu": used / (runs * STEPS) * 1e3}


async def begin_branches(engine: Engine, side: str, place: str, trials: int) -> None:
    async with engine.open_engine(side, place) as opened:
        engine.KILLER.arm(trials)
        await asyncio.gather(*[opened.run_branches(f"trial-{number}") for number in range(trials)])
        raise RuntimeError("all trials ended before the process died")


async def resume_branches(engine: Engine, name: str, side: str, place: str, trials: int) -> dict[str, float]:
    async with engine.open_engine(side, place) as opened:

        async def resume(trial: str) -> object:
            async with asyncio.timeout(60):
                return await opened.resume(trial)

        outputs = await asyncio.gather(*[resume(trial) for trial in opened.left], return_exceptions=True)
        lost = {f"trial-{number}" for number in range(trials)} - {*opened.recorded}
    right = sum(output == EXPECTED for output in outputs)
    wrong = sum(isinstance(output, str) and output != EXPECTED for output in outputs)
    return {
        f"{name}_branches_right": right,
        f"{name}_branches_wrong": wrong,
        f"{name}_branches_none": sum(isinstance(output, BaseException) for output in outputs) + len(lost),
    }


def kill_and_resume(argv: list[str]) -> dict[str, float]:
    values: dict[str, float] = {}
    for part in ("begin", "resume"):
        engine, _, *rest = argv
        command = [sys.executable, "-m", "benchmarks.sides_durable.program", engine, part, *rest]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        if (done.returncode == -signal.SIGKILL) != (part == "begin"):
            said = done.stderr.strip().splitlines() or ["no output"]
            raise RuntimeError(f"the process that should {part} ended with {done.returncode}: {said[-1]}")
        if part == "resume":
            values = json.loads(done.stdout.splitlines()[-1])["values"]
    return values


def main() -> None:
    warnings.simplefilter("ignore")
    name, work, side, place, size = sys.argv[1:]
    trials = max(1, int(TRIALS * float(size)))
    random.seed(os.getpid())
    # What an engine prints is not the result.
    out, sys.stdout = sys.stdout, sys.stderr
    engine = cast("Engine", importlib.import_module(f"benchmarks.sides_durable.{name}_side"))
    if work == "runs":
        values = asyncio.run(measure_runs(engine, name, side, place, float(size)))
    elif work == "begin":
        asyncio.run(begin_branches(engine, side, place, trials))
        return
    elif work == "resume":
        values = asyncio.run(resume_branches(engine, name, side, place, trials))
    else:
        values = kill_and_resume(sys.argv[1:])
    print(json.dumps({"values": values}), file=out, flush=True)
    # An engine's own threads and exit handlers are none of the measurement.
    os._exit(0)


if __name__ == "__main__":
    main()
