"""Do workers hear of runs over the bus that the settings name, and do without it while it is away?"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from quorate import Agent, Runtime, ScriptedModel, Settings, tool
from quorate.assembly import open_runtime, open_store
from quorate.bus.backends.nats import open_nats_bus
from quorate.bus.returning import ReturnPatience
from quorate.bus.subjects import build_subject
from quorate.events import ATTEMPTS, RunCompleted
from quorate.messages import StreamItem, TextDelta
from quorate.models.scripted import call
from quorate.runtime import RunHandle
from quorate.runtime.fleet import open_told
from quorate.runtime.worker import Worker
from quorate.settings.values import BusSettings
from quorate.specs import Request
from quorate.testing.nats_server import NatsServer, open_nats_server

HOUR_S = 3600.0
PROGRAM = Path(sys.executable).parent / "quorate"


@pytest.fixture
def server() -> Iterator[NatsServer]:
    with open_nats_server(jetstream=False) as opened:
        yield opened


@pytest.fixture
def settings(server: NatsServer, tmp_path: Path) -> Settings:
    return Settings(database=str(tmp_path / "quorate.db"), bus=BusSettings(url=server.url))


class Gate:
    """An agent that does one step, in which it waits until it may go on, and then says that it has done it."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.may_go = asyncio.Event()
        self.heard = asyncio.Event()
        """What it says waits for this after its first piece."""
        self.heard.set()
        self.done: list[str] = []

        @tool(effect="idempotent")
        async def step(name: str) -> str:
            """Do a step."""
            self.reached.set()
            await self.may_go.wait()
            self.done.append(name)
            return name

        def answer(request: Request) -> object:
            name = request.messages[0].text
            has_done = any(message.role == "assistant" for message in request.messages)
            return f"{name} is done" if has_done else call("step", name=name)

        class Talking(ScriptedModel):
            async def stream(model, request: Request) -> AsyncIterator[StreamItem]:
                async for item in super().stream(request):
                    yield item
                    if isinstance(item, TextDelta):
                        await self.heard.wait()

        self.agent = Agent("steps", model=Talking(answer), tools=[step])  # pyright: ignore[reportArgumentType]


class Pauses:
    """What a worker sleeps with: its courier, with a note of every time it woke."""

    def __init__(self, runtime: Runtime) -> None:
        assert runtime.courier is not None
        self._wait = runtime.courier.wait
        self.woken = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        await self._wait(seconds)
        self.woken.set()


@asynccontextmanager
async def working(settings: Settings, gate: Gate, *, poll_s: float) -> AsyncGenerator[tuple[Runtime, Pauses]]:
    """A worker with a runtime and a connection of its own, for a block."""
    async with open_runtime(settings, agents=[gate.agent]) as runtime, asyncio.TaskGroup() as tasks:
        assert runtime.courier is not None
        pauses = Pauses(runtime)
        worker = Worker(runtime, sleep=pauses.wait, tell=runtime.courier.watching(), poll_s=poll_s)
        tasks.create_task(worker.run())
        try:
            yield runtime, pauses
        finally:
            worker.stop()


async def nudge(server: NatsServer, pauses: Pauses) -> None:
    """Wake a worker until it is sure that it hears us."""
    async with open_nats_bus(server.url) as bus, asyncio.timeout(30):
        while not pauses.woken.is_set():
            await bus.publish(build_subject("runs", "queued", "default"), b"")
            await asyncio.sleep(0.01)


async def check_done(runtime: Runtime, run: RunHandle) -> None:
    """It was done in one attempt."""
    async with asyncio.timeout(30):
        await run.wait()
    log = await runtime.log.read(run.id)
    assert isinstance(log[-1], RunCompleted)
    assert sum(isinstance(event, ATTEMPTS) for event in log) == 1


async def test_a_queued_run_wakes_a_worker(server: NatsServer, settings: Settings) -> None:
    """It would look again in an hour; and whoever attached elsewhere hears what is said, and misses no event."""
    gate = Gate()
    async with (
        open_runtime(settings, agents=[gate.agent]) as door,
        working(settings, gate, poll_s=HOUR_S) as (_, pauses),
    ):
        await nudge(server, pauses)
        run = await door.submit("first", agent="steps", start=False)
        async with asyncio.timeout(30):
            await gate.reached.wait()
        gate.heard.clear()
        async with asyncio.timeout(30):
            async for item in run.stream():
                gate.may_go.set()  # somebody follows by now
                if isinstance(item, TextDelta):
                    gate.heard.set()
        assert gate.heard.is_set()
        await check_done(door, run)
        followed = [event async for event in door.follow(run.id, after=1)]
        assert followed == (await door.log.read(run.id))[1:]
    assert gate.done == ["first"]


