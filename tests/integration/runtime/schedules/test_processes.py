"""Is each moment of a schedule one run, done once, when real processes share a database and die?"""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from tests.integration.runtime.programs import Child, Start, starting

from quorate import Agent, ScriptedModel, Settings
from quorate.assembly import open_runtime
from quorate.events import ATTEMPTS, RunCompleted, RunCreated, RunSummary, RunWaiting
from quorate.runtime import Runtime
from quorate.runtime.schedules import Cron, Every, Policy, Schedule, Scheduler, Schedules, Work
from quorate.runtime.schedules.moments import When
from quorate.runtime.schedules.records import Record, Records
from quorate.runtime.schedules.schedule import list_moments
from quorate.runtime.schedules.store_time import StoreTime

SCRIPT = Path(__file__).with_name("process.py")
LEASE_S = 1.0


@pytest.fixture
async def runtime(database: str) -> AsyncIterator[Runtime]:
    """The same database, to prepare and to look."""
    agents = [Agent(name, model=ScriptedModel([])) for name in ("clerk", "poison")]
    async with open_runtime(Settings(database=database), agents=agents) as opened:
        yield opened


@pytest.fixture
def start() -> Iterator[Start]:
    """Start processes and wait until they are open; none outlives the test."""
    with starting(SCRIPT) as begin:
        yield begin


async def add_overdue(runtime: Runtime, name: str, when: When, *, ago_s: float, agent: str = "clerk") -> Record:
    """Keep a schedule as nobody has looked at it for a while; all of its moments since are to be made up for."""
    schedule = Schedule(name=name, work=Work(task="job", agent=agent), when=when, policy=Policy(catch_up="all"))
    decided = await StoreTime(runtime.store.values, clock=runtime.clock).look() - ago_s
    record = Record(schedule=schedule, id=name, decided=decided, next=next(list_moments(schedule, after=decided)))
    return (await Records(runtime.store.values).put(record))[0]


async def read_moments(runtime: Runtime) -> Counter[tuple[str, float]]:
    """How many runs there are of each moment of each schedule."""
    found = Counter[tuple[str, float]]()
    for summary in await runtime.list_runs(limit=1000):
        created = (await runtime.log.read(summary.run, limit=1))[0]
        assert isinstance(created, RunCreated)
        _, name, _, moment = created.idempotency_key.split("/")
        found[name, float(moment)] += 1
    return found


def let_go(*children: Child) -> None:
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()


def read_rest(child: Child) -> list[tuple[str, float]]:
    """End a scheduler, and return the moments that it said it submitted."""
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    said = [line.split() for line in out.splitlines() if line.startswith("fired ")]
    return [(label.partition("/")[2], float(moment)) for _, label, moment, _ in said]


