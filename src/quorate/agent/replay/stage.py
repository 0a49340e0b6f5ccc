"""In which order must a replay do things so that it writes what was recorded?

Calls that went side by side ended in some order, and whoever commits goes on in some order: none of it is decided by
the agent, all of it is in the record. So whoever would go on waits until the next recorded event is theirs.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence

from quorate.agent.replay.divergence import Divergence, compare_events, show_event
from quorate.agent.replay.recording import ENDS, HELD, KEY, SETTLED, Script, Stretch, is_given
from quorate.agent.scope import Scope
from quorate.errors import Cancelled, DeadlineExceeded, QuorateError
from quorate.events import (
    AnyEvent,
    Event,
    ModelFailed,
    ModelReplied,
    ModelRequested,
    RunCancelled,
    RunIncomplete,
    RunWaiting,
    StepFinished,
    TimerSet,
    ToolFailed,
    ToolFinished,
    ToolStarted,
)

OUTCOMES = (ModelReplied, ModelFailed, *SETTLED, *HELD)
"""What a step of the outside gives first."""
FOREVER_S = 1e9


class Endless(Scope):
    """A run's scope without a deadline of its own: what stopped the run is in its record."""

    __slots__ = ()

    def __init__(self, cause: QuorateError | None = None) -> None:
        super().__init__(FOREVER_S)
        self.cause = cause

    def limit(self, seconds: float | None) -> asyncio.Timeout:
        """Build no bound at all: what was cut is in the record."""
        return super().limit(None)

    def list_inner(self) -> list[Scope]:
        """List the scopes of all delegates at work, however deep."""
        found: list[Scope] = []
        waiting = list(self._inner or ())
        while waiting:
            scope = waiting.pop(0)
            found.append(scope)
            waiting += scope._inner or ()
        return found

    def is_busy(self, scope: Scope) -> bool:
        """Whether a wait is under way in a scope, which stopping it cuts short."""
        return scope._task is not None

    def is_inside(self, scope: Scope) -> bool:
        """Whether the current task is the one that waits in a scope."""
        return scope._task is asyncio.current_task()

    def warn(self, scope: Scope, cause: QuorateError) -> None:
        """Let a scope know that it is being stopped, and cut no wait short yet."""
        scope._spread(cause)

    def cut_short(self, scope: Scope, cause: QuorateError) -> None:
        """Stop a scope, also one that knows already that it will be."""
        scope.cause = None
        scope.stop(cause)

    def calm(self, scope: Scope) -> Scope:
        """Take the deadline from a delegate's scope."""
        scope._timer.cancel()
        return scope


