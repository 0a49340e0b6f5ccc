"""Do agents decide by the declared terms, and is it recorded so that anyone can count again?"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from msgspec import Struct, structs
from tests.unit.council.sessions import DOWN, SEAL, build_voter, build_voters, choose, hold, write

from quorate import Agent, MemoryLog, ScriptedModel, tool
from quorate.agent.replay.exact import replay_exactly
from quorate.council.decide import Backing, NoDecision, council, decide
from quorate.council.decision import Decision, read_decisions, verify_decision
from quorate.council.deliberation import NONE
from quorate.council.motion import Motion, build_decider, write_motion
from quorate.council.plan import Abort, Arbiter, Debate, Person, Plan
from quorate.council.rules.names import ALIASES
from quorate.council.rules.table import list_rules
from quorate.errors import InvalidInput, UnknownName
from quorate.events import (
    InputGiven,
    InputRequested,
    ModelRequested,
    ToolFailed,
    ToolFinished,
    VoteCast,
    VoteClosed,
    VoteDecided,
    VoteOpened,
    VoteRefused,
)
from quorate.ids import new_id
from quorate.models.scripted import Answer, call
from quorate.specs import Request
from quorate.state.places import build_decision_id

AB = ("a", "b")


async def test_a_decision_is_recorded_ballot_by_ballot_verified_and_replayed() -> None:
    """row: D7"""
    said = (write("a", reason="it fits", confidence=0.9), write("b", reason="too dear"), ("I think…", write("a")))
    record, events, board = await hold(*said, plan=Plan(options=AB))
    assert (record.winner, record.by, record.last.turnout, record.last.points) == (
        "a",
        "vote",
        1.0,
        {"a": 2.0, "b": 1.0},
    )
    assert (record.last.dissent, record.last.margin, record.last.terms.rule) == (("v2",), 1.0, "majority")
    assert [(one.voter, one.ballot.choice, one.ballot.reason) for one in record.last.ballots] == [
        ("v1", "a", "it fits"), ("v2", "b", "too dear"), ("v3", "a", ""),
    ]  # fmt: skip
    assert record.opened <= record.last.opened <= record.last.closed <= (record.closed or 0)  # type: ignore[operator]
    votes = [type(one) for one in events if isinstance(one, (VoteOpened, VoteCast, VoteClosed, VoteDecided))]
    assert votes == [VoteOpened, VoteCast, VoteCast, VoteCast, VoteClosed, VoteDecided]
    assert read_decisions(events) == [record]
    verified = verify_decision(events, record.id, seal=SEAL)
    assert (verified.holds, verified.winner, verified.is_sealed) == (True, "a", True)
    assert (await replay_exactly(board, events)).divergence is None


async def test_ids_are_never_the_same() -> None:
    """A thousand decisions of one second, two of one run, and those of several runs. part of row D7"""
    assert len({build_decision_id(new_id("run"), "a") for _ in range(1_000)}) == 1_000
    first, second = [
        council(name, build_voters(write("a")), Plan(options=AB)).as_tool() for name in ("first", "second")
    ]
    script = [call("first", task="x"), call("second", task="y"), call("first", task="z"), "done"]
    result = await Agent("lead", model=ScriptedModel(script), tools=[first, second]).run("go")
    assert len({one.id for one in read_decisions(result.events)}) == 3


@pytest.mark.parametrize("name", [*list_rules(), *ALIASES])
def test_every_documented_name_of_a_rule_is_accepted(name: str) -> None:
    council("board", build_voters("x", "x"), Plan(options=AB, rule=name, weights={"v1": 2.0}))


async def test_one_of_ten_never_meets_a_quorum_of_six_tenths() -> None:
    """part of row C10"""
    with pytest.raises(NoDecision, match="1 of 10 are present") as refused:
        await decide("Which?", voters=build_voters(write("a"), *[DOWN] * 9), options=AB, quorum=0.6)
    record: Any = refused.value.context["record"]
    assert (record.winner, record.by, record.last.status) == (None, "none", "no_quorum")
    assert [one.why for one in record.last.refused] == ["failed"] * 9


@pytest.mark.parametrize(
    ("said", "plan", "status"),
    [
        (choose("a", "b"), Plan(options=AB, rule="plurality"), "tied"),
        ([write("", abstains=True)] * 3, Plan(options=AB), "no_votes"),
        (choose("a", "a", "b"), Plan(options=AB, rule="unanimous"), "not_reached"),
        ([write("x")] * 2, Plan(options=AB, quorum=0), "no_votes"),
        ([*choose("a"), DOWN, DOWN], Plan(options=AB, quorum=0.3, silence="against"), "not_reached"),
    ],
)
async def test_nothing_is_decided_by_accident(said: Any, plan: Plan, status: str) -> None:
    """A tie, abstentions alone, one against, votes for nothing, silence that counts. part of row D6"""
    with pytest.raises(NoDecision) as refused:
        await hold(*said, plan=plan)
    record: Any = refused.value.context["record"]
    assert (record.winner, record.by, record.last.status) == (None, "none", status)


class Finding(Struct):
    cause: str


async def test_an_agent_whose_answers_have_a_form_votes_all_the_same() -> None:
    """In a council of Python and in a motion: what it is asked for is a ballot."""
    typed: Any = Agent("typed", model=ScriptedModel([write("b")] * 5), output_type=Finding)
    result: Any = await council("board", [typed], Plan(options=AB)).run("Which?")
    motion = Motion(question="Which?", voters=("typed",), plan=Plan(options=AB))
    moved: Any = await build_decider(lambda _: typed).run(write_motion(motion))
    assert (result.output.winner, moved.output.winner) == ("b", "b")


async def test_one_voter_alone_decides() -> None:
    record, _, _ = await hold(write("b"), plan=Plan(options=AB, rule="unanimous", quorum=1.0))
    assert record.winner == "b"


async def test_who_hangs_is_absent_when_the_deadline_comes() -> None:
    @tool(effect="idempotent")
    async def hang() -> str:
        """Never come back."""
        await asyncio.Event().wait()
        return ""

    stuck = Agent("stuck", model=ScriptedModel([call("hang")] * 50), tools=[hang])
    with pytest.raises(NoDecision) as refused:
        await council("board", [stuck], Plan(options=AB, deadline_s=0.05)).run("Which?")
    record: Any = refused.value.context["record"]
    assert [(one.voter, one.why) for one in record.last.refused] == [("stuck", "late")]


async def test_members_propose_without_seeing_each_other_and_vote_on_it() -> None:
    """Each proposal comes from its own run. row: D5"""
    said = [
        (json.dumps({"approach": text, "confidence": 0.7, "cost": "an hour", "risks": ["it may break"]}), write(vote))
        for text, vote in (("Restart it", "Move it"), ("Move it", "Move it"), ("Wait", "Wait"))
    ]
    record, events, board = await hold(*said, plan=Plan(rule="plurality"))
    assert record.options == ("Restart it", "Move it", "Wait", NONE)
    assert (record.winner, record.last.dissent) == ("Move it", ("v3",))
    asked = [one for one in events if isinstance(one, ModelRequested) and "/propose-" in one.key]
    assert len({one.key.partition("/1/model")[0] for one in asked}) == 3
    assert (await replay_exactly(board, events)).divergence is None


async def test_nobody_votes_for_its_own_where_that_is_declared() -> None:
    proposals = [json.dumps({"approach": text, "confidence": 0.5}) for text in ("x", "y")]
    said = ((proposals[0], write("x")), (proposals[1], write("x")), (proposals[0], write("y")))
    with pytest.raises(NoDecision) as refused:
        await hold(*said, plan=Plan(own_votes=False, quorum=1.0))
    record: Any = refused.value.context["record"]
    assert [(one.voter, one.why) for one in record.last.refused] == [("v1", "own")]


async def test_a_proposal_that_nobody_wants_is_no_decision() -> None:
    proposal = json.dumps({"approach": "sell it", "confidence": 0.5})
    with pytest.raises(NoDecision, match="want none of the proposals"):
        await hold((proposal, write(NONE)), (proposal, write(NONE)), plan=Plan())
    with pytest.raises(NoDecision, match="nobody proposed anything"):
        await hold(DOWN, DOWN, plan=Plan())


def speak(position: str) -> str:
    rebuts = [{"of": "speaker 2", "argument": "no"}]
    return json.dumps({"position": position, "argument": "look at it", "rebuts": rebuts})


@pytest.mark.parametrize(
    ("chain", "by", "winner", "rounds"),
    [
        (("debate:1",), "vote", "a", 2),
        (("arbiter:lead",), "arbiter", "b", 1),
        (("arbiter:down", "arbiter:lead"), "arbiter", "b", 1),
        ((Debate(5), Arbiter("lead")), "vote", "a", 2),
    ],
)
async def test_a_fallback_decides_where_the_vote_does_not(chain: Any, by: str, winner: str, rounds: int) -> None:
    """A tie, then what was declared, in turn; all of it is recorded, verified and replayed. row: D8"""
    said = ((write("a"), speak("a"), write("a")), (write("b"), speak("a"), write("a")))
    arbiters = [build_voter("lead", write("b", reason="cheaper")), build_voter("down", DOWN)]
    record, events, board = await hold(*said, plan=Plan(options=AB, fallback=chain), arbiters=arbiters)
    assert (record.by, record.winner, len(record.rounds)) == (by, winner, rounds)
    assert verify_decision(events, record.id, seal=SEAL).holds
    assert (await replay_exactly(board, events)).divergence is None


async def test_an_end_without_a_decision_is_one() -> None:
    """part of row D8"""
    for chain in ((), (Abort(),), ("arbiter:down", "abort")):
        plan, arbiters = Plan(options=AB, fallback=chain), [build_voter("down", DOWN)]
        with pytest.raises(NoDecision, match="ties are refused"):
            await hold(*choose("a", "b"), plan=plan, arbiters=arbiters)


async def test_a_tie_is_voted_on_again_between_those_who_tie() -> None:
    said = ((write("a"), write("b")), (write("b"), write("b")), (write("c"), write("b")), write("a"), write("b"))
    record, events, _ = await hold(*said, plan=Plan(options=("a", "b", "c"), rule="plurality", tie="revote"))
    assert [one.terms.options for one in record.rounds] == [("a", "b", "c"), ("a", "b")]
    assert (record.winner, verify_decision(events, record.id).is_sealed) == ("b", False)
    with pytest.raises(NoDecision) as refused:
        await hold(*choose("a", "b"), plan=Plan(options=AB, tie="revote"))
    assert len(refused.value.context["record"].rounds) == 5  # type: ignore[union-attr]


async def give(log: MemoryLog, run: str, text: str, by: str) -> None:
    """Answer what a run asks last."""
    events = await log.read(run)
    asked = [one for one in events if isinstance(one, InputRequested)][-1]
    said = InputGiven(run=run, seq=len(events) + 1, time=asked.time, key=asked.key, text=text, by=by)
    await log.append(run, [said], expected=len(events))


async def test_a_person_votes_and_another_decides() -> None:
    """The run rests meanwhile; who is asked is in the question. part of row D8"""
    voters = [*build_voters(write("a")), Person("ada")]
    board, log = council("board", voters, Plan(options=AB, fallback=("person:lee",))), MemoryLog()
    resting = await board.run("Which?", log=log)
    asked = [one for one in resting.events if isinstance(one, InputRequested)]
    assert (resting.status, [one.of for one in asked]) == ("waiting", ["ada"])
    await give(log, resting.run_id, "b, of course", by="ada")
    resting = await board.resume(resting.run_id, log=log)
    assert "does not hold" in [one for one in resting.events if isinstance(one, InputRequested)][-1].question
    await give(log, resting.run_id, write("b"), by="ada")
    resting = await board.resume(resting.run_id, log=log)
    asked = [one for one in resting.events if isinstance(one, InputRequested)]
    assert (resting.status, asked[-1].of, asked[-1].choices) == ("waiting", "lee", AB)
    await give(log, resting.run_id, "b", by="lee")
    result: Any = await board.resume(resting.run_id, log=log)
    assert (result.output.winner, result.output.by) == ("b", "person")
    assert [one.voter for one in result.output.last.ballots] == ["v1", "person:ada"]
    assert verify_decision(result.events, result.output.id).holds
    assert (await replay_exactly(board, result.events)).divergence is None


async def test_an_answer_of_somebody_else_is_no_ballot() -> None:
    """Whatever wrote it into the log."""
    board, log = council("board", [Person("ada"), *build_voters(write("a"))], Plan(options=AB)), MemoryLog()
    resting = await board.run("Which?", log=log)
    await give(log, resting.run_id, write("b"), by="eve")
    result: Any = await board.resume(resting.run_id, log=log)
    assert (result.output.winner, [one.voter for one in result.output.last.ballots]) == ("a", ["v1"])
    assert [one.voter for one in result.output.last.refused] == ["person:ada"]


def build_minds(*minds: tuple[str, str, str]) -> list[Any]:
    """Build voters that say what they say by what they are asked: at first, in the debate, and after it."""

    def build(place: int, first: str, debated: str, second: str) -> Any:
        def answer(request: Request) -> Answer:
            asked = request.messages[-1].text
            if "Argue for" in asked:
                return speak(debated)
            said = second if "speaker" in asked else first
            return write(said) if said else DOWN

        return Agent(f"v{place}", model=ScriptedModel(answer))

    return [build(place, *mind) for place, mind in enumerate(minds, 1)]


@pytest.mark.parametrize("secret", [False, True])
async def test_a_chair_that_dies_anywhere_is_replaced_and_the_result_is_the_same(secret: bool) -> None:
    """Cut behind every event there is; who voted is not asked again, nothing counts twice. Promise R27."""
    plan, minds = (
        Plan(options=AB, fallback=("debate:1",), secret=secret),
        (("a", "a", "a"), ("b", "a", "a"), ("", "a", "b")),
    )

    def build() -> Any:
        return council("board", build_minds(*minds), plan, backing=Backing(seal=SEAL))

    whole: Any = await build().run("Which?")
    assert (whole.output.winner, len(whole.output.rounds)) == ("a", 2)
    for cut in range(2, len(whole.events)):
        log, run = MemoryLog(), whole.run_id
        await log.append(run, whole.events[:cut], expected=0)
        result: Any = await build().resume(run, log=log)
        assert describe(result.output) == describe(whole.output), cut
        events = await log.read(run)
        assert verify_decision(events, result.output.id, seal=SEAL).holds, cut
        keys = [
            one.key for one in events if isinstance(one, (VoteOpened, VoteCast, VoteRefused, VoteClosed, VoteDecided))
        ]
        settled = [one.key for one in events if isinstance(one, (ToolFinished, ToolFailed))]
        assert len(set(keys)) == len(keys) == 11, cut
        assert len(set(settled)) == len(settled), cut


def describe(record: Decision) -> object:
    """What must be the same wherever a chair died."""
    rounds = [
        (
            structs.replace(one.terms, seed=0),  # drawn anew where it was not recorded
            [(vote.voter, vote.ballot) for vote in one.ballots],
            one.refused,
            one.status,
            one.points,
            one.dissent,
        )
        for one in record.rounds
    ]
    return record.id, record.winner, record.by, record.why, rounds


def test_a_council_that_cannot_be_is_refused_with_all_that_is_wrong() -> None:
    wrong = Plan(
        options=("a", "a"), rule="majorty", quorum=float("nan"), weights={"eve": -1.0}, debate=9,
        fallback=("arbiter:nobody", Debate(0)), deadline_s=-1.0, tie="maybe",  # type: ignore[arg-type]
    )  # fmt: skip
    with pytest.raises(InvalidInput) as refused:
        council("board", [*build_voters("x"), *build_voters("x")], wrong)
    for told in (
        "`options` names 'a' more than once", "majority", "`quorum` is nan", "'eve'", "`debate` is 9", "'nobody'",
        "debates 0 rounds", "`deadline_s` is -1.0", "`tie` is 'maybe'", "`roll` names 'v1' more than once",
    ):  # fmt: skip
        assert told in str(refused.value)
    for weight in (float("nan"), float("inf"), -1.0, 1e9):
        with pytest.raises(InvalidInput, match="the weight of 'v1'"):
            council("board", build_voters("x", "x"), Plan(options=AB, rule="weighted", weights={"v1": weight}))
    with pytest.raises(UnknownName, match="debate"):
        Plan(fallback=("debat",)).chain  # noqa: B018
