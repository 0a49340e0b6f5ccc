"""How do words and numbers become what a model reckons with?"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean

from msgspec import Struct

from quorate.learning.examples import Case

MOST_WORDS = 4_096
"""Words and pairs of words that a model knows."""
MOST_AWAY = 1e6
"""How many standard deviations a number is away at most: what is further off says no more."""
_WORD = re.compile(r"[^\W_]+(?:[.'-][^\W_]+)*")
Row = dict[int, float]
"""Values by the number of their column; what is 0 is left out."""


class Encoding(Struct, frozen=True, kw_only=True):
    """What the columns of a model's rows are: first numbers, then words."""

    numbers: tuple[str, ...] = ()
    means: tuple[float, ...] = ()
    scales: tuple[float, ...] = ()
    words: tuple[str, ...] = ()
    rarity: tuple[float, ...] = ()
    """What a word counts: more for rare ones."""

    @property
    def width(self) -> int:
        """How many columns there are."""
        return len(self.numbers) + len(self.words)


def build_encoding(cases: Sequence[Case]) -> Encoding:
    """Build the columns that some cases need; words that only one of them has are left out."""
    names = sorted({name for case in cases for name in case.features})
    means, scales = list[float](), list[float]()
    for name in names:
        values = [case.features[name] for case in cases if name in case.features]
        mean = fmean(values)
        means.append(mean)
        scales.append(math.sqrt(fmean([(value - mean) ** 2 for value in values])) or 1.0)
    counts = Counter(word for case in cases for word in set(list_words(case.text)))
    kept = [word for word, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])) if count > 1]
    words = sorted(kept[:MOST_WORDS])
    rarity = [math.log((1 + len(cases)) / (1 + counts[word])) + 1 for word in words]
    return Encoding(
        numbers=tuple(names), means=tuple(means), scales=tuple(scales), words=tuple(words), rarity=tuple(rarity)
    )


class Encoder:
    """Turns cases into rows of columns.

    Args:
        encoding: What the columns are.
    """

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        first = len(encoding.numbers)
        self._columns = {word: first + at for at, word in enumerate(encoding.words)}

    def encode(self, case: Case) -> Row:
        """Turn a case into a row: numbers by how far they are from their mean, words by how telling they are.

        A number that is missing counts as usual.
        """
        encoding, row = self._encoding, Row()
        for at, name in enumerate(encoding.numbers):
            value = case.features.get(name)
            if value is not None and math.isfinite(value):
                away = (value - encoding.means[at]) / encoding.scales[at]
                row[at] = max(-MOST_AWAY, min(MOST_AWAY, away))
        counts = Counter(self._columns[word] for word in list_words(case.text) if word in self._columns)
        first = len(encoding.numbers)
        weights = {at: (1 + math.log(count)) * encoding.rarity[at - first] for at, count in counts.items()}
        length = math.sqrt(sum(weight * weight for weight in weights.values())) or 1.0
        return row | {at: weight / length for at, weight in sorted(weights.items())}


def list_words(text: str) -> list[str]:
    """List the words of a text, and pairs of words in a row; numbers are all alike."""
    words = ["0" if word.isdigit() else word for word in _WORD.findall(text.casefold())]
    return [*words, *(f"{one} {other}" for one, other in pairwise(words))]
