"""Which wins in direct comparison hold, when the clearest are taken first?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import ClassVar

from msgspec import Struct

from quorate.council.ballot import UNIT, Ballot, Vote, check_ballot
from quorate.council.rules.count import Count, show_leaders
from quorate.council.rules.pairs import Matrix, compare_pairs, find_closest, gather_rankings


class RankedPairs(Struct, frozen=True, kw_only=True):
    """The option above all others, when wins are kept from the largest majority down, unless they close a circle.

    A win counts by its majority, those for it less those against it. Wins of the same majority are looked at together:
    each is kept that is part of no circle with those kept before and those of its like. So neither the order of
    ballots nor that of options decides anything: options that no win is kept against are the leaders, and where equal
    wins contradict each other these are several, tied. Points are how many others stand below an option; the margin is
    the winner's least lead in a direct comparison, below 0 where a circle was broken there.

    Source: T. N. Tideman, "Independence of Clones as a Criterion for Voting Rules", Social Choice and Welfare 4
    (1987), section 5; equal wins at once as E. Gorr put it on the election-methods list, December 2003, instead of
    the drawn order of T. M. Zavist and T. N. Tideman, Social Choice and Welfare 6 (1989).
    """

    form: ClassVar[tuple[str, ...]] = ("ranking",)
    needs_weights: ClassVar[bool] = False

    def check(self, ballot: Ballot, options: Sequence[str]) -> None:
        """Check that it ranks options, each once, or abstains."""
        check_ballot(ballot, options, self.form)

    def count(self, votes: Sequence[Vote], options: Sequence[str]) -> Count:
        """Compare all pairs, and keep wins."""
        rankings = gather_rankings(votes, options)
        if not rankings:
            return Count(points=dict.fromkeys(options, 0.0), leaders=(), why="there are no rankings")
        matrix = compare_pairs(rankings, len(options))
        below = _keep_wins(matrix)
        beaten = 0
        for mask in below:
            beaten |= mask
        best = [one for one in range(len(options)) if not beaten >> one & 1]
        leaders = tuple(options[one] for one in best)
        how = "stands above every other option" if len(best) == 1 else "stand below none"
        return Count(
            points={option: float(mask.bit_count()) for option, mask in zip(options, below, strict=True)},
            leaders=leaders,
            why=f"{show_leaders(leaders)} {how} in the order of the kept wins",
            margin=find_closest(matrix, best[0]) / UNIT if len(best) == 1 else 0.0,
        )


def _keep_wins(matrix: Matrix) -> list[int]:
    """Find who stands below each option, as bits, by the wins that are kept."""
    number = len(matrix)
    wins: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for one in range(number):
        for other in range(number):
            if (majority := matrix[one][other] - matrix[other][one]) > 0:
                wins[majority].append((one, other))
    below = [0] * number
    for majority in sorted(wins, reverse=True):
        alike = wins[majority]
        ahead = _join(below, alike) if len(alike) > 1 else below
        kept = [(one, other) for one, other in alike if not ahead[other] >> one & 1]
        below = _join(below, kept)
    return below


def _join(below: list[int], wins: Sequence[tuple[int, int]]) -> list[int]:
    """Add wins, and all that follows from them."""
    joined = below.copy()
    for winner, loser in wins:
        under = joined[loser] | 1 << loser
        for place, mask in enumerate(joined):
            if place == winner or mask >> winner & 1:
                joined[place] |= under
    return joined
