"""Do teams and workflows decide by the council's rules, and is what is wrong with them told with its place?"""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.council.sessions import DOWN, build_voter, build_voters, choose, write
from tests.unit.orchestration.test_procedure import build_member

from quorate import MemoryLog
from quorate.agent.replay.exact import replay_exactly
from quorate.council.decide import NoDecision
from quorate.council.decision import read_decisions, verify_decision
from quorate.council.plan import Plan
from quorate.errors import InvalidFiles, InvalidInput
from quorate.events import InputGiven, InputRequested
from quorate.orchestration.patterns.deciding import deciding
from quorate.orchestration.teams.build import build_team_agent
from quorate.orchestration.teams.spec import Team
from quorate.orchestration.workflow.build import build_workflow
from quorate.orchestration.workflow.estimate import estimate_workflow
from quorate.orchestration.workflow.load import parse_definition
from quorate.orchestration.workflow.run import StepFailed
from quorate.orchestration.workflow.spec import Workflow

AB = ("a", "b")
FILE = """
name = "flow"
[[steps]]
id = "verdict"
task = "Restart it?"
decide = { voters = ["v1", "v2", "v3"], options = ["yes", "no"], rule = "supermajority:2/3", quorum = 1.0 }
[[steps]]
id = "act"
agent = "act"
task = "{steps.verdict.output.why} by {steps.verdict.output.by}"
when = "steps.verdict.output.winner == 'yes' && size(steps.verdict.output.rounds[0].ballots) == 3"
"""


async def give(log: MemoryLog, run: str, text: str, by: str) -> None:
    """Answer what a run asks."""
    events = await log.read(run)
    asked = [one for one in events if isinstance(one, InputRequested)][-1]
    said = InputGiven(run=run, seq=len(events) + 1, time=asked.time, key=asked.key, text=text, by=by)
    await log.append(run, [said], expected=len(events))


def read(text: str) -> Any:
    return parse_definition(text)


def name_agents(*agents: Any) -> dict[str, Any]:
    return {one.name: one for one in agents}


async def test_a_team_answers_with_what_it_decided() -> None:
    """Who voted for what, who did not vote, and the decision's id are in its report."""
    team = deciding("crew", build_voters(write("a"), write("b"), DOWN, write("a")), Plan(options=AB))
    result = await team.run("Which?")
    report, (record,) = result.output, read_decisions(result.events)
    assert (report.pattern, report.answer) == ("council", "a")
    assert record.id in report.why
    assert [(one.agent, one.status, one.output) for one in report.contributions] == [
        ("v1", "completed", "a"), ("v2", "completed", "b"), ("v3", "failed", None), ("v4", "completed", "a"),
    ]  # fmt: skip
    assert verify_decision(result.events, record.id).holds
    assert (await replay_exactly(team, result.events)).divergence is None


async def test_a_team_that_decides_nothing_fails_and_says_why() -> None:
    team = deciding("crew", build_voters(*choose("a", "b")), Plan(options=AB))
    with pytest.raises(NoDecision, match="ties are refused"):
        await team.run("Which?")


async def test_a_team_file_says_how_it_decides() -> None:
    """Its plan holds, its arbiter is found among all agents, and the run says so."""
    text = """
kind = "team"
name = "crew"
pattern = "council"
members = ["v1", "v2"]
plan = { options = ["a", "b"], rule = "borda", fallback = ["arbiter:lead"] }
"""
    agents = name_agents(
        *build_voters(*(json.dumps({"ranking": order}) for order in (["a", "b"], ["b", "a"]))),
        build_voter("lead", write("b", reason="cheaper")),
    )
    result = await build_team_agent(read(text), agents=agents).run("Which?")
    (record,) = read_decisions(result.events)
    assert (result.output.answer, record.by, record.last.terms.rule) == ("b", "arbiter", "borda")


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        ('{ options = ["a"] }', ("plan: `options` has 1 entries",)),
        ('{ options = ["a", "b"], rule = "majorty", quorum = 2.0 }', ("`rule`", "`quorum` is 2.0")),
        ('{ options = ["a", "b"], fallback = ["arbiter:nobody"] }', ("plan.fallback: there is no agent 'nobody'",)),
        ('{ options = ["a", "b"], fallback = ["debat:1"] }', ("plan: `fallback`", "debat")),
        ('{ options = ["a", "b"], weights = { eve = 2.0 } }', ("'eve', not on the roll",)),
    ],
)
def test_what_is_wrong_with_a_team_is_told_with_its_place(plan: str, told: tuple[str, ...]) -> None:
    text = f'kind = "team"\nname = "crew"\npattern = "council"\nmembers = ["v1", "v2"]\nplan = {plan}\n'
    found = read(text)
    assert isinstance(found, Team)
    with pytest.raises(InvalidFiles) as refused:
        build_team_agent(found, agents=name_agents(*build_voters("x", "x")))
    for one in told:
        assert one in str(refused.value)


