"""What happened, who wants to hear of it, and from where on?

```python
events = Events(bus, tenant="acme")
async with events.subscribe("*.error", room=Room(max_messages=1000, overflow="oldest")) as errors:
    await events.publish("disk.error", {"free": 0}, key="host-7")
    async for event in errors: ...
```

An event is told to whoever listens, or also kept in a stream (`kept=True`), from which it can be read again. Its
subject is `ai.events.{told|kept}.{tenant of the bus}.{tenant}.{kind …}.{key}`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import msgspec
from msgspec import Struct

from quorate.bus.event_subjects import EventReader, Way, build_event_pattern, build_event_subject
from quorate.bus.globs import Glob
from quorate.bus.mailbox import Mailbox
from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import InvalidInput, QuorateError
from quorate.ids import check_id, new_id
from quorate.ports.bus import Bus, Receipt, Room, StreamRule, Subscription
from quorate.ports.happening import Happening

STREAM = "kept-events"
WEEK_S = 7 * 86_400.0
DEDUPE_S = 900.0
MAX_KEPT = 500_000
MAX_SUBJECTS = 4096
"""How many subjects are remembered."""


class Draft(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A `Happening` as it is written, with what it tells still a value."""

    id: str
    kind: str
    tenant: str
    time: float
    key: str = ""
    run: str = ""
    seq: int = 0
    data: object = None


_encode = msgspec.json.Encoder().encode


class EventSubscription:
    """The events that come for one subscriber; loop over it with `async for`."""

    def __init__(self, source: Subscription, reader: EventReader, *, mailbox: Mailbox | None = None) -> None:
        self._source = source
        self._reader = reader
        self._mailbox = mailbox

    @property
    def dropped(self) -> int:
        """How many events gave way because whoever loops was too slow."""
        return self._source.dropped + (self._mailbox.dropped if self._mailbox is not None else 0)

    @property
    def unread(self) -> int:
        """How many messages came that are no events, or are not what their subject says."""
        return self._reader.unread

    async def __aiter__(self) -> AsyncIterator[Happening]:
        """Yield events; those of one key, and all of one publisher, in the order they were published.

        Raises:
            Incomplete: It was too slow, and its room says `end`; or the stream it reads lost its place.
        """
        read = self._reader.read
        async for message in self._source if self._mailbox is None else self._mailbox:
            event = read(message)
            if event is not None:
                yield event

    async def drain(self) -> None:
        """Take no more; what has come is still given out, and then the loop ends."""
        await self._source.drain()


