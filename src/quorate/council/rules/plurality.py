"""Who has the most votes?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from msgspec import Struct

from quorate.council.ballot import Ballot, Vote, check_ballot
from quorate.council.rules.choices import add_choices
from quorate.council.rules.count import Count, lead_by_points


class Plurality(Struct, frozen=True, kw_only=True):
    """The option that most voters choose, however few they are.

    Points are the weights that chose an option. Fit for two options; with more, similar ones take each other's votes.

    Source: S. J. Brams and P. C. Fishburn, "Voting Procedures", in Handbook of Social Choice and Welfare, vol. 1
    (2002), section 5.
    """

    form: ClassVar[tuple[str, ...]] = ("choice",)
    needs_weights: ClassVar[bool] = False

    def check(self, ballot: Ballot, options: Sequence[str]) -> None:
        """Check that it chooses one option, or abstains."""
        check_ballot(ballot, options, self.form)

    def count(self, votes: Sequence[Vote], options: Sequence[str]) -> Count:
        """Count choices."""
        return lead_by_points(add_choices(votes, options), "votes")
