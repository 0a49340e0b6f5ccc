"""What time is it for the store, which is the same for all who share it?"""

from __future__ import annotations

from quorate.clock import Clock
from quorate.ports import KeyValue

KEY = "clock/schedules"
KEPT_S = 60.0


class StoreTime:
    """The store's wall clock, as far as it was looked at; between two looks, our own seconds are added.

    Processes on machines whose clocks differ agree on what is due, and a clock that is set on one of them does no harm.
    """

    def __init__(self, values: KeyValue, *, clock: Clock) -> None:
        self._values = values
        self._clock = clock
        self._time = 0.0
        self._looked: float | None = None

    async def look(self, *, max_age_s: float = 0.0) -> float:
        """Look at the store's clock, unless that was done so many seconds ago at most; return its time.

        Raises:
            Unavailable: The store cannot be reached.
        """
        if self._looked is None or self._clock.monotonic() - self._looked >= max_age_s:
            entry = await self._values.put(KEY, b"", ttl_s=KEPT_S)
            self._time, self._looked = entry.updated, self._clock.monotonic()
        return self.now()

    def now(self) -> float:
        """Return the store's time by the last look."""
        assert self._looked is not None, "nobody looked at the store's clock yet"
        return self._time + self._clock.monotonic() - self._looked
