"""Is each moment one run, whatever dies, jumps or is changed meanwhile? On a clock that is moved by hand."""

import asyncio
import datetime
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec import structs

from quorate import Agent, Limits, ScriptedModel, Settings
from quorate.agent.run import PAYER
from quorate.assembly import open_runtime
from quorate.errors import Conflict, InvalidInput, NotFound, StorageFull, Unavailable, UnknownName
from quorate.events import RunCreated
from quorate.ports import Entry, KeyValue, Store
from quorate.runtime import Runtime, Worker
from quorate.runtime.schedules import Cron, Every, Happened, Policy, Schedule, Scheduler, Schedules, Work, run_beside
from quorate.runtime.schedules.book import MOST_SCHEDULES
from quorate.state.backends.memory import open_memory_store
from quorate.testing.clock import ManualClock

NOON = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC).timestamp()
HOUR = 3600.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
async def store(clock: ManualClock) -> AsyncIterator[Store]:
    async with open_memory_store(clock=clock) as opened:
        yield opened


@asynccontextmanager
async def running(store: Store, clock: ManualClock, *names: str) -> AsyncIterator[Runtime]:
    agents = [Agent(name, model=ScriptedModel(lambda request: "done")) for name in names or ("clerk",)]
    async with open_runtime(Settings(database="unused"), store=store, clock=clock, agents=agents) as runtime:
        yield runtime


@pytest.fixture
async def runtime(store: Store, clock: ManualClock) -> AsyncIterator[Runtime]:
    async with running(store, clock) as opened:
        yield opened


def build(name: str = "disks", when: Any = None, agent: str = "clerk", **rest: Any) -> Schedule:
    return Schedule(name=name, work=Work(task="look", agent=agent), when=when or Every(seconds=60), **rest)


async def list_moments(runtime: Runtime) -> list[str]:
    """The moments of which there are runs, as they are named in their keys: in seconds since noon."""
    moments = list[float]()
    for summary in await runtime.list_runs(limit=1000):
        created = (await runtime.log.read(summary.run, limit=1))[0]
        assert isinstance(created, RunCreated)
        moments.append(float(created.idempotency_key.rpartition("/")[2]) - NOON)
    return [f"{moment:g}" for moment in sorted(moments)]


class Told(list[Happened]):
    @property
    def words(self) -> list[str]:
        return [happened.what for happened in self]


async def test_a_schedules_runs_count_for_the_key_it_was_kept_with(runtime: Runtime, clock: ManualClock) -> None:
    """What a key with quotas of its own may not do now, it does not put off either."""
    await Schedules(runtime.for_tenant("default", payer="web/0123")).add(build())
    clock.advance(60)
    await Scheduler(runtime).look()
    [summary] = await runtime.list_runs()
    created = (await runtime.log.read(summary.run, limit=1))[0]
    assert isinstance(created, RunCreated)
    assert created.labels[PAYER] == "web/0123"


async def test_a_tenant_has_a_bounded_number_of_schedules(runtime: Runtime) -> None:
    """One that is there can be replaced all the same."""
    schedules = Schedules(runtime)
    await schedules.add(build("a"))
    for number in range(MOST_SCHEDULES - 1):
        await runtime.store.values.put(f"schedule/default/b-{number}", b"one that does not read is one, too")
    with pytest.raises(Conflict, match="no more are kept"):
        await schedules.add(build("c"))
    await schedules.add(build("a"), replace=True)


async def test_each_moment_is_one_queued_run(runtime: Runtime, clock: ManualClock) -> None:
    told = Told()
    scheduler = Scheduler(runtime, tell=told.append)
    record = await Schedules(runtime).add(build())
    assert (record.next, await scheduler.look()) == (NOON + 60, 1.0)
    clock.advance(59)
    await scheduler.look()
    assert await list_moments(runtime) == []
    clock.advance(1)
    await scheduler.look()
    await scheduler.look()
    assert await list_moments(runtime) == ["60"]
    clock.advance(60)
    await scheduler.look()
    assert await list_moments(runtime) == ["60", "120"]
    assert told.words == ["fired", "fired"]
    summary = await runtime.show(told[0].run)
    assert (summary.status, summary.agent, summary.principal) == ("queued", "clerk", "local")
    shown = await Schedules(runtime).get("disks")
    assert (shown.fired, shown.last and shown.last.run, shown.next) == (2, told[1].run, NOON + 180)
    await Worker(runtime).run(until_idle=True)
    assert (await runtime.show(told[0].run)).status == "completed"


