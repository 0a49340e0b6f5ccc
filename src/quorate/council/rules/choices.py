"""How are ballots counted that name one option, and what share of them does an option have?"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from quorate.council.ballot import UNIT, Vote
from quorate.council.rules.count import (
    Count,
    choose_most,
    find_lead,
    show_leaders,
    show_number,
    show_points,
    sum_weights,
)

HALF = Fraction(1, 2)


def add_choices(votes: Sequence[Vote], options: Sequence[str]) -> dict[str, int]:
    """Add up the weights that chose each option, in millionths."""
    points = dict.fromkeys(options, 0)
    for vote in votes:
        if vote.ballot.choice:
            points[vote.ballot.choice] += vote.weight
    return points


def count_share(votes: Sequence[Vote], options: Sequence[str], *, threshold: Fraction, above: bool) -> Count:
    """Let the option win that has a share of what was cast; shares are compared exactly, never rounded.

    Two options with exactly half each, where more than half is asked for, are tied: one more vote would decide.
    Nobody else is: whoever breaks a tie must not give an option what its voters did not.

    Args:
        votes: Those that abstain count against every option.
        options: What there is to choose from.
        threshold: The share, 0 to 1.
        above: Whether it must be exceeded, and not only reached.
    """
    points, total = add_choices(votes, options), sum_weights(votes)
    best = choose_most(points)
    share = f"{'more than' if above else 'at least'} {show_number(threshold)} of it"
    needed = f"{'all of it' if threshold == 1 else share} is needed"
    if not best:
        return Count(points=show_points(points), leaders=(), why="no option has any votes")
    most = points[best[0]]
    has = f"{show_number(most / UNIT)} of {show_number(total / UNIT)}, and {needed}"
    reached = most > threshold * total if above else most >= threshold * total
    tied = above and threshold == HALF and most * 2 == total and len(best) == 2
    why = f"{show_leaders(best)} {'has' if len(best) == 1 else 'have each'} {has}"
    leaders = best if reached or tied else ()
    return Count(points=show_points(points), leaders=leaders, why=why, margin=find_lead(points.values()) / UNIT)
