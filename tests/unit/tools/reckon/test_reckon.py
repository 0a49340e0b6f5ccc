"""Numbers, times, versions, patterns and texts are reckoned, within bounds. Part of row B1."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.clock import SYSTEM_CLOCK
from quorate.errors import ToolError
from quorate.tools.builtin.reckon import reckon_tools
from quorate.tools.builtin.reckon.arithmetic import calculate
from quorate.tools.builtin.reckon.numbers import summarize_numbers
from quorate.tools.builtin.reckon.patterns import check_regex
from quorate.tools.builtin.reckon.times import count_days, find_next_runs, read_time
from quorate.tools.builtin.reckon.versions import compare_versions
from quorate.tools.workspace import Workspace


@pytest.mark.parametrize(
    ("expression", "text", "is_exact"),
    [
        ("0.1 + 0.2", "3/10", True),
        ("(1499 * 1.21) / 12", "181379/1200", True),
        ("2^10", "1024", True),
        ("7 // 2 + -7 % 3", "5", True),
        ("max(1, 2.5, abs(-3))", "3", True),
        ("round(7/2) + floor(2.9) - ceil(0.1)", "5", True),
        ("sqrt(2)", "1.4142135623730951", False),
        ("2 * pi", "6.283185307179586", False),
    ],
)
def test_expressions_are_exact_as_long_as_they_can_be(expression: str, text: str, *, is_exact: bool) -> None:
    found = calculate(expression)
    assert (found.text, found.is_exact) == (text, is_exact)


@pytest.mark.parametrize(
    "expression",
    [
        *("__import__('os').system('x')", "().__class__", "a", "[1]", "1 if 1 else 2", "lambda: 1", "'a' * 3", "True"),
        *(
            "9**9**9**9",
            "10**5000",
            "1/0",
            "1e999",
            "(-8)**0.5",
            "sqrt(1, 2)",
            "f(1)",
            "1 < 2",
            "1 +",
            "(" * 300,
            "1" * 501,
        ),
        *("min()", "log10(0)", "exp(10000)", "1 << 4", "~1", "min(x=1)"),
    ],
)
def test_what_is_no_arithmetic_is_refused(expression: str) -> None:
    with pytest.raises(ToolError):
        calculate(expression)


def test_numbers_are_summed_up() -> None:
    found = summarize_numbers([10, 11, None, 12, 13, 14, 15, 400.0])
    assert (found.count, found.missing, found.median, found.min, found.max) == (7, 1, 13, 10, 400)
    assert [(one.position, one.value) for one in found.outliers] == [(7, 400.0)]
    assert summarize_numbers([1, 2, 3, 4]).trend.direction == "rising"
    assert summarize_numbers([4, 3, 2, 1]).trend.slope == -1
    assert summarize_numbers([5]).stdev == 0
    with pytest.raises(ToolError):
        summarize_numbers([None, math.nan])


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True) | st.none(), max_size=40))
def test_any_numbers_are_summed_up_or_refused(numbers: list[float | None]) -> None:
    try:
        found = summarize_numbers(numbers)
    except ToolError:
        return
    assert found.min <= found.p5 <= found.median <= found.p95 <= found.max
    assert found.count + found.missing == len(numbers)


def test_versions_are_put_in_order() -> None:
    given_versions = ["1.10.0", "v1.2.0", "1.10.0-rc.1", "1.10.0-rc.10", "1.10.0-alpha", "2.0.0", "latest", "1.2.1"]
    found = compare_versions(given_versions, "^1.2")
    assert found.ordered == ("v1.2.0", "1.2.1", "1.10.0-alpha", "1.10.0-rc.1", "1.10.0-rc.10", "1.10.0", "2.0.0")
    assert (found.latest, found.latest_stable, found.invalid) == ("2.0.0", "2.0.0", ("latest",))
    assert found.matching == found.ordered[:-1]
    assert [(gap.older, gap.newer, gap.kind) for gap in found.gaps] == [("1.2.1", "1.10.0", "minor")]
    for constraint, fitting in (
        (">=1.2,<1.10", ("v1.2.0", "1.2.1")),
        ("~1.2.0", ("v1.2.0", "1.2.1")),
        ("~=1.2", found.ordered[:-1]),
        ("!=2.0.0 >1.2.1", found.ordered[2:-1]),
        ("=2.0.0", ("2.0.0",)),
        ("*", found.ordered),
    ):
        assert tuple(one for one in compare_versions(given_versions, constraint).matching if "-" not in one) == tuple(
            one for one in fitting if "-" not in one
        ), constraint
    with pytest.raises(ToolError, match="no constraint"):
        compare_versions(["1"], "about 3")


def test_days_are_counted() -> None:
    found = count_days("2024-01-31", "2024-03-01")
    assert (found.days, found.weekdays, found.weeks, found.months) == (30, 22, 4, 1)
    assert (found.weekday_of_start, found.is_leap) == ("Wednesday", True)
    assert count_days("2024-03-01", "2024-01-31").days == -30
    with pytest.raises(ToolError, match="no date"):
        count_days("31/01/2024", "2024-03-01")


def test_a_schedule_fires_by_the_clock_on_the_wall(tmp_path: Path) -> None:
    pytest.importorskip("cronsim")
    tools: dict[str, Any] = {one.name: one for one in reckon_tools(Workspace(tmp_path), clock=SYSTEM_CLOCK)}
    assert tools["next_runs"]("@hourly", count=2).shortest_gap_s == 3600
    found = find_next_runs("30 2 * * *", timezone="Europe/Amsterdam", count=3, start=read_time("2026-10-24T12:00:00Z"))
    assert found.runs[0] == "2026-10-25T02:30:00+02:00"
    assert found.longest_gap_s == 25 * 3600
    assert find_next_runs("@daily", timezone="UTC", count=1, start=read_time("2026-01-01")).schedule == "0 0 * * *"
    for schedule, zone in (
        ("61 * * * *", "UTC"),
        ("* * *", "UTC"),
        ("* * * * *", "../etc/passwd"),
        ("* * * * *", "No/Where"),
    ):
        with pytest.raises(ToolError):
            find_next_runs(schedule, timezone=zone, count=1, start=read_time("2026-01-01"))


@pytest.mark.parametrize(
    ("pattern", "risks"),
    [
        (r"(a+)+$", {"exponential"}),
        (r"(\w+\s?)*x", {"exponential"}),
        (r"(?:a|ab)*c", {"exponential"}),
        (r"(x+x+)+y", {"exponential", "polynomial"}),
        (r".*.*x", {"polynomial"}),
        (r"\d+\w*!", {"polynomial"}),
        (r"^(\d{3})-(\d+)$", set()),
        (r"([a-z]+,)*", set()),
        (r"(?P<y>\d{4})-\d\d[]x]?(?=a)(?!b)\b", set()),
        (r"(?:(?:a{2,5}b)+c)?", set()),
        (r"[^\]]+\]\x41A", set()),
    ],
)
def test_patterns_that_backtrack_are_told(pattern: str, risks: set[str]) -> None:
    found = check_regex(pattern)
    assert found.is_valid
    assert {one.risk for one in found.risks} == risks
    assert found.can_blow_up is bool(risks)


def test_samples_are_tried_in_linear_time_and_faults_are_told() -> None:
    found = check_regex(r"(a+)+$", ["a" * 2000 + "b", "aaa"])
    assert [one.is_match for one in found.matches] == [False, True]
    assert "look-around" in check_regex(r"(?=a)", ["a"]).note
    assert not check_regex("(").is_valid
    assert check_regex("(" * 60 + "a" + ")" * 60).note


@given(st.text(alphabet="ab()[]{}|*+?.^$\\1,-d:=<!P>", max_size=30))
def test_any_pattern_is_read(pattern: str) -> None:
    assert check_regex(pattern).pattern == pattern


def test_a_text_is_measured(tmp_path: Path) -> None:
    tools: dict[str, Any] = {one.name: one for one in reckon_tools(Workspace(tmp_path), clock=SYSTEM_CLOCK)}
    line = "This line is long enough to be told when it is repeated."
    (tmp_path / "a.txt").write_text(f"One two two. Three!\n\n{line}\n{line}\n")
    found = tools["measure_text"]("a.txt")
    assert (found.words, found.sentences, found.paragraphs, found.doubled_words) == (28, 4, 2, 1)
    assert found.repeated_lines == (line,)
    assert found.longest_sentence_words == 12
    (tmp_path / "dots.txt").write_text("." * 100_000)
    assert tools["measure_text"]("dots.txt").sentences == 0
    with pytest.raises(ToolError):
        tools["measure_text"]("../x")
    assert tools["calculate"]("1+1").value == 2
