"""How do agents decide, so that whoever asks later can see by which ballots and count them again?

```
propose (where no options are given) → debate → open → cast → close → fallbacks in turn → record
```
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec
from msgspec import structs

from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.asking import TeamFailed, ask_for
from quorate.agent.procedure.build import build_agent
from quorate.agent.procedure.work import Work
from quorate.council.chair import Chair, Member
from quorate.council.decision import DecidedBy, Decision, name_decision
from quorate.council.deliberation import NONE, Proposed, debate, list_options, propose, show_options, show_proposals
from quorate.council.earned import ReadWeights
from quorate.council.exhibits import NOTICE, fence
from quorate.council.plan import (
    MAX_BALLOTS,
    PERSON,
    Abort,
    Arbiter,
    Debate,
    Fallback,
    Person,
    Plan,
    check_person,
    check_plan,
)
from quorate.council.registrar import Opening, build_registrar
from quorate.council.rules.table import describe_form, name_rule
from quorate.council.signing import Seal
from quorate.council.tally import Verdict
from quorate.council.terms import Seat, Terms, check_terms
from quorate.council.voter import answer_in_words
from quorate.errors import Incompatible, Incomplete, InvalidInput, QuorateError
from quorate.specs import Limits
from quorate.tools.waits import MAX_QUESTION

Voter = AnyAgent | Person
"""Who may vote."""
MAX_ASKED = 1_600
"""How many characters beside the form a person on the roll is shown: of the question, and of what was wrong."""


class NoDecision(QuorateError):
    """A council came to no decision; `context["decision"]` names the record of why not."""

    code = "no_decision"


class Backing(msgspec.Struct, frozen=True, kw_only=True):
    """What a council goes by beside its plan, where there is such a thing."""

    seal: Seal | None = None
    """Vouches for ballots and records by a secret."""
    read_weights: ReadWeights | None = None
    """Reads how much voters are trusted; needed where a plan goes by trust."""


class Charter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who decides, and how: what a run keeps of its council."""

    plan: Plan
    roll: tuple[str, ...]


class Ruling(msgspec.Struct, frozen=True, kw_only=True):
    """What an arbiter answers."""

    choice: str
    reason: str = ""


def council(
    name: str,
    voters: Sequence[Voter],
    plan: Plan = Plan(),
    *,
    arbiters: Sequence[AnyAgent] = (),
    backing: Backing = Backing(),
    description: str = "",
    limits: Limits = Limits(),
    version: str = "1",
) -> AnyAgent:
    """Build an agent that has others decide what it is asked; what it answers is a `Decision`.

    Its runs fail with `NoDecision` where nothing is decided: too few, no majority and no fallback left is never a yes.

    Args:
        name: Its name.
        voters: Who may vote: the roll.
        plan: How they decide.
        arbiters: Agents that fallbacks name and that do not vote.
        backing: What vouches for ballots and tells trust.
        description: What it is for.
        limits: The bounds of each of its runs, for all voters together.
        version: Which version of the council this is.

    Raises:
        InvalidInput: It does not hold together; all that is wrong is told at once.
        UnknownName: There is no such rule or tie rule.
    """
    asked = [*(one for one in voters if not isinstance(one, Person)), *arbiters]
    agents = {agent.name: agent for agent in asked}
    members = [_seat(one) for one in voters]
    plan = check_council(name, members, plan, agents=list(agents), backing=backing)
    if double := next((agent.name for agent in asked if agents[agent.name] is not agent), ""):
        raise InvalidInput(f"Council {name!r} has two agents called {double!r}: nobody votes for another.")
    current = Charter(plan=plan, roll=tuple(member.seat for member in members))

    async def work(procedure: Work, question: str) -> str:
        charter = _read_charter(procedure, current)
        record = await hold(procedure, question, charter, is_sealing=backing.seal is not None)
        return msgspec.json.encode(record).decode()

    return build_agent(
        name,
        work,
        tools=[
            *map(answer_in_words, agents.values()),
            *build_registrar(backing.seal, backing.read_weights if plan.by_trust else None),
        ],
        definition=msgspec.json.encode(current).decode(),
        output_type=Decision,
        description=description,
        limits=limits,
        version=version,
    )


