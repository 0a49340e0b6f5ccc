"""Who holds a vote: opens it, collects one ballot of each seat, and counts, so that another can go on where it died?

Everything the chair does is a recorded step or a note. A chair that takes over is given both, asks only who was not
asked, and comes to the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec import Struct, structs

from quorate.agent.held import EXPIRED
from quorate.agent.procedure.asking import MAX_REASKS, TeamFailed, ask_until, read_json
from quorate.agent.procedure.outcome import Outcome
from quorate.agent.procedure.together import side_by_side
from quorate.agent.procedure.work import Work
from quorate.codec.json import encode_text
from quorate.council.ask_voter import ASK
from quorate.council.ballot import Ballot
from quorate.council.box import INVALID, LATE, BallotBox, Cast, Refusal
from quorate.council.decision import (
    FILING,
    VOTES,
    DecidedBy,
    Decision,
    VoteEvent,
    digest_event,
    digest_noted,
    fold,
    read_terms,
    write_terms,
)
from quorate.council.deliberation import AT_ONCE
from quorate.council.exhibits import NOTICE, fence
from quorate.council.plan import Person
from quorate.council.registrar import CLOSE, FILE, OPEN, SIGN, Closing, Opening
from quorate.council.rules.count import Rule
from quorate.council.rules.table import MAX_BALLOT_BYTES, describe_form, read_ballot, read_rule
from quorate.council.signing import Paper, SignedBallot, digest_text, write_ballot
from quorate.council.tally import Verdict, tally
from quorate.council.terms import Terms, check_terms
from quorate.errors import (
    CorruptState,
    DeadlineExceeded,
    Incompatible,
    InvalidInput,
    QuorateError,
    TooLarge,
)
from quorate.events import InputGiven, VoteCast, VoteClosed, VoteDecided, VoteOpened, VoteRefused
from quorate.tools.waits import MAX_QUESTION

FAILED = "failed"
"""Why a seat cast no ballot: its agent failed."""
MAX_TOLD = 2_000
"""How many characters of a reason or a fault are noted beside the ballot."""


class Member(Struct, frozen=True, kw_only=True):
    """Somebody on the roll."""

    seat: str
    agent: str = ""
    person: Person | None = None


class _Turn:
    """The turn of a seat: how its answers are read, until when, and when the last one came."""

    def __init__(self, work: Work, step: str, read: Callable[[str], Cast], *, deadline: float | None) -> None:
        self._work = work
        self._step = step
        self._read = read
        self._deadline = deadline
        self._number = 0

    def read(self, text: str) -> Cast:
        self._number += 1
        return self._read(text)

    @property
    def has_answered(self) -> bool:
        """Whether there was any answer to be read."""
        return self._number > 0

    def limit(self) -> float | None:
        """Say how long the next try may take; one that has ended already took no longer than it might."""
        if self._deadline is None or self._work.find_settled(f"{self._step}-{self._number + 1}") is not None:
            return None
        left_s = self._deadline - self._work.clock.now()
        if left_s <= 0:
            raise TeamFailed("the deadline has passed", code=DeadlineExceeded.code)
        return left_s

    def find_time(self) -> float:
        """Find when the last answer came: the same wherever the chair died, and whenever it was read."""
        if self._deadline is None:
            return self._work.clock.now()  # nobody is late
        step = f"{self._step}-{self._number}"
        given = self._work.read_events(step).get("input")
        end = given.time if isinstance(given, InputGiven) else self._work.find_end(step)
        # A step that was cut off and made again ended within its limit too.
        return min(self._work.clock.now(), self._deadline) if end is None else end


class Chair:
    """Holds the votes of one decision.

    Args:
        work: Makes the steps.
        decision: The id of the decision.
        members: Who sits on the roll, in its order.
        is_sealing: Whether the council has a secret by which it vouches for ballots; what began with one goes on with
            one, and what began without one goes on without.
    """

    def __init__(self, work: Work, decision: str, members: Sequence[Member], *, is_sealing: bool) -> None:
        self._work = work
        self._decision = decision
        self._members = members
        self._is_sealing = is_sealing
        self._noted: list[VoteEvent] = []
        self._round = 0
        self._deadline: float | None = None

    async def begin(self, question: str, rule: str, topic: str) -> Opening:
        """Open the decision: from here on it is known.

        Raises:
            Incompatible: It was opened by a chair that had a secret, and this one has none; or in another run.
        """
        voters = [member.seat for member in self._members]
        facts = {"decision": self._decision, "question": question, "rule": rule, "voters": voters, "topic": topic}
        opening = msgspec.convert(_require(await self._work.call("open", OPEN, facts)).value, Opening)
        if opening.decision != self._decision:
            raise Incompatible(
                f"Run {self._work.info.run!r} is a copy made in the middle of decision {opening.decision!r:.80}, whose "
                "ballots count in no other: copy it from before that, or cancel it."
            )
        if opening.is_sealed and not self._is_sealing:
            raise Incompatible(
                f"Decision {self._decision!r} was begun with a secret, and there is none here: set `council.secret` "
                "and resume the run, or cancel it."
            )
        self._is_sealing = opening.is_sealed
        return opening

    async def vote(
        self,
        terms: Terms,
        *,
        deadline_s: float | None,
        topic: str,
        known: str = "",
        own: Mapping[str, Sequence[str]] | None = None,
    ) -> tuple[Terms, Verdict]:
        """Hold a vote; return the terms that it was held by, which are those of its opening, and what came of it.

        Args:
            terms: What it is about.
            deadline_s: How many seconds from its opening ballots count.
            topic: What it is about, as far as trust goes.
            known: What was said before, for the voters to read.
            own: Which options each voter proposed, where it may not vote for those.

        Raises:
            InvalidInput: The terms do not hold.
        """
        check_terms(terms)
        self._round += 1
        facts = write_terms(terms)
        if self._work.find_note(self._name("opened")) is None:
            self._work.show(f"ballot {self._round} is open: {len(terms.roll)} may vote by {terms.rule}")
        opened = await self._note("opened", VoteOpened, **facts, deadline_s=deadline_s, topic=topic)
        assert isinstance(opened, VoteOpened)
        terms = read_terms(opened)
        self._deadline = None if opened.deadline_s is None else opened.time + opened.deadline_s
        box = BallotBox(terms, decision=self._decision, round=self._round, deadline=self._deadline, own=own)
        jobs = [self._fill(box, place, member, known) for place, member in enumerate(self._members, 1)]
        for place, given in enumerate(await side_by_side(jobs, at_once=AT_ONCE), 1):
            if given is not None:
                await self._put(box, place, given)
        verdict = tally(terms, box.list_votes())
        await self._note(
            "closed",
            VoteClosed,
            winner=verdict.winner,
            turnout=verdict.turnout,
            status=verdict.status,
            why=verdict.why,
            points=verdict.points,
            margin=verdict.margin,
            dissent=verdict.dissent,
        )
        return terms, verdict

    async def end(self, winner: str | None, by: DecidedBy, why: str) -> Decision:
        """Close the decision, and return its record."""
        noted, why = digest_noted(self._noted), why[: 2 * MAX_TOLD]
        facts = {
            "decision": self._decision, "winner": winner, "by": by, "why": why, "rounds": self._round,
        }  # fmt: skip
        said = _require(await self._work.call("close", CLOSE, {**facts, "noted": noted}))
        closing = msgspec.convert(said.value, Closing)
        ending = await self._work.note(
            "decided", VoteDecided, **facts, closed=closing.closed, digest=closing.digest, seal=closing.seal
        )
        assert isinstance(ending, VoteDecided)
        filed = {"decision": self._decision, "winner": winner, "by": by, "closed": closing.closed}
        filed |= {"digest": closing.digest, "ending": digest_event(ending)}
        _require(await self._work.call(FILING, FILE, filed))
        return fold([*sorted(self._noted, key=lambda event: event.seq), ending])

    async def ask_person(
        self, step: str, person: Person, question: str, choices: Sequence[str], *, until: float | None = None
    ) -> Outcome:
        """Ask a person; the run rests until somebody answers.

        Args:
            step: What the step is called.
            person: Who is asked.
            question: What for.
            choices: What may be answered; a ballot when empty.
            until: Wall time after which no answer counts.

        Raises:
            Waiting: Nobody has answered yet.
        """
        facts = {"principal": person.principal, "question": question, "choices": [*choices]}
        facts |= {"until": until, "expires_s": person.expires_s}
        return await self._work.call(step, ASK, facts)

    def _name(self, what: str) -> str:
        return f"{what}/{self._round}"

    async def _note(self, what: str, kind: Callable[..., VoteEvent], **facts: object) -> VoteEvent:
        event = await self._work.note(self._name(what), kind, decision=self._decision, round=self._round, **facts)
        if not isinstance(event, VOTES):
            raise CorruptState(f"Run {event.run!r}: event {event.seq} stands where a vote is noted; the run is parked.")
        self._noted.append(event)
        return event

    async def _fill(self, box: BallotBox, place: int, member: Member, known: str) -> Cast | Refusal | None:
        """Get the ballot of a seat; return it where it is not to be shown before all are in."""
        given = self._find_noted(place) or await self._collect(box, place, member, known)
        if box.terms.secret:
            return given
        await self._put(box, place, given)
        return None

    async def _collect(self, box: BallotBox, place: int, member: Member, known: str) -> Cast | Refusal:
        step, rule = f"ballot-{self._round}-{place}", read_rule(box.terms.rule)
        paper, key = box.build_paper(member.seat), box.terms.roll[place - 1].key

        def read(text: str) -> Cast:
            return _read_signed(text, member.seat) if key else _read_plain(text, member.seat, rule, box.terms.options)

        turn = _Turn(self._work, step, read, deadline=self._deadline)
        shown = box.terms.options if member.person is not None else _shuffle(box.terms, member.seat)
        form = describe_form(rule, shown)
        form = f"{form}\n\n{_describe_paper(paper)}" if key else form
        try:
            if member.person is None:
                asked = _write_question(box.terms.question, known, form)
                cast = await ask_until(self._work, step, member.agent, asked, turn.read, limit=turn.limit)
            else:
                asked = f"{box.terms.question[:1_000]}\n\n{form}"
                cast = await self._ask_voter(step, member, member.person, asked, turn.read)
        except TeamFailed as error:
            return Refusal(voter=member.seat, why=_name_failure(error, turn), detail=error.message[:MAX_TOLD])
        cast = structs.replace(cast, time=turn.find_time())
        if self._is_sealing and not key:
            digest = digest_text(paper.write(cast.ballot))
            said = await self._work.call(f"sign-{self._round}-{place}", SIGN, {"digest": digest})
            cast = structs.replace(cast, signature=_require(said).text)
        return cast

    def _find_noted(self, place: int) -> Cast | Refusal | None:
        """Find what an earlier chair noted of a seat: that stands, whatever the time is now."""
        refused = self._work.find_note(self._name(f"refused/{place}"))
        if isinstance(refused, VoteRefused):
            return Refusal(voter=refused.voter, why=refused.why, detail=refused.detail)
        cast = self._work.find_note(self._name(f"cast/{place}"))
        if isinstance(cast, VoteCast):
            return Cast(voter=cast.voter, ballot=cast.ballot, signature=cast.signature)
        return None

    async def _ask_voter(
        self, step: str, member: Member, person: Person, asked: str, read: Callable[[str], Cast]
    ) -> Cast:
        fault = ""
        for number in range(1, MAX_REASKS + 2):
            wrong = f"Your last answer does not hold: {fault[:500]}\n\n" if fault else ""
            told = f"{wrong}{asked}"[:MAX_QUESTION]
            said = await self.ask_person(f"{step}-{number}", person, told, (), until=self._deadline)
            if not said.is_good:
                raise TeamFailed(f"{member.seat!r:.80} cast no ballot: {said.text}", code=said.code)
            try:
                return read(said.text)
            except InvalidInput as error:
                fault = error.message
        raise TeamFailed(f"What {member.seat!r:.80} answered is no ballot: {fault}", code=InvalidInput.code)

    async def _put(self, box: BallotBox, place: int, given: Cast | Refusal) -> None:
        """Put a ballot into the box, or note why it does not count."""
        refusal = box.admit(given) if isinstance(given, Cast) else given
        if refusal is not None:
            facts = {"voter": refusal.voter, "why": refusal.why, "detail": refusal.detail[:MAX_TOLD]}
            await self._note(f"refused/{place}", VoteRefused, **facts)
        elif isinstance(given, Cast):
            ballot = msgspec.json.decode(given.ballot, type=Ballot)
            facts = {"choice": describe_choice(ballot)[:MAX_TOLD], "reason": ballot.reason[:MAX_TOLD]}
            await self._note(
                f"cast/{place}", VoteCast, voter=given.voter, ballot=given.ballot, signature=given.signature, **facts
            )


def describe_choice(ballot: Ballot) -> str:
    """Write what a ballot is for, for people."""
    if ballot.abstains:
        return "(abstains)"
    if ballot.ranking:
        said = " > ".join(ballot.ranking)
    elif ballot.scores:
        said = ", ".join(f"{option}: {score:g}" for option, score in ballot.scores.items())
    elif ballot.approved:
        said = ", ".join(ballot.approved)
    else:
        said = ballot.choice
    return f"{said}{' not ' if said else 'not '}{', '.join(ballot.vetoes)}" if ballot.vetoes else said


def _shuffle(terms: Terms, seat: str) -> list[str]:
    """Put the options into an order of a voter's own, so that no option gains by standing first.

    Models prefer options by their place: Pezeshkpour and Hruschka, "Large Language Models Sensitivity to The Order of
    Options in Multiple-Choice Questions" (2024).
    """
    return sorted(terms.options, key=lambda option: digest_text(f"{terms.seed}\0{seat}\0{option}".encode()))


def _write_question(question: str, known: str, form: str) -> str:
    said = f"\n\nWhat was said until now:\n{known}" if known else ""
    return f"{NOTICE}\n\n{fence('question', question, beside=known)}{said}\n\nCast your vote on it.\n{form}"


def _describe_paper(paper: Paper) -> str:
    """Tell a voter with a key of its own what it signs."""
    facts = encode_text(paper)
    return (
        f"You sign your ballot. Answer with `decision`, `round`, `ballot` (the object described above) and "
        f"`signature`, over this paper: {facts}"
    )


def _read_plain(text: str, voter: str, rule: Rule, options: Sequence[str]) -> Cast:
    try:
        return Cast(voter=voter, ballot=write_ballot(read_ballot(text, rule, options)))
    except TooLarge as error:  # that is this voter's fault, and nobody else's
        raise InvalidInput(error.message) from error


def _read_signed(text: str, voter: str) -> Cast:
    if len(text) > MAX_BALLOT_BYTES:
        raise InvalidInput(f"The ballot has {len(text)} characters; at most {MAX_BALLOT_BYTES} are read.")
    signed = read_json(text, SignedBallot)
    return Cast(
        voter=voter,
        ballot=write_ballot(signed.ballot),
        signature=signed.signature,
        decision=signed.decision,
        round=signed.round,
    )


def _name_failure(error: TeamFailed, turn: _Turn) -> str:
    code = error.context.get("code")
    if code in (DeadlineExceeded.code, EXPIRED):
        return LATE
    return INVALID if code == InvalidInput.code and turn.has_answered else FAILED


def _require(outcome: Outcome) -> Outcome:
    """Take what a tool of the council gave.

    Raises:
        DeadlineExceeded: The run has no time left.
        QuorateError: It failed, which only a store does that is broken.
    """
    if not outcome.is_good:
        kind = DeadlineExceeded if outcome.code == DeadlineExceeded.code else QuorateError
        raise kind(f"The council could not go on: {outcome.text}", step=outcome.step)
    return outcome
