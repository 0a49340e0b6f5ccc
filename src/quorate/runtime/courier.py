"""How do processes tell each other at once what the record tells them a little later?

Everything that a courier carries may be lost, late or doubled: it shortens waits, and nothing waits for it.

```python
async with open_courier(bus) as courier:
    store = structs.replace(store, log=Told(store.log, courier))
    async with open_runtime(settings, store=store) as runtime:
        await Worker(runtime, sleep=courier.wait, tell=courier.watching(tell)).run()
```
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress

import msgspec
from msgspec import Struct

from quorate.bus.subjects import build_subject
from quorate.errors import InvalidInput, NotFound, QuorateError
from quorate.events import ENDINGS, AnyEvent, Event, RunCreated, RunSummary, RunWaiting
from quorate.messages import Delta
from quorate.ports import Log
from quorate.ports.bus import Bus, Message, Room, Subscription
from quorate.runtime.control import read_run
from quorate.runtime.handle import RunHandle
from quorate.runtime.runtime import FOLLOW_S, Runtime
from quorate.runtime.worker import Tell
from quorate.state.around import LogAround

MAX_NEWS = 10_000
"""Of how many runs it is kept that they moved on, until that was told."""
PATIENCE_S = 0.5
"""How long the bus may take to take something; after that it is left alone for a while."""
QUIET_S = 1.0
MAX_WATCHED = 1_000
"""How many pieces of text may wait for somebody who follows a run; the oldest give way."""


class Moved(Struct, frozen=True, kw_only=True):
    """That something was added to a run's log."""

    run: str
    seq: int


class Live(Struct, frozen=True, kw_only=True):
    """A piece of text or progress that no log keeps."""

    run: str
    after: int
    """Behind which event of the log it was said; it is old news once a later one is known."""
    delta: Delta


_encode = msgspec.json.Encoder().encode
_read_moved = msgspec.json.Decoder(Moved).decode
_read_live = msgspec.json.Decoder(Live).decode


