"""Does a worker keep to its bounds, and is nothing left behind, when others open runs in the same process?"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec import structs

from quorate import Agent, Runtime, ScriptedModel, Settings, tool
from quorate.agent.errand import build_task_rules, build_task_subject, write_task
from quorate.assembly import open_runtime
from quorate.bus.backends.local import open_local_bus
from quorate.codec.schemas.agents import AgentTask
from quorate.events import ATTEMPTS, AnyEvent, RunCreated, RunStarted, RunWaiting
from quorate.messages import build_user_message
from quorate.models.scripted import call
from quorate.ports import Entry, KeyValue, Log, Store
from quorate.runtime.serving import LeftRuns, serve_agents
from quorate.runtime.worker import Worker
from quorate.settings.values import WorkerSettings
from quorate.specs import Limits, Request
from quorate.state.around import LogAround
from quorate.state.backends.memory import open_memory_store
from quorate.testing.clock import ManualClock

AGENT = "steps"
LEASE_S = 10.0


class Held:
    """An agent whose only step waits until it may go on."""

    def __init__(self) -> None:
        self.reached = asyncio.Semaphore(0)
        self.may_go = asyncio.Event()
        self.was_stopped = asyncio.Event()

        @tool(effect="idempotent")
        async def step() -> str:
            """Do a step."""
            self.reached.release()
            try:
                await self.may_go.wait()
            except asyncio.CancelledError:
                self.was_stopped.set()
                raise
            return "done"

        def answer(request: Request) -> object:
            return "done" if any(m.role == "assistant" for m in request.messages) else call("step")

        self.agent: Any = Agent(AGENT, model=ScriptedModel(answer), tools=[step])  # pyright: ignore[reportArgumentType]


class SlowLog(LogAround):
    """A log that answers only after a while that an attempt was recorded."""

    def __init__(self, inner: Log) -> None:
        super().__init__(inner)
        self.reached = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
        await self.inner.append(run, events, expected=expected)
        if isinstance(events[-1], ATTEMPTS):
            self.reached.set()
            await self.may_answer.wait()


class BrokenValues:
    """Values of which workers' rows cannot be written, for a reason that nobody thought of."""

    def __init__(self, inner: KeyValue) -> None:
        self.inner = inner
        self.tries = 0

    async def put(self, key: str, value: bytes, *, if_revision: int | None = None, ttl_s: float | None = None) -> Entry:
        if key.startswith("worker/"):
            self.tries += 1
            raise RuntimeError("a driver's own fault")
        return await self.inner.put(key, value, if_revision=if_revision, ttl_s=ttl_s)

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def store(clock: ManualClock) -> AsyncIterator[Store]:
    async with open_memory_store(clock=clock) as opened:
        yield opened


@asynccontextmanager
async def running(store: Store, clock: ManualClock, *agents: Any, **worker: Any) -> AsyncGenerator[Runtime]:
    chosen = Settings(database=":memory:", worker=WorkerSettings(lease_s=LEASE_S, **worker))
    async with asyncio.timeout(60), open_runtime(chosen, agents=agents, store=store, clock=clock) as runtime:
        yield runtime


@asynccontextmanager
async def working(runtime: Runtime, **how: Any) -> AsyncGenerator[Worker]:
    """A worker, for a block."""
    worker = Worker(runtime, poll_s=0.005, **how)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        try:
            yield worker
        finally:
            worker.stop()


def build_task() -> bytes:
    task = AgentTask(id="task-1", message=build_user_message("x"), agent=AGENT, limits=Limits(), deadline=None)
    return write_task(task, tenant="default", time=0.0, watch=False)


async def wait_until_room(worker: Worker, has_room: bool) -> None:
    """Wait until a worker has, or has not, room for what others open."""
    while True:
        with worker.reserve() as found:
            if found == has_room:
                return
        await asyncio.sleep(0.005)


async def test_who_waits_for_a_queued_run_does_not_hide_who_works(store: Store, clock: ManualClock) -> None:
    """A run that this process queued, took and follows is stopped in the middle of a step, not after it."""
    held = Held()
    async with running(store, clock, held.agent) as runtime, working(runtime), asyncio.TaskGroup() as group:
        queued = await runtime.submit("x", agent=AGENT, start=False)
        await held.reached.acquire()
        ended = group.create_task(queued.wait())
        await asyncio.sleep(0)
        await runtime.cancel(queued.id)
        assert (await ended).status == "cancelled"
        await held.was_stopped.wait()
    assert sum(isinstance(event, ATTEMPTS) for event in await store.log.read(queued.id)) == 1


async def test_what_is_being_taken_has_its_room(store: Store, clock: ManualClock) -> None:
    """A worker for one run at once is recording its attempt: nobody else gets room beside that."""
    held, slow = Held(), SlowLog(store.log)
    async with (
        running(structs.replace(store, log=slow), clock, held.agent) as runtime,
        working(runtime, concurrency=1) as worker,
    ):
        await wait_until_room(worker, True)
        await runtime.submit("x", agent=AGENT, start=False)
        await slow.reached.wait()
        with worker.reserve() as has_room:
            assert not has_room
        slow.may_answer.set()
        await held.reached.acquire()
        held.may_go.set()
        await wait_until_room(worker, True)


