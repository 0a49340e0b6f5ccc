"""What does a courier carry, at the end too, and does it carry only what somebody wants?"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import msgspec
import pytest
from msgspec import structs

from quorate import Agent, Runtime, ScriptedModel, Settings, tool
from quorate.agent.agent import AnyAgent
from quorate.assembly import open_runtime
from quorate.bus.backends.local import LocalBroker, open_local_broker, open_local_bus
from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.events import RunCreated, ToolStarted
from quorate.messages import StreamItem, TextDelta, build_user_message
from quorate.models.scripted import call
from quorate.ports import Store
from quorate.ports.bus import Bus
from quorate.runtime.courier import WANTED_S, Courier, Told, open_courier
from quorate.runtime.worker import Worker
from quorate.specs import Request
from quorate.state.backends.memory import open_memory_store
from quorate.testing.clock import ManualClock

WORDS = "it is open, as far as anybody can see from here"
BOUND_S = 60


def build_agent(model: ScriptedModel, look: object) -> AnyAgent:
    return Agent("steps", model=model, tools=[look])


class Talker:
    """An agent that makes a call, waits in it until it may go on, and then says something piece by piece."""

    def __init__(self) -> None:
        self.streamed = 0
        """How many replies came in pieces."""
        self.reached = asyncio.Event()
        self.may_go = asyncio.Event()
        self.between = asyncio.Event()
        """What is waited for between any two pieces of text."""
        self.between.set()

        @tool(effect="idempotent")
        async def look() -> str:
            """Look."""
            self.reached.set()
            await self.may_go.wait()
            return "open"

        talker = self

        class Model(ScriptedModel):
            async def stream(self, request: Request) -> AsyncIterator[StreamItem]:
                talker.streamed += 1
                async for item in super().stream(request):
                    yield item
                    if isinstance(item, TextDelta):
                        await talker.between.wait()

        def answer(request: Request) -> object:
            return WORDS if any(message.role == "assistant" for message in request.messages) else call("look")

        self.agent = build_agent(Model(answer), look)  # pyright: ignore[reportArgumentType]


@pytest.fixture
async def broker() -> AsyncGenerator[LocalBroker]:
    async with open_local_broker() as opened:
        yield opened


@pytest.fixture
async def store() -> AsyncGenerator[Store]:
    async with open_memory_store() as opened:
        yield opened


@asynccontextmanager
async def process(
    broker: LocalBroker, store: Store, agent: AnyAgent, *, clock: Clock = SYSTEM_CLOCK
) -> AsyncGenerator[tuple[Runtime, Courier]]:
    """A process of a fleet: a bus, a courier and a runtime of its own."""
    async with (
        open_local_bus(broker=broker) as bus,
        open_courier(bus, clock=clock) as courier,
        open_runtime(
            Settings(database=":memory:"), agents=[agent], store=structs.replace(store, log=Told(store.log, courier))
        ) as runtime,
    ):
        runtime.courier = courier
        yield runtime, courier


@asynccontextmanager
async def working(runtime: Runtime, courier: Courier) -> AsyncGenerator[None]:
    worker = Worker(runtime, sleep=courier.wait, tell=courier.watching(), poll_s=0.01)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        try:
            yield
        finally:
            worker.stop()


@asynccontextmanager
async def overhearing(broker: LocalBroker, subject: str) -> AsyncGenerator[list[bytes]]:
    """What is said at a subject, as it comes."""
    heard: list[bytes] = []
    async with open_local_bus(broker=broker) as bus, bus.subscribe(subject) as messages, asyncio.TaskGroup() as group:

        async def listen() -> None:
            async for message in messages:
                heard.append(message.data)

        task = group.create_task(listen())
        yield heard
        task.cancel()


async def until(condition: object) -> None:
    async with asyncio.timeout(BOUND_S):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.005)


def build_created(run: str) -> RunCreated:
    return RunCreated(run=run, seq=1, time=1.0, agent="steps", messages=(build_user_message("go"),))


async def test_what_was_not_told_yet_is_told_at_the_end(broker: LocalBroker) -> None:
    """Whoever submits and leaves at once has told of it all the same."""
    async with (
        overhearing(broker, "ai.runs.*.default.>") as told,
        overhearing(broker, "ai.runs.queued.default") as woke,
    ):
        async with open_local_bus(broker=broker) as bus, open_courier(bus) as courier:
            for number in range(100):
                courier.note(f"run-{number}", [build_created(f"run-{number}")])
        await until(lambda: len(told) == 100 and woke)
        assert courier.untold == 0
    assert len(woke) == 1


class Stuck:
    """A bus that takes nothing and never says so."""

    def __init__(self, inner: Bus) -> None:
        self.subscribe = inner.subscribe
        self.asked = 0

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, reply: str = ""
    ) -> None:
        self.asked += 1
        await asyncio.Event().wait()


async def test_nothing_waits_at_the_end_for_a_bus_that_takes_nothing(broker: LocalBroker) -> None:
    """What could not be told is counted; it is found by looking."""
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        bus = Stuck(await stack.enter_async_context(open_local_bus(broker=broker)))
        courier = await stack.enter_async_context(open_courier(bus))  # type: ignore[arg-type]
        for number in range(100):
            courier.note(f"run-{number}", [build_created(f"run-{number}")])
        began = loop.time()
        async with asyncio.timeout(BOUND_S):
            await stack.aclose()
        took = loop.time() - began
    assert courier.untold >= 100
    assert bus.asked <= 2
    assert took < 10  # a hundred times the patience for one message would be far more


async def test_the_text_of_a_run_begun_here_is_heard_elsewhere(broker: LocalBroker, store: Store) -> None:
    """By whoever follows it, also from in between; nobody else has it sent."""
    talker = Talker()
    async with (
        process(broker, store, talker.agent) as (here, _),
        process(broker, store, talker.agent) as (there, _),
        overhearing(broker, "ai.runs.told.default.>") as told,
    ):
        run = await here.submit("go", agent="steps")
        await talker.reached.wait()
        followed = await there.attach(run.id)
        text: list[str] = []
        talker.between.clear()
        async with asyncio.timeout(BOUND_S), aclosing(followed.stream()) as items:
            async for item in items:
                if isinstance(item, ToolStarted):
                    await until(lambda: here.courier is not None and here.courier.is_carried(run.id))
                    talker.may_go.set()
                if isinstance(item, TextDelta):
                    text.append(item.text)
                    talker.between.set()
        assert text
        assert WORDS.startswith("".join(text))  # the rest may be in an event already
        await run.wait()
        sent = sum(b'"delta"' in data for data in told)
        alone = await here.submit("again", agent="steps")
        await alone.wait()
        assert sum(b'"delta"' in data for data in told) == sent
    assert sent >= len(text)


async def test_a_run_that_nobody_watches_is_not_streamed(broker: LocalBroker, store: Store) -> None:
    """Not even for whoever waits for its end in another process: that costs the worker nothing."""
    talker = Talker()
    talker.may_go.set()
    async with (
        process(broker, store, talker.agent) as (door, _),
        process(broker, store, talker.agent) as (runtime, courier),
        overhearing(broker, "ai.runs.told.default.>") as told,
        working(runtime, courier),
    ):
        run = await door.submit("go", agent="steps", start=False)
        async with asyncio.timeout(BOUND_S):
            assert (await run.wait()).text == WORDS
        await until(lambda: sum(b'"seq"' in data for data in told) > 0)
        assert not any(b'"delta"' in data for data in told)
    assert talker.streamed == 0


async def test_a_queued_run_that_is_watched_is_streamed_from_its_first_word_on(
    broker: LocalBroker, store: Store
) -> None:
    """Whoever watches says so before there is anybody to hear it; the worker that takes the run knows."""
    talker = Talker()
    talker.may_go.set()
    async with (
        process(broker, store, talker.agent) as (door, _),
        process(broker, store, talker.agent) as (runtime, courier),
        overhearing(broker, "ai.runs.wanted.default") as wanted,
    ):
        await courier.wait(0)  # it listens from now on, and works on nothing yet
        run = await door.submit("go", agent="steps", start=False)
        text: list[str] = []
        talker.between.clear()

        async def watch() -> None:
            async for item in run.stream():
                if isinstance(item, TextDelta):
                    text.append(item.text)
                    talker.between.set()

        async with asyncio.timeout(BOUND_S), asyncio.TaskGroup() as group:
            watching = group.create_task(watch())
            await until(lambda: courier.is_wanted(run.id))
            async with working(runtime, courier):
                await watching
        assert msgspec.json.decode(wanted[0]) == {"run": run.id}
    assert talker.streamed == 2
    assert text
    assert WORDS.startswith("".join(text))


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xfe", b"{", b'{"run":"\xff"}', b'{"delta":1}', b'{"run":"' + b"x" * 999 + b'"}']
)
async def test_garbage_on_the_bus_harms_nobody(broker: LocalBroker, store: Store, data: bytes) -> None:
    """Neither who follows nor who works; a name that is far too long is not kept."""
    talker = Talker()
    async with (
        process(broker, store, talker.agent) as (here, courier),
        process(broker, store, talker.agent) as (there, _),
        open_local_bus(broker=broker) as stranger,
    ):
        run = await here.submit("go", agent="steps")
        await talker.reached.wait()
        followed = await there.attach(run.id)
        async with asyncio.timeout(BOUND_S), aclosing(followed.stream()) as items:
            async for item in items:
                if isinstance(item, ToolStarted):
                    for subject in (
                        f"ai.runs.told.default.{run.id}",
                        "ai.runs.wanted.default",
                        "ai.runs.queued.default",
                    ):
                        await stranger.publish(subject, data)
                    await until(lambda: courier.is_carried(run.id))
                    talker.may_go.set()
        assert (await run.wait()).text == WORDS
        assert not courier.is_wanted("x" * 999)


async def test_text_is_carried_no_longer_than_somebody_wants_it(broker: LocalBroker, store: Store) -> None:
    """Whoever followed has gone: soon nothing is sent, and the next reply is not asked for in pieces."""
    talker, clock = Talker(), ManualClock()
    async with (
        process(broker, store, talker.agent) as (door, _),
        process(broker, store, talker.agent, clock=clock) as (runtime, courier),
        overhearing(broker, "ai.runs.told.default.>") as told,
        working(runtime, courier),
    ):
        run = await door.submit("go", agent="steps", start=False)
        async with asyncio.timeout(BOUND_S):
            await talker.reached.wait()
        assert talker.streamed == 0
        follower = await door.attach(run.id)
        async with asyncio.timeout(BOUND_S), aclosing(follower.stream()) as items:
            async for item in items:
                if isinstance(item, ToolStarted):
                    await until(lambda: courier.is_carried(run.id))
                    break
        clock.advance(WANTED_S + 1)
        assert not courier.is_wanted(run.id)
        talker.may_go.set()
        async with asyncio.timeout(BOUND_S):
            await run.wait()
        await until(lambda: not courier.is_carried(run.id))
        assert not any(b'"delta"' in data for data in told)