async def wait_until(runtime: Runtime, is_so: Callable[[list[RunSummary]], bool], *, within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while not is_so(await runtime.list_runs(limit=1000)):
        assert time.monotonic() < deadline, await runtime.list_runs()
        await asyncio.sleep(0.05)


async def test_cron_fires_once_across_three_schedulers(runtime: Runtime, start: Start) -> None:
    """Three processes begin at the same moment: each due moment of twenty cron schedules, and each second of a live
    schedule, is one run. row: C13"""
    records = [
        await add_overdue(runtime, f"cron-{number}", Cron(expression="* * * * *", zone="Europe/Berlin"), ago_s=180)
        for number in range(20)
    ]
    live = await add_overdue(runtime, "live", Every(seconds=1), ago_s=0)
    schedulers = [start("schedule", runtime.settings.database) for _ in range(3)]
    let_go(*schedulers)
    await wait_until(runtime, lambda runs: len(runs) >= 65)
    said = Counter(moment for scheduler in schedulers for moment in read_rest(scheduler))
    # What one of them was in the middle of when it was asked to stop; it may not have come to say so.
    await Scheduler(runtime, takeover_s=0, tell=lambda _: None).look()
    moments = await read_moments(runtime)
    assert set(moments.values()) == {1}, "a moment was submitted twice"
    assert set(said.values()) == {1}, "two said that a moment was theirs"
    assert said.keys() <= moments.keys()
    for record in records:
        kept = await Schedules(runtime).get(record.schedule.name)
        expected = [m for m in list_first(record, 30) if m <= kept.decided]
        assert sorted(m for name, m in moments if name == record.schedule.name) == expected
        assert (kept.fired, kept.missed, len(expected) >= 3) == (len(expected), 0, True)
    seconds = sorted(moment for name, moment in moments if name == "live")
    assert seconds == [live.next + number for number in range(len(seconds)) if live.next is not None]


def list_first(record: Record, count: int) -> list[float]:
    moments = list_moments(record.schedule, after=record.decided)
    return [next(moments) for _ in range(count)]


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_scheduler_that_is_killed_anywhere_leaves_one_run(
    runtime: Runtime, start: Start, when: str, at: int
) -> None:
    """With -9, before and after a moment is decided, and before and after it is settled: the next one makes it one run,
    done once."""
    await add_overdue(runtime, "hourly", Every(seconds=3600), ago_s=3600)
    first = start("schedule", runtime.settings.database, when, at)
    let_go(first)
    assert first.wait(timeout=60) == -signal.SIGKILL
    submitted = len(await runtime.list_runs())
    assert submitted == (at == 2)
    second = start("schedule", runtime.settings.database)
    let_go(second)

    async def is_settled() -> bool:
        record = await Schedules(runtime).get("hourly")
        return record.firing is None and record.fired == 1

    deadline = time.monotonic() + 60
    while not await is_settled():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    read_rest(second)
    assert list((await read_moments(runtime)).values()) == [1]


async def test_a_job_whose_worker_is_killed_is_done_once(runtime: Runtime, start: Start, tmp_path: Path) -> None:
    """A schedule queues a job, the worker that has it is killed with -9 in the middle: another one does it again once
    the lease has run out, and there is exactly one record of success. row: C13"""
    journal, gate = tmp_path / "journal", tmp_path / "gate"
    await add_overdue(runtime, "hourly", Every(seconds=3600), ago_s=3600)
    scheduler = start("schedule", runtime.settings.database)
    first = start("work", runtime.settings.database, journal, gate, LEASE_S, 5)
    let_go(scheduler)
    await wait_until(runtime, lambda _: journal.exists())
    first.kill()
    first.wait()
    (left,) = await runtime.store.leases.list_leases()
    gate.touch()
    start("work", runtime.settings.database, journal, gate, LEASE_S, 5)
    await wait_until(runtime, lambda runs: [run.status for run in runs] == ["completed"])
    (summary,) = await runtime.list_runs()
    events = await runtime.log.read(summary.run)
    assert sum(isinstance(event, RunCompleted) for event in events) == 1
    _, again = [event for event in events if isinstance(event, ATTEMPTS)]
    assert again.time >= left.expires, "not before the dead one's lease had run out"
    assert len(set(journal.read_text().split())) == 2, "two workers began it"
    assert (await read_moments(runtime)).total() == 1


async def test_a_job_that_kills_its_workers_is_put_aside(runtime: Runtime, start: Start, tmp_path: Path) -> None:
    """Three workers die of one job; then it rests where a person finds it, with its story, and the others are done.
    row: C13"""
    journal, gate = tmp_path / "journal", tmp_path / "gate"
    gate.touch()
    await add_overdue(runtime, "poison", Every(seconds=3600), ago_s=3600, agent="poison")
    await add_overdue(runtime, "hourly", Every(seconds=3600), ago_s=3600)
    scheduler = start("schedule", runtime.settings.database)
    let_go(scheduler)
    await wait_until(runtime, lambda runs: len(runs) == 2)
    for _ in range(3):
        worker = start("work", runtime.settings.database, journal, gate, 0.5, 3)
        assert worker.wait(timeout=60) == -signal.SIGKILL
    start("work", runtime.settings.database, journal, gate, 0.5, 3)
    await wait_until(runtime, lambda runs: {(r.agent, r.status) for r in runs} == {("poison", "waiting"), ("clerk", "completed")})  # fmt: skip
    (aside,) = await runtime.list_runs(status="waiting")
    last = (await runtime.log.read(aside.run))[-1]
    assert isinstance(last, RunWaiting)
    assert (last.reason, "died" in last.note) == ("parked", True)
