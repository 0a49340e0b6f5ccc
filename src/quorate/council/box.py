"""Which ballots count, and why does another not?

A box knows the terms and takes one ballot of each seat. What it refuses is noted with the reason, and never counted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec
from msgspec import Struct

from quorate.council.ballot import Ballot, Vote, weigh
from quorate.council.rules.table import read_rule
from quorate.council.signing import Paper, Seal, digest_terms, digest_text
from quorate.council.terms import Seat, Terms
from quorate.errors import InvalidInput

STRANGER, REPLAYED, FORGED, LATE, DOUBLE, INVALID, OWN = (
    "stranger", "replayed", "forged", "late", "double", "invalid", "own",
)  # fmt: skip
"""Not on the roll; of another vote; signed by somebody else; after the deadline; a second one; none that the rule can
count; for the voter's own proposal."""


class Cast(Struct, frozen=True, kw_only=True):
    """A ballot as it was handed in."""

    voter: str
    ballot: str
    """The ballot as JSON, to the letter as it was signed."""
    signature: str = ""
    time: float = 0.0
    """Wall time at which it was handed in."""
    decision: str = ""
    """Which decision it says that it is for; this one where it says nothing."""
    round: int = 0


class Refusal(Struct, frozen=True, kw_only=True):
    """A ballot that does not count."""

    voter: str
    why: str
    detail: str


class BallotBox:
    """Takes the ballots of one vote.

    Args:
        terms: What the vote is about; checked.
        decision: The id of the decision.
        round: Which ballot of it this is, from 1.
        deadline: Wall time after which no ballot counts.
        seal: What vouches for ballots whose voters have no keys; without it, these have no signature to be checked.
        own: Which option each voter proposed itself, where it may not vote for that.
    """

    def __init__(
        self,
        terms: Terms,
        *,
        decision: str,
        round: int = 1,
        deadline: float | None = None,
        seal: Seal | None = None,
        own: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        self.terms = terms
        self.deadline = deadline
        self._decision = decision
        self._round = round
        self._seal = seal
        self._own = own or {}
        self._digest = digest_terms(terms)
        self._rule = read_rule(terms.rule)
        self._seats: dict[str, Seat] = {seat.voter: seat for seat in terms.roll}
        self._votes: dict[str, Vote] = {}

    def build_paper(self, voter: str) -> Paper:
        """Build what the ballot of a voter is signed together with."""
        return Paper(decision=self._decision, round=self._round, terms=self._digest, voter=voter)

    def admit(self, cast: Cast) -> Refusal | None:
        """Take a ballot, or say why it does not count; one that was taken before stays."""
        fault = self._find_fault(cast)
        if fault is not None:
            return Refusal(voter=cast.voter, why=fault[0], detail=fault[1])
        return None

    def list_votes(self) -> list[Vote]:
        """List the votes that count, in the order of the roll."""
        return [self._votes[voter] for voter in self._seats if voter in self._votes]

    def _find_fault(self, cast: Cast) -> tuple[str, str] | None:
        seat = self._seats.get(cast.voter)
        if seat is None:
            return STRANGER, "nobody of that name is on the roll"
        if cast.decision not in ("", self._decision) or cast.round not in (0, self._round):
            return REPLAYED, f"it is for ballot {cast.round} of {cast.decision or self._decision}"
        if forged := self._find_forgery(seat, cast):
            return FORGED, forged
        if self.deadline is not None and cast.time > self.deadline:
            return LATE, f"it came {cast.time - self.deadline:.3g} s after the deadline"
        try:
            ballot = msgspec.json.decode(cast.ballot, type=Ballot)
            self._rule.check(ballot, self.terms.options)
        except (msgspec.DecodeError, ValueError, InvalidInput) as error:
            return INVALID, str(error)
        for option in self._own.get(cast.voter, ()):
            if _is_for(ballot, option):
                return OWN, f"it is for {option!r:.80}, which is the voter's own"
        if cast.voter in self._votes:
            return DOUBLE, "a ballot of this voter was taken already"
        self._votes[cast.voter] = Vote(voter=cast.voter, ballot=ballot, weight=weigh(seat.weight))
        return None

    def _find_forgery(self, seat: Seat, cast: Cast) -> str:
        signed = self.build_paper(cast.voter).write(cast.ballot)
        if seat.key:
            from quorate.council.keys import is_signed_by  # needs an extra, which most votes do without

            return "" if is_signed_by(seat.key, signed, cast.signature) else "the voter's key did not sign it"
        if self._seal is not None and not self._seal.is_own(digest_text(signed), cast.signature):
            return "the council's secret did not sign it"
        return ""


def _is_for(ballot: Ballot, option: str) -> bool:
    """Whether a ballot puts an option first."""
    if option == ballot.choice or option in ballot.approved or ballot.ranking[:1] == (option,):
        return True
    return bool(ballot.scores) and ballot.scores.get(option) == max(ballot.scores.values())
