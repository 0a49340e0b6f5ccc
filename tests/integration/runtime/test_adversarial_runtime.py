"""Does the runtime hold when two do the same at once, when somebody leaves in the middle, and when the store is away?"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
from msgspec import structs

from quorate import Agent, Runtime, ScriptedModel, Settings, tool
from quorate.assembly import open_runtime, open_store
from quorate.clock import SYSTEM_CLOCK
from quorate.errors import Conflict, Fenced, InvalidInput, NotFound, QuorateError, Unavailable, UpstreamError
from quorate.events import (
    ATTEMPTS,
    ENDINGS,
    AnyEvent,
    CancelRequested,
    InputGiven,
    RunCompleted,
    RunCreated,
    RunFailed,
    RunResumed,
    RunStarted,
    RunWaiting,
    TimerSet,
    get_kind,
    summarize,
)
from quorate.messages import Usage, build_user_message
from quorate.models.scripted import After, call
from quorate.ports import Lease, Leases, Log, Store
from quorate.runtime.owner import Owner
from quorate.runtime.worker import Worker
from quorate.settings.values import WorkerSettings
from quorate.state.backends.memory import open_memory_store
from quorate.state.sessions import SessionLimits
from quorate.testing.clock import ManualClock
from quorate.tools.toolsets import Approved, Toolbox

AGENT = "post-clerk"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def store(clock: ManualClock) -> AsyncIterator[Store]:
    async with open_memory_store(clock=clock) as opened:
        yield opened


def build_agent(*script: object, name: str = AGENT, **options: Any) -> Any:
    return Agent(name, model=ScriptedModel(cast("Any", list(script))), **options)


@asynccontextmanager
async def running(store: Store, *agents: Any, clock: ManualClock, **worker: Any) -> AsyncIterator[Runtime]:
    chosen = Settings(database="unused.db", worker=WorkerSettings(**{"lease_s": 10, "max_crashes": 3, **worker}))
    async with asyncio.timeout(30), open_runtime(chosen, agents=agents, store=store, clock=clock) as runtime:
        yield runtime


async def leave_behind(store: Store, run: str, *, owner: str, agent: str = AGENT) -> None:
    """Record a run as a process leaves it that is killed while it waits for its model."""
    created = RunCreated(run=run, seq=1, time=0.0, agent=agent, messages=(build_user_message("why?"),))
    started = RunStarted(run=run, seq=2, time=0.0, attempt="try-1", owner=owner)
    await store.log.append(run, (created, started), expected=0)


async def queue(store: Store, run: str, **facts: Any) -> None:
    facts = {"agent": AGENT, "messages": (build_user_message("why?"),), **facts}
    await store.log.append(run, (RunCreated(run=run, seq=1, time=0.0, **facts),), expected=0)


async def reach(runtime: Runtime, run: str, kind: str) -> None:
    """Wait until a run's log has an event of a kind."""
    async for event in runtime.follow(run):
        if get_kind(event) == kind:
            return


def count(events: Sequence[AnyEvent], kinds: tuple[type, ...]) -> int:
    return sum(isinstance(event, kinds) for event in events)


class Gate:
    """A method of an object that can be held before or after it does its work, or be made to fail."""

    def __init__(self, inner: object, name: str) -> None:
        self.inner = inner
        self.name = name
        self.calls = 0
        self.act: Callable[[int, Callable[[], Any]], Any] = lambda n, work: work()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        if name != self.name:
            return method

        async def ask(*args: Any, **options: Any) -> Any:
            self.calls += 1
            return await self.act(self.calls, lambda: method(*args, **options))

        return ask


# --- Who has a run?


async def test_of_two_who_found_the_same_run_one_has_it(store: Store, clock: ManualClock) -> None:
    """Two workers looked at the same moment; whoever takes second leaves the first one alone."""
    agent = build_agent("one", "two")
    async with running(store, agent, clock=clock) as one, running(store, agent, clock=clock) as two:
        await queue(store, "run-1")
        await one.begin()
        await two.begin()
        (first,), (second,) = await one.owner.find_work(limit=9), await two.owner.find_work(limit=9)
        handle = await one.take(first)
        assert handle is not None
        assert await two.take(second) is None
        assert (await handle.wait()).text == "one"
    assert count(await store.log.read("run-1"), ATTEMPTS) == 1