async def test_a_bus_that_dies_in_the_middle_stops_no_run(server: NatsServer, settings: Settings) -> None:
    """The run under way, one that is queued while it is away, and one that is queued when it is back: all are done."""
    gate = Gate()
    async with (
        open_runtime(settings, agents=[gate.agent]) as door,
        working(settings, gate, poll_s=0.05) as (_, pauses),
    ):
        await nudge(server, pauses)
        runs = [await door.submit("before", agent="steps", start=False)]
        async with asyncio.timeout(30):
            await gate.reached.wait()
        await asyncio.to_thread(server.kill)
        gate.may_go.set()
        runs.append(await door.submit("meanwhile", agent="steps", start=False))
        for run in runs:
            await check_done(door, run)
        await asyncio.to_thread(server.start)
        await check_done(door, await door.submit("after", agent="steps", start=False))
    assert sorted(gate.done) == ["after", "before", "meanwhile"]


async def test_a_bus_that_comes_later_is_used(
    server: NatsServer, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """That it is away is said once, runs are done by looking, and when it is there it wakes whoever waits."""
    await asyncio.to_thread(server.kill)
    gate = Gate()
    gate.may_go.set()
    quick = ReturnPatience(wait_s=0.05, longest_wait_s=0.05)
    async with (
        open_store(settings) as plain,
        open_told(settings, plain, patience=quick) as (store, courier),
        open_runtime(Settings(database=settings.database), agents=[gate.agent], store=store) as runtime,
    ):
        run = await runtime.submit("alone", agent="steps", start=False)
        await Worker(runtime, sleep=courier.wait).run(until_idle=True)
        await check_done(runtime, run)
        async with asyncio.timeout(30):
            while not caplog.records:
                await asyncio.sleep(0.01)
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "Work goes on without the bus" in caplog.text
        await asyncio.to_thread(server.start)
        async with asyncio.timeout(30):
            while len(caplog.records) < 2:
                await asyncio.sleep(0.01)
        assert caplog.messages[1] == "The bus is back."
        waiting = asyncio.timeout(30)
        async with waiting, asyncio.TaskGroup() as tasks:
            woken = tasks.create_task(courier.wait(HOUR_S))
            while not woken.done():
                courier.note("run-1", (await runtime.log.read(run.id))[:1])
                await asyncio.sleep(0.05)


def build_environment(settings: Settings) -> dict[str, str]:
    names = {"QUORATE_DATABASE": settings.database, "QUORATE_BUS_URL": settings.bus.url}
    return {**os.environ, **names}


async def test_a_worker_of_its_own_process_says_that_the_bus_is_away(
    server: NatsServer, settings: Settings, tmp_path: Path
) -> None:
    """Once, on standard error; it does what is queued all the same, and leaves with a good word."""
    await asyncio.to_thread(server.kill)
    async with open_runtime(settings) as door:
        run = await door.submit("is this machine healthy?", agent="system-monitoring", start=False)
    process = await asyncio.create_subprocess_exec(
        PROGRAM, "worker", env=build_environment(settings), cwd=tmp_path, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    said = list[str]()
    try:
        async with asyncio.timeout(120):
            while not (any("ended" in line for line in said) and any("without the bus" in line for line in said)):
                said.append((await process.stderr.readline()).decode())
                assert said[-1], said
    finally:
        process.send_signal(signal.SIGTERM)
        said.append((await process.stderr.read()).decode())
        code = await process.wait()
    assert code == 0
    assert sum(line.count("without the bus") for line in said) == 1
    async with open_runtime(Settings(database=settings.database)) as runtime:
        assert (await runtime.show(run.id)).status == "completed"


async def test_what_is_raised_in_the_block_comes_out_as_it_is(settings: Settings) -> None:
    """However many groups of tasks there are around it."""
    with pytest.raises(LookupError, match="mine"):
        async with open_runtime(settings):
            raise LookupError("mine")