class Courier:
    """Tells over a bus which runs moved on, wakes whoever waits for work, and carries text to those who follow.

    No call of it waits for the bus, and none fails because of it.
    """

    def __init__(self, bus: Bus, group: asyncio.TaskGroup, *, tenant: str) -> None:
        self.untold = 0
        """How much was not told because the bus was away or slow."""
        self._bus = bus
        self._group = group
        self._tenant = tenant
        self._news: dict[str, int] = {}
        """Runs that moved on and up to where, to be told."""
        self._has_queued = False
        self._is_listening = False
        self._changed = asyncio.Event()
        self._woken = asyncio.Event()
        self._quiet_until = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    def note(self, run: str, events: Sequence[AnyEvent]) -> None:
        """Let others know that events were recorded."""
        if not events:
            return
        if run not in self._news and len(self._news) >= MAX_NEWS:
            del self._news[next(iter(self._news))]
            self.untold += 1
        self._news[run] = events[-1].seq
        self._has_queued = self._has_queued or is_work(events[-1])
        self._changed.set()

    async def wait(self, seconds: float) -> None:
        """Sleep, or less when there may be work; it is what a `Worker` sleeps with."""
        if not self._is_listening:  # who never waits for work is not told of any, as it is told to one of all
            self._is_listening = True
            self.spawn(self.listen())
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()

    def watching(self, tell: Tell = lambda what, run, why: None) -> Tell:
        """Return what a `Worker` tells: of every run that it takes, the text goes to those who follow it."""

        def told(what: str, run: RunHandle | RunSummary, why: QuorateError | None) -> None:
            if what == "taken" and isinstance(run, RunHandle):
                self.spawn(self._relay(run))
            tell(what, run, why)

        return told

    async def follow(self, runtime: Runtime, run_id: str, *, after: int = 0) -> AsyncGenerator[AnyEvent | Delta]:
        """Yield a run's events after a position, and its text while it is said, until it ends or rests.

        The events are read from the log, all of them and in order, whatever the bus does. Text is best effort: what is
        missing of it is in the events.

        Raises:
            NotFound: There is no such run, or it was deleted.
        """
        async with AsyncExitStack() as stack:
            news = await self._listen(stack, build_subject("runs", "told", self._tenant, run_id))
            _, events = await read_run(runtime.log, run_id, tenant=runtime.tenant)
            last: AnyEvent = events[-1]
            events = events[after:]
            while True:
                for last in events:
                    yield last
                is_handed_over = (
                    isinstance(last, RunWaiting) and last.reason == "interrupted" and last.wakes is not None
                )
                if isinstance(last, (*ENDINGS, RunWaiting)) and not is_handed_over:
                    return
                end = asyncio.get_running_loop().time() + FOLLOW_S
                while (delta := await self._hear(news, last.seq, end=end)) is not None:
                    yield delta
                events = await runtime.log.read(run_id, after=last.seq)
                if not events and await runtime.log.last(run_id) < last.seq:
                    raise NotFound(f"Run {run_id!r} was deleted while it was followed.", run=run_id)

    async def serve(self) -> None:
        """Tell what is noted, for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            news, self._news = self._news, {}
            has_queued, self._has_queued = self._has_queued, False
            if has_queued:
                await self._tell(build_subject("runs", "queued", self._tenant), b"")
            for run, seq in news.items():
                with suppress(InvalidInput):  # a run whose id is no identifier is found by looking
                    await self._tell(build_subject("runs", "told", self._tenant, run), _encode(Moved(run=run, seq=seq)))

    async def listen(self) -> None:
        """Wake whoever waits for work, for ever; one process of all for each run that is queued."""
        subject = build_subject("runs", "queued", self._tenant)
        while True:
            with suppress(QuorateError):
                async with self._bus.subscribe(subject, group="workers", room=Room(overflow="oldest")) as queued:
                    async for _ in queued:
                        self._woken.set()
            await asyncio.sleep(QUIET_S)

    def release(self) -> None:
        """Carry nothing more."""
        for task in list(self._tasks):
            task.cancel()

    async def _relay(self, handle: RunHandle) -> None:
        """Carry the text of a run that is worked on here to those who follow it elsewhere."""
        subject, seq = build_subject("runs", "told", self._tenant, handle.id), 0
        async with aclosing(handle.stream()) as items:
            async for item in items:
                if isinstance(item, Event):
                    seq = item.seq
                else:
                    await self._tell(subject, _encode(Live(run=handle.id, after=seq, delta=item)))

    async def _tell(self, subject: str, data: bytes) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._quiet_until:
            self.untold += 1
            return
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._bus.publish(subject, data)
        except (QuorateError, TimeoutError):
            self.untold += 1
            self._quiet_until = now + QUIET_S

    async def _listen(self, stack: AsyncExitStack, subject: str) -> Subscription | None:
        with suppress(QuorateError, TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                room = Room(max_messages=MAX_WATCHED, overflow="oldest")
                return await stack.enter_async_context(self._bus.subscribe(subject, room=room))
        return None

    async def _hear(self, news: Subscription | None, seq: int, *, end: float) -> Delta | None:
        """Return the next text; `None` when the run is said to have moved on, or it is time to look."""
        while asyncio.get_running_loop().time() < end:
            message = await self._next(news, end)
            if message is None:
                return None
            with suppress(msgspec.DecodeError):
                if b'"delta"' in message.data:
                    live = _read_live(message.data)
                    if live.after >= seq:
                        return live.delta
                elif _read_moved(message.data).seq > seq:
                    return None
        return None

    async def _next(self, news: Subscription | None, end: float) -> Message | None:
        try:
            async with asyncio.timeout_at(end):
                if news is None:
                    await asyncio.Event().wait()
                else:
                    return await anext(aiter(news), None) or await self._rest()
        except (TimeoutError, QuorateError):
            pass
        return None

    async def _rest(self) -> Message | None:
        """Wait until it is time to look: the bus has ended."""
        await asyncio.Event().wait()
        return None

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Do something beside, until the courier ends."""
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Told(LogAround):
    """A log of which others are told what is appended to it."""

    def __init__(self, inner: Log, courier: Courier) -> None:
        super().__init__(inner)
        self._courier = courier

    async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
        """Add events, and let others know."""
        await self.inner.append(run, events, expected=expected)
        self._courier.note(run, events)


def is_work(event: AnyEvent) -> bool:
    """Whether somebody may begin to work on a run whose log ends so."""
    return isinstance(event, RunCreated) or (isinstance(event, RunWaiting) and event.wakes is not None)


@asynccontextmanager
async def open_courier(bus: Bus, *, tenant: str = "default") -> AsyncGenerator[Courier]:
    """Open a courier over a bus; at the end of the block it carries nothing more.

    Args:
        bus: Over what it tells, the bus of whoever runs the fleet.
        tenant: That bus's tenant.
    """
    async with asyncio.TaskGroup() as group:
        courier = Courier(bus, group, tenant=tenant)
        courier.spawn(courier.serve())
        try:
            yield courier
        finally:
            courier.release()
