"""Is it known which workers are there, what they offer and what each of them does, with nothing but the database?"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec
import pytest
from msgspec import structs

from quorate import Agent, Runtime, ScriptedModel, Settings, tool
from quorate.assembly import open_runtime
from quorate.errors import Conflict, NotFound, Unavailable, UnknownName
from quorate.events import RunWaiting
from quorate.models.scripted import call
from quorate.ports import Entry, KeyValue, Store
from quorate.runtime.memory import RELENT_S, MemoryGate
from quorate.runtime.placement import build_placement
from quorate.runtime.registry import WorkerRecord, build_key, get_worker, list_workers
from quorate.runtime.worker import Worker
from quorate.settings.values import WorkerSettings
from quorate.specs import Limits, Request
from quorate.testing import ManualClock
from quorate.testing.contracts.building import build_opening

BEAT_S = 0.05


class Gate:
    """An agent whose only step waits until it may go on."""

    def __init__(self, name: str = "steps") -> None:
        self.may_go = asyncio.Event()

        @tool(effect="idempotent")
        async def step() -> str:
            """Do a step."""
            await self.may_go.wait()
            return "done"

        def answer(request: Request) -> object:
            return "done" if any(message.role == "assistant" for message in request.messages) else call("step")

        self.agent = Agent(name, model=ScriptedModel(answer), tools=[step], limits=Limits(steps=7))  # pyright: ignore[reportArgumentType]


def build_settings(**chosen: object) -> Settings:
    return Settings(worker=WorkerSettings(**{"beat_s": BEAT_S, **chosen}))  # type: ignore[arg-type]


@asynccontextmanager
async def working(runtime: Runtime, **how: object) -> AsyncGenerator[Worker]:
    """A worker, for a block."""
    worker = Worker(runtime, poll_s=0.01, **how)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        try:
            yield worker
        finally:
            worker.stop()


async def wait_for(store: Store, **facts: object) -> WorkerRecord:
    """Wait until the only worker is as it is to be."""
    async with asyncio.timeout(30):
        while True:
            there = await list_workers(store)
            if len(there) == 1 and all(getattr(there[0], name) == fact for name, fact in facts.items()):
                return there[0]
            await asyncio.sleep(0.005)


async def test_a_worker_shows_itself_with_what_it_does(store: Store) -> None:
    """Where it is, what it takes, and its runs by their logs; once it has left, it is not there any more."""
    gate = Gate()
    async with open_runtime(build_settings(), store=store, agents=[gate.agent]) as runtime:
        assert await list_workers(store) == []
        run = await runtime.submit("x", agent="steps", start=False)
        async with working(
            runtime,
            concurrency=3,
            placement=build_placement(runtime, agents=["step?", "system-*"], capabilities=["gpu"]),
        ) as worker:
            found = await wait_for(store, runs=(run.id,))
            assert (found.id, found.owner, found.state) == (worker.id, runtime.owner.id, "working")
            assert (found.concurrency, found.has_bus, found.has_room) == (3, False, True)
            assert (found.patterns, found.capabilities) == (("step?", "system-*"), ("gpu",))
            assert set(found.agents) == {"steps", "system-monitoring"}
            assert found.agents["steps"] == Limits(steps=7)
            assert found.memory_mb > 5
            assert (await get_worker(store, worker.id[-8:])).id == (await get_worker(store, worker.id)).id == worker.id
            gate.may_go.set()
            await wait_for(store, runs=())
        assert await list_workers(store) == []
        with pytest.raises(NotFound, match="There is no worker 'worker-x': list them with `quorate workers list`"):
            await get_worker(store, "worker-x")


async def test_one_that_died_is_gone_by_itself(store: Store) -> None:
    """Its row is not written any more, and runs out by the store's clock; nobody has to take it away."""
    async with open_runtime(build_settings(), store=store) as runtime:
        for name, ttl_s in (("worker-dead", 0.2), ("worker-alive", 600)):
            row = structs.replace(Worker(runtime).describe(), id=name)
            await store.values.put(build_key(name), _encode(row), ttl_s=ttl_s)
        assert (await wait_for(store)).id == "worker-alive"


