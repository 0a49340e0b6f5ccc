"""Which agents fit a few words, best first, and why?"""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Iterator, Sequence

from msgspec import Struct

from quorate.catalog.definition import AgentEntry
from quorate.catalog.language import load_words, split_words

SATURATION = 1.2
LENGTH_SHARE = 0.6
PREFIX_SHARE = 0.6
"""What a word counts that is only the beginning of one in the file."""
TYPO_SHARE = 0.4


class Match(Struct, frozen=True, kw_only=True):
    """An agent that fits, and why."""

    agent: str
    score: float
    """Higher is better; comparable within one search only."""
    reason: str


class Field(Struct, frozen=True, kw_only=True):
    """A part of an agent's file that search reads."""

    name: str
    weight: float


FIELDS = (
    Field(name="name", weight=4.0),
    Field(name="triggers", weight=3.0),
    Field(name="domain", weight=2.0),
    Field(name="tags", weight=2.0),
    Field(name="description", weight=1.5),
    Field(name="tools", weight=1.0),
    Field(name="examples", weight=1.0),
)


class _Document(Struct, frozen=True, kw_only=True):
    agent: str
    counts: dict[str, float]
    """How often each stem comes, weighted by field."""
    places: dict[str, str]
    """Each stem as it is written in the weightiest field it comes in, with that field's name."""
    length: float


class Finder:
    """An index of agents; built once for a catalog."""

    def __init__(self, definitions: Sequence[AgentEntry]) -> None:
        self._documents = [_read(definition) for definition in definitions]
        self._frequencies = Counter(word for document in self._documents for word in document.counts)
        self._average = sum(d.length for d in self._documents) / max(1, len(self._documents))

    def find(self, text: str, *, limit: int = 10) -> list[Match]:
        """Return the agents that share words with a text, best first; ties go by name.

        Words of one, two or three letters must be whole; longer ones may be beginnings, or nearly right.
        """
        words = dict.fromkeys(stem for _, stem in split_words(text))
        telling = [word for word in words if word not in load_words().stop]
        wanted = [self._match_word(word) for word in telling or words]
        matches = [match for document in self._documents if (match := self._score(document, wanted))]
        return sorted(matches, key=lambda match: (-match.score, match.agent))[: max(0, limit)]

    def _match_word(self, word: str) -> dict[str, float]:
        """Return the known stems a word may mean, each with its share."""
        known = {word: 1.0} if word in self._frequencies else {}
        if len(word) > 3:
            known |= {w: PREFIX_SHARE for w in self._frequencies if w != word and w.startswith(word)}
        if not known and len(word) > 3:
            near = difflib.get_close_matches(word, sorted(self._frequencies), n=1, cutoff=0.8)
            known = dict.fromkeys(near, TYPO_SHARE)
        return known

    def _score(self, document: _Document, wanted: Sequence[dict[str, float]]) -> Match | None:
        score = 0.0
        reasons: list[str] = []
        for choices in wanted:
            points = {word: share * self._weigh(document, word) for word, share in choices.items()
                      if word in document.counts}  # fmt: skip
            if points:
                best = max(sorted(points), key=points.__getitem__)
                score += points[best]
                reasons.append(document.places[best])
        return Match(agent=document.agent, score=round(score, 6), reason=", ".join(reasons)) if reasons else None

    def _weigh(self, document: _Document, word: str) -> float:
        """Okapi BM25 over the weighted counts."""
        count, frequency, total = document.counts[word], self._frequencies[word], len(self._documents)
        rarity = math.log(1 + (total - frequency + 0.5) / (frequency + 0.5))
        norm = 1 - LENGTH_SHARE + LENGTH_SHARE * document.length / self._average
        return rarity * count * (SATURATION + 1) / (count + SATURATION * norm)


def _read(definition: AgentEntry) -> _Document:
    counts: dict[str, float] = {}
    places: dict[str, str] = {}
    for field, words in _read_fields(definition):
        for written, word in words:
            counts[word] = counts.get(word, 0.0) + field.weight
            places.setdefault(word, f"`{written}` in its {field.name}")
    return _Document(agent=definition.name, counts=counts, places=places, length=sum(counts.values()))


def _read_fields(definition: AgentEntry) -> Iterator[tuple[Field, list[tuple[str, str]]]]:
    for field in FIELDS:
        value: str | tuple[str, ...] = getattr(definition, field.name)
        text = value if isinstance(value, str) else "\n".join(value)
        yield field, list(split_words(text))
