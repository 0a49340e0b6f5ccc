"""Does each pattern work in its own way, observably, and end well when members do not?"""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.orchestration.test_procedure import build_member

from quorate import Agent, ScriptedModel
from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.asking import TeamFailed
from quorate.agent.replay.exact import replay_exactly
from quorate.errors import InvalidInput, UnknownName, UpstreamError
from quorate.events import ModelRequested, StepStarted
from quorate.models.scripted import After
from quorate.orchestration.patterns.adaptive import Record, TaskProfile, adaptive, choose_mode
from quorate.orchestration.patterns.broadcast import broadcast
from quorate.orchestration.patterns.cascade import cascade
from quorate.orchestration.patterns.collective import collective
from quorate.orchestration.patterns.competitive import competitive
from quorate.orchestration.patterns.hierarchy import Part, assign_parts, choose_worker, hierarchy
from quorate.orchestration.patterns.hybrid import hybrid
from quorate.orchestration.patterns.leader import leader_follower
from quorate.orchestration.patterns.peers import peers
from quorate.orchestration.patterns.pipeline import pipeline
from quorate.orchestration.patterns.team import TeamReport

DOWN = UpstreamError("The provider is down.")


def good(answer: object) -> bool:
    return answer != "bad"


def build_reader(name: str, description: str = "") -> AnyAgent:
    """A member that says what it was asked."""
    model = ScriptedModel(lambda request: f"<{request.messages[-1].text}>")
    return Agent(name, model=model, description=description)


async def report(team: AnyAgent, task: str = "go") -> TeamReport:
    result = await team.run(task)
    assert (await replay_exactly(team, result.events)).divergence is None
    return result.output


async def test_a_pipeline_shows_each_stage_all_that_was_done_before() -> None:
    """part of row A13"""
    found = await report(
        pipeline("p", [build_member("one", "1"), build_member("two", '{"n": 2}'), build_reader("last")])
    )
    assert [one.agent for one in found.contributions] == ["one", "two", "last"]
    assert "agent='one'>\n1\n" in str(found.answer)
    assert "agent='two'>\n{\"n\":2}\n" in str(found.answer)


async def test_a_pipeline_stops_where_a_stage_fails() -> None:
    """part of row A13"""
    last = ScriptedModel(["never"])
    team = pipeline("p", [build_member("one", DOWN), Agent("two", model=last)])
    with pytest.raises(TeamFailed, match="Stage 1 of 'p', 'one', failed"):
        await team.run("go")
    assert last.requests == []


@pytest.mark.parametrize(
    ("combine", "said", "answer"),
    [
        ("first_success", (DOWN, "b", "c"), "b"),
        ("majority", ("Yes.", "yes", "no"), "Yes."),
        ("concat", ("a", DOWN, "c"), "m1: a\n\nm3: c"),
        ("merge", ('{"a": 1}', '{"b": 2}', '{"a": 1}'), {"a": 1, "b": 2}),
        ("average", ("1", "2", "6"), 3.0),
        ("average", ('{"x": 1, "y": 0}', '{"x": 3, "y": 1}', DOWN), {"x": 2.0, "y": 0.5}),
        (lambda given: (len(given), "a count"), ("a", "b", DOWN), 3),
    ],
)
async def test_a_broadcast_makes_one_answer_of_all(combine: Any, said: tuple[object, ...], answer: object) -> None:
    """One failure does not lose the others, and their order is kept. part of row B3"""
    team = broadcast("b", [build_member(f"m{place}", one) for place, one in enumerate(said, 1)], combine=combine)
    found = await report(team)
    assert found.answer == answer
    assert [one.agent for one in found.contributions] == ["m1", "m2", "m3"]


@pytest.mark.parametrize(
    ("combine", "said", "told"),
    [
        ("majority", ("a", "b", "c"), "3 answers have 1 votes each"),
        ("majority", ("a", "a", "b", "b"), "2 answers have 2 votes each"),
        ("majority", ("a", DOWN, DOWN), "the most that one answer has is 1"),
        ("merge", ('{"a": 1}', '{"a": 2}'), "Answers differ in 'a'"),
        ("merge", ("text",), "is no object"),
        ("average", ("1", "NaN"), "is no number"),
        ("average", ("1", "two"), "is no number"),
        ("concat", (DOWN, DOWN), "No member of b gave anything"),
    ],
)
async def test_what_makes_no_answer_fails_and_says_why(combine: Any, said: tuple[object, ...], told: str) -> None:
    """part of row C10"""
    team = broadcast("b", [build_member(f"m{place}", one) for place, one in enumerate(said, 1)], combine=combine)
    with pytest.raises(TeamFailed, match=told):
        await team.run("go")


