"""Do agents decide by the declared rule, and never by accident?"""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.orchestration.test_procedure import build_member

from quorate.agent.replay.exact import replay_exactly
from quorate.errors import InvalidFiles, InvalidInput, UnknownName, UpstreamError
from quorate.events import VoteCast, VoteClosed, VoteOpened
from quorate.orchestration.patterns.vote import CastBallot, NoDecision, count_votes, vote
from quorate.orchestration.workflow.build import build_workflow
from quorate.orchestration.workflow.run import StepFailed
from quorate.orchestration.workflow.spec import Decision, Step, Workflow

YES, NO = '{"choice": "yes", "reason": "it fits"}', '{"choice": "no"}'
DOWN = UpstreamError("The provider is down.")


def build_voters(*said: object) -> list[Any]:
    return [
        build_member(f"v{place}", *(one if isinstance(one, tuple) else (one,))) for place, one in enumerate(said, 1)
    ]


@pytest.mark.parametrize(
    ("choices", "rule", "quorum", "winner"),
    [
        ("aab", "majority", 0.5, "a"),
        ("aabc", "majority", 0.5, None),
        ("aabc", "plurality", 0.5, "a"),
        ("aabb", "plurality", 0.5, None),
        ("aab", "unanimous", 0.5, None),
        ("aaa", "unanimous", 1.0, "a"),
        ("a", "majority", 0.6, None),
        ("aaa", "majority", 0.6, None),
        ("", "plurality", 0.0, None),
        ("xx", "plurality", 0.0, None),
    ],
)
def test_votes_are_counted_by_the_rule_over_those_who_might_vote(
    choices: str, rule: Any, quorum: float, winner: Any
) -> None:
    """A tie, no quorum of the roll, and no votes at all are no decision. part of row C10"""
    ballots = [CastBallot(voter=f"v{place}", choice=one) for place, one in enumerate(choices)]
    roll = 10 if quorum == 0.6 else max(1, len(ballots))
    assert count_votes(ballots, "abc", roll=roll, rule=rule, quorum=quorum)[0] == winner


async def test_a_vote_is_recorded_ballot_by_ballot_and_replayed() -> None:
    council = vote("root-cause", build_voters(YES, NO, ("I think...", YES)), ["yes", "no"])
    result = await council.run("Is it the disk?")
    assert (result.output.winner, result.output.turnout, result.output.votes) == ("yes", 1.0, {"yes": 2, "no": 1})
    opened, *cast, closed = [one for one in result.events if isinstance(one, (VoteOpened, VoteCast, VoteClosed))]
    assert (opened.question, opened.roll) == ("Is it the disk?", ("v1", "v2", "v3"))  # type: ignore[union-attr]
    assert [(one.voter, one.choice) for one in cast] == [("v1", "yes"), ("v2", "no"), ("v3", "yes")]  # type: ignore[union-attr]
    assert (closed.winner, closed.turnout) == ("yes", 1.0)  # type: ignore[union-attr]
    assert (await replay_exactly(council, result.events)).divergence is None


async def test_who_fails_or_strays_is_absent_and_no_quorum_is_no_decision() -> None:
    stray = '{"choice": "maybe"}'
    found = (await vote("v", build_voters(YES, DOWN, stray), ["yes", "no"], quorum=0.3).run("x")).output
    assert (found.winner, [one.voter for one in found.ballots]) == ("yes", ["v1"])
    with pytest.raises(NoDecision, match="1 of 3 voted, and the quorum is"):
        await vote("v", build_voters(YES, DOWN, stray), ["yes", "no"]).run("x")


async def test_a_workflow_goes_on_by_what_was_decided() -> None:
    """part of row E12"""
    agents = {one.name: one for one in build_voters(YES, YES, NO)}
    agents["act"] = build_member("act", "acted")
    steps = (
        Step(id="verdict", decide=Decision(options=("yes", "no"), voters=("v1", "v2", "v3")), task="Restart it?"),
        Step(id="act", agent="act", task="{steps.verdict.output.why}", when="steps.verdict.output.winner == 'yes'"),
    )
    flow = build_workflow(Workflow(name="flow", steps=steps), agents=agents)
    result = await flow.run("")
    assert result.output.output == "acted"
    assert (await replay_exactly(flow, result.events)).divergence is None
    split = {**agents, "v2": build_member("v2", NO), "v3": build_member("v3", DOWN)}
    with pytest.raises(StepFailed, match="came to no decision: yes, no have 1 votes each"):
        await build_workflow(Workflow(name="flow", steps=steps), agents=split).run("")


def test_votes_that_cannot_be_are_refused() -> None:
    voters = build_voters(YES)
    for facts in ({"options": ["a"]}, {"options": ["a", "a"]}, {"options": ["a", "b"], "quorum": 2.0}):
        with pytest.raises(InvalidInput):
            vote("v", voters, **facts)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="has the voters"):
        vote("v", [], ["a", "b"])
    with pytest.raises(UnknownName, match="majority"):
        vote("v", voters, ["a", "b"], rule="majorty")  # type: ignore[arg-type]
    wrong = Step(id="x", decide=Decision(options=("a",), voters=("nobody",)))
    with pytest.raises(InvalidFiles) as refused:
        build_workflow(Workflow(name="flow", steps=(wrong,)), agents={one.name: one for one in voters})
    for told in (
        "steps[0].decide.voters[0]: there is no agent 'nobody'",
        "decide.options: give at least 2",
        "steps[0].task",
    ):
        assert told in str(refused.value)