async def test_who_comes_over_a_bus_waits_for_a_run_on_its_last_chance(store: Store, clock: ManualClock) -> None:
    """It is to be done alone: what others open beside it would put it off for ever, and with it all that is queued."""
    held = Held()
    created = RunCreated(run="run-0", seq=1, time=0.0, agent=AGENT, messages=(build_user_message("why?"),))
    started = RunStarted(run="run-0", seq=2, time=0.0, attempt="try-1", owner="owner-dead")
    async with running(store, clock, held.agent, max_crashes=2) as runtime, working(runtime) as worker:
        await wait_until_room(worker, True)
        with worker.reserve() as has_room:
            assert has_room
            handle = await runtime.submit("x", agent=AGENT)
            worker.adopt(handle, runtime.tenant)
        await held.reached.acquire()
        await store.log.append("run-0", (created, started), expected=0)
        for seconds in (LEASE_S - 1, 2):
            clock.advance(seconds)
            await runtime.owner.beat()
        await wait_until_room(worker, False)
        held.may_go.set()
        await handle.wait()
        await held.reached.acquire()
        await (await runtime.attach("run-0")).wait()
        await wait_until_room(worker, True)


async def test_a_registry_that_breaks_stops_no_work(
    store: Store, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is wrong with it, runs are done, and it is tried again in beats; it is said once."""
    held, broken = Held(), BrokenValues(store.values)
    held.may_go.set()
    async with (
        running(structs.replace(store, values=broken), clock, held.agent, beat_s=0.01) as runtime,
        working(runtime) as worker,
    ):
        run = await runtime.submit("x", agent=AGENT, start=False)
        assert (await run.wait()).text == "done"
        while broken.tries < 3:
            await asyncio.sleep(0.005)
        assert not worker.is_stopping
    said = [record.getMessage() for record in caplog.records if record.name == "quorate.worker"]
    assert said == ["This worker cannot be listed for now, and works all the same: RuntimeError: a driver's own fault"]


async def test_a_run_that_cannot_be_opened_leaves_no_other_one_lying(store: Store, clock: ManualClock) -> None:
    """Of two runs that are waited for and that nobody works on, the older one's agent is broken."""
    held = Held()
    held.may_go.set()

    def explain(deps: object) -> str:
        raise RuntimeError("an agent's own fault")

    broken: Any = Agent("broken", model=ScriptedModel(["never"]), instructions=explain)
    async with running(store, clock, held.agent, broken) as runtime, asyncio.TaskGroup() as group:
        left = LeftRuns(runtime, ["broken", AGENT])
        for run, agent in (("run-1", "broken"), ("run-2", AGENT)):
            created = RunCreated(run=run, seq=1, time=0.0, agent=agent, messages=(build_user_message("why?"),))
            await store.log.append(run, (created,), expected=0)
        first, second = await runtime.attach("run-1"), await runtime.attach("run-2")
        with left.waiting(first), left.waiting(second):
            minding = group.create_task(left.mind())
            assert (await second.wait()).text == "done"
            assert not minding.done()
            minding.cancel()


async def test_a_worker_that_stops_waits_for_nobody_elses_run(store: Store, clock: ManualClock) -> None:
    """A task for which it had no room waits for any worker: it is given back at once, and its run stays queued."""
    held = Held()
    async with (
        running(store, clock, held.agent) as runtime,
        open_local_bus(streams=build_task_rules([AGENT])) as bus,
        asyncio.TaskGroup() as group,
    ):
        async with working(runtime, concurrency=1) as worker:
            run = await runtime.submit("x", agent=AGENT, start=False)
            await held.reached.acquire()
            serving = group.create_task(
                serve_agents(runtime, bus, agents=[AGENT], stopping=worker.stopping, worker=worker)
            )
            await bus.enqueue(build_task_subject(AGENT, "default"), build_task(), id="task-1")
            while not await runtime.list_runs(status="queued"):
                await asyncio.sleep(0.005)
        await serving
        assert (await runtime.show(run.id)).status == "waiting"
    assert sorted(summary.status for summary in await store.log.list_runs()) == ["queued", "waiting"]


async def test_a_task_that_is_dropped_while_it_is_recorded_is_handed_over(store: Store, clock: ManualClock) -> None:
    """The bus is lost in the middle: its run goes on here, and when this process leaves, anybody goes on with it."""
    held, slow = Held(), SlowLog(store.log)
    async with (
        running(structs.replace(store, log=slow), clock, held.agent) as runtime,
        open_local_bus(streams=build_task_rules([AGENT])) as bus,
        working(runtime) as worker,
        asyncio.TaskGroup() as group,
    ):
        await wait_until_room(worker, True)
        serving = group.create_task(serve_agents(runtime, bus, agents=[AGENT], worker=worker))
        await bus.enqueue(build_task_subject(AGENT, "default"), build_task(), id="task-1")
        await slow.reached.wait()
        serving.cancel()
        await asyncio.wait({serving})
        slow.may_answer.set()
        await held.reached.acquire()
    (summary,) = await store.log.list_runs()
    rest = (await store.log.read(summary.run))[-1]
    assert isinstance(rest, RunWaiting)
    assert (rest.reason, rest.wakes is not None) == ("interrupted", True)