async def test_a_run_says_which_moment_it_is_of(runtime: Runtime, clock: ManualClock) -> None:
    """Whoever reads its log finds the schedule, the moment, whoever added it, and what it was marked with."""
    work = Work(task="look", agent="clerk", labels={"team": "shop"}, limits=Limits(steps=3))
    await Schedules(runtime).add(structs.replace(build(), work=work, principal="pat"))
    clock.advance(60)
    await Scheduler(runtime).look()
    (summary,) = await runtime.list_runs()
    created = (await runtime.log.read(summary.run))[0]
    assert isinstance(created, RunCreated)
    assert created.labels == {"team": "shop", "schedule": "disks", "schedule.moment": "2026-11-21T12:01:00Z"}
    assert (created.principal, created.limits.steps) == ("pat", 3)


async def test_it_waits_no_longer_than_until_the_next_moment(runtime: Runtime, clock: ManualClock) -> None:
    await Schedules(runtime).add(build())
    scheduler = Scheduler(runtime, poll_s=600)
    assert await scheduler.look() == 60
    clock.advance(59.5)
    assert await scheduler.look() == pytest.approx(0.5)


async def test_a_cron_schedule_fires_by_the_clock_of_its_place(runtime: Runtime, clock: ManualClock) -> None:
    """Noon in London is one in the afternoon in Berlin."""
    await Schedules(runtime).add(build(when=Cron(expression="30 13 * * *", zone="Europe/Berlin")))
    scheduler = Scheduler(runtime)
    clock.advance(1799)
    await scheduler.look()
    assert await list_moments(runtime) == []
    clock.advance(1)
    await scheduler.look()
    assert await list_moments(runtime) == ["1800"]


@pytest.mark.parametrize(
    ("policy", "moments", "missed"),
    [
        (Policy(catch_up="skip", grace_s=10), [], 10),
        (Policy(catch_up="skip", grace_s=30), ["600"], 9),
        (Policy(catch_up="last"), ["600"], 9),
        (Policy(catch_up="all"), [str(60 * number) for number in range(1, 11)], 0),
        (Policy(catch_up="all", most=2), ["540", "600"], 8),
    ],
)
async def test_moments_at_which_nobody_was_there(
    runtime: Runtime, clock: ManualClock, policy: Policy, moments: list[str], missed: int
) -> None:
    """Ten minutes without a scheduler; then each policy does what it says, once, and the next moment is on time."""
    await Schedules(runtime).add(build(policy=policy))
    clock.advance(620)
    told = Told()
    scheduler = Scheduler(runtime, tell=told.append)
    await scheduler.look()
    assert await list_moments(runtime) == moments
    assert (await Schedules(runtime).get("disks")).missed == missed
    assert ("missed" in told.words) == bool(missed)
    clock.advance(40)
    await scheduler.look()
    assert await list_moments(runtime) == [*moments, "660"]


async def test_a_run_under_way_is_not_overlapped(runtime: Runtime, clock: ManualClock) -> None:
    """While the run before is queued or runs, moments are passed over; when it is gone, they are not."""
    told = Told()
    scheduler = Scheduler(runtime, tell=told.append)
    await Schedules(runtime).add(build(policy=Policy(overlap="skip")))
    for _ in range(3):
        clock.advance(60)
        await scheduler.look()
    assert await list_moments(runtime) == ["60"]
    await Worker(runtime).run(until_idle=True)
    clock.advance(60)
    await scheduler.look()
    assert await list_moments(runtime) == ["60", "240"]
    await runtime.log.delete(told[-1].run)
    clock.advance(60)
    await scheduler.look()
    assert await list_moments(runtime) == ["60", "300"]
    assert told.words == ["fired", "overlapped", "overlapped", "fired", "fired"]
    assert (await Schedules(runtime).get("disks")).overlapped == 2