class Events:
    """Events over a bus: published by kind, heard by pattern.

    The tenant of the bus is the border: whoever listens hears no event of another bus's tenant. Over the bus of a whole
    fleet events of several tenants may go, and each says whose it is.
    """

    def __init__(self, bus: Bus, *, tenant: str = "default", clock: Clock = SYSTEM_CLOCK) -> None:
        """Build it.

        Args:
            bus: Over what events go. Where they are to be kept, it was opened with `build_event_rules`.
            tenant: The bus's tenant, and whose events are when nothing else is said.
            clock: Where their time comes from.
        """
        self.tenant = check_id(tenant, "tenant")
        self._bus = bus
        self._clock = clock
        self._name = new_id("event")
        self._numbers = count(1)
        self._subjects: dict[tuple[str, str, str, Way], str] = {}
        self._live: dict[EventSubscription, None] = {}
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """How many events gave way in all subscriptions, those that have ended included."""
        return self._dropped + sum(subscription.dropped for subscription in self._live)

    async def publish(
        self,
        kind: str,
        data: object = None,
        *,
        key: str = "",
        run: str = "",
        seq: int = 0,
        tenant: str = "",
        id: str = "",
        time: float | None = None,
        kept: bool = False,
    ) -> Receipt | None:
        """Tell that something happened; with `kept`, return once a stream keeps it.

        Args:
            kind: What, such as `agent.failed`.
            data: What there is to tell of it; anything that can be JSON.
            key: What it happened to. Events of one key are heard in order, and with `overflow="latest"` only the last
                of each kind and key waits.
            run: In which run it happened, if in one.
            seq: Which event of its log that is.
            tenant: Whose it is; the bus's own tenant when not given.
            id: Its name, for whoever sends it twice; a new one when not given.
            time: When it happened; now when not given.
            kept: Whether it is to be read again later.

        Raises:
            InvalidInput: The kind is not one, the data cannot be JSON, or no stream keeps it.
            TooLarge: It is larger than the broker takes.
            RateLimited: The stream is full.
            Unavailable: There is no connection, and as much waits for one as may.
        """
        tenant = tenant or self.tenant
        way: Way = "kept" if kept else "told"
        place = (tenant, kind, key, way)
        subject = self._subjects.get(place)
        if subject is None:
            if len(self._subjects) >= MAX_SUBJECTS:
                self._subjects.clear()
            subject = build_event_subject(way, self.tenant, tenant=tenant, kind=kind, key=key)
            self._subjects[place] = subject
        name = id or f"{self._name}-{next(self._numbers)}"
        time = self._clock.now() if time is None else time
        draft = Draft(id=name, kind=kind, tenant=tenant, time=time, key=key, run=run, seq=seq, data=data)
        try:
            written = _encode(draft)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidInput(f"what event {kind!r} tells cannot be written as JSON: {error}") from error
        if kept:
            return await self._bus.enqueue(subject, written, id=name)
        await self._bus.publish(subject, written)
        return None

    @asynccontextmanager
    async def subscribe(
        self,
        pattern: str = "**",
        *,
        key: str | None = None,
        tenant: str | None = None,
        group: str | None = None,
        after: int | None = None,
        since: float | None = None,
        room: Room | None = None,
    ) -> AsyncGenerator[EventSubscription]:
        """Listen for a block; what is published once the block has begun is heard.

        Args:
            pattern: Which kinds, where `*` is one word and `**` any number of them: `*.error`, `agent.**`.
            key: Only what happened to this.
            tenant: Only the events of this tenant; of all whose events this bus carries when not given.
            group: Of all who listen with the same group, pattern and key, one hears each event.
            after: Read what is kept behind this number (`Happening.place`) first (0: all of it), then what comes.
            since: The same, from a wall time on.
            room: How much may wait, and what gives way when it is more.

        Raises:
            InvalidInput: The pattern is not one; or the bus keeps no events, and `after` or `since` was given.
            Unavailable: There is no connection.
        """
        glob = Glob(pattern)
        is_replay = after is not None or since is not None
        subject, is_exact = build_event_pattern(
            "kept" if is_replay else None, self.tenant, tenant=tenant, glob=glob, key=key
        )
        reader = EventReader(glob, key=key)
        if group is not None and not is_exact:
            group = f"{group}-{reader.digest}"  # those who listen to the same subject want different events of it
        is_sieved = not is_exact and not is_replay
        async with self._bus.subscribe(
            subject, group=group, after=after, since=since, room=None if is_sieved else room
        ) as source:
            if not is_sieved:
                async with self._counted(EventSubscription(source, reader)) as subscription:
                    yield subscription
                return
            mailbox = Mailbox(pattern, room, leave=_stay)
            async with (
                _sieving(source, reader, mailbox),
                self._counted(EventSubscription(source, reader, mailbox=mailbox)) as subscription,
            ):
                yield subscription

    @asynccontextmanager
    async def _counted(self, subscription: EventSubscription) -> AsyncGenerator[EventSubscription]:
        self._live[subscription] = None
        try:
            yield subscription
        finally:
            del self._live[subscription]
            self._dropped += subscription.dropped


def build_event_rules(
    tenant: str = "default", *, max_messages: int = MAX_KEPT, max_age_s: float = WEEK_S, replicas: int = 1
) -> tuple[StreamRule, ...]:
    """Build the stream that keeps events; the oldest give way, by number and by age.

    Args:
        tenant: The bus's tenant.
        max_messages: How many are kept.
        max_age_s: For how long.
        replicas: On how many servers of a cluster.
    """
    return (
        StreamRule(
            name=STREAM,
            subjects=(f"ai.events.kept.{check_id(tenant, 'tenant')}.>",),
            kind="events",
            max_messages=max_messages,
            max_age_s=max_age_s,
            dedupe_s=min(DEDUPE_S, max_age_s),
            replicas=replicas,
        ),
    )


@asynccontextmanager
async def _sieving(source: Subscription, reader: EventReader, mailbox: Mailbox) -> AsyncGenerator[None]:
    """Let wait only what is wanted, as a broker cannot tell: what is not wanted takes nobody's room."""

    async def sieve() -> None:
        why: QuorateError | None = None
        try:
            async for message in source:
                if reader.wants(message.subject):
                    mailbox.put(message)
        except QuorateError as error:
            why = error
        mailbox.finish(why)

    failure: BaseException | None = None
    async with asyncio.TaskGroup() as group:
        task = group.create_task(sieve())
        try:
            yield
        except BaseException as error:
            failure = error  # kept until the group has ended, which would wrap it
        task.cancel()
    mailbox.close()
    if failure is not None:
        raise failure


def _stay() -> None:
    """Listen on: what comes for a subscription that has ended is passed over."""
