"""What was decided, as the log tells it, and does it follow from the ballots?

A decision is a fold over the `vote.*` events of its run: nothing else says what was decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, cast, get_args

import msgspec
from msgspec import Struct, structs

from quorate.council.ballot import Ballot
from quorate.council.box import BallotBox, Cast, Refusal
from quorate.council.deliberation import NONE
from quorate.council.signing import Seal, digest_text, write_ballot
from quorate.council.tally import Status, tally
from quorate.council.terms import Abstentions, Seat, Silence, Terms, Tie, check_terms
from quorate.errors import CorruptState, InvalidInput, NotFound
from quorate.events import (
    ATTEMPTS,
    AnyEvent,
    ToolStarted,
    VoteCast,
    VoteClosed,
    VoteDecided,
    VoteOpened,
    VoteRefused,
    get_kind,
)
from quorate.state.places import build_decision_id

VOTES = (VoteOpened, VoteCast, VoteRefused, VoteClosed, VoteDecided)
"""What is noted of a decision."""
VoteEvent = VoteOpened | VoteCast | VoteRefused | VoteClosed | VoteDecided
DecidedBy = Literal["vote", "arbiter", "person", "none", ""]
"""What made a decision; nothing did; it is still open."""
NOTED, STEPS, FILING = "/note/", "/tool/", "file"
"""Below a decision's place in the log: what is noted of it, the steps that it makes, and the last of these."""
_encode = msgspec.json.Encoder(order="sorted").encode


class CastBallot(Struct, frozen=True, kw_only=True):
    """A ballot that was taken."""

    voter: str
    weight: float
    ballot: Ballot
    time: float
    """Wall time."""
    signature: str = ""


class Round(Struct, frozen=True, kw_only=True):
    """One ballot of a decision: its terms, what was cast, and what came of it."""

    number: int
    terms: Terms
    opened: float
    """Wall time."""
    deadline: float | None = None
    ballots: tuple[CastBallot, ...] = ()
    refused: tuple[Refusal, ...] = ()
    """Ballots that do not count, and who cast none."""
    closed: float | None = None
    status: Status | Literal["open"] = "open"
    winner: str | None = None
    why: str = ""
    points: dict[str, float] = {}
    turnout: float = 0.0
    margin: float | None = None
    dissent: tuple[str, ...] = ()


class Decision(Struct, frozen=True, kw_only=True):
    """What was decided, by whom and how: the record."""

    id: str
    run: str
    question: str
    options: tuple[str, ...]
    winner: str | None = None
    by: DecidedBy = ""
    """Empty while it is open; `none` where it is certain that nothing was decided."""
    why: str = ""
    rounds: tuple[Round, ...] = ()
    opened: float
    closed: float | None = None
    digest: str = ""
    seal: str = ""

    @property
    def last(self) -> Round:
        """The ballot that decided, or the last one that did not; there is none where nobody proposed anything."""
        return self.rounds[-1]

    @property
    def is_open(self) -> bool:
        """Whether it is not certain yet what comes of it."""
        return not self.by


class Verification(Struct, frozen=True, kw_only=True):
    """Whether a record holds."""

    decision: str
    winner: str | None
    faults: tuple[str, ...] = ()
    is_sealed: bool = False
    """Whether a secret vouches for it: without one, whoever can write the database could write it anew."""

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.faults


def read_decisions(events: Iterable[AnyEvent]) -> list[Decision]:
    """Read the decisions of a run from its log, in the order in which they were opened.

    Raises:
        CorruptState: The events are not those of a decision.
    """
    by_id: dict[str, list[VoteEvent]] = {}
    for event in events:
        if isinstance(event, VOTES) and event.decision:
            by_id.setdefault(event.decision, []).append(event)
    return [fold(one) for one in by_id.values()]