async def test_a_workflow_goes_on_by_what_was_decided() -> None:
    """Conditions read the record; it is verified and replayed; no decision fails the step. part of row E12"""
    agents = name_agents(*build_voters(*choose("yes", "yes", "no")), build_member("act", "acted"))
    flow = build_workflow(read(FILE), agents=agents)
    result = await flow.run("")
    (record,) = read_decisions(result.events)
    assert (result.output.output, record.winner, record.last.dissent) == ("acted", "yes", ("v3",))
    assert verify_decision(result.events, record.id).holds
    assert (await replay_exactly(flow, result.events)).divergence is None
    split = name_agents(*build_voters(*choose("yes", "no", "no")), agents["act"])
    skipped = await build_workflow(read(FILE), agents=split).run("")
    assert skipped.output.steps["act"].status == "skipped"
    absent = name_agents(*build_voters(*choose("yes", "yes"), DOWN), agents["act"])
    with pytest.raises(StepFailed, match="2 of 3 are present, and the quorum is 1"):
        await build_workflow(read(FILE), agents=absent).run("")


async def test_a_person_votes_in_a_workflow() -> None:
    """The run rests until they have, and ends by their ballot."""
    text = FILE.replace('"v3"]', '"person:ada"]').replace("supermajority:2/3", "unanimous")
    agents = name_agents(*build_voters(*choose("yes", "yes")), build_member("act", "acted"))
    flow, log = build_workflow(read(text), agents=agents), MemoryLog()
    resting = await flow.run("", log=log)
    assert resting.status == "waiting"
    await give(log, resting.run_id, write("yes"), by="ada")
    assert (await flow.resume(resting.run_id, log=log)).output.output == "acted"


@pytest.mark.parametrize(
    ("decide", "told"),
    [
        (
            '{ voters = ["nobody", "v1"], options = ["a"] }',
            ("decide.voters[0]: there is no agent 'nobody'", "1 entries"),
        ),
        ('{ voters = ["v1", "v1"], options = ["a", "b"] }', ("decide: `roll` names 'v1' more than once",)),
        ('{ voters = [], options = ["a", "b"] }', ("decide: `roll` has 0 entries",)),
        ('{ voters = ["v1"], options = ["a", "b"], rule = "supermajority:0.4" }', ("decide: `rule`", "0.4")),
        ('{ voters = ["v1"], options = ["a", "b"], fallback = ["arbitr"] }', ("decide: `fallback`", "arbitr")),
        ('{ voters = ["v1"], options = ["a", "b"], tie = "priority", priority = ["a"] }', ("`priority`",)),
    ],
)
def test_what_is_wrong_with_a_decision_is_told_with_its_place(decide: str, told: tuple[str, ...]) -> None:
    text = f'name = "flow"\n[[steps]]\nid = "x"\ntask = "?"\ndecide = {decide}\n'
    with pytest.raises(InvalidFiles) as refused:
        build_workflow(read(text), agents=name_agents(*build_voters("x")))
    for one in told:
        assert f"steps[0].{one}" in str(refused.value) or one in str(refused.value)
    assert "steps[0]" in str(refused.value)


def test_a_decision_without_a_question_is_no_step() -> None:
    text = FILE.replace('task = "Restart it?"\n', "")
    agents = name_agents(*build_voters("x", "x", "x"), build_member("act", "acted"))
    with pytest.raises(InvalidFiles, match=r"steps\[0\].task: say what is to be done or decided"):
        build_workflow(read(text), agents=agents)


def test_a_council_that_cannot_be_is_refused() -> None:
    """Built in code as well, all that is wrong at once."""
    with pytest.raises(InvalidInput) as refused:
        deciding("crew", build_voters("x", "x"), Plan(options=("a", "a"), quorum=2.0, fallback=("arbiter:lead",)))
    for told in ("`options` names 'a' more than once", "`quorum` is 2.0", "'lead'"):
        assert told in str(refused.value)


def test_what_a_decision_costs_can_be_estimated() -> None:
    """Each agent that votes is one question more; people cost nothing; proposing and arguing are asked for as well."""

    def estimate(decide: str) -> int:
        flow = read(f'name = "flow"\n[[steps]]\nid = "x"\ntask = "?"\ndecide = {decide}\n')
        assert isinstance(flow, Workflow)
        return estimate_workflow(flow, {}, tools={}).usage.requests

    votes = estimate('{ voters = ["v1", "v2"], options = ["a", "b"] }')
    assert votes > 0
    assert estimate('{ voters = ["v1", "v2", "person:ada"], options = ["a", "b"] }') == votes
    assert estimate('{ voters = ["v1", "v2"] }') == 2 * votes
    assert estimate('{ voters = ["v1", "v2"], debate = 2 }') == 4 * votes
