"""How do appends wait for the commit under way, as many as there are and no more than memory allows?"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from quorate.errors import Unavailable
from quorate.state.backends._postgres_commit import Append

_BATCH_JOBS = 2048
_BATCH_BYTES = 16 << 20
_CLOSE_S = 60.0

Commit = Callable[[Sequence[Append]], Awaitable[None]]
"""Writes a batch and settles each of its jobs."""


class Queue:
    """Appends that wait; everything that came while a batch was written goes into the next one."""

    def __init__(self, name: str, *, max_pending: int, max_bytes: int, wait_s: float) -> None:
        self._name = name
        self._max_pending = max_pending
        self._max_bytes = max_bytes
        self._wait_s = wait_s
        self._pending: deque[Append] = deque()
        self._bytes = 0
        self._changed = asyncio.Event()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_closed = False

    async def put(self, job: Append) -> None:
        """Queue a job; when the queue is full, wait for a place.

        Raises:
            Unavailable: The store is closed, or no place was free in time; the job was not queued.
        """
        if self._is_full(job) or self._waiting:
            await self._wait_for_place(job)
        if self._is_closed:
            raise Unavailable(f"database {self._name!r} is closed; open it again.", name=self._name)
        self._pending.append(job)
        self._bytes += job.size
        self._changed.set()

    def _is_full(self, job: Append) -> bool:
        full = len(self._pending) >= self._max_pending or self._bytes + job.size > self._max_bytes
        return full and bool(self._pending) and not self._is_closed

    async def _wait_for_place(self, job: Append) -> None:
        try:
            async with asyncio.timeout(self._wait_s):
                while self._is_full(job):
                    place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._waiting.append(place)
                    await place
        except TimeoutError as error:
            raise Unavailable(
                f"database {self._name!r} has {len(self._pending)} appends waiting and took no more within "
                f"{self._wait_s:g} s; nothing was done. Try again later, or look at the server's disk.",
                name=self._name,
            ) from error

    async def serve(self, commit: Commit) -> None:
        """Commit batches until the queue is closed and empty."""
        batch: list[Append] = []
        try:
            while True:
                await self._changed.wait()
                batch = self._take()
                if batch:
                    await commit(batch)
                elif self._is_closed:
                    return
        finally:
            # Only a fault of ours or a cancellation leaves any: nobody may wait for ever.
            self.close()
            for job in (*batch, *self._pending):
                job.settle(Unavailable(f"database {self._name!r} was closed in the middle; look, then try again."))

    def close(self) -> None:
        """Take no more jobs; what is queued is still written."""
        self._is_closed = True
        self._changed.set()
        self._wake()

    def _take(self) -> list[Append]:
        batch: list[Append] = []
        size = 0
        while self._pending and len(batch) < _BATCH_JOBS:
            if batch and size + self._pending[0].size > _BATCH_BYTES:
                break
            job = self._pending.popleft()
            size += job.size
            batch.append(job)
        self._bytes -= size
        if not self._pending and not self._is_closed:
            self._changed.clear()
        self._wake()
        return batch

    def _wake(self) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)


@asynccontextmanager
async def open_queue(
    commit: Commit, *, name: str, max_pending: int, max_bytes: int, wait_s: float
) -> AsyncGenerator[Queue]:
    """Open a queue whose batches are written by `commit`; on exit everything queued is written first."""
    queue = Queue(name, max_pending=max_pending, max_bytes=max_bytes, wait_s=wait_s)
    failure: BaseException | None = None
    async with asyncio.TaskGroup() as group:
        served = group.create_task(queue.serve(commit))
        try:
            yield queue
        except BaseException as error:
            # Kept until the group has ended, which would wrap it, and end before everything is written.
            failure = error
        queue.close()
        try:
            async with asyncio.timeout(_CLOSE_S):
                await asyncio.shield(served)
        except TimeoutError:
            served.cancel()
    if failure is not None:
        raise failure
