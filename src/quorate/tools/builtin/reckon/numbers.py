"""What do many numbers say together: their middle, spread, outliers and trend?"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from msgspec import Struct

from quorate.errors import ToolError

MAX_OUTLIERS = 20
FENCE = 1.5
STEADY_SHARE = 0.1


class Outlier(Struct, frozen=True, kw_only=True):
    """A number far from the others."""

    position: int
    """Its place, from 0."""
    value: float


class Trend(Struct, frozen=True, kw_only=True):
    """The straight line through the numbers in their order."""

    slope: float
    """How much each step adds."""
    direction: str
    """`rising`, `falling` or `steady`."""
    r_squared: float
    """How much of the spread the line explains, 0 to 1."""


class Summary(Struct, frozen=True, kw_only=True):
    """What many numbers say together."""

    count: int
    missing: int
    """Values that were no numbers, and left out."""
    sum: float
    mean: float
    median: float
    stdev: float
    """Of a sample; 0 for a single number."""
    min: float
    max: float
    p5: float
    p25: float
    p75: float
    p95: float
    p99: float
    outliers: tuple[Outlier, ...]
    """Beyond one and a half times the middle half, the farthest first."""
    outlier_count: int
    trend: Trend


def summarize_numbers(numbers: Sequence[float | None]) -> Summary:
    """Sum up numbers in their order.

    Raises:
        ToolError: There is none, or their sum is no finite number.
    """
    kept = [(place, float(one)) for place, one in enumerate(numbers) if one is not None and math.isfinite(one)]
    if not kept:
        raise ToolError("No numbers were given; give a list such as `[1, 2.5, 4]`.")
    values = [value for _, value in kept]
    ordered = sorted(values)
    try:
        total = math.fsum(values)
        mean = total / len(values)
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        trend = _find_trend(values, mean)
    except OverflowError as error:
        raise ToolError("The numbers are too large to be added up.") from error
    p25, p75 = find_quantile(ordered, 0.25), find_quantile(ordered, 0.75)
    low, high = p25 - FENCE * (p75 - p25), p75 + FENCE * (p75 - p25)
    middle = find_quantile(ordered, 0.5)
    far = [Outlier(position=place, value=value) for place, value in kept if len(kept) >= 4 and not low <= value <= high]
    far.sort(key=lambda one: -abs(one.value - middle))
    return Summary(
        count=len(values),
        missing=len(numbers) - len(values),
        sum=total,
        mean=mean,
        median=middle,
        stdev=spread,
        min=ordered[0],
        max=ordered[-1],
        p5=find_quantile(ordered, 0.05),
        p25=p25,
        p75=p75,
        p95=find_quantile(ordered, 0.95),
        p99=find_quantile(ordered, 0.99),
        outliers=tuple(far[:MAX_OUTLIERS]),
        outlier_count=len(far),
        trend=trend,
    )


def find_quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which a share of sorted values lies, between neighbours where it falls between them."""
    place = (len(ordered) - 1) * share
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    low, high, part = ordered[below], ordered[above], place - below
    between = low + (high - low) * part
    if math.isinf(between):
        between = low * (1 - part) + high * part  # two huge neighbours of different signs
    return min(max(between, low), high)


def _find_trend(values: Sequence[float], mean: float) -> Trend:
    count = len(values)
    middle = (count - 1) / 2
    across = math.fsum((place - middle) ** 2 for place in range(count))
    along = math.fsum((place - middle) * (value - mean) for place, value in enumerate(values))
    spread = math.fsum((value - mean) ** 2 for value in values)
    if not across or not spread:
        return Trend(slope=0.0, direction="steady", r_squared=0.0)
    slope = along / across
    explained = min(1.0, along * along / (across * spread))
    # A line that explains a tenth of the spread is chance.
    direction = "steady" if explained < STEADY_SHARE else "rising" if slope > 0 else "falling"
    return Trend(slope=slope, direction=direction, r_squared=round(explained, 4))
