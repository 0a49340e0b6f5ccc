"""Which kinds of memory are there, and how long does each of them last?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, cast, get_args

from msgspec import Struct

from quorate.errors import InvalidInput, UnknownName

Kind = Literal["working", "episodic", "semantic", "procedural", "collective"]
"""What is at hand in a run or session, what happened, what is so, how something is done, and what the hive agreed."""
KINDS: tuple[Kind, ...] = get_args(Kind)
ALIASES: Mapping[str, Kind] = MappingProxyType({"short_term": "working", "long_term": "semantic"})
"""What others call them."""
MOST_ENTRIES = 10_000
MOST_KB = 100_000
DAY_S = 86_400.0


def read_kind(word: str) -> Kind:
    """Read a kind of memory, also by the names that others give it.

    Raises:
        UnknownName: There is no such kind.
    """
    name = word.strip().lower().replace("-", "_")
    if name in KINDS:
        return name
    if name in ALIASES:
        return ALIASES[name]
    raise UnknownName("kind of memory", word[:80], KINDS)


class Retention(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of one kind one shelf keeps, and for how long.

    Raises:
        InvalidInput: A number is out of its bounds; all of them are named.
    """

    max_entries: int
    """The most memories; the weakest go first."""
    max_kb: int
    """The most kilobytes of 1,000 bytes as they are stored, the rows of all contributors together."""
    half_life_s: float
    """After how many seconds a memory that nobody touches is half as strong."""
    ttl_s: float | None = None
    """How many seconds after it was last said it is gone, however strong it is; `None` for no such end."""
    floor: float = 0.02
    """Below which level it is forgotten; a new memory begins between 0.5 and 1.5."""

    def __post_init__(self) -> None:
        """Check all numbers at once."""
        faults = [
            f"`{name}` is {value!r}; give {what}"
            for name, value, what, fits in (
                ("max_entries", self.max_entries, f"1 to {MOST_ENTRIES}", 1 <= self.max_entries <= MOST_ENTRIES),
                ("max_kb", self.max_kb, f"1 to {MOST_KB}", 1 <= self.max_kb <= MOST_KB),
                ("half_life_s", self.half_life_s, "seconds above 0", _is_time(self.half_life_s)),
                ("ttl_s", self.ttl_s, "seconds above 0, or `None`", self.ttl_s is None or _is_time(self.ttl_s)),
                ("floor", self.floor, "a number above 0 and below 0.5", 0 < self.floor < 0.5),
            )
            if not fits
        ]
        if faults:
            raise InvalidInput(f"A memory's retention does not hold: {'; '.join(faults)}.")


def _is_time(seconds: float) -> bool:
    return math.isfinite(seconds) and 0 < seconds <= 1e9


class Consolidation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When something at hand becomes a lasting memory, and when what several say becomes what the hive agreed."""

    times: int = 3
    """How often a working memory is said or recalled before it becomes a semantic one of whoever said it."""
    importance: float = 0.8
    """From which importance on a working memory becomes an episodic one at once."""
    contributors: int = 3
    """How many contributors must say the same to the hive before it becomes collective."""

    def __post_init__(self) -> None:
        """Check all numbers at once."""
        if not (self.times >= 2 and 0 < self.importance <= 1 and self.contributors >= 2):
            raise InvalidInput(
                f"Consolidation needs `times` and `contributors` of 2 or more and an `importance` above 0 and up to "
                f"1; it has {self.times!r}, {self.contributors!r} and {self.importance!r}."
            )


class MemoryRules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long each kind of memory lasts, and what becomes of what is repeated."""

    working: Retention = Retention(max_entries=200, max_kb=256, half_life_s=3600.0, ttl_s=DAY_S / 2)
    episodic: Retention = Retention(max_entries=1000, max_kb=2000, half_life_s=7 * DAY_S, ttl_s=90 * DAY_S)
    semantic: Retention = Retention(max_entries=2000, max_kb=4000, half_life_s=90 * DAY_S)
    procedural: Retention = Retention(max_entries=1000, max_kb=2000, half_life_s=180 * DAY_S)
    collective: Retention = Retention(max_entries=1000, max_kb=2000, half_life_s=365 * DAY_S)
    consolidation: Consolidation = Consolidation()

    def get(self, kind: Kind) -> Retention:
        """Return how long a kind lasts."""
        return cast("Retention", getattr(self, kind))