async def decide(
    question: str,
    *,
    voters: Sequence[Voter],
    options: Sequence[str] = (),
    rule: str = "",
    quorum: float | None = None,
    fallback: Sequence[Fallback | str] = (),
    plan: Plan = Plan(),
    arbiters: Sequence[AnyAgent] = (),
    backing: Backing = Backing(),
) -> Decision:
    """Have agents decide a question now, in this process; a runtime keeps the record of a `council`'s runs.

    Args:
        question: What is to be decided.
        voters: Who may vote.
        options: What there is to choose from; the voters propose where nothing is given.
        rule: Which option wins, such as `majority`, `supermajority:0.75`, `schulze`; the plan's when not given.
        quorum: Which share of the roll must vote, 0 to 1; the plan's when not given.
        fallback: What is done in turn where a vote decides nothing, such as `debate:1`, `arbiter:lead`.
        plan: Everything else, and what is not given of these.
        arbiters: Agents that fallbacks name and that do not vote.
        backing: What vouches for ballots and tells trust.

    Raises:
        NoDecision: Nothing was decided; the record is in `context["record"]`.
        InvalidInput: It does not hold together.
    """
    plan = structs.replace(
        plan,
        options=tuple(options) or plan.options,
        rule=rule or plan.rule,
        quorum=plan.quorum if quorum is None else quorum,
        fallback=tuple(fallback) or plan.fallback,
    )
    result = await council("decide", voters, plan, arbiters=arbiters, backing=backing).run(question)
    return cast("Decision", result.output)


def check_council(name: str, members: Sequence[Member], plan: Plan, *, agents: Sequence[str], backing: Backing) -> Plan:
    """Check a council before it is asked anything; return its plan with the rule under its own name.

    Raises:
        InvalidInput: It does not hold together; all that is wrong is told at once.
    """
    faults = list_faults(members, plan, agents=agents)
    if plan.by_trust and backing.read_weights is None:
        faults.append("`by_trust` needs a place where trust is kept: run it by a runtime, or give `read_weights`")
    if faults:
        raise InvalidInput(f"Council {name!r} does not hold: {'; '.join(faults)}.", faults=tuple(faults))
    return structs.replace(plan, rule=name_rule(plan.rule))


def list_faults(members: Sequence[Member], plan: Plan, *, agents: Sequence[str]) -> list[str]:
    """List everything that is wrong with a council.

    Args:
        members: The roll.
        plan: How it decides.
        agents: The agents that vote, or that fallbacks may name.
    """
    faults = check_plan(plan, [member.seat for member in members], agents)
    for member in members:
        if member.person is not None:
            faults += check_person(member.person)
            faults += _check_shown(plan)
            if not member.person.principal:
                faults.append("a person on the roll has no `principal`: a ballot is somebody's")
    if plan.by_trust and plan.weights:
        faults.append("`by_trust` and `weights` both say what votes weigh: leave one out")
    sample = _build_terms(members, plan, "?", plan.options or ("a", "b"), _sample_weights(members, plan), seed=0)
    try:
        check_terms(sample)
    except InvalidInput as error:
        faults += cast("tuple[str, ...]", error.context.get("faults", (error.message,)))
    return faults


async def hold(work: Work, question: str, charter: Charter, *, is_sealing: bool) -> Decision:
    """Come to a decision and return its record.

    Raises:
        NoDecision: Nothing was decided.
    """
    decision, members = name_decision(work.info.run, work.build_key("")), [read_seat(seat) for seat in charter.roll]
    chair = Chair(work, decision, members, is_sealing=is_sealing)
    opening = await chair.begin(question, charter.plan.rule, charter.plan.topic)
    least = _count_steps(charter.plan, members, is_sealed=opening.is_sealed)
    if least > work.info.limits.tool_calls:
        told = f"Decision {decision!r} takes {least} tool calls or more, and {work.info.limits.tool_calls} are allowed"
        raise Incomplete(f"{told}: nobody was asked.", limit="tool_calls")
    record = await _Session(work, chair, question, members, charter.plan, opening).hold()
    if record.winner is None:
        raise NoDecision(f"There is no decision on {question!r:.200}: {record.why}.", decision=record.id, record=record)
    return record