def fold(events: Sequence[VoteEvent]) -> Decision:
    """Fold what was noted of one decision into its record; it has no rounds where nobody proposed anything.

    Raises:
        CorruptState: A ballot stands before the opening of its vote, behind its end, or is none.
    """
    votes: list[tuple[VoteOpened, list[VoteCast | VoteRefused | VoteClosed]]] = []
    ending: VoteDecided | None = None
    for event in events:
        if isinstance(event, VoteOpened):
            votes.append((event, []))
        elif isinstance(event, VoteDecided):
            ending = event
        elif not votes:
            raise CorruptState(f"Run {event.run!r}: event {event.seq} is of a vote that was never opened.")
        else:
            votes[-1][1].append(event)
    rounds = [_fold_round(opening, noted) for opening, noted in votes]
    first = events[0]
    decision = Decision(
        id=first.decision,
        run=first.run,
        question=rounds[0].terms.question if rounds else "",
        options=rounds[0].terms.options if rounds else (),
        rounds=tuple(rounds),
        opened=first.time,
    )
    if ending is None:
        return decision
    return structs.replace(
        decision,
        winner=ending.winner,
        by=ending.by,
        why=ending.why,
        closed=ending.closed,
        digest=ending.digest,
        seal=ending.seal,
    )


def read_terms(event: VoteOpened) -> Terms:
    """Read the terms of a vote from its opening."""
    roll = tuple(
        Seat(
            voter=voter,
            weight=event.weights[place] if event.weights else 1.0,
            group=event.groups[place] if event.groups else "",
            key=event.keys[place] if event.keys else "",
        )
        for place, voter in enumerate(event.roll)
    )
    return Terms(
        question=event.question,
        options=event.options,
        roll=roll,
        rule=event.rule,
        quorum=event.quorum,
        tie=cast("Tie", event.tie),
        priority=event.priority,
        seed=event.seed,
        abstentions=cast("Abstentions", event.abstentions),
        silence=cast("Silence", event.silence),
        secret=event.secret,
    )


def write_terms(terms: Terms) -> dict[str, object]:
    """Write terms as the facts of an opening."""
    weights = tuple(seat.weight for seat in terms.roll)
    groups, keys = tuple(seat.group for seat in terms.roll), tuple(seat.key for seat in terms.roll)
    return {
        "question": terms.question,
        "options": terms.options,
        "roll": tuple(seat.voter for seat in terms.roll),
        "rule": terms.rule,
        "quorum": terms.quorum,
        "weights": weights if any(weight != 1 for weight in weights) else (),
        "groups": groups if any(groups) else (),
        "keys": keys if any(keys) else (),
        "tie": terms.tie,
        "priority": terms.priority,
        "seed": terms.seed,
        "abstentions": terms.abstentions,
        "silence": terms.silence,
        "secret": terms.secret,
    }


def digest_noted(events: Iterable[VoteEvent]) -> str:
    """Return the SHA-256 over what was noted of a decision before its end.

    What a log adds (places and attempts) is left out, and what was noted stands in the order of its keys, so that the
    digest is the same wherever the coordinator died.
    """
    lines = [(event.key, _write(event)) for event in events if not isinstance(event, VoteDecided)]
    return digest_text(b"\n".join(line for _, line in sorted(lines)))


def digest_event(event: VoteEvent) -> str:
    """Return the SHA-256 of something that was noted, wherever in its log it stands."""
    return digest_text(_write(event))


def _write(event: VoteEvent) -> bytes:
    facts = cast("dict[str, object]", msgspec.to_builtins(event))
    for name in ("seq", "attempt"):
        facts.pop(name, None)
    return _encode([get_kind(event), facts])


def name_decision(run: str, steps: str) -> str:
    """Name the decision that a procedure makes: the same in each attempt, and no other's; ids sort by their runs'.

    Args:
        run: The run it is part of.
        steps: What the keys of its steps begin with.
    """
    return build_decision_id(run, digest_text(f"{run}\0{steps}".encode())[:12])


def digest_ending(
    noted: str, *, decision: str, winner: str | None, by: str, why: str, rounds: int, closed: float
) -> str:
    """Return the SHA-256 over a whole decision: over the digest of what was noted before, and its end."""
    return digest_text(_encode([noted, decision, winner, by, why, rounds, closed]))


