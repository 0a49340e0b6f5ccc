"""What waits for one subscriber, how much of it, and what gives way when it is more?"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from quorate.errors import Incomplete, InvalidInput, QuorateError
from quorate.ports.bus import Message, Overflow, Room

BEHIND = 256
"""From how many waiting messages on a subscriber counts as behind, so that whoever publishes gives way to it."""


class Mailbox:
    """The messages of one subscription, in the order they came; a `quorate.ports.bus.Subscription`.

    Putting is done by a bus, on the event loop; taking by any number of tasks, each message by one of them.
    """

    __slots__ = (
        "_bytes", "_error", "_is_closed", "_is_over", "_items", "_latest", "_leave", "_max_bytes",
        "_max_messages", "_overflow", "_waiting", "dropped", "pattern", "taken",
    )  # fmt: skip

    def __init__(self, pattern: str, room: Room | None = None, *, leave: Callable[[], None]) -> None:
        """Build the mailbox of a subscription.

        Args:
            pattern: What is listened to.
            room: How much may wait.
            leave: Tells the bus that nothing more is wanted.
        """
        room = room or Room()
        if room.max_messages < 1 or room.max_bytes < 1:
            raise InvalidInput(f"{room!r} has no room for a message.")
        self.pattern = pattern
        self.dropped = 0
        """How many messages gave way."""
        self._max_messages = room.max_messages
        self._max_bytes = room.max_bytes
        self._overflow: Overflow = room.overflow
        self._leave = leave
        self._items: deque[Message] = deque()
        self._latest: dict[str, Message] = {}
        """With `latest`, what waits by subject; `_items` is empty then."""
        self._bytes = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_over = False
        self._is_closed = False
        self.taken = asyncio.Event()
        """Set once nothing more comes and everything was taken."""
        self._error: QuorateError | None = None

    def __len__(self) -> int:
        """Return how many messages wait."""
        return len(self._items) or len(self._latest)

    @property
    def is_behind(self) -> bool:
        """Whether so many wait that whoever publishes had better give way."""
        return len(self._items) >= BEHIND

    def put(self, message: Message) -> None:
        """Let a message wait; something gives way when there is no room."""
        if self._is_over:
            return
        if self._overflow == "latest":
            self._put_latest(message)
        else:
            size = len(message.data)
            is_full = len(self._items) >= self._max_messages or self._bytes + size > self._max_bytes
            if is_full and not self._make_room(size):
                return
            self._items.append(message)
            self._bytes += size
        if self._waiting:
            self._wake()

    def finish(self, error: QuorateError | None = None) -> None:
        """Take no more: whoever loops gets what waits, and then the end, or an error."""
        if not self._is_over:
            self._is_over, self._error = True, error
            if not len(self):
                self.taken.set()
            while self._waiting:
                self._wake()

    def close(self) -> None:
        """Forget everything."""
        self._is_closed = True
        self._items.clear()
        self._latest.clear()
        self._bytes = 0
        self.taken.set()
        self.finish()

    async def drain(self) -> None:
        """Take no more; see `quorate.ports.bus.Subscription`."""
        if not self._is_over:
            self._leave()
            self.finish()

    def __aiter__(self) -> AsyncIterator[Message]:
        """Loop over what comes."""
        return self

    async def __anext__(self) -> Message:
        """Take the next message."""
        items = self._items
        while not items:
            if self._latest:
                message = self._latest.pop(next(iter(self._latest)))
                self._bytes -= len(message.data)
                return message
            if self._is_over:
                self.taken.set()
                if self._error is not None and not self._is_closed:
                    raise self._error
                raise StopAsyncIteration
            await self._wait()
        message = items.popleft()
        self._bytes -= len(message.data)
        return message

    def _put_latest(self, message: Message) -> None:
        before = self._latest.pop(message.subject, None)
        if before is not None:
            self._bytes -= len(before.data)
            self.dropped += 1
        self._latest[message.subject] = message
        self._bytes += len(message.data)
        while len(self._latest) > self._max_messages or (self._bytes > self._max_bytes and len(self._latest) > 1):
            oldest = self._latest.pop(next(iter(self._latest)))
            self._bytes -= len(oldest.data)
            self.dropped += 1

    def _make_room(self, size: int) -> bool:
        """Let something give way; say whether there is room now."""
        if self._overflow == "oldest" and size <= self._max_bytes:
            while self._items and (len(self._items) >= self._max_messages or self._bytes + size > self._max_bytes):
                self._bytes -= len(self._items.popleft().data)
                self.dropped += 1
            return True
        self.dropped += 1
        if self._overflow == "end":
            self._leave()
            self.finish(
                Incomplete(
                    f"the subscription to {self.pattern!r} ended: {len(self._items)} messages waited, which is as much "
                    "as its `room` has. Read faster, give it more room, or let something else give way.",
                    pattern=self.pattern,
                    waiting=len(self._items),
                )
            )
        return False

    async def _wait(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._wake()  # it was woken for a message that somebody else must take now
            else:
                with suppress(ValueError):  # whoever woke others has passed it over already
                    self._waiting.remove(waiter)
            raise

    def _wake(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