async def test_of_many_workers_each_run_has_one_attempt(store: Store, clock: ManualClock) -> None:
    """Slow reads between looking and taking: still each run begins once."""

    async def slowly(n: int, work: Callable[[], Any]) -> Any:
        await asyncio.sleep(0)
        result = await work()
        await asyncio.sleep(0)
        return result

    gate = Gate(store.log, "read")
    gate.act = slowly
    slow = structs.replace(store, log=cast("Log", gate))
    agent = build_agent(*["ok"] * 60)
    async with running(slow, agent, clock=clock) as one, running(slow, agent, clock=clock) as two:
        for number in range(20):
            await queue(store, f"run-{number}")
        async with asyncio.TaskGroup() as group:
            group.create_task(Worker(one, concurrency=5).run(until_idle=True))
            group.create_task(Worker(two, concurrency=5).run(until_idle=True))
    logs = await store.log.read_many([f"run-{number}" for number in range(20)])
    assert [count(log, ATTEMPTS) for log in logs.values()] == [1] * 20
    assert all(isinstance(log[-1], ENDINGS) for log in logs.values())


async def test_a_run_that_ended_meanwhile_is_not_put_aside(store: Store, clock: ManualClock) -> None:
    """A look at a poison run grew old: what ended since gets no second end."""
    async with running(store, build_agent("fine"), clock=clock) as runtime:
        await leave_behind(store, "run-1", owner="owner-1")
        for number in (2, 3):
            again = RunResumed(run="run-1", seq=number + 1, time=0.0, attempt=f"try-{number}", number=number, owner="o")
            await store.log.append("run-1", (again,), expected=number)
        stale = await runtime.show("run-1")
        await (await runtime.resume("run-1")).wait()
        before = await store.log.read("run-1")
        assert await runtime.take(stale) is None
        assert await store.log.read("run-1") == before


async def test_a_process_does_not_take_over_from_itself(store: Store, clock: ManualClock) -> None:
    """Declared dead and alive again, it finds the run that it works on as an orphan, and leaves it alone."""
    agent = build_agent(After(60, "late"), "again")
    async with running(store, agent, clock=clock) as runtime:
        handle = await runtime.submit("why?", agent=agent)
        await reach(runtime, handle.id, "model.requested")
        await store.leases.drop(runtime.owner.id)  # as a sweep of the leases does
        await runtime.owner.beat()
        clock.advance(9)
        await runtime.owner.beat()
        clock.advance(2)
        found = await runtime.owner.find_work(limit=9)
        assert [one.run for one in found] == [handle.id]
        assert await runtime.take(found[0]) is None
        assert count(await store.log.read(handle.id), ATTEMPTS) == 1


async def test_a_resumed_run_is_worked_on_once_in_a_process(store: Store, clock: ManualClock) -> None:
    """Whoever resumes what this process works on already cuts its older attempt off, inside a tool too."""
    entered, left = asyncio.Queue[int](), list[int]()

    @tool(effect="idempotent")
    async def hang() -> str:
        """Hang."""
        entered.put_nowait(1)
        try:
            await asyncio.Event().wait()
        finally:
            left.append(1)
        return "never"

    agent = build_agent(call("hang"), "done", tools=[hang])
    async with running(store, agent, clock=clock) as runtime:
        old = await runtime.submit("x", agent=agent)
        await entered.get()
        new = await runtime.resume(old.id, agent=agent)
        with pytest.raises(Fenced):
            await old.wait()
        assert left == [1]
        await entered.get()
        await runtime.cancel(old.id)
        assert (await new.wait()).status == "cancelled"
    assert count(await store.log.read(old.id), ENDINGS) == 1


async def test_a_run_that_broke_off_is_left_to_whoever_has_it_now(store: Store, clock: ManualClock) -> None:
    """The store was away for so long that another worker took the run over: it is not taken back from it."""
    agent = build_agent(After(60, "late"), After(60, "later"))
    gate = Gate(store.log, "append")
    flaky = structs.replace(store, log=cast("Log", gate))

    async def fail(n: int, work: Callable[[], Any]) -> Any:
        raise Unavailable("away")

    told: list[str] = []
    async with (
        running(store, agent, clock=clock) as other,
        running(flaky, build_agent(call("none"), "ok"), clock=clock, patience_s=0) as runtime,
        asyncio.TaskGroup() as group,
    ):
        worker = Worker(runtime, poll_s=0.01, tell=lambda what, run, why: told.append(what))
        await queue(store, "run-1")
        group.create_task(worker.run())
        gate.act = lambda n, work: work() if n == 1 else fail(n, work)
        while "blocked" not in told:
            await asyncio.sleep(0.01)
        await other.resume("run-1")
        before = count(await store.log.read("run-1"), ATTEMPTS)
        gate.act = lambda n, work: work()
        clock.advance(6)
        await asyncio.sleep(0.1)
        assert count(await store.log.read("run-1"), ATTEMPTS) == before
        worker.stop()


# --- Ends, rests and requests to stop.


def build_asking() -> Any:
    @tool(effect="idempotent")
    async def pay() -> str:
        """Pay."""
        return "paid"

    return build_agent(call("pay"), "done", tools=[Approved(Toolbox([pay]))])


