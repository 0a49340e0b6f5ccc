"""Does the benchmark of the record show its figures, its targets, and what was missed or lost?"""

from benchmarks.record_figures import BY_NAME, FIGURES, WORKS, is_missed
from benchmarks.record_peers import read_pins
from benchmarks.record_report import BEGIN, CLEAR, END, Record, render_page, render_text, render_verdict, show_target


def build_record(**values: dict[str, list[float]]) -> Record:
    return Record({"machine": "a test"}, values)


def test_no_figure_has_two_works() -> None:
    """Names are what results are kept under."""
    names = [figure.name for work in WORKS for figure in work.figures]
    assert len(names) == len(set(names)) == len(FIGURES)


def test_every_rival_is_compared_with_a_figure_of_ours() -> None:
    """A comparison that names nothing would never be lost."""
    assert {figure.rival for figure in FIGURES.values()} - {""} <= {*FIGURES}


def test_every_engine_has_its_pins() -> None:
    """What has no pin cannot be installed."""
    assert {work.peer for work in WORKS} - {""} == {*read_pins()}


def test_a_target_is_missed_on_its_wrong_side_only() -> None:
    """Rates are to be high, times low; where nothing is promised, nothing is missed."""
    assert is_missed(FIGURES["runs"], "sqlite", 1199.0)
    assert not is_missed(FIGURES["runs"], "postgres", 1000.0)
    assert is_missed(FIGURES["state_read"], "postgres", 1.1)
    assert not is_missed(FIGURES["turn_1_above"], "postgres", 100.0)


def test_a_page_shows_median_spread_target_and_sums() -> None:
    """What is published has all that was measured."""
    record = build_record(runs={"sqlite": [1300.0, 1250.0, 1400.0]}, branches_right={"sqlite": [40.0] * 5})
    page = render_page(record)
    assert page.startswith(BEGIN)
    assert page.endswith(END)
    assert (
        "| Quorate: an agent's 5 model and 5 tool calls, runs/s | sqlite ≥ 1,200, postgres ≥ 1,000 "
        "| 1,300 (1,250–1,400) |  |" in page
    )
    assert "| Quorate: right, runs |  | 200 |  |" in page
    assert CLEAR in page
    assert "1,300 (1,250–1,400)" in render_text(record)


def test_losses_and_misses_are_named() -> None:
    """Another engine that is better is said to be, and a failure is not left out."""
    record = build_record(runs={"sqlite": [90.0]}, langgraph={"sqlite": [109.0]}, state_read={"postgres": [2.0]})
    record.failed["queue sqlite"] = "no end within 600 s"
    assert render_verdict(record) == [
        "FAILED queue sqlite: no end within 600 s",
        "MISSED on sqlite: Quorate: an agent's 5 model and 5 tool calls (runs): 90 runs/s, target 1,200",
        "LOST on sqlite to LangGraph functional API (langgraph): 90 against 109 runs/s",
        "MISSED on postgres: read a state value, p95 (state_read): 2 ms, target 1",
    ]


def test_a_target_that_both_share_is_said_once() -> None:
    """Different ones name their databases."""
    assert show_target(FIGURES["state_write"]) == "≤ 5"
    assert show_target(FIGURES["turn_50_above"]) == "sqlite ≤ 0.3"
    assert show_target(FIGURES["plain"]) == ""


def test_what_takes_minutes_is_left_out_of_a_usual_run() -> None:
    """Only the million events do."""
    assert [work.name for work in BY_NAME.values() if work.is_long] == ["flat"]
