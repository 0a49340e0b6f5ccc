"""Do processes share the runs of one store, and is nothing lost or done twice when one of them dies?"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from quorate import Agent, Runtime, ScriptedModel, Settings
from quorate.assembly import open_runtime
from quorate.errors import Conflict, InvalidInput, NotFound
from quorate.events import RunCreated, RunResumed, RunStarted, RunWaiting, get_kind
from quorate.messages import build_user_message
from quorate.models.scripted import After
from quorate.ports import Store
from quorate.runtime.worker import Worker
from quorate.settings.values import AgentSettings, WorkerSettings
from quorate.state.backends.memory import open_memory_store
from quorate.testing.clock import ManualClock

AGENT = "clerk"
CLERK = """+++
name = "clerk"
version = "1"
description = "Keeps the register of parcels and tells where each of them is."
tier = "specialist"
domain = "post"
triggers = ["parcel", "register of parcels"]
tools = ["list_files"]
examples = ["where is parcel 7?", "which parcels came today?", "find the parcel for Ann"]
not_for = ["send a letter"]
+++

You keep the register of parcels.
"""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def store(clock: ManualClock) -> AsyncIterator[Store]:
    async with open_memory_store(clock=clock) as opened:
        yield opened


@asynccontextmanager
async def running(store: Store, *script: object, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Runtime]:
    (tmp_path / "clerk.md").write_text(CLERK)
    settings = Settings(
        database=str(tmp_path / "unused.db"),
        worker=WorkerSettings(lease_s=10, max_crashes=3),
        agents=AgentSettings(directories=(str(tmp_path),)),
    )
    models = {"scripted": ScriptedModel(list(script))}
    async with open_runtime(settings, models=models, store=store, clock=clock) as runtime:
        yield runtime


async def leave_behind(store: Store, run: str, *, owner: str, time: float = 0.0) -> None:
    """Record a run as a process leaves it that is killed while it waits for its model."""
    created = RunCreated(
        run=run, seq=1, time=time, agent=AGENT, messages=(build_user_message("why?"),), labels={"model": "scripted"}
    )
    await store.log.append(
        run, (created, RunStarted(run=run, seq=2, time=time, attempt="try-1", owner=owner)), expected=0
    )


async def test_a_queued_run_is_done_by_a_worker(store: Store, clock: ManualClock, tmp_path: Path) -> None:
    """What one process queues another one does, and the first one reads the answer."""
    async with running(store, tmp_path=tmp_path, clock=clock) as door:
        handle = await door.submit("why?", agent=AGENT, model="scripted", start=False)
        assert (await door.show(handle.id)).status == "queued"
        async with running(store, "because", tmp_path=tmp_path, clock=clock) as runtime:
            await Worker(runtime).run(until_idle=True)
        result = await handle.wait()
    assert result.text == "because"
    assert result.status == "completed"


async def test_an_orphan_is_taken_over_once_its_lease_ran_out(store: Store, clock: ManualClock, tmp_path: Path) -> None:
    """A run of a dead owner is left alone for a lease's time, then ended by whoever is alive."""
    await store.leases.beat("owner-dead", ttl_s=10)
    await leave_behind(store, "run-1", owner="owner-dead")
    async with running(store, "because", tmp_path=tmp_path, clock=clock) as runtime:
        await Worker(runtime).run(until_idle=True)
        assert (await runtime.show("run-1")).status == "running"
        clock.advance(9)
        await runtime.owner.beat()
        clock.advance(2)
        await runtime.owner.beat()
        worker = Worker(runtime)
        await worker.run(until_idle=True)
        await (await runtime.attach("run-1")).wait()
        summary = await runtime.show("run-1")
    assert (summary.status, summary.attempts) == ("completed", 2)


async def test_a_run_that_was_never_owned_is_left_alone(store: Store, clock: ManualClock, tmp_path: Path) -> None:
    """What a script recorded without a runtime belongs to the script."""
    await leave_behind(store, "run-1", owner="")
    async with running(store, tmp_path=tmp_path, clock=clock) as runtime:
        await runtime.begin()
        clock.advance(9)
        await runtime.owner.beat()
        clock.advance(9)
        await runtime.owner.beat()
        await Worker(runtime).run(until_idle=True)
        assert (await runtime.show("run-1")).status == "running"