async def test_a_run_that_has_just_come_to_rest_is_cancelled(store: Store, clock: ManualClock) -> None:
    """Whoever cancels as soon as the run rests ends it, though its attempt is still being put away."""
    agent = build_asking()
    async with running(store, agent, clock=clock) as runtime:
        handle = await runtime.submit("x", agent=agent)
        assert (await handle.wait()).status == "waiting"
        await runtime.cancel(handle.id)
        assert (await runtime.show(handle.id)).status == "cancelled"
        agent.model = ScriptedModel(cast("Any", [call("pay"), "done"]))
        handle = await runtime.submit("x", agent=agent)
        async for event in handle.events():
            if isinstance(event, RunWaiting):
                await runtime.cancel(handle.id)
        assert (await runtime.show(handle.id)).status == "cancelled"


@pytest.mark.parametrize("where", ["here", "elsewhere"])
async def test_a_cancel_while_the_rest_is_recorded_is_not_lost(store: Store, clock: ManualClock, where: str) -> None:
    """The request comes between a run's last step and its rest: it does not wait for an answer any more."""
    reached, go = asyncio.Event(), asyncio.Event()
    agent = build_asking()

    class Holding:
        def __getattr__(self, name: str) -> Any:
            return getattr(store.log, name)

        async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
            if isinstance(events[-1], RunWaiting):
                reached.set()
                await go.wait()
            await store.log.append(run, events, expected=expected)

    held = structs.replace(store, log=cast("Log", Holding()))
    async with running(held, agent, clock=clock) as runtime, running(store, agent, clock=clock) as other:
        handle = await runtime.submit("x", agent=agent)
        async with asyncio.timeout(30):
            await reached.wait()
        await (runtime if where == "here" else other).cancel(handle.id, reason="enough")
        go.set()
        await handle.wait()
        assert (await runtime.show(handle.id)).status == "cancelled"
        assert (await runtime.replay(handle.id)).status == "cancelled"
    assert count(await store.log.read(handle.id), ENDINGS) == 1


async def test_a_cancel_that_meets_a_worker_leaves_one_end(store: Store, clock: ManualClock) -> None:
    """A queued run is cancelled while a worker takes it, which finds the request and ends it: it ends once."""
    agent = build_agent("ok")
    async with running(store, agent, clock=clock) as worker:
        await queue(store, "run-1")

        async def take_before(n: int, work: Callable[[], Any]) -> Any:
            await work()
            if n == 1:  # right behind the request
                (found,) = await worker.log.list_runs()
                handle = await worker.take(found)
                if handle is not None:
                    await handle.wait()

        gate = Gate(store.log, "append")
        gate.act = take_before
        async with running(structs.replace(store, log=cast("Log", gate)), agent, clock=clock) as door:
            await door.cancel("run-1")
    events = await store.log.read("run-1")
    assert (count(events, ENDINGS), get_kind(events[-1])) == (1, "run.cancelled")


async def test_many_cancels_at_once_are_one_end(store: Store, clock: ManualClock) -> None:
    """Ten who cancel a queued run: one end, and whoever comes too late is told so."""
    async with running(store, build_agent(), clock=clock) as one, running(store, build_agent(), clock=clock) as two:
        await queue(store, "run-1")
        cancels = [(one, two)[n % 2].cancel("run-1") for n in range(10)]
        results = await asyncio.gather(*cancels, return_exceptions=True)
        assert all(result is None or isinstance(result, Conflict) for result in results)
    assert count(await store.log.read("run-1"), ENDINGS) == 1


async def test_a_run_whose_process_died_is_cancelled_without_a_worker(store: Store, clock: ManualClock) -> None:
    """Nobody is left to see the request: whoever cancels ends it; one whose owner lives is left to its owner."""
    async with running(store, build_agent(), clock=clock) as runtime:
        await store.leases.beat("owner-dead", ttl_s=10)
        await store.leases.beat("owner-alive", ttl_s=100)
        for number, owner in enumerate(("owner-dead", "owner-gone", "owner-alive", "")):
            await leave_behind(store, f"run-{number}", owner=owner)
        clock.advance(11)
        for number in range(4):
            await runtime.cancel(f"run-{number}")
        statuses = [one.status for one in await runtime.list_runs(order="oldest")]
    assert statuses == ["cancelled", "cancelled", "running", "running"]


async def test_who_stopped_a_run_is_in_its_log(store: Store, clock: ManualClock) -> None:
    """Also where the run is worked on by the very process that is asked to stop it."""
    agent = build_agent(After(60, "late"))
    async with running(store, agent, clock=clock) as runtime:
        handle = await runtime.submit("x", agent=agent)
        await reach(runtime, handle.id, "model.requested")
        await runtime.cancel(handle.id, reason="enough", by="ann")
        assert (await handle.wait()).status == "cancelled"
    (asked,) = [event for event in await store.log.read(handle.id) if isinstance(event, CancelRequested)]
    assert (asked.by, asked.reason, asked.key) == ("ann", "enough", "cancel")


