"""What do thousands of runs on one store cost the workers that share it?"""

import asyncio
import statistics
import subprocess
import time
from pathlib import Path

from msgspec import Struct
from tests.chaos.fleets import Fleet, open_fleet

from quorate import Agent, RunOptions, ScriptedModel, Settings
from quorate.assembly import open_store
from quorate.events import RunSummary, Status
from quorate.models.scripted import call
from quorate.ports import Log, Store
from quorate.testing.contracts import build_opening, build_step
from quorate.tools.waits import AskPerson

PAGE = 500
IDLE_THREADS = 8
MAX_THREADS = 64
"""Blocking tools share a bounded pool; whatever the number of runs, a worker has no more threads than this."""


class Crowd(Struct, frozen=True, kw_only=True):
    """What was seen while many runs were under way at once."""

    seconds: float
    """From the opening of the gate to the last end."""
    append_ms: tuple[float, float]
    """The median and the 99th percentile of an append by a bystander, while all of them worked."""
    threads: tuple[int, int]
    """The most threads of a worker: while all runs were under way and stood, and while they worked."""
    rss_mib: float
    """The most resident memory of a worker."""
    running: int
    """How many runs were under way at once."""


async def leave_waiting(store: Store, count: int) -> None:
    """Leave runs behind that wait for a person."""
    asking = Agent("asking", model=ScriptedModel(lambda request: call("ask", question="Which?")), tools=[AskPerson()])
    asking.model.requests = Nothing()  # type: ignore[union-attr]

    async def one(number: int) -> None:
        result = await asking.run("x", options=RunOptions(log=store.log, run_id=f"run-waiting-{number:06}"))
        assert result.status == "waiting"

    for first in range(0, count, PAGE):
        await asyncio.gather(*(one(number) for number in range(first, min(count, first + PAGE))))


class Nothing(list):  # type: ignore[type-arg]
    """A scripted model keeps its requests for tests to look at; of ten thousand runs nobody does."""

    def append(self, _: object) -> None:
        """Keep nothing."""


async def list_all(log: Log, status: Status | None) -> list[RunSummary]:
    """List every run of a status, or of all."""
    found: list[RunSummary] = []
    while True:
        page = await log.list_runs(status=status, before=found[-1].run if found else None, limit=PAGE)
        found += page
        if len(page) < PAGE:
            return found


async def count_running(database: str) -> int:
    """Count the runs under way."""
    async with open_store(Settings(database=database)) as store:
        return len(await list_all(store.log, "running"))


async def probe(database: str, seconds: float) -> tuple[float, float]:
    """Append to a run of one's own for some time; return the median and the 99th percentile in milliseconds."""
    took: list[float] = []
    async with open_store(Settings(database=database)) as store:
        run = f"run-probe-{time.monotonic_ns()}"
        await store.log.append(run, build_opening(run), expected=0)
        began = time.perf_counter()
        while (before := time.perf_counter()) < began + seconds:
            await store.log.append(run, [build_step(run, len(took) + 3)], expected=len(took) + 2)
            took.append(1000 * (time.perf_counter() - before))
            await asyncio.sleep(0.005)
        await store.log.delete(run)
    return statistics.median(took), sorted(took)[int(0.99 * (len(took) - 1))]


def count_threads(workers: list[subprocess.Popen[str]]) -> int:
    """Count the threads of the process that has most."""
    return max(len(list(Path(f"/proc/{worker.pid}/task").iterdir())) for worker in workers)


def measure_mib(workers: list[subprocess.Popen[str]]) -> float:
    """Measure the resident memory of the process that has most."""
    return max(int(Path(f"/proc/{w.pid}/statm").read_text().split()[1]) * 4096 / (1 << 20) for w in workers)


def crowd(folder: Path, database: str, *, running: int, waiting: int, workers: int, within_s: float) -> Crowd:
    """Have so many runs under way at once, beside others that wait, and let all of them end."""

    async def prepare() -> None:
        async with open_store(Settings(database=database)) as store:
            await leave_waiting(store, waiting)

    asyncio.run(prepare())
    gate = folder / "gate"
    gate.touch()
    with open_fleet(folder, database, seed=13, lease_s=30) as fleet:
        fleet.submit(running)
        room = -(-running // workers) + 8
        processes = [fleet.start(gate=str(gate), concurrency=room, heard=True) for _ in range(workers)]
        deadline = time.monotonic() + within_s
        while (seen := asyncio.run(count_running(database))) < running:
            assert time.monotonic() < deadline, f"only {seen} of {running} runs are under way"
            time.sleep(0.2)
        wait_quiet(fleet, running)
        standing = count_threads(processes)
        gate.write_text("open")
        began = time.monotonic()
        append_ms = asyncio.run(probe(database, 1.5))
        busy, rss_mib = count_threads(processes), measure_mib(processes)
        fleet.wait_ended(within_s=within_s)
        seconds = time.monotonic() - began
        fleet.check_ends()
        assert [process.poll() for process in processes] == [None] * workers
    check_crowd(database, waiting)
    return Crowd(seconds=seconds, append_ms=append_ms, threads=(standing, busy), rss_mib=rss_mib, running=running)


def wait_quiet(fleet: Fleet, count: int) -> None:
    """Wait until the workers have said that they took all of them."""
    deadline = time.monotonic() + 60
    while sum(line.startswith("taken") for line in fleet.said) < count:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def check_crowd(database: str, waiting: int) -> None:
    """Nobody is stranded, and who waited waits."""

    async def look() -> tuple[int, int, int]:
        async with open_store(Settings(database=database)) as store:
            counts = [len(await list_all(store.log, status)) for status in ("running", "queued", "waiting")]
        return counts[0], counts[1], counts[2]

    assert asyncio.run(look()) == (0, 0, waiting)