async def test_a_cascade_asks_the_next_only_where_it_must() -> None:
    """part of row C9"""
    strong = ScriptedModel(["best"])
    team = cascade(
        "c", [build_member("weak", "bad"), build_member("fair", "good"), Agent("strong", model=strong)], accept=good
    )
    found = await report(team)
    assert (found.answer, len(found.contributions), strong.requests) == ("good", 2, [])
    with pytest.raises(TeamFailed, match="weak: not good enough; fair: "):
        await cascade("c", [build_member("weak", "bad"), build_member("fair", DOWN)], accept=good).run("go")


async def test_of_competitors_the_first_good_one_wins_and_the_others_are_stopped() -> None:
    """part of row C9"""
    members = [
        build_member("slow", After(60, "x")),
        build_member("wrong", "bad"),
        build_member("quick", After(0.01, "ok")),
    ]
    found = await report(competitive("c", members, accept=good))
    assert [(one.agent, one.status) for one in found.contributions] == [
        ("wrong", "completed"), ("quick", "completed"), ("slow", "stopped"),
    ]  # fmt: skip
    with pytest.raises(TeamFailed, match="gave an acceptable answer"):
        await competitive("c", [build_member("wrong", "bad"), build_member("down", DOWN)], accept=good).run("go")


PARTS = '{"parts": [{"agent": "one", "task": "first"}, {"agent": "two", "task": "second"}]}'


async def test_a_leader_parts_the_task_and_makes_one_answer() -> None:
    """part of row A13"""
    leader = build_member(
        "boss", "I think...", '{"parts": [{"agent": "who", "task": "x"}]}', f"```json\n{PARTS}\n```", "all of it"
    )
    found = await report(leader_follower("l", leader, [build_reader("one"), build_reader("two")]))
    assert found.answer == "all of it"
    assert [(one.agent, one.output) for one in found.contributions[:2]] == [("one", "<first>"), ("two", "<second>")]


async def test_a_leader_who_never_parts_the_task_fails() -> None:
    with pytest.raises(TeamFailed, match="did not hold after 2 repairs: it is not JSON"):
        await leader_follower("l", build_member("boss", "no"), [build_reader("one")]).run("go")


async def test_peers_read_one_another_and_end_when_they_agree() -> None:
    """part of row A13"""
    found = await report(peers("p", [build_member("one", "4", "5"), build_member("two", "5", "5")], rounds=3))
    assert (found.answer, found.why) == ("5", "all 2 say the same after 2 of 3 rounds")
    others = build_member("two", "6", "7")
    team = peers("p", [build_reader("one"), others], rounds=2, combine="first_success")
    second = (await report(team)).contributions[2]
    assert "agent='two'" in str(second.output)
    assert "agent='one'" not in str(second.output)


async def test_parts_go_to_who_fits_and_on_to_the_next_when_that_one_fails() -> None:
    """part of row D9"""
    lead = build_member(
        "lead",
        '{"parts": [{"task": "look at dns", "needs": "dns names"}, {"task": "look at disks", "needs": "disks"}]}',
        "done",
    )
    workers = [
        Agent("net", model=ScriptedModel([DOWN] * 5), description="dns, names and networks"),
        build_reader("disk", "disks and files"),
        build_reader("spare", "names"),
    ]
    found = await report(hierarchy("h", lead, workers))
    assert [(one.agent, one.status) for one in found.contributions] == [
        ("net", "failed"), ("spare", "completed"), ("disk", "completed"), ("lead", "completed"),
    ]  # fmt: skip
    assert found.why == "2 parts for 2 workers, 1 given on"


def test_workers_are_chosen_by_capability_times_trust_less_load() -> None:
    """part of row D9"""
    workers = [build_reader("one", "dns"), build_reader("two", "dns"), build_reader("three", "cooking")]
    whole = {"one": 1.0, "two": 1.0, "three": 1.0}
    part = Part(task="x", needs="dns")
    assert assign_parts([part] * 3, workers, whole) == ["one", "two", "one"]
    assert choose_worker(part, workers, {**whole, "one": 0.5}, {}) == "two"
    assert choose_worker(part, workers, whole, {}, without=["one", "two"]) == "three"
    with pytest.raises(TeamFailed, match="Nobody is left"):
        choose_worker(part, workers, whole, {}, without=list(whole))


async def test_a_collective_writes_until_nobody_has_more() -> None:
    """part of row D9"""
    members = [build_member("one", "fact A", "Nothing."), build_member("two", "fact B", "fact A")]
    found = await report(collective("c", members, rounds=5))
    assert found.answer == "one: fact A\ntwo: fact B"
    assert found.why == "2 notes of 2 members in 2 rounds"
    closed = collective("c", [build_member("one", "fact A", "nothing")], closer=build_reader("closer"), rounds=2)
    assert "fact A" in str((await report(closed)).answer)


async def test_what_is_planned_is_done_and_passes_the_gate() -> None:
    """part of row D12"""
    gate = build_member("gate", '{"ok": false, "problems": ["too short"]}', '{"ok": true}', '{"ok": true}')
    found = await report(hybrid("h", build_member("planner", PARTS), [build_reader("one"), build_reader("two")], gate))
    assert [one.agent for one in found.contributions] == ["one", "one", "two"]
    assert "too short" in str(found.contributions[1].output)
    assert found.why == "2 steps passed gate, 1 were done again"


