"""What was decided, by whom, and who was against it?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Literal

from msgspec import Struct

from quorate.council.ballot import Ballot, Vote, weigh
from quorate.council.rules.count import Rule
from quorate.council.rules.table import read_rule
from quorate.council.terms import Terms
from quorate.council.ties import break_tie
from quorate.errors import InvalidInput

Status = Literal["decided", "tied", "no_quorum", "not_reached", "no_votes"]
"""An option won; several did, and the tie stands; too few were present; none has what the rule asks for; nobody on
the roll voted for anything, or only voters without weight did."""
_AGAINST = Ballot(abstains=True)


class Verdict(Struct, frozen=True, kw_only=True):
    """What came of a vote."""

    status: Status
    winner: str | None = None
    """Only when it is decided."""
    why: str
    points: dict[str, float] = {}
    """Of each option; what they are is said by the rule."""
    turnout: float
    """Which share of the roll was present, by head, 0 to 1."""
    present: int
    """How many of the roll cast a ballot, an abstention being one."""
    abstained: int
    margin: float | None = None
    """By how much the winner is ahead of the next, in what the rule counts; 0 where a tie was broken."""
    tied: tuple[str, ...] = ()
    """Which options were tied, also when the tie was broken."""
    dissent: tuple[str, ...] = ()
    """Who voted, and not for the winner, in the order of the roll."""


def tally(terms: Terms, votes: Sequence[Vote]) -> Verdict:
    """Count votes by declared terms; the same terms and votes give the same verdict, in whatever order votes come.

    What a vote weighs is what the roll says. Terms must have been checked (`check_terms`).

    Args:
        terms: What was fixed before the vote.
        votes: One at most of each voter on the roll.

    Raises:
        InvalidInput: A vote is not of the roll, is a voter's second, or cannot be counted by the rule.
        UnknownName: There is no such rule.
    """
    rule = read_rule(terms.rule)
    cast = _seat_votes(terms, votes, rule)
    present, abstained = len(cast), sum(vote.ballot.abstains for vote in cast)
    turnout = present / len(terms.roll) if terms.roll else 0.0
    counted = [vote for vote in cast if not vote.ballot.abstains]

    def end(status: Status, why: str) -> Verdict:
        return Verdict(status=status, why=why, turnout=turnout, present=present, abstained=abstained)

    if not present:
        return end("no_votes", "nobody voted")
    if not is_quorate(terms.quorum, present, len(terms.roll)):
        return end("no_quorum", f"{present} of {len(terms.roll)} are present, and the quorum is {terms.quorum:g}")
    if not any(vote.weight for vote in counted):
        return end("no_votes", "all abstained" if not counted else "nobody voted whose vote has weight")
    count = rule.count([*counted, *_find_against(terms, cast)], terms.options)
    if not count.leaders:
        return _close(end("not_reached", count.why), points=count.points)
    if len(count.leaders) == 1:
        winner, why, margin, tied = count.leaders[0], count.why, count.margin, ()
    else:
        winner, how = break_tie(terms, count.leaders)
        why, margin, tied = f"{count.why}; {how}", 0.0, count.leaders
    if winner is None:
        return _close(end("tied", why), points=count.points, tied=tied)
    dissent = tuple(vote.voter for vote in counted if winner not in list_favourites(vote.ballot))
    done = end("decided", why)
    return _close(done, points=count.points, tied=tied, winner=winner, margin=margin, dissent=dissent)


def is_quorate(quorum: float, present: int, eligible: int) -> bool:
    """Whether enough are present; the quorum is taken as the decimal it is written as, and nothing is rounded."""
    return present > 0 and present >= Fraction(repr(quorum)) * eligible


def list_favourites(ballot: Ballot) -> frozenset[str]:
    """List the options that a ballot is for: its choice, what it approves of, its first, or those it scores highest."""
    highest = max(ballot.scores.values(), default=0.0)
    scored = {option for option, score in ballot.scores.items() if score == highest}
    chosen = {ballot.choice} if ballot.choice else set[str]()
    return frozenset({*chosen, *ballot.approved, *ballot.ranking[:1], *scored})


def _seat_votes(terms: Terms, votes: Sequence[Vote], rule: Rule) -> list[Vote]:
    """Check votes, give each its weight of the roll, and put them into its order."""
    seats = {seat.voter: seat for seat in terms.roll}
    by_voter: dict[str, Vote] = {}
    for vote in votes:
        if vote.voter not in seats:
            raise InvalidInput(f"{vote.voter!r:.80} voted and is not on the roll: leave that vote out.")
        if vote.voter in by_voter:
            raise InvalidInput(f"{vote.voter!r:.80} voted twice: settle which vote counts before they are counted.")
        rule.check(vote.ballot, terms.options)
        by_voter[vote.voter] = vote
    return [
        Vote(voter=voter, ballot=by_voter[voter].ballot, weight=weigh(seat.weight))
        for voter, seat in seats.items()
        if voter in by_voter
    ]


def _find_against(terms: Terms, cast: Sequence[Vote]) -> Iterable[Vote]:
    """Find the votes that count against every option, as declared."""
    if terms.abstentions == "against":
        yield from (vote for vote in cast if vote.ballot.abstains)
    if terms.silence == "against":
        heard = {vote.voter for vote in cast}
        for seat in terms.roll:
            if seat.voter not in heard:
                yield Vote(voter=seat.voter, ballot=_AGAINST, weight=weigh(seat.weight))


def _close(
    verdict: Verdict,
    *,
    points: dict[str, float],
    tied: tuple[str, ...] = (),
    winner: str | None = None,
    margin: float | None = None,
    dissent: tuple[str, ...] = (),
) -> Verdict:
    return Verdict(
        status=verdict.status,
        winner=winner,
        why=verdict.why,
        points=points,
        turnout=verdict.turnout,
        present=verdict.present,
        abstained=verdict.abstained,
        margin=margin,
        tied=tied,
        dissent=dissent,
    )
