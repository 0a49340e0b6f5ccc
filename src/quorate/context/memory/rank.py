"""Which memories does a question bring back first, and why?

As in Generative Agents (Park and others, 2023), a memory's score is made of how well it fits the question, how fresh
and how important it is; how strong it is, that is how often it was said and recalled, is the fourth part.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from operator import mul

from msgspec import Struct

from quorate.context.memory.decay import fade, to_strength
from quorate.context.memory.kinds import MemoryRules
from quorate.context.memory.notes import MemoryEntry
from quorate.context.memory.places import Spot
from quorate.context.memory.rows import Row, build_entry
from quorate.context.memory.words import NOTHING, Match, WordIndex

MOST_FOUND = 50
MOST_CHARS = 32_000
LEAST_SHARE = 0.1
"""What shares less with a question than this part of what the best one does shares only words that everything has."""
LEAST_LIKENESS = 0.35
"""The least cosine of two vectors that says anything where no word is shared."""


class Weights(Struct, frozen=True, kw_only=True):
    """How much each part counts; only their proportions matter."""

    relevance: float = 0.5
    recency: float = 0.2
    strength: float = 0.15
    importance: float = 0.15


class Recalled(Struct, frozen=True, kw_only=True):
    """A memory that was found, and why it stands where it stands; every number is from 0 to 1."""

    entry: MemoryEntry
    lead: Spot
    """Where its oldest note stands, which recalling makes stronger."""
    score: float
    relevance: float
    recency: float
    strength: float
    why: str


class Recollection(Struct, frozen=True, kw_only=True):
    """What was found."""

    found: tuple[Recalled, ...] = ()
    left_off: int = 0
    """How many more would have fitted, had there been room."""
    looked_at: int = 0
    notes: tuple[str, ...] = ()
    """What did not go as usual, such as rows that cannot be read."""


class Candidate(Struct, frozen=True):
    """A memory that may be found: its notes, and the oldest of those that say it."""

    rows: Sequence[Row]
    lead: Row
    likeness: float | None = None
    """How alike it is to the question, from 0 to 1, where an embedder says so."""


WEIGHTS = Weights()


def rank(
    candidates: Sequence[Candidate],
    index: WordIndex,
    *,
    now: float,
    rules: MemoryRules,
    weights: Weights = WEIGHTS,
) -> list[Recalled]:
    """Put memories in order, best first; with a question, those that have nothing to do with it are left out.

    The same memories come in the same order whoever asks: ties go to the younger one, then by id and place.

    Args:
        candidates: Those that may be found.
        index: The question, and the candidates' texts in their order.
        now: The moment.
        rules: How fast each kind fades.
        weights: How much each part counts.
    """
    found = list[Recalled]()
    asked = bool(index.terms) or any(candidate.likeness is not None for candidate in candidates)
    matches = index.match_all() if index.terms else [NOTHING] * len(candidates)
    least = LEAST_SHARE * max((match.relevance for match in matches), default=0.0)
    for candidate, match in zip(candidates, matches, strict=True):
        likeness, relevance = candidate.likeness, match.relevance
        if asked and not (match.words and relevance >= least) and (likeness or 0.0) < LEAST_LIKENESS:
            continue
        if likeness is not None:
            relevance = (relevance + likeness) / 2
        entry = build_entry(candidate.rows, now=now, rules=rules)
        if entry is not None:
            lead = candidate.lead.spot
            found.append(_score(entry, lead, relevance, match, now=now, rules=rules, weights=weights, asked=asked))
    found.sort(key=lambda one: (-one.score, -one.entry.made, one.entry.id, one.entry.kind, one.entry.place))
    best = dict[str, Recalled]()
    for one in found:  # what stands on two shelves is one memory
        best.setdefault(one.entry.id, one)
    return list(best.values())


def cut(ranked: Sequence[Recalled], *, limit: int, max_chars: int) -> Recollection:
    """Keep the best that there is room for; one that is too long is left off, and those behind it may still fit."""
    kept, used = list[Recalled](), 0
    for one in ranked:
        if len(kept) < limit and used + len(one.entry.text) <= max_chars:
            kept.append(one)
            used += len(one.entry.text)
    return Recollection(found=tuple(kept), left_off=len(ranked) - len(kept))


def _score(
    entry: MemoryEntry,
    lead: Spot,
    relevance: float,
    match: Match,
    *,
    now: float,
    rules: MemoryRules,
    weights: Weights,
    asked: bool,
) -> Recalled:
    recency = fade(1.0, now - entry.at, rules.get(entry.kind).half_life_s)
    tried = entry.successes + entry.failures
    strength = to_strength(entry.level) * (entry.successes + 1) / (tried + 1)
    parts = [(weights.recency, recency), (weights.strength, strength), (weights.importance, entry.importance)]
    if asked:
        parts.append((weights.relevance, relevance))
    whole = math.fsum(weight for weight, _ in parts)
    score = math.fsum(weight * part for weight, part in parts) / whole if whole > 0 else 0.0
    told = f"recency {recency:.2f}, strength {strength:.2f}, importance {entry.importance:.2f}"
    if tried:
        told += f", worked {entry.successes} times of {tried}"
    if asked:
        words = f" ({', '.join(match.words)})" if match.words else " (by likeness alone)"
        told = f"relevance {relevance:.2f}{words}, {told}"
    return Recalled(
        entry=entry,
        lead=lead,
        score=score,
        relevance=relevance,
        recency=recency,
        strength=strength,
        why=told,
    )


def normalize(vector: Sequence[float]) -> tuple[float, ...]:
    """Scale a vector to length 1; one of no length, or with numbers that are none, is compared with nothing."""
    length = math.sqrt(sum(map(mul, vector, vector)))
    return tuple([value / length for value in vector]) if length and math.isfinite(length) else ()


def pack(vector: Sequence[float]) -> bytes:
    """Write a vector as floats of 32 bits."""
    return struct.pack(f"<{len(vector)}f", *vector)


def unpack(data: bytes) -> tuple[float, ...]:
    """Read a vector; empty where it is none."""
    return struct.unpack(f"<{len(data) // 4}f", data) if len(data) % 4 == 0 else ()