# --- Handles.


async def test_a_late_cancel_of_a_followed_run_harms_nobody(store: Store, clock: ManualClock) -> None:
    """A handle's `cancel` comes when the run has ended elsewhere; the other runs of the process go on."""
    agent = build_agent(After(60, "late"), "ok")
    async with running(store, agent, clock=clock) as runtime, running(store, build_agent("ok"), clock=clock) as other:
        busy = await runtime.submit("x", agent=agent)
        await reach(runtime, busy.id, "model.requested")
        await queue(store, "run-1")
        handle = await runtime.attach("run-1")
        await other.cancel("run-1")
        handle.cancel("too late")
        await handle.wait()
        await asyncio.sleep(0.05)
        assert busy.task is not None
        assert not busy.task.done()


async def test_a_runtime_closes_under_two_who_follow_at_once(store: Store, clock: ManualClock) -> None:
    """Two attach at the same moment to a run that nobody ends: closing waits for neither."""
    gate = Gate(store.log, "read")

    async def slowly(n: int, work: Callable[[], Any]) -> Any:
        await asyncio.sleep(0)
        return await work()

    gate.act = slowly
    slow = structs.replace(store, log=cast("Log", gate))
    await queue(store, "run-1")
    async with asyncio.timeout(30):
        async with running(slow, build_agent(), clock=clock) as runtime:
            one, two = await asyncio.gather(runtime.attach("run-1"), runtime.attach("run-1"))
        for handle in (one, two):
            assert (await handle.wait()).run_id == "run-1"


async def test_a_follower_does_not_hide_who_works(store: Store, clock: ManualClock) -> None:
    """A run is taken by the process that follows it already, and back: closing stops all of them, and nothing stays."""
    agent = build_agent(After(60, "late"))
    async with asyncio.timeout(30), running(store, agent, clock=clock) as runtime:
        await queue(store, "run-1")
        follower = await runtime.attach("run-1")
        (found,) = await runtime.list_runs()
        driver = await runtime.take(found)
        assert driver is not None
        assert await runtime.attach("run-1") is driver
        await reach(runtime, "run-1", "model.requested")
        await runtime.cancel("run-1")
        assert (await driver.wait()).status == "cancelled"
        assert (await follower.wait()).status == "cancelled"


async def test_a_followed_run_that_failed_raises_what_it_failed_with(store: Store, clock: ManualClock) -> None:
    """Whoever follows is told as whoever works on it: by the same error."""
    agent = build_agent(UpstreamError("the provider is on fire"))
    async with running(store, agent, clock=clock) as runtime, running(store, agent, clock=clock) as other:
        handle = await runtime.submit("x", agent=agent)
        with pytest.raises(UpstreamError, match="on fire"):
            await handle.wait()
        with pytest.raises(UpstreamError, match="on fire") as failed:
            await (await other.attach(handle.id)).wait()
        assert failed.value.context["run"] == handle.id


async def test_following_ends_when_the_run_is_deleted(store: Store, clock: ManualClock) -> None:
    """What is gone brings no more events."""
    await queue(store, "run-1")
    async with running(store, build_agent(), clock=clock) as runtime:
        handle = await runtime.attach("run-1")
        async for _ in handle.events():
            await store.log.delete("run-1")
        with pytest.raises(NotFound):
            await handle.wait()


async def test_a_run_of_an_unknown_agent_can_be_followed(store: Store, clock: ManualClock) -> None:
    """Its events can be seen, it can be stopped, and its result is text: only the agent knows of another type."""
    await queue(store, "run-1", agent="somebody-else")
    async with running(store, clock=clock) as runtime:
        handle = await runtime.attach("run-1")
        handle.cancel("enough")
        kinds = [get_kind(event) async for event in handle.events()]
        assert kinds[-1] == "run.cancelled"
        assert (await handle.wait()).status == "cancelled"


async def test_a_released_follower_can_be_waited_for(store: Store, clock: ManualClock) -> None:
    """Released before it saw anything, it tells how the run stood."""
    await queue(store, "run-1")
    async with running(store, build_agent(), clock=clock) as runtime:
        handle = await runtime.attach("run-1")
        handle.release()
        assert (await handle.wait()).run_id == "run-1"


