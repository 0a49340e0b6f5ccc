"""Is what is odd found, and what is usual left alone?"""

from __future__ import annotations

import math
import random

import pytest

from quorate.errors import InvalidInput, MissingExtra, UnknownName
from quorate.learning import sharp
from quorate.learning.anomalies import find_anomalies, find_isolated, find_period


def draw(count: int, *, seed: int = 1, level: float = 100.0) -> list[float]:
    chance = random.Random(seed)
    return [chance.gauss(level, 5.0) for _ in range(count)]


def test_a_value_far_away_is_found_whatever_it_does_to_the_mean() -> None:
    """Three huge values among sixty do not hide each other."""
    values = draw(60)
    for at in (10, 30, 50):
        values[at] = 10_000.0
    report = find_anomalies(values, method="robust_z")
    assert [one.index for one in report.anomalies] == [10, 30, 50]
    assert report.anomalies[0].expected == pytest.approx(100, abs=5)


def test_the_usual_is_left_alone() -> None:
    """Twenty rows of two hundred ordinary values have hardly an anomaly."""
    found = [find_anomalies(draw(200, seed=seed)) for seed in range(20)]
    assert sum(len(one.anomalies) for one in found) <= 6


def test_a_small_shift_that_stays_is_found() -> None:
    """No value of it is odd by itself."""
    values = draw(150) + draw(50, seed=2, level=112.0)
    report = find_anomalies(values, method="ewma")
    assert any(150 <= one.index <= 162 for one in report.anomalies)
    assert find_anomalies(draw(200), method="ewma").anomalies == ()


def test_what_is_odd_for_its_hour_is_found() -> None:
    """A quiet noon is no odd value, but odd at noon; the length of the day is found by itself."""
    chance = random.Random(4)
    values = [100 + 80 * math.sin(2 * math.pi * at / 24) + chance.gauss(0, 3) for at in range(24 * 10)]
    values[24 * 6 + 6] = 30.0
    assert find_period(values) == 24
    report = find_anomalies(values)
    assert (report.method, report.period) == ("seasonal+ewma", 24)
    assert max(report.anomalies, key=lambda one: one.score).index == 24 * 6 + 6
    assert len(report.anomalies) <= 2
    assert find_anomalies(values, method="robust_z").anomalies == ()


def test_values_that_are_nearly_all_the_same_are_no_trap() -> None:
    """The median deviation is 0 then; a step away is still told, and nothing is divided by 0."""
    values = [5.0] * 50
    assert find_anomalies(values).anomalies == ()
    values[20] = 9.0
    assert [one.index for one in find_anomalies(values, method="robust_z").anomalies] == [20]


@pytest.mark.parametrize(
    ("values", "options", "said"),
    [
        ([1.0] * 5, {}, "There are 5 values"),
        ([1.0] * 20 + [math.nan], {}, "Value 20 is nan"),
        ([1.0] * 20, {"period": 11}, "The period is 11"),
        ([1.0] * 20, {"threshold": 0}, "The threshold is 0"),
        (draw(40), {"method": "seasonal"}, "no cycle"),
    ],
)
def test_what_cannot_be_reckoned_with_is_refused(values: list[float], options: dict[str, float], said: str) -> None:
    """In words."""
    with pytest.raises(InvalidInput, match=said):
        find_anomalies(values, **options)  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="Did you mean `robust_z`"):
        find_anomalies(draw(20), method="robust")


def test_without_the_library_columns_are_looked_at_one_by_one() -> None:
    """The report says so; and where the library is asked for by name, its absence is an error."""
    rows = [(value, value / 2) for value in draw(50)]
    rows[7] = (100.0, 900.0)
    report = find_isolated(rows, sharper=False)
    assert [(one.index, one.value) for one in report.anomalies] == [(7, 900.0)]
    assert (report.method, "extra `ml`" in report.note) == ("robust_z", True)
    if not sharp.is_there():
        with pytest.raises(MissingExtra):
            find_anomalies(draw(20), method="isolation_forest")
    with pytest.raises(InvalidInput, match="not all as long"):
        find_isolated([(1.0,), (1.0, 2.0)])
