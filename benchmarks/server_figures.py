"""Which figures of the server are measured, what is promised of them, and how are they shown?"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.report import show_number
from benchmarks.server_sides import SIDES

BEGIN, END = "<!-- server: begin -->", "<!-- server: end -->"
FIGURES: Mapping[str, str] = {
    "cpu_ms": "CPU of a request, ms",
    "rate": "requests/s of a core",
    "chunk_us": "CPU of a streamed piece, µs",
    "added_p50": "added to a request at 60 % of that: p50, ms",
    "added_p95": "p95",
    "added_p99": "p99",
    "ready_s": "s until ready",
    "rss_mb": "MB resident",
}
AT_LEAST = frozenset({"rate"})
"""Of which more is better; of all others, less is."""
TARGETS: Mapping[str, float] = {
    "cpu_ms": 0.35,
    "rate": 3_000.0,
    "chunk_us": 50.0,
    "added_p50": 0.5,
    "added_p95": 2.0,
    "added_p99": 8.0,
    "ready_s": 2.0,
    "rss_mb": 120.0,
}
TIMES = 30.0
"""How many times less CPU than LiteLLM's proxy a request is to take."""
READS: Mapping[str, float] = {"p50": 20.0, "p95": 100.0}


@dataclass
class Results:
    """All that was measured, and where."""

    facts: dict[str, str]
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """By side and figure, one for each round."""
    reads: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)
    """By database, path and figure, one for each round."""
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, side: str, figure: str, value: float) -> None:
        self.values.setdefault(side, {}).setdefault(figure, []).append(value)

    def add_read(self, database: str, path: str, figure: str, value: float) -> None:
        self.reads.setdefault(database, {}).setdefault(path, {}).setdefault(figure, []).append(value)

    def get(self, side: str, figure: str) -> float | None:
        """Return the median of the rounds."""
        found = self.values.get(side, {}).get(figure)
        return statistics.median(found) if found else None


def show_values(values: list[float] | None) -> str:
    """Write the median of what was measured, with the lowest and the highest."""
    if not values:
        return ""
    middle, low, high = (show_number(pick(values)) for pick in (statistics.median, min, max))
    return middle if low == high else f"{middle} ({low}–{high})"


def is_missed(figure: str, value: float) -> bool:
    """Whether a figure of ours is not what is promised."""
    most = TARGETS[figure]
    return value < most if figure in AT_LEAST else value > most


def judge(results: Results) -> list[str]:
    """Name what failed, and what was missed."""
    lines = [f"FAILED {name}: {reason}" for name, reason in results.failed.items()]
    for figure, most in TARGETS.items():
        value = results.get("quorate", figure)
        if value is not None and is_missed(figure, value):
            bound = "at least" if figure in AT_LEAST else "at most"
            lines.append(f"MISSED {figure}: {show_number(value)}, target {bound} {show_number(most)}")
    ours, theirs = results.get("quorate", "cpu_ms"), results.get("litellm", "cpu_ms")
    if ours and theirs and ours * TIMES > theirs:
        times = f"{show_number(theirs / ours)} times ours, target {TIMES:g}"
        lines.append(f"MISSED cpu_ms beside LiteLLM: theirs is {times}")
    for database, paths in results.reads.items():
        for path, figures in paths.items():
            for figure, most in READS.items():
                value = statistics.median(figures[figure])
                if value >= most:
                    lines.append(
                        f"MISSED {figure} of GET {path} on {database}: {show_number(value)} ms, "
                        f"target less than {show_number(most)}"
                    )
    return lines or ["Of what was measured, every target was met."]


def render_page(results: Results) -> str:
    """For the documentation, and for a terminal."""
    shown = [side for side in SIDES if side in results.values]
    lines = [BEGIN, "", *[f"- {name}: {text}" for name, text in results.facts.items()], ""]
    lines += [f"| | {' | '.join(FIGURES.values())} |", f"|---|{'---:|' * len(FIGURES)}"]
    for side in shown:
        cells = [show_values(results.values[side].get(figure)) for figure in FIGURES]
        lines.append(f"| {SIDES[side]} | {' | '.join(cells)} |")
    signs = [f"{'≥' if figure in AT_LEAST else '≤'} {show_number(TARGETS[figure])}" for figure in FIGURES]
    lines += [f"| *promised of Quorate* | {' | '.join(signs)} |", ""]
    if results.reads:
        databases = list(results.reads)
        paths = list(dict.fromkeys(path for some in results.reads.values() for path in some))
        lines += [f"| read, ms: p50, p95 | {' | '.join(databases)} |", f"|---|{'---:|' * len(databases)}"]
        for path in paths:
            cells = [
                ", ".join(show_values(results.reads[one].get(path, {}).get(figure)) for figure in READS)
                for one in databases
            ]
            lines.append(f"| `GET {path}` | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join([*lines, *[f"- {line}" for line in judge(results)], "", END])
