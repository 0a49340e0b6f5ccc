"""How much has a text to do with a question, by the words they share?

Okapi BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009), divided by what a text of the usual
length has that says each of the question's words once.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter

from msgspec import Struct

MAX_QUERY = 2000
"""The most characters of a question that are looked at."""
MAX_TERMS = 64
SATURATION, LENGTHS = 1.2, 0.75
"""BM25's `k1` and `b`, at their usual values."""
COMMON = (
    "a", "about", "an", "and", "any", "are", "as", "at", "be", "but", "by", "can", "could", "did", "do", "does",
    "for", "from", "had", "has", "have", "how", "i", "if", "in", "into", "is", "it", "its", "me", "my", "no", "not",
    "of", "on", "or", "our", "should", "so", "than", "that", "the", "their", "them", "then", "there", "they", "thi",
    "to", "was", "we", "were", "what", "when", "where", "which", "who", "why", "will", "with", "would", "you", "your",
)  # fmt: skip
"""Words that a small hive has in every text, as `find_terms` cuts them: they ask for nothing. They are English, which
most questions are; of other languages they are weighed like all words."""
_WORD = re.compile(r"[^\W_]+")
_CONTINUOUS = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af]")
"""Scripts that write no spaces between words."""


def find_terms(text: str) -> list[str]:
    """Cut a text into words as they are compared: small letters, without the `s` of plurals, pairs where a script has
    no spaces.
    """
    found: list[str] = []
    for word in _WORD.findall(unicodedata.normalize("NFKC", text).casefold()):
        if not word.isascii() and _CONTINUOUS.search(word):
            found += [word[place : place + 2] for place in range(max(1, len(word) - 1))]
        elif len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
            found.append(word[:-1])
        else:
            found.append(word)
    return found


class Match(Struct, frozen=True):
    """How well a text fits a question."""

    relevance: float
    """From 0 to 1."""
    words: tuple[str, ...]
    """The question's words that it has, in order."""


NOTHING = Match(0.0, ())


class WordIndex:
    """Texts as far as one question needs them: how often each has its words, and how long it is."""

    def __init__(self, query: str) -> None:
        words = dict.fromkeys(find_terms(query[:MAX_QUERY]))
        self.terms = tuple([word for word in words if word not in COMMON] or words)[:MAX_TERMS]
        self._forms = {
            **{f"{term}s": term for term in self.terms if len(term) > 2 and not term.endswith("s")},
            **{term: term for term in self.terms},
        }
        """How the terms are written in plain texts, which are most: that spares half of the work on each."""
        self._counts: list[Counter[str]] = []
        self._lengths: list[int] = []
        self._texts_with: Counter[str] = Counter()

    def add(self, text: str) -> None:
        """Take a text in."""
        if text.isascii():
            terms = _WORD.findall(text.lower())
            counts = Counter([self._forms[word] for word in terms if word in self._forms])
        else:
            terms = find_terms(text)
            counts = Counter([term for term in terms if term in self.terms])
        self._counts.append(counts)
        self._lengths.append(len(terms))
        self._texts_with.update(counts.keys())

    def match_all(self) -> list[Match]:
        """Return how well each text fits, in the order they were taken in."""
        size = len(self._counts)
        if not self.terms or not size:
            return [NOTHING] * size
        usual = sum(self._lengths) / size or 1.0
        # A word that no text has tells none from another; it counts like those that some have.
        weights = {term: self._weigh(term, size) for term in self.terms if self._texts_with[term]}
        if not weights:
            return [NOTHING] * size
        most = sum(weights.values()) * len(self.terms) / len(weights)
        found: list[Match] = []
        for counts, length in zip(self._counts, self._lengths, strict=True):
            if not counts:
                found.append(NOTHING)
                continue
            damp = SATURATION * (1 - LENGTHS + LENGTHS * length / usual)
            score = math.fsum(
                weights[term] * count * (SATURATION + 1) / (count + damp) for term, count in counts.items()
            )
            found.append(Match(min(1.0, score / most), tuple([term for term in self.terms if term in counts])))
        return found

    def _weigh(self, term: str, size: int) -> float:
        has = self._texts_with[term]
        return math.log(1 + (size - has + 0.5) / (has + 0.5))