async def test_a_gate_that_is_never_passed_fails_loudly() -> None:
    """part of row D12"""
    gate = build_member("gate", '{"ok": false, "problems": ["wrong"]}')
    team = hybrid("h", build_member("planner", PARTS), [build_reader("one"), build_reader("two")], gate, rework=1)
    with pytest.raises(TeamFailed, match="did not pass after 1 times of rework: wrong"):
        await team.run("go")
    stray = build_member("planner", '{"parts": [{"agent": "stranger", "task": "x"}]}')
    with pytest.raises(TeamFailed, match="there is no agent stranger"):
        await hybrid("h", stray, [build_reader("one")], gate).run("go")


PROFILES = [
    (TaskProfile(), "broadcast"),
    (TaskProfile(parts=3, dependent=True), "pipeline"),
    (TaskProfile(parts=2, dependent=True, risk="medium"), "pipeline"),
    (TaskProfile(parts=6, dependent=True, skills=4), "pipeline"),
    (TaskProfile(parts=5, dependent=True, urgency="high"), "pipeline"),
    (TaskProfile(parts=3), "leader_follower"),
    (TaskProfile(parts=2, urgency="low", openness="low"), "leader_follower"),
    (TaskProfile(parts=3, thrift="medium"), "leader_follower"),
    (TaskProfile(parts=6, skills=4), "hierarchy"),
    (TaskProfile(parts=8, skills=3), "hierarchy"),
    (TaskProfile(parts=5, skills=5, risk="medium"), "hierarchy"),
    (TaskProfile(risk="high"), "peers"),
    (TaskProfile(risk="high", thrift="low", openness="low"), "peers"),
    (TaskProfile(risk="medium"), "peers"),
    (TaskProfile(urgency="high"), "competitive"),
    (TaskProfile(urgency="high", risk="low", thrift="low"), "competitive"),
    (TaskProfile(thrift="high"), "cascade"),
    (TaskProfile(thrift="high", risk="medium"), "cascade"),
    (TaskProfile(openness="high"), "collective"),
    (TaskProfile(openness="high", thrift="medium"), "collective"),
]


@pytest.mark.parametrize(("profile", "mode"), PROFILES)
def test_a_task_gets_the_pattern_that_fits(profile: TaskProfile, mode: str) -> None:
    """row: D11"""
    choice = choose_mode(profile)
    assert choice.mode == mode
    assert choice.why.startswith(f"{mode}: ")


def test_history_changes_the_choice_and_is_named() -> None:
    """row: D11"""
    profile = TaskProfile(risk="medium")
    assert choose_mode(profile).mode == "peers"
    history = {"peers": Record(runs=20, good=1), "broadcast": Record(runs=20, good=19)}
    choice = choose_mode(profile, history)
    assert (choice.mode, "19 of 20 runs were good" in choice.why) == ("broadcast", True)
    assert choose_mode(profile, {"peers": Record(runs=1, good=0)}).mode == "peers"


async def test_a_team_chooses_how_it_works() -> None:
    """row: D11"""
    teams: Any = {
        "peers": peers("debate", [build_member("one", "5"), build_member("two", "5")]),
        "cascade": cascade("ladder", [build_member("weak", "3")]),
    }
    profiler = build_member("profiler", '{"risk": "high"}', '{"thrift": "high"}')
    team = adaptive("a", teams, profiler=profiler)
    assert [(await team.run("go")).output.pattern for _ in range(2)] == ["peers", "cascade"]


async def test_teams_are_members_of_teams() -> None:
    inner = pipeline("inner", [build_member("one", "1"), build_member("two", "2")])
    team = broadcast("outer", [inner, competitive("race", [build_member("three", "2")])], combine="majority")
    found = await report(team)
    assert (found.answer, found.why) == ("2", "2 of 2 members gave it")


async def test_one_trace_and_one_log_hold_all_of_a_team() -> None:
    result = await broadcast("b", [build_member("one", "1"), build_member("two", "2")]).run("go")
    assert [event.name for event in result.events if isinstance(event, StepStarted)] == ["b", "one", "two"]
    assert sum(isinstance(event, ModelRequested) for event in result.events) == 4


def test_teams_that_cannot_be_are_refused() -> None:
    one = build_member("one", "1")
    for build in (
        lambda: pipeline("p", []),
        lambda: broadcast("b", [one, one]),
        lambda: peers("p", [one], rounds=9),
        lambda: collective("c", [one], rounds=0),
        lambda: hierarchy("h", one, [one], trust={"one": 2.0}),
        lambda: leader_follower("l", one, []),
        lambda: hybrid("h", one, [], one),
        lambda: adaptive("a", {}),
    ):
        with pytest.raises(InvalidInput):
            build()
    with pytest.raises(UnknownName, match="majority"):
        broadcast("b", [one], combine="majorty")  # type: ignore[arg-type]
