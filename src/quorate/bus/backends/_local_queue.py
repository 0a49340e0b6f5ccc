"""How is work in memory given out: to one worker at a time, again after a silence, and put aside in the end?"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress

from quorate.bus.backends._local_shelf import Shelf
from quorate.bus.headers import build_dead_headers
from quorate.bus.streams import find_rest
from quorate.clock import Clock
from quorate.errors import InvalidInput, RateLimited
from quorate.ports.bus import Delivery, Message, Receipt, StreamRule

Bury = Callable[[str, bytes, Mapping[str, str], str], object]
"""Keeps a dead letter: its queue, data, headers, and an id under which it lands once."""
LEFT = "whoever had it left without an answer"
SILENCE = "nobody answered in time: whoever had it died, or was too slow"


class LocalQueue:
    """A stream of work: what waits, what rests after a failure, and what somebody has."""

    def __init__(
        self,
        rule: StreamRule,
        *,
        clock: Clock,
        bury: Bury,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.rule = rule
        self.shelf = Shelf(rule, clock=clock)
        self._clock = clock
        self._sleep = sleep
        self._bury = bury
        self._ready: deque[int] = deque()
        self._attempts: dict[int, int] = {}
        """How often each message was given out."""
        self._held: dict[int, LocalDelivery] = {}
        self._resting: dict[int, float] = {}
        """Until when each message rests that nobody has."""
        self._due: list[tuple[float, int, int]] = []
        """When a message is given out again, with its number and the attempt that this is about."""
        self._workers: deque[tuple[LocalWork, asyncio.Future[LocalDelivery | None]]] = deque()
        self._earlier = asyncio.Event()
        """Something is due before what is waited for."""
        self._wakes = float("inf")

    def append(
        self, subject: str, data: bytes, *, headers: Mapping[str, str], id: str | None, ttl_s: float | None
    ) -> Receipt:
        """Keep a piece of work, and give it to somebody who waits for one.

        Raises:
            RateLimited: The queue is full.
        """
        receipt = self.shelf.append(subject, data, headers=headers, id=id, ttl_s=ttl_s)
        if not receipt.duplicate:
            self._ready.append(receipt.seq)
            self.give_out()
        return receipt

    def take(self, work: LocalWork) -> LocalDelivery | None:
        """Give the next piece of work to a worker, if there is one and it may have more."""
        if work.in_flight >= work.max_in_flight:
            return None
        self.shelf.expire(self._clock.monotonic())
        while self._ready:
            seq = self._ready.popleft()
            message = self.shelf.get(seq)
            if message is None:
                self._attempts.pop(seq, None)
                continue
            attempt = self._attempts[seq] = self._attempts.get(seq, 0) + 1
            delivery = self._held[seq] = LocalDelivery(self, work, message, attempt)
            self.hold(delivery)
            work.in_flight += 1
            return delivery
        return None

    def wait(self, work: LocalWork) -> asyncio.Future[LocalDelivery | None]:
        """Return what is given to a worker once there is something for it."""
        future = asyncio.get_running_loop().create_future()
        self._workers.append((work, future))
        return future

    def give_out(self) -> None:
        """Give what waits to those who wait."""
        for _ in range(len(self._workers)):
            if not self._ready:
                return
            work, future = self._workers.popleft()
            if future.done():
                continue
            delivery = self.take(work)
            if delivery is None:
                self._workers.append((work, future))
            else:
                future.set_result(delivery)

    def leave(self, work: LocalWork) -> None:
        """Give back at once what a worker has not answered."""
        work.finish()
        for delivery in [held for held in self._held.values() if held.work is work]:
            self._put_back(delivery, 0.0, LEFT)
        self.give_out()

    def hold(self, delivery: LocalDelivery) -> None:
        """Note that a piece of work is somebody's for a while."""
        delivery.until = self._clock.monotonic() + self.rule.ack_wait_s
        self._wake_at(delivery.until, delivery)

    def settle(self, delivery: LocalDelivery, *, reason: str = "", rest_s: float | None = None) -> None:
        """Take an answer: done, failed for a `reason` and to be tried again after `rest_s`, or never to be done."""
        seq = delivery.message.seq
        current = self._held.get(seq)
        if not reason:  # done is done, whoever says so
            if current is not None:
                self._release(current)
            if self.shelf.remove(seq):
                self._attempts.pop(seq, None)
        elif current is not delivery:
            return  # it was given to somebody else since
        elif rest_s is None:
            self._put_aside(delivery, reason)
        else:
            self._put_back(delivery, rest_s, reason)
        self.give_out()

    async def keep(self) -> None:
        """Give out again what is due, for ever."""
        while True:
            self.look()
            self._wakes = self._due[0][0] if self._due else float("inf")
            self._earlier.clear()
            if not self._due:
                await self._earlier.wait()
                continue
            with suppress(TimeoutError):
                await self._sleep_until(self._wakes)

    def look(self) -> None:
        """Give out again what is due by now."""
        now = self._clock.monotonic()
        while self._due and self._due[0][0] <= now:
            due, seq, attempt = heapq.heappop(self._due)
            held = self._held.get(seq)
            if held is None:
                if self._resting.get(seq) == due:
                    del self._resting[seq]
                    self._ready.append(seq)
            elif held.attempt == attempt:
                if held.until <= now:
                    self._put_back(held, 0.0, SILENCE)
                else:  # it was said to be under way
                    heapq.heappush(self._due, (held.until, seq, attempt))
        self.shelf.expire(now)
        self.give_out()

    async def _sleep_until(self, due: float) -> None:
        async with asyncio.TaskGroup() as group:
            earlier = group.create_task(self._earlier.wait())
            sleeping = group.create_task(_await(self._sleep(max(due - self._clock.monotonic(), 0.0))))
            await asyncio.wait({earlier, sleeping}, return_when="FIRST_COMPLETED")
            earlier.cancel()
            sleeping.cancel()

    def _wake_at(self, due: float, delivery: LocalDelivery) -> None:
        heapq.heappush(self._due, (due, delivery.message.seq, delivery.attempt))
        if due < self._wakes:
            self._earlier.set()

    def _release(self, delivery: LocalDelivery) -> None:
        self._held.pop(delivery.message.seq, None)
        delivery.work.in_flight -= 1

    def _put_back(self, delivery: LocalDelivery, rest_s: float, reason: str) -> None:
        if delivery.attempt >= self.rule.max_deliver:
            self._put_aside(delivery, reason)
            return
        self._release(delivery)
        if rest_s > 0:
            self._rest(delivery, self._clock.monotonic() + rest_s)
        else:
            self._ready.append(delivery.message.seq)

    def _rest(self, delivery: LocalDelivery, until: float) -> None:
        self._resting[delivery.message.seq] = until
        self._wake_at(until, delivery)

    def _put_aside(self, delivery: LocalDelivery, reason: str) -> None:
        message = delivery.message
        headers = build_dead_headers(
            message.headers, queue=self.rule.name, subject=message.subject, attempts=delivery.attempt, reason=reason
        )
        self._release(delivery)
        try:
            self._bury(self.rule.name, message.data, headers, f"{self.rule.name}.{message.seq}")
        except RateLimited:
            # Nothing is lost: it stays in the queue, and is tried for the last time again and again.
            self._attempts[message.seq] = delivery.attempt - 1
            self._rest(delivery, self._clock.monotonic() + self.rule.ack_wait_s)
            return
        self.shelf.remove(message.seq)
        self._attempts.pop(message.seq, None)


