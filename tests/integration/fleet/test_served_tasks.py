"""Does a worker do the tasks that come over the bus for the agents that it was told, as runs of its own?"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from quorate import Agent, Runtime, ScriptedModel, Settings, tool
from quorate.agent.agent import AnyAgent
from quorate.agent.errand import build_task_rules
from quorate.agent.remote import RemoteAgent
from quorate.agent.result import RunResult
from quorate.assembly import open_runtime
from quorate.bus.backends.nats import open_nats_bus
from quorate.errors import QuorateError, UnknownName
from quorate.events import ATTEMPTS, RunCreated
from quorate.models.scripted import call
from quorate.ports.bus import Bus
from quorate.runtime.fleet import serve_tasks
from quorate.runtime.placement import Placement, build_placement
from quorate.runtime.registry import list_workers
from quorate.runtime.worker import Worker
from quorate.settings.values import BusSettings, WorkerSettings
from quorate.specs import Limits, Request
from quorate.testing.nats_server import NatsServer, open_nats_server

ASKED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def server() -> Iterator[NatsServer]:
    with open_nats_server() as opened:
        yield opened


class Held:
    """An agent whose only step waits until it may go on."""

    def __init__(self) -> None:
        self.reached = asyncio.Semaphore(0)
        self.may_go = asyncio.Event()

        @tool(effect="idempotent")
        async def step() -> str:
            """Do a step."""
            self.reached.release()
            await self.may_go.wait()
            return "done"

        def answer(request: Request) -> object:
            text = request.messages[0].text
            return f"{text} is done" if any(m.role == "assistant" for m in request.messages) else call("step")

        self.agent: AnyAgent = Agent("net", model=ScriptedModel(answer), tools=[step])  # pyright: ignore[reportArgumentType]


def build_settings(server: NatsServer, folder: Path) -> Settings:
    return Settings(
        database=str(folder / "quorate.db"),
        bus=BusSettings(url=server.url),
        worker=WorkerSettings(lease_s=600, beat_s=0.05),
    )


@asynccontextmanager
async def working(
    settings: Settings,
    held: Held,
    *,
    concurrency: int = 8,
    said: list[QuorateError | None] | None = None,
    serves: bool = True,
) -> AsyncGenerator[tuple[Runtime, Worker]]:
    """A worker with a runtime of its own that does the tasks of `net`, for a block."""
    async with open_runtime(settings, agents=[held.agent]) as runtime:
        courier = runtime.courier
        assert courier is not None
        worker = Worker(
            runtime,
            concurrency=concurrency,
            poll_s=0.02,
            sleep=courier.wait,
            tell=courier.watching(),
            placement=build_placement(runtime, agents=["net"] if serves else None),
        )
        tell = said.append if said is not None else None
        async with serve_tasks(worker, wait_s=0.1, tell=tell), asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            try:
                yield runtime, worker
            finally:
                worker.stop()


@asynccontextmanager
async def asking(server: NatsServer) -> AsyncGenerator[Bus]:
    async with open_nats_bus(server.url, principal="caller", streams=build_task_rules(["net"])) as bus:
        yield bus


def build_remote(bus: Bus, *, trace: str | None = None) -> RemoteAgent[str]:
    return RemoteAgent("net", bus=bus, output_type=str, patience_s=30, trace=lambda: trace)


async def get_result(task: asyncio.Task[RunResult[str]]) -> RunResult[str]:
    async with asyncio.timeout(60):
        return await task


async def wait_for_runs(runtime: Runtime, *counts: int) -> None:
    """Wait until the workers have so many runs, the one that began first first."""
    async with asyncio.timeout(30):
        while tuple(len(worker.runs) for worker in await list_workers(runtime.store)) != counts:
            await asyncio.sleep(0.01)


async def test_tasks_are_runs_of_the_worker(server: NatsServer, tmp_path: Path) -> None:
    """They count against its concurrency; what it has no room for is queued, and whoever has room does it."""
    held, settings = Held(), build_settings(server, tmp_path)
    async with (
        working(settings, held, concurrency=2) as (runtime, _),
        asking(server) as bus,
        asyncio.TaskGroup() as group,
    ):
        tasks = [group.create_task(build_remote(bus).run(f"task {number}")) for number in range(2)]
        for _ in tasks:
            await held.reached.acquire()
        await wait_for_runs(runtime, 2)
        await runtime.submit("queued", agent="net", start=False)
        async with working(settings, held, serves=False) as (other, _):
            await held.reached.acquire()
            await wait_for_runs(runtime, 2, 1)
            held.may_go.set()
            results = [await get_result(task) for task in tasks]
            assert {summary.task for summary in await other.list_runs()} == {"task 0", "task 1", "queued"}
    assert [result.output for result in results] == ["task 0 is done", "task 1 is done"]


async def test_a_task_for_which_there_is_no_room_is_queued(server: NatsServer, tmp_path: Path) -> None:
    """The worker has its hands full with what was in the database; another one that has no queue does the task.

    It belongs to the trace of whoever asked, all the same.
    """
    held, settings = Held(), build_settings(server, tmp_path)
    async with (
        working(settings, held, concurrency=1) as (runtime, _),
        asking(server) as bus,
        asyncio.TaskGroup() as group,
    ):
        await runtime.submit("run", agent="net", start=False)
        await held.reached.acquire()
        task = group.create_task(build_remote(bus, trace=ASKED).run("task"))
        async with asyncio.timeout(30):
            while not await runtime.list_runs(status="queued"):
                await asyncio.sleep(0.01)
        async with working(settings, held, serves=False):
            await held.reached.acquire()
            await wait_for_runs(runtime, 1, 1)
            held.may_go.set()
            result = await get_result(task)
            (created, *_) = await runtime.log.read(result.run_id)
    assert result.output == "task is done"
    assert isinstance(created, RunCreated)
    assert created.trace == ASKED


async def test_a_worker_that_stops_hands_its_tasks_over(server: NatsServer, tmp_path: Path) -> None:
    """The one that comes next goes on with the same run, and who asked notices nothing."""
    held, settings = Held(), build_settings(server, tmp_path)
    async with asking(server) as bus, asyncio.TaskGroup() as group:
        async with working(settings, held):
            task = group.create_task(build_remote(bus).run("task"))
            await held.reached.acquire()
        async with working(settings, held) as (runtime, _):
            await held.reached.acquire()
            held.may_go.set()
            result = await get_result(task)
            log = await runtime.log.read(result.run_id)
    assert (result.output, result.status) == ("task is done", "completed")
    assert sum(isinstance(event, ATTEMPTS) for event in log) == 2


async def test_a_bus_that_is_away_comes_back(server: NatsServer, tmp_path: Path) -> None:
    """The worker begins without it and does what is in the database; once it is there, tasks come. Both are said once."""
    held, settings, said = Held(), build_settings(server, tmp_path), list[QuorateError | None]()
    held.may_go.set()
    server.kill()
    async with working(settings, held, said=said) as (runtime, _):
        run = await runtime.submit("run", agent="net", start=False)
        async with asyncio.timeout(30):
            assert (await run.wait()).text == "run is done"
            while not said:
                await asyncio.sleep(0.01)
        server.start()
        async with asking(server) as bus:
            result = await get_result(asyncio.ensure_future(build_remote(bus).run("task")))
        async with asyncio.timeout(30):
            while len(said) < 2:
                await asyncio.sleep(0.01)
    assert result.output == "task is done"
    assert [why is None for why in said] == [False, True]


async def test_what_cannot_be_served_is_said_once(server: NatsServer, tmp_path: Path) -> None:
    """The bus is there each time, and an agent is not: nobody is told that tasks come again, and do not, for ever."""
    said = list[QuorateError | None]()
    async with open_runtime(build_settings(server, tmp_path)) as runtime, open_nats_bus(server.url) as bus:
        worker = Worker(runtime, placement=Placement(patterns=("ghost",), agents={"ghost": Limits()}))
        jetstream = bus.connection.jetstream()  # pyright: ignore[reportUnknownMemberType]
        async with serve_tasks(worker, wait_s=0.05, tell=said.append), asyncio.timeout(30):
            for _ in range(3):  # each time that it is tried, the queue is made
                while not (found := await jetstream.streams_info()):
                    await asyncio.sleep(0.01)
                for info in found:
                    await jetstream.delete_stream(info.config.name or "")
    assert [type(why) for why in said] == [UnknownName]


async def test_a_bus_that_keeps_nothing_gives_no_tasks(tmp_path: Path) -> None:
    """It wakes workers all the same; what is wrong with it is said."""
    with open_nats_server(jetstream=False) as server:
        held, settings, said = Held(), build_settings(server, tmp_path), list[QuorateError | None]()
        held.may_go.set()
        async with working(settings, held, said=said) as (runtime, _):
            run = await runtime.submit("run", agent="net", start=False)
            async with asyncio.timeout(30):
                assert (await run.wait()).text == "run is done"
                while not said:
                    await asyncio.sleep(0.01)
    assert len(said) == 1
    assert said[0] is not None
    assert "JetStream" in said[0].message
