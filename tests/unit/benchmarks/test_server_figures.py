"""Does the benchmark of the server show its figures and what is promised of them, and does its load measure anything?"""

import asyncio
import json
import os
from dataclasses import replace

import pytest
from benchmarks.gateway_server import Connection
from benchmarks.record_peers import read_pins
from benchmarks.server import BODY, build_order
from benchmarks.server_figures import BEGIN, END, FIGURES, TARGETS, Results, is_missed, judge, render_page
from benchmarks.server_load import WrongAnswer, find_share, load
from benchmarks.server_reads import fill, list_paths, name_run
from benchmarks.server_sides import PINS, SIDES, Running

from quorate.events import RunCompleted, RunCreated
from quorate.state.backends.memory import open_memory_store


def build_results(**figures: float) -> Results:
    return Results({"machine": "a test"}, {"quorate": {name: [value] for name, value in figures.items()}})


def test_everything_that_is_promised_of_the_server_is_measured() -> None:
    """And every proxy has its pin."""
    assert {*TARGETS} == {*FIGURES}
    assert {*read_pins(PINS)} <= {*SIDES}


def test_a_promise_is_missed_on_its_wrong_side_only() -> None:
    """Rates are to be high, all else low."""
    assert is_missed("rate", 2_999)
    assert not is_missed("rate", 3_000)
    assert is_missed("cpu_ms", 0.36)
    assert not is_missed("cpu_ms", 0.35)


def test_what_was_missed_failed_or_lost_is_named() -> None:
    """Beside another proxy, and for reads, too."""
    results = build_results(cpu_ms=0.5, rate=4_000)
    results.add("litellm", "cpu_ms", 10.0)
    results.add_read("SQLite", "/v1/runs", "p50", 21.0)
    results.add_read("SQLite", "/v1/runs", "p95", 99.0)
    results.failed["relay"] = "no output"
    assert [line.split(":")[0] for line in judge(results)] == [
        "FAILED relay",
        "MISSED cpu_ms",
        "MISSED cpu_ms beside LiteLLM",
        "MISSED p50 of GET /v1/runs on SQLite",
    ]
    assert judge(build_results(cpu_ms=0.3)) == ["Of what was measured, every target was met."]


def test_the_page_has_a_row_for_each_side_and_each_read() -> None:
    """Between the marks at which it is put into the documentation."""
    results = build_results(**dict.fromkeys(FIGURES, 1.0))
    results.add_read("SQLite", "/v1/runs", "p50", 2.0)
    results.add_read("SQLite", "/v1/runs", "p95", 3.0)
    lines = render_page(results).splitlines()
    assert (lines[0], lines[-1]) == (BEGIN, END)
    assert f"| {SIDES['quorate']} |{' 1 |' * len(FIGURES)}" in lines
    assert "| `GET /v1/runs` | 2, 3 |" in lines


def test_shares_of_times_are_those_of_the_sorted_list() -> None:
    """The largest is in it, too."""
    assert [find_share([1.0, 2.0, 3.0, 4.0], share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 3.0, 4.0, 4.0]
    assert find_share([], 0.5) == 0.0


async def test_a_load_counts_answers_and_pieces_and_refuses_what_is_none() -> None:
    """At a rate of its own or as fast as it is answered; a wrong answer ends it."""
    listening = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0)
    port = int(listening.sockets[0].getsockname()[1])
    running = Running(port=port, pid=os.getpid(), path="/v1/chat/completions")
    try:
        order = build_order(running, seconds=0.2)
        short = replace(order, connections=2, warm_s=0.05)
        found = await load(short)
        assert found.requests > 0
        assert found.p50_ms <= found.p95_ms <= found.p99_ms
        paced = await load(replace(short, rate=50.0))
        assert paced.requests > 0
        stream = json.dumps({**BODY, "stream": True})
        streamed = await load(replace(short, body=stream, expected="word", pieces="word"))
        assert streamed.pieces > 0
        with pytest.raises(WrongAnswer):
            await load(replace(short, expected="nobody says this"))
    finally:
        listening.close()


async def test_what_is_read_is_stored() -> None:
    """Reads of what is not there would be quick."""
    async with open_memory_store() as store:
        await fill(store, 20)
        events = await store.log.read(name_run(10))
    assert [type(event) for event in events] == [RunCreated, RunCompleted]
    assert any(name_run(10) in path for path in list_paths(20))
