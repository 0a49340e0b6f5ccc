"""How is a run watched step by step: stopped where somebody wants to look, and let go on?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from fnmatch import fnmatchcase
from typing import Generic, TypeVar

from msgspec import Struct

from quorate.agent.agent import Agent
from quorate.agent.history import build_conversation
from quorate.agent.replay.compare import count_usage
from quorate.agent.replay.exact import Replay, replay_exactly
from quorate.errors import InvalidInput, UnknownName
from quorate.events import (
    AnyEvent,
    ModelRequested,
    Status,
    ToolFailed,
    ToolFinished,
    ToolRequested,
    ToolStarted,
    get_kind,
    get_status,
)
from quorate.messages import Message, Usage
from quorate.ports import Log
from quorate.state.around import LogAround

T = TypeVar("T")
Output = TypeVar("Output")

KINDS = tuple(sorted(str(kind.__struct_config__.tag) for kind in AnyEvent.__args__))
"""Every kind of event there is."""


class Breakpoints(Struct, frozen=True, kw_only=True):
    """Where to stop; any of these is enough."""

    kinds: tuple[str, ...] = ()
    """Kinds of events, such as `tool.started`; `*` stands for anything, as in `tool.*`."""
    keys: tuple[str, ...] = ()
    """Steps, such as `2/tool/*`."""
    seqs: tuple[int, ...] = ()
    """Places in the log."""
    every: int = 0
    """After every so many events."""

    def find(self, event: AnyEvent, count: int) -> str:
        """Say why to stop at an event; empty where there is no reason."""
        kind = get_kind(event)
        for pattern in self.kinds:
            if fnmatchcase(kind, pattern):
                return f"kind {pattern}"
        for pattern in self.keys:
            if event.key and fnmatchcase(event.key, pattern):
                return f"key {pattern}"
        if event.seq in self.seqs:
            return f"event {event.seq}"
        return f"{count} events" if self.every and count % self.every == 0 else ""


NOWHERE = Breakpoints()


def read_breakpoints(given: Sequence[str]) -> Breakpoints:
    """Read breakpoints from words: a kind (`tool.started`, `tool.*`), a step (`2/tool/*`), a place (`17`), `every=10`.

    Raises:
        UnknownName: No kind of event is called so.
        InvalidInput: A number is not one.
    """
    kinds, keys, seqs, every = list[str](), list[str](), list[int](), 0
    for word in given:
        if word.startswith("every="):
            if not word[6:].isdecimal() or int(word[6:]) < 1:
                raise InvalidInput(f"breakpoint {word!r}: write how many events, such as `every=10`.")
            every = int(word[6:])
        elif word.isdecimal():
            seqs.append(int(word))
        elif "/" in word:
            keys.append(word)
        elif any(fnmatchcase(kind, word) for kind in KINDS):
            kinds.append(word)
        else:
            raise UnknownName("kind of event", word, KINDS)
    return Breakpoints(kinds=tuple(kinds), keys=tuple(keys), seqs=tuple(seqs), every=every)


class Stop(Struct, frozen=True, kw_only=True):
    """How a run stands where it was stopped."""

    event: AnyEvent
    """What was recorded last; what follows from it has not happened yet."""
    reason: str
    """Which breakpoint it was, or `step`."""
    status: Status
    turn: int
    """How often the run's own model was asked."""
    messages: Sequence[Message]
    """The conversation so far."""
    usage: Usage
    cost_usd: float | None
    under_way: tuple[str, ...]
    """The keys of the calls that began and have no result yet."""


def build_stop(events: Sequence[AnyEvent], reason: str) -> Stop:
    """Say how a run stands after the last of its events."""
    calls: dict[str, bool] = {}
    turn, status = 0, "queued"
    for event in events:
        status = get_status(event) or status
        if isinstance(event, ToolStarted):
            calls[event.key] = True
        elif isinstance(event, (ToolFinished, ToolFailed, ToolRequested)):
            calls[event.key] = False
        elif isinstance(event, ModelRequested) and event.key.count("/") == 1:
            turn = max(turn, int(event.key.partition("/")[0]))
    usage, cost = count_usage(events)
    return Stop(
        event=events[-1],
        reason=reason,
        status=status,  # pyright: ignore[reportArgumentType]
        turn=turn,
        messages=build_conversation(events),
        usage=usage,
        cost_usd=cost,
        under_way=tuple(key for key, is_open in calls.items() if is_open),
    )