class LocalDelivery:
    """A piece of work that a worker was given; a `quorate.ports.bus.Delivery`."""

    __slots__ = ("_queue", "attempt", "message", "until", "work")

    def __init__(self, queue: LocalQueue, work: LocalWork, message: Message, attempt: int) -> None:
        self._queue = queue
        self.work = work
        self.message = message
        """What is to be done."""
        self.attempt = attempt
        """How often it was given out, this time included."""
        self.until = 0.0
        """Until when it is this worker's."""

    async def ack(self) -> None:
        """Say that it is done; see `quorate.ports.bus.Delivery`."""
        self._queue.settle(self)

    async def in_progress(self) -> None:
        """Say that it is being worked on; see `quorate.ports.bus.Delivery`."""
        self._queue.hold(self)

    async def nak(self, reason: str, *, delay_s: float | None = None) -> None:
        """Say that it failed; see `quorate.ports.bus.Delivery`."""
        rest_s = find_rest(self._queue.rule, self.attempt) if delay_s is None else max(delay_s, 0.0)
        self._queue.settle(self, reason=reason or "no reason was given", rest_s=rest_s)

    async def reject(self, reason: str) -> None:
        """Say that it can never be done; see `quorate.ports.bus.Delivery`."""
        self._queue.settle(self, reason=reason or "no reason was given")


class LocalWork:
    """The pieces of work of one worker; a `quorate.ports.bus.Work`."""

    def __init__(self, queue: LocalQueue, *, max_in_flight: int) -> None:
        if max_in_flight < 1:
            raise InvalidInput(f"`max_in_flight` is {max_in_flight!r}; it is 1 or more.")
        self.max_in_flight = max_in_flight
        self.in_flight = 0
        """How many pieces it has that were not answered."""
        self._queue = queue
        self._is_draining = False
        self._waiting: set[asyncio.Future[LocalDelivery | None]] = set()

    def __aiter__(self) -> AsyncIterator[Delivery]:
        """Loop over what is to be done."""
        return self

    async def __anext__(self) -> Delivery:
        """Take the next piece."""
        if self._is_draining:
            raise StopAsyncIteration
        delivery = self._queue.take(self)
        if delivery is not None:
            return delivery
        future = self._queue.wait(self)
        self._waiting.add(future)
        try:
            delivery = await future
        except asyncio.CancelledError:
            given = future.result() if future.done() and not future.cancelled() else None
            if given is not None:
                self._queue.settle(given, reason=LEFT, rest_s=0.0)
            raise
        finally:
            self._waiting.discard(future)
        if delivery is None:
            raise StopAsyncIteration
        return delivery

    async def drain(self) -> None:
        """Take no more; see `quorate.ports.bus.Work`."""
        self.finish()

    def finish(self) -> None:
        """End the loop."""
        self._is_draining = True
        for future in self._waiting:
            if not future.done():
                future.set_result(None)


async def _await(waiting: Awaitable[None]) -> None:
    await waiting
