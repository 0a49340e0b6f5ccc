"""What in a row of measurements is out of the ordinary, and by which reckoning?

- `robust_z`: how far a value is from the median, in units of the median absolute deviation (B. Iglewicz & D. Hoaglin,
  *How to Detect and Handle Outliers*, 1993): what is odd does not hide itself by moving the mean.
- `ewma`: a weighted mean of the latest values that leaves its limits (S. W. Roberts, Technometrics 1, 1959; J. M. Lucas
  & M. S. Saccucci, Technometrics 32, 1990): small shifts that stay.
- `seasonal`: a value that is odd for its place in a cycle, such as its hour of the day.
- `isolation_forest`: points that are easily told apart from all others, over several columns (Liu, Ting & Zhou, ICDM
  2008); needs the extra `ml`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median
from typing import Literal, get_args

from msgspec import Struct

from quorate.errors import InvalidInput, UnknownName
from quorate.learning import sharp

Method = Literal["auto", "robust_z", "ewma", "seasonal", "isolation_forest"]
THRESHOLD = 3.5
"""How many robust standard deviations are too many; Iglewicz and Hoaglin's own."""
WEIGHT = 0.2
"""What the latest value counts in `ewma`."""
LIMIT = 4.0
"""How many standard deviations `ewma` may be away: once in some thousand values by chance."""
ISOLATED = 0.65
NORMAL_MAD = 1.482602218505602
"""What a median absolute deviation is multiplied by to be a standard deviation of normal values."""
NORMAL_MEAN = 1.2533141373155001
"""The same for the mean absolute deviation, which serves where most values are the same."""
LEAST_VALUES = 8
MOST_VALUES = 200_000
MOST_NUMBER = 1e100
MOST_PERIOD = 1_500
MOST_LOOKED_AT = 10_000
"""Of how many values a cycle is found."""
LEAST_CYCLES = 3
CYCLIC = 0.5
"""The autocorrelation from which on values count as a cycle."""


class Anomaly(Struct, frozen=True, kw_only=True):
    """A value that is out of the ordinary."""

    index: int
    """Its place, from 0."""
    value: float
    expected: float
    """What would be usual there."""
    score: float
    """How odd it is, in standard deviations; for `isolation_forest` from 0 to 1."""
    method: str


class AnomalyReport(Struct, frozen=True, kw_only=True):
    """What is out of the ordinary, and how that was found."""

    method: str
    """The reckoning that was used; several are joined by `+`."""
    values: int
    anomalies: tuple[Anomaly, ...]
    """In order."""
    period: int = 0
    """The length of the cycle, where there is one."""
    note: str = ""
    """What to know of it, such as why a sharper reckoning was not used."""


def find_anomalies(
    values: Sequence[float], *, method: str = "auto", threshold: float = THRESHOLD, period: int = 0
) -> AnomalyReport:
    """Find values that are out of the ordinary.

    Args:
        values: The measurements, in order.
        method: How; `auto` goes by the cycle where there is one, and looks for shifts that stay as well.
        threshold: How many standard deviations are too many.
        period: The length of the cycle; found when 0.

    Raises:
        InvalidInput: There are too few values or too many, or one is not a number.
        UnknownName: There is no such method.
        MissingExtra: It needs scikit-learn.
    """
    if method not in get_args(Method):
        raise UnknownName("method", method, get_args(Method))
    _check(values)
    if not threshold > 0:
        raise InvalidInput(f"The threshold is {threshold!r}: give a number above 0.")
    if method == "isolation_forest":
        return find_isolated([(value,) for value in values], sharper=True)
    period = _check_period(period, len(values)) or (find_period(values) if method in ("auto", "seasonal") else 0)
    if method == "seasonal" and not period:
        raise InvalidInput("The values have no cycle that repeats 3 times: give its `period`, or another method.")
    if method == "ewma":
        found = _find_shifts(values, [median(values)] * len(values))
    elif method == "robust_z" or not period:
        found = _find_far(values, [median(values)] * len(values), method="robust_z", threshold=threshold)
    else:
        usual = _build_season(values, period)
        found = _find_far(values, usual, method="seasonal", threshold=threshold)
    name = "seasonal" if period and method in ("auto", "seasonal") else "robust_z" if method == "auto" else method
    if method == "auto":
        name = f"{name}+ewma"
        usual = _build_season(values, period) if period else [median(values)] * len(values)
        known = {one.index for one in found}
        found += [one for one in _find_shifts(values, usual, known=known) if one.index not in known]
    return AnomalyReport(
        method=name,
        values=len(values),
        anomalies=tuple(sorted(found, key=lambda one: one.index)),
        period=period if name.startswith("seasonal") else 0,
    )


