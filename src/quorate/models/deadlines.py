"""How long may each part of a model call take, and what ends it then?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Annotated, TypeVar

from msgspec import Meta, Struct

T = TypeVar("T")
Seconds = Annotated[float, Meta(gt=0)]


class Timeouts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The deadlines of one call, in seconds."""

    connect_s: Seconds = 5.0
    """Waiting for a place in the pool, resolving the name, connecting and shaking hands, together."""
    first_s: Seconds = 60.0
    """From sending the request to the first piece of a streamed reply."""
    idle_s: Seconds = 30.0
    """Between two pieces."""
    total_s: Seconds = 600.0
    """The whole call."""


TIMEOUTS = Timeouts()
STEP_S = 10.0
"""How often a watch looks at a deadline that is far away."""


class Watch:
    """One timer for all the waits of a call, which come one after another.

    A timer for each piece of a stream would cost more than the piece. This one goes off every so often, and looks
    whether the deadline of that moment is over; it is moved only for one that comes earlier.
    """

    __slots__ = ("_at", "_before", "_cut", "_ends", "_loop", "_task", "_timer")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._at = 0.0
        """When the timer goes off."""
        self._ends = 0.0
        """When the wait under way must have ended."""
        self._task: asyncio.Task[object] | None = None
        """Who waits; nobody between two waits."""
        self._before = 0
        self._cut = False

    async def wait(self, work: Awaitable[T], ends: float) -> T:
        """Wait for `work`, until the monotonic time `ends` at most.

        Raises:
            TimeoutError: The time is over.
        """
        task = self._task = asyncio.current_task()
        self._ends = ends
        if self._timer is None or ends < self._at:
            self._arm(ends)
        try:
            return await work
        except asyncio.CancelledError as error:
            if not self._cut or task is None:
                raise
            self._cut = False
            if task.uncancel() > self._before:
                raise  # somebody else cancelled the task too
            raise TimeoutError from error
        finally:
            self._task = None
            if self._cut and task is not None:
                # The work swallowed our cancellation: the task's count goes back to what it was.
                self._cut = False
                task.uncancel()

    def close(self) -> None:
        """Put the timer away."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, ends: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        now = time.monotonic()
        self._at = min(ends, now + STEP_S)
        self._timer = self._loop.call_later(max(0.0, self._at - now), self._expire)

    def _expire(self) -> None:
        self._timer = None
        if self._task is None:
            return
        if time.monotonic() < self._ends - 0.0005:
            self._arm(self._ends)
            return
        self._before = self._task.cancelling()
        self._cut = self._task.cancel()