class Stage:
    """One attempt of a recorded run while it is played again: who may go on, and what the world around does."""

    def __init__(self, events: Sequence[AnyEvent], stretch: Stretch) -> None:
        self.script = Script(events, stretch)
        self.place = stretch.start
        """Where the next event is that must be written."""
        self.given: list[AnyEvent] = []
        """What came from outside, and is noticed when something is written behind it."""
        self.divergence: Divergence | None = None
        self.moves = 0
        """Grows with everything that happens, so that a standstill can be noticed."""
        self.scope: Endless
        """What stops the whole run."""
        self.leave: Callable[[], object] = bool
        """What whoever drives the run does to leave it."""
        self.note: Callable[[AnyEvent], object] = bool
        """Told of what came from outside when its place in the recording is reached."""
        self.scopes: dict[str, Scope] = {}
        """What stops each delegate at work, by path."""
        self.cuts: dict[str, Callable[[], None]] = {}
        """How each delegate at work is cut off from outside, by the key of its call."""
        self.paths: dict[asyncio.Task[object] | None, list[str]] = {}
        """Which delegates each task works for, the innermost last."""
        self.released: dict[str, BaseException] = {}
        """What steps without a recorded outcome raise after all."""
        self.running = asyncio.Event()
        """Whether nobody holds the replay to look at it."""
        self.running.set()
        self._gates: dict[str, tuple[int | None, asyncio.Future[None]]] = {}
        self._stopping: str | None = None
        """The path of what is being stopped; nobody below it goes on."""
        self._stopped: set[str] = set()
        self._held: list[tuple[Callable[[AnyEvent], bool], asyncio.Future[None]]] = []

    @property
    def next(self) -> AnyEvent | None:
        """The event that must be written next; `None` when the attempt did no more."""
        return self.script.events[self.place] if self.place < self.script.stretch.end else None

    def get_now(self) -> float:
        """Return what the clock showed: not much more than when something was written last.

        Where a call was let go or refused next, its moment had come; a rest says itself when it began.
        """
        event = self.next
        if isinstance(event, (ToolStarted, ToolFailed)):
            return event.time
        if isinstance(event, RunWaiting) and event.wakes is not None and event.wakes <= event.time:
            is_asked = self.script.has_moment(event.wakes)
            return math.nextafter(event.wakes, 0.0) if is_asked else event.wakes
        written = (one.time for one in reversed(self.script.events[: self.place]) if not is_given(one))
        now = next(written, self.script.events[0].time)
        if isinstance(event, ToolFinished) and self.script.find(event.key, (ToolStarted,)) is None:
            asked = self.script.find_question(event.key)
            if isinstance(asked, TimerSet):
                return min(now, math.nextafter(asked.due, 0.0))  # the last moments were sat out
        return now

    def check(self, event: AnyEvent) -> bool:
        """Compare what is written with what must be, and say whether it is the same."""
        self.moves += 1
        expected = self.next
        if self.divergence is None:
            self.divergence = compare_events(expected, event)
        return self.divergence is None

    def advance(self) -> None:
        """Go to the next event: pass over what came from outside, do what the world did, let go whoever is next."""
        self.place += 1
        self.settle()

    def settle(self) -> None:
        """Bring about what the next event needs."""
        while (event := self.next) is not None and is_given(event):
            self.given.append(event)
            self.note(event)
            self.place += 1
        self.moves += 1
        if event is not None:
            self._interfere(event)
            if self._stopping is None:
                self._release(event)

    async def wait_outcome(self, key: str, kinds: tuple[type[Event], ...] = OUTCOMES) -> AnyEvent | None:
        """Wait until it is a step's turn to give what was recorded, and return it; `None` where nothing was.

        Raises:
            BaseException: What the step ended with in place of an outcome.
        """
        place = self.script.find(key, kinds)
        if place is None and (crash := self._find_crash(key)) is not None:
            raise crash
        if place is None or place != self.place:
            gate = self._gates[key] = (place, asyncio.get_running_loop().create_future())
            self.moves += 1
            try:
                await gate[1]
            finally:
                self._gates.pop(key, None)
        if key in self.released:
            raise self.released.pop(key)
        return self.script.events[place] if place is not None else None

    async def wait_turn(self, last: AnyEvent | None) -> None:
        """Wait, after a commit that ended with `last`, until the next event is one that its writer leads to."""
        event, leads = self.next, _build_lead(last, self.get_path())
        if isinstance(last, SETTLED) and self.script.is_procedural(last.key):
            leads = None  # what it goes on with is asked for by name
        elif isinstance(last, ToolStarted) and self.script.is_procedural(last.key):
            leads = _build_own_lead(last.key)  # its neighbours begin by themselves
        if not self._is_stopping(last) and (leads is None or (event is not None and leads(event))):
            return
        await self._wait_held(leads or _never)

    async def wait_step(self, key: str) -> None:
        """Wait until a step is the next that was recorded, or nothing more was."""
        if self.next is not None and self.next.key != key:
            await self._wait_held(lambda event: event.key == key)

    async def _wait_held(self, leads: Callable[[AnyEvent], bool]) -> None:
        hold = (leads, asyncio.get_running_loop().create_future())
        self._held.append(hold)
        self.moves += 1
        try:
            await hold[1]
        finally:
            if hold in self._held:
                self._held.remove(hold)

    def get_path(self) -> str:
        """Return the path of the delegate that the current task works for; empty for the run's own agent."""
        paths = self.paths.get(asyncio.current_task())
        return paths[-1] if paths else ""

    def list_open(self, kind: str, path: str = "") -> list[str]:
        """List the steps under a path that wait for an outcome: those of one `kind`, `model` or `tool`, or all."""
        return [key for key in self._gates if key.startswith(path) and (not kind or _get_kind(key) == kind)]

    def let_go(self, key: str, error: BaseException) -> None:
        """End a step that waits without an outcome."""
        self.released[key] = error
        self._open(key)

    def unstick(self) -> bool:
        """Do what the world must have done, now that nobody goes on by themselves; say whether there was anything."""
        event = self.next
        before = self.moves
        for key in self.list_open("tool"):
            if (held := self.script.find_silent(key)) is not None:
                self.let_go(key, held)
        if self.moves != before:
            return True
        if event is not None and is_left(event):
            self.moves += bool(self.leave())
        elif isinstance(event, StepFinished) and event.key in self.scopes:
            if event.status != "completed":
                self._stop(event.key, self.script.find_delegate_fault(event.key).build())
        elif isinstance(event, SETTLED) and event.key in self.cuts:
            self._cut(event.key)
        elif event is not None and (fault := self.script.find_crash()) is not None:
            for key in self.list_open("model"):
                if "/tool/" not in key:
                    self.let_go(key, fault.build())
        return self.moves != before

    def diverge(self) -> None:
        """Note that nothing in the replay leads to the next recorded event."""
        event = self.next
        if self.divergence is None and event is not None:
            waits = ", ".join([*self._gates, *self.paths_held()]) or "nothing"
            self.divergence = Divergence(
                seq=event.seq,
                key=event.key,
                recorded=show_event(event),
                replayed="(nothing)",
                note=f"The replay stands still, waiting for: {waits}.",
            )

    def paths_held(self) -> list[str]:
        """Name how many commits are held, for people."""
        return [f"{len(self._held)} commits"] if self._held else []

    def _interfere(self, event: AnyEvent) -> None:
        """Do at once what could not have come later: the run or a delegate was stopped from outside, or left."""
        self._stopping = None
        if is_left(event):
            self._stopping = ""
            self.leave()
        elif isinstance(event, RunCancelled):
            self._stop("", Cancelled(event.reason))
        elif isinstance(event, RunIncomplete) and event.limit == "seconds":
            self._stop("", DeadlineExceeded(event.message, limit="seconds"))
        elif isinstance(event, StepFinished) and event.status == "incomplete" and event.key in self.scopes:
            fault = self.script.find_delegate_fault(event.key)
            if fault.limit == "seconds":
                self._stop(event.key, DeadlineExceeded(fault.message, limit="seconds"))
        elif isinstance(event, SETTLED) and event.key in self.cuts and self.script.is_cut(event.key):
            self._end_delegate(event)

    def _end_delegate(self, event: ToolFinished | ToolFailed) -> None:
        """End a delegate's call otherwise than by what the delegate did."""
        fault = self.script.find_raised(event.key, event.result)
        error = fault.build() if fault is not None else None
        path = f"{event.key}/"
        if isinstance(error, Cancelled) and path in self.scopes:
            self._stop(path, error)
            for other in self.scopes:
                self.warn(other)
        elif error is not None and not isinstance(error, QuorateError) and self._is_asking(path):
            for key in self.list_open("model", path):
                self.let_go(key, error)
        else:
            self._stopping = path
            self._cut(event.key)

    def warn(self, path: str) -> None:
        """Let a delegate know that the run is being stopped, if that is all that is left for it to do."""
        if (cause := self.script.find_doom(path, self.place)) is not None:
            self.scope.warn(self.scopes[path], cause)

    def _is_asking(self, path: str) -> bool:
        """Whether the last thing that a delegate did was to ask its model."""
        last = next(one for one in reversed(self.script.events[: self.place]) if one.key.startswith(path))
        return isinstance(last, ModelRequested) and "/tool/" not in last.key[len(path) :]

    def _find_crash(self, key: str) -> Exception | None:
        """Find what a delegate's model raised at once, where that was no error of ours."""
        event, parsed = self.next, KEY.fullmatch(key)
        if not isinstance(event, ToolFailed) or parsed is None or parsed[1] != f"{event.key}/" or parsed[3] != "model":
            return None
        fault = self.script.find_raised(event.key, event.result)
        error = fault.build() if fault is not None and self.script.is_cut(event.key) else None
        return None if isinstance(error, QuorateError) else error

    def _stop(self, path: str, error: Exception) -> None:
        """Stop the run, or the delegate at a path; whoever works below it waits for its end instead of going on."""
        scope = self.scopes[path] if path else self.scope
        if path in self._stopped or not isinstance(error, QuorateError):
            return
        self._stopped.add(path)
        self.moves += 1
        parsed = KEY.fullmatch(self.script.events[self.place - 1].key)
        is_own = parsed is not None and parsed[1] == path and self.scope.is_inside(scope)
        if self.scope.is_busy(scope) and not is_own:
            self._stopping = path
            # The task that writes may be the one to be stopped, which a scope does not do from inside it.
            asyncio.get_running_loop().call_soon(self.scope.cut_short, scope, error)
        else:
            scope.stop(error)

    def _is_stopping(self, last: AnyEvent | None) -> bool:
        if self._stopping is None or (last is not None and _is_end(last)):
            return False
        parsed = KEY.fullmatch(last.key) if last is not None else None
        return (parsed[1] if parsed is not None else self.get_path()).startswith(self._stopping)

    def _cut(self, key: str) -> None:
        self.moves += 1
        self.cuts.pop(key)()

    def _release(self, event: AnyEvent) -> None:
        for key, (place, _) in list(self._gates.items()):
            if place == self.place:
                self._open(key)
        for hold in list(self._held):
            leads, future = hold
            if leads(event):
                self._held.remove(hold)
                if not future.done():
                    future.set_result(None)

    def _open(self, key: str) -> None:
        gate = self._gates.get(key)
        self.moves += 1
        if gate is not None and not gate[1].done():
            gate[1].set_result(None)