def verify_decision(events: Sequence[AnyEvent], decision: str, *, seal: Seal | None = None) -> Verification:
    """Check a recorded decision: take its ballots again, count them again, and compare what was noted.

    Args:
        events: The whole log of its run.
        decision: Its id.
        seal: What vouched for it, where the council has a secret.

    Raises:
        NotFound: There is no such decision in the log.
    """
    noted = [event for event in events if isinstance(event, VOTES) and event.decision == decision]
    if not noted:
        raise NotFound(f"There is no decision {decision!r} in this run: list them with `quorate decisions list`.")
    faults = [*_check_places(events, decision)]
    try:
        record = fold(noted)
        for one in record.rounds:
            faults += _check_round(record, one, seal)
    except (CorruptState, InvalidInput) as error:
        return Verification(decision=decision, winner=None, faults=(*faults, error.message))
    ending = noted[-1]
    if not isinstance(ending, VoteDecided):
        faults.append("it is still open, or was left so")
        return Verification(decision=decision, winner=None, faults=tuple(faults))
    faults += _check_ending(record, ending)
    if sum(isinstance(event, VoteDecided) for event in noted) > 1:
        faults.append("it ended more than once")
    digest = digest_ending(
        digest_noted(noted),
        decision=ending.decision,
        winner=ending.winner,
        by=ending.by,
        why=ending.why,
        rounds=ending.rounds,
        closed=ending.closed,
    )
    if digest != ending.digest:
        faults.append(f"its digest is {digest}, and {ending.digest} was noted: something was changed")
    is_sealed = seal is not None and seal.is_own(digest, ending.seal)
    if seal is not None and not is_sealed:
        faults.append("the council's secret did not seal it" if ending.seal else "it was made without a secret")
    return Verification(decision=decision, winner=record.winner, faults=tuple(faults), is_sealed=is_sealed)


def _open(event: VoteOpened) -> Round:
    for value, known in ((event.tie, Tie), (event.abstentions, Abstentions), (event.silence, Silence)):
        if value not in get_args(known):
            raise CorruptState(f"Run {event.run!r}: event {event.seq} opens a vote with {value!r}, which is unknown.")
    for beside in (event.weights, event.groups, event.keys):
        if beside and len(beside) != len(event.roll):
            raise CorruptState(f"Run {event.run!r}: event {event.seq} has a roll of another length than what is in it.")
    terms = read_terms(event)
    deadline = None if event.deadline_s is None else event.time + event.deadline_s
    return Round(number=event.round, terms=terms, opened=event.time, deadline=deadline)


def _fold_round(opening: VoteOpened, noted: Sequence[VoteCast | VoteRefused | VoteClosed]) -> Round:
    """Fold what was noted of one ballot, in the order of its roll, in whichever it came."""
    one, weights = _open(opening), {seat.voter: seat.weight for seat in read_terms(opening).roll}
    ballots: list[CastBallot] = []
    refused: list[Refusal] = []
    for event in noted:
        if event.round != one.number:
            raise CorruptState(f"Run {event.run!r}: event {event.seq} is of ballot {event.round}, not {one.number}.")
        if one.closed is not None:
            raise CorruptState(f"Run {event.run!r}: event {event.seq} came after ballot {one.number} was counted.")
        if isinstance(event, VoteCast):
            ballots.append(_read_cast(event, weights.get(event.voter, 0.0)))
        elif isinstance(event, VoteRefused):
            refused.append(Refusal(voter=event.voter, why=event.why, detail=event.detail))
        else:
            one = structs.replace(
                one,
                closed=event.time,
                status=cast("Status", event.status),
                winner=event.winner,
                why=event.why,
                points=event.points,
                turnout=event.turnout,
                margin=event.margin,
                dissent=event.dissent,
            )
    places = {voter: place for place, voter in enumerate(weights)}
    return structs.replace(
        one,
        ballots=tuple(sorted(ballots, key=lambda given: places.get(given.voter, len(places)))),
        refused=tuple(sorted(refused, key=lambda refusal: places.get(refusal.voter, len(places)))),
    )


