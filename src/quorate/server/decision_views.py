"""What do callers send and read of decisions?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

from quorate.council.ballot import MAX_EVIDENCE, MAX_REASON, Ballot
from quorate.council.decision import CastBallot, DecidedBy, Decision, Round, Verification
from quorate.council.motion import Motion
from quorate.council.outcomes import OutcomeReport
from quorate.council.plan import Plan
from quorate.council.registrar import Entry
from quorate.council.signing import digest_terms
from quorate.council.tally import Status as Tallied
from quorate.council.terms import MAX_NAME, MAX_OPTIONS, MAX_QUESTION, Abstentions, Silence, Tie
from quorate.events import Status
from quorate.server.views import Word

MOST_VOTERS = 1_000
"""How many may vote on what is asked for over HTTP."""
Standing = Literal["open", "decided", "none"]
Option = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
Share = Annotated[float, Meta(ge=0, le=1)]
Options = Annotated[tuple[Option, ...], Meta(max_length=MAX_OPTIONS)]
Voter = Annotated[str, Meta(min_length=1, max_length=MAX_NAME, examples=["network-diagnostics"])]
Said = Annotated[str, Meta(max_length=MAX_REASON)]


class DecisionRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is put to the vote, to whom, and how it is decided."""

    question: Annotated[str, Meta(min_length=1, max_length=MAX_QUESTION, examples=["Which one is the cause?"])]
    voters: Annotated[tuple[Voter, ...], Meta(min_length=1, max_length=MOST_VOTERS)]
    """Agents by name; people as `person:<principal>`."""
    options: Options = ()
    """What there is to choose from; where there is nothing, the voters propose first."""
    rule: Annotated[str, Meta(max_length=100, examples=["majority"])] = "majority"
    """Which option wins, such as `majority`, `supermajority:0.75`, `schulze`."""
    quorum: Share = 0.5
    """Which share of the roll must vote."""
    weights: Annotated[dict[str, float], Meta(max_length=MOST_VOTERS, examples=[{}])] = {}
    """What the votes of some weigh; those of the others weigh 1."""
    groups: Annotated[dict[str, str], Meta(max_length=MOST_VOTERS, examples=[{}])] = {}
    """Which voters are alike, such as by their model."""
    keys: Annotated[dict[str, str], Meta(max_length=MOST_VOTERS, examples=[{}])] = {}
    """The Ed25519 keys of voters who sign their ballots themselves, in base64."""
    by_trust: bool = False
    """Whether votes weigh what their voters are trusted."""
    topic: Annotated[str, Meta(max_length=200)] = ""
    """What it is about, as far as trust goes."""
    tie: Tie = "refuse"
    priority: Options = ()
    """In which order `tie: priority` prefers options."""
    seed: int | None = None
    """What chance goes by; drawn from the decision's id when not given."""
    abstentions: Abstentions = "present"
    silence: Silence = "absent"
    secret: bool = False
    """Whether no ballot is shown before all are in."""
    deadline_s: float | None = None
    """After how many seconds no ballot counts."""
    debate: Annotated[int, Meta(ge=0, le=5)] = 0
    """How many rounds the voters argue before they vote."""
    own_votes: bool = True
    """Whether who proposed an option may vote for it."""
    fallback: Annotated[tuple[Annotated[str, Meta(max_length=300)], ...], Meta(max_length=20, examples=[[]])] = ()
    """What is done in turn where a vote decides nothing: `debate:1`, `arbiter:<agent>`, `person:<who>`, `abort`."""
    model: Word | None = None
    """Instead of the models of the agents that vote."""

    @property
    def motion(self) -> Motion:
        """What is put to the vote."""
        facts = {name: getattr(self, name) for name in Plan.__struct_fields__}
        return Motion(question=self.question, voters=self.voters, plan=Plan(**facts))


class MotionView(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="object", tag="motion"):
    """Something that was put to the vote, and how that stands."""

    run: str
    """The run that holds the vote."""
    status: Status
    """How that run stands."""
    decision: str = ""
    """The decision's id, once it was opened."""


