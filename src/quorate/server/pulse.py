"""How busy is this process, and how much memory has it?"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

BEAT_S = 0.05
"""How often it is looked."""
WEIGHT = 0.2
"""How much the last look counts: a moment of work is no load, half a second of it is."""
STEADY_BEATS = 20
"""For how many looks there must be a lag for it to be one that lasts."""
MEMORY_BEATS = 10
STATM = Path("/proc/self/statm")
"""Where Linux says how many pages a process has."""


class Pulse:
    """Looks again and again how late this process is with what it has to do.

    Args:
        sleep: Waits.
        monotonic: Time that never goes back.
        read_memory: Says how many bytes of memory this process has.
    """

    def __init__(
        self,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] | None = None,
        read_memory: Callable[[], int] | None = None,
    ) -> None:
        self.lag_s = 0.0
        """How late it was of late, on average."""
        self.steady_s = 0.0
        """The least that this was in the last looks: a moment in which everything stood still is no load."""
        self.memory_bytes = 0
        self._sleep = sleep
        self._monotonic = monotonic or asyncio.get_running_loop().time
        self._read_memory = read_memory or read_memory_bytes

    async def beat(self) -> None:
        """Look, for ever."""
        beats, recent = 0, deque([0.0], maxlen=STEADY_BEATS)
        while True:
            before = self._monotonic()
            await self._sleep(BEAT_S)
            late_s = max(0.0, self._monotonic() - before - BEAT_S)
            self.lag_s += WEIGHT * (late_s - self.lag_s)
            recent.append(self.lag_s)
            self.steady_s = min(recent)
            if beats % MEMORY_BEATS == 0:
                self.memory_bytes = self._read_memory()
            beats += 1


def read_memory_bytes() -> int:
    """Read how many bytes of memory this process has; 0 where the system does not say so."""
    try:
        return int(STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
