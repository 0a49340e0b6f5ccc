"""How does a store do blocking work beside the event loop, in bounded numbers?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

MAX_THREADS = 8
INLINE_BYTES = 64 << 10
"""Up to how many bytes computing is quicker than asking a thread to."""


class Threads:
    """Threads that work for one store; at most so many at once, the others wait for their turn."""

    def __init__(self, most: int = MAX_THREADS) -> None:
        self._turn = asyncio.Semaphore(most)

    async def run(self, work: Callable[[], T]) -> T:
        """Do something that blocks in a thread, and return what it gives.

        When the wait is cancelled, what was begun is ended first: it works on files that the caller is about to close.
        """
        async with self._turn:
            under_way = asyncio.get_running_loop().run_in_executor(None, work)
            try:
                return await asyncio.shield(under_way)
            except asyncio.CancelledError:
                while not under_way.done():
                    with suppress(asyncio.CancelledError):  # raised below, once nothing is under way
                        await asyncio.wait([under_way])
                if not under_way.cancelled():
                    under_way.exception()  # looked at, so that nobody reports it as lost
                raise

    async def compute(self, work: Callable[[], T], *, size: int) -> T:
        """Compute something over so many bytes: in a thread when that takes long enough to be worth it."""
        return work() if size <= INLINE_BYTES else await self.run(work)