async def test_one_whose_runs_others_took_over_is_lost(store: Store) -> None:
    """Its row is still there, and says so."""
    async with open_runtime(build_settings(), store=store) as runtime:
        row = structs.replace(Worker(runtime).describe(), id="worker-dead", owner="owner-dead")
        await store.values.put(build_key("worker-dead"), _encode(row), ttl_s=60)
        await store.leases.beat("owner-dead", ttl_s=60)
        assert (await wait_for(store)).state == "working"
        with pytest.raises(Conflict):
            await store.leases.beat("owner-dead", ttl_s=60, epoch=7)
        await _declare_dead(store, "owner-dead")
        found = await wait_for(store, state="lost")
        assert (found.why, found.has_room) == ("others declared it dead", False)


def _encode(row: WorkerRecord) -> bytes:
    return msgspec.json.encode(row)


async def _declare_dead(store: Store, owner: str) -> None:
    """As happens to whoever does not beat: by one that is alive for a whole lease."""
    opening = build_opening("run-left")
    started = structs.replace(opening[1], owner=owner)
    await store.log.append("run-left", [opening[0], started], expected=0)
    await store.leases.beat(owner, ttl_s=0.01, epoch=1)
    judge = await store.leases.beat("owner-judge", ttl_s=0.5)
    async with asyncio.timeout(30):
        while not await store.leases.find_work(judge, ttl_s=0.5):
            await asyncio.sleep(0.01)
            judge = await store.leases.beat("owner-judge", ttl_s=0.5, epoch=judge.epoch)


async def test_rows_that_cannot_be_read_hide_nobody(store: Store) -> None:
    """Somebody else's, broken, or a newer version's."""
    await store.values.put(build_key("a"), b"\xff\x00")
    await store.values.put(build_key("b"), b'{"id": 7}')
    async with open_runtime(build_settings(), store=store) as runtime:
        newer = _encode(structs.replace(Worker(runtime).describe(), id="worker-newer"))[:-1] + b',"mood":"good"}'
        await store.values.put(build_key("worker-newer"), newer)
        assert [record.id for record in await list_workers(store)] == ["worker-newer"]


class Away:
    """Values of which workers' rows cannot be written while they are away."""

    def __init__(self, inner: KeyValue) -> None:
        self.inner = inner
        self.is_away = True
        self.tries = 0

    async def put(self, key: str, value: bytes, *, if_revision: int | None = None, ttl_s: float | None = None) -> Entry:
        if self.is_away and key.startswith("worker/"):
            self.tries += 1
            raise Unavailable("The database is away.")
        return await self.inner.put(key, value, if_revision=if_revision, ttl_s=ttl_s)

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)


async def test_a_registry_that_is_away_harms_no_run(store: Store) -> None:
    """The worker works, tries again in its beats, and is there again once that goes."""
    away = Away(store.values)
    clerk = Agent("clerk", model=ScriptedModel(lambda request: "done"))
    around = structs.replace(store, values=away)
    async with open_runtime(build_settings(), store=around, agents=[clerk]) as runtime, working(runtime):
        run = await runtime.submit("x", agent="clerk", start=False)
        async with asyncio.timeout(30):
            assert (await run.wait()).text == "done"
            while away.tries < 3:
                await asyncio.sleep(0.005)
        away.is_away = False
        await wait_for(store, state="working")


async def test_one_that_is_told_to_stop_drains(store: Store) -> None:
    """It takes no more, says so, and lets what it has end by itself for as long as there is grace."""
    gate = Gate()
    async with open_runtime(build_settings(), store=store, agents=[gate.agent]) as runtime:
        async with working(runtime, grace_s=60) as worker:
            run = await runtime.submit("x", agent="steps", start=False)
            await wait_for(store, runs=(run.id,))
            worker.stop()
            await wait_for(store, state="draining", runs=(run.id,))
            late = await runtime.submit("y", agent="steps", start=False)
            gate.may_go.set()
        assert (await run.wait()).status == "completed"
        assert (await runtime.show(late.id)).status == "queued"


