"""How is a stream of a NATS server read from a place on, over any number of connections?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from quorate.bus.backends._nats_ask import Asker
from quorate.bus.backends._nats_pull import Puller
from quorate.bus.backends._nats_streams import INACTIVE_S, ConsumerConfig, save_consumer
from quorate.bus.backends._nats_wire import Wire, read_place
from quorate.errors import NotFound, QuorateError, Unavailable
from quorate.ids import new_id
from quorate.ports.bus import Message

ROOM = 512
"""How many messages are asked for ahead."""
_SECOND = 1_000_000_000


class NatsReader:
    """What a stream keeps from a place on, and then what comes; a `quorate.ports.bus.Subscription`."""

    def __init__(
        self, asker: Asker, *, wire: Wire, stream: str, pattern: str, after: int, since: float, timeout_s: float
    ) -> None:
        self.dropped = 0
        """Nothing is dropped: what is read waits in its stream."""
        self._asker = asker
        self._wire = wire
        self._stream = stream
        self._pattern = pattern
        self._after = after
        self._since = since
        self._timeout_s = timeout_s
        self._puller = Puller(asker, stream=stream, consumer="")

    async def begin(self) -> None:
        """Make a consumer that stands where reading begins."""
        await self._puller.begin()
        await self._aim()

    async def end(self) -> None:
        """Read no more."""
        self._puller.finish()
        await self._puller.end()

    def reset(self) -> None:
        """Ask anew over another connection."""
        self._puller.reset()

    def refuse(self, what: str, subject: str) -> None:
        """Fail if what the server does not let us do is needed here."""
        self._puller.refuse(what, subject)

    def fail(self, error: QuorateError) -> None:
        """End the loop with an error once what came is given out."""
        self._puller.fail(error)

    def finish(self) -> None:
        """End the loop once what came is given out."""
        self._puller.finish()

    def __aiter__(self) -> AsyncIterator[Message]:
        """Loop over what is kept."""
        return self

    async def __anext__(self) -> Message:
        """Read the next message."""
        while True:
            if not self._puller.check_more():
                raise StopAsyncIteration
            if self._puller.is_gone and not self._puller.has_items:
                await self._aim_again()
            raw = await self._puller.next(room=ROOM)
            if raw is None:
                continue
            subject, reply, data, headers = raw
            place = read_place(reply)
            if place is None or place.seq <= self._after:
                continue
            self._after = place.seq
            message = self._wire.read_kept(subject, data, headers, place=place)
            if message is not None:
                return message

    async def drain(self) -> None:
        """Read what has come by now, and then end; see `quorate.ports.bus.Subscription`."""
        self.finish()

    async def _aim_again(self) -> None:
        """Stand where reading was left: the server forgot us, as when it started again."""
        try:
            await self._aim()
        except (NotFound, Unavailable):
            return  # it is tried again after the next wait

    async def _aim(self) -> None:
        name = new_id("reader")
        config = ConsumerConfig(
            name=name,
            deliver_policy="all",
            ack_policy="none",
            filter_subject=self._pattern,
            inactive_threshold=int(INACTIVE_S * _SECOND),
            mem_storage=True,
            num_replicas=1,
        )
        if self._after:
            config.deliver_policy, config.opt_start_seq = "by_start_sequence", self._after + 1
        elif self._since:
            start = datetime.fromtimestamp(self._since, UTC)
            config.deliver_policy, config.opt_start_time = "by_start_time", start.isoformat().replace("+00:00", "Z")
        await save_consumer(self._asker, self._stream, config, timeout_s=self._timeout_s)
        self._puller.aim(name)