class SeatView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody who may vote."""

    voter: str
    weight: float = 1.0
    group: str = ""
    key: str = ""


class BallotRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A ballot: one thing of the kind that the rule reads, or that one abstains."""

    choice: Annotated[str, Meta(max_length=MAX_NAME, examples=["the disk"])] = ""
    """The one option it is for."""
    approved: Options = ()
    """Each option that one could live with."""
    ranking: Options = ()
    """Options, the best first."""
    scores: Annotated[dict[str, float], Meta(max_length=MAX_OPTIONS, examples=[{}])] = {}
    """How good each option is."""
    vetoes: Options = ()
    """Options that must not be."""
    abstains: bool = False
    reason: Said = ""
    confidence: Share | None = None
    """How sure one is to be right."""
    evidence: Annotated[tuple[Said, ...], Meta(max_length=MAX_EVIDENCE, examples=[[]])] = ()
    """What one goes by."""
    signed: Annotated[str, Meta(max_length=1 << 18)] = ""
    """The signed ballot as JSON, instead of all of this, where one has a key of one's own on the roll."""

    @property
    def ballot(self) -> Ballot | str:
        """What is cast."""
        if self.signed:
            return self.signed
        return Ballot(**{name: getattr(self, name) for name in Ballot.__struct_fields__})


class BallotView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A ballot that was taken."""

    voter: str
    weight: float
    time: float
    choice: str = ""
    approved: tuple[str, ...] = ()
    ranking: tuple[str, ...] = ()
    scores: dict[str, float] = {}
    vetoes: tuple[str, ...] = ()
    abstains: bool = False
    reason: str = ""
    confidence: float | None = None
    evidence: tuple[str, ...] = ()
    signature: str = ""
    """By whom it was signed and how, over the decision, the terms and the ballot."""


class RefusalView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A ballot that does not count, or a voter who cast none."""

    voter: str
    why: str
    detail: str = ""


class TakenView(Struct, frozen=True, kw_only=True, tag_field="object", tag="ballot"):
    """That a ballot was taken, and how the run stands."""

    decision: str
    run: str
    by: str
    status: Status


class RoundView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One vote of a decision: its terms, what was cast, and what came of it."""

    number: int
    options: tuple[str, ...]
    roll: tuple[SeatView, ...]
    rule: str
    quorum: float
    tie: Tie
    priority: tuple[str, ...] = ()
    seed: int | None = None
    """What chance goes by; shown when the vote is closed."""
    abstentions: Abstentions
    silence: Silence
    secret: bool = False
    terms: str
    """The digest of all these terms, which a ballot is signed together with."""
    opened: float
    deadline: float | None = None
    closed: float | None = None
    status: Tallied | Literal["open"]
    winner: str | None = None
    why: str = ""
    points: dict[str, float] = {}
    """Of each option, in what the rule counts."""
    turnout: float = 0.0
    margin: float | None = None
    dissent: tuple[str, ...] = ()
    """Who voted for something else than the winner."""
    ballots: tuple[BallotView, ...] = ()
    """Those of a secret vote are shown when it is closed."""
    refused: tuple[RefusalView, ...] = ()


class DecisionView(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="object", tag="decision"):
    """A decision: what was asked, and what came of it."""

    id: str
    run: str
    status: Standing
    """`none` where it is certain that nothing was decided."""
    question: str
    options: tuple[str, ...] = ()
    winner: str | None = None
    by: DecidedBy = ""
    """What decided: the vote, an arbiter, or a person."""
    why: str = ""
    opened: float
    closed: float | None = None
    waits_for: tuple[str, ...] = ()
    """The principals whose ballots, or whose word, it waits for."""
    rounds: tuple[RoundView, ...] = ()
    """Each vote that was held; a list leaves them out."""
    digest: str = ""
    """SHA-256 over everything that was noted of it."""
    seal: str = ""
    """HMAC-SHA-256 over the digest, where the council has a secret."""


class VerificationView(Struct, frozen=True, kw_only=True, tag_field="object", tag="decision.verification"):
    """Whether a record holds: its ballots were taken and counted again."""

    decision: str
    holds: bool
    winner: str | None
    sealed: bool
    """Whether the council's secret vouches for it."""
    faults: tuple[str, ...]


class OutcomeRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What turned out to be right."""

    truth: Option
    """Which of the options was right."""
    reason: Annotated[str, Meta(max_length=4_000)] = ""
    """How that is known."""
    utilities: Annotated[dict[str, float], Meta(max_length=MAX_OPTIONS, examples=[{}])] = {}
    """What each option would have been worth, for regret."""
    correct: bool = False
    """Whether it may replace what was said before."""


class OutcomeView(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="object", tag="decision.outcome"):
    """What turned out to be right, and how good the decision was."""

    decision: str
    truth: str
    is_new: bool
    """Whether it was not known before, or was something else."""
    is_right: bool | None = None
    agreement: float | None = None
    brier: float | None = None
    """How far stated confidence was off, 0 to 1."""
    regret: float | None = None
    counted: int = 0
    """How many facts about voters are new to trust."""
    corrected: int = 0


def view_entry(one: Entry) -> DecisionView:
    """Show a decision in a list."""
    return DecisionView(
        id=one.id,
        run=one.run,
        status=find_standing(one.by),
        question=one.question,
        winner=one.winner,
        by=one.by,
        opened=one.opened,
        closed=one.closed,
        digest=one.digest,
    )


def view_decision(one: Decision, *, waits_for: Sequence[str] = ()) -> DecisionView:
    """Show a decision in full, without what is not to be seen before a secret vote is closed."""
    return DecisionView(
        id=one.id,
        run=one.run,
        status=find_standing(one.by),
        question=one.question,
        options=one.options,
        winner=one.winner,
        by=one.by,
        why=one.why,
        opened=one.opened,
        closed=one.closed,
        waits_for=tuple(waits_for),
        rounds=tuple(_view_round(held) for held in one.rounds),
        digest=one.digest,
        seal=one.seal,
    )


def view_verification(one: Verification) -> VerificationView:
    """Show whether a record holds."""
    return VerificationView(
        decision=one.decision, holds=one.holds, winner=one.winner, sealed=one.is_sealed, faults=one.faults
    )


def view_outcome(one: OutcomeReport) -> OutcomeView:
    """Show what came of saying what was right."""
    return OutcomeView(
        decision=one.outcome.decision,
        truth=one.outcome.truth,
        is_new=one.is_new,
        is_right=one.figures.is_right,
        agreement=one.figures.agreement,
        brier=one.figures.brier,
        regret=one.figures.regret,
        counted=one.noted.counted,
        corrected=one.noted.corrected,
    )


def find_standing(by: DecidedBy) -> Standing:
    """Find how a decision stands, by what decided it."""
    if not by:
        return "open"
    return "none" if by == "none" else "decided"


def _view_round(one: Round) -> RoundView:
    terms, is_open = one.terms, one.status == "open"
    is_hidden = is_open and terms.secret
    return RoundView(
        number=one.number,
        options=terms.options,
        roll=tuple(
            SeatView(voter=seat.voter, weight=seat.weight, group=seat.group, key=seat.key) for seat in terms.roll
        ),
        rule=terms.rule,
        quorum=terms.quorum,
        tie=terms.tie,
        priority=terms.priority,
        seed=None if is_open else terms.seed,
        abstentions=terms.abstentions,
        silence=terms.silence,
        secret=terms.secret,
        terms=digest_terms(terms),
        opened=one.opened,
        deadline=one.deadline,
        closed=one.closed,
        status=one.status,
        winner=one.winner,
        why=one.why,
        points=one.points,
        turnout=one.turnout,
        margin=one.margin,
        dissent=one.dissent,
        ballots=() if is_hidden else tuple(_view_ballot(cast) for cast in one.ballots),
        refused=()
        if is_hidden
        else tuple(RefusalView(voter=no.voter, why=no.why, detail=no.detail) for no in one.refused),
    )


def _view_ballot(one: CastBallot) -> BallotView:
    said = {name: getattr(one.ballot, name) for name in Ballot.__struct_fields__}
    return BallotView(voter=one.voter, weight=one.weight, time=one.time, signature=one.signature, **said)
