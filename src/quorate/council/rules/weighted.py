"""Who has more than a share of the declared weight?"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import ClassVar

from msgspec import Struct

from quorate.council.ballot import Ballot, Vote, check_ballot
from quorate.council.rules.choices import HALF, count_share
from quorate.council.rules.count import Count


class Weighted(Struct, frozen=True, kw_only=True):
    """The option that more than a given share of the weight chooses; half, where nothing else is said.

    Points are the weights that chose an option. Weights must be declared on the roll, as expertise or earned trust.
    The weight that serves a voter best who is right with chance p is log(p / (1 - p)), where voters err apart.

    Source: L. Shapley and B. Grofman, "Optimizing Group Judgmental Accuracy in the Presence of Interdependencies",
    Public Choice 43 (1984), theorem II; D. S. Felsenthal and M. Machover, "The Measurement of Voting Power" (1998),
    chapter 2.
    """

    form: ClassVar[tuple[str, ...]] = ("choice",)
    needs_weights: ClassVar[bool] = True
    threshold: Fraction = HALF
    """The share, at least 1/2 and below 1; it must be exceeded."""

    def check(self, ballot: Ballot, options: Sequence[str]) -> None:
        """Check that it chooses one option, or abstains."""
        check_ballot(ballot, options, self.form)

    def count(self, votes: Sequence[Vote], options: Sequence[str]) -> Count:
        """Count the weight of choices, and compare the best with the share."""
        return count_share(votes, options, threshold=self.threshold, above=True)
