"""Does the benchmark of the bus show its figures, what is promised of them, and what was missed?"""

from benchmarks.bus_figures import (
    BEGIN,
    BY_NAME,
    END,
    FIGURES,
    Results,
    Took,
    is_missed,
    judge,
    render_page,
    show_promise,
)


def build_results(**values: dict[str, list[float]]) -> Results:
    return Results({"machine": "a test"}, values)


def test_everything_that_is_promised_of_the_bus_is_measured() -> None:
    """By ratio to the bare client where there is one, by itself where there is none."""
    promised = {figure.name: show_promise(figure) for figure in FIGURES if show_promise(figure)}
    assert promised == {
        "local": "≥ 200,000",
        "tell_256": "≥ 0.6 × bare",
        "tell_4k": "≥ 0.75 × bare",
        "ask_p50": "≤ 1.3 × bare",
        "enqueue": "≥ 0.8 × bare",
        "work": "≥ 0.8 × bare",
        "codec_json": "≤ 1.3 × bare",
        "codec_msgpack": "≤ 1.3 × bare",
        "sealed_json_p95": "≤ 1",
        "sealed_msgpack_p95": "≤ 1",
        "sealed_protobuf_p95": "≤ 1",
        "mail_p95": "≤ 10",
        "mail_rate": "≥ 200",
    }
    assert len(BY_NAME) == len(FIGURES)


def test_a_promise_is_missed_on_its_wrong_side_only() -> None:
    """Rates are to be high, times low."""
    assert is_missed(BY_NAME["local"], 199_999, 200_000)
    assert not is_missed(BY_NAME["local"], 200_001, 200_000)
    assert is_missed(BY_NAME["mail_p95"], 10.1, 10)


def test_ratios_are_those_of_the_same_round() -> None:
    """A busy round harms both sides alike."""
    kept = build_results(tell_256={"ours": [60.0, 6.0, 70.0], "bare": [100.0, 10.0, 100.0]})
    assert judge(kept) == ["Of what was measured, every promise was kept."]
    missed = build_results(tell_256={"ours": [50.0], "bare": [100.0]}, mail_rate={"ours": [199.0]})
    assert [line.split(":")[0] for line in judge(missed)] == [
        "MISSED publish to receive, 256 B (tell_256)",
        "MISSED messages between agents in 16 conversations, until recorded (mail_rate)",
    ]


def test_the_page_has_a_row_for_each_figure_with_its_cpu() -> None:
    """Between the marks at which it is put into the documentation."""
    results = build_results()
    results.add("ask_p50", Took(100.0, 50.0))
    results.add("ask_p50", Took(200.0, 90.0), side="bare")
    lines = render_page(results).splitlines()
    assert (lines[0], lines[-1]) == (BEGIN, END)
    title = "request, one at a time, 256 B, p50"
    assert f"| {title} | µs | ≤ 1.3 × bare | 100 | 200 | 0.5 | 50 | 90 |" in lines
