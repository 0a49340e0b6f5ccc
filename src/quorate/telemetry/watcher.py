"""How is everything that is recorded watched without making anybody wait?"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from msgspec import Struct

from quorate.events import ENDINGS, AnyEvent, RunCreated, RunWaiting
from quorate.telemetry.describe import Describer
from quorate.telemetry.facts import FACTUAL, Fact, FactReader
from quorate.telemetry.requests import RequestRecord, build_request_span, is_shown
from quorate.telemetry.sampling import Sampling
from quorate.telemetry.spans import SPANNED, RunSpans, Span, parse_traceparent

MAX_WAITING = 100_000
"""How many events may wait to be shown; those above are dropped and counted."""
MAX_RUNS = 50_000
"""How many runs are watched at once; the one that was quiet longest gives way."""
MAX_KEPT = 1_000
"""How many spans of one run are kept until its end, where that decides whether they are shown."""
MAX_HELD = 100_000
"""How many spans of all runs are kept so."""
LAST_S = 5.0
"""How long is waited at the end for what is left to be shown."""
SHOW_ALL = Sampling()
RESTS = frozenset({RunWaiting, *ENDINGS})
NOTED = FACTUAL | SPANNED
"""Events that say something to somebody here."""
_logger = logging.getLogger("quorate.telemetry")

FindBefore = Callable[[str], Awaitable[Sequence[AnyEvent]]]
"""Reads what was recorded of a run, from its beginning on."""
Begun = Mapping[str, Sequence[AnyEvent]]
Work = Callable[..., Awaitable[object]]
"""Calls a function with arguments in a thread, as `asyncio.to_thread` does."""


Extra = Span | Callable[[], Span]
"""A span that is no part of a run, or what builds it."""


class Batch(Struct, frozen=True, kw_only=True):
    """What ended since the last one."""

    spans: Sequence[Span] = ()
    """All spans of runs and calls, for counting."""
    kept: Sequence[Span] = ()
    """Those that are shown as traces."""
    requests: Sequence[RequestRecord] = ()
    """All requests over HTTP, for counting."""
    facts: Sequence[Fact] = ()
    """What promises may have been made about."""
    dropped: int = 0
    """How many events were lost."""


class Sink(Protocol):
    """Somebody who is shown what happened. It is called in a thread, one call at a time, and may block there."""

    def show(self, batch: Batch) -> None:
        """Take what ended."""
        ...

    def close(self) -> None:
        """Send what is left and close what is open."""
        ...


class Watcher:
    """Takes events as they are recorded, and shows the spans they make, a few seconds later and in a thread.

    Whoever records does nothing but put events into a list, so that what is shown costs runs next to nothing, and a
    receiver that is away or slow costs them nothing at all.

    Args:
        sink: Who is shown spans.
        describer: Knows what to say of events.
        find_before: Reads what came before of a run that another process began, or that rested.
        sampling: Which traces are shown.
        interval_s: How often they are.
        sleep: Waits between.
        work: Calls something in a thread. The standard one is waited for when the program ends, however long a
            receiver takes.
    """

    def __init__(
        self,
        sink: Sink,
        describer: Describer,
        *,
        find_before: FindBefore,
        sampling: Sampling = SHOW_ALL,
        interval_s: float = 5.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        work: Work = asyncio.to_thread,
    ) -> None:
        self.dropped = 0
        """How many events were not shown because too many waited."""
        self._sink = sink
        self._describer = describer
        self._find_before = find_before
        self._sampling = sampling
        self._interval_s = interval_s
        self._sleep = sleep
        self._work = work
        self._told = 0
        """How many of those that were dropped the sink knows of."""
        self._held = 0
        self._busy = threading.Lock()
        self._waiting: list[AnyEvent] = []
        self._count = 0
        """How many wait."""
        self._extra: list[Extra] = []
        self._requests: list[RequestRecord] = []
        self._runs: dict[str, _Watched] = {}
        self._turn = asyncio.Lock()

    def note(self, events: Sequence[AnyEvent]) -> None:
        """Take what was recorded."""
        count = len(events)
        if self._count + count > MAX_WAITING:
            self.dropped += count
        else:
            self._count += count
            self._waiting += events

    def note_span(self, span: Extra) -> None:
        """Take a span that is no part of a run, or what builds it, which is called in the thread."""
        if len(self._extra) < MAX_WAITING:
            self._extra.append(span)
        else:
            self.dropped += 1

    def note_request(self, record: RequestRecord) -> None:
        """Take a request over HTTP that has ended."""
        if len(self._requests) < MAX_WAITING:
            self._requests.append(record)
        else:
            self.dropped += 1

    async def serve(self) -> None:
        """Show what happens, for ever."""
        while True:
            await self._sleep(self._interval_s)
            await self.flush()

    async def flush(self) -> None:
        """Show what has happened until now; return when the receivers have it, or have failed to take it."""
        async with self._turn:
            # Nothing is taken before what came before it is known: whoever gives up here leaves it to the next one.
            events = list(self._waiting)
            begun = await self._find_begun(events)
            self._waiting = self._waiting[len(events) :]
            self._count = len(self._waiting)
            extra, self._extra = self._extra, []
            requests, self._requests = self._requests, []
            try:
                await self._work(self._show, events, extra, requests, begun)
            except Exception:  # a receiver is anybody's code; no run may depend on it
                _logger.warning("%d events could not be shown.", len(events), exc_info=True)

    async def close(self) -> None:
        """Show what is left, and close what shows it."""
        await self.flush()
        try:
            await self._work(self._close)
        except Exception:  # as above; whoever ends a program learns of its work, not of ours
            _logger.warning("What was left could not be shown.", exc_info=True)

    async def _find_begun(self, events: Sequence[AnyEvent]) -> dict[str, Sequence[AnyEvent]]:
        """Find what came before of runs that are not watched; each is looked for once, by the first event of it."""
        known = {event.run for event in events if type(event) is RunCreated}
        found: dict[str, Sequence[AnyEvent]] = {}
        for event in events:
            if event.run in known or event.run in self._runs:
                continue
            known.add(event.run)
            with suppress(Exception):  # a run that cannot be read is not shown
                before = await self._find_before(event.run)
                found[event.run] = [one for one in before if one.seq < event.seq]
        return found

    def _watch(self, head: RunCreated) -> _Watched:
        if len(self._runs) >= MAX_RUNS:
            self._forget(next(iter(self._runs)))
        spans = RunSpans(head, self._describer)
        is_asked = parse_traceparent(head.trace) is not None
        watched = _Watched(spans, is_drawn=self._sampling.is_drawn(spans.context, is_asked=is_asked))
        self._runs[head.run] = watched
        return watched

    def _go_on(self, before: Sequence[AnyEvent]) -> _Watched | None:
        """Watch a run as if it had been watched from its beginning on; what ended before was shown already."""
        if not before or not isinstance(before[0], RunCreated):
            return None
        watched = self._watch(before[0])
        watched.go_on(before)
        return watched

    def _forget(self, run: str) -> None:
        self._held -= self._runs.pop(run).held

    def _show(
        self, events: Sequence[AnyEvent], extra: Sequence[Extra], requests: Sequence[RequestRecord], begun: Begun
    ) -> None:
        # A call whose waiter gave up goes on, and the next one may come before its end.
        with self._busy:
            facts: list[Fact] = []
            ended, kept = self._build(events, begun, facts)
            spans = [one if isinstance(one, Span) else one() for one in extra]
            drawn = [span for span in spans if span.context.is_sampled or (self._sampling.keep_errors and span.error)]
            asked = [build_request_span(one, self._describer) for one in requests if is_shown(one, self._sampling)]
            dropped, self._told = self.dropped - self._told, self.dropped
            counted, shown = [*spans, *ended], [*asked, *drawn, *kept]
            self._sink.show(Batch(spans=counted, kept=shown, requests=requests, facts=facts, dropped=dropped))

    def _build(
        self, events: Sequence[AnyEvent], begun: Begun, facts: list[Fact]
    ) -> tuple[list[Span], list[Span]]:  # fmt: skip
        """Build the spans that end with some events, choose those that are shown, and note facts."""
        ended, kept, resting = list[Span](), list[Span](), set[str]()
        for event in events:
            kind, run = type(event), event.run
            if kind not in NOTED:
                continue
            watched = self._runs.pop(run, None)
            if watched is not None:
                self._runs[run] = watched  # behind those that are quiet for longer
            elif isinstance(event, RunCreated):
                watched = self._watch(event)
            else:
                watched = self._go_on(begun.get(run, ()))
            if watched is None:
                continue
            if kind in FACTUAL:
                facts += watched.facts.add(event)
                if kind in RESTS:
                    resting.add(run)
                else:
                    resting.discard(run)
            spans = list(watched.spans.add(event)) if kind in SPANNED else []
            if not spans:
                continue
            ended += spans
            if watched.is_drawn:
                kept += spans
            else:
                before = watched.held
                kept += watched.choose(spans, self._sampling, is_over=kind in ENDINGS, room=MAX_HELD - self._held)
                self._held += watched.held - before
        for run in resting & self._runs.keys():
            self._forget(run)  # it goes on in whichever process takes it
        return ended, kept

    def _close(self) -> None:
        with self._busy:
            self._sink.close()


class _Watched:
    """A run that is watched, and what of it is kept until it is known whether it is shown."""

    __slots__ = ("_held", "facts", "is_drawn", "spans")

    def __init__(self, spans: RunSpans, *, is_drawn: bool) -> None:
        self.spans = spans
        self.facts = FactReader()
        self.is_drawn = is_drawn
        """Whether it is shown whatever becomes of it."""
        self._held: list[Span] = []

    @property
    def held(self) -> int:
        """How many spans are kept."""
        return len(self._held)

    def go_on(self, before: Sequence[AnyEvent]) -> None:
        """Take what came before, which others have told of."""
        for event in before:
            for _ in self.facts.add(event):
                pass
            for _ in self.spans.add(event):
                pass

    def choose(self, spans: list[Span], sampling: Sampling, *, is_over: bool, room: int) -> list[Span]:
        """Choose what is shown now; as many are kept as there is room for."""
        if not sampling.has_tail:
            return []
        room = min(room, MAX_KEPT - len(self._held))
        self._held += spans if is_over else spans[: max(0, room)]
        return self._held if is_over and sampling.is_kept(spans) else []


@asynccontextmanager
async def open_watcher(watcher: Watcher) -> AsyncGenerator[Watcher]:
    """Let a watcher show what happens while a block lasts; what is left at its end is shown within five seconds."""
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(watcher.serve())
        try:
            yield watcher
        finally:
            serving.cancel()
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_S):
                    await watcher.close()
