"""How long did half of them take, and 99 of 100, without keeping them all?"""

from __future__ import annotations

import math

STEP = 1.02
"""How much further each bucket reaches than the one below: what is found is off by one of a hundred at most."""
LEAST = 1e-4
MOST = 1e8
"""What is below or above is counted with these, so that there are some 1,400 buckets at most."""
_LOG = math.log(STEP)


class Quantiles:
    """Counts values in buckets, each reaching a fiftieth further than the one below it (as DDSketch does)."""

    __slots__ = ("_buckets", "count")

    def __init__(self) -> None:
        self.count = 0
        """How many values there were."""
        self._buckets: dict[int, int] = {}

    def add(self, value: float) -> None:
        """Take a value; what is no number is taken for the least one."""
        bounded = min(MOST, max(LEAST, value)) if not math.isnan(value) else LEAST
        place = math.ceil(math.log(bounded) / _LOG)
        self._buckets[place] = self._buckets.get(place, 0) + 1
        self.count += 1

    def find(self, share: float) -> float:
        """Find the value below which a share of all of them is; 0 where there is none."""
        wanted, seen = share * self.count, 0
        for place, count in sorted(self._buckets.items()):
            seen += count
            if seen >= wanted:
                return 2 * STEP**place / (1 + STEP)
        return 0.0
