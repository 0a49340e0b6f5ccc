"""What do workflows, hops between agents and wide maps cost? With `--peers` other frameworks run the same graphs.

    python benchmarks/workflows.py [--peers] [--rounds 5] [--only NAME …] [--size 1] [--json] [--save]

Counted calls are measured once, as they do not vary; times once in each round, in a new process for each side, the
sides taking turns, so that a slow moment of the machine hits all alike. What is durable writes a fresh SQLite file.
`--peers` installs the frameworks of `workflow_peers.txt` into the user's cache directory. Ctrl-C prints what there is.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# This file is run as a script, from whatever folder.
sys.path[0] = str(ROOT)

from benchmarks.peers import NotInstalled  # noqa: E402
from benchmarks.record_peers import install_peer, read_pins  # noqa: E402
from benchmarks.report import Results  # noqa: E402
from benchmarks.run import PAGE, build_env, describe, log, read_version  # noqa: E402
from benchmarks.workflow_figures import BEGIN, END, OURS, WORKS, render_page, render_text  # noqa: E402

PINS = ROOT / "benchmarks" / "workflow_peers.txt"
TIMEOUT_S = 1800


def run_worker(
    python: str, side: str, kind: str, works: list[str], size: float
) -> tuple[dict[str, float], dict[str, str]]:
    """Measure one kind of figures of one side in a process of its own."""
    env = build_env(PYTHONHASHSEED="0") if kind == "count" else build_env()
    command = [python, "-m", "benchmarks.workflow_work", side, kind, str(size), *works]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return {}, {"all": f"no end within {TIMEOUT_S} s"}
    try:
        found = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        said = done.stderr.strip().splitlines() or ["no output"]
        return {}, {"all": f"the process ended with {done.returncode}: {said[-1]}"}
    return found["values"], found["failed"]


def measure_all(results: Results, pythons: dict[str, str], works: list[str], given: argparse.Namespace) -> None:
    """Fill `results`, so that whoever interrupts this has what there is."""
    for number in range(given.rounds):
        for kind in ("count", "time"):
            if kind == "count" and number:
                continue
            for side, python in pythons.items():
                log(f"round {number + 1} of {given.rounds}: {kind} {side}")
                results.add(side, *run_worker(python, side, kind, works, given.size))


def find_pythons(results: Results, peers: dict[str, list[str]]) -> dict[str, str]:
    """Find each side's interpreter; a side that cannot be installed has failed at everything."""
    pythons: dict[str, str] = {}
    for side in results.versions:
        if side == OURS:
            pythons[side] = sys.executable
            continue
        log(f"install {' '.join(peers[side])}")
        try:
            pythons[side] = install_peer(side, peers[side])
        except NotInstalled as error:
            results.add(side, {}, {"all": str(error)})
    return pythons


def parse(peers: dict[str, list[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--peers", action="store_true", help="other frameworks too")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help=f"of {', '.join((*WORKS, OURS, *peers))}")
    parser.add_argument("--size", type=float, default=1.0, help="less than 1 measures less: for trying it out")
    parser.add_argument("--json", action="store_true", help="print the raw results")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results and the table in docs")
    given, _ = parser.parse_known_args()  # `make bench` gives its arguments to all scripts
    if given.save and (given.only or given.size != 1):
        parser.error("what is saved is a whole run: leave out `--only` and `--size`")
    return given


def save(results: Results) -> None:
    """Keep the raw results, and put the table into the page."""
    path = ROOT / "benchmarks" / "results" / f"{results.facts['date'][:10]}-workflows.json"
    path.write_text(json.dumps(asdict(results), indent=1) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.partition(BEGIN)[0], page.partition(END)[2]
    PAGE.write_text(before + render_page(results) + after, encoding="utf-8")


def main() -> None:
    peers = read_pins(PINS)
    given = parse(peers)
    everyone = [OURS, *(peers if given.peers else ())]
    sides = [side for side in (OURS, *peers) if side in given.only] or everyone
    works = [work for work in WORKS if work in given.only]
    if given.only and not works and not {*given.only} & {OURS, *peers}:
        log(f"nothing of workflows was asked for; there are {', '.join((*WORKS, OURS, *peers))}")
        return
    versions = {side: read_version() if side == OURS else " ".join(peers[side]) for side in sides}
    results = Results(describe(), versions)
    results.facts["command"] = f"python benchmarks/workflows.py {' '.join(sys.argv[1:])}".strip()
    results.facts["spread"] = f"rounds: {given.rounds}; shown is the median (lowest–highest); counts do not vary"
    try:
        measure_all(results, find_pythons(results, peers), works, given)
    except KeyboardInterrupt:
        log("interrupted: this is what there is")
        results.facts["interrupted"] = "yes"
        given.save = False
    results.facts["load after"] = " ".join(f"{load:.2f}" for load in os.getloadavg())
    print(json.dumps(asdict(results), indent=1) if given.json else render_text(results))
    if given.save:
        save(results)


if __name__ == "__main__":
    main()