async def test_three_schedulers_at_once_are_one(store: Store, runtime: Runtime, clock: ManualClock) -> None:
    """All look at the very same moment, fifty times over ten schedules."""
    book, told = Schedules(runtime), Told()
    for number in range(10):
        await book.add(build(f"disks-{number}"))
    async with running(store, clock) as second, running(store, clock) as third:
        schedulers = [Scheduler(one, tell=told.append) for one in (runtime, second, third)]
        for _ in range(5):
            clock.advance(60)
            async with asyncio.TaskGroup() as group:
                for scheduler in schedulers:
                    group.create_task(scheduler.look())
    assert await list_moments(runtime) == [str(60 * n) for n in range(1, 6) for _ in range(10)]
    assert [record.fired for record in await book.list_schedules() if not isinstance(record, Exception)] == [5] * 10
    assert told.words == ["fired"] * 50


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
async def test_a_clock_that_jumps_for_a_while_fires_nothing_twice(
    runtime: Runtime, clock: ManualClock, jump: float
) -> None:
    """It is an hour wrong for a while and then right again: every moment is one run at most, and it goes on by itself."""
    scheduler = Scheduler(runtime)
    await Schedules(runtime).add(build(when=Every(seconds=600), policy=Policy(catch_up="all")))
    for seconds in (600, 600, jump, 600, 600, -jump, *[600] * 8):
        if seconds == abs(jump) or seconds == -abs(jump):
            clock.jump(seconds)
            clock.advance(31)  # until the store's clock is looked at again
        else:
            clock.advance(seconds)
        await scheduler.look()
    moments = await list_moments(runtime)
    assert len(moments) == len(set(moments))
    assert [str(600 * number) for number in range(1, 13)] == moments[:12]


async def test_a_clock_that_is_wrong_here_does_no_harm(store: Store, runtime: Runtime, clock: ManualClock) -> None:
    """Two schedulers are an hour off, each in another direction: the store's clock says what is due."""
    await Schedules(runtime).add(build())
    for off in (HOUR, -HOUR):
        wrong = ManualClock(NOON + off)
        async with running(store, wrong) as other:
            scheduler = Scheduler(other)
            await scheduler.look()
            wrong.advance(30)
            clock.advance(30)
            await scheduler.look()
    assert await list_moments(runtime) == ["60"]


class Breaking:
    """A `KeyValue` that breaks before or after the n-th time that a schedule is written, as a crash would."""

    def __init__(self, inner: KeyValue, *, at: int, after: bool) -> None:
        self.inner = inner
        self.get = inner.get
        self.delete = inner.delete
        self.scan = inner.scan
        self._left = at
        self._after = after

    async def put(self, key: str, value: bytes, *, if_revision: int | None = None, ttl_s: float | None = None) -> Entry:
        self._left -= key.startswith("schedule/")
        is_now = key.startswith("schedule/") and self._left == 0
        if is_now and not self._after:
            raise StorageFull("There is no room.")
        entry = await self.inner.put(key, value, if_revision=if_revision, ttl_s=ttl_s)
        if is_now:
            raise StorageFull("There is no room.")
        return entry


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [1, 2])
async def test_a_scheduler_that_breaks_off_anywhere_leaves_one_run(
    store: Store, runtime: Runtime, clock: ManualClock, at: int, after: bool
) -> None:
    """Before and after it is decided, and before and after it is settled: whoever comes next makes one run of it."""
    await Schedules(runtime).add(build())
    clock.advance(60)
    broken = structs.replace(store, values=Breaking(store.values, at=at, after=after))
    told = Told()
    async with running(broken, clock) as other:
        await Scheduler(other, tell=told.append).look()
    assert told.words == ["blocked"]
    for _ in range(3):
        await Scheduler(runtime, tell=told.append).look()
        clock.advance(2.5)
    assert await list_moments(runtime) == ["60"]
    record = await Schedules(runtime).get("disks")
    assert (record.firing, record.fired, record.next) == (None, 1, NOON + 120)


class Meddling(Breaking):
    """A `KeyValue` under which somebody does something else right before a schedule is written for the n-th time."""

    def __init__(self, inner: KeyValue, act: Callable[[], Awaitable[object]], *, at: int) -> None:
        super().__init__(inner, at=0, after=False)
        self._act = act
        self._count = at

    async def put(self, key: str, value: bytes, *, if_revision: int | None = None, ttl_s: float | None = None) -> Entry:
        self._count -= key.startswith("schedule/")
        if key.startswith("schedule/") and self._count == 0:
            await self._act()
        return await self.inner.put(key, value, if_revision=if_revision, ttl_s=ttl_s)


@pytest.mark.parametrize(("at", "moments"), [(1, []), (2, ["60"])])
async def test_a_pause_in_the_middle_holds(
    store: Store, runtime: Runtime, clock: ManualClock, at: int, moments: list[str]
) -> None:
    """Before a moment is decided, it does not come; after that it does, and what was decided is counted."""
    book = Schedules(runtime)
    await book.add(build())
    clock.advance(60)
    meddled = structs.replace(store, values=Meddling(store.values, lambda: book.pause("disks"), at=at))
    async with running(meddled, clock) as other:
        await Scheduler(other).look()
    record = await book.get("disks")
    assert (record.schedule.paused, record.fired, record.firing) == (True, len(moments), None)
    assert await list_moments(runtime) == moments