def find_isolated(
    rows: Sequence[Sequence[float]], *, seed: int = 0, threshold: float = ISOLATED, sharper: bool | None = None
) -> AnomalyReport:
    """Find rows of several measurements that are easily told apart from all others.

    Without the extra `ml`, each column is looked at by itself, and a row is as odd as its oddest value; the report says
    so.

    Args:
        rows: The measurements, a row for each moment, all as long.
        seed: Of the draws.
        threshold: From which score on a row is odd, with the library.
        sharper: Whether to use the library; where it is installed when not given.

    Raises:
        InvalidInput: There are too few, too many, or a value is not a number.
        MissingExtra: The library is wanted and not installed.
    """
    if len({len(row) for row in rows}) > 1 or not rows or not rows[0]:
        raise InvalidInput("The rows are not all as long: give each the same measurements.")
    columns = [list(column) for column in zip(*rows, strict=True)]
    for column in columns:
        _check(column)
    if sharp.is_there() if sharper is None else sharper:
        scores, middles = sharp.score_isolation(rows, seed=seed), [median(column) for column in columns]
        found: list[Anomaly] = []
        for at, score in enumerate(scores):
            if score >= threshold:
                away = [abs(value - middle) for value, middle in zip(rows[at], middles, strict=True)]
                oddest = away.index(max(away))
                found.append(
                    Anomaly(
                        index=at,
                        value=rows[at][oddest],
                        expected=middles[oddest],
                        score=score,
                        method="isolation_forest",
                    )
                )
        return AnomalyReport(method="isolation_forest", values=len(rows), anomalies=tuple(found))
    best: dict[int, Anomaly] = {}
    for column in columns:
        for one in _find_far(column, [median(column)] * len(column), method="robust_z", threshold=THRESHOLD):
            if one.index not in best or one.score > best[one.index].score:
                best[one.index] = one
    note = "each column by itself: the extra `ml` is not installed"
    return AnomalyReport(
        method="robust_z", values=len(rows), anomalies=tuple(best[at] for at in sorted(best)), note=note
    )


def find_period(values: Sequence[float]) -> int:
    """Find the length of a cycle by autocorrelation: the shortest that values follow well; 0 where there is none."""
    values = values[-MOST_LOOKED_AT:]
    middle, scale = median(values), find_scale(values) or 1.0
    # What is odd is cut, so that it makes no cycle of its own.
    steady = [max(-3.0, min(3.0, (value - middle) / scale)) for value in values]
    mean = fmean(steady)
    steady = [value - mean for value in steady]
    power = sum(value * value for value in steady)
    most = min(len(values) // LEAST_CYCLES, MOST_PERIOD)
    if power <= 0 or most < 2:
        return 0
    found = [
        sum(one * other for one, other in zip(steady, steady[lag:], strict=False))
        / power
        * len(steady)
        / (len(steady) - lag)
        for lag in range(most + 2 if most + 2 < len(steady) else most + 1)
    ]
    peaks = [
        lag
        for lag in range(2, len(found) - 1)
        if found[lag] >= CYCLIC and found[lag - 1] <= found[lag] > found[lag + 1]
    ]
    best = max((found[lag] for lag in peaks), default=0.0)
    return next((lag for lag in peaks if found[lag] >= 0.9 * best), 0)


def find_scale(values: Sequence[float]) -> float:
    """Return a standard deviation that a few odd values do not move; 0 where all are the same."""
    middle = median(values)
    away = [abs(value - middle) for value in values]
    return NORMAL_MAD * median(away) or NORMAL_MEAN * fmean(away)


def _check(values: Sequence[float]) -> None:
    if not LEAST_VALUES <= len(values) <= MOST_VALUES:
        raise InvalidInput(f"There are {len(values)} values: give {LEAST_VALUES} to {MOST_VALUES}.")
    odd = next((at for at, value in enumerate(values) if not abs(value) <= MOST_NUMBER), None)
    if odd is not None:
        raise InvalidInput(f"Value {odd} is {values[odd]!r}, which is no number, or above 1e100: leave it out.")


def _check_period(period: int, size: int) -> int:
    if period < 0 or (period and (period < 2 or period * 2 > size)):
        raise InvalidInput(f"The period is {period}, and there are {size} values: give 2 to {size // 2}.")
    return period


def _build_season(values: Sequence[float], period: int) -> list[float]:
    usual = [median(values[phase::period]) for phase in range(period)]
    return [usual[at % period] for at in range(len(values))]


def _find_far(values: Sequence[float], usual: Sequence[float], *, method: str, threshold: float) -> list[Anomaly]:
    rest = [value - expected for value, expected in zip(values, usual, strict=True)]
    scale, middle = find_scale(rest), median(rest)
    if scale <= 0:
        return []
    return [
        Anomaly(index=at, value=value, expected=expected, score=round(abs(away - middle) / scale, 3), method=method)
        for at, (value, expected, away) in enumerate(zip(values, usual, rest, strict=True))
        if abs(away - middle) / scale > threshold
    ]


def _find_shifts(
    values: Sequence[float], usual: Sequence[float], *, known: frozenset[int] | set[int] = frozenset()
) -> list[Anomaly]:
    """Find where the weighted mean leaves its limits; the first value of each such time is told.

    How much values vary is taken from their steps, which a shift does not widen.
    """
    rest = [value - expected for value, expected in zip(values, usual, strict=True)]
    steps = [other - one for one, other in pairwise(rest)]
    scale = find_scale(steps) / math.sqrt(2)
    if scale <= 0:
        return []
    found: list[Anomaly] = []
    mean, share, is_out = 0.0, 1.0, False
    for at, away in enumerate(rest):
        if at in known:  # a value that is odd by itself is told already, and is no shift
            continue
        mean = WEIGHT * away + (1 - WEIGHT) * mean
        share *= (1 - WEIGHT) ** 2
        spread = scale * math.sqrt(WEIGHT / (2 - WEIGHT) * (1 - share))
        if abs(mean) > LIMIT * spread and not is_out:
            found.append(
                Anomaly(
                    index=at, value=values[at], expected=usual[at], score=round(abs(mean) / spread, 3), method="ewma"
                )
            )
        is_out = abs(mean) > LIMIT * spread
    return found
