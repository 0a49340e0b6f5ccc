"""Which texts say the same as others, as a whole or in single sentences?

How alike two texts are is the share of their word 5-grams that both have, of all that either has: the resemblance of
Broder, *On the resemblance and containment of documents* (1997). It is exact here: only texts that share a 5-gram are
compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

GRAM = 5
MOST_SHARING = 20
"""With how many texts that have a 5-gram others are compared, so that thousands of copies do not cost their square."""
PAUSE = "\x1e"
"""Stands for a blank line."""
LEAST_WORDS = 7
"""Shorter sentences may stand in many texts."""
_WORD = re.compile(r"[^\W_]+(?:['_.-][^\W_]+)*")
_SENTENCE = re.compile(rf"(?<=[.!?:])\s+|\n(?:[-*]|\d{{1,3}}\.) |\n{PAUSE}(?:\n{PAUSE})*|\n#+ ")


class Likeness(Struct, frozen=True, kw_only=True):
    """Two texts that are alike."""

    name: str
    other: str
    share: float
    """How much of what either says both say: 0 to 1."""


def find_copies(texts: Mapping[str, str], *, above: float) -> Iterator[Likeness]:
    """Yield the pairs of texts that are more alike than a share, the later name first."""
    grams = {name: _build_grams(text) for name, text in sorted(texts.items())}
    holders: dict[int, list[str]] = {}
    for name, own in grams.items():
        met: set[str] = set()
        for gram in own:
            others = holders.setdefault(gram, [])
            met.update(others)
            if len(others) < MOST_SHARING:
                others.append(name)
        for other in sorted(met):
            both = len(own & grams[other])
            share = both / (len(own) + len(grams[other]) - both)
            if share > above:
                yield Likeness(name=name, other=other, share=share)


def find_shared_sentences(texts: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield the sentences that stand in an earlier text too: the later name, the earlier one, and the sentence."""
    first: dict[str, str] = {}
    for name, text in sorted(texts.items()):
        lines = (line.strip() for line in text.split("\n"))
        # Runs of blank lines and spaces are gone here, over which the pattern would go again and again.
        for sentence in _SENTENCE.split("\n".join(line or PAUSE for line in lines)):
            words = _WORD.findall(sentence.casefold())
            if len(words) < LEAST_WORDS:
                continue
            other = first.setdefault(" ".join(words), name)
            if other != name:
                yield name, other, " ".join(sentence.split())


def _build_grams(text: str) -> frozenset[int]:
    words = _WORD.findall(text.casefold())
    return frozenset(hash(tuple(words[at : at + GRAM])) for at in range(max(0, len(words) - GRAM + 1)))