def _build_lead(last: AnyEvent | None, path: str) -> Callable[[AnyEvent], bool] | None:
    """Build the test whether an event is one that a writer leads to; `None` where it waits at a gate next anyway."""
    if last is None:
        return lambda event: event.key.startswith(path) or _is_end(event) or event.key == path.removesuffix("/")
    parsed = KEY.fullmatch(last.key)
    if isinstance(last, ModelRequested) or _is_end(last) or parsed is None:
        return None
    own, turn = parsed[1], int(parsed[2])
    ends = {own, own.removesuffix("/")} - {""}
    following = f"{own}{turn + 1}/model"
    below = f"{own}{turn}/tool/" if isinstance(last, (ModelReplied, ToolStarted)) else None

    def leads(event: AnyEvent) -> bool:
        key = event.key
        return key == following or key in ends or _is_end(event) or (below is not None and key.startswith(below))

    return leads


def _build_own_lead(step: str) -> Callable[[AnyEvent], bool]:
    """Build the test whether an event is of one step alone, or below it."""
    return lambda event: event.key == step or event.key.startswith(f"{step}/") or _is_end(event)


def _never(event: AnyEvent) -> bool:
    return False


def is_left(event: AnyEvent) -> bool:
    """Whether whoever drove the run left it here."""
    return isinstance(event, RunWaiting) and event.reason == "interrupted"


def _is_end(event: AnyEvent) -> bool:
    return isinstance(event, ENDS)


def _get_kind(key: str) -> str:
    return "model" if key.endswith("/model") and key.rpartition("/")[0].rpartition("/")[2].isdigit() else "tool"
