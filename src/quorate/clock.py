"""What time is it, for people and for durations?"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where time comes from; given as an argument, so that a test can move it."""

    def now(self) -> float:
        """Wall time in seconds since 1970 (UTC), for people and for records."""
        ...

    def monotonic(self) -> float:
        """Seconds that only go forward, for durations and deadlines."""
        ...


class SystemClock:
    """The machine's own clock."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


SYSTEM_CLOCK = SystemClock()
