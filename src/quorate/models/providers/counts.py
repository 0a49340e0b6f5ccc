"""Which number does a provider's count stand for, whatever it wrote?"""

from __future__ import annotations

MAX_COUNT = 2**53
"""More tokens than there will ever be, and few enough for arithmetic and every database."""


def read_count(given: int | None) -> int:
    """Read a count: one that is missing or below nothing is 0, one beyond all sense is cut."""
    return min(max(0, given or 0), MAX_COUNT)