async def test_who_leaves_while_a_run_is_accepted_leaves_no_corpse(store: Store, clock: ManualClock) -> None:
    """A submission or a resumption is cancelled while it is recorded: what was recorded is worked on."""
    reached, go = asyncio.Event(), asyncio.Event()

    class Slow:
        def __getattr__(self, name: str) -> Any:
            return getattr(store.log, name)

        async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
            await store.log.append(run, events, expected=expected)
            if isinstance(events[-1], ATTEMPTS) and not go.is_set():
                reached.set()
                await go.wait()

    slow = structs.replace(store, log=cast("Log", Slow()))
    agent = build_agent("ok", "fine")
    async with running(slow, agent, clock=clock) as runtime:
        await queue(store, "run-1")
        for work in (runtime.submit("x", agent=agent), runtime.resume("run-1")):
            reached.clear()
            go.clear()
            task = asyncio.ensure_future(work)
            await reached.wait()
            task.cancel()
            await asyncio.wait((task,))
            assert task.cancelled()
            go.set()
        for summary in await runtime.list_runs():
            assert (await (await runtime.attach(summary.run)).wait()).status == "completed"


async def test_a_followed_run_gives_the_whole_conversation(store: Store, clock: ManualClock) -> None:
    """What whoever follows gets can be gone on from, as what whoever worked on it gets; instructions find their deps."""
    agent = build_agent("Hi, Ann.", "Bye, Ann.", instructions=lambda name: f"Greet {name.title()}.")
    async with running(store, agent, clock=clock) as runtime, running(store, agent, clock=clock) as other:
        for task in ("hello", "goodbye"):
            handle = await runtime.submit(task, agent=agent, session="talk-1", deps="ann")
            result = await handle.wait()
            seen = await (await other.attach(handle.id, agent=agent, deps="ann")).wait()
            assert [message.text for message in seen.messages] == [message.text for message in result.messages]
    assert len(seen.messages) == 4


# --- Workers.


async def test_an_agent_whose_code_breaks_ends_no_worker(store: Store, clock: ManualClock) -> None:
    """Its instructions are anybody's code: the run is left alone, and the others are worked on."""

    def broken(deps: object) -> str:
        raise AttributeError("no deps here")

    bad = build_agent(name="bad-clerk", instructions=broken)
    await queue(store, "run-1", agent="bad-clerk")
    await queue(store, "run-2")
    told: list[tuple[str, str]] = []

    def tell(what: str, run: Any, why: QuorateError | None) -> None:
        told.append((what, getattr(run, "id", None) or run.run))

    async with running(store, build_agent("ok"), bad, clock=clock) as runtime:
        await Worker(runtime, tell=tell, concurrency=1).run(until_idle=True)
        assert (await runtime.show("run-2")).status == "completed"
        assert (await runtime.show("run-1")).status == "queued"
    assert told.count(("foreign", "run-1")) == 1


async def test_a_run_that_cannot_be_opened_is_told_of_once(store: Store, clock: ManualClock) -> None:
    """What a conversation goes on from is gone: the run is not tried ten times a second, and starves no other."""
    for number in range(3):
        await queue(store, f"run-{number}", previous="run-gone")
    await queue(store, "run-9")
    told: list[str] = []
    async with running(store, build_agent("ok"), clock=clock) as runtime:
        worker = Worker(runtime, tell=lambda what, run, why: told.append(what), concurrency=1, poll_s=0.01)
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            await (await runtime.attach("run-9")).wait()
            await asyncio.sleep(0.05)
            worker.stop()
    assert told.count("foreign") == 3


async def test_a_worker_leaves_the_other_runs_of_its_process_alone(store: Store, clock: ManualClock) -> None:
    """It ends when it is idle; what the process does beside it goes on, under a lease that is kept."""
    enough = asyncio.Event()

    @tool(effect="idempotent")
    async def work() -> str:
        """Work until it is enough."""
        await enough.wait()
        return "worked"

    agent = build_agent(call("work"), "ok", "done", tools=[work])
    async with running(store, agent, clock=clock, lease_s=0.03) as runtime:
        handle = await runtime.submit("x", agent=agent)
        await reach(runtime, handle.id, "tool.started")
        await queue(store, "run-1")
        await Worker(runtime).run(until_idle=True)
        assert (await runtime.show("run-1")).status == "completed"
        (before,) = await store.leases.list_leases()
        clock.advance(0.02)
        while (await store.leases.list_leases())[0].expires <= before.expires:
            await asyncio.sleep(0.01)
        enough.set()
        assert (await handle.wait()).text == "done"


async def test_a_worker_is_not_idle_while_the_store_is_away(store: Store, clock: ManualClock) -> None:
    """Not to be able to ask is not to have nothing to do."""
    gate = Gate(store.leases, "find_work")

    async def fail_twice(n: int, work: Callable[[], Any]) -> Any:
        if n <= 2:
            raise Unavailable("away")
        return await work()

    gate.act = fail_twice
    await queue(store, "run-1")
    flaky = structs.replace(store, leases=cast("Leases", gate))
    async with running(flaky, build_agent("ok"), clock=clock) as runtime:
        await Worker(runtime, poll_s=0.01).run(until_idle=True)
        assert (await runtime.show("run-1")).status == "completed"


