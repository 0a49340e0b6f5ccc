"""How do several processes change one stored value, many times at once, without losing a change?

A process has at most one write under way for a value: what is wanted meanwhile goes into the next one, together. So
the number of writes that meet each other is the number of processes, however many calls each of them makes.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar, cast

import msgspec
from msgspec import Struct

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import Conflict, CorruptState, QuorateError, Unavailable
from quorate.ports import KeyValue

State = TypeVar("State", bound=Struct)
Result = TypeVar("Result")
Act = Callable[[State, float], tuple[bool, Result]]
"""Changes a state at a moment of the store's time; says whether it did, and what came of it."""

MAX_TRIES = 200
STEP_S = 0.002
LEAVE_S = 2.0
"""How long whoever is cancelled waits for its write to end, so that it is known what became of it."""
MAX_IDLE = 4096
CLOCK_KEY = "cells/clock"
"""What is written to hear the store's time."""
CLOCK_S = 60.0


class StoreTime:
    """The store's wall time, as far as its answers told; between them this machine's durations are added."""

    __slots__ = ("_clock", "_offset", "is_known")

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._offset = clock.now() - clock.monotonic()
        self.is_known = False
        """Whether the store has told; before, it is this machine's wall time, which may be wrong."""

    def now(self) -> float:
        """Return the store's time."""
        return self._clock.monotonic() + self._offset

    def note(self, at: float) -> None:
        """Take over what the store said the time is."""
        self._offset = at - self._clock.monotonic()
        self.is_known = True


class _Job(Generic[State]):
    """One wanted change."""

    __slots__ = ("act", "done", "error", "left", "lost", "result")

    def __init__(self, act: Act[State, object], left: asyncio.Future[None]) -> None:
        self.act = act
        self.done = False
        self.left = left
        """Set when it is done, for whoever waits for it."""
        self.result: object = None
        self.error: Exception | None = None
        self.lost: Callable[[], None] | None = None
        """Hears that it failed, when whoever wanted it is gone."""

    def end(self, error: QuorateError | None) -> None:
        """Say that it was written, or that it failed."""
        self.error = error or self.error
        self.done = True
        if self.error is not None and self.lost is not None:
            self.lost()
        if not self.left.done():
            self.left.set_result(None)


