"""How does a test move the time that waiting calls wait by?"""

import asyncio
import heapq
from itertools import count


class Times:
    """A monotonic time that is moved by hand, and wakes whoever waits for it, in order."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self._timers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = count()

    def monotonic(self) -> float:
        return self.now

    async def pause(self, future: asyncio.Future[None], seconds: float) -> None:
        timer = asyncio.get_running_loop().create_future()
        heapq.heappush(self._timers, (self.now + seconds, next(self._count), timer))
        await asyncio.wait((future, timer), return_when=asyncio.FIRST_COMPLETED)
        timer.cancel()

    async def settle(self) -> None:
        """Let everything happen that happens at this moment."""
        for _ in range(200):
            await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        """Let time go by, stopping at each moment that somebody waits for."""
        await self.settle()
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            at, _, timer = heapq.heappop(self._timers)
            self.now = max(self.now, at)
            if not timer.done():
                timer.set_result(None)
            await self.settle()
        self.now = end
        await self.settle()
