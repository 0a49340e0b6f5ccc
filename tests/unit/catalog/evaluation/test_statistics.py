"""Are intervals and tests those of the books?"""

from __future__ import annotations

import math
import random
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.catalog.evaluation.compare import compare, weigh_mcnemar, weigh_signs
from quorate.catalog.evaluation.intervals import bound_mean, bound_rate, bound_repeated_rate
from quorate.catalog.evaluation.report import Configuration, Outcome, Record, build_report, summarize


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    [
        (8, 10, 0.4902, 0.9433),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (81, 263, 0.2553, 0.3662),
        (1, 1, 0.2065, 1),
    ],
)
def test_rates_have_wilsons_interval(successes: int, total: int, low: float, high: float) -> None:
    """As published: Newcombe (1998) gives 0.2553 to 0.3662 for 81 of 263."""
    found = bound_rate(successes, total)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_of_nothing_everything_is_possible() -> None:
    """No case says nothing."""
    found = bound_rate(0, 0)
    assert (found.low, found.high) == (0.0, 1.0)


@given(st.integers(0, 60), st.integers(1, 60))
def test_the_interval_holds_the_rate(successes: int, total: int) -> None:
    """For any counts."""
    rate = min(successes, total) / total
    found = bound_rate(rate * total, total)
    assert found.low <= rate <= found.high
    assert 0 <= found.low <= found.high <= 1


def test_repeats_of_the_same_case_are_not_new_cases() -> None:
    """Ten cases that always do the same count as ten, however often they are repeated; unlike ones count for more."""
    alike = bound_repeated_rate([1.0] * 8 + [0.0] * 2, 20)
    once = bound_rate(8, 10)
    assert (alike.low, alike.high) == (pytest.approx(once.low), pytest.approx(once.high))
    unlike = bound_repeated_rate([0.8] * 9 + [0.75], 20)
    assert unlike.high - unlike.low < alike.high - alike.low
    sure = bound_repeated_rate([1.0] * 10, 20)
    assert sure.low == pytest.approx(bound_rate(10, 10).low)


def test_a_mean_has_the_accelerated_bootstrap() -> None:
    """Skewed data move it to the side of the tail; it covers as often as it says, and the same seed gives the same."""
    values = [0.05, 0.1, 0.1, 0.15, 0.2, 0.2, 0.3, 0.9, 1.0, 0.1]
    found = bound_mean(values, seed=3)
    assert found is not None
    assert found == bound_mean(values, seed=3)
    assert found.high - fmean(values) > fmean(values) - found.low
    assert bound_mean([0.5]) is None
    draw = random.Random(5)
    trials = [bound_mean([draw.gauss(0.5, 0.1) for _ in range(20)], seed=number) for number in range(20)]
    assert sum(one is not None and 0.5 in one for one in trials) >= 16


def test_mcnemars_test_is_the_mid_p_one() -> None:
    """1 against 7 of 8 that differ: 10/256, where the exact test gives 18/256."""
    assert weigh_mcnemar(1, 7) == pytest.approx(10 / 256)
    assert weigh_mcnemar(7, 1) == pytest.approx(10 / 256)
    assert weigh_mcnemar(0, 0) == 1.0
    assert weigh_mcnemar(4, 4) == 1.0
    assert weigh_mcnemar(0, 5) == pytest.approx(1 / 32)


def test_random_signs_are_tried_all_where_there_are_few() -> None:
    """Four steps up: 2 of 16 ways are as far from none."""
    assert weigh_signs([0.2, 0.2, 0.2, 0.2]) == pytest.approx(2 / 16)
    assert weigh_signs([0.5, -0.5]) == 1.0
    assert weigh_signs([0.0, 0.0]) == 1.0
    assert weigh_signs([0.1] * 30, seed=1) < 0.001
    assert weigh_signs([0.1, -0.1] * 15, seed=1) > 0.9


def build_records(passed: str, *, case: str = "c", repeats: int = 1, cost: float | None = 0.0) -> list[Record]:
    kinds: dict[str, Outcome] = {"1": "passed", "0": "failed", "e": "error", "s": "skipped"}
    return [
        Record(
            case=f"{case}{place // repeats}",
            digest="d",
            repeat=place % repeats + 1,
            outcome=kinds[one],
            score=float(one == "1"),
            seconds=1.0 + place,
            cost_usd=cost,
        )
        for place, one in enumerate(passed)
    ]


def test_a_better_configuration_is_told_from_chance() -> None:
    """Eight cases gained of thirty are no chance; one gained of three may be."""
    found = compare(build_records("0" * 8 + "1" * 22), build_records("1" * 30))
    assert (found.verdict, len(found.gained), found.lost) == ("better", 8, ())
    assert found.rate.mean == pytest.approx(8 / 30)
    assert found.rate.interval is not None
    assert found.rate.interval.low > 0
    few = compare(build_records("011"), build_records("111"))
    assert (few.verdict, few.p_value) == ("no difference shown", 0.5)
    worse = compare(build_records("1" * 30), build_records("0" * 8 + "1" * 22))
    assert worse.verdict == "worse"


def test_only_the_same_cases_are_compared() -> None:
    """What one of them lacks, what asks something else, and what was skipped, is named and left out."""
    before = [*build_records("11"), Record(case="old", digest="d", repeat=1, outcome="passed")]
    now = [
        *build_records("1"),
        Record(case="c1", digest="d", question="other", repeat=1, outcome="failed"),
        Record(case="new", digest="d", repeat=1, outcome="skipped"),
    ]
    found = compare(before, now)
    assert (found.cases, found.changed, found.only_before, found.only_now) == (1, ("c1",), ("old",), ())


def test_repeats_are_compared_by_their_share() -> None:
    """Cases that pass more often than before count by how much."""
    found = compare(build_records("1010" * 10, repeats=2), build_records("11" * 20, repeats=2))
    assert found.test == "random signs"
    assert found.rate_before == 0.5
    assert found.verdict == "better"


def test_costs_that_are_not_known_are_not_compared() -> None:
    """An unknown price is no price of nothing."""
    assert compare(build_records("11", cost=None), build_records("11")).cost_usd is None
    assert summarize(build_records("11", cost=None)).cost_usd is None
    assert summarize(build_records("11", cost=0.5)).cost_usd == 1.0


def test_figures_count_what_could_not_be_run_as_not_passed() -> None:
    """And leave out what was skipped."""
    found = summarize(build_records("110e1s"))
    assert (found.cases, found.runs, found.passed, found.failed, found.errors, found.skipped) == (5, 5, 3, 1, 1, 1)
    assert found.rate == pytest.approx(0.6)
    assert (found.seconds_p50, found.seconds_p95) == (3.0, 5.0)
    nothing = summarize([])
    assert (nothing.rate, nothing.rate_interval.high) == (0.0, 1.0)


def test_a_report_is_the_same_in_whatever_order_records_come() -> None:
    """So that concurrency makes no difference."""
    records = build_records("10110", repeats=5) + build_records("11111", case="d", repeats=5)
    one = build_report("eval-1", records, planned=10, configuration=Configuration(repeats=5))
    other = build_report("eval-1", records[::-1], planned=10, configuration=Configuration(repeats=5))
    assert one == other
    assert one.figures.always == 0.5
    assert not one.is_partial
    assert math.isclose(one.figures.rate, 0.8)
