"""Is one configuration better than another on the same cases, or could it be chance?

Cases that both were asked are compared one by one: that some are hard then says nothing. Whether passes differ is
McNemar's question (Q. McNemar, *Note on the sampling error of the difference between correlated proportions or
percentages*, Psychometrika 12, 1947), answered by its mid-p version (Fagerland, Lydersen & Laake, *The McNemar test for
binary matched-pairs data: mid-p and asymptotic are better than exact conditional*, BMC Medical Research Methodology 13,
2013). Where cases are repeated, and for scores, the differences of cases are drawn again (paired bootstrap; Efron &
Tibshirani, *An Introduction to the Bootstrap*, 1993) and their signs flipped (Fisher's randomisation test, 1935).
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Literal

from msgspec import Struct

from quorate.catalog.evaluation.intervals import Interval, bound_mean
from quorate.catalog.evaluation.report import Record

SIGNIFICANT = 0.05
MOST_EXACT = 14
"""Cases that differ, up to which every way to flip signs is tried."""
FLIPS = 10_000
Verdict = Literal["better", "worse", "no difference shown"]


class Difference(Struct, frozen=True, kw_only=True):
    """How much more of something there is than before, case by case."""

    mean: float
    interval: Interval | None
    """`None` for fewer than two cases."""


class Comparison(Struct, frozen=True, kw_only=True):
    """What two evaluations of the same cases say of each other."""

    cases: int
    """Cases that both have."""
    only_before: tuple[str, ...]
    only_now: tuple[str, ...]
    changed: tuple[str, ...]
    """Cases of one name that ask something else now: they are not compared."""
    rate_before: float
    rate_now: float
    rate: Difference
    score: Difference
    seconds: Difference
    cost_usd: Difference | None
    """`None` where a price is not known."""
    gained: tuple[str, ...]
    """Cases that passed more often than before."""
    lost: tuple[str, ...]
    p_value: float
    test: str
    verdict: Verdict


def compare(before: Sequence[Record], now: Sequence[Record], *, seed: int = 0) -> Comparison:
    """Compare two evaluations case by case.

    Args:
        before: What is there.
        now: What might take its place.
        seed: Of the draws.
    """
    old, new = _group(before), _group(now)
    both = [case for case in old if case in new]
    changed = [case for case in both if old[case][0].question != new[case][0].question]
    kept = [case for case in both if case not in changed]
    rates = [(_pass_rate(old[case]), _pass_rate(new[case])) for case in kept]
    steps = [right - left for left, right in rates]
    p_value, test = _test(rates, seed=seed)
    difference = Difference(mean=fmean(steps) if steps else 0.0, interval=bound_mean(steps, seed=seed))
    return Comparison(
        cases=len(kept),
        only_before=tuple(case for case in old if case not in new),
        only_now=tuple(case for case in new if case not in old),
        changed=tuple(changed),
        rate_before=fmean([left for left, _ in rates]) if rates else 0.0,
        rate_now=fmean([right for _, right in rates]) if rates else 0.0,
        rate=difference,
        score=_differ([(_mean(old[one], "score"), _mean(new[one], "score")) for one in kept], seed=seed),
        seconds=_differ([(_mean(old[one], "seconds"), _mean(new[one], "seconds")) for one in kept], seed=seed),
        cost_usd=_differ_costs([(old[one], new[one]) for one in kept], seed=seed),
        gained=tuple(case for case, step in zip(kept, steps, strict=True) if step > 0),
        lost=tuple(case for case, step in zip(kept, steps, strict=True) if step < 0),
        p_value=p_value,
        test=test,
        verdict=_judge(difference.mean, p_value),
    )


def weigh_mcnemar(gained: int, lost: int) -> float:
    """Return the two-sided mid-p value of McNemar's test.

    Args:
        gained: Cases that pass now and did not before.
        lost: Cases that passed before and do not now.
    """
    total = gained + lost
    if not total:
        return 1.0
    least = min(gained, lost)
    logs = [_log_choose(total, one) - total * math.log(2) for one in range(least + 1)]
    point = math.exp(logs[-1])
    return min(1.0, 2 * sum(map(math.exp, logs)) - point) if gained != lost else 1.0


def weigh_signs(steps: Sequence[float], *, seed: int = 0) -> float:
    """Return the two-sided p value of differences under random signs: exact for few, drawn for many."""
    moved = [abs(step) for step in steps if step]
    found = abs(math.fsum(step for step in steps if step))
    if not moved:
        return 1.0
    slack = 1e-9 * max(moved) * len(moved)  # sums of the same numbers may differ in their last digit
    if len(moved) <= MOST_EXACT:
        ways = 1 << len(moved)
        sums = (sum(one if way >> at & 1 else -one for at, one in enumerate(moved)) for way in range(ways))
        return sum(abs(one) >= found - slack for one in sums) / ways
    draw = random.Random(seed)
    extreme = 0
    for _ in range(FLIPS):
        signs = draw.getrandbits(len(moved))
        extreme += abs(sum(one if signs >> at & 1 else -one for at, one in enumerate(moved))) >= found - slack
    return (extreme + 1) / (FLIPS + 1)


def _test(rates: Sequence[tuple[float, float]], *, seed: int) -> tuple[float, str]:
    if all(rate in (0.0, 1.0) for pair in rates for rate in pair):
        gained = sum(right > left for left, right in rates)
        lost = sum(right < left for left, right in rates)
        return weigh_mcnemar(gained, lost), "McNemar, mid-p"
    return weigh_signs([right - left for left, right in rates], seed=seed), "random signs"


def _judge(mean: float, p_value: float) -> Verdict:
    if p_value >= SIGNIFICANT or not mean:
        return "no difference shown"
    return "better" if mean > 0 else "worse"


def _group(records: Sequence[Record]) -> Mapping[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in records:
        if record.outcome != "skipped":
            found.setdefault(record.case, []).append(record)
    return found


def _pass_rate(records: Sequence[Record]) -> float:
    return sum(record.outcome == "passed" for record in records) / len(records)


def _mean(records: Sequence[Record], key: Literal["score", "seconds"]) -> float:
    return fmean([record.score if key == "score" else record.seconds for record in records])


def _differ(pairs: Sequence[tuple[float, float]], *, seed: int) -> Difference:
    steps = [right - left for left, right in pairs]
    return Difference(mean=fmean(steps) if steps else 0.0, interval=bound_mean(steps, seed=seed))


def _differ_costs(pairs: Sequence[tuple[list[Record], list[Record]]], *, seed: int) -> Difference | None:
    costs: list[tuple[float, float]] = []
    for one, other in pairs:
        left, right = _sum_costs(one), _sum_costs(other)
        if left is None or right is None:
            return None
        costs.append((left, right))
    return _differ(costs, seed=seed)


def _sum_costs(records: Sequence[Record]) -> float | None:
    known = [record.cost_usd for record in records if record.cost_usd is not None]
    return fmean(known) if len(known) == len(records) else None


def _log_choose(total: int, chosen: int) -> float:
    return math.lgamma(total + 1) - math.lgamma(chosen + 1) - math.lgamma(total - chosen + 1)
