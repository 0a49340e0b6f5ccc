"""How is work taken from a queue of a NATS server, answered, and put aside in the end?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import msgspec

from quorate.bus.backends._nats_pull import Puller
from quorate.bus.backends._nats_wire import Place, Wire, build_bare, read_place
from quorate.bus.headers import build_dead_headers, clean_reason
from quorate.bus.streams import find_rest
from quorate.errors import InvalidInput, QuorateError, TooLarge
from quorate.ports.bus import Delivery, Message, StreamRule

SILENCE = "nobody answered in time: whoever had it died, or was too slow"
Say = Callable[[bytes], Awaitable[None]]
"""Sends an answer to the server, so that it arrives."""
Bury = Callable[[str, bytes, dict[str, str], str], Awaitable[object]]
"""Keeps a dead letter: its queue, data, headers, and an id under which it lands once."""
_SECOND = 1_000_000_000


class NatsDelivery:
    """A piece of work that a worker was given; a `quorate.ports.bus.Delivery`."""

    __slots__ = ("_at", "_is_answered", "_work", "attempt", "message", "until")

    def __init__(self, work: NatsWork, at: str, message: Message, attempt: int) -> None:
        self._work = work
        self._at = at
        self._is_answered = False
        self.message = message
        """What is to be done."""
        self.attempt = attempt
        """How often it was given out, this time included."""
        self.until = asyncio.get_running_loop().time() + work.rule.ack_wait_s
        """Until when it is this worker's."""

    async def ack(self) -> None:
        """Say that it is done; see `quorate.ports.bus.Delivery`."""
        await self._answer(b"+ACK")

    async def in_progress(self) -> None:
        """Say that it is being worked on; see `quorate.ports.bus.Delivery`."""
        self.until = asyncio.get_running_loop().time() + self._work.rule.ack_wait_s
        await self._work.say(build_bare(self._at, b"+WPI"))

    async def nak(self, reason: str, *, delay_s: float | None = None) -> None:
        """Say that it failed; see `quorate.ports.bus.Delivery`."""
        rule = self._work.rule
        if self.attempt >= rule.max_deliver:
            await self.reject(reason)
            return
        rest_s = find_rest(rule, self.attempt) if delay_s is None else max(delay_s, 0.0)
        await self._answer(b"-NAK " + msgspec.json.encode({"delay": int(rest_s * _SECOND)}) if rest_s else b"-NAK")

    async def reject(self, reason: str) -> None:
        """Say that it can never be done; see `quorate.ports.bus.Delivery`."""
        if self._is_answered:
            return
        await self._work.bury(self, reason or "no reason was given")
        await self._answer(b"+TERM " + clean_reason(reason).encode()[:200])

    async def _answer(self, words: bytes) -> None:
        if not self._is_answered:
            self._is_answered = True
            self._work.settle(self)
            await self._work.say(build_bare(self._at, words))


class NatsWork:
    """The pieces of work of one worker; a `quorate.ports.bus.Work`."""

    def __init__(
        self, puller: Puller, *, rule: StreamRule, wire: Wire, say: Say, bury: Bury, max_in_flight: int
    ) -> None:
        if max_in_flight < 1:
            raise InvalidInput(f"`max_in_flight` is {max_in_flight!r}; it is 1 or more.")
        self.rule = rule
        self.say = say
        self._puller = puller
        self._wire = wire
        self._bury = bury
        self._max_in_flight = max_in_flight
        self._held: set[NatsDelivery] = set()

    def __aiter__(self) -> AsyncIterator[Delivery]:
        """Loop over what is to be done."""
        return self

    async def __anext__(self) -> Delivery:
        """Take the next piece."""
        while True:
            if not self._puller.check_more():
                raise StopAsyncIteration
            room = self._find_room()
            wait_s = None
            if not room:  # what was given out and not answered is somebody else's in the end
                wait_s = max(min(piece.until for piece in self._held) - asyncio.get_running_loop().time(), 0.0)
            raw = await self._puller.next(room=room, wait_s=wait_s)
            if raw is None:
                continue
            subject, reply, data, headers = raw
            place = read_place(reply)
            if place is None:
                continue
            message = self._wire.read_kept(subject, data, headers, place=place)
            delivery = await self._check(message, place, subject=subject, at=reply.decode())
            if delivery is not None:
                return delivery

    async def drain(self) -> None:
        """Take no more; see `quorate.ports.bus.Work`."""
        self.finish()

    def refuse(self, what: str, subject: str) -> None:
        """Fail if what the server does not let us do is needed here."""
        self._puller.refuse(what, subject)

    def fail(self, error: QuorateError) -> None:
        """End the loop with an error once what came is given out."""
        self._puller.fail(error)

    def finish(self) -> None:
        """End the loop once what came is given out."""
        self._puller.finish()

    def reset(self) -> None:
        """Ask anew over another connection."""
        self._puller.reset()

    def settle(self, delivery: NatsDelivery) -> None:
        """Note that a piece was answered, so that there is room for another one."""
        self._held.discard(delivery)
        self._puller.wake()

    async def bury(self, delivery: NatsDelivery, reason: str) -> None:
        """Keep a piece of work as a dead letter.

        Raises:
            QuorateError: It could not be kept; the piece stays in its queue, and is given out again.
        """
        message = delivery.message
        try:
            await self._keep(delivery, message.data, message.headers, reason)
        except TooLarge:
            # It was as large as a message may be, and is larger with what is said of it: it would come for ever.
            cut = f"{reason} (its {len(message.data)} bytes and its headers were too large to be kept with this)"
            await self._keep(delivery, b"", {}, cut)

    async def end(self) -> None:
        """Give back what was not answered, and what nobody looked at."""
        self.finish()
        for delivery in list(self._held):
            await delivery.nak("whoever had it left without an answer", delay_s=0.0)
        while (raw := self._puller.pop()) is not None:
            await self.say(build_bare(raw[1].decode(), b"-NAK"))
        await self._puller.end()

    async def _keep(self, delivery: NatsDelivery, data: bytes, headers: Mapping[str, str], reason: str) -> None:
        queue, message = self.rule.name, delivery.message
        dead = build_dead_headers(
            headers, queue=queue, subject=message.subject, attempts=delivery.attempt, reason=reason
        )
        await self._bury(queue, data, dead, f"{queue}.{message.seq}")

    def _find_room(self) -> int:
        if len(self._held) >= self._max_in_flight:
            now = asyncio.get_running_loop().time()
            self._held = {piece for piece in self._held if piece.until > now}
        return self._max_in_flight - len(self._held)

    async def _check(self, message: Message | None, place: Place, *, subject: bytes, at: str) -> NatsDelivery | None:
        """Return what may be given out; what was tried too often, or is another tenant's, is put aside."""
        if message is None:
            foreign = Message(subject=subject.decode("utf-8", "replace"), data=b"", seq=place.seq)
            await self._put_aside(NatsDelivery(self, at, foreign, place.attempt), "it bears another tenant, or none")
            return None
        delivery = NatsDelivery(self, at, message, place.attempt)
        if place.attempt > self.rule.max_deliver:
            delivery.attempt = self.rule.max_deliver
            await self._put_aside(delivery, SILENCE)
            return None
        self._held.add(delivery)
        return delivery

    async def _put_aside(self, delivery: NatsDelivery, reason: str) -> None:
        try:
            await delivery.reject(reason)
        except QuorateError:
            return  # it comes again after its silence, and is tried to be put aside again
