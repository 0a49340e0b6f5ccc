"""What adds up, under which name and labels, until somebody reads it?

Counting is done here and not by an SDK: what is counted costs a microsecond, the number of series is bounded, and the
same figures are scraped by Prometheus and sent by OTLP.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from quorate.telemetry.names import MetricRule, Names

MAX_SERIES = 2_000
"""How many combinations of labels one metric tells apart; those above are counted as one."""
OVERFLOW = (("otel.metric.overflow", "true"),)
"""The labels of what was above (OpenTelemetry's metrics SDK, cardinality limits)."""

Label = str | bool | int | float | tuple[str, ...]
Labels = Mapping[str, Label]
Key = tuple[tuple[str, Label], ...]
Look = Callable[[], Iterable[tuple[float, Labels]]]
"""Looks at something that stands somewhere: its values, each with its labels."""


class Bars(Struct, gc=False):
    """How often values fell into each of some buckets."""

    counts: list[int]
    """One more than there are upper bounds: the last one is for what is above all of them."""
    sum: float = 0.0
    least: float = float("inf")
    most: float = float("-inf")

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)


class Point(Struct, frozen=True, gc=False):
    """One series as it stands: a number, or how often values fell into buckets."""

    labels: Key
    value: float | Bars


class Series(Struct, frozen=True):
    """Everything that was counted under one name."""

    rule: MetricRule
    points: Sequence[Point]


class Tally:
    """Counts, measures and looks, from any thread.

    Args:
        names: What there is to count, and in which buckets.
        now: Wall time.
    """

    def __init__(self, names: Names, *, now: Callable[[], float] = time.time) -> None:
        self.began = now()
        """Since when it counts."""
        self._rules = names.metric
        self._lock = threading.Lock()
        self._numbers: dict[str, dict[Key, float]] = {name: {} for name in names.metric}
        self._bars: dict[str, dict[Key, Bars]] = {name: {} for name in names.metric}
        self._looks: dict[str, list[Look]] = {}

    def add(self, metric: str, value: float, labels: Labels) -> None:
        """Add to a counter, or measure a value for a histogram."""
        rule, key = self._rules[metric], tuple(sorted(labels.items()))
        with self._lock:
            if rule.kind == "histogram":
                self._measure(rule, self._bars[metric], key, value)
            else:
                numbers = self._numbers[metric]
                place = key if key in numbers or len(numbers) < MAX_SERIES else OVERFLOW
                numbers[place] = numbers.get(place, 0) + value

    def look(self, metric: str, look: Look) -> Callable[[], None]:
        """Let something be looked at whenever this is read; return what ends that.

        What several places give under the same labels is added up. A look must be quick: it is done in the thread of
        whoever reads.
        """
        looks = self._looks.setdefault(metric, [])
        looks.append(look)
        return lambda: looks.remove(look) if look in looks else None

    def read(self) -> list[Series]:
        """Read everything as it stands; what nobody has counted yet is left out."""
        found = {metric: self._look(metric) for metric in list(self._looks)}
        series: list[Series] = []
        with self._lock:
            for metric, rule in self._rules.items():
                numbers: dict[Key, float] = dict(self._numbers[metric])
                for key, value in found.get(metric, {}).items():
                    numbers[key] = numbers.get(key, 0) + value
                points = [Point(key, value) for key, value in numbers.items()]
                points += [Point(key, copy_bars(bars)) for key, bars in self._bars[metric].items()]
                if points:
                    series.append(Series(rule, points))
        return series

    def _measure(self, rule: MetricRule, known: dict[Key, Bars], key: Key, value: float) -> None:
        bars = known.get(key)
        if bars is None:
            key = key if len(known) < MAX_SERIES else OVERFLOW
            bars = known.setdefault(key, Bars([0] * (len(rule.buckets) + 1)))
        bars.counts[bisect_left(rule.buckets, value)] += 1
        bars.sum += value
        # Written out, as this is done for everything that happens.
        if value < bars.least:
            bars.least = value
        if value > bars.most:
            bars.most = value

    def _look(self, metric: str) -> dict[Key, float]:
        values: dict[Key, float] = {}
        for look in list(self._looks[metric]):
            for value, labels in look():
                key = tuple(sorted(labels.items()))
                if key in values or len(values) < MAX_SERIES:
                    values[key] = values.get(key, 0) + value
        return values


def copy_bars(bars: Bars) -> Bars:
    """Copy bars, so that whoever reads them sees no half of a value."""
    return Bars(list(bars.counts), bars.sum, bars.least, bars.most)
