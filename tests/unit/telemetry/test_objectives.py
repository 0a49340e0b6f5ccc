"""Is it seen which promises were kept, and how much may still go wrong?"""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from quorate import errors
from quorate.errors import InvalidInput
from quorate.events import (
    AnyEvent,
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunFailed,
    RunResumed,
    RunStarted,
    RunWaiting,
    VoteClosed,
    VoteOpened,
)
from quorate.specs import Limits
from quorate.telemetry.facts import Fact, read_facts
from quorate.telemetry.objectives import MAX_AGENTS, Score, build_budget, judge, load_objectives
from quorate.telemetry.quantiles import Quantiles

OBJECTIVES = load_objectives()
RUN = "run-1"


def create(*, agent: str = "net", time: float = 100.0) -> RunCreated:
    return RunCreated(run=RUN, seq=1, time=time, agent=agent, messages=(), limits=Limits())


def list_facts(*events: AnyEvent, now: float | None = None) -> list[tuple[str, float, str]]:
    return [(one.kind, one.seconds, one.error) for one in read_facts([create(), *events], now=now)]


def test_a_run_that_ends_well_says_when_it_began_and_how_long_it_took() -> None:
    facts = list_facts(RunStarted(run=RUN, seq=2, time=101), RunCompleted(run=RUN, seq=3, time=105, output="x"))
    assert facts == [("start", 1, ""), ("outcome", 5, ""), ("duration", 5, "")]


def test_the_time_that_people_take_does_not_count() -> None:
    """Nor that of a timer; that of a process that was lost does."""
    began = RunStarted(run=RUN, seq=2, time=101)
    for reason, seconds in (("approval", 6), ("input", 6), ("timer", 6), ("interrupted", 60)):
        facts = list_facts(
            began,
            RunWaiting(run=RUN, seq=3, time=103, reason=reason),  # type: ignore[arg-type]
            RunResumed(run=RUN, seq=4, time=157),
            RunCompleted(run=RUN, seq=5, time=160, output="x"),
        )
        assert facts[-1] == ("duration", seconds, ""), reason


def test_a_run_that_waits_and_is_ended_rested_until_then() -> None:
    facts = list_facts(
        RunStarted(run=RUN, seq=2, time=101),
        RunWaiting(run=RUN, seq=3, time=103, reason="approval"),
        RunFailed(run=RUN, seq=4, time=900, code="deadline_exceeded", message=""),
    )
    assert facts[1:] == [("outcome", 3, "deadline_exceeded"), ("duration", 3, "deadline_exceeded")]


def test_whoever_stops_a_run_is_served() -> None:
    assert list_facts(RunCancelled(run=RUN, seq=2, time=101)) == []


def test_a_run_that_never_began_is_late() -> None:
    """Once it has ended, and, when somebody looks, while it still waits."""
    failed = RunFailed(run=RUN, seq=2, time=160, code="unavailable", message="")
    assert list_facts(failed)[0] == ("start", 60, "unavailable")
    assert list_facts(now=170.0) == [("start", 70, "waiting")]
    early, late = Fact("start", "net", 5, "waiting"), Fact("start", "net", 70, "waiting")
    assert judge(OBJECTIVES.objective, early) == []
    assert judge(OBJECTIVES.objective, late) == [("activation", False)]


def test_votes_are_timed() -> None:
    facts = list_facts(
        VoteOpened(run=RUN, seq=2, time=110, key="1/vote", question="?", options=(), roll=(), rule="", quorum=1),
        VoteClosed(run=RUN, seq=3, time=150, key="1/vote", winner=None, turnout=1),
        VoteClosed(run=RUN, seq=4, time=151, key="another", winner=None, turnout=1),
    )
    assert facts == [("vote", 40, "")]
    assert judge(OBJECTIVES.objective, Fact("vote", "net", 40)) == [("consensus", False)]
    assert judge(OBJECTIVES.objective, Fact("vote", "net", 30)) == [("consensus", True)]


def test_what_callers_did_wrong_is_no_fault_of_ours() -> None:
    """The codes that break no promise are codes that there are."""
    known = {one.code for one in vars(errors).values() if isinstance(one, type) and hasattr(one, "code")}
    assert set(OBJECTIVES.objective["availability"].ignore) <= known
    for code, is_good in (("invalid_input", True), ("upstream_error", False), ("", True)):
        assert judge(OBJECTIVES.objective, Fact("outcome", "net", 1, code)) == [("availability", is_good)]


def test_budgets_say_what_is_left() -> None:
    """Of a thousand runs one may fail: with none all is left, with one nothing, with two less than nothing. part of row D14"""
    one = OBJECTIVES.objective["availability"]
    for bad, left, is_spent in ((0, 1.0, False), (1, 0.0, True), (2, -1.0, True)):
        budget = build_budget("availability", one, total=1000, bad=bad)
        assert (budget.left, budget.share, budget.is_spent) == (left, 1 - bad / 1000, is_spent)
    nothing = build_budget("availability", one, total=0, bad=0)
    assert (nothing.share, nothing.left, nothing.is_spent) == (None, 1.0, False)


def test_figures_are_kept_by_agent_within_bounds() -> None:
    """part of row D14"""
    score = Score(OBJECTIVES)
    score.add(Fact("duration", "net", seconds) for seconds in (0.1, 0.2, 0.3, 0.4, 10.0))
    score.add([Fact("duration", "net", 1.0, "tool_error")])
    score.add(Fact("duration", f"made-up-{number}", 1.0) for number in range(MAX_AGENTS + 10))
    figures = {one.agent: one for one in score.list_agents()}
    assert len(figures) == MAX_AGENTS + 1
    net = figures["net"]
    assert (net.runs, net.failed) == (6, 1)
    assert (net.p50_s, net.p99_s) == (pytest.approx(0.3, rel=0.02), pytest.approx(10, rel=0.02))
    [latency] = [one for one in score.list_budgets() if one.objective == "latency"]
    assert (latency.total, latency.bad) == (6 + MAX_AGENTS + 10, 1)


def test_quantiles_are_right_to_one_of_a_hundred() -> None:
    """Whatever the values; and they take no more room for more of them. part of row D14"""
    draw = random.Random(7)
    values = sorted(math.exp(draw.gauss(0, 2)) for _ in range(20_000))
    quantiles = Quantiles()
    for value in values:
        quantiles.add(value)
    for share in (0.5, 0.95, 0.99, 1.0):
        assert quantiles.find(share) == pytest.approx(values[math.ceil(share * len(values)) - 1], rel=0.011)
    for odd in (0.0, -1.0, math.inf, math.nan, 1e-30):
        quantiles.add(odd)
    assert quantiles.count == 20_005
    assert len(quantiles._buckets) < 1_500
    assert Quantiles().find(0.5) == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("window_days = 0", "window_days"),
        ("window_days = 30", "missing required field"),
        (
            'window_days = 30\nrunbooks = "x"\nburn = []\n[objective.a]\ntitle = ""\nof = "vote"\ntarget = 0.9',
            "within_s",
        ),
        (
            'window_days = 30\nrunbooks = "x"\nburn = []\n[objective.A-b]\ntitle = ""\nof = "vote"\ntarget = 0.9',
            "regex",
        ),
        (
            'window_days = 30\nrunbooks = "x"\nburn = []\n[objective.a]\ntitle = ""\nof = "outcome"\ntarget = 1',
            "target",
        ),
        ("window_days = [", "document"),
    ],
)
def test_a_file_that_does_not_hold_together_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(InvalidInput, match=r"own\.toml") as refused:
        load_objectives(str(tmp_path / "own.toml"))
    assert reason in str(refused.value)
