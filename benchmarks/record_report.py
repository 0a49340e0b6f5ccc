"""How are the figures of the record shown, and where was a target missed or a comparison lost?"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from benchmarks.record_figures import SIDES, WORKS, Figure, is_missed
from benchmarks.report import show_number

BEGIN, END = "<!-- record: begin -->", "<!-- record: end -->"
CLEAR = "Of what was measured, every target was met and nothing was lost to another engine."


@dataclass
class Record:
    """All that was measured of the record, and where."""

    facts: dict[str, str]
    """What the figures depend on: machine, versions, command."""
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """By figure and side, one for each round."""
    failed: dict[str, str] = field(default_factory=dict)
    """By work and side, the reason."""

    def add(self, side: str, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.values.setdefault(name, {}).setdefault(side, []).append(value)

    def get(self, figure: Figure, side: str) -> float | None:
        """Return the median of the rounds, or the sum of what counts trials."""
        values = self.values.get(figure.name, {}).get(side)
        if not values:
            return None
        return sum(values) if figure.sums else statistics.median(values)


def show_value(record: Record, figure: Figure, side: str) -> str:
    """The median with the lowest and the highest where they differ; counts of trials as their sum."""
    values = record.values.get(figure.name, {}).get(side)
    if not values:
        return ""
    if figure.sums:
        return f"{sum(values):,.0f}"
    middle, low, high = (show_number(pick(values)) for pick in (statistics.median, min, max))
    return middle if low == high else f"{middle} ({low}–{high})"


def show_target(figure: Figure) -> str:
    """Both targets, or the one where they are alike; which way it is meant needs a word."""
    wanted = {side: target for side, target in zip(SIDES, figure.target, strict=True) if target is not None}
    if not wanted:
        return ""
    word = "≤" if figure.better == "lower" else "≥"
    if len(wanted) == len(SIDES) and len(set(wanted.values())) == 1:
        return f"{word} {show_number(figure.target[0] or 0)}"
    return ", ".join(f"{side} {word} {show_number(target)}" for side, target in wanted.items())


def render_verdict(record: Record) -> list[str]:
    """Name what failed, which target was missed, and where another engine is better."""
    lines = [f"FAILED {work}: {reason}" for work, reason in record.failed.items()]
    figures = {figure.name: figure for work in WORKS for figure in work.figures}
    for figure in figures.values():
        for number, side in enumerate(SIDES):
            value = record.get(figure, side)
            if value is None:
                continue
            if is_missed(figure, side, value):
                target = show_number(figure.target[number] or 0)
                lines.append(
                    f"MISSED on {side}: {figure.title} ({figure.name}): {show_number(value)} {figure.unit}, "
                    f"target {target}"
                )
            ours = record.get(figures[figure.rival], side) if figure.rival else None
            if ours is not None and (value < ours) == (figure.better == "lower") and value != ours:
                lines.append(
                    f"LOST on {side} to {figure.title} ({figure.name}): {show_number(ours)} against "
                    f"{show_number(value)} {figure.unit}"
                )
    return lines or [CLEAR]


def list_groups(record: Record) -> list[tuple[str, list[Figure]]]:
    """Return the figures that there is anything of, under their titles."""
    groups: list[tuple[str, list[Figure]]] = []
    for work in WORKS:
        if work.title:
            groups.append((work.title, []))
        groups[-1][1].extend(figure for figure in work.figures if figure.name in record.values)
    return [(title, figures) for title, figures in groups if figures]


def render_text(record: Record) -> str:
    """For a terminal."""
    lines = [f"{name}: {text}" for name, text in record.facts.items()]
    for title, figures in list_groups(record):
        lines += ["", f"{title}"]
        for figure in figures:
            label = f"{figure.title} [{figure.unit}]" if figure.unit else figure.title
            cells = [f"{side} {shown}" for side in SIDES if (shown := show_value(record, figure, side))]
            target = f"   target {target}" if (target := show_target(figure)) else ""
            lines.append(f"  {label:<58} {'   '.join(cells)}{target}")
    return "\n".join([*lines, "", *render_verdict(record)])


def render_page(record: Record) -> str:
    """For the documentation: a table for each group."""
    lines = [BEGIN, "", *[f"- {name}: {text}" for name, text in record.facts.items()], ""]
    for title, figures in list_groups(record):
        lines += [f"#### {title}", "", f"| | target | {' | '.join(SIDES)} |", f"|---|---|{'---:|' * len(SIDES)}"]
        for figure in figures:
            label = f"{figure.title}, {figure.unit}" if figure.unit else figure.title
            cells = [show_value(record, figure, side) for side in SIDES]
            lines.append(f"| {label} | {show_target(figure)} | {' | '.join(cells)} |")
        lines.append("")
    lines += ["#### What failed, was missed, or was lost", "", *[f"- {line}" for line in render_verdict(record)]]
    return "\n".join([*lines, "", END])