def _read_cast(event: VoteCast, weight: float) -> CastBallot:
    try:
        ballot = msgspec.json.decode(event.ballot, type=Ballot)
    except (msgspec.DecodeError, ValueError) as error:
        raise CorruptState(f"Run {event.run!r}: event {event.seq} holds no ballot: {error}") from error
    if event.ballot != write_ballot(ballot):
        raise CorruptState(f"Run {event.run!r}: event {event.seq} holds a ballot that was not written here.")
    return CastBallot(voter=event.voter, weight=weight, ballot=ballot, time=event.time, signature=event.signature)


def _check_places(events: Sequence[AnyEvent], decision: str) -> Iterable[str]:
    """Check that nothing is missing from the log, and that all that is noted stands where it was noted."""
    attempt, filed, ending = "", "", ""
    for place, event in enumerate(events, 1):
        if event.seq != place:
            yield f"event {event.seq} stands at place {place} of the log"
            return
        if isinstance(event, ATTEMPTS):
            attempt = event.attempt
        elif isinstance(event, VOTES) and event.decision == decision:
            path, _, name = event.key.rpartition(NOTED)
            is_end = isinstance(event, VoteDecided)
            if name_decision(event.run, path + STEPS) != decision or is_end != (name == "decided"):
                yield f"event {place} was noted elsewhere, or of something else"
            if event.attempt != attempt:
                yield f"event {place} was noted by {event.attempt!r:.80}, and {attempt!r:.80} had the run"
            if is_end:
                filed, ending = f"{path}{STEPS}{FILING}", digest_event(event)
        elif isinstance(event, ToolStarted) and event.key == filed and ending not in event.call.arguments:
            yield "its end is not the one that was filed"


def _check_round(record: Decision, one: Round, seal: Seal | None) -> list[str]:
    """Hold a vote again by its ballots; return what is not as it was noted."""
    check_terms(one.terms)
    faults: list[str] = []
    box = BallotBox(one.terms, decision=record.id, round=one.number, deadline=None, seal=seal)
    for taken in one.ballots:
        refusal = box.admit(Cast(voter=taken.voter, ballot=write_ballot(taken.ballot), signature=taken.signature))
        if refusal is not None:
            faults.append(f"ballot {one.number}: that of {taken.voter!r:.80} does not count: {refusal.detail}")
    if one.closed is None:
        return faults if record.is_open else [*faults, f"ballot {one.number} was never counted"]
    verdict = tally(one.terms, box.list_votes())
    for name in ("status", "winner", "points", "turnout", "margin", "dissent"):
        noted, counted = getattr(one, name), getattr(verdict, name)
        if noted != counted:
            faults.append(f"ballot {one.number}: `{name}` is noted as {noted!r:.200}, and counted as {counted!r:.200}")
    return faults


def _check_ending(record: Decision, ending: VoteDecided) -> list[str]:
    if ending.rounds != len(record.rounds):
        return [f"{ending.rounds} ballots are noted, and there are {len(record.rounds)}"]
    if not record.rounds:
        return [] if ending.by == "none" and ending.winner is None else ["it was decided without a vote"]
    last = record.last
    if ending.by == "vote":
        is_same = last.status == "decided" and last.winner == ending.winner and ending.winner is not None
        return [] if is_same else [f"{ending.winner!r:.80} is noted as the winner, and {last.winner!r:.80} won"]
    if ending.by == "none":
        if ending.winner is not None:
            return [f"nothing decided, and {ending.winner!r:.80} is noted as the winner"]
        is_none = last.status != "decided" or last.winner == NONE
        return [] if is_none else [f"it is noted that nothing was decided, and {last.winner!r:.80} won"]
    if ending.by not in ("arbiter", "person"):
        return [f"it is noted as made by {ending.by!r:.80}, which is unknown"]
    if last.status == "decided":
        return [f"the vote was decided, and {ending.by} is noted to have decided instead"]
    return [] if ending.winner in record.options else [f"{ending.winner!r:.80} is none of the options"]