async def test_runs_that_broke_off_do_not_break_the_bound(store: Store, clock: ManualClock) -> None:
    """After an outage a worker takes back as many as it may do at once, and goes on with the rest later."""
    gate = Gate(store.log, "append")
    flaky = structs.replace(store, log=cast("Log", gate))
    agent = build_agent(*[After(0.02, "ok")] * 60)
    broken: set[str] = set()

    async def break_each_once(n: int, work: Callable[[], Any]) -> Any:
        if 4 < n <= 12:
            raise Unavailable("away")
        return await work()

    gate.act = break_each_once
    most = 0
    async with running(flaky, agent, clock=clock, patience_s=0) as runtime:
        for number in range(8):
            await queue(store, f"run-{number}")

        def tell(what: str, run: Any, why: QuorateError | None) -> None:
            nonlocal most
            most = max(most, len(worker._active))
            if what == "blocked":
                broken.add(getattr(run, "id", None) or run.run)
                clock.advance(1)

        worker = Worker(runtime, tell=tell, concurrency=2, poll_s=0.01)
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            while any(one.status != "completed" for one in await runtime.list_runs()):
                clock.advance(1)
                await asyncio.sleep(0.01)
            worker.stop()
    assert broken
    assert most <= 2


async def test_a_worker_that_breaks_hands_its_runs_over(store: Store, clock: ManualClock) -> None:
    """However a worker ends short of being killed: what it took is anybody's at once, also when no one stopped it."""
    await queue(store, "run-1")
    await queue(store, "run-2", agent="bad-clerk")

    def tell(what: str, run: Any, why: QuorateError | None) -> None:
        if what == "foreign":
            raise BrokenPipeError("nobody reads what is told")

    with pytest.raises(BaseException) as broke:
        async with running(store, build_agent(After(60, "late")), clock=clock) as runtime:
            await Worker(runtime, tell=tell).run()
    assert "BrokenPipeError" in repr(broke.value)
    (summary, _) = await store.log.list_runs(order="oldest")
    assert (summary.status, summary.wakes) == ("waiting", clock.now())


async def test_a_worker_stops_at_once_while_the_store_hangs(store: Store, clock: ManualClock) -> None:
    """It is told to stop while it takes a run from a store that does not answer."""
    gate, reached = Gate(store.log, "read"), asyncio.Event()

    async def hang(n: int, work: Callable[[], Any]) -> Any:
        reached.set()
        await asyncio.Event().wait()

    gate.act = hang
    await queue(store, "run-1")
    async with running(structs.replace(store, log=cast("Log", gate)), build_agent("ok"), clock=clock) as runtime:
        worker = Worker(runtime)
        async with asyncio.TaskGroup() as group, asyncio.timeout(30):
            task = group.create_task(worker.run())
            await reached.wait()
            worker.stop()
            await task


# --- Owners.


async def test_giving_a_lease_up_ends_when_the_store_hangs() -> None:
    """A store that does not answer keeps no process from leaving."""

    class Hanging:
        async def beat(self, owner: str, *, ttl_s: float, epoch: int = 0) -> Lease:
            return Lease(owner=owner, epoch=1, since=0.0, expires=ttl_s)

        async def drop(self, owner: str) -> None:
            await asyncio.Event().wait()

    owner = Owner(cast("Leases", Hanging()), ttl_s=0.05)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        await owner.begin(group)
        owner.rest()
    with pytest.raises(Unavailable):
        async with asyncio.timeout(30):
            await owner.end()


# --- One key, one run.


async def test_a_request_that_is_refused_uses_up_no_key(store: Store, clock: ManualClock) -> None:
    """Whoever mends a request that was refused may send it under the same key."""
    agent = build_agent("ok")
    mine = build_agent("ok", name="mine-alone")
    async with running(store, agent, clock=clock) as runtime:
        with pytest.raises(InvalidInput, match="fork the session"):
            await runtime.submit(
                "x", agent=agent, session="talk-1", history=[build_user_message("before")], idempotency_key="k"
            )
        with pytest.raises(InvalidInput, match="`deps` live in this process"):
            await runtime.submit("x", agent=agent, deps=1, start=False, idempotency_key="k")
        with pytest.raises(InvalidInput, match="finds agents by name"):
            await runtime.submit("x", agent=mine, start=False, idempotency_key="k")
        handle = await runtime.submit("x", agent=agent, idempotency_key="k")
        assert (await handle.wait()).text == "ok"


