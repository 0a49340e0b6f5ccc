"""How are the messages of a stream asked for, so that as many come as there is room for?"""

from __future__ import annotations

import asyncio
import random
from collections import deque

import msgspec
from msgspec import Struct

from quorate.bus.backends._nats_ask import Asker
from quorate.bus.backends._nats_names import ACK, API
from quorate.bus.backends._nats_refusals import build_refusal
from quorate.bus.backends._nats_wire import build_request, read_count, read_status
from quorate.errors import QuorateError, Unavailable
from quorate.ids import new_id

EXPIRES_S = 10.0
"""How long the server keeps a question that it has nothing for."""
HEARTBEAT_S = 2.0
"""How often it says that it still does."""
RETRY_S = 0.1
LONGEST_RETRY_S = 1.0
_SECOND = 1_000_000_000
_HEARTBEAT = 100
_MANY = 10_000
_STALE = 4.5
_GONE = (404, 503)
"""There is no such consumer or stream, or JetStream does not answer."""

Raw = tuple[bytes, bytes, bytes, bytes | None]
"""Subject, reply, data, headers."""


class Question(Struct, omit_defaults=True):
    """How many messages are asked for, and for how long."""

    batch: int
    expires: int
    idle_heartbeat: int


class Puller:
    """Asks a consumer for messages, and keeps those that came until somebody takes them."""

    def __init__(self, asker: Asker, *, stream: str, consumer: str, horizon_s: float | None = None) -> None:
        """Build a puller.

        Args:
            asker: Over what it asks.
            stream: Of which stream.
            consumer: Which consumer.
            horizon_s: For no longer than this, at the pace at which they are taken, is asked ahead: what waits here
                is not given to others, for five times as long. As far as there is room when not given.
        """
        self._items: deque[tuple[float, Raw]] = deque()
        """What came, and when."""
        self.is_over = False
        """Whether nothing more is asked for."""
        self.is_gone = False
        """Whether the server knows no such consumer; whoever reads makes another one."""
        self.error: QuorateError | None = None
        """Why nothing more comes, where that is not as it should be."""
        self._asker = asker
        self._stream = stream
        self._consumer = consumer
        self._inbox = f"{asker.inbox.rpartition('.')[0]}.{new_id('w')}"
        self._owed = 0
        """How many messages were asked for and did not come."""
        self._changed = asyncio.Event()
        self._failures = 0
        self._number = 0
        self._horizon_s = horizon_s
        self._pace_s = horizon_s or 0.0
        """How long whoever takes a message is busy with it, on average of the last ones."""
        self._taken_s = 0.0
        self._callers = 0
        """How many wait for a message."""

    @property
    def has_items(self) -> bool:
        """Whether something came that nobody took."""
        return bool(self._items)

    async def begin(self) -> None:
        """Listen for what is asked for."""
        self._number = await self._asker.connection.listen(self._inbox, self._hear)

    async def end(self) -> None:
        """Listen no more."""
        await self._asker.connection.leave(self._number)

    def aim(self, consumer: str) -> None:
        """Ask another consumer from now on."""
        self._consumer = consumer
        self.is_gone = False
        self.reset()

    def reset(self) -> None:
        """Ask anew: what was asked over a lost connection does not come."""
        self._owed = 0
        self._changed.set()

    def finish(self) -> None:
        """Ask for nothing more."""
        self.is_over = True
        self._changed.set()

    def fail(self, error: QuorateError) -> None:
        """Ask for nothing more, since it is of no use."""
        self.error = self.error or error
        self.finish()

    def check_more(self) -> bool:
        """Whether there is or may come something.

        Raises:
            QuorateError: There will be nothing more, and there should be.
        """
        if self.is_over and not self._items:
            if self.error is not None:
                raise self.error
            return False
        return True

    def refuse(self, what: str, subject: str) -> None:
        """Fail if what the server does not let us do is to ask, to answer, or to hear what comes."""
        place = f"{self._stream}.{self._consumer}".lower()
        is_ours = subject in (self._inbox.lower(), f"{API}.CONSUMER.MSG.NEXT.{place}".lower())
        if is_ours or (subject.startswith(f"{ACK}.".lower()) and f".{place}." in subject):
            self._asker.connection.forget_refusal(subject)
            self.fail(build_refusal(what, subject))

    def wake(self) -> None:
        """Look again, since there is room."""
        self._changed.set()

    async def next(self, *, room: int, wait_s: float | None = None) -> Raw | None:
        """Take the next message, with room for so many in all; `None` when something changed, or after `wait_s`."""
        loop = asyncio.get_running_loop()
        if self._taken_s:
            self._pace_s += 0.2 * (loop.time() - self._taken_s - self._pace_s)
            self._taken_s = 0.0
        self._callers += 1
        try:
            raw = await self._wait(min(room, self._look_ahead()), wait_s)
        finally:
            self._callers -= 1
        if raw is not None:
            self._taken_s = loop.time()
        return raw

    def pop(self) -> Raw | None:
        """Take what came, if there is any; what waited for so long that it was given to others is passed over."""
        oldest = asyncio.get_running_loop().time() - _STALE * self._horizon_s if self._horizon_s is not None else 0.0
        while self._items:
            came, raw = self._items.popleft()
            if came >= oldest:
                return raw
        return None

    def _look_ahead(self) -> int:
        """How many messages whoever takes them gets to within the horizon."""
        if self._horizon_s is None:
            return _MANY
        return max(self._callers, int(self._horizon_s / max(self._pace_s, self._horizon_s / _MANY)))

    async def _wait(self, room: int, wait_s: float | None) -> Raw | None:
        wanted = room - self._owed - len(self._items)
        if wanted > 0 and not self.is_over and self._owed <= room // 2:
            await self._ask(wanted)
        if self._items:
            return self.pop()
        if self.is_over:
            return None
        self._changed.clear()
        silence_s = 2.5 * HEARTBEAT_S if self._owed else None
        try:
            async with asyncio.timeout(silence_s if wait_s is None else wait_s):
                await self._changed.wait()
        except TimeoutError:
            if wait_s is None:
                self._owed = 0  # nothing is heard of what was asked for
        if self._failures:
            wait_s = min(LONGEST_RETRY_S, RETRY_S * 2 ** min(self._failures, 8))
            await asyncio.sleep(random.uniform(wait_s / 2, wait_s))
        return self.pop()

    async def _ask(self, batch: int) -> None:
        question = Question(batch, int(EXPIRES_S * _SECOND), int(HEARTBEAT_S * _SECOND))
        subject = f"{API}.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}"
        try:
            await self._asker.connection.send(build_request(subject, msgspec.json.encode(question), reply=self._inbox))
        except Unavailable:
            return  # `reset` comes with the next connection
        self._owed += batch

    def _hear(self, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        if headers is not None and not data and not reply.startswith(b"$JS.ACK"):
            code, _ = read_status(headers)
            if code == _HEARTBEAT:
                self._changed.set()
                return
            if code:
                left = read_count(headers, "Nats-Pending-Messages")
                self._owed = max(self._owed - left, 0) if left is not None else 0
                if code in _GONE:
                    self._failures += 1
                    self.is_gone = True
                self._changed.set()
                return
        self._failures = 0
        self._owed = max(self._owed - 1, 0)
        self._items.append((asyncio.get_running_loop().time(), (subject, reply, data, headers)))
        self._changed.set()
