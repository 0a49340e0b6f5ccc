"""May another attempt be made, without multiplying the load on what is failing?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

SLOTS = 12
PROVEN_S = 30.0
"""How long an answer, or a failure, speaks for the next one."""


class AttemptBudget(Protocol):
    """What a layer that makes calls again must ask."""

    def open_call(self) -> None:
        """Count a call that begins."""
        ...

    def close_call(self) -> None:
        """Count a call that ended."""
        ...

    def take(self) -> bool:
        """Say whether one more attempt may be made; if so, it is under way until `settle`."""
        ...

    def settle(self, *, failed: bool) -> None:
        """Say how an attempt that was taken ended; one that failed counts for a while."""
        ...

    async def admit(self, lane: Lane) -> bool:
        """Say whether an attempt may be made at another place; if so, it is under way until `leave`."""
        ...

    def leave(self, lane: Lane, *, failed: bool | None) -> None:
        """Say how an attempt that was admitted ended; `None` when it was not made, or given up by its caller."""
        ...


class RetryBudget:
    """How many attempts beyond the first the calls of a gateway may have, all its layers together.

    Attempts that are under way or failed within `window_s` stay below a share of the calls that began within it, and
    those under way below that share of the calls under way; `floor` are allowed however few calls there are. Attempts
    that succeed cost nothing, so that a fault of one part in a hundred is mended every time, and a provider that is
    down sees hardly more calls than it was sent.
    """

    def __init__(
        self,
        *,
        share: float = 0.2,
        floor: int = 3,
        window_s: float = 60.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share = share
        self._floor = floor
        self._slot_s = window_s / SLOTS
        self._monotonic = monotonic
        self._active = 0
        self._under_way = 0
        self._calls = _Counts()
        self._failed = _Counts()

    @property
    def within(self) -> AttemptBudget:
        """The same budget, for a layer inside a call that was counted already."""
        return _Within(self)

    @property
    def left(self) -> float:
        """How many more attempts may fail just now; a metric."""
        slot = int(self._monotonic() / self._slot_s)
        # The slot that is only partly within the window counts for the failures and not for the calls.
        allowed = max(self._floor, self._share * self._calls.sum(slot, SLOTS))
        return allowed - self._failed.sum(slot, SLOTS + 1) - self._under_way

    def open_call(self) -> None:
        """Count a call that begins."""
        self._active += 1
        self._calls.add(int(self._monotonic() / self._slot_s))

    def close_call(self) -> None:
        """Count a call that ended."""
        self._active -= 1

    def take(self) -> bool:
        """Say whether one more attempt may be made; if so, it is under way until `settle`."""
        return self._take(0)

    def _take(self, spare: int) -> bool:
        if self._under_way >= max(self._floor, self._share * self._active) or self.left <= spare:
            return False
        self._under_way += 1
        return True

    def settle(self, *, failed: bool) -> None:
        """Say how an attempt that was taken ended; one that failed counts for a while."""
        self._under_way -= 1
        if failed:
            self._failed.add(int(self._monotonic() / self._slot_s))

    async def admit(self, lane: Lane) -> bool:
        """Say whether an attempt may be made at another place; if so, it is under way until `leave`.

        A place that answered well lately takes all; at another one few go first, and the others wait for what becomes
        of them. So a dead provider is left by all its calls at once when the next one lives, and the load does not
        double when that one is dead too.
        """
        while True:
            now = self._monotonic()
            if now - lane.proven_at < PROVEN_S:
                self._under_way += 1
                break
            if self._take(1):
                break
            # One look at a place that did not fail lately is always possible, and the one that was spared pays for it.
            if not lane.under_way and now - lane.failed_at >= PROVEN_S:
                self._under_way += 1
                break
            if not lane.under_way:
                return False
            failures = lane.failures
            await lane.wait()
            if lane.failures != failures:
                return False
        lane.under_way += 1
        return True

    def leave(self, lane: Lane, *, failed: bool | None) -> None:
        """Say how an attempt that was admitted ended; `None` when it was not made, or given up by its caller."""
        lane.under_way -= 1
        self.settle(failed=bool(failed))
        if failed is None:
            lane.wake()
        else:
            lane.note(failed=failed, now=self._monotonic())


class Lane:
    """What became of the last attempts at one place."""

    __slots__ = ("_waiting", "failed_at", "failures", "proven_at", "under_way")

    def __init__(self) -> None:
        self.proven_at = self.failed_at = float("-inf")
        self.failures = 0
        self.under_way = 0
        """Attempts that came here from another place."""
        self._waiting: list[asyncio.Future[None]] = []

    def note(self, *, failed: bool, now: float) -> None:
        """Note how an attempt ended, or that it answers well so far, and tell those who wait for it."""
        if failed:
            self.failures += 1
            self.failed_at = now
            self.proven_at = float("-inf")
        else:
            self.proven_at = now
        self.wake()

    def wake(self) -> None:
        """Let those who wait look again."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    async def wait(self) -> None:
        """Wait until an attempt here ended or answers."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future


class _Within:
    """A budget that does not count calls, as another layer does."""

    __slots__ = ("_budget", "admit", "leave", "settle", "take")

    def __init__(self, budget: RetryBudget) -> None:
        self._budget = budget
        self.take = budget.take
        self.settle = budget.settle
        self.admit = budget.admit
        self.leave = budget.leave

    def open_call(self) -> None:
        """Count nothing."""

    def close_call(self) -> None:
        """Count nothing."""


class _Counts:
    """How often something happened in each of the last slots of time."""

    __slots__ = ("_slots",)

    def __init__(self) -> None:
        self._slots: list[tuple[int, int]] = [(-1, 0)] * (SLOTS + 1)

    def add(self, slot: int) -> None:
        place = slot % (SLOTS + 1)
        at, count = self._slots[place]
        self._slots[place] = (slot, count + 1 if at == slot else 1)

    def sum(self, slot: int, slots: int) -> int:
        return sum([count for at, count in self._slots if slot - slots < at <= slot])
