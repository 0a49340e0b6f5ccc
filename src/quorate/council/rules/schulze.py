"""Who wins against each other option, directly or by the strongest chain of wins?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from msgspec import Struct

from quorate.council.ballot import UNIT, Ballot, Vote, check_ballot
from quorate.council.rules.count import Count, show_leaders
from quorate.council.rules.pairs import Matrix, compare_pairs, find_closest, gather_rankings


class Schulze(Struct, frozen=True, kw_only=True):
    """The option that beats each other one by the strongest path; whoever wins every direct comparison is it.

    A win counts by the weight of those who prefer the winner. A path is as strong as its weakest win. Options that
    no other beats by paths are the leaders: several only when they are tied, whatever the order of the options.
    Points are how many others an option beats by paths; the margin is the winner's least lead in a direct comparison,
    below 0 where a cycle was broken there.

    Source: M. Schulze, "A New Monotonic, Clone-Independent, Reversal Symmetric, and Condorcet-Consistent Single-Winner
    Election Method", Social Choice and Welfare 36 (2011), section 2.
    """

    form: ClassVar[tuple[str, ...]] = ("ranking",)
    needs_weights: ClassVar[bool] = False

    def check(self, ballot: Ballot, options: Sequence[str]) -> None:
        """Check that it ranks options, each once, or abstains."""
        check_ballot(ballot, options, self.form)

    def count(self, votes: Sequence[Vote], options: Sequence[str]) -> Count:
        """Compare all pairs, and find the strongest paths."""
        rankings = gather_rankings(votes, options)
        if not rankings:
            return Count(points=dict.fromkeys(options, 0.0), leaders=(), why="there are no rankings")
        matrix = compare_pairs(rankings, len(options))
        paths = _find_paths(matrix)
        everyone = range(len(options))
        beaten = [sum(paths[one][other] > paths[other][one] for other in everyone) for one in everyone]
        best = [one for one in everyone if all(paths[one][other] >= paths[other][one] for other in everyone)]
        leaders = tuple(options[one] for one in best)
        how = "beats every other option by its strongest path" if len(best) == 1 else "are beaten by no path"
        return Count(
            points={option: float(number) for option, number in zip(options, beaten, strict=True)},
            leaders=leaders,
            why=f"{show_leaders(leaders)} {how}",
            margin=find_closest(matrix, best[0]) / UNIT if len(best) == 1 else 0.0,
        )


def _find_paths(matrix: Matrix) -> Matrix:
    """Find how strong the strongest path from each option to each other one is (Floyd and Warshall's way)."""
    everyone = range(len(matrix))
    paths = [
        [matrix[one][other] if matrix[one][other] > matrix[other][one] else 0 for other in everyone] for one in everyone
    ]
    for middle in everyone:
        onward = paths[middle]
        for one in everyone:
            # Paths through an option to itself are no path of it: the strength of nobody's win counts there.
            row, reach = paths[one], paths[one][middle]
            if reach and one != middle:
                paths[one] = [max(straight, min(reach, further)) for straight, further in zip(row, onward, strict=True)]
                paths[one][one] = 0
    return paths
