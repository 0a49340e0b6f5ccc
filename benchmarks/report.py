"""How are results shown, and where did Quorate miss its target or lose?"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from benchmarks.workloads import WORKLOADS, Workload

UNITS = {"count": "Calls and memory", "time": "Time", "import": "Import and installation"}
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


@dataclass
class Results:
    """All that was measured, and where."""

    facts: dict[str, str]
    """What the numbers depend on: machine, Python, command."""
    versions: dict[str, str]
    """Each side's distribution and version, in the order of the columns."""
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """By side and workload, one for each round."""
    failed: dict[str, dict[str, str]] = field(default_factory=dict)
    """By side and workload, the reason."""

    def add(self, side: str, values: dict[str, float], failed: dict[str, str]) -> None:
        for name, value in values.items():
            self.values.setdefault(side, {}).setdefault(name, []).append(value)
        self.failed.setdefault(side, {}).update(failed)

    def get_median(self, side: str, name: str) -> float | None:
        values = self.values.get(side, {}).get(name)
        return statistics.median(values) if values else None

    def get_rows(self) -> list[Workload]:
        """The workloads that anything is known of."""
        known = [*self.values.values(), *self.failed.values()]
        return [workload for workload in WORKLOADS if any(workload.name in some for some in known)]


def show_number(value: float) -> str:
    if abs(value) < 0.005:
        return "0"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def show_cell(results: Results, side: str, name: str) -> str:
    """The median, and the lowest and highest where they differ; or that it failed."""
    values = results.values.get(side, {}).get(name)
    if not values:
        return "failed" if name in results.failed.get(side, {}) else ""
    middle, low, high = (show_number(pick(values)) for pick in (statistics.median, min, max))
    return middle if low == high else f"{middle} ({low}–{high})"


def render_text(results: Results) -> str:
    """For a terminal: a block for each workload."""
    lines = [f"{name}: {text}" for name, text in results.facts.items()]
    lines += ["versions: " + ", ".join(f"{side} {text}".strip() for side, text in results.versions.items())]
    for row in results.get_rows():
        target = f"; Quorate's target: at most {show_number(row.target)}" if row.target is not None else ""
        lines += ["", f"{row.title}{f' [{row.unit}]' if row.unit else ''}{target}   ({row.name})"]
        for side in results.versions:
            if cell := show_cell(results, side, row.name):
                lines.append(f"  {side:<16} {cell}")
    return "\n".join([*lines, "", *render_verdict(results, failures=True)])


def render_verdict(results: Results, *, failures: bool) -> list[str]:
    """Name what failed, what Quorate missed, and where another framework is better."""
    lines: list[str] = []
    for side, reasons in results.failed.items() if failures else ():
        lines += [f"FAILED {side} {name}: {reason}" for name, reason in reasons.items()]
    for row in results.get_rows():
        ours = results.get_median("quorate", row.name)
        if ours is None:
            continue
        if row.target is not None and ours > row.target:
            lines.append(f"MISSED {row.title} ({row.name}): {show_number(ours)}, target {show_number(row.target)}")
        for side in results.versions:
            theirs = results.get_median(side, row.name)
            if side not in ("floor", "quorate") and theirs is not None and theirs < ours:
                lines.append(
                    f"LOST to {side}: {row.title} ({row.name}): {show_number(ours)} against {show_number(theirs)}"
                )
    return lines or ["Of what was measured, every target was met and nothing was lost to another framework."]


def render_page(results: Results) -> str:
    """For the documentation: a table for each kind."""
    sides = list(results.versions)
    lines = [BEGIN, ""]
    lines += [f"- {name}: {text}" for name, text in results.facts.items()]
    lines += ["- versions: " + ", ".join(f"{side} {text}".strip() for side, text in results.versions.items()), ""]
    for kind, title in UNITS.items():
        rows = [row for row in results.get_rows() if row.kind == kind]
        if not rows:
            continue
        lines += [f"### {title}", "", f"| | target | {' | '.join(sides)} |", f"|---|{'---:|' * (len(sides) + 1)}"]
        for row in rows:
            label = f"{row.title}, {row.unit}" if row.unit else row.title
            target = "" if row.target is None else show_number(row.target)
            cells = [show_cell(results, side, row.name) for side in sides]
            lines.append(f"| {label} | {target} | {' | '.join(cells)} |")
        lines.append("")
    lines += ["### What failed, was missed, or was lost", ""]
    return "\n".join([*lines, *(f"- {line}" for line in render_verdict(results, failures=True)), "", END])
