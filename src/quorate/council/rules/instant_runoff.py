"""Who is left, when the option that fewest prefer goes out again and again?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import ClassVar

from msgspec import Struct

from quorate.council.ballot import UNIT, Ballot, Vote, check_ballot
from quorate.council.rules.count import Count, find_lead, show_leaders, show_points
from quorate.council.rules.pairs import gather_rankings

MAX_WORK = 50_000
"""How many courses are followed at once, times the options left in each, times the different rankings."""


class InstantRunoff(Struct, frozen=True, kw_only=True):
    """The option with more than half of what is left, after the last ones went out and passed their votes on.

    When several share the last place, every course is followed in which one of them goes out, and whoever wins in any
    course is a leader: so nothing depends on the order of ballots or options, and a tie that matters is a tie. Only
    when courses become too many (`MAX_WORK`) all that share the last place go out together from there on. A ranking
    that has nobody left counts no more. Points are first places. More votes can make an option lose: the rule is
    not monotone.

    Source: N. Tideman, "Collective Decisions and Voting" (2006), chapter 13, "alternative vote"; all courses as in
    V. Conitzer, M. Rognlie and L. Xia, "Preference Functions That Score Rankings and Maximum Likelihood Estimation",
    IJCAI (2009), section 4.
    """

    form: ClassVar[tuple[str, ...]] = ("ranking",)
    needs_weights: ClassVar[bool] = False

    def check(self, ballot: Ballot, options: Sequence[str]) -> None:
        """Check that it ranks options, each once, or abstains."""
        check_ballot(ballot, options, self.form)

    def count(self, votes: Sequence[Vote], options: Sequence[str]) -> Count:
        """Follow all courses to their winners."""
        rankings = gather_rankings(votes, options)
        everyone = (1 << len(options)) - 1
        first = {options[place]: number for place, number in _count_first(rankings, everyone).items()}
        if not rankings:
            return Count(points=show_points(first), leaders=(), why="there are no rankings")
        found = _follow(rankings, everyone)
        leaders = tuple(option for place, option in enumerate(options) if found.winners >> place & 1)
        if len(leaders) > 1:
            why = f"who goes out of those that share the last place decides between {show_leaders(leaders)}"
            return Count(points=show_points(first), leaders=leaders, why=why, margin=0.0)
        how = f"wins in round {found.rounds}" if found.single else "wins whoever goes out of those in the last place"
        margin = found.lead / UNIT if found.single else None
        return Count(points=show_points(first), leaders=leaders, why=f"{show_leaders(leaders)} {how}", margin=margin)


class _Found(Struct, frozen=True, kw_only=True):
    winners: int
    """Bits of options."""
    single: bool
    """Whether there was one course only."""
    rounds: int
    lead: int
    """By how much the last winner was ahead in its last round."""


def _follow(rankings: dict[tuple[int, ...], int], everyone: int) -> _Found:
    courses: dict[int, set[int]] = {everyone.bit_count(): {everyone}}
    winners, rounds, lead, single = 0, 0, 0, True
    for size in range(everyone.bit_count(), 0, -1):
        states = courses.pop(size, set())
        single = single and len(states) < 2
        rounds += bool(states)
        too_many = len(states) * size * len(rankings) > MAX_WORK
        for state in states:
            points = _count_first(rankings, state)
            best = max(points, key=lambda place: points[place])
            if points[best] * 2 > sum(points.values()) or size == 1:
                winners, lead = winners | 1 << best, find_lead(points.values())
                continue
            nexts = [*_go_on(points, state, together=too_many)]
            single = single and len(nexts) == 1
            for following in nexts:
                if following:
                    courses.setdefault(following.bit_count(), set()).add(following)
                else:
                    winners |= state
    return _Found(winners=winners, single=single, rounds=rounds, lead=lead)


def _go_on(points: dict[int, int], state: int, *, together: bool) -> Iterable[int]:
    """Say who may be left after this round; 0 is nobody, when all share the last place and go together."""
    order = sorted(points, key=lambda place: points[place])
    hopeless, together_have, out = 0, 0, 0
    for place, after in pairwise(order):
        out |= 1 << place
        together_have += points[place]
        if together_have < points[after]:
            hopeless = out
    if hopeless:
        # Even with all each other's votes they stay behind the rest: in every course they go out first.
        yield state & ~hopeless
        return
    last = [place for place in order if points[place] == points[order[0]]]
    if together:
        for place in last:
            state &= ~(1 << place)
        yield state
        return
    for place in last:
        yield state & ~(1 << place)


def _count_first(rankings: dict[tuple[int, ...], int], state: int) -> dict[int, int]:
    """Count how much weight prefers each option that is left."""
    points = {place: 0 for place in range(state.bit_length()) if state >> place & 1}
    for ranking, weight in rankings.items():
        for place in ranking:
            if place in points:
                points[place] += weight
                break
    return points