async def test_one_key_twice_in_a_session_with_room_for_one(store: Store, clock: ManualClock) -> None:
    """The second of two who submit the same at once finds the first one's run, not a session that is full."""
    agent = build_agent("ok", "ok")
    gate = Gate(store.log, "last")

    async def late(n: int, work: Callable[[], Any]) -> Any:
        known = await work()
        await asyncio.sleep(0.01 * n)  # whoever looked first begins first, the others find that out later
        return known

    gate.act = late
    slow = structs.replace(store, log=cast("Log", gate))
    async with running(slow, agent, clock=clock) as one, running(slow, agent, clock=clock) as two:
        await one.sessions.create(
            "talk-1", tenant="default", principal="local", limits=SessionLimits(max_runs=1, max_concurrent_runs=1)
        )

        async def submit(runtime: Runtime) -> str:
            return (await runtime.submit("x", agent=agent, session="talk-1", idempotency_key="k")).id

        both = [(one, two)[n % 2] for n in range(10)]
        assert len(set(await asyncio.gather(*map(submit, both)))) == 1
        assert len(await one.list_runs()) == 1
        assert await submit(two) == (await one.list_runs())[0].run


async def test_a_key_that_was_queued_can_be_begun(store: Store, clock: ManualClock) -> None:
    """What was left to workers is begun by whoever submits it again to work on it, once."""
    agent = build_agent("ok", "ok")
    async with running(store, agent, clock=clock) as runtime:
        queued = await runtime.submit("x", agent=agent, idempotency_key="k", start=False)
        handles = await asyncio.gather(*(runtime.submit("x", agent=agent, idempotency_key="k") for _ in range(5)))
        for handle in (queued, *handles):
            assert (handle.id, (await handle.wait()).text) == (queued.id, "ok")
    assert count(await store.log.read(queued.id), ATTEMPTS) == 1


async def test_keys_of_tenants_are_their_own(store: Store, clock: ManualClock) -> None:
    """The same key and request of two tenants are two runs."""
    agent = build_agent("ok", "ok")
    async with running(store, agent, clock=clock) as runtime:
        mine = await runtime.submit("x", agent=agent, idempotency_key="k")
        theirs = await runtime.for_tenant("acme").submit("x", agent=agent, idempotency_key="k")
        await mine.wait()
        await theirs.wait()
        assert mine.id != theirs.id
        with pytest.raises(NotFound):
            await runtime.attach(theirs.id)


async def test_keys_of_principals_are_their_own(store: Store, clock: ManualClock) -> None:
    """Whoever sends what somebody else sent under the same key has a run of their own, and is not in the way."""
    agent = build_agent("ok", "ok", "ok")
    async with running(store, agent, clock=clock) as runtime:
        asked = [("x", "ann"), ("x", "bob"), ("y", "eve"), ("x", "ann")]
        handles = [await runtime.submit(t, agent=agent, idempotency_key="k", principal=p) for t, p in asked]
        for handle in handles:
            await handle.wait()
        assert len({handle.id for handle in handles}) == 3
        assert handles[0].id == handles[3].id


async def test_a_tenant_is_an_identifier(store: Store, clock: ManualClock) -> None:
    """What could stand for another tenant's part of the store is refused where it enters."""
    async with running(store, clock=clock) as runtime:
        for tenant in ("", "a/b", "Acme", "../x"):
            with pytest.raises(InvalidInput):
                runtime.for_tenant(tenant)


# --- What is noted.


async def test_an_act_that_was_done_is_noted_after_an_outage(store: Store, clock: ManualClock) -> None:
    """The store is away between an act and its row: whoever acted is not told that it failed."""
    gate = Gate(store.values, "put")

    async def fail_twice(n: int, work: Callable[[], Any]) -> Any:
        if n <= 2:
            raise Unavailable("away")
        return await work()

    gate.act = fail_twice
    agent = build_agent("ok")
    async with running(structs.replace(store, values=cast("Any", gate)), agent, clock=clock) as runtime:
        handle = await runtime.submit("x", agent=agent)
        assert (await handle.wait()).text == "ok"
        (row,) = await runtime.audit.read()
        assert (row.action, row.facts["run"]) == ("run.submit", handle.id)


async def test_tenants_do_not_share_what_was_opened(store: Store, clock: ManualClock) -> None:
    """A copy for another tenant has its own trail, and two copies at once write one chain."""
    async with running(store, build_agent(), clock=clock) as runtime:
        await queue(store, "run-1")
        assert runtime.audit.tenant == "default"
        copies = [runtime.for_tenant("acme") for _ in range(8)]
        for copy in copies:
            assert copy.audit.tenant == "acme"
        refused = await asyncio.gather(*(copy.cancel("run-1") for copy in copies), return_exceptions=True)
        assert all(isinstance(one, NotFound) for one in refused)
        assert len(await copies[0].audit.read()) == 8
        assert await runtime.audit.read() == []


# --- On every store.


BACKENDS = ["memory", "sqlite", *([] if "WITHOUT_EXTRAS" in os.environ else ["postgres"])]


