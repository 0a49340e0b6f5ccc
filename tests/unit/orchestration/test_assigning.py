"""Does each strategy give a task to whom it should, recorded, and on to another one when that one fails?"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quorate import Agent, ScriptedModel
from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.asking import TeamFailed
from quorate.agent.replay.exact import replay_exactly
from quorate.errors import InvalidInput, UnknownName, UpstreamError
from quorate.orchestration.patterns.assigning import STRATEGIES, Strategy, Turn, assign_to, assigned

DOWN = UpstreamError("The provider is down.")


def build(name: str, answer: object, description: str = "") -> AnyAgent:
    return Agent(name, model=ScriptedModel([answer] * 20), description=description)  # type: ignore[list-item]


def build_three(*, middle: object = "b") -> list[AnyAgent]:
    return [
        build("network", "a", "Finds out what the network does."),
        build("disk", middle, "Finds out how full a disk is."),
        build("logs", "c", "Reads logs of services."),
    ]


MEMBERS = build_three()
CHOICES: list[tuple[Strategy, Turn, str]] = [
    ("first", Turn(number=2, load={"network": 9}), "network"),
    ("best", Turn(), "disk"),
    ("round_robin", Turn(number=0), "network"),
    ("round_robin", Turn(number=4), "disk"),
    ("random", Turn(seed=1), "network"),
    ("random", Turn(seed=0), "disk"),
    ("load", Turn(load={"network": 2, "disk": 1}), "logs"),
    ("load", Turn(load={"network": 1, "disk": 1, "logs": 1}), "network"),
]


@pytest.mark.parametrize(("strategy", "turn", "wanted"), CHOICES)
def test_a_strategy_chooses(strategy: Strategy, turn: Turn, wanted: str) -> None:
    """part of row A14"""
    assert assign_to(strategy, "is the disk full?", MEMBERS, turn=turn).agent == wanted


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_whoever_failed_is_left_out_until_nobody_is_left(strategy: Strategy) -> None:
    tried: list[str] = []
    for _ in MEMBERS:
        tried.append(assign_to(strategy, "look", MEMBERS, turn=Turn(number=1, seed=5), without=tried).agent)
    assert sorted(tried) == ["disk", "logs", "network"]
    with pytest.raises(TeamFailed, match="Nobody is left"):
        assign_to(strategy, "look", MEMBERS, without=tried)


def test_what_there_is_not_is_refused() -> None:
    with pytest.raises(UnknownName, match="'loudest'"):
        assign_to("loudest", "x", MEMBERS)  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="'nobody'"):
        assigned("team", MEMBERS, trust={"nobody": 1.0})
    with pytest.raises(InvalidInput, match="trust in 'disk' is 2"):
        assigned("team", MEMBERS, trust={"disk": 2})


async def test_turns_go_round_over_runs_and_replay_the_same() -> None:
    """part of row A14"""
    team = assigned("team", build_three(), strategy="round_robin")
    results = [await team.run("go") for _ in range(4)]
    assert [result.output.answer for result in results] == ["a", "b", "c", "a"]
    for result in reversed(results):  # in another order than they were made in
        assert (await replay_exactly(team, result.events)).divergence is None


async def test_chance_is_recorded_with_its_seed() -> None:
    """part of row A14"""
    seeds: Iterator[int] = iter([1, 0, 1])
    team = assigned("team", build_three(), strategy="random", draw=lambda: next(seeds))
    results = [await team.run("go") for _ in range(3)]
    assert [result.output.answer for result in results] == ["a", "b", "a"]
    assert '"seed":0' in str(results[1].events)
    assert (await replay_exactly(team, results[1].events)).divergence is None  # it draws no more


async def test_a_task_is_given_on_when_somebody_fails() -> None:
    """part of row D9"""
    team = assigned("team", build_three(middle=DOWN), strategy="best")
    found = (await team.run("is the disk full?")).output
    assert (found.contributions[0].agent, found.contributions[0].status) == ("disk", "failed")
    assert found.contributions[1].status == "completed"
    with pytest.raises(TeamFailed, match="Nobody of 'team' could do it"):
        await assigned("team", [build("one", DOWN), build("two", DOWN)]).run("go")
