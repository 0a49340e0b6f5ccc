"""What do traces, counts and logs cost a run whose model is asked over HTTP?

    python benchmarks/telemetry.py [--rounds 30] [--runs 30] [--json] [--save]

Four runtimes in one process take turns: with nothing, with logs as JSON, with counts, and with counts and traces, all
of which are sent to a receiver by OTLP. What is compared is CPU of the process, all its threads included, which a busy
machine changes less than time. The provider and the receiver are another process. Calls of functions are counted once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# This file is run as a script, from whatever folder.
sys.path[0] = str(ROOT)

from benchmarks.report import show_number  # noqa: E402
from benchmarks.run import PAGE, describe, log, read_version  # noqa: E402
from benchmarks.telemetry_work import SIDES, count_turn, measure_sides, serve_others  # noqa: E402

BEGIN, END = "<!-- telemetry: begin -->", "<!-- telemetry: end -->"
PROMISED = {"logs": ("off", 1.0), "metrics": ("off", 2.0), "traces": ("metrics", 5.0)}
"""With what each side is compared, and how many percent it may cost."""
MOST_CALLS = 600


@dataclass
class Results:
    """All that was measured, and where."""

    facts: dict[str, str]
    cpu_us: dict[str, list[float]] = field(default_factory=lambda: {side: list[float]() for side in SIDES})
    """CPU for each run by side, one for each round."""
    calls: dict[str, float] = field(default_factory=dict)
    """Calls of a tool turn, with everything shown and with nothing."""

    def find_least_cost(self, side: str) -> float:
        """What a side costs in percent, by the quickest round of each: what a busy machine harms least."""
        return (min(self.cpu_us[side]) / min(self.cpu_us[PROMISED[side][0]]) - 1) * 100

    def list_costs(self, side: str) -> list[float]:
        """What a side costs in percent of what it is compared with, round by round."""
        base = self.cpu_us[PROMISED[side][0]]
        return [(one / other - 1) * 100 for one, other in zip(self.cpu_us[side], base, strict=False)]


def find_quartiles(values: list[float]) -> tuple[float, float]:
    """Find between which two values the middle half is."""
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def render_page(results: Results) -> str:
    lines = [BEGIN, "", *(f"- {name}: {value}" for name, value in results.facts.items()), ""]
    head = ("with", "CPU for a run, µs", "quickest round", "more than", "by, %", "quickest rounds, %", "promised, %")
    lines += [f"| {' | '.join(head)} |", "| --- | ---: | ---: | --- | ---: | ---: | ---: |"]
    for side, values in results.cpu_us.items():
        if not values:
            continue
        row = [side, show_number(statistics.median(values)), show_number(min(values)), "", "", "", ""]
        if side in PROMISED:
            base, most = PROMISED[side]
            costs = results.list_costs(side)
            low, high = find_quartiles(costs)
            median = f"{statistics.median(costs):.1f} ({low:.1f}–{high:.1f})"
            row[3:] = [base, median, f"{results.find_least_cost(side):.1f}", f"< {most:g}"]
        lines.append(f"| {' | '.join(row)} |")
    if results.calls:
        shown, bare = results.calls["shown"], results.calls["bare"]
        said = f"A tool turn takes {bare:.0f} calls of functions, and {shown:.0f} with its spans and counts sent"
        lines += ["", f"{said} (promised: {MOST_CALLS} at most)."]
    return "\n".join([*lines, "", END])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--runs", type=int, default=30, help="in each round, of each side")
    parser.add_argument("--json", action="store_true", help="print the raw results")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results and the table in docs")
    given, _ = parser.parse_known_args()  # `make bench` gives its arguments to all scripts
    return given


def save(results: Results) -> None:
    """Keep the raw results, and put the table into the page."""
    path = ROOT / "benchmarks" / "results" / f"{results.facts['date'][:10]}-telemetry.json"
    path.write_text(json.dumps(asdict(results), indent=1) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    PAGE.write_text(f"{before}{render_page(results)}{rest.partition(END)[2]}", encoding="utf-8")


def main() -> None:
    given = parse()
    names = ["msgspec", "aiohttp", "opentelemetry-sdk"]
    results = Results(
        {
            **describe(),
            "command": f"python benchmarks/telemetry.py {' '.join(sys.argv[1:])}".strip(),
            "versions": ", ".join([f"quorate {read_version()}", *[f"{name} {version(name)}" for name in names]]),
            "spread": f"rounds: {given.rounds}, of {given.runs} runs each; shown is the median (middle half)",
        }
    )

    def note(side: str, value: float) -> None:
        results.cpu_us[side].append(value)

    try:
        with serve_others() as origin:
            results.calls["bare"] = asyncio.run(count_turn(origin, shows=False))
            results.calls["shown"] = asyncio.run(count_turn(origin, shows=True))
            asyncio.run(measure_sides(origin, rounds=given.rounds, runs=given.runs, note=note, log=log))
    except KeyboardInterrupt:
        log("interrupted: this is what there is")
    print(json.dumps(asdict(results)) if given.json else render_page(results))
    if given.save:
        save(results)


if __name__ == "__main__":
    main()