async def test_a_poison_run_is_put_aside(store: Store, clock: ManualClock, tmp_path: Path) -> None:
    """A run whose workers died three times in a row rests with its story; a person can go on with it."""
    await leave_behind(store, "run-1", owner="owner-1")
    for number in (2, 3):
        resumed = RunResumed(
            run="run-1", seq=number + 1, time=0.0, attempt=f"try-{number}", number=number, owner=f"owner-{number}"
        )
        await store.log.append("run-1", (resumed,), expected=number)
    await leave_behind(store, "run-2", owner="owner-1")
    async with running(store, "fine", "fine too", tmp_path=tmp_path, clock=clock) as runtime:
        await runtime.begin()
        clock.advance(9)
        await runtime.owner.beat()
        clock.advance(2)
        await Worker(runtime).run(until_idle=True)
        parked, other = await runtime.show("run-1"), await runtime.show("run-2")
        last = (await store.log.read("run-1"))[-1]
        assert isinstance(last, RunWaiting)
        assert (last.reason, "3 attempts" in last.note) == ("parked", True)
        assert (parked.status, other.status) == ("waiting", "completed")
        result = await (await runtime.resume("run-1")).wait()
        assert result.text == "fine too"


async def test_two_workers_never_both_have_a_run(store: Store, clock: ManualClock, tmp_path: Path) -> None:
    """Fifty queued runs and three workers: each run is started once."""
    async with AsyncExitStack() as stack:
        runtimes = [
            await stack.enter_async_context(running(store, *["ok"] * 50, tmp_path=tmp_path, clock=clock))
            for _ in range(3)
        ]
        runs = [(await runtimes[0].submit(f"{n}", agent=AGENT, model="scripted", start=False)).id for n in range(50)]
        async with asyncio.TaskGroup() as group:
            for runtime in runtimes:
                group.create_task(Worker(runtime, concurrency=5).run(until_idle=True))
        logs = await store.log.read_many(runs)
    kinds = [[get_kind(event) for event in log] for log in logs.values()]
    assert all(log.count("run.started") == 1 and log[-1] == "run.completed" for log in kinds)
    assert len(kinds) == 50


async def test_a_worker_that_stops_hands_its_runs_over(store: Store, clock: ManualClock, tmp_path: Path) -> None:
    """SIGTERM's way: the runs under way rest, and the next worker goes on at once."""
    async with running(store, After(60, "late"), tmp_path=tmp_path, clock=clock) as runtime:
        handle = await runtime.submit("why?", agent=AGENT, model="scripted", start=False)
        worker = Worker(runtime)
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            async for event in runtime.follow(handle.id):
                if get_kind(event) == "model.requested":
                    break
            worker.stop()
    async with running(store, "now", tmp_path=tmp_path, clock=clock) as runtime:
        await Worker(runtime).run(until_idle=True)
        summary = await runtime.show(handle.id)
    assert (summary.status, summary.attempts) == ("completed", 2)


async def test_one_idempotency_key_is_one_run(store: Store, clock: ManualClock, tmp_path: Path) -> None:
    """Fifty submissions with one key at once are one run, also over processes; another body is a conflict."""
    async with (
        running(store, *["ok"] * 50, tmp_path=tmp_path, clock=clock) as one,
        running(store, *["ok"] * 50, tmp_path=tmp_path, clock=clock) as two,
    ):

        async def submit(runtime: Runtime) -> str:
            handle = await runtime.submit("why?", agent=AGENT, model="scripted", idempotency_key="order-7")
            await handle.wait()
            return handle.id

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(submit((one, two)[n % 2])) for n in range(50)]
        assert len({task.result() for task in tasks}) == 1
        assert len(await one.list_runs()) == 1
        with pytest.raises(Conflict, match="'order-7' was used for another request"):
            await one.submit("why not?", agent=AGENT, model="scripted", idempotency_key="order-7")
        again = await two.submit("why?", agent=AGENT, model="scripted", idempotency_key="order-7")
        assert again.id == tasks[0].result()


async def test_another_tenants_run_is_absent(store: Store, clock: ManualClock, tmp_path: Path) -> None:
    """The words for another tenant's run are those for a run that is not there."""
    async with running(store, "ok", tmp_path=tmp_path, clock=clock) as runtime:
        handle = await runtime.for_tenant("acme").submit("why?", agent=AGENT, model="scripted")
        await handle.wait()
        assert await runtime.list_runs() == []
        assert len(await runtime.for_tenant("acme").list_runs()) == 1
        for ask in (runtime.show, runtime.resume, runtime.cancel, runtime.replay, runtime.attach):
            with pytest.raises(NotFound) as absent:
                await ask("run-none")
            with pytest.raises(NotFound) as hidden:
                await ask(handle.id)
            assert absent.value.message == hidden.value.message.replace(handle.id, "run-none")


async def test_what_a_worker_cannot_do_is_not_queued(store: Store, clock: ManualClock, tmp_path: Path) -> None:
    """Dependencies and agents that live in one process are refused where they would be lost."""
    agent = Agent("mine", model=ScriptedModel(["ok"]))
    async with running(store, tmp_path=tmp_path, clock=clock) as runtime:
        with pytest.raises(InvalidInput, match="There is no agent 'mine'"):
            await runtime.submit("x", agent=agent, start=False)
        with pytest.raises(InvalidInput, match="`deps` live in this process"):
            await runtime.submit("x", agent=AGENT, model="scripted", deps=1, start=False)
