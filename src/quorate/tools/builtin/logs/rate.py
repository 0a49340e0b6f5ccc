"""How often did lines come, when did they come in bursts, and when did they stop?"""

from __future__ import annotations

import statistics

from msgspec import Struct

from quorate.tools.builtin.logs.line import format_time

MAX_MINUTES = 200_000
BURST_LEAST = 5
BURST_FACTOR = 3
GAP_LEAST_S = 300.0
KEPT = 10


class Burst(Struct, frozen=True, kw_only=True):
    """Minutes in a row with far more than usual."""

    start: str
    minutes: int
    count: int
    peak_per_minute: int
    usual_per_minute: float
    """The median over all minutes of the log, the empty ones too."""


class Gap(Struct, frozen=True, kw_only=True):
    """A time without a line."""

    start: str
    end: str
    seconds: float
    line: int
    """The number of the first line after it."""


class Rates(Struct, frozen=True, kw_only=True):
    """What the times of the lines tell."""

    span_s: float
    mean_per_minute: float
    peak_per_minute: int
    peak_minute: str
    error_bursts: tuple[Burst, ...] = ()
    line_bursts: tuple[Burst, ...] = ()
    gaps: tuple[Gap, ...] = ()
    out_of_order: int = 0
    """Lines whose time is more than a second before that of the line above."""


class Timeline:
    """Counts lines and failures by minute as they come, in bounded memory."""

    def __init__(self, *, gap_s: float = GAP_LEAST_S) -> None:
        self.first_s: float | None = None
        self.last_s: float | None = None
        self.first_error_s: float | None = None
        self.last_error_s: float | None = None
        self._gap_s = gap_s
        self._lines: dict[int, int] = {}
        self._errors: dict[int, int] = {}
        self._previous_s: float | None = None
        self._gaps: list[tuple[float, float, int]] = []
        self._out_of_order = 0

    def add(self, time_s: float, *, line: int, is_error: bool) -> None:
        """Count a line."""
        self._look_for_gap(time_s, line)
        self.first_s = time_s if self.first_s is None else min(self.first_s, time_s)
        self.last_s = time_s if self.last_s is None else max(self.last_s, time_s)
        minute = int(time_s // 60)
        if minute in self._lines or len(self._lines) < MAX_MINUTES:
            self._lines[minute] = self._lines.get(minute, 0) + 1
        if not is_error:
            return
        self.first_error_s = time_s if self.first_error_s is None else min(self.first_error_s, time_s)
        self.last_error_s = time_s if self.last_error_s is None else max(self.last_error_s, time_s)
        if minute in self._errors or len(self._errors) < MAX_MINUTES:
            self._errors[minute] = self._errors.get(minute, 0) + 1

    def rates(self) -> Rates | None:
        """Sum up; `None` when no line had a time."""
        if self.first_s is None or self.last_s is None:
            return None
        peak = max(self._lines, key=lambda minute: (self._lines[minute], -minute))
        minutes = int(self.last_s // 60) - int(self.first_s // 60) + 1
        return Rates(
            span_s=round(self.last_s - self.first_s, 3),
            mean_per_minute=round(sum(self._lines.values()) / minutes, 3),
            peak_per_minute=self._lines[peak],
            peak_minute=format_time(peak * 60),
            error_bursts=find_bursts(self._errors, minutes=minutes),
            line_bursts=find_bursts(self._lines, minutes=minutes),
            gaps=tuple(
                Gap(start=format_time(start), end=format_time(end), seconds=round(end - start, 3), line=line)
                for start, end, line in self._gaps
            ),
            out_of_order=self._out_of_order,
        )

    def _look_for_gap(self, time_s: float, line: int) -> None:
        before, self._previous_s = self._previous_s, time_s
        if before is None:
            return
        if time_s < before - 1.0:
            self._out_of_order += 1
        elif time_s - before >= self._gap_s:
            self._gaps.append((before, time_s, line))
            self._gaps.sort(key=lambda gap: gap[0] - gap[1])
            del self._gaps[KEPT:]


def find_bursts(counts: dict[int, int], *, minutes: int) -> tuple[Burst, ...]:
    """Find runs of minutes with at least `BURST_LEAST` lines and `BURST_FACTOR` times the median of all minutes."""
    empty = minutes - len(counts)
    usual = 0.0 if empty >= len(counts) else float(statistics.median_low([*counts.values(), *[0] * empty]))
    threshold = max(BURST_LEAST, BURST_FACTOR * usual)
    runs: list[list[int]] = []
    for minute in sorted(minute for minute, count in counts.items() if count >= threshold):
        if runs and runs[-1][-1] == minute - 1:
            runs[-1].append(minute)
        else:
            runs.append([minute])
    # A log of a single minute has nothing to stand out from.
    bursts = [_describe(run, counts, usual) for run in runs] if minutes > 1 else []
    return tuple(sorted(bursts, key=lambda burst: -burst.count)[:KEPT])


def _describe(run: list[int], counts: dict[int, int], usual: float) -> Burst:
    return Burst(
        start=format_time(run[0] * 60),
        minutes=len(run),
        count=sum(counts[minute] for minute in run),
        peak_per_minute=max(counts[minute] for minute in run),
        usual_per_minute=usual,
    )
