"""How sure is a rate or a mean that was measured on some cases?

Rates have Wilson's score interval (E. B. Wilson, *Probable inference, the law of succession, and statistical
inference*, JASA 22, 1927), which holds near 0 and 1 and for few cases (Brown, Cai & DasGupta, *Interval estimation for
a binomial proportion*, Statistical Science 16, 2001). Cases that are repeated are clusters: their repeats are alike, so
they count for as many cases as their spread says (E. L. Korn & B. I. Graubard, *Confidence intervals for proportions
with small expected number of positive counts estimated from survey data*, Survey Methodology 24, 1998). Means have the
bias-corrected and accelerated bootstrap over cases (B. Efron, *Better bootstrap confidence intervals*, JASA 82, 1987).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from statistics import NormalDist, fmean

from msgspec import Struct

CONFIDENCE = 0.95
RESAMPLES = 2_000
LEAST_RESAMPLES = 200
MOST_DRAWS = 1_000_000
"""Numbers drawn in one bootstrap at most: for many cases there are fewer resamples."""
_NORMAL = NormalDist()


class Interval(Struct, frozen=True, kw_only=True):
    """A range that holds what is estimated, as often as its confidence says."""

    low: float
    high: float
    confidence: float = CONFIDENCE
    method: str = "wilson"

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high


def bound_rate(successes: float, total: float, *, confidence: float = CONFIDENCE) -> Interval:
    """Return Wilson's interval of a rate; of nothing at all, everything from 0 to 1.

    Args:
        successes: How many held.
        total: Of how many; need not be whole where cases are alike.
        confidence: How sure to be.
    """
    if total <= 0:
        return Interval(low=0.0, high=1.0, confidence=confidence)
    z = _NORMAL.inv_cdf(0.5 + confidence / 2)
    rate, factor = successes / total, z * z / total
    middle = (rate + factor / 2) / (1 + factor)
    reach = z * math.sqrt(rate * (1 - rate) / total + factor / total / 4) / (1 + factor)
    low, high = max(0.0, middle - reach), min(1.0, middle + reach)
    return Interval(low=0.0 if rate == 0 else low, high=1.0 if rate == 1 else high, confidence=confidence)


def bound_repeated_rate(rates: Sequence[float], repeats: int, *, confidence: float = CONFIDENCE) -> Interval:
    """Return the interval of a rate over cases that were each repeated: at least as wide as chance between cases is.

    Args:
        rates: The share of its repeats in which each case passed.
        repeats: How often each was repeated.
        confidence: How sure to be.
    """
    cases = len(rates)
    if not cases:
        return bound_rate(0, 0, confidence=confidence)
    rate, effective = fmean(rates), float(cases)
    if repeats > 1 and cases > 1 and 0 < rate < 1:
        spread = sum((one - rate) ** 2 for one in rates) / (cases - 1) / cases
        # No fewer than the cases, since each is one at least; no more than all that was run.
        wanted = rate * (1 - rate) / spread if spread > 0 else math.inf
        effective = min(float(cases * repeats), max(float(cases), wanted))
    return bound_rate(rate * effective, effective, confidence=confidence)


def bound_mean(values: Sequence[float], *, seed: int = 0, confidence: float = CONFIDENCE) -> Interval | None:
    """Return the bootstrap interval of a mean over cases; `None` for fewer than two, which say nothing of spread."""
    if len(values) < 2:
        return None
    return bound_statistic(values, fmean, seed=seed, confidence=confidence)


def bound_statistic(
    values: Sequence[float], statistic: Callable[[Sequence[float]], float], *, seed: int, confidence: float = CONFIDENCE
) -> Interval:
    """Return the bias-corrected and accelerated bootstrap interval of a statistic; the same seed gives the same.

    Args:
        values: One for each case.
        statistic: What is estimated.
        seed: Of the draws.
        confidence: How sure to be.
    """
    size, found = len(values), statistic(values)
    draw = random.Random(seed)
    times = max(LEAST_RESAMPLES, min(RESAMPLES, MOST_DRAWS // size))
    drawn = sorted(statistic(draw.choices(values, k=size)) for _ in range(times))
    below = sum(one < found for one in drawn) + 0.5 * sum(one == found for one in drawn)
    bias = _NORMAL.inv_cdf(min(1 - 0.5 / times, max(0.5 / times, below / times)))
    acceleration = _accelerate(values, statistic)

    def pick(share: float) -> float:
        z = bias + _NORMAL.inv_cdf(share)
        moved = _NORMAL.cdf(bias + z / (1 - acceleration * z)) if acceleration * z < 1 else 1.0
        return drawn[min(times - 1, max(0, int(moved * times)))]

    tail = (1 - confidence) / 2
    return Interval(low=pick(tail), high=pick(1 - tail), confidence=confidence, method="bootstrap")


def _accelerate(values: Sequence[float], statistic: Callable[[Sequence[float]], float]) -> float:
    """Estimate by the jackknife how fast the spread changes with the value."""
    if len(values) > 1_000:  # it goes to 0 with the root of their number, and costs its square
        return 0.0
    left_out = [statistic([*values[:at], *values[at + 1 :]]) for at in range(len(values))]
    middle = fmean(left_out)
    squares = sum((middle - one) ** 2 for one in left_out)
    return sum((middle - one) ** 3 for one in left_out) / (6 * squares**1.5) if squares > 0 else 0.0
