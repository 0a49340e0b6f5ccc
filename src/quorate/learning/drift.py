"""Do new cases still look like those that a model was trained on?

Three measures: the population stability index says by how much a distribution moved (N. Siddiqi, *Credit Risk
Scorecards*, 2006: from 0.1 on something, from 0.25 on a lot), the Kolmogorov-Smirnov test of numbers and Pearson's
chi-square test of words and labels whether that may be chance. As many are made, their p values are adjusted (S. Holm,
*A simple sequentially rejective multiple test procedure*, Scandinavian Journal of Statistics 6, 1979). What is flagged
has moved both surely and by enough: of many cases, the least move is sure; of few, a large one is chance.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from msgspec import Struct

from quorate.errors import InvalidInput
from quorate.learning.distributions import survive_chi_square, survive_kolmogorov
from quorate.learning.encoding import list_words
from quorate.learning.examples import Case

MOST_KEPT = 1_000
"""Values that are kept of each number."""
MOST_WORDS = 50
BINS = 10
SURE = 0.01
"""The adjusted p value below which a move is no chance."""
ENOUGH = 0.1
"""The index, or the distance, from which a move is worth a word."""
LEAST_CASES = 20
LEAST_EXPECTED = 5.0
"""What a bin must be expected to hold; smaller ones are put together."""
MISSING, WORDS, LABELS = "missing:", "words", "labels"


class Reference(Struct, frozen=True, kw_only=True):
    """What cases looked like."""

    cases: int
    numbers: dict[str, tuple[float, ...]] = {}
    """Of each number, values in order: all of them, or as many at even distances."""
    missing: dict[str, int] = {}
    """In how many cases a number was missing."""
    words: dict[str, int] = {}
    """In how many cases the commonest words were."""
    labels: dict[str, int] = {}


class Move(Struct, frozen=True, kw_only=True):
    """By how much something moved, and whether that may be chance."""

    what: str
    """The name of a number, `missing:` and its name, `words`, or `labels`."""
    test: str
    distance: float
    """The statistic that was tested."""
    index: float
    """The population stability index."""
    p_value: float
    """Adjusted for how much was tested."""
    drifted: bool


class DriftReport(Struct, frozen=True, kw_only=True):
    """Whether new cases look like those of before."""

    cases: int
    drifted: bool
    moves: tuple[Move, ...]
    """The largest first."""


def build_reference(cases: Sequence[Case], labels: Sequence[str] = ()) -> Reference:
    """Build what some cases look like.

    Args:
        cases: The cases.
        labels: What they are, or are said to be; may be left out.
    """
    names = sorted({name for case in cases for name in case.features})
    found = {name: sorted(case.features[name] for case in cases if name in case.features) for name in names}
    words = Counter(word for case in cases for word in {one for one in list_words(case.text) if " " not in one})
    common = sorted(words.items(), key=lambda one: (-one[1], one[0]))[:MOST_WORDS]
    return Reference(
        cases=len(cases),
        numbers={name: _thin(values) for name, values in found.items()},
        missing={name: len(cases) - len(values) for name, values in found.items()},
        words=dict(common),
        labels=dict(sorted(Counter(labels).items())),
    )


def find_drift(reference: Reference, cases: Sequence[Case], labels: Sequence[str] = ()) -> DriftReport:
    """Compare new cases with those of before.

    Args:
        reference: What those of before looked like.
        cases: The new ones.
        labels: What a model says of them; may be left out.

    Raises:
        InvalidInput: There are too few to say anything.
    """
    if len(cases) < LEAST_CASES or reference.cases < LEAST_CASES:
        raise InvalidInput(
            f"{len(cases)} new cases are compared with {reference.cases}: at least {LEAST_CASES} of each are needed."
        )
    now = build_reference(cases, labels)
    moves = [_compare_numbers(name, values, now) for name, values in reference.numbers.items() if len(values) > 1]
    for name, missing in reference.missing.items():
        moves.append(
            _compare_shares(f"{MISSING}{name}", missing, reference.cases, now.missing.get(name, len(cases)), now.cases)
        )
    if reference.words:
        seen = Counter(word for case in cases for word in set(list_words(case.text)))
        shares = [(count, seen[word]) for word, count in reference.words.items()]
        moves.append(_compare_words(shares, reference.cases, now.cases))
    if reference.labels and labels:
        moves.append(_compare_labels(reference.labels, now.labels))
    adjusted = _adjust([move for move in moves if move is not None])
    return DriftReport(
        cases=len(cases),
        drifted=any(move.drifted for move in adjusted),
        moves=tuple(sorted(adjusted, key=lambda move: (not move.drifted, -move.index, move.what))),
    )


def find_distance(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the Kolmogorov-Smirnov distance of two samples that are in order."""
    left, right, most = 0, 0, 0.0
    while left < len(one) and right < len(other):
        value = min(one[left], other[right])
        while left < len(one) and one[left] <= value:
            left += 1
        while right < len(other) and other[right] <= value:
            right += 1
        most = max(most, abs(left / len(one) - right / len(other)))
    return most


