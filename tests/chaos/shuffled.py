"""What does a bus do at its worst? It gives out late, out of order and twice, and loses what is said of finished work."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Generic, Protocol, TypeVar

from quorate.ids import new_id
from quorate.ports.bus import Bus, Delivery, Message, Receipt, Room, Subscription, Work

T = TypeVar("T")
Item = TypeVar("Item", covariant=True)


class Shuffling:
    """A `Bus` around another one; get one from `open_shuffling_bus`."""

    def __init__(self, inner: Bus, group: asyncio.TaskGroup, *, chance: random.Random, longest_s: float) -> None:
        self.inner = inner
        self.repeated = 0
        """How much was given out twice."""
        self.late = 0
        """How much was overtaken by what came later."""
        self.lost = 0
        """How often nobody heard that work was done."""
        self.again = 0
        """How often work was given out that had been given out before."""
        self._group = group
        self._chance = chance
        self._longest_s = longest_s
        self._answers = 0

    def draw_s(self) -> float:
        """Draw how late something comes."""
        return self._chance.uniform(0, self._longest_s)

    def draw_copies(self) -> int:
        """Draw how often something comes."""
        copies = 1 + (self._chance.random() < 0.3)
        self.repeated += copies - 1
        return copies

    def loses(self) -> bool:
        """Whether this answer is lost: the first is, and every fourth one after it."""
        self._answers += 1
        is_lost = self._answers % 4 == 1
        self.lost += is_lost
        return is_lost

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, reply: str = ""
    ) -> None:
        """Tell everybody; what is shuffled is what they hear."""
        await self.inner.publish(subject, data, headers=headers, reply=reply)

    async def flush(self, *, timeout_s: float = 5.0) -> None:
        """Wait until the broker has everything."""
        await self.inner.flush(timeout_s=timeout_s)

    @asynccontextmanager
    async def subscribe(
        self,
        pattern: str,
        *,
        group: str | None = None,
        after: int | None = None,
        since: float | None = None,
        room: Room | None = None,
    ) -> AsyncGenerator[Subscription]:
        """Listen; everything comes in another order, and some of it twice."""
        async with self.inner.subscribe(pattern, group=group, after=after, since=since, room=room) as heard:
            shuffled = Shuffled(self, heard, may_repeat=True)
            feeding = self._group.create_task(shuffled.feed())
            try:
                yield shuffled
            finally:
                feeding.cancel()

    async def request(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, timeout_s: float = 5.0
    ) -> Message:
        """Ask, after a while."""
        await asyncio.sleep(self.draw_s())
        return await self.inner.request(subject, data, headers=headers, timeout_s=timeout_s)

    async def enqueue(
        self,
        subject: str,
        data: bytes,
        *,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        ttl_s: float | None = None,
        timeout_s: float = 5.0,
    ) -> Receipt:
        """Keep work; some of it is there once more under a name of its own, which the broker takes for other work."""
        receipt = await self.inner.enqueue(subject, data, id=id, headers=headers, ttl_s=ttl_s, timeout_s=timeout_s)
        if self.draw_copies() == 2:
            await self.inner.enqueue(subject, data, id=new_id("copy"), headers=headers, ttl_s=ttl_s)
        return receipt

    @asynccontextmanager
    async def work(self, queue: str, *, max_in_flight: int = 64) -> AsyncGenerator[Work]:
        """Take work; it comes in another order, and that it was done is not always heard."""
        async with self.inner.work(queue, max_in_flight=max_in_flight) as work:
            shuffled = Shuffled(self, work, may_repeat=False)
            feeding = self._group.create_task(shuffled.feed())
            try:
                yield LossyWork(self, shuffled)
            finally:
                feeding.cancel()


class Source(Protocol[Item]):
    """What comes for somebody."""

    def __aiter__(self) -> AsyncIterator[Item]: ...

    async def drain(self) -> None:
        """Take no more."""
        ...


class Shuffled(Generic[T]):
    """The same in another order."""

    def __init__(self, bus: Shuffling, inner: Source[T], *, may_repeat: bool) -> None:
        self._bus = bus
        self._inner = inner
        self._may_repeat = may_repeat
        self._ready: asyncio.Queue[T | None] = asyncio.Queue()
        self._places: dict[int, None] = {}
        """What came and was not given out yet, by its place."""

    @property
    def dropped(self) -> int:
        """How many messages gave way: none, since all of them are taken at once."""
        return 0

    async def feed(self) -> None:
        """Give out what comes, each a while later."""
        loop, place = asyncio.get_running_loop(), 0
        async for item in self._inner:
            for _ in range(self._bus.draw_copies() if self._may_repeat else 1):
                place += 1
                self._places[place] = None
                loop.call_later(self._bus.draw_s(), self._put, place, item)
        while self._places:
            await asyncio.sleep(0.005)
        self._ready.put_nowait(None)

    def _put(self, place: int, item: T) -> None:
        self._bus.late += place != next(iter(self._places))
        del self._places[place]
        self._ready.put_nowait(item)

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        item = await self._ready.get()
        if item is None:
            self._ready.put_nowait(None)
            raise StopAsyncIteration
        return item

    async def drain(self) -> None:
        """Take no more."""
        await self._inner.drain()


class LossyWork:
    """Work whose acknowledgements are sometimes lost."""

    def __init__(self, bus: Shuffling, inner: "Shuffled[Delivery]") -> None:
        self._bus = bus
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[Delivery]:
        async for delivery in self._inner:
            self._bus.again += delivery.attempt > 1
            yield Lossy(self._bus, delivery)

    async def drain(self) -> None:
        """Take no more."""
        await self._inner.drain()


class Lossy:
    """A piece of work of which it is sometimes not heard that it was done."""

    def __init__(self, bus: Shuffling, inner: Delivery) -> None:
        self._bus = bus
        self._inner = inner
        self.message = inner.message
        self.attempt = inner.attempt

    async def ack(self) -> None:
        """Say that it is done, which may be lost."""
        if not self._bus.loses():
            await self._inner.ack()

    async def in_progress(self) -> None:
        """Say that it is being worked on."""
        await self._inner.in_progress()

    async def nak(self, reason: str, *, delay_s: float | None = None) -> None:
        """Say that it failed."""
        await self._inner.nak(reason, delay_s=delay_s)

    async def reject(self, reason: str) -> None:
        """Say that it can never be done."""
        await self._inner.reject(reason)


@asynccontextmanager
async def open_shuffling_bus(inner: Bus, *, seed: int, longest_s: float = 0.05) -> AsyncGenerator[Shuffling]:
    """Shuffle what comes over a bus for a block."""
    async with asyncio.TaskGroup() as group:
        yield Shuffling(inner, group, chance=random.Random(seed), longest_s=longest_s)
