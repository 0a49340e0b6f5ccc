"""Is a bus that is away looked for in the background, and does whatever is wrong with it end nobody's work?"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest

from quorate.bus.backends.local import open_local_bus
from quorate.bus.returning import ConnectedBus, ReturningBus, ReturnPatience, open_returning_bus
from quorate.errors import InvalidInput, QuorateError, Unavailable
from quorate.ports.bus import Bus

PATIENCE = ReturnPatience(wait_s=1, longest_wait_s=3, look_s=1, give_up_s=2)


class Steps:
    """Time that goes on by itself to the next thing that is waited for, and then stands until it is told to go on."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._may_go = asyncio.Semaphore(0)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self._may_go.acquire()

    async def go(self, count: int = 1) -> None:
        """Let some sleeps end, each when it has begun."""
        for _ in range(count):
            before = len(self.slept)
            self._may_go.release()
            async with asyncio.timeout(30):
                while len(self.slept) == before:
                    await asyncio.sleep(0)


class Line:
    """A bus inside the process, with a connection that can be cut."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.is_connected = True
        self.fault: Exception | None = None
        self.subscribe = bus.subscribe
        self.work = bus.work
        self.flush = bus.flush
        self.request = bus.request
        self.enqueue = bus.enqueue

    async def publish(self, subject: str, data: bytes, **rest: object) -> None:
        if self.fault is not None:
            raise self.fault
        await self._bus.publish(subject, data)


class World:
    """What opens a bus, and what was said about it."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)
        self.opened = 0
        self.line: Line | None = None
        self.told: list[str] = []
        self.steps = Steps()

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[ConnectedBus]:
        self.opened += 1
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer
        async with open_local_bus() as bus:
            self.line = Line(bus)
            yield self.line

    def tell(self, why: QuorateError | None) -> None:
        self.told.append("back" if why is None else why.message)

    def returning(self, spread: Callable[[], float] = lambda: 1.0):
        return open_returning_bus(self.open, tell=self.tell, patience=PATIENCE, sleep=self.steps.sleep, spread=spread)


async def hear(bus: ReturningBus, heard: list[bytes], listening: asyncio.Event) -> None:
    async with bus.subscribe("ai.x.>") as messages:
        listening.set()
        async for message in messages:
            heard.append(message.data)


async def test_nothing_is_opened_before_somebody_wants_it() -> None:
    """A command that tells nobody anything does not connect."""
    world = World()
    async with world.returning() as bus:
        await asyncio.sleep(0)
        assert world.opened == 0
        assert not bus.is_connected
        await bus.publish("ai.x.y", b"")
        assert world.opened == 1
        assert bus.is_connected
        assert world.told == []


async def test_it_is_looked_for_with_longer_and_longer_waits() -> None:
    """Everything is refused meanwhile, at once; that it is away is told once, and that it came as well."""
    world = World(Unavailable("first"), OSError("second"), InvalidInput("third"), Unavailable("fourth"))
    async with world.returning() as bus:
        with pytest.raises(Unavailable, match="away"):
            await bus.publish("ai.x.y", b"")
        with pytest.raises(Unavailable):
            async with bus.subscribe("ai.x.>"):
                pass
        with pytest.raises(Unavailable):
            await bus.request("ai.x.y", b"")
        await world.steps.go(3)
        assert world.steps.slept == [1, 2, 3, 3]
        assert world.told == ["first"]
        await world.steps.go()
        await bus.publish("ai.x.y", b"")
        assert world.told == ["first", "back"]


async def test_waits_are_spread() -> None:
    """From half of the wait on, so that a whole fleet does not come back in the same moment."""
    world = World(Unavailable("away"))
    async with world.returning(lambda: 0.0) as bus:
        with pytest.raises(Unavailable):
            await bus.flush()
        while not world.steps.slept:
            await asyncio.sleep(0)
        assert world.steps.slept == [0.5]


async def test_a_connection_that_is_lost_is_told_and_at_last_made_anew() -> None:
    """Who listens hears the end of it, and may listen again."""
    world, heard, listening = World(), list[bytes](), asyncio.Event()
    async with world.returning() as bus, asyncio.TaskGroup() as tasks:
        hearing = tasks.create_task(hear(bus, heard, listening))
        await listening.wait()
        await bus.publish("ai.x.y", b"1")
        assert world.line is not None
        world.line.is_connected = False
        await world.steps.go()
        assert world.told == ["The connection to the bus was lost."]
        world.line.is_connected = True
        await world.steps.go()
        assert world.told[1:] == ["back"]
        world.line.is_connected = False
        await world.steps.go(2)  # given up
        await hearing
        assert heard == [b"1"]
        await world.steps.go()  # opened anew
        assert world.opened == 2
        await bus.publish("ai.x.y", b"2")
        assert world.told == ["The connection to the bus was lost.", "back"] * 2


async def test_what_a_client_library_raises_becomes_an_error_of_ours() -> None:
    """Ours come through as they are."""
    world = World()
    async with world.returning() as bus:
        await bus.flush()
        assert world.line is not None
        world.line.fault = RuntimeError("nobody foresaw this")
        with pytest.raises(Unavailable, match="nobody foresaw this"):
            await bus.publish("ai.x.y", b"")
        world.line.fault = InvalidInput("no subject")
        with pytest.raises(InvalidInput, match="no subject"):
            await bus.publish("ai.x.y", b"")


async def test_whoever_is_cut_off_in_a_block_raises_what_was_raised_in_it() -> None:
    """The block's own errors are not taken for the bus's."""
    world = World()
    async with world.returning() as bus:
        with pytest.raises(LookupError, match="mine"):
            async with bus.subscribe("ai.x.>"):
                raise LookupError("mine")
