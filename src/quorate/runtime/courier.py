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
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress

import msgspec
from msgspec import Struct

from quorate.bus.returning import KeepingBus
from quorate.bus.subjects import build_subject
from quorate.clock import SYSTEM_CLOCK, Clock
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
END_S = 0.5
"""How long the end waits for what was not told yet."""
ASK_S = 2.0
"""How often whoever wants a run's text says so."""
WANTED_S = 3 * ASK_S
"""How long it is believed that somebody still does."""
MAX_WANTED = 10_000
"""Of how many runs it is kept that somebody wants their text."""
MAX_NAME = 255
"""How long the id of a run may be of which that is kept."""
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


class Wanted(Struct, frozen=True, kw_only=True):
    """That somebody follows a run, and wants its text while it is said."""

    run: str


_encode = msgspec.json.Encoder().encode
_read_moved = msgspec.json.Decoder(Moved).decode
_read_live = msgspec.json.Decoder(Live).decode
_read_wanted = msgspec.json.Decoder(Wanted).decode


def _always() -> bool:
    return True


class Courier:
    """Tells over a bus which runs moved on, wakes whoever waits for work, and carries text to those who follow.

    No call of it waits for the bus, and none fails because of it. Whoever follows a run says that its text is wanted,
    again and again: a run of which nobody says so is not streamed, and costs nothing here.
    """

    def __init__(self, bus: Bus, group: asyncio.TaskGroup, *, tenant: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self.untold = 0
        """How much was not told because the bus was away or slow."""
        self.dropped = 0
        """How many pieces of news gave way because whoever followed a run here was too slow."""
        self._bus = bus
        self._group = group
        self._tenant = tenant
        self._clock = clock
        self._news: dict[str, int] = {}
        """Runs that moved on and up to where, to be told."""
        self._has_queued = False
        self._is_listening = False
        self._here: dict[str, RunHandle] = {}
        """Runs that are worked on here."""
        self._wanted: dict[str, float] = {}
        """Runs whose text somebody wants, and until when that is believed; the longest known first."""
        self._carried: set[str] = set()
        """Runs whose text is being carried."""
        self._is_asked = False
        """Whether it is heard of what is wanted."""
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
        if self._wanted and run in self._wanted:
            self._carry(run)

    async def check(self, *, keeps: bool, timeout_s: float) -> None:
        """Return if the bus answers; it is not waited for beyond that time.

        Args:
            keeps: Whether it has to keep anything, so that its streams are asked too.
            timeout_s: How long it may take.

        Raises:
            Unavailable: It is away.
            DeadlineExceeded: It does not answer in time.
        """
        async with asyncio.timeout(timeout_s):
            if keeps and isinstance(self._bus, KeepingBus):
                await self._bus.check_ready(timeout_s=timeout_s)
            else:
                await self._bus.flush(timeout_s=timeout_s)

    async def wait(self, seconds: float) -> None:
        """Sleep, or less when there may be work; it is what a `Worker` sleeps with."""
        if not self._is_listening:  # who never waits for work is not told of any, as it is told to one of all
            self._is_listening = True
            self.spawn(self.listen())
            self._begin_asked()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()

    def show(self, handle: RunHandle) -> None:
        """Let those who follow a run that is worked on here have its text, from when they ask for it."""
        self._here[handle.id] = handle
        self._begin_asked()
        if handle.id in self._wanted:
            self._carry(handle.id)

    def hide(self, handle: RunHandle) -> None:
        """Forget a run that is not worked on here any more."""
        if self._here.get(handle.id) is handle:
            del self._here[handle.id]

    def is_wanted(self, run: str) -> bool:
        """Whether somebody is believed to follow a run and to want its text."""
        return self._wanted.get(run, 0.0) > self._clock.monotonic()

    def is_carried(self, run: str) -> bool:
        """Whether the text of a run is being carried."""
        return run in self._carried

    def watching(self, tell: Tell = lambda what, run, why: None) -> Tell:
        """Return what a `Worker` tells: of every run that it takes, those who follow it may have the text.

        A runtime that has this courier shows its runs itself.
        """

        def told(what: str, run: RunHandle | RunSummary, why: QuorateError | None) -> None:
            if isinstance(run, RunHandle):
                (self.show if what == "taken" else self.hide)(run)
            tell(what, run, why)

        return told

    async def follow(
        self, runtime: Runtime, run_id: str, *, after: int = 0, wants_text: Callable[[], bool] = _always
    ) -> AsyncGenerator[AnyEvent | Delta]:
        """Yield a run's events after a position, and its text while it is said, until it ends or rests.

        The events are read from the log, all of them and in order, whatever the bus does. Text is best effort: what is
        missing of it is in the events.

        Args:
            runtime: Whose run it is.
            run_id: Which run.
            after: Behind which event.
            wants_text: Whether text is wanted at the moment; whoever works on the run sends none that nobody wants.

        Raises:
            NotFound: There is no such run, or it was deleted.
        """
        async with AsyncExitStack() as stack:
            news = await self._listen(stack, build_subject("runs", "told", self._tenant, run_id))
            _, events = await read_run(runtime.log, run_id, tenant=runtime.tenant)
            last: AnyEvent = events[-1]
            events, asks_at = events[after:], self._clock.monotonic()
            while True:
                for last in events:
                    yield last
                is_handed_over = (
                    isinstance(last, RunWaiting) and last.reason == "interrupted" and last.wakes is not None
                )
                if isinstance(last, (*ENDINGS, RunWaiting)) and not is_handed_over:
                    return
                if wants_text() and self._clock.monotonic() >= asks_at:
                    asks_at = self._clock.monotonic() + ASK_S
                    await self._tell(build_subject("runs", "wanted", self._tenant), _encode(Wanted(run=run_id)))
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
            await self._tell_all()

    async def _tell_all(self) -> None:
        """Tell what is noted; whoever breaks it off leaves the rest for the next time."""
        if self._has_queued:
            self._has_queued = False
            try:
                await self._tell(build_subject("runs", "queued", self._tenant), b"")
            except asyncio.CancelledError:
                self._has_queued = True
                raise
        while self._news:
            run, seq = next(iter(self._news.items()))
            with suppress(InvalidInput):  # a run whose id is no identifier is found by looking
                await self._tell(build_subject("runs", "told", self._tenant, run), _encode(Moved(run=run, seq=seq)))
            if self._news.get(run) == seq:
                del self._news[run]

    async def listen(self) -> None:
        """Wake whoever waits for work, for ever; one process of all for each run that is queued."""
        subject = build_subject("runs", "queued", self._tenant)
        while True:
            with suppress(QuorateError):
                async with self._bus.subscribe(subject, group="workers", room=Room(overflow="oldest")) as queued:
                    async for _ in queued:
                        self._woken.set()
            await asyncio.sleep(QUIET_S)

    async def ask(self) -> None:
        """Hear whose text is wanted, for ever."""
        subject = build_subject("runs", "wanted", self._tenant)
        while True:
            with suppress(QuorateError):
                async with self._bus.subscribe(subject, room=Room(max_messages=MAX_WANTED, overflow="oldest")) as asked:
                    async for message in asked:
                        with suppress(msgspec.DecodeError, UnicodeDecodeError):
                            self._want(_read_wanted(message.data).run)
            await asyncio.sleep(QUIET_S)

    async def end(self) -> None:
        """Tell what was not told yet, for half a second at most, and carry nothing more."""
        for task in list(self._tasks):
            task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await self._tell_all()
        self.untold += len(self._news)

    def _begin_asked(self) -> None:
        if not self._is_asked:  # who works on nothing is asked for nothing
            self._is_asked = True
            self.spawn(self.ask())

    def _want(self, run: str) -> None:
        if len(run) > MAX_NAME:
            return
        now = self._clock.monotonic()
        self._wanted.pop(run, None)
        while self._wanted and (len(self._wanted) >= MAX_WANTED or next(iter(self._wanted.values())) < now):
            del self._wanted[next(iter(self._wanted))]
        self._wanted[run] = now + WANTED_S
        if run in self._here:
            self._carry(run)

    def _carry(self, run: str) -> None:
        """Carry a run's text from now on, if somebody wants it and it is worked on here."""
        handle = self._here.get(run)
        if handle is None or run in self._carried or not self.is_wanted(run):
            return
        known = len(handle.watch())  # at once, so that the reply that is asked for next comes in pieces
        self._carried.add(run)
        self.spawn(self._relay(handle, known))

    async def _relay(self, handle: RunHandle, known: int) -> None:
        """Carry what is said in a run, from some place on, to those who follow it elsewhere."""
        subject, seq = build_subject("runs", "told", self._tenant, handle.id), 0
        try:
            async with aclosing(handle.stream()) as items:
                async for item in items:
                    known -= 1
                    if isinstance(item, Event):
                        seq = item.seq
                    elif known < 0 and not self.is_wanted(handle.id):
                        return
                    elif known < 0:
                        await self._tell(subject, _encode(Live(run=handle.id, after=seq, delta=item)))
        finally:
            self._carried.discard(handle.id)

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
                news = await stack.enter_async_context(self._bus.subscribe(subject, room=room))
                stack.callback(self._end_listening, news)
                return news
        return None

    def _end_listening(self, news: Subscription) -> None:
        self.dropped += news.dropped

    async def _hear(self, news: Subscription | None, seq: int, *, end: float) -> Delta | None:
        """Return the next text; `None` when the run is said to have moved on, or it is time to look."""
        while asyncio.get_running_loop().time() < end:
            message = await self._next(news, end)
            if message is None:
                return None
            with suppress(msgspec.DecodeError, UnicodeDecodeError):
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
async def open_courier(bus: Bus, *, tenant: str = "default", clock: Clock = SYSTEM_CLOCK) -> AsyncGenerator[Courier]:
    """Open a courier over a bus; at the end of the block what is pending is told, for half a second at most.

    Args:
        bus: Over what it tells, the bus of whoever runs the fleet.
        tenant: That bus's tenant.
        clock: By what it is believed for a while that somebody wants a run's text.
    """
    async with asyncio.TaskGroup() as group:
        courier = Courier(bus, group, tenant=tenant, clock=clock)
        courier.spawn(courier.serve())
        try:
            yield courier
        finally:
            await courier.end()
