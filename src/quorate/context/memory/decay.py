"""How strong is a memory after a while, and how does it become stronger?

Each time something is said or recalled leaves a trace, and every trace fades by halves: the sum of traces is the base
level of ACT-R (Anderson and Schooler, 1991), with exponential traces as on Ebbinghaus' curve of forgetting (1885), so
that one number and one moment are all that is kept. Of two memories with one half-life, the stronger one stays the
stronger one for as long as nobody touches either: what to forget first does not depend on when one looks.
"""

from __future__ import annotations

import math

from quorate.context.memory.kinds import Retention
from quorate.context.memory.notes import Note

MOST = 8.0
"""The highest level: who repeats something a thousand times gains no more than who says it eight times."""
SAID, RECALLED = 1.0, 0.5
"""By how much saying it again, and recalling it, raise the level."""


def begin_level(importance: float) -> float:
    """Return the level a new memory begins with, by its importance: 0.5 to 1.5."""
    return 0.5 + importance


def fade(level: float, age_s: float, half_life_s: float) -> float:
    """Return what is left of a level; a clock that was put back makes nothing stronger."""
    return level * 2.0 ** (-max(0.0, age_s) / half_life_s)


def raise_level(level: float, age_s: float, half_life_s: float, *, by: float) -> float:
    """Return the level after one more trace."""
    return min(MOST, fade(level, age_s, half_life_s) + by)


def to_strength(level: float) -> float:
    """Return a level as a number from 0 to 1: 0.63 for one fresh trace, 0.95 for three."""
    return 1.0 - math.exp(-level)


def find_expiry(note: Note, retention: Retention) -> float:
    """Find from which moment on a note is forgotten: it faded below the floor, or its time is over."""
    if note.level <= retention.floor:
        return note.at
    faded = note.at + retention.half_life_s * math.log2(note.level / retention.floor)
    return faded if retention.ttl_s is None else min(faded, note.said + retention.ttl_s)
