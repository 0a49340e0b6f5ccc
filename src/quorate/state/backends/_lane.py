"""How does work that blocks get a thread of its own, without ever blocking or losing its callers?"""

from __future__ import annotations

import asyncio
import threading
from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from typing import Generic, Protocol, TypeVar

from quorate.errors import QuorateError, Unavailable

T = TypeVar("T")

_CLOSE_S = 60.0


class Job(Generic[T]):
    """Something a lane is asked for, and the future that its answer goes to."""

    __slots__ = ("_answered", "_error", "_result", "future", "loop", "size")

    def __init__(self, *, size: int = 0) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[T] = self.loop.create_future()
        self.size = size
        """The bytes it holds while it waits."""
        self._result: T | None = None
        self._error: QuorateError | None = None
        self._answered = False

    def finish(self, result: T) -> None:
        """Give the answer; it is handed over when the whole batch is done."""
        self._result = result
        self._error = None
        self._answered = True

    def fail(self, error: QuorateError) -> None:
        """Give the error instead of an answer."""
        self._error = error
        self._answered = True

    def settle(self) -> None:
        """Hand the answer over; called in the loop of whoever asked."""
        if self.future.done():  # the caller was cancelled meanwhile
            return
        if self._error is not None:
            self.future.set_exception(self._error)
        elif not self._answered:
            self.future.set_exception(Unavailable("the store stopped before it answered; look, then try again."))
        else:
            # `finish` sets a result of the declared type whenever it clears the error.
            self.future.set_result(self._result)  # pyright: ignore[reportArgumentType]


class Settling(Protocol):
    """What a lane needs to know of a job."""

    size: int

    @property
    def loop(self) -> AbstractEventLoop:
        """Where its caller waits."""
        ...

    def settle(self) -> None:
        """Hand the answer over."""
        ...


J = TypeVar("J", bound=Settling)
Work = Callable[[Sequence[J]], None]
"""Does a batch in the lane's thread: finishes or fails each job, and raises nothing for a job's own fault."""


class Lane(Generic[J]):
    """A daemon thread that takes everything queued as one batch, again and again."""

    def __init__(self, *, name: str, max_pending: int, max_bytes: int, wait_s: float) -> None:
        self._name = name
        self._max_pending = max_pending
        self._max_bytes = max_bytes
        self._wait_s = wait_s
        self._pending: list[J] = []
        self._bytes = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._closed = False
        self._idle = False
        """Whether the thread waits for work."""
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)

    async def put(self, job: J) -> None:
        """Queue a job; when the queue is full, wait for a place.

        Raises:
            Unavailable: The lane is closed, or no place was free in time; the job was not queued.
        """
        if self._offer(job, None):
            return
        try:
            async with asyncio.timeout(self._wait_s):
                while not self._offer(job, place := job.loop.create_future()):
                    try:
                        await place
                    finally:
                        self._forget(place)
        except TimeoutError as error:
            raise Unavailable(
                f"{self._name} has {self._max_pending} writes or reads waiting and took no more within "
                f"{self._wait_s:g} s; nothing was done. Try again later, or look at the disk's speed.",
                name=self._name,
            ) from error

    def _offer(self, job: J, place: asyncio.Future[None] | None) -> bool:
        with self._lock:
            if self._closed:
                raise Unavailable(f"{self._name} is closed; open it again.", name=self._name)
            full = len(self._pending) >= self._max_pending or self._bytes + job.size > self._max_bytes
            if full and self._pending:
                if place is not None:
                    self._waiting.append(place)
                return False
            self._pending.append(job)
            self._bytes += job.size
            if self._idle:
                self._changed.notify()
            return True

    def _forget(self, place: asyncio.Future[None]) -> None:
        with self._lock:
            if place in self._waiting:
                self._waiting.remove(place)

    def serve(self, work: Work[J]) -> None:
        """Do batches until the lane is closed and nothing is left; runs in the lane's thread."""
        while jobs := self._take():
            try:
                work(jobs)
            except BaseException:
                # A fault of ours: the callers are told, and no more is taken, since its state is unknown.
                self.close()
                _deliver([*jobs, *self._take()])
                raise
            _deliver(jobs)

    def close(self) -> None:
        """Take no more jobs; what is queued is still done."""
        with self._lock:
            self._closed = True
            self._changed.notify()
        self._wake()

    def _take(self) -> list[J]:
        with self._lock:
            while not self._pending and not self._closed:
                self._idle = True
                self._changed.wait()
            self._idle = False
            jobs, self._pending, self._bytes = self._pending, [], 0
        self._wake()
        return jobs

    def _wake(self) -> None:
        if not self._waiting:
            return
        with self._lock:
            waiting, self._waiting = self._waiting, []
        loops: dict[AbstractEventLoop, list[asyncio.Future[None]]] = {}
        for place in waiting:
            loops.setdefault(place.get_loop(), []).append(place)
        for loop, places in loops.items():
            _call_in(loop, _release, places)


def _release(places: Sequence[asyncio.Future[None]]) -> None:
    for place in places:
        if not place.done():
            place.set_result(None)


def _deliver(jobs: Sequence[Settling]) -> None:
    loops: dict[AbstractEventLoop, list[Settling]] = {}
    for job in jobs:
        loops.setdefault(job.loop, []).append(job)
    for loop, settled in loops.items():
        _call_in(loop, _settle, settled)


def _settle(jobs: Sequence[Settling]) -> None:
    for job in jobs:
        job.settle()


def _call_in(loop: AbstractEventLoop, function: Callable[[list[T]], None], items: list[T]) -> None:
    """Call once for many: waking a loop is what costs."""
    with suppress(RuntimeError):  # the loop is closed, so nobody waits there any more
        loop.call_soon_threadsafe(function, items)


@asynccontextmanager
async def open_lane(
    open_work: Callable[[], AbstractContextManager[Work[J]]],
    *,
    name: str,
    max_pending: int,
    max_bytes: int,
    wait_s: float,
) -> AsyncGenerator[Lane[J]]:
    """Start a lane whose thread opens its own work, does batches, and closes its work at the end.

    What `open_work` raises on entry is raised here.
    On exit everything queued is done first, then the thread is joined.
    """
    lane: Lane[J] = Lane(name=name, max_pending=max_pending, max_bytes=max_bytes, wait_s=wait_s)
    opened: Job[None] = Job()
    ended: Job[None] = Job()

    def run() -> None:
        try:
            with open_work() as work:
                opened.finish(None)
                _deliver([opened])
                lane.serve(work)
        except QuorateError as error:
            opened.fail(error)
        finally:
            ended.finish(None)
            _deliver([opened, ended])

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        await opened.future
        yield lane
    finally:
        lane.close()
        try:
            async with asyncio.timeout(_CLOSE_S):
                await ended.future
                # It has nothing left to do but to return, and `join` would block the loop.
                while thread.is_alive():  # noqa: ASYNC110
                    await asyncio.sleep(0)
        except TimeoutError as error:
            raise Unavailable(
                f"{name} did not finish within {_CLOSE_S:g} s of closing; is the disk stuck?", name=name
            ) from error