@pytest.mark.parametrize(("at", "moments"), [(1, []), (2, ["60"])])
async def test_a_schedule_that_is_deleted_in_the_middle_stays_away(
    store: Store, runtime: Runtime, clock: ManualClock, at: int, moments: list[str]
) -> None:
    book = Schedules(runtime)
    await book.add(build())
    clock.advance(60)
    meddled = structs.replace(store, values=Meddling(store.values, lambda: book.delete("disks"), at=at))
    async with running(meddled, clock) as other:
        scheduler = Scheduler(other)
        await scheduler.look()
        clock.advance(60)
        await scheduler.look()
    assert await book.find("disks") is None
    assert await list_moments(runtime) == moments


async def test_a_schedule_made_again_fires_its_own_moments(runtime: Runtime, clock: ManualClock) -> None:
    """The same name at the same moment, after a clock was set back: it is another schedule, and another run."""
    book, scheduler = Schedules(runtime), Scheduler(runtime)
    await book.add(build())
    clock.advance(60)
    await scheduler.look()
    await book.delete("disks")
    clock.jump(-60)
    await book.add(build())
    clock.advance(60)
    await scheduler.look()
    assert await list_moments(runtime) == ["60", "60"]


async def test_while_the_store_is_away_it_is_said_once_and_waited_for(
    store: Store, runtime: Runtime, clock: ManualClock
) -> None:
    class Away(Breaking):
        is_away = True

        async def put(
            self, key: str, value: bytes, *, if_revision: int | None = None, ttl_s: float | None = None
        ) -> Entry:
            if self.is_away:
                raise Unavailable("The store cannot be reached.")
            return await self.inner.put(key, value, if_revision=if_revision, ttl_s=ttl_s)

    await Schedules(runtime).add(build())
    clock.advance(60)
    away, told, slept = Away(store.values, at=0, after=False), Told(), list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        away.is_away = len(slept) < 3
        clock.advance(0.01)
        if len(slept) > 5:
            scheduler.stop()
        await asyncio.sleep(0)

    async with running(structs.replace(store, values=away), clock) as other:
        scheduler = Scheduler(other, tell=told.append, sleep=sleep)
        await scheduler.run()
    assert told.words == ["blocked", "fired"]
    assert slept[:3] == [1.0, 1.0, 1.0]
    assert await list_moments(runtime) == ["60"]


async def test_what_was_decided_is_submitted_as_it_was(store: Store, runtime: Runtime, clock: ManualClock) -> None:
    """The task is changed and the schedule is paused after a crash in the middle: the moment is the run it was to be."""
    book = Schedules(runtime)
    await book.add(build())
    clock.advance(60)
    broken = structs.replace(store, values=Breaking(store.values, at=2, after=False))
    async with running(broken, clock) as other:
        await Scheduler(other).look()
    await book.add(structs.replace(build(), work=Work(task="another", agent="clerk")), replace=True)
    await book.pause("disks")
    clock.advance(6)
    await Scheduler(runtime).look()
    runs = await runtime.list_runs()
    assert [run.task for run in runs] == ["look"]
    assert (await book.get("disks")).firing is None


async def test_what_was_left_behind_too_long_ago_is_not_submitted_again(
    store: Store, runtime: Runtime, clock: ManualClock
) -> None:
    """After days nobody can tell whether it was: it is said, and the schedule goes on."""
    await Schedules(runtime).add(build(when=Every(seconds=7 * 86_400, anchor=NOON + 60)))
    clock.advance(60)
    broken = structs.replace(store, values=Breaking(store.values, at=2, after=False))
    async with running(broken, clock) as other:
        await Scheduler(other).look()
    clock.advance(6 * 86_400)
    told = Told()
    await Scheduler(runtime, tell=told.append).look()
    assert (told.words, "nobody can tell" in told[0].reason) == (["refused"], True)
    assert len(await runtime.list_runs()) == 1


async def test_an_agent_that_is_not_here_is_left_to_others(store: Store, runtime: Runtime, clock: ManualClock) -> None:
    async with running(store, clock, "porter") as other:
        await Schedules(other).add(build(agent="porter"))
        clock.advance(60)
        told = Told()
        here, there = Scheduler(runtime, tell=told.append), Scheduler(other)
        await here.look()
        await here.look()
        assert (told.words, await list_moments(runtime)) == (["foreign"], [])
        await there.look()
        assert await list_moments(runtime) == ["60"]


