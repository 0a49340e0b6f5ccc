"""Who has the most votes of the options that are not vetoed?"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import ClassVar

from msgspec import Struct

from quorate.council.ballot import Ballot, Vote, check_ballot
from quorate.council.rules.choices import add_choices
from quorate.council.rules.count import Count, lead_by_points, show_leaders, show_points, sum_weights


class Veto(Struct, frozen=True, kw_only=True):
    """The option that most choose, of those that no voter vetoes, or that less than a given share vetoes.

    A vote for an option that falls out counts for nobody. A voter without weight has no veto. Points are the weights
    that chose an option, 0 for one that fell out. For safety: whoever must be able to stop something can.

    Source: H. Moulin, "Voting with Proportional Veto Power", Econometrica 50 (1982); D. C. Mueller, "Voting by Veto",
    Journal of Public Economics 10 (1978).
    """

    form: ClassVar[tuple[str, ...]] = ("choice", "vetoes")
    needs_weights: ClassVar[bool] = False
    threshold: Fraction = Fraction(0)
    """Which share of the weight cast must veto an option for it to fall out; any weight does at 0."""

    def check(self, ballot: Ballot, options: Sequence[str]) -> None:
        """Check that it chooses an option, vetoes some, or abstains."""
        check_ballot(ballot, options, self.form)

    def count(self, votes: Sequence[Vote], options: Sequence[str]) -> Count:
        """Let vetoed options fall out, and count the choices of the others."""
        cast = [vote for vote in votes if not vote.ballot.abstains]
        against, total = dict.fromkeys(options, 0), sum_weights(cast)
        for vote in cast:
            for option in vote.ballot.vetoes:
                against[option] += vote.weight
        fallen = [option for option, weight in against.items() if weight and weight >= self.threshold * total]
        points = add_choices(cast, options) | dict.fromkeys(fallen, 0)
        fell = f"; vetoed: {show_leaders(fallen)}" if fallen else ""
        if len(fallen) == len(options):
            return Count(points=show_points(points), leaders=(), why="every option is vetoed")
        count = lead_by_points(points, "votes")
        return Count(points=count.points, leaders=count.leaders, why=count.why + fell, margin=count.margin)
