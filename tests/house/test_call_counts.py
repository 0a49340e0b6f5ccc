"""How many function calls does an agent cost, whatever the machine?

The work is that of `benchmarks/`: with an event log in memory, and checked before it is counted. It is counted in a
bare process of its own, as coverage, other plugins and other tests change what is called.
"""

import json
import os
import subprocess
import sys

import pytest
from benchmarks.script import Progress, Script
from benchmarks.work import WrongWork, check
from benchmarks.workloads import BY_NAME
from tests.house.source import ROOT


def count(side: str) -> dict[str, float]:
    """Count every workload of a side in a clean interpreter."""
    env = {name: os.environ[name] for name in ("HOME", "LANG", "PATH") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.worker", side, "count"],
        cwd=ROOT,
        env=env | {"PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    found = json.loads(done.stdout)
    assert not found["failed"], found["failed"]
    return found["values"]


@pytest.fixture(scope="module")
def counts() -> dict[str, float]:
    return count("quorate")


@pytest.mark.parametrize(
    "name", [one.name for one in BY_NAME.values() if one.kind == "count" and one.name != "history"]
)
def test_a_workload_keeps_its_budget(counts: dict[str, float], name: str) -> None:
    """Defining, running, a tool turn, a piece of a stream and a delegation cost what was promised at most."""
    workload = BY_NAME[name]
    assert workload.target is not None
    assert counts[name] <= workload.target, f"{workload.title}: {counts[name]} {workload.unit}"


@pytest.mark.parametrize("later", ["turn_40", "turn_100"])
def test_a_late_turn_costs_what_an_early_one_does(counts: dict[str, float], later: str) -> None:
    """A conversation that grows does not make the next turn dearer."""
    assert counts[later] == pytest.approx(counts["turn_2"], rel=0.02)


def test_a_long_history_costs_nothing_by_the_message(counts: dict[str, float]) -> None:
    """No function is called once for each of 5,000 messages."""
    assert counts["history"] == pytest.approx(0, abs=0.01)


def test_the_same_work_done_by_hand_costs_less() -> None:
    """The measure is measured: the hand-written loop is the floor, so nothing may lie below it."""
    floor = count("floor")
    assert floor["run"] <= 20
    assert floor["turn_2"] == floor["turn_100"] <= 40


@pytest.mark.parametrize(
    "progress",
    [Progress(model_calls=1, tool_calls=1), Progress(model_calls=2, tool_calls=0), Progress()],
)
def test_work_that_was_not_done_is_refused(progress: Progress) -> None:
    """The right answer alone does not count; the calls must have been made."""
    with pytest.raises(WrongWork, match="not"):
        check(Script(turns=1), progress, "done")


def test_work_that_was_done_is_accepted() -> None:
    """Two model calls, one tool call and the answer are the whole script."""
    check(Script(turns=1), Progress(model_calls=2, tool_calls=1), "done")
