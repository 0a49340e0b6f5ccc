"""Which figures of workflows are measured, what is each meant to reach, and how are they shown?"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.report import Results, show_cell, show_number

BEGIN, END = "<!-- workflows: begin -->", "<!-- workflows: end -->"
OURS = "quorate"
CLEAR = "Of what was measured, every target was met and nothing was lost to another framework."


@dataclass(frozen=True)
class Figure:
    """One row of the result; lower is better in all of them."""

    name: str
    title: str
    unit: str
    target: float | None = None
    """The most Quorate may cost; `None` where there is no promise."""
    rival: str = ""
    """The side that it is to beat by `times`."""
    times: float = 1.0


FIGURES = (
    Figure("chain_calls", "a tool step in a chain of 10 to 30", "calls", 300),
    Figure("chain_us", "… its time", "µs"),
    Figure("long_calls", "a tool step in a chain of 100 to 300", "calls", 300),
    Figure("long_us", "… its time", "µs"),
    Figure("wide_calls", "a tool step beside 10 to 110 others", "calls", 300),
    Figure("wide_us", "… its time", "µs"),
    Figure("agents_calls", "an agent step of a graph: a hop between agents", "calls", 300),
    Figure("agents_us", "… its time", "µs", 150),
    Figure("stage_calls", "a stage of a pipeline: a hop between agents", "calls", 300),
    Figure("stage_us", "… its time", "µs", 150),
    Figure("handoff_calls", "a handoff of a conversation", "calls", 300),
    Figure("handoff_us", "… its time", "µs", 150),
    Figure("durable_step_ms", "a step of a durable chain of 20, p50", "ms", 2),
    Figure("line_ms", "… all of the chain", "ms", rival="langgraph"),
    Figure("line_cpu_ms", "… its CPU", "ms"),
    Figure("graph_ms", "the durable graph of 20 nodes, three wide", "ms", rival="langgraph", times=5),
    Figure("graph_cpu_ms", "… its CPU", "ms"),
    Figure("map_s", "a step for each of 10,000 items, in memory", "s"),
    Figure("map_cpu_us", "… CPU of an item", "µs"),
    Figure("map_mib", "… resident memory it adds at most", "MiB", 64),
    Figure("map_traced_mib", "… by `tracemalloc`", "MiB", 64),
)
BY_NAME = {figure.name: figure for figure in FIGURES}
WORKS = ("chain", "long", "wide", "agents", "stage", "handoff", "durable", "map")


def find_ratio(results: Results, figure: Figure) -> float | None:
    """How many times a rival's figure is ours: the median of the rounds, each of which harms both sides alike."""
    ours = results.values.get(OURS, {}).get(figure.name, [])
    theirs = results.values.get(figure.rival, {}).get(figure.name, [])
    ratios = [one / other for one, other in zip(theirs, ours, strict=False) if other]
    return statistics.median(ratios) if ratios else None


def show_target(figure: Figure) -> str:
    if figure.target is not None:
        return f"≤ {show_number(figure.target)}"
    return f"{figure.times:g} × faster than {figure.rival}" if figure.times > 1 else ""


def judge(results: Results) -> list[str]:
    """Name what failed, what missed its target, and where another framework is better."""
    lines = [
        f"FAILED {side} {name}: {reason}"
        for side, reasons in results.failed.items()
        for name, reason in reasons.items()
    ]
    for figure in FIGURES:
        ours = results.get_median(OURS, figure.name)
        if ours is None:
            continue
        if figure.target is not None and ours > figure.target:
            lines.append(
                f"MISSED {figure.title} ({figure.name}): {show_number(ours)}, target {show_number(figure.target)}"
            )
        ratio = find_ratio(results, figure)
        if ratio is not None and ratio < figure.times:
            said = f"{ratio:.2f} × {figure.rival}'s, target {figure.times:g} ×"
            lines.append(f"MISSED {figure.title} ({figure.name}): as fast as {said}")
        for side in results.versions:
            theirs = results.get_median(side, figure.name)
            if side != OURS and theirs is not None and theirs < ours:
                lines.append(
                    f"LOST to {side}: {figure.title} ({figure.name}): {show_number(ours)} against {show_number(theirs)}"
                )
    return lines or [CLEAR]


def list_ratios(results: Results) -> list[str]:
    """Say how many times faster we are than who is to be beaten."""
    found = ((figure, find_ratio(results, figure)) for figure in FIGURES if figure.rival)
    return [
        f"{figure.title}: {ratio:.2f} times as fast as {figure.rival}" for figure, ratio in found if ratio is not None
    ]


def list_rows(results: Results) -> Sequence[Figure]:
    """The figures that anything is known of."""
    return [figure for figure in FIGURES if any(figure.name in values for values in results.values.values())]


def list_facts(results: Results) -> list[str]:
    versions = ", ".join(f"{side} {version}" for side, version in results.versions.items())
    return [*(f"{name}: {text}" for name, text in results.facts.items()), f"versions: {versions}"]


def render_text(results: Results) -> str:
    """For a terminal: a block for each figure."""
    lines = list_facts(results)
    for row in list_rows(results):
        target = f"; target {wanted}" if (wanted := show_target(row)) else ""
        lines += ["", f"{row.title} [{row.unit}]{target}   ({row.name})"]
        for side in results.versions:
            if cell := show_cell(results, side, row.name):
                lines.append(f"  {side:<16} {cell}")
    return "\n".join([*lines, "", *list_ratios(results), *judge(results)])


def render_page(results: Results) -> str:
    """For the documentation: a table between the marks."""
    sides = list(results.versions)
    lines = [BEGIN, "", *(f"- {fact}" for fact in list_facts(results)), ""]
    lines += [f"| | target | {' | '.join(sides)} |", f"|---|---|{'---:|' * len(sides)}"]
    for row in list_rows(results):
        cells = [show_cell(results, side, row.name) for side in sides]
        lines.append(f"| {row.title}, {row.unit} | {show_target(row)} | {' | '.join(cells)} |")
    said = [*list_ratios(results), *judge(results)]
    return "\n".join(
        [
            *lines,
            "",
            "#### What was reached, failed, was missed, or was lost",
            "",
            *(f"- {line}" for line in said),
            "",
            END,
        ]
    )
