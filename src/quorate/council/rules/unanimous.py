"""Do all want the same?"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import ClassVar

from msgspec import Struct

from quorate.council.ballot import Ballot, Vote, check_ballot
from quorate.council.rules.choices import count_share
from quorate.council.rules.count import Count


class Unanimous(Struct, frozen=True, kw_only=True):
    """The option that everybody chooses who votes; one other voice, and there is no decision.

    Points are the weights that chose an option; a voter without weight stops nobody. Each voter can block, the
    mistaken one and the bribed one too, so that it fits small rolls and deeds that nobody can undo.

    Source: K. Wicksell, "Finanztheoretische Untersuchungen" (1896); J. M. Buchanan and G. Tullock, "The Calculus of
    Consent" (1962), chapter 7.
    """

    form: ClassVar[tuple[str, ...]] = ("choice",)
    needs_weights: ClassVar[bool] = False

    def check(self, ballot: Ballot, options: Sequence[str]) -> None:
        """Check that it chooses one option, or abstains."""
        check_ballot(ballot, options, self.form)

    def count(self, votes: Sequence[Vote], options: Sequence[str]) -> Count:
        """Count choices, and see whether one has them all."""
        return count_share(votes, options, threshold=Fraction(1), above=False)
