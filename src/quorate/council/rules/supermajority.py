"""Who has a large share, such as three of four?"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import ClassVar

from msgspec import Struct

from quorate.council.ballot import Ballot, Vote, check_ballot
from quorate.council.rules.choices import count_share
from quorate.council.rules.count import Count


class Supermajority(Struct, frozen=True, kw_only=True):
    """The option that a given share chooses, or more; three quarters, where nothing else is said.

    Points are the weights that chose an option. For what is hard to undo: the more is asked for, the more often
    there is no decision, which must be as good as a wrong one is bad.

    Source: J.-M. Marquis de Condorcet, "Essai sur l'application de l'analyse à la probabilité des décisions rendues à
    la pluralité des voix" (1785), on the plurality required; M. Schwartzberg, "Counting the Many" (2014), chapter 1.
    """

    form: ClassVar[tuple[str, ...]] = ("choice",)
    needs_weights: ClassVar[bool] = False
    threshold: Fraction = Fraction(3, 4)
    """The share, above 1/2 and at most 1."""

    def check(self, ballot: Ballot, options: Sequence[str]) -> None:
        """Check that it chooses one option, or abstains."""
        check_ballot(ballot, options, self.form)

    def count(self, votes: Sequence[Vote], options: Sequence[str]) -> Count:
        """Count choices, and compare the best with the share."""
        return count_share(votes, options, threshold=self.threshold, above=False)