@pytest.fixture(params=BACKENDS)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store is: in memory when empty, in a file, or on a server."""
    places = {"memory": lambda: "", "sqlite": lambda: str(tmp_path / "quorate.db")}
    return places.get(request.param, lambda: request.getfixturevalue("postgres_dsn"))()


@pytest.fixture
async def any_store(address: str) -> AsyncIterator[Store]:
    settings = Settings(database=address)
    async with open_store(settings) if address else open_memory_store() as opened:
        yield opened


def build_random(random: Random, run: str, seq: int, before: Sequence[AnyEvent]) -> AnyEvent:
    facts: dict[str, Any] = {"run": run, "seq": seq, "time": float(random.randrange(1000))}
    if seq == 1:
        task = build_user_message(random.choice(["why?", "\U0001f4e6" * 150 + "ü" * 200, ""]))
        return RunCreated(
            **facts, agent=random.choice(["a", "b"]), messages=(task,), session=random.choice([None, "s"])
        )
    usage = Usage(input_tokens=random.randrange(9), output_tokens=random.randrange(9))
    spent = {"usage": usage, "cost_usd": random.choice([None, 0.0, 0.25])}
    return random.choice(
        [
            lambda: RunStarted(**facts, attempt="t", owner=random.choice(["", "o1", "o2"])),
            lambda: RunResumed(**facts, attempt="t", number=seq, owner=random.choice(["", "o1", "o2"])),
            lambda: RunWaiting(**facts, reason="timer", wakes=random.choice([None, 5.0, 7.5]), **spent),
            lambda: CancelRequested(**facts, reason="x", by="me"),
            lambda: InputGiven(**facts, text="x", by="me"),
            lambda: TimerSet(**facts, due=3.0),
            lambda: RunCompleted(**facts, output="ok", **spent),
            lambda: RunFailed(**facts, code="error", message="no", **spent),
        ]
    )()


@pytest.mark.parametrize("seed", range(3))
async def test_the_line_about_a_run_is_the_fold_of_its_log(any_store: Store, seed: int) -> None:
    """Whatever is recorded in whatever order and pieces, alone or together, a list says what the logs say."""
    random, logs = Random(seed), dict[str, list[AnyEvent]]()
    for _ in range(40):
        appends = []
        for run in {f"run-{random.randrange(12):02}" for _ in range(random.randrange(1, 5))}:
            log = logs.setdefault(run, [])
            batch: list[AnyEvent] = []
            for _ in range(random.randrange(1, 5)):
                batch.append(build_random(random, run, len(log) + len(batch) + 1, log))
            appends.append(any_store.log.append(run, batch, expected=len(log)))
            log += batch
        await asyncio.gather(*appends)
        listed = await any_store.log.list_runs(order="oldest", limit=100)
        assert listed == [summarize(None, logs[run]) for run in sorted(logs)]
    assert await any_store.log.read_many(sorted(logs)) == logs


async def test_workers_of_every_store_begin_each_run_once(any_store: Store) -> None:
    """Three workers that look all the time, fifty runs: each has one attempt, and one end."""
    agent = build_agent(*["ok"] * 200)
    clock = cast("ManualClock", SYSTEM_CLOCK)
    async with AsyncExitStack() as stack:
        runtimes = [await stack.enter_async_context(running(any_store, agent, clock=clock)) for _ in range(3)]
        names = [f"run-{number:02}" for number in range(50)]
        await asyncio.gather(*(queue(any_store, name) for name in names))
        async with asyncio.TaskGroup() as group:
            for runtime in runtimes:
                group.create_task(Worker(runtime, concurrency=7, poll_s=0.001).run(until_idle=True))
    logs = await any_store.log.read_many(names)
    assert [count(log, ATTEMPTS) for log in logs.values()] == [1] * 50
    assert all(isinstance(log[-1], ENDINGS) for log in logs.values())


async def test_cancels_and_workers_leave_one_end_each_on_every_store(any_store: Store) -> None:
    """Runs are cancelled, twice, while workers take them: every run has exactly one end, and nothing behind it."""
    agent = build_agent(*[After(0.005, "ok")] * 200)
    clock = cast("ManualClock", SYSTEM_CLOCK)
    async with running(any_store, agent, clock=clock) as one, running(any_store, agent, clock=clock) as two:
        names = [f"run-{number:02}" for number in range(40)]
        await asyncio.gather(*(queue(any_store, name) for name in names))
        workers = [Worker(runtime, concurrency=7, poll_s=0.001).run(until_idle=True) for runtime in (one, two)]
        cancels = [(one, two)[n % 2].cancel(name) for n, name in enumerate([*names, *names])]
        results = await asyncio.gather(*workers, *cancels, return_exceptions=True)
        assert all(result is None or isinstance(result, Conflict) for result in results), results
    logs = await any_store.log.read_many(names)
    assert [count(log, ENDINGS) for log in logs.values()] == [1] * 40
    assert all(isinstance(log[-1], ENDINGS) for log in logs.values())