def read_seat(seat: str) -> Member:
    """Read who sits somewhere: `person:ada`, or an agent by its name."""
    if seat.startswith(PERSON):
        return Member(seat=seat, person=Person(seat.removeprefix(PERSON)))
    return Member(seat=seat, agent=seat)


def _read_charter(work: Work, current: Charter) -> Charter:
    """Read what a run goes by: what it began with, also where the council has changed since.

    Raises:
        Incompatible: It cannot be read, or needs somebody who is not there any more.
    """
    if not work.definition:
        return current
    try:
        older = msgspec.json.decode(work.definition, type=Charter)
    except (msgspec.DecodeError, ValueError) as error:
        raise Incompatible(f"Run {work.info.run!r} is of a council that this version cannot read: {error}") from error
    agents = [seat for seat in older.roll if not seat.startswith(PERSON)] + [*older.plan.arbiters]
    missing = sorted({name for name in agents if not work.has_agent(name)})
    if missing:
        raise Incompatible(
            f"Run {work.info.run!r} needs {', '.join(missing)}: bring these back and resume the run, or cancel it.",
            run=work.info.run,
        )
    return older


class _Session:
    """One decision, from its options to its end."""

    def __init__(
        self,
        work: Work,
        chair: Chair,
        question: str,
        members: Sequence[Member],
        plan: Plan,
        opening: Opening,
    ) -> None:
        self._work = work
        self._chair = chair
        self._question = question
        self._members = members
        self._plan = plan
        self._opening = opening
        self._seed = opening.seed if plan.seed is None else plan.seed
        self._agents = [member.agent for member in members if member.agent]
        self._known = ""
        self._own: dict[str, list[str]] = {}
        self._votes = 0
        self._debates = 0
        self._rulings = 0

    async def hold(self) -> Decision:
        options = await self._find_options()
        if len(options) < 2:
            return await self._chair.end(None, "none", "nobody proposed anything")
        if self._plan.debate:
            await self._debate(options, self._plan.debate)
        verdict = await self._vote(options)
        for fallback in (*self._plan.chain, Abort()):
            if verdict.status == "decided":
                break
            if isinstance(fallback, Debate) and self._votes < MAX_BALLOTS:
                await self._debate(options, fallback.rounds)
                verdict = await self._vote(options)
            elif isinstance(fallback, Arbiter | Person):
                ruled = await self._rule(fallback, options, verdict)
                if ruled is not None:
                    return ruled
        return await self._end(verdict)

    async def _find_options(self) -> tuple[str, ...]:
        if self._plan.options:
            return self._plan.options
        proposed: list[Proposed] = await propose(
            self._work, self._agents, self._question, timeout_s=self._plan.deadline_s
        )
        if not proposed:
            return ()
        self._known = show_proposals(proposed)
        options = list_options(proposed)
        if not self._plan.own_votes:
            for option, by in options.items():
                for voter in by:
                    self._own.setdefault(voter, []).append(option)
        return tuple(options)

    async def _debate(self, options: Sequence[str], rounds: int) -> None:
        self._debates += 1
        name = f"debate-{self._debates}"
        said = await debate(
            self._work,
            self._agents,
            self._question,
            options,
            rounds=rounds,
            name=name,
            known=self._known,
            timeout_s=self._plan.deadline_s,
        )
        self._known = said or self._known

    async def _vote(self, options: Sequence[str]) -> Verdict:
        """Vote, and again between the tied options as long as the terms want that."""
        while True:
            self._votes += 1
            terms = _build_terms(
                self._members, self._plan, self._question, tuple(options), self._opening.weights, seed=self._seed
            )
            _, verdict = await self._chair.vote(
                terms, deadline_s=self._plan.deadline_s, topic=self._plan.topic, known=self._known, own=self._own
            )
            if verdict.status != "tied" or self._plan.tie != "revote" or self._votes >= MAX_BALLOTS:
                return verdict
            options = verdict.tied

    async def _rule(self, fallback: Arbiter | Person, options: Sequence[str], verdict: Verdict) -> Decision | None:
        """Have somebody decide who stands above the vote; `None` where that fails, and the next fallback is due."""
        choices = [option for option in options if option != NONE]
        told = f"The vote decided nothing: {verdict.why}."
        self._rulings += 1
        if isinstance(fallback, Person):
            question, shown = f"{self._question[:3_000]}\n\n{told[:500]}", _shorten(choices)
            said = await self._chair.ask_person(f"person-{self._rulings}", fallback, question, [*shown])
            winner = shown.get(said.text) if said.is_good else None
            return None if winner is None else await self._end_by(winner, "person", told)
        shape = '{"choice": "<one of the options, to the letter>", "reason": "<why>"}'
        asked = (
            f"{NOTICE}\n\n{fence('question', self._question, beside=self._known)}\n\n{told} You decide.\n\n"
            f"{show_options(choices, beside=self._known)}\n\n"
            f"What was said:\n{self._known or '(nothing)'}\n\nAnswer with JSON alone: {shape}"
        )

        def check(found: Ruling) -> None:
            if found.choice not in choices:
                raise InvalidInput(f"{found.choice!r:.200} is none of the options")

        try:
            step, limit = f"arbiter-{self._rulings}", self._plan.deadline_s
            ruling = await ask_for(self._work, step, fallback.agent, asked, Ruling, check=check, timeout_s=limit)
        except TeamFailed:  # the next fallback is due
            return None
        return await self._end_by(ruling.choice, "arbiter", f"{told} {fallback.agent} decided: {ruling.reason}")

    async def _end_by(self, winner: str, by: DecidedBy, why: str) -> Decision:
        return await self._chair.end(winner, by, why)

    async def _end(self, verdict: Verdict) -> Decision:
        if verdict.status != "decided":
            return await self._chair.end(None, "none", verdict.why)
        if verdict.winner == NONE and not self._plan.options:
            return await self._chair.end(None, "none", f"the voters want none of the proposals: {verdict.why}")
        return await self._chair.end(verdict.winner, "vote", verdict.why)


