"""How does an attempt write its run's log, find what is there already, and notice that it owns it no more?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice

from quorate.clock import Clock
from quorate.errors import Cancelled, Conflict, CorruptState, Fenced, InvalidInput, QuorateError, TooLarge
from quorate.events import CONTROLS, ENDINGS, AnyEvent, CancelRequested, restamp
from quorate.messages import Delta
from quorate.ports import Log

Listener = Callable[[AnyEvent], None]
"""Told of every event once it is recorded; it may not change, veto or wait."""

MAX_FRESH = 10_000
MODEL = "/model"
"""How the key of a model call ends: what follows from it is everything its agent does next."""


def tell(listener: Listener, event: AnyEvent) -> None:
    """Tell a listener; one that fails is reported to the event loop and harms no run."""
    try:
        listener(event)
    except Exception as error:  # a listener is anybody's code, and what it watches must not depend on it
        facts = {"message": f"a listener failed on {type(event).__name__}", "exception": error}
        asyncio.get_running_loop().call_exception_handler(facts)


class Journal:
    """The open log of one run, as one attempt sees it.

    Steps are found by key. What is written waits until `commit`, which appends all of it at once; what parallel
    branches write while one append is under way goes with the next. Without a `log`, the record lives as long as
    the run's result.
    """

    __slots__ = (
        "_busy", "_changed", "_known", "_log", "_now", "_pending", "_refused", "_rounds", "_seq", "attempt", "broken",
        "events", "fresh", "gather", "listeners", "loaded", "on_cancel", "position", "run",
    )  # fmt: skip

    def __init__(
        self,
        run: str,
        log: Log | None,
        *,
        clock: Clock,
        attempt: str,
        listeners: Sequence[Listener] = (),
        live: bool = False,
    ) -> None:
        self.run = run
        self.attempt = attempt
        self.listeners = listeners
        self.fresh: list[AnyEvent | Delta] | None = [] if live else None
        """What whoever watches has not seen yet; there is none where nobody does."""
        self.loaded = 0
        """How many events are from earlier attempts."""
        self.events: list[AnyEvent] = []
        """Everything recorded, in order."""
        self.position = 0
        self.gather = 0
        """For how many turns of the event loop a durable commit lets others write, so that theirs go with it."""
        self.on_cancel: Callable[[QuorateError], None] | None = None
        self._log = log
        self._now = clock.now
        self._seq = 0
        self._known: dict[str, AnyEvent] | None = None
        self._pending: list[AnyEvent] = []
        self._refused: dict[str, QuorateError] = {}
        """What could not be recorded, by key, until whoever wrote it is told."""
        self._busy = False
        self._rounds = 0
        """How often all that was written until then was recorded."""
        self._changed: asyncio.Event | None = None
        self.broken: QuorateError | None = None
        """Why nothing more can be recorded: the store is away, or another attempt owns the run."""

    def load(self, events: Sequence[AnyEvent]) -> None:
        """Take over what earlier attempts recorded.

        Raises:
            CorruptState: The events are not 1, 2, 3 … of this run.
        """
        for place, event in enumerate(events, 1):
            if event.seq != place or event.run != self.run:
                raise CorruptState(f"run {self.run!r} has event {event.seq} at place {place}; the run is parked.")
            if event.key:
                self._remember(event)
            if isinstance(event, CancelRequested) and not isinstance(events[-1], ENDINGS):
                self._cancel(event)
        self.events = list(events)
        self.position = self._seq = self.loaded = len(events)

    def find(self, key: str) -> AnyEvent | None:
        """Find the last thing recorded for a step by an earlier attempt, or an answer that came meanwhile."""
        return self._known.get(key) if self._known is not None else None

    def _remember(self, event: AnyEvent) -> None:
        if self._known is None:
            self._known = {}  # most runs are never resumed: a thousand at once do without
        self._known[event.key] = event

    def write(self, kind: Callable[..., AnyEvent], key: str = "", **facts: object) -> AnyEvent:
        """Note an event and return it; `commit` records it."""
        self._seq += 1
        event = kind(run=self.run, seq=self._seq, time=self._now(), key=key, attempt=self.attempt, **facts)
        self._pending.append(event)
        return event

    async def approach(self, key: str) -> None:
        """Wait until a step may begin that no model asked for: at once, except where a recorded order is kept."""

    async def commit(self, branch: str = "", *, joins: bool = False) -> None:
        """Record all that was written, in one append; return when it is durable.

        What cannot be recorded at all is left out, and so is what follows from it: the rest of its branch.

        Args:
            branch: What the keys begin with whose refusal is raised, where branches write side by side.
            joins: Whether to go on as soon as somebody else has recorded what stands here, and not in one's turn.

        Raises:
            InvalidInput: An event cannot be written as JSON.
            TooLarge: It has too many bytes.
            Fenced: A newer attempt owns the run.
            StorageFull: There is no room.
            Unavailable: The store cannot be reached.
        """
        rounds = self._rounds
        while self._busy and not (joins and self._rounds > rounds):
            await self.wait_changed()
        if self.broken is not None:
            raise self.broken
        if self._log is None:
            batch, self._pending = self._pending, []
            self._publish(batch)
            if self._changed is not None:
                self.wake()
            return
        if joins and self._rounds > rounds:
            self._raise_refused(branch)
            return
        self._busy, apart = True, 0
        try:
            if self.gather:
                for _ in range(self.gather):
                    await asyncio.sleep(0)
            while self._pending:
                # Where one was refused, they are appended one by one.
                batch = tuple(self._pending[:1] if apart else self._pending)
                try:
                    await self._log.append(self.run, batch, expected=self.position)
                except Conflict:
                    await self._reconcile()
                except (InvalidInput, TooLarge) as error:
                    apart = self._refuse(error, len(batch))
                else:
                    apart = max(0, apart - 1)
                    # Others may have written behind it meanwhile.
                    del self._pending[: len(batch)]
                    self._publish(batch)
            self._rounds += 1
        except QuorateError as error:
            self.broken = error
            raise
        finally:
            self._busy = False
            if self._changed is not None:
                self.wake()
        if self._refused:
            self._raise_refused(branch)

    def _raise_refused(self, branch: str) -> None:
        refused = next((key for key in self._refused if _is_in(key, branch)), None)
        if refused is not None:
            raise self._refused.pop(refused)

    def _refuse(self, error: QuorateError, count: int) -> int:
        """Leave out the one event that was refused, with what its branch wrote after it; say how many to part."""
        if count > 1:
            return count
        key = self._pending[0].key
        branch = key[: key.rfind("/", 0, -len(MODEL)) + 1] if key.endswith(MODEL) else key
        self._refused[key] = error
        self._pending[:] = [event for event in self._pending[1:] if not _is_in(event.key, branch)]
        self._restamp()
        return 0

    def find_written(self, key: str) -> AnyEvent | None:
        """Find the last thing that this attempt wrote for a step, recorded or not."""
        return next((event for event in self.look_back() if event.key == key), None)

    def look_back(self, *, whole: bool = False) -> Iterator[AnyEvent]:
        """Yield what this attempt wrote, recorded or not, the last first; and then what others wrote, if `whole`."""
        recorded = len(self.events) - (0 if whole else self.loaded)
        return chain(reversed(self._pending), islice(reversed(self.events), recorded))

    def _restamp(self) -> None:
        self._pending[:] = [restamp(event, self.position + place) for place, event in enumerate(self._pending, 1)]
        self._seq = self.position + len(self._pending)

    def _publish(self, batch: Sequence[AnyEvent]) -> None:
        self.position += len(batch)
        self.events += batch
        if self.fresh is not None:
            self.fresh += batch
        for listener in self.listeners:
            for event in batch:
                tell(listener, event)

    async def _reconcile(self) -> None:
        """Read what stands where we wanted to write: our own rows, control events, or a newer attempt's."""
        behind = await self._log.read(self.run, after=self.position) if self._log is not None else []
        if not behind:
            raise CorruptState(
                f"The log of run {self.run!r} is shorter than what was recorded in it; the run is parked."
            )
        for event in behind:
            ours = self._pending[0] if self._pending else None
            if (
                ours is not None
                and event.attempt == self.attempt
                and type(event) is type(ours)
                and event.key == ours.key
            ):
                self._pending.pop(0)
            elif isinstance(event, CONTROLS):
                self._remember(event)
                if isinstance(event, CancelRequested):
                    self._cancel(event)
            else:
                raise Fenced(f"Another attempt owns run {self.run!r} since event {event.seq}; this one stops.")
            self._publish((event,))
        self._restamp()

    def _cancel(self, event: CancelRequested) -> None:
        if self.on_cancel is not None:
            self.on_cancel(Cancelled(event.reason or "The run was cancelled.", by=event.by))

    def emit(self, item: Delta) -> None:
        """Show something that is not recorded; dropped when nobody watches, or watches too slowly."""
        if self.fresh is not None and len(self.fresh) < MAX_FRESH:
            self.fresh.append(item)
            self.wake()

    def take(self) -> Sequence[AnyEvent | Delta]:
        """Take what a reader has not seen yet."""
        if not self.fresh:
            return ()
        taken, self.fresh = self.fresh, []
        return taken

    def wake(self) -> None:
        """Wake whoever waits for a change."""
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    async def wait_changed(self) -> None:
        """Wait until something was recorded or shown."""
        if self._changed is None:
            self._changed = asyncio.Event()
        await self._changed.wait()


def _is_in(key: str, branch: str) -> bool:
    """Whether a key is a branch's own, or below it: `a/b` and `a/b/c` are in `a/b`, and `a/bc` is not."""
    return key.startswith(branch) and (branch[-1:] in ("", "/") or key[len(branch) :][:1] in ("", "/"))
