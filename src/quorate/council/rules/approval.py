"""Which option can most voters live with?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from msgspec import Struct

from quorate.council.ballot import Ballot, Vote, check_ballot
from quorate.council.rules.count import Count, lead_by_points


class Approval(Struct, frozen=True, kw_only=True):
    """The option that most voters approve of; each may approve of several.

    Points are the weights that approve of an option. Similar options do not harm each other; voters must know where
    to draw the line between good enough and not.

    Source: S. J. Brams and P. C. Fishburn, "Approval Voting", American Political Science Review 72 (1978).
    """

    form: ClassVar[tuple[str, ...]] = ("approved",)
    needs_weights: ClassVar[bool] = False

    def check(self, ballot: Ballot, options: Sequence[str]) -> None:
        """Check that it approves of something, or abstains."""
        check_ballot(ballot, options, self.form)

    def count(self, votes: Sequence[Vote], options: Sequence[str]) -> Count:
        """Count approvals."""
        points = dict.fromkeys(options, 0)
        for vote in votes:
            for option in vote.ballot.approved:
                points[option] += vote.weight
        return lead_by_points(points, "approvals")
