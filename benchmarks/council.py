"""How long does a count take, and when is a council right more often than its best member?

    python benchmarks/council.py [--part tally agents overhead accuracy] [--rounds 5] [--tasks 2000] [--seed 1]
                                 [--json] [--save]

`tally` measures every rule; `agents` has real agents decide that answer by script, and compares; `overhead` measures
what decisions take, also with members that are broken; `accuracy` gives tasks to simulated members of known skill,
and counts their ballots by the same code that counts real ones. What is simulated depends on the seed alone. `--save`
writes tables into docs/benchmarks.md, and plots and tables into docs/council and docs/explanation/when-to-vote.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# This file is run as a script, from whatever folder.
sys.path[0] = str(ROOT)

from benchmarks.council_agents import Held, hold_decisions  # noqa: E402
from benchmarks.council_overhead import measure_faults, measure_overhead  # noqa: E402
from benchmarks.council_overhead import render as render_overhead  # noqa: E402
from benchmarks.council_plots import draw  # noqa: E402
from benchmarks.council_sweeps import (  # noqa: E402
    APART,
    COUNCILS,
    LARGE,
    PLAIN,
    SMALL,
    SWEEPS,
    TABLES,
    TOGETHER,
    build_plot,
    render_cost,
    render_sweep,
    render_table,
)
from benchmarks.council_tally import BALLOTS, OPTIONS, PROMISED_MS, USUAL_MS, measure_tallies  # noqa: E402
from benchmarks.council_trials import Tried, run_trials  # noqa: E402
from benchmarks.report import show_number  # noqa: E402
from benchmarks.run import PAGE, describe, log, read_version  # noqa: E402

PARTS = ("tally", "agents", "overhead", "accuracy")
AGENT_TASKS = 25
"""How many tasks agents decide by each of some rules; each takes a run of every member."""
DECISIONS, FAULTY_DECISIONS = 50, 200
"""How many decisions are measured, and how many with members that are broken."""
ADVICE, PLOTS = ROOT / "docs" / "explanation" / "when-to-vote.md", ROOT / "docs" / "council"
BEGIN, END = "<!-- {}: begin -->", "<!-- {}: end -->"


def run_tally(rounds: int) -> dict[str, list[float]]:
    """Measure all rules, round by round."""
    found: dict[str, list[float]] = {}
    for number in range(rounds):
        log(f"round {number + 1} of {rounds}: tally")
        for name, value in measure_tallies().items():
            found.setdefault(name, []).append(value)
    return found


def render_tally(found: dict[str, list[float]]) -> str:
    lines = ["| rule | promised, ms | ms |", "|---|---:|---:|"]
    missed: list[str] = []
    for name, values in found.items():
        most, median = PROMISED_MS.get(name, USUAL_MS), statistics.median(values)
        spread = f"{show_number(median)} ({show_number(min(values))}–{show_number(max(values))})"
        lines.append(f"| {name} | < {most:g} | {spread} |")
        if median >= most:
            missed.append(f"- MISSED {name}: {show_number(median)} ms, promised {most:g}")
    return "\n".join([*lines, "", *(missed or ["Every promise was kept."])])


def render_agents(held: dict[str, Held]) -> str:
    lines = [
        "| rule | decisions of seven agents | as simulated | right | CPU added, ms |",
        "|---|---:|---:|---:|---:|",
    ]
    for rule, one in held.items():
        median, low, high = statistics.median(one.added_ms), min(one.added_ms), max(one.added_ms)
        added = f"{show_number(median)} ({show_number(low)}–{show_number(high)})"
        lines.append(f"| {rule} | {one.decisions} | {one.alike} | {one.right} | {added} |")
    return "\n".join(lines)


def run_accuracy(tasks: int, seed: int) -> tuple[dict[str, str], dict[str, str], dict[str, object]]:
    """Try all councils; returns what stands between the marks of the page, the plots, and the shares."""
    blocks: dict[str, str] = {}
    plots: dict[str, str] = {}
    raw: dict[str, object] = {}

    def keep(name: str, tried: dict[str, Tried]) -> dict[str, Tried]:
        raw[name] = {side: {"right": sum(one.right), "decided": one.decided} for side, one in tried.items()}
        return tried

    for name, (title, setting) in TABLES.items():
        log(f"table {name}")
        tried = keep(name, run_trials(setting, tasks=tasks, seed=seed))
        blocks[name] = "\n".join([f"*{title}.*", "", *render_table(tried)])
    for sweep in SWEEPS:
        log(f"sweep {sweep.name}")
        points = [
            (at, keep(f"{sweep.name} {at:g}", run_trials(setting, tasks=tasks, seed=seed, sides=sweep.sides)))
            for at, setting in sweep.settings
        ]
        blocks[sweep.name] = "\n".join(render_sweep(sweep, points))
        plots[sweep.name] = draw(build_plot(sweep, points))
    side = "plurality, learned weights"
    log("cost")
    councils = [
        [
            (size, run_trials(replace(setting, members=size), tasks=tasks, seed=seed, sides=[side])[side])
            for size in COUNCILS
        ]
        for setting in (APART, TOGETHER)
    ]
    blocks["cost"] = "\n".join(render_cost(*councils))
    return blocks, plots, raw


def put(page: Path, name: str, text: str) -> None:
    """Put text between the marks of a page."""
    begin, end = BEGIN.format(name), END.format(name)
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    if not found:
        raise SystemExit(f"{page} has no {begin}")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{rest.partition(end)[2]}", encoding="utf-8")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=5, help="of the tally")
    parser.add_argument("--tasks", type=int, default=2_000, help="for each council")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the raw results")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results, plots and tables in docs")
    given, _ = parser.parse_known_args()  # `make bench` gives its arguments to all scripts
    return given


def main() -> None:
    given = parse()
    facts = {
        **describe(),
        "command": f"python benchmarks/council.py {' '.join(sys.argv[1:])}".strip(),
        "versions": f"quorate {read_version()}",
    }
    results: dict[str, object] = {"facts": facts}
    shown: list[str] = []
    listed = [f"- {name}: {value}" for name, value in facts.items()]
    if "tally" in given.part:
        spread = f"- spread: rounds: {given.rounds}; shown is the median (lowest–highest)"
        what = f"{BALLOTS:,} ballots with weights, {OPTIONS} options, each ballot checked and counted:"
        results["tally"] = found = run_tally(given.rounds)
        text = "\n".join([*listed, spread, "", what, "", render_tally(found)])
        shown.append(text)
        if given.save:
            put(PAGE, "council", text)
    if "agents" in given.part:
        log("agents")
        held = asyncio.run(hold_decisions(PLAIN, tasks=AGENT_TASKS, seed=given.seed))
        results["agents"] = {rule: asdict(one) for rule, one in held.items()}
        text = "\n".join([*listed, "", render_agents(held)])
        shown.append(text)
        if given.save:
            put(PAGE, "council-agents", text)
    if "overhead" in given.part:
        log("overhead")
        overhead = asyncio.run(measure_overhead(DECISIONS))
        faults = asyncio.run(measure_faults(FAULTY_DECISIONS, given.seed))
        results["overhead"] = {"overhead": asdict(overhead), "faults": asdict(faults)}
        text = "\n".join([*listed, "", render_overhead(overhead, faults)])
        shown.append(text)
        if given.save:
            put(PAGE, "council-overhead", text)
    if "accuracy" in given.part:
        began = time.monotonic()
        blocks, plots, results["accuracy"] = run_accuracy(given.tasks, given.seed)
        log(f"accuracy took {time.monotonic() - began:.0f} s")
        model = f"tasks: {given.tasks:,} for each council; seed: {given.seed}; bounds: 95 %"
        price = f"a ballot: {SMALL.tokens_in:,} tokens in, {SMALL.tokens_out} out; "
        price += (
            f"a million: {SMALL.usd_in:g} and {SMALL.usd_out:g} USD small, {LARGE.usd_in:g} and {LARGE.usd_out:g} large"
        )
        blocks = {
            "facts": "\n".join(
                [f"- date: {facts['date']}", f"- command: {facts['command']}", f"- {model}", f"- {price}"]
            )
        } | blocks
        shown += [f"## {name}\n\n{block}" for name, block in blocks.items()]
        if given.save:
            PLOTS.mkdir(exist_ok=True)
            for name, text in plots.items():
                (PLOTS / f"{name}.svg").write_text(text, encoding="utf-8")
            for name, text in blocks.items():
                put(ADVICE, name, text)
    print(json.dumps(results, indent=1) if given.json else "\n\n".join(shown))
    if given.save:
        path = ROOT / "benchmarks" / "results" / f"{facts['date'][:10]}-council.json"
        # Parts may be measured one by one.
        kept: dict[str, object] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.write_text(json.dumps(kept | results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
