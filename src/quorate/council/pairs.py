"""Given who beat whom, in what order do they stand, and is there an order at all?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

PRIOR = 0.5
"""How many wins and losses each answer has against one that is nobody's, so that nobody is infinitely strong."""
MAX_PASSES = 500
"""How often strengths are mended before they are taken as they are."""
CLOSE = 1e-8
"""By which share strengths may still change when they are taken."""


class PairResult(Struct, frozen=True, kw_only=True):
    """How two answers compare, as all judges see it."""

    one: str
    other: str
    for_one: int = 0
    """How many judges prefer the one in both orders."""
    for_other: int = 0
    ties: int = 0
    """How many prefer neither, or now this one and now that."""
    swayed: int = 0
    """How many of those prefer whichever stands in the same place: it is the place they judge."""
    absent: int = 0
    is_judged: bool = True
    """Whether enough judges compared them."""
    reasons: tuple[str, ...] = ()

    @property
    def winner(self) -> str:
        """Who is preferred by more judges; empty where nobody is, or too few judged."""
        if not self.is_judged or self.for_one == self.for_other:
            return ""
        return self.one if self.for_one > self.for_other else self.other

    @property
    def pair(self) -> frozenset[str]:
        """Who is compared."""
        return frozenset((self.one, self.other))


def count_copeland(names: Sequence[str], results: Sequence[PairResult]) -> dict[str, int]:
    """Count for each how many it beats, less how many beat it (Copeland 1951)."""
    points = dict.fromkeys(names, 0)
    for one in results:
        if one.winner:
            points[one.winner] += 1
            points[one.other if one.winner == one.one else one.one] -= 1
    return points


def fit_strengths(names: Sequence[str], results: Sequence[PairResult]) -> dict[str, float]:
    """Fit the strengths of the Bradley-Terry model to the judges' votes, a tie as half a win for each.

    The chance that one is preferred to another one is its share of both their strengths. The strengths are found by
    the MM algorithm (Hunter, Annals of Statistics 32, 2004), with a little prior, since without it they exist only
    where there is a way by wins from each to each (Caron and Doucet, 2012). They add up to 1.

    Args:
        names: Who was compared.
        results: How; those that were not judged are left out.
    """
    order = sorted(names)  # sums are the same then, whatever the order of the answers
    wins = dict.fromkeys(order, PRIOR)
    met: dict[str, list[tuple[str, int]]] = {name: [] for name in order}
    for one in sorted(results, key=lambda one: (min(one.pair), max(one.pair))):
        games = one.for_one + one.for_other + one.ties
        if one.is_judged and games:
            wins[one.one] += one.for_one + one.ties / 2
            wins[one.other] += one.for_other + one.ties / 2
            met[one.one].append((one.other, games))
            met[one.other].append((one.one, games))
    strengths = dict.fromkeys(order, 1.0)
    for _ in range(MAX_PASSES):
        change = 0.0
        for name in order:  # each by what the others are by now: that takes fewer passes
            own = strengths[name]
            expected = 2 * PRIOR / (own + 1)
            for rival, games in met[name]:
                expected += games / (own + strengths[rival])
            strengths[name] = wins[name] / expected
            change = max(change, abs(strengths[name] / own - 1))
        if change <= CLOSE:
            break
    total = math.fsum(strengths.values())
    return {name: strengths[name] / total for name in names}


def find_cycles(results: Sequence[PairResult], *, most: int) -> tuple[tuple[str, str, str], ...]:
    """Find threes of which each beats the next one: there is no order among them (Kendall and Babington Smith 1940).

    Args:
        results: How pairs compare.
        most: How many are told.
    """
    beats: dict[str, set[str]] = {}
    for one in results:
        if one.winner:
            beats.setdefault(one.winner, set()).update(one.pair - {one.winner})
    found = (
        (first, second, third)
        for first in sorted(beats)
        for second in sorted(beats[first])
        for third in sorted(beats.get(second, ()))
        if first < min(second, third) and first in beats.get(third, ())
    )
    return tuple(itertools.islice(found, most))


def count_rounds(answers: int, most: int) -> int:
    """Count how many rounds of a Swiss tournament a number of pairs allows; 0 where it allows too few to tell."""
    rounds = most // (answers // 2)
    return min(rounds, answers - 1) if rounds >= math.ceil(math.log2(answers)) else 0


def pair_swiss(order: Sequence[str], results: Sequence[PairResult]) -> list[tuple[str, str]]:
    """Pair those who have done alike and have not met: the next round of a Swiss tournament.

    Where the number is odd, or all who are left have met, somebody sits the round out, who has sat out least.

    Args:
        order: Who plays; of equals the first comes first.
        results: How pairs compared until now.
    """
    met = {one.pair for one in results}
    points, games = dict.fromkeys(order, 0.0), dict.fromkeys(order, 0)
    for one in results:
        for name in (one.one, one.other):
            games[name] += 1
            points[name] += 1.0 if one.winner == name else 0.0 if one.winner else 0.5
    rounds = max(games.values(), default=0)
    scores = {name: points[name] + 0.5 * (rounds - games[name]) for name in order}
    left = sorted(order, key=lambda name: -scores[name])
    if len(left) % 2:
        resting = min(reversed(left), key=lambda name: rounds - games[name])
        left.remove(resting)
    pairs: list[tuple[str, str]] = []
    while left:
        name = left.pop(0)
        rival = next((one for one in left if frozenset((name, one)) not in met), None)
        if rival is not None:
            left.remove(rival)
            pairs.append((name, rival))
    return pairs


def find_sure_winner(points: Mapping[str, int], unjudged: Collection[frozenset[str]]) -> str:
    """Find who has most points and would have, however the pairs that were not judged had gone; empty where nobody.

    Args:
        points: Each one's points, one for a win and one less for a loss.
        unjudged: The pairs that nobody could judge.
    """
    best = max(points, key=lambda name: points[name])
    open_games = {name: sum(name in pair for pair in unjudged) for name in points}
    least = points[best] - open_games[best]
    return best if all(points[name] + open_games[name] < least for name in points if name != best) else ""
