"""How do parts that do not know each other talk, and what does a bus promise of it?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

from msgspec import Struct, field

Overflow = Literal["oldest", "newest", "latest", "end"]
"""What gives way when somebody is too slow: what has waited longest, what comes, all but the last of each subject, or
the subscription itself."""
Kind = Literal["work", "events"]
"""What a stream is for: things to be done once by somebody, or things that happened, to be read again."""


class Message(Struct, frozen=True, kw_only=True, gc=False):
    """What came over a bus."""

    subject: str
    data: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    reply: str = ""
    """Where an answer is expected, if one is: an inbox, never another subject."""
    seq: int = 0
    """Its number in the stream that keeps it; 0 where none was read."""
    time: float = 0.0
    """When it was kept, in wall time; 0 where it was not read from a stream."""


class Receipt(Struct, frozen=True, kw_only=True, gc=False):
    """That a stream keeps a message."""

    stream: str
    seq: int
    duplicate: bool = False
    """Whether a message with the same id was there already, and this one was passed over."""


class Room(Struct, frozen=True, kw_only=True):
    """How much may wait for one subscriber, and what gives way when it is more."""

    max_messages: int = 65_536
    max_bytes: int = 64 << 20
    overflow: Overflow = "newest"


class StreamRule(Struct, frozen=True, kw_only=True):
    """What a stream keeps, and how much of it."""

    name: str
    """An id; for a stream of work it is the name of the queue."""
    subjects: tuple[str, ...]
    """What it keeps; no two streams may keep the same subject."""
    kind: Kind
    max_messages: int = 100_000
    max_bytes: int = 256 << 20
    max_age_s: float | None = None
    dedupe_s: float = 120.0
    """For how long a message's id is remembered."""
    replicas: int = 1
    ack_wait_s: float = 30.0
    """After how long without a word a piece of work is given to somebody else."""
    max_deliver: int = 5
    """How often a piece of work is given out before it is put aside."""
    backoff_s: tuple[float, ...] = (1.0, 5.0, 25.0, 120.0)
    """How long work that failed rests before it is given out again, after the first time, the second and so on."""


class Subscription(Protocol):
    """The messages that come for one subscriber; loop over it with `async for`."""

    @property
    def dropped(self) -> int:
        """How many messages gave way because whoever loops was too slow."""
        ...

    def __aiter__(self) -> AsyncIterator[Message]:
        """Yield messages in the order in which each publisher sent them.

        Raises:
            Incomplete: It was too slow, and its room says `end`; or the stream it reads lost its place.
        """
        ...

    async def drain(self) -> None:
        """Take no more; what has come is still given out, and then the loop ends."""
        ...


class Delivery(Protocol):
    """A piece of work that somebody was given; answer it when what came of it is recorded."""

    @property
    def message(self) -> Message:
        """What is to be done."""
        ...

    @property
    def attempt(self) -> int:
        """How often it was given out, this time included."""
        ...

    async def ack(self) -> None:
        """Say that it is done: it is gone for good.

        Call it after the commit. Whoever dies before is replaced, and what was done is then asked for again.
        """
        ...

    async def in_progress(self) -> None:
        """Say that it is being worked on: `ack_wait_s` begins anew."""
        ...

    async def nak(self, reason: str, *, delay_s: float | None = None) -> None:
        """Say that it failed: it is given out again after a while, or is a dead letter if this was the last attempt."""
        ...

    async def reject(self, reason: str) -> None:
        """Say that it can never be done: it is a dead letter at once."""
        ...


class Work(Protocol):
    """The pieces of work that come for one worker; loop over it with `async for`."""

    def __aiter__(self) -> AsyncIterator[Delivery]:
        """Yield what is to be done, each piece to one worker of all at a time."""
        ...

    async def drain(self) -> None:
        """Take no more; what has come is still given out, and then the loop ends."""
        ...


class Bus(Protocol):
    """The courier between processes, for one tenant: what is sent over it may be lost with it, what is recorded not.

    Subjects are words joined by dots; `*` in a pattern stands for one word, `>` at its end for one or more.
    Every message bears the tenant of who sent it, and one that bears another is not given out.
    """

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, reply: str = ""
    ) -> None:
        """Tell everybody who listens, once each and in order; nobody may listen, and nothing is kept for later.

        Once this returns, the message is delivered to the broker, or is reported by `flush`. What was under way when a
        connection was lost is sent again afterwards, and may then come twice.

        Raises:
            InvalidInput: The subject is not one, or has wildcards; or a header is not one.
            Forbidden: The subject belongs to another tenant, or to the broker.
            TooLarge: It is larger than the broker takes.
            Unavailable: There is no connection, and as much waits for one as may.
        """
        ...

    async def flush(self, *, timeout_s: float = 5.0) -> None:
        """Wait until the broker has everything that was published here.

        Raises:
            Unavailable: Some of it was lost since the last flush, `context["lost"]` messages.
            DeadlineExceeded: It does not answer.
        """
        ...

    def subscribe(
        self,
        pattern: str,
        *,
        group: str | None = None,
        after: int | None = None,
        since: float | None = None,
        room: Room | None = None,
    ) -> AbstractAsyncContextManager[Subscription]:
        """Listen for a block; what is published once the block has begun is heard.

        Args:
            pattern: What to listen to.
            group: Of all who listen with the same group and pattern, one hears each message.
            after: Read what a stream keeps behind this number first (0: all of it), and then go on with what comes.
            since: The same, from a wall time on.
            room: How much may wait.

        Raises:
            InvalidInput: The pattern is not one; or no stream keeps it, and `after` or `since` was given.
            Forbidden: It belongs to another tenant, or to the broker.
            Unavailable: There is no connection.
        """
        ...

    async def request(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, timeout_s: float = 5.0
    ) -> Message:
        """Ask whoever listens, and return the first answer.

        Raises:
            NoResponders: Nobody listens; known at once.
            DeadlineExceeded: Nobody answered in time.
            Unavailable: The connection was lost; whether it was heard is not known.
        """
        ...

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
        """Put a message into the stream that keeps its subject, and return once it is kept there.

        It is kept once for an id, however often it is sent within the stream's `dedupe_s`; work is given out at least
        once, what happened is there for whoever reads it.

        Args:
            subject: Where to.
            data: What.
            id: Its name, for whoever sends it twice; a new one when not given.
            headers: More about it.
            ttl_s: After how many seconds it is gone if nobody took it, one at least; fractions count as whole.
            timeout_s: How long to try.

        Raises:
            InvalidInput: No stream keeps the subject, or the arguments are not what they must be.
            RateLimited: The stream is full: wait, and send it again.
            StorageFull: The broker's disk is.
            DeadlineExceeded: It was not confirmed in time; send it again with the same id.
            Unavailable: The connection was lost and did not come back in time; likewise.
        """
        ...

    def work(self, queue: str, *, max_in_flight: int = 64) -> AbstractAsyncContextManager[Work]:
        """Take work for a block: at most `max_in_flight` pieces at a time that were not answered.

        What was not answered at the end of the block is given to others, after `ack_wait_s` at the latest.

        Raises:
            InvalidInput: There is no such queue.
            Unavailable: There is no connection.
        """
        ...
