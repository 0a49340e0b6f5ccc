"""How does a test move time instead of waiting for it?"""

from __future__ import annotations

from quorate.errors import InvalidInput


class ManualClock:
    """A `Clock` that stands still until it is moved.

    Use it wherever a clock is an argument: expiry, leases and schedules are then tested in no time, and a clock that
    jumps can be played.
    """

    __slots__ = ("_monotonic", "_now")

    def __init__(self, now: float = 1_700_000_000.0, *, monotonic: float = 0.0) -> None:
        self._now = now
        self._monotonic = monotonic

    def now(self) -> float:
        """Wall time in seconds since 1970 (UTC)."""
        return self._now

    def monotonic(self) -> float:
        """Seconds that only go forward."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time go by, on both clocks.

        Raises:
            InvalidInput: `seconds` is negative; only wall time goes back, see `jump`.
        """
        if seconds < 0:
            raise InvalidInput(f"time cannot go by {seconds!r} s; use `jump` to put the wall clock back.")
        self._now += seconds
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an administrator or NTP does; no time goes by."""
        self._now += seconds
