"""Which option beats the most others, over all rankings?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from msgspec import Struct

from quorate.council.ballot import UNIT, Ballot, Vote, check_ballot
from quorate.council.rules.count import Count, lead_by_points


class Borda(Struct, frozen=True, kw_only=True):
    """The option with the most points, where a ranking gives each as many as it puts others below it.

    Options that a ranking leaves out share its last place, and get the mean of the places that they fill: half a
    point for each other one left out (the tournament form). So a short ranking gives away as many points as a long
    one. Finds options that all can live with; a party of clones can tip it.

    Source: J.-C. de Borda, "Mémoire sur les élections au scrutin" (1781); M. Dummett, "The Borda Count and Agenda
    Manipulation", Social Choice and Welfare 15 (1998), on tied places.
    """

    form: ClassVar[tuple[str, ...]] = ("ranking",)
    needs_weights: ClassVar[bool] = False

    def check(self, ballot: Ballot, options: Sequence[str]) -> None:
        """Check that it ranks options, each once, or abstains."""
        check_ballot(ballot, options, self.form)

    def count(self, votes: Sequence[Vote], options: Sequence[str]) -> Count:
        """Add up points, in halves."""
        number, everyone = len(options), 0
        halves = dict.fromkeys(options, 0)
        for vote in votes:
            if vote.ballot.abstains:
                continue
            left_out = number - len(vote.ballot.ranking)
            # Everybody gets what an option left out gets; those ranked get the rest besides.
            shared = max(left_out - 1, 0)
            everyone += shared * vote.weight
            for place, option in enumerate(vote.ballot.ranking, 1):
                halves[option] += (2 * (number - place) - shared) * vote.weight
        points = {option: half + everyone for option, half in halves.items()}
        return lead_by_points(points, "points", unit=2 * UNIT)
