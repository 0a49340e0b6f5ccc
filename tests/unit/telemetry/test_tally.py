"""Does what is counted add up, within bounds, and is it spelled as Prometheus wants it?"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from quorate.telemetry.names import Names, load_names
from quorate.telemetry.tally import MAX_SERIES, OVERFLOW, Bars, Tally

NAMES = load_names()


def read(tally: Tally, metric: str) -> dict[tuple[tuple[str, object], ...], object]:
    rule = NAMES.metric[metric]
    return {point.labels: point.value for one in tally.read() if one.rule == rule for point in one.points}


def test_values_fall_into_buckets() -> None:
    """A value on a border is below it, as Prometheus has it."""
    tally, bounds = Tally(NAMES, now=lambda: 5.0), NAMES.metric["tool_duration"].buckets
    for value in (0.0, bounds[0], bounds[0] * 1.5, bounds[-1] + 1):
        tally.add("tool_duration", value, {"tool": "probe"})
    [bars] = read(tally, "tool_duration").values()
    assert isinstance(bars, Bars)
    assert (bars.counts[0], bars.counts[1], bars.counts[-1], bars.count) == (2, 1, 1, 4)
    assert (bars.least, bars.most, bars.sum) == (0.0, bounds[-1] + 1, pytest.approx(2.5 * bounds[0] + bounds[-1] + 1))
    assert tally.began == 5.0


def test_the_order_of_labels_is_no_matter() -> None:
    tally = Tally(NAMES)
    tally.add("cost", 1.5, {"a": "x", "b": "y"})
    tally.add("cost", 1.5, {"b": "y", "a": "x"})
    assert read(tally, "cost") == {(("a", "x"), ("b", "y")): 3.0}


@pytest.mark.parametrize("metric", ["runs", "run_duration"])
def test_too_many_series_are_one(metric: str) -> None:
    """Whoever makes up names costs bounded memory, and nothing is lost from the sum. part of row A9"""
    tally = Tally(NAMES)
    for number in range(MAX_SERIES + 50):
        tally.add(metric, 1, {"agent": f"a{number}"})
    tally.add(metric, 1, {"agent": "a0"})
    found = read(tally, metric)
    assert len(found) == MAX_SERIES + 1
    assert sum(one.count if isinstance(one, Bars) else one for one in found.values()) == MAX_SERIES + 51  # type: ignore[misc]
    over = found[OVERFLOW]
    assert (over.count if isinstance(over, Bars) else over) == 50


def test_threads_count_side_by_side() -> None:
    tally = Tally(NAMES)

    def count(_: int) -> None:
        for _ in range(2_000):
            tally.add("runs", 1, {"agent": "net"})
            tally.add("run_duration", 0.1, {"agent": "net"})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(4)))
    [runs], [bars] = read(tally, "runs").values(), read(tally, "run_duration").values()
    assert runs == 8_000
    assert isinstance(bars, Bars)
    assert bars.count == 8_000


def test_what_stands_somewhere_is_looked_at() -> None:
    """From several places under one name it is added up; what is not there any more is not looked at."""
    tally, lags = Tally(NAMES), [1, 2]
    end = tally.look("streams", lambda: [(lags[0], {}), (3, {"route": "x"})])
    tally.look("streams", lambda: [(lags[1], {})])
    assert read(tally, "streams") == {(): 3, (("route", "x"),): 3}
    end()
    end()
    lags[1] = 7
    assert read(tally, "streams") == {(): 7}


def test_nothing_is_shown_of_what_nobody_counted() -> None:
    assert Tally(NAMES).read() == []


def test_names_are_whole() -> None:
    """Each metric has buckets if it needs them, in order; names and units are as Prometheus and OTLP allow."""
    names: Names = NAMES
    for rule in names.metric.values():
        assert (rule.kind == "histogram") == bool(rule.buckets)
        assert list(rule.buckets) == sorted(set(rule.buckets))
        assert rule.name.replace(".", "").replace("_", "").isalnum()
    assert len({rule.name for rule in names.metric.values()}) == len(names.metric)
    assert len(set(names.attribute.values())) == len(names.attribute)
