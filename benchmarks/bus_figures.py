"""Which figures are there of the bus, what is promised of each, and where was a promise missed?"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.report import show_number

BEGIN, END = "<!-- bus: begin -->", "<!-- bus: end -->"
IN_FLIGHT = 64
BATCH = 500
PACE = 250
"""Messages between agents a second, while it is measured how long each takes."""


@dataclass(frozen=True)
class Figure:
    """One line of the results."""

    name: str
    title: str
    unit: str
    better: Literal["higher", "lower"]
    ratio: float | None = None
    """What is promised of ours as a multiple of the bare side's, of the same round."""
    bound: float | None = None
    """What is promised of ours by itself."""


FIGURES = (
    Figure("local", "local bus, publish to receive, 256 B", "messages/s", "higher", bound=200_000),
    Figure("tell_256", "publish to receive, 256 B", "messages/s", "higher", ratio=0.6),
    Figure("tell_4k", "publish to receive, 4 KB", "messages/s", "higher", ratio=0.75),
    Figure("ask_p50", "request, one at a time, 256 B, p50", "µs", "lower", ratio=1.3),
    Figure("ask_64", f"requests, {IN_FLIGHT} in flight, 256 B", "requests/s", "higher"),
    Figure("enqueue", f"enqueue in batches of {BATCH}, 256 B", "messages/s", "higher", ratio=0.8),
    Figure("work", "work and acknowledge", "messages/s", "higher", ratio=0.8),
    Figure("codec_json", "agent message of 6 KB, written and read, JSON", "µs", "lower", ratio=1.3),
    Figure("codec_msgpack", "agent message of 6 KB, written and read, MessagePack", "µs", "lower", ratio=1.3),
    Figure("sealed_json_p95", "the same in its envelope, JSON, p95", "ms", "lower", bound=1.0),
    Figure("sealed_msgpack_p95", "the same in its envelope, MessagePack, p95", "ms", "lower", bound=1.0),
    Figure("sealed_protobuf_p95", "the same in its envelope, Protobuf, p95", "ms", "lower", bound=1.0),
    Figure("mail_p50", f"message between agents, {PACE} a second, until recorded, p50", "ms", "lower"),
    Figure("mail_p95", f"message between agents, {PACE} a second, until recorded, p95", "ms", "lower", bound=10),
    Figure("mail_ask_p95", "question between agents, one at a time, until its answer is there, p95", "ms", "lower"),
    Figure("mail_rate", "messages between agents in 16 conversations, until recorded", "1/s", "higher", bound=200),
)  # fmt: skip
BY_NAME = {figure.name: figure for figure in FIGURES}


@dataclass(frozen=True)
class Took:
    """What one measurement gave."""

    value: float
    cpu_us: float
    """CPU of this process for each message, without the server's."""


@dataclass
class Results:
    """All that was measured, and where."""

    facts: dict[str, str]
    """What the figures depend on: machine, versions, command."""
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """By figure and side (`ours`, `bare`), one for each round."""
    cpu_us: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """CPU for each message, likewise: what a busy machine changes least."""

    def add(self, name: str, value: float | Took, *, side: str = "ours") -> None:
        if isinstance(value, Took):
            self.cpu_us.setdefault(name, {}).setdefault(side, []).append(value.cpu_us)
            value = value.value
        self.values.setdefault(BY_NAME[name].name, {}).setdefault(side, []).append(value)

    def get_ratios(self, figure: Figure) -> list[float]:
        """Ours as multiples of the bare side's, round by round."""
        sides = self.values.get(figure.name, {})
        return [ours / bare for ours, bare in zip(sides.get("ours", ()), sides.get("bare", ()), strict=False)]


def show_spread(values: list[float]) -> str:
    """The median, and the lowest and highest where they differ."""
    if not values:
        return ""
    middle, low, high = (show_number(pick(values)) for pick in (statistics.median, min, max))
    return middle if low == high else f"{middle} ({low}–{high})"


def show_promise(figure: Figure) -> str:
    word = "≥" if figure.better == "higher" else "≤"
    if figure.ratio is not None:
        return f"{word} {show_number(figure.ratio)} × bare"
    return f"{word} {show_number(figure.bound)}" if figure.bound is not None else ""


def is_missed(figure: Figure, value: float, promised: float) -> bool:
    return value < promised if figure.better == "higher" else value > promised


def judge(results: Results) -> list[str]:
    """Name every promise that was missed."""
    lines: list[str] = []
    for figure in FIGURES:
        ratios, ours = results.get_ratios(figure), results.values.get(figure.name, {}).get("ours", [])
        if figure.ratio is not None and ratios and is_missed(figure, statistics.median(ratios), figure.ratio):
            found = f"{show_number(statistics.median(ratios))} × bare"
            lines.append(f"MISSED {figure.title} ({figure.name}): {found}, promised {show_promise(figure)}")
        if figure.bound is not None and ours and is_missed(figure, statistics.median(ours), figure.bound):
            found = f"{show_number(statistics.median(ours))} {figure.unit}"
            lines.append(f"MISSED {figure.title} ({figure.name}): {found}, promised {show_promise(figure)}")
    return lines or ["Of what was measured, every promise was kept."]


def render_page(results: Results) -> str:
    """For the documentation, and for a terminal."""
    lines = [BEGIN, "", *[f"- {name}: {text}" for name, text in results.facts.items()], ""]
    lines += ["| | unit | promised | ours | bare | ours ÷ bare | CPU, ours | CPU, bare |"]
    lines += [f"|---|---|---|{'---:|' * 5}"]
    for figure in FIGURES:
        sides, cpu = results.values.get(figure.name), results.cpu_us.get(figure.name, {})
        if sides:
            found = [sides.get("ours", []), sides.get("bare", []), results.get_ratios(figure)]
            shown = [show_spread(values) for values in (*found, cpu.get("ours", []), cpu.get("bare", []))]
            lines.append(f"| {' | '.join([figure.title, figure.unit, show_promise(figure), *shown])} |")
    return "\n".join([*lines, "", *[f"- {line}" for line in judge(results)], "", END])