class Stepper(Generic[T]):
    """A run that is stopped at breakpoints: an asynchronous iterator of its stops.

    `async for` goes on to the next breakpoint each time; `step` stops at the very next event.
    """

    def __init__(self, breakpoints: Breakpoints, *, events: Sequence[AnyEvent] = ()) -> None:
        self.breakpoints = breakpoints
        self._events = list(events)
        self._count = 0
        self._stepping = False
        self._turn = asyncio.Lock()
        self._stop: Stop | None = None
        self._changed = asyncio.Event()
        self._released = asyncio.Event()
        self._begun = asyncio.Event()
        self._values: list[T] = []
        self._error: Exception | None = None
        self._is_over = False

    def __aiter__(self) -> Stepper[T]:
        return self

    async def __anext__(self) -> Stop:
        stop = await self.resume()
        if stop is None:
            raise StopAsyncIteration
        return stop

    async def step(self) -> Stop | None:
        """Go on to the very next event; `None` when there was none."""
        self._stepping = True
        return await self._go_on()

    async def resume(self) -> Stop | None:
        """Go on to the next breakpoint; `None` when the run ended or rests before one."""
        self._stepping = False
        return await self._go_on()

    async def finish(self) -> T:
        """Go on to the end without stopping, and return what came of it; raises what the run raised."""
        self.breakpoints = Breakpoints()
        while await self.resume() is not None:
            pass
        if self._error is not None:
            raise self._error
        return self._values[0]

    async def drive(self, work: Callable[[], Awaitable[T]]) -> None:
        """Do the work, once somebody has begun to look; what it raises is raised by `finish`."""
        await self._begun.wait()
        try:
            self._values.append(await work())
        except Exception as error:  # whatever ends the run is for whoever looks at it
            self._error = error
        finally:
            self._is_over = True
            self._changed.set()

    async def watch(self, event: AnyEvent) -> None:
        """Wait at an event as long as somebody looks at it."""
        async with self._turn:
            self._count += 1
            reason = "step" if self._stepping else self.breakpoints.find(event, self._count)
            if not reason:
                return
            self._stop = build_stop(self._events[: event.seq], reason)
            self._released.clear()
            self._changed.set()
            await self._released.wait()

    async def record(self, event: AnyEvent) -> None:
        """Take note of an event that was recorded just now, and wait at it as `watch` does."""
        self._events.append(event)
        await self.watch(event)

    async def _go_on(self) -> Stop | None:
        self._stop = None
        self._changed.clear()
        self._begun.set()
        self._released.set()
        if not self._is_over:
            await self._changed.wait()
        return self._stop


class SteppedLog(LogAround):
    """A log whose writers are stopped at breakpoints, once what they wrote is recorded and before they go on."""

    def __init__(self, inner: Log, stepper: Stepper[T], *, run: str) -> None:
        super().__init__(inner)
        self._run = run
        self._record: Callable[[AnyEvent], Awaitable[None]] = stepper.record

    async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
        """Add events, then wait as long as somebody looks at them."""
        await self.inner.append(run, events, expected=expected)
        if run == self._run:
            for event in events:
                await self._record(event)


@asynccontextmanager
async def open_replay(
    agent: Agent[object, Output],
    events: Sequence[AnyEvent],
    *,
    breakpoints: Breakpoints = NOWHERE,
    history: Sequence[Message] = (),
    deps: object = None,
) -> AsyncGenerator[Stepper[Replay[Output]]]:
    """Open an exact replay that stops at breakpoints; see `replay_exactly`."""
    stepper = Stepper[Replay[Output]](breakpoints, events=events)

    async def work() -> Replay[Output]:
        return await replay_exactly(agent, events, history=history, deps=deps, watch=stepper.watch)

    async with _open(stepper, work):
        yield stepper


@asynccontextmanager
async def open_stepped(
    log: Log, run: str, work: Callable[[Log], Awaitable[T]], *, breakpoints: Breakpoints = NOWHERE
) -> AsyncGenerator[Stepper[T]]:
    """Open a live run, such as a resumed fork, that stops at breakpoints.

    Args:
        log: Where it is recorded.
        run: Its id.
        work: Does the work on the log it is given, such as `lambda log: agent.resume(run, log=log)`.
        breakpoints: Where to stop.
    """
    stepper = Stepper[T](breakpoints, events=await log.read(run))
    async with _open(stepper, lambda: work(SteppedLog(log, stepper, run=run))):
        yield stepper


@asynccontextmanager
async def _open(stepper: Stepper[T], work: Callable[[], Awaitable[T]]) -> AsyncGenerator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stepper.drive(work))
        try:
            yield
        finally:
            task.cancel()