def _seat(voter: Voter) -> Member:
    if isinstance(voter, Person):
        return Member(seat=f"{PERSON}{voter.principal}", person=voter)
    return Member(seat=voter.name, agent=voter.name)


def _count_steps(plan: Plan, members: Sequence[Member], *, is_sealed: bool) -> int:
    """Count the steps that a decision takes at least: its opening, its first vote, and its end."""
    agents = sum(bool(member.agent) for member in members)
    signed = sum(member.seat not in plan.keys for member in members) if is_sealed else 0
    return 3 + (0 if plan.options else agents) + (agents if plan.debate else 0) + len(members) + signed


def _check_shown(plan: Plan) -> list[str]:
    """Check that a person can be shown what there is to choose from."""
    try:
        length = len(describe_form(plan.rule, plan.options))
    except InvalidInput:  # it is told with everything else that is wrong
        return []
    most = MAX_QUESTION - MAX_ASKED
    return [f"a person is shown the options in {most} characters, and they take {length}"] if length > most else []


def _shorten(choices: Sequence[str]) -> dict[str, str]:
    """Write options as a person chooses between them: by a number and their beginning where they are too long."""
    if sum(map(len, choices)) <= MAX_QUESTION and len({one.strip() for one in choices}) == len(choices):
        return {one: one for one in choices}
    return {f"{number}: {one[:60].strip()}": one for number, one in enumerate(choices, 1)}


def _sample_weights(members: Sequence[Member], plan: Plan) -> dict[str, float]:
    """Weights as trust might give them, where a rule goes by weights that are read only later."""
    return {member.seat: 0.5 for member in members} if plan.by_trust else {}


def _build_terms(
    members: Sequence[Member],
    plan: Plan,
    question: str,
    options: tuple[str, ...],
    weights: dict[str, float],
    *,
    seed: int,
) -> Terms:
    given = weights if plan.by_trust else plan.weights
    roll = tuple(
        Seat(
            voter=member.seat,
            weight=given.get(member.seat, 1.0),
            group=plan.groups.get(member.seat, ""),
            key=plan.keys.get(member.seat, ""),
        )
        for member in members
    )
    known = set(options)
    return Terms(
        question=question,
        options=options,
        roll=roll,
        rule=plan.rule,
        quorum=plan.quorum,
        tie=plan.tie,
        priority=tuple(option for option in plan.priority if option in known) if plan.priority else (),
        seed=seed,
        abstentions=plan.abstentions,
        silence=plan.silence,
        secret=plan.secret,
    )
