"""How does a run wait for a store that is away, instead of failing?"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from quorate.clock import Clock
from quorate.errors import Conflict, Unavailable
from quorate.events import AnyEvent
from quorate.ports import Log
from quorate.state.around import LogAround

T = TypeVar("T")

FIRST_S = 0.1
LONGEST_S = 2.0


class PatientLog(LogAround):
    """A log that is asked again while it cannot be reached, with growing and spread waits.

    An append whose connection was lost may have been committed: when the next try conflicts, its own rows are looked
    for before the conflict is believed.
    """

    def __init__(
        self,
        inner: Log,
        *,
        clock: Clock,
        max_wait_s: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(inner)
        self.max_wait_s = max_wait_s
        """After how many seconds without an answer the store counts as gone."""
        self._clock = clock
        self._sleep = sleep

    async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
        """Add events; see `quorate.ports.Log`."""
        try:
            await self.inner.append(run, events, expected=expected)
        except Unavailable:
            if self.max_wait_s < FIRST_S:
                raise
            await self._append_again(run, events, expected=expected)

    async def read(self, run: str, *, after: int = 0, limit: int | None = None) -> list[AnyEvent]:
        """Return events after a position; see `quorate.ports.Log`."""
        return await self._insist(lambda: self.inner.read(run, after=after, limit=limit))

    async def read_many(self, runs: Sequence[str]) -> dict[str, list[AnyEvent]]:
        """Return the whole logs of several runs; see `quorate.ports.Log`."""
        return await self._insist(lambda: self.inner.read_many(runs))

    async def last(self, run: str) -> int:
        """Return the last position; see `quorate.ports.Log`."""
        return await self._insist(lambda: self.inner.last(run))

    async def _append_again(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
        """Append what may be there already, as nobody answered the first time."""

        async def write() -> None:
            try:
                await self.inner.append(run, events, expected=expected)
            except Conflict:
                if not events or await self.inner.read(run, after=expected, limit=len(events)) != list(events):
                    raise

        await self._sleep(FIRST_S * random.uniform(0.5, 1.0))
        await self._insist(write)

    async def _insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        return await insist(ask, clock=self._clock, max_wait_s=self.max_wait_s, sleep=self._sleep)


async def insist(
    ask: Callable[[], Awaitable[T]],
    *,
    clock: Clock,
    max_wait_s: float,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> T:
    """Ask again while nothing answers, with growing and spread waits.

    Raises:
        Unavailable: There was no answer in time.
    """
    began, wait_s = clock.monotonic(), FIRST_S
    while True:
        try:
            return await ask()
        except Unavailable:
            if clock.monotonic() - began + wait_s > max_wait_s:
                raise
        await sleep(wait_s * random.uniform(0.5, 1.0))
        wait_s = min(LONGEST_S, 2 * wait_s)
