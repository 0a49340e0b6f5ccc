"""Does the benchmark of workflows measure real work, and say what was missed or lost?"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from benchmarks.record_peers import read_pins
from benchmarks.report import Results
from benchmarks.workflow_figures import (
    BEGIN,
    BY_NAME,
    CLEAR,
    END,
    FIGURES,
    OURS,
    WORKS,
    judge,
    render_page,
    render_text,
)
from benchmarks.workflow_graphs import Side, WrongWork, build_chain, build_twenty, build_wide
from benchmarks.workflow_sides import quorate
from benchmarks.workflow_work import build_measures, prepare

OTHERS = Path(quorate.__file__).parents[1] / "workflow_peers.txt"
SIDE = cast("Side", quorate)


def build_results(**sides: dict[str, list[float]]) -> Results:
    return Results({"machine": "a test"}, dict.fromkeys(sides, "1"), sides)


def test_what_is_promised_of_workflows_is_measured() -> None:
    """Every promise has its figure, and every rival its pins."""
    assert len(BY_NAME) == len(FIGURES)
    assert {figure.name: figure.target for figure in FIGURES if figure.name.endswith("_calls")} == dict.fromkeys(
        ("chain_calls", "long_calls", "wide_calls", "agents_calls", "stage_calls", "handoff_calls"), 300
    )
    assert (BY_NAME["durable_step_ms"].target, BY_NAME["graph_ms"].times) == (2, 5)
    assert {figure.rival for figure in FIGURES} - {""} <= {*read_pins(OTHERS)}
    assert {*build_measures("count"), *build_measures("time")} == {*WORKS}


@pytest.mark.parametrize(
    ("graph", "count"), [(build_chain(4), 4), (build_wide(5), 5), (build_twenty(), 20)], ids=["chain", "wide", "twenty"]
)
async def test_our_side_makes_every_node_once(graph: Any, count: int, tmp_path: Path) -> None:
    """In memory and durably."""
    for place in ("", str(tmp_path)):
        async with SIDE.open_graph(graph, place) as go:
            await prepare(graph, go)
        assert len(graph.made) == count


async def test_our_side_asks_every_agent_once_and_maps_every_item() -> None:
    for opened in (quorate.open_agents, quorate.open_pipeline, quorate.open_handoff, quorate.open_map):
        async with opened(3) as go:
            assert [await go(), await go()] == [3, 3]


def test_work_that_was_not_done_is_refused() -> None:
    graph = build_chain(2)
    with pytest.raises(WrongWork, match="not at all"):
        graph.check(0)
    graph.make("n1", 0)
    graph.make("n0", 0)
    with pytest.raises(WrongWork, match="too early"):
        graph.check(2)
    graph.begin()
    assert graph.make("n1", graph.make("n0", 0)) == 2
    graph.check(2)
    with pytest.raises(WrongWork, match="gave 3"):
        graph.check(3)


def test_what_is_missed_or_lost_is_named() -> None:
    """Ratios are those of the same round, so that a busy one harms both sides alike."""
    kept = build_results(quorate={"graph_ms": [10.0, 100.0]}, langgraph={"graph_ms": [51.0, 510.0]})
    assert judge(kept) == [CLEAR]
    missed = build_results(
        quorate={"graph_ms": [10.0], "chain_calls": [301.0]}, langgraph={"graph_ms": [40.0], "chain_calls": [300.0]}
    )
    missed.failed = {"agno": {"durable": "no"}}
    assert [line.partition(":")[0] for line in judge(missed)] == [
        "FAILED agno durable",
        "MISSED a tool step in a chain of 10 to 30 (chain_calls)",
        "LOST to langgraph",
        "MISSED the durable graph of 20 nodes, three wide (graph_ms)",
    ]


def test_the_page_has_a_row_for_each_figure() -> None:
    results = build_results(quorate={"chain_us": [50.0, 70.0, 60.0]}, agno={"chain_us": [80.0]})
    lines = render_page(results).splitlines()
    assert (lines[0], lines[-1]) == (BEGIN, END)
    assert "| … its time, µs |  | 60 (50–70) | 80 |" in lines
    assert OURS in render_text(results)
