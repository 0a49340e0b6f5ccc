"""Who has more than half?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from msgspec import Struct

from quorate.council.ballot import Ballot, Vote, check_ballot
from quorate.council.rules.choices import HALF, count_share
from quorate.council.rules.count import Count


class Majority(Struct, frozen=True, kw_only=True):
    """The option that more than half choose; exactly half is a tie where another has the other half.

    Points are the weights that chose an option. With two options no other rule treats voters and options alike and
    gives more votes their due; with more, often nobody has half.

    Source: K. O. May, "A Set of Independent Necessary and Sufficient Conditions for Simple Majority Decision",
    Econometrica 20 (1952).
    """

    form: ClassVar[tuple[str, ...]] = ("choice",)
    needs_weights: ClassVar[bool] = False

    def check(self, ballot: Ballot, options: Sequence[str]) -> None:
        """Check that it chooses one option, or abstains."""
        check_ballot(ballot, options, self.form)

    def count(self, votes: Sequence[Vote], options: Sequence[str]) -> Count:
        """Count choices, and compare the best with half."""
        return count_share(votes, options, threshold=HALF, above=True)
