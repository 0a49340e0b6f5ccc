"""Which option is the best on average?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from msgspec import Struct

from quorate.council.ballot import UNIT, Ballot, Vote, check_ballot
from quorate.council.rules.count import Count, choose_most, find_lead, show_leaders, show_number, sum_weights
from quorate.errors import InvalidInput


class Score(Struct, frozen=True, kw_only=True):
    """The option with the highest mean score, by weight; scores have bounds, 0 to 10 where nothing else is said.

    Points are the means. An option that a voter leaves out has the lowest score of it, so that none wins because few
    know it. Scores are counted in millionths. Voters who use the scale boldly count for more than shy ones.

    Source: W. D. Smith, "Range Voting" (2000); C. Hillinger, "The Case for Utilitarian Voting", Homo Oeconomicus 22
    (2005).
    """

    form: ClassVar[tuple[str, ...]] = ("scores",)
    needs_weights: ClassVar[bool] = False
    low: float = 0.0
    high: float = 10.0

    def check(self, ballot: Ballot, options: Sequence[str]) -> None:
        """Check that all scores are within bounds, or that it abstains."""
        check_ballot(ballot, options, self.form)
        for option, score in ballot.scores.items():
            if not self.low <= score <= self.high:
                raise InvalidInput(
                    f"The ballot cannot be counted: the score of {option!r:.80} is {score!r}: "
                    f"give {self.low:g} to {self.high:g}."
                )

    def count(self, votes: Sequence[Vote], options: Sequence[str]) -> Count:
        """Add up scores above the lowest, and divide by what was cast."""
        cast = [vote for vote in votes if not vote.ballot.abstains]
        points, total = dict.fromkeys(options, 0), sum_weights(cast)
        for vote in cast:
            for option, score in vote.ballot.scores.items():
                points[option] += round((score - self.low) * UNIT) * vote.weight
        leaders = choose_most(points)
        means = {option: self.low + (number / (UNIT * total) if total else 0.0) for option, number in points.items()}
        if not leaders:
            return Count(points=means, leaders=(), why=f"no option has more than {self.low:g}")
        scale = f"{show_number(means[leaders[0]])} on average, of {self.high:g}, the most"
        why = f"{show_leaders(leaders)} {'has' if len(leaders) == 1 else 'have each'} {scale}"
        return Count(points=means, leaders=leaders, why=why, margin=find_lead(points.values()) / (UNIT * total))