async def test_a_run_that_is_refused_does_not_stop_the_next_one(runtime: Runtime, clock: ManualClock) -> None:
    await runtime.sessions.create("daily", tenant="default", principal="local")
    await runtime.sessions.complete("daily", tenant="default", principal="local")
    work = Work(task="look", agent="clerk", session="daily")
    await Schedules(runtime).add(structs.replace(build(), work=work))
    told = Told()
    scheduler = Scheduler(runtime, tell=told.append)
    for _ in range(2):
        clock.advance(60)
        await scheduler.look()
    assert told.words == ["refused", "refused"]
    record = await Schedules(runtime).get("disks")
    assert (record.fired, record.last is not None and "daily" in record.last.refused) == (0, True)


async def test_a_record_that_does_not_verify_stops_nobody_else(
    store: Store, runtime: Runtime, clock: ManualClock
) -> None:
    book, told = Schedules(runtime), Told()
    await book.add(build())
    await store.values.put("schedule/default/broken", b"{")
    clock.advance(60)
    scheduler = Scheduler(runtime, tell=told.append)
    await scheduler.look()
    assert sorted(told.words) == ["blocked", "fired"]
    assert "quorate schedules delete broken" in next(h.reason for h in told if h.what == "blocked")
    await book.add(build("broken"), replace=True)
    await book.delete("broken")
    assert await book.find("broken") is None


async def test_a_paused_schedule_makes_up_for_nothing(runtime: Runtime, clock: ManualClock) -> None:
    book, scheduler = Schedules(runtime), Scheduler(runtime)
    await book.add(build(policy=Policy(catch_up="all")))
    await book.pause("disks")
    clock.advance(600)
    await scheduler.look()
    assert await list_moments(runtime) == []
    resumed = await book.resume("disks")
    assert resumed.next == NOON + 660
    assert await book.resume("disks") == resumed, "one that is not paused is left as it is"
    clock.advance(60)
    await scheduler.look()
    assert await list_moments(runtime) == ["660"]


async def test_schedules_of_all_tenants_are_fired_each_for_its_own(runtime: Runtime, clock: ManualClock) -> None:
    acme = runtime.for_tenant("acme")
    await Schedules(acme).add(build(tenant="default"))
    assert await Schedules(runtime).find("disks") is None
    clock.advance(60)
    await Scheduler(runtime).look()
    assert await runtime.list_runs() == []
    assert len(await acme.list_runs()) == 1


async def test_what_cannot_be_kept_is_refused(runtime: Runtime) -> None:
    book = Schedules(runtime)
    await book.add(build())
    with pytest.raises(Conflict, match="There is a schedule 'disks' already"):
        await book.add(build())
    with pytest.raises(UnknownName, match="There is no agent 'clark'"):
        await book.add(build("other", agent="clark"))
    with pytest.raises(InvalidInput, match="not an identifier"):
        await book.add(build("Other"))
    for act in (book.get, book.pause, book.resume, book.delete):
        with pytest.raises(NotFound, match="There is no schedule 'other': list them with"):
            await act("other")
    rows = await runtime.audit.read()
    assert {(row.action, row.outcome) for row in rows} >= {("schedule.add", "done"), ("schedule.add", "refused")}


async def test_a_replaced_schedule_does_not_fire_what_is_decided(runtime: Runtime, clock: ManualClock) -> None:
    book, scheduler = Schedules(runtime), Scheduler(runtime)
    first = await book.add(build())
    clock.advance(60)
    await scheduler.look()
    second = await book.add(build(when=Every(seconds=30)), replace=True)
    assert (second.id, second.fired, second.next) == (first.id, 1, NOON + 90)
    clock.advance(30)
    await scheduler.look()
    assert await list_moments(runtime) == ["60", "90"]


async def test_it_stops_when_it_is_told_to_and_beside_other_work(runtime: Runtime, clock: ManualClock) -> None:
    """The scheduler sleeps as long as the work beside it lasts."""
    slept = list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.advance(seconds)
        await asyncio.sleep(0)

    async def work() -> str:
        while not await runtime.list_runs():
            await asyncio.sleep(0)
        return "worked"

    await Schedules(runtime).add(build())
    scheduler = Scheduler(runtime, sleep=sleep)
    assert await run_beside(scheduler, work()) == "worked"
    assert max(slept) <= 1.0
    assert "60" in await list_moments(runtime)
