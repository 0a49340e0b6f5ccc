"""Does a team's file become the team that it says, and is what is wrong with it told with its place?"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.orchestration.test_procedure import add, answer_all, build_member, pay

from quorate import Agent, MemoryLog, ScriptedModel
from quorate.agent.agent import AnyAgent
from quorate.agent.replay.exact import replay_exactly
from quorate.errors import InvalidFiles
from quorate.models.scripted import call
from quorate.orchestration.patterns.team import TeamReport
from quorate.orchestration.teams.build import build_team_agent
from quorate.orchestration.teams.spec import PATTERNS, TAKES, Team
from quorate.orchestration.workflow.load import load_definitions, parse_definition
from quorate.specs import Request
from quorate.tools.toolsets import Approved

PARTS = '{"parts": [{"agent": "one", "task": "do it"}]}'
TOLD: dict[str, str] = {
    "pipeline": "",
    "broadcast": 'combine = "concat"',
    "leader_follower": 'lead = "lead"',
    "peers": 'rounds = 1\ncombine = "first_success"',
    "hierarchy": 'lead = "lead"\ntrust = { one = 1.0, two = 0.1 }',
    "cascade": "accept = \"answer == '2'\"",
    "competitive": "accept = \"answer == '2'\"",
    "collective": "rounds = 2",
    "hybrid": 'lead = "lead"\nvalidator = "judge"\nrework = 0',
    "assigned": 'strategy = "round_robin"',
    "handoff": 'transfers = [{ source = "one", target = "two" }]',
    "council": 'plan = { options = ["1", "2"], rule = "plurality", tie = "priority", fallback = ["debate:1"] }',
}


def parse(text: str) -> Team:
    found = parse_definition(text)
    assert isinstance(found, Team)
    return found


def answer(said: str, request: Request) -> str:
    return f'{{"choice": "{said}"}}' if "Cast your vote" in request.messages[-1].text else said


def build_agents() -> dict[str, AnyAgent]:
    def part(request: Request) -> str:
        asked = request.messages[-1].text
        if '"needs"' in asked:
            return '{"parts": [{"task": "do it"}]}'
        return PARTS if "answer with JSON alone" in asked else "one answer"

    return {
        "one": Agent("one", model=ScriptedModel(lambda request: answer("1", request))),
        "two": Agent("two", model=ScriptedModel(lambda request: answer("2", request))),
        "lead": Agent("lead", model=ScriptedModel(part)),
        "judge": build_member("judge", '{"ok": true}'),
    }


def write(pattern: str, more: str = "") -> str:
    return f'kind = "team"\nname = "crew"\npattern = "{pattern}"\nmembers = ["one", "two"]\n{more}\n'


@pytest.mark.parametrize("pattern", sorted(TOLD))
async def test_a_file_for_each_pattern_runs_and_replays(pattern: str) -> None:
    team = build_team_agent(parse(write(pattern, TOLD[pattern])), agents=build_agents())
    result = await team.run("go")
    report = result.output
    assert isinstance(report, TeamReport)
    assert report.pattern.startswith(pattern)
    assert report.answer
    assert (await replay_exactly(team, result.events)).divergence is None


async def test_a_team_chooses_among_teams_by_what_the_task_is_like() -> None:
    agents = build_agents()
    agents["relay"] = build_team_agent(parse(write("pipeline").replace("crew", "relay")), agents=agents)
    agents["judge"] = build_member("judge", '{"parts": 3, "dependent": true}')
    text = 'kind = "team"\nname = "crew"\npattern = "adaptive"\nprofiler = "judge"\nmodes = { pipeline = "relay" }'
    report = (await build_team_agent(parse(text), agents=agents).run("go")).output
    assert (report.pattern, report.answer) == ("pipeline", "2")
    assert set(TOLD) | {"adaptive"} == set(PATTERNS) == set(TAKES)


async def test_a_team_brings_agents_along() -> None:
    text = write("pipeline").replace('"two"]', '"writer"]') + '[agents.writer]\ninstructions = "You write."\n'
    model = ScriptedModel(["written"])
    team = build_team_agent(parse(text), agents=build_agents(), find_model=lambda name: model)
    assert (await team.run("go")).output.answer == "written"
    assert model.requests[0].instructions == "You write."


FAULTS: list[tuple[str, str]] = [
    (write("pipeline", 'lead = "lead"'), "lead: the pattern 'pipeline' does not take it; it takes nothing beside"),
    (write("peers", "at_once = 2"), "at_once: the pattern 'peers' does not take it; it takes `combine`, `rounds`"),
    (write("hierarchy"), "lead: the pattern 'hierarchy' needs it"),
    (write("leader_follower", 'lead = "one"'), "lead: 'one' leads and is a member"),
    (write("pipeline").replace('"two"', '"tow"'), "members[1]: there is no agent 'tow'; did you mean 'two'?"),
    (write("pipeline").replace('"two"', '"one"'), "members: 'one' is there twice"),
    (write("pipeline").replace('"two"', '"crew"'), "members[1]: there is no agent 'crew'"),
    (write("pipeline").replace('"one", "two"', ""), "members: a team has at least one member"),
    (write("cascade", 'accept = "anwser == 1"'), "accept: There is no variable 'anwser'"),
    (write("assigned", "trust = { three = 1.0 }"), "trust: there is no member 'three'"),
    (write("handoff", 'transfers = [{ source = "one", target = "lead" }]'), "transfers: there is no member 'lead'"),
    (write("pipeline", "limits = { seconds = -1 }"), "limits.seconds: it is -1.0: give a number above 0"),
    (write("pipeline", '[agents.idle]\ninstructions = "x"'), "agents.idle: nobody asks it"),
]


@pytest.mark.parametrize(("text", "told"), FAULTS, ids=[str(place) for place in range(len(FAULTS))])
def test_a_fault_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(InvalidFiles) as refused:
        build_team_agent(parse(text), agents=build_agents(), tools={"add": add})
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('kind = "club"\nname = "x"', "`kind` is 'club'; it is 'workflow' or 'team'"),
        (write("polka"), "Invalid enum value 'polka'"),
        (write("peers", "rounds = 9"), "Expected `int` <= 5"),
        (write("peers", "round = 2"), "unknown field `round`"),
    ],
)
def test_what_cannot_be_read_is_told(text: str, told: str) -> None:
    with pytest.raises(InvalidFiles) as refused:
        parse_definition(text, where="crew.toml")
    assert "crew.toml: " in str(refused.value)
    assert told in str(refused.value)


def test_names_are_taken_once_and_circles_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(write("pipeline").replace('"one", "two"', '"other"'))
    (tmp_path / "b.toml").write_text(write("pipeline").replace("crew", "other").replace('"one", "two"', '"crew"'))
    with pytest.raises(InvalidFiles, match="crew, other would run one another: break the circle"):
        load_definitions([tmp_path])
    (tmp_path / "b.toml").write_text(write("pipeline"))
    with pytest.raises(InvalidFiles, match=r"b\.toml: 'crew' is in .*a\.toml already"):
        load_definitions([tmp_path])
    (tmp_path / "b.toml").unlink()
    with pytest.raises(InvalidFiles, match="'crew' is in the agent files already"):
        load_definitions([tmp_path], taken=["crew"])


def build_payer() -> dict[str, AnyAgent]:
    """The second member pays, which somebody must allow."""
    model = ScriptedModel(
        lambda request: "paid" if request.messages[-1].role == "tool" else call("pay", amount=1), name="payer"
    )
    return {**build_agents(), "two": Agent("two", model=model, tools=[Approved(pay)])}


async def test_a_run_ends_by_the_file_it_began_with() -> None:
    """Where the file changed meanwhile."""
    log, agents = MemoryLog(), build_payer()
    result = await build_team_agent(parse(write("pipeline")), agents=agents).run("go", log=log)
    assert result.status == "waiting"
    await answer_all(log, result.run_id)
    changed = build_team_agent(parse(write("broadcast", 'version = "2"')), agents=agents)
    result = await changed.resume(result.run_id, log=log)
    assert (result.output.pattern, result.output.answer) == ("pipeline", "paid")


@pytest.mark.parametrize(
    ("before", "after", "needs"),
    [
        (write("pipeline"), write("pipeline").replace('"one", "two"', '"one"'), "two"),
        (write("assigned"), write("pipeline"), "choose_member, release_member"),
        (write("handoff", TOLD["handoff"]), write("pipeline"), "have_one, have_two"),
    ],
)
async def test_a_run_whose_members_are_gone_is_parked(before: str, after: str, needs: str) -> None:
    """Also where they work together in a way that needs what is not there any more."""
    log, agents = MemoryLog(), build_payer()
    if "pipeline" not in before:
        agents["one"] = Agent("one", model=agents["two"].model, tools=[Approved(pay)])
    result = await build_team_agent(parse(before), agents=agents).run("go", log=log)
    assert result.status == "waiting"
    await answer_all(log, result.run_id)
    result = await build_team_agent(parse(after), agents=agents).resume(result.run_id, log=log)
    note = str(getattr(result.events[-1], "note", ""))
    assert (result.status, f"version '1' of team 'crew', which needs {needs}:" in note) == ("waiting", True)