class Cell(Generic[State]):
    """One stored value that several processes change."""

    def __init__(
        self,
        values: KeyValue,
        key: str,
        *,
        empty: Callable[[float], State],
        times: StoreTime,
        ttl_s: float | None = None,
    ) -> None:
        self._values = values
        self._key = key
        self._empty = empty
        self._times = times
        self._ttl_s = ttl_s
        self._decoder = msgspec.msgpack.Decoder(type(empty(0.0)))
        self._jobs: list[_Job[State]] = []
        self._writing: asyncio.Future[None] | None = None
        """The writes that go on, whoever of those who wait for them is cancelled."""
        self._state: State | None = None
        """What is stored, as far as this process knows; `None` when it does not."""
        self._revision = 0

    @property
    def is_idle(self) -> bool:
        """Whether nobody wants anything of it."""
        return not self._jobs and self._writing is None

    async def change(
        self,
        act: Act[State, Result],
        *,
        undo: Callable[[Result], Act[State, None]] | None = None,
        lost: Callable[[], None] | None = None,
    ) -> Result:
        """Change the value and return what came of it, once that is durable.

        Args:
            act: What to do; it may be called several times, each time with the value as it is then. What it raises is
                raised, and must leave the state as it was.
            undo: What takes it back when whoever waits is cancelled. Without it the change is made all the same.
            lost: Called when that fails, as nobody is there any more to be told.

        Raises:
            Unavailable: The store cannot be reached, or others were quicker too often.
            StorageFull: There is no room.
        """
        loop = asyncio.get_running_loop()
        # A result is handed back to its own caller alone.
        job: _Job[State] = _Job(cast("Act[State, object]", act), loop.create_future())
        self._jobs.append(job)
        if self._writing is None:  # one task writes for all who come meanwhile
            self._writing = asyncio.shield(self._serve())
        try:
            await job.left
        except asyncio.CancelledError:
            if undo is not None and job in self._jobs:
                self._jobs.remove(job)
                job.done = True
                raise
            # The write goes on without us: its end is waited for, so that it can be undone.
            if not job.done:
                job.left = loop.create_future()
                await asyncio.wait((job.left,), timeout=LEAVE_S)
            if undo is None and lost is not None:
                if not job.done:
                    job.lost = lost
                elif job.error is not None:
                    lost()
            if undo is not None and job.done and job.error is None:
                with suppress(QuorateError):  # whoever is cancelled has no use for it
                    await self.change(undo(cast("Result", job.result)))  # of this very act
            raise
        if job.error is not None:
            raise job.error
        return cast("Result", job.result)  # of this very act

    async def _serve(self) -> None:
        """Write until nothing more is wanted."""
        try:
            while self._jobs:
                await self._write()
        finally:
            self._writing = None
            jobs, self._jobs = self._jobs, []
            for job in jobs:  # there are some only where it was cut short
                job.end(self._build_cut())

    async def _write(self) -> None:
        """Make all changes that are wanted in one write."""
        batch, self._jobs = self._jobs, []
        error: QuorateError | None = self._build_cut()
        try:
            for number in range(MAX_TRIES):
                if await self._try(batch):
                    error = None
                    return
                # Whoever lost lets the others through, for a random while, so that they do not meet again.
                await asyncio.sleep(random.random() * STEP_S * min(number, 25))
            error = Unavailable(f"The value {self._key!r} changes too fast: others were quicker {MAX_TRIES} times.")
        except QuorateError as failure:
            error = failure
        finally:
            if error is not None:
                self._state = None
            for job in batch:
                job.end(error)

    def _build_cut(self) -> Unavailable:
        return Unavailable(f"The write of {self._key!r} was cut short.")

    async def _try(self, batch: list[_Job[State]]) -> bool:
        state = self._state
        is_fresh = state is None
        if state is None:
            state = await self._load()
        # Until the write is acknowledged nobody knows what is stored.
        self._state, now = None, self._times.now()
        changed = [_run(job, state, now) for job in batch]
        if not all(changed) and not is_fresh:
            # A refusal must not rest on what was true some time ago.
            return False
        if any(changed):
            body = msgspec.msgpack.encode(state)
            try:
                entry = await self._values.put(self._key, body, if_revision=self._revision, ttl_s=self._ttl_s)
            except Conflict:
                return False
            self._revision = entry.revision
            self._times.note(entry.updated)
        self._state = state
        return True

    async def _load(self) -> State:
        if not self._times.is_known:
            # What has expired must not be judged by a clock that may be an hour off.
            self._times.note((await self._values.put(CLOCK_KEY, b"", ttl_s=CLOCK_S)).updated)
        entry = await self._values.get(self._key)
        if entry is None:
            self._revision = 0
            return self._empty(self._times.now())
        self._revision = entry.revision
        try:
            return self._decoder.decode(entry.value)
        except msgspec.DecodeError as error:
            raise CorruptState(f"The value {self._key!r} cannot be read: {error}") from error


def _run(job: _Job[State], state: State, now: float) -> bool:
    job.error = None
    try:
        changed, job.result = job.act(state, now)
    except QuorateError as error:
        job.error = error
        return False
    return changed


class Cells(Generic[State]):
    """Stored values by key, as one process sees them; what nobody uses is forgotten here, not in the store."""

    def __init__(
        self,
        values: KeyValue,
        *,
        empty: Callable[[float], State],
        clock: Clock = SYSTEM_CLOCK,
        max_idle: int = MAX_IDLE,
    ) -> None:
        self._values = values
        self._empty = empty
        self._times = StoreTime(clock)
        self._cells: dict[str, Cell[State]] = {}
        self._max_idle = max_idle

    @property
    def times(self) -> StoreTime:
        """The store's time."""
        return self._times

    def get(self, key: str, *, ttl_s: float | None = None) -> Cell[State]:
        """Return what stands for a stored value; nothing is read yet."""
        cell = self._cells.get(key)
        if cell is None:
            if len(self._cells) >= self._max_idle:
                self._cells = {key: cell for key, cell in self._cells.items() if not cell.is_idle}
            cell = Cell(self._values, key, empty=self._empty, times=self._times, ttl_s=ttl_s)
            self._cells[key] = cell
        return cell
