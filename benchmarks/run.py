"""What does an agent cost? Measures a hand-written loop, Quorate, and with `--peers` other frameworks on the same work.

    python benchmarks/run.py [--peers] [--rounds 5] [--only NAME …] [--json] [--save]

Counted calls are measured once, as they do not vary; times once in each round, in a new process for each side, the
sides taking turns, so that a slow moment of the machine hits all alike. `--peers` installs the frameworks of
`peers.txt` into the user's cache directory. Ctrl-C prints what there is.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# This file is run as a script, from whatever folder.
sys.path[0] = str(ROOT)

from benchmarks.footprint import measure_help, measure_import, measure_install, read_side  # noqa: E402
from benchmarks.peers import OURS, NotInstalled, install, read_pins  # noqa: E402
from benchmarks.report import BEGIN, END, Results, render_page, render_text  # noqa: E402
from benchmarks.workloads import BY_NAME, WORKLOADS, Workload  # noqa: E402

PAGE = ROOT / "docs" / "benchmarks.md"
CLEAN = ("HOME", "LANG", "PATH", "TMPDIR", "USER", "XDG_CACHE_HOME")
WORKER_TIMEOUT_S = 1800


def build_env(**more: str) -> dict[str, str]:
    """Nothing of the caller's environment that could change a measurement, or hand a key to a framework."""
    return {name: os.environ[name] for name in CLEAN if name in os.environ} | more


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def run_worker(python: str, side: str, kind: str, names: list[str]) -> tuple[dict[str, float], dict[str, str]]:
    """Measure one kind of workloads of one side in a process of its own."""
    env = build_env(PYTHONHASHSEED="0") if kind == "count" else build_env()
    command = [python, "-m", "benchmarks.worker", side, kind, *names]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=WORKER_TIMEOUT_S, check=False
        )
        found = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {}, dict.fromkeys(names, f"no end within {WORKER_TIMEOUT_S} s")
    except (IndexError, ValueError):
        said = done.stderr.strip().splitlines() or ["no output"]
        return {}, dict.fromkeys(names, f"the process ended with {done.returncode}: {said[-1]}")
    return found["values"], found["failed"]


def run_footprint(python: str, side: str, names: list[str]) -> tuple[dict[str, float], dict[str, str]]:
    """Measure what a side costs to have."""
    package, statement = read_side(side)
    env = build_env()
    parts: list[tuple[tuple[str, ...], Callable[[], dict[str, float]]]] = [
        (("modules", "import_ms", "rss_mib"), lambda: measure_import(python, statement, env)),
        (("distributions", "installed_mb"), lambda: measure_install(python, package, env)),
    ]
    if side == "quorate":
        parts.append((("help_ratio",), lambda: measure_help(env)))
    values: dict[str, float] = {}
    failed: dict[str, str] = {}
    for wanted, measure in parts:
        if not set(wanted) & set(names):
            continue
        try:
            values |= measure()
        except (OSError, RuntimeError, PackageNotFoundError, subprocess.TimeoutExpired) as error:
            failed |= dict.fromkeys(wanted, str(error))
    return values, failed


def measure_all(results: Results, pythons: dict[str, str], workloads: list[Workload], rounds: int) -> None:
    """Fill `results`, so that whoever interrupts this has what there is."""
    for number in range(rounds):
        for kind in ("count", "time", "import"):
            names = [workload.name for workload in workloads if workload.kind == kind]
            if not names or (kind == "count" and number):
                continue
            for side, python in pythons.items():
                log(f"round {number + 1} of {rounds}: {kind} {side}")
                measured = (
                    run_footprint(python, side, names) if kind == "import" else run_worker(python, side, kind, names)
                )
                results.add(side, *({name: some[name] for name in names if name in some} for some in measured))


def find_pythons(results: Results, chosen: list[str], workloads: list[Workload]) -> dict[str, str]:
    """Find each side's interpreter; a side that cannot be installed has failed at everything."""
    pythons: dict[str, str] = {}
    pins = read_pins()
    for side in chosen:
        if side in OURS:
            pythons[side] = sys.executable
            continue
        log(f"install {pins[side]}")
        try:
            pythons[side] = install(side, pins[side])
        except NotInstalled as error:
            results.add(side, {}, {workload.name: str(error) for workload in workloads})
    return pythons


def describe() -> dict[str, str]:
    """Say what the numbers depend on."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": f"python benchmarks/run.py {' '.join(sys.argv[1:])}".strip(),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "machine": f"{platform.system()} {platform.release()}, {model}, {os.cpu_count()} cores",
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--peers", action="store_true", help="other frameworks too")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these workloads or sides")
    parser.add_argument("--json", action="store_true", help="print the raw results")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results and the table in docs")
    given = parser.parse_args()
    unknown = sorted(set(given.only) - {*BY_NAME, *OURS, *read_pins()})
    if unknown:
        parser.error(f"no workload or side is called {unknown}; there are {[*BY_NAME, *OURS, *read_pins()]}")
    if not given.peers and (peers := sorted(set(given.only) & {*read_pins()})):
        parser.error(f"{peers} are installed only with `--peers`")
    if given.save and given.only:
        parser.error("what is saved is a whole run: leave out `--only`")
    return given


def save(results: Results) -> None:
    """Keep the raw results, and put the table into the page."""
    path = ROOT / "benchmarks" / "results" / f"{results.facts['date'][:10]}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(asdict(results), indent=1) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.partition(BEGIN)[0], page.partition(END)[2]
    PAGE.write_text(before + render_page(results) + after, encoding="utf-8")


def main() -> None:
    given = parse()
    pins = read_pins()
    sides = [*OURS, *(pins if given.peers else ())]
    chosen = [side for side in (*OURS, *pins) if side in given.only] or sides
    workloads = [workload for workload in WORKLOADS if workload.name in given.only]
    workloads = workloads or list(WORKLOADS)
    versions = {side: pins[side].rpartition("=")[2] if side in pins else "" for side in chosen}
    if "quorate" in versions:
        versions["quorate"] = read_version()
    results = Results(describe(), versions)
    results.facts["spread"] = f"rounds: {given.rounds}; shown is the median (lowest–highest); counts do not vary"
    try:
        measure_all(results, find_pythons(results, chosen, workloads), workloads, given.rounds)
    except KeyboardInterrupt:
        log("interrupted: this is what there is")
        results.facts["interrupted"] = "yes"
        given.save = False
    results.facts["load after"] = " ".join(f"{load:.2f}" for load in os.getloadavg())
    print(json.dumps(asdict(results), indent=1) if given.json else render_text(results))
    if given.save:
        save(results)


def read_version() -> str:
    from quorate import __version__

    return __version__


if __name__ == "__main__":
    main()