async def test_grace_has_an_end(store: Store) -> None:
    """What has not ended by then is handed over: the next worker goes on with it."""
    gate = Gate()
    async with (
        open_runtime(build_settings(grace_s=0.05), store=store, agents=[gate.agent]) as first,
        open_runtime(build_settings(), store=store, agents=[gate.agent]) as second,
    ):
        async with working(first):
            run = await second.submit("x", agent="steps", start=False)
            await wait_for(store, runs=(run.id,))
        assert await list_workers(store) == []
        rest = (await store.log.read(run.id))[-1]
        assert isinstance(rest, RunWaiting)
        assert (rest.reason, rest.wakes is not None) == ("interrupted", True)
        gate.may_go.set()
        async with working(second), asyncio.timeout(30):
            assert (await run.wait()).status == "completed"


async def test_too_much_memory_holds_new_runs_back(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Said once, in the log and in the registry; what is under way goes on, and well below the limit it takes again."""
    used = [50.0]
    gate = Gate()
    async with (
        open_runtime(build_settings(), store=store, agents=[gate.agent]) as runtime,
        working(runtime, memory=MemoryGate(100, read=lambda: used[0])),
    ):
        first = await runtime.submit("x", agent="steps", start=False)
        await wait_for(store, runs=(first.id,))
        used[0] = 120.0
        full = await wait_for(store, state="full", memory_mb=120.0)
        assert full.why == "120 MB of memory, and 100 MB are the limit"
        second = await runtime.submit("y", agent="steps", start=False)
        used[0] = 95.0
        await wait_for(store, state="full", memory_mb=95.0)
        assert (await runtime.show(second.id)).status == "queued"
        used[0] = 80.0
        await wait_for(store, state="working", runs=(first.id, second.id))
        gate.may_go.set()
        await wait_for(store, runs=())
    said = [record.getMessage() for record in caplog.records if record.name == "quorate.worker"]
    assert said == [
        "No more runs are taken for now: this process has 120 MB of memory, and 100 MB are the limit.",
        "There is memory again (80 MB of memory, and 100 MB are the limit): runs are taken.",
    ]


async def test_a_limit_that_is_never_kept_stops_not_everything(store: Store) -> None:
    """A worker that has nothing to do and stays above it takes one run after a while: nobody has to come."""
    clock, gate = ManualClock(), Gate()
    async with (
        open_runtime(build_settings(), store=store, agents=[gate.agent], clock=clock) as runtime,
        working(runtime, memory=MemoryGate(100, read=lambda: 120.0)),
    ):
        runs = [await runtime.submit("x", agent="steps", start=False) for _ in range(2)]
        await wait_for(store, state="full", runs=())
        clock.advance(RELENT_S + 1)
        found = await wait_for(store, runs=(runs[0].id,))
        assert found.state == "full"
        gate.may_go.set()


async def test_a_run_for_an_agent_that_only_a_worker_knows(store: Store) -> None:
    """A process that cannot open it queues it by its name, with that agent's limits, and reads its answer as text."""
    clerk = Agent("clerk", model=ScriptedModel(lambda request: "on shelf 3"), limits=Limits(steps=4, seconds=50))
    async with (
        open_runtime(build_settings(), store=store) as script,
        open_runtime(build_settings(), store=store, agents=[clerk]) as other,
    ):
        with pytest.raises(
            UnknownName, match=r"There is no agent 'clerk'.*No worker knows it, either: `quorate workers"
        ):
            await script.submit("where?", agent="clerk", start=False)
        async with working(other):
            await wait_for(store)
            with pytest.raises(UnknownName, match=r"There is no agent 'clark'. Did you mean `clerk`\?"):
                await script.submit("where?", agent="clark", start=False)
            with pytest.raises(UnknownName, match="There is no agent 'clerk'"):
                await script.submit("where?", agent="clerk")
            run = await script.submit("where?", agent="clerk", start=False, idempotency_key="k")
            again = await script.submit("where?", agent="clerk", start=False, idempotency_key="k")
            async with asyncio.timeout(30):
                result = await run.wait()
                assert (await (await script.attach(run.id)).wait()).text == "on shelf 3"
    assert (result.text, result.value, again.id) == ("on shelf 3", "on shelf 3", run.id)
    created = (await store.log.read(run.id))[0]
    assert (created.agent, created.limits) == ("clerk", Limits(steps=4, seconds=50))  # type: ignore[union-attr]
