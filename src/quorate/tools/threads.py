"""How is blocking code run beside the event loop, in bounded numbers, without holding up a timeout or the exit?"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
import weakref
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_Job = tuple[Callable[[], object], "asyncio.Future[object]", asyncio.AbstractEventLoop]

MAX_THREADS = 32
IDLE_S = 10.0


class ThreadPool:
    """Daemon threads that serve one event loop.

    The standard library's executor waits for its threads when the program ends, so one stuck tool would hold the
    exit up; these threads are left behind instead.
    A call that was abandoned keeps its thread until it returns, and counts against the bound.
    """

    def __init__(self, max_threads: int = MAX_THREADS) -> None:
        self._jobs: queue.Queue[_Job] = queue.Queue(max_threads)
        self._slots = asyncio.Semaphore(max_threads)
        self._lock = threading.Lock()
        self._idle = 0

    async def run(self, function: Callable[[], T], ended: Callable[[], None] | None = None) -> T:
        """Run `function` in a thread with the caller's context; a cancelled wait leaves the thread behind.

        `ended` is called in the event loop once the function has really ended, or will never begin.
        """
        try:
            await self._slots.acquire()
        except BaseException:
            if ended is not None:
                ended()
            raise
        loop = asyncio.get_running_loop()
        future: asyncio.Future[object] = loop.create_future()
        # The slot belongs to the thread, not to the waiter: it is free when the work has really ended.
        in_context = contextvars.copy_context().run

        def work() -> object:
            try:
                return in_context(function)
            finally:
                _tell(loop, self._slots.release)
                if ended is not None:
                    _tell(loop, ended)

        with self._lock:
            spare = self._idle > 0
            self._idle -= spare
        if not spare:
            threading.Thread(target=self._serve, daemon=True, name="quorate-tool").start()
        self._jobs.put((work, future, loop))
        return await future  # type: ignore[return-value]  # the future carries what `function` returns

    def _serve(self) -> None:
        while True:
            try:
                work, future, loop = self._jobs.get(timeout=IDLE_S)
            except queue.Empty:
                with self._lock:
                    if self._idle > 0:
                        self._idle -= 1
                        return
                continue
            try:
                outcome: object = work()
            except BaseException as error:  # a thread has no one else to tell: the waiter raises it
                _tell(loop, _settle, future, None, error)
            else:
                _tell(loop, _settle, future, outcome, None)
            del work, future
            with self._lock:
                self._idle += 1


def _tell(loop: asyncio.AbstractEventLoop, callback: Callable[..., object], *args: object) -> None:
    try:
        loop.call_soon_threadsafe(callback, *args)
    except RuntimeError:
        return  # the loop is closed: nobody waits any more


def _settle(future: asyncio.Future[object], value: object, error: BaseException | None) -> None:
    if future.done():
        return
    if isinstance(error, StopIteration):
        # No future takes it: it would end the coroutine that waits.
        error = RuntimeError("the function raised StopIteration")
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)


# One pool for each running loop; it goes when its loop goes.
_pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, ThreadPool] = weakref.WeakKeyDictionary()


async def run_in_thread(function: Callable[[], T], ended: Callable[[], None] | None = None) -> T:
    """Run blocking code in the running loop's bounded pool of threads; see `ThreadPool.run`."""
    loop = asyncio.get_running_loop()
    pool = _pools.get(loop)
    if pool is None:
        pool = _pools[loop] = ThreadPool()
    return await pool.run(function, ended)
