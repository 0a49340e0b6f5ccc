"""How is a wait inside a run cut short, by its deadline or by whoever cancels it?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TypeVar

from quorate.errors import DeadlineExceeded, QuorateError

T = TypeVar("T")


class Scope:
    """One timer and one switch for all the waits of a run, which come one after another.

    A timer for each wait would cost more than the waits of a quick run. The first cause wins; a wait begun after it
    is refused at once. A cancellation from outside passes through unchanged.
    """

    __slots__ = ("_loop", "_task", "_timer", "cause")

    def __init__(self, seconds: float) -> None:
        self.cause: QuorateError | None = None
        self._task: asyncio.Task[object] | None = None
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(seconds, self._expire, seconds)

    def _expire(self, seconds: float) -> None:
        self.stop(DeadlineExceeded(f"The run did not end within {seconds:g} s.", limit="seconds"))

    def stop(self, cause: QuorateError) -> None:
        """End the wait under way, and every later one, with `cause`."""
        if self.cause is not None:
            return
        self.cause = cause
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    def call(self, callback: Callable[..., object], *args: object) -> None:
        """Call something in the run's event loop, from there or from a tool's thread."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self._loop.call_soon_threadsafe(callback, *args)
        else:
            callback(*args)

    def close(self) -> None:
        """Put the timer away."""
        self._timer.cancel()

    async def wait(self, work: Coroutine[object, object, T]) -> T:
        """Wait for `work` unless the scope is stopped first.

        Raises:
            QuorateError: The cause the scope was stopped with.
        """
        task = self._task = asyncio.current_task()
        try:
            if self.cause is not None:
                work.close()
                raise self.cause
            return await work
        except asyncio.CancelledError:
            if self.cause is None or task is None or task.uncancel() > 0:
                raise
            raise self.cause from None
        finally:
            self._task = None