def find_index(expected: Sequence[float], found: Sequence[float]) -> float:
    """Return the population stability index of counts in bins; an empty bin counts as half a case."""
    before, after = sum(expected), sum(found)
    total = 0.0
    for left, right in zip(expected, found, strict=True):
        old, new = max(left, 0.5) / before, max(right, 0.5) / after
        total += (new - old) * math.log(new / old)
    return total


def weigh_homogeneity(expected: Sequence[float], found: Sequence[float]) -> tuple[float, float]:
    """Return Pearson's chi-square of two rows of counts, and its p value; bins that expect too little are one."""
    before, after = sum(expected), sum(found)
    least = LEAST_EXPECTED * (before + after) / min(before, after) if before and after else math.inf
    pairs = sorted(zip(expected, found, strict=True), key=sum)
    kept: list[tuple[float, float]] = []
    rest = (0.0, 0.0)
    for left, right in pairs:
        if left + right < least or 0 < sum(rest) < least:
            rest = (rest[0] + left, rest[1] + right)
        else:
            kept.append((left, right))
    if sum(rest):
        kept.append(rest)
    if len(kept) < 2:
        return 0.0, 1.0
    value = 0.0
    for left, right in kept:
        both = left + right
        for count, size in ((left, before), (right, after)):
            usual = both * size / (before + after)
            value += (count - usual) ** 2 / usual
    return value, survive_chi_square(value, len(kept) - 1)


def _thin(values: Sequence[float]) -> tuple[float, ...]:
    if len(values) <= MOST_KEPT:
        return tuple(values)
    step = (len(values) - 1) / (MOST_KEPT - 1)
    return tuple(values[round(at * step)] for at in range(MOST_KEPT))


def _compare_numbers(name: str, before: Sequence[float], now: Reference) -> Move | None:
    after = now.numbers.get(name, ())
    if len(after) < 2:
        return None
    distance = find_distance(before, after)
    edges = sorted({before[len(before) * at // BINS] for at in range(1, BINS)})
    expected, found = _count(before, edges), _count(after, edges)
    effective = len(before) * len(after) / (len(before) + len(after))
    p_value = survive_kolmogorov(distance, effective)
    return _build(name, "Kolmogorov-Smirnov", distance, find_index(expected, found), p_value, distance)


def _count(values: Sequence[float], edges: Sequence[float]) -> list[float]:
    places = [0, *(bisect_right(values, edge) for edge in edges), len(values)]
    return [float(end - begin) for begin, end in pairwise(places)]


def _compare_shares(what: str, before: int, of: int, after: int, now: int) -> Move | None:
    if not before and not after:
        return None
    expected, found = (float(before), float(of - before)), (float(after), float(now - after))
    value, p_value = weigh_homogeneity(expected, found)
    return _build(what, "chi-square", value, find_index(expected, found), p_value, abs(before / of - after / now))


def _compare_words(shares: Sequence[tuple[int, int]], before: int, after: int) -> Move:
    """Compare in how many cases each word is, each by itself, and take the surest, for as many looks."""
    worst: tuple[float, float, float] = (0.0, 1.0, 0.0)
    index = 0.0
    for left, right in shares:
        expected, found = (float(left), float(before - left)), (float(right), float(after - right))
        value, p_value = weigh_homogeneity(expected, found)
        if p_value < worst[1]:
            worst = (value, p_value, abs(left / before - right / after))
        index = max(index, find_index(expected, found))
    return _build(WORDS, "chi-square", worst[0], index, min(1.0, worst[1] * len(shares)), worst[2])


def _compare_labels(before: Mapping[str, int], after: Mapping[str, int]) -> Move:
    names = sorted({*before, *after})
    expected, found = [float(before.get(name, 0)) for name in names], [float(after.get(name, 0)) for name in names]
    value, p_value = weigh_homogeneity(expected, found)
    old, new = sum(expected), sum(found)
    moved = sum(abs(left / old - right / new) for left, right in zip(expected, found, strict=True)) / 2
    return _build(LABELS, "chi-square", value, find_index(expected, found), p_value, moved)


def _build(what: str, test: str, distance: float, index: float, p_value: float, effect: float) -> Move:
    return Move(
        what=what, test=test, distance=distance, index=index, p_value=p_value, drifted=max(effect, index) >= ENOUGH
    )


def _adjust(moves: Sequence[Move]) -> list[Move]:
    """Adjust p values by Holm's steps; what moved enough has drifted where it is sure as well."""
    ordered = sorted(moves, key=lambda move: move.p_value)
    adjusted: list[Move] = []
    least = 0.0
    for at, move in enumerate(ordered):
        least = max(least, min(1.0, move.p_value * (len(ordered) - at)))
        adjusted.append(
            Move(
                what=move.what,
                test=move.test,
                distance=move.distance,
                index=move.index,
                p_value=least,
                drifted=move.drifted and least < SURE,
            )
        )
    return adjusted
