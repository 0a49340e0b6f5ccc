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
    is refused at once. A delegate's scope stops with its parent's. A cancellation from outside passes through.
    """

    __slots__ = ("_before", "_cut", "_inner", "_loop", "_parent", "_task", "_timer", "cause")

    def __init__(self, seconds: float, parent: Scope | None = None) -> None:
        self.cause: QuorateError | None = parent.cause if parent is not None else None
        self._task: asyncio.Task[object] | None = None
        self._cut = False
        self._before = 0
        self._inner: list[Scope] | None = None
        self._parent = parent
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(seconds, self._expire, seconds)
        if parent is not None:
            parent._add(self)

    def _add(self, inner: Scope) -> None:
        if self._inner is None:
            self._inner = []
        self._inner.append(inner)

    def _expire(self, seconds: float) -> None:
        self.stop(DeadlineExceeded(f"The run did not end within {seconds:g} s.", limit="seconds"))

    def stop(self, cause: QuorateError) -> None:
        """End the wait under way, and every later one here and in delegates, with `cause`."""
        if self.cause is not None:
            return
        self._spread(cause)
        if self._task is not None and self._task is not asyncio.current_task():
            # The waits of delegates are inside this one: its cancellation reaches them.
            self._before = self._task.cancelling()
            self._cut = self._task.cancel()

    def _spread(self, cause: QuorateError) -> None:
        self.cause = self.cause or cause
        for inner in self._inner or ():
            inner._spread(cause)

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
        if self._parent is not None and self._parent._inner is not None:
            self._parent._inner.remove(self)
            self._parent = None

    def limit(self, seconds: float | None) -> asyncio.Timeout:
        """Build the bound of one of several waits that go on side by side; it cuts that one alone."""
        return asyncio.timeout(seconds)

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
            if not self._cut or self.cause is None or task is None:
                raise
            self._cut = False
            if task.uncancel() > self._before:
                raise  # somebody else cancelled the task too
            raise self.cause from None
        finally:
            self._task = None
            if self._cut and task is not None:
                # The work swallowed our cancellation: the task's count goes back to what it was.
                self._cut = False
                task.uncancel()
