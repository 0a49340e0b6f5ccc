"""How long does it take to load, search, route among and look closely at hundreds of agent files?

    python benchmarks/catalog.py [--files 330] [--rounds 15] [--shipped]

Files are generated, a sixth of them with playbooks, of the size of those that are shipped; `--shipped` measures these
instead. Each round is a fresh process, since the first load is the one that counts; shown is the median
(lowest–highest) by the wall clock, and by what the processor was busy. The work of importing is not in it.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# This file is run as a script, from whatever folder.
sys.path[0] = str(ROOT)

from benchmarks.run import describe  # noqa: E402
from quorate.catalog.files import BUILTIN  # noqa: E402
from quorate.catalog.load import load_catalog  # noqa: E402

SAMPLE = ROOT / "tests" / "unit" / "catalog" / "whole.md"
PLAYBOOK = BUILTIN / "code" / "code-review.md"
SUBJECTS = ("disk", "network", "queue", "cache", "billing", "tenant", "certificate", "backup", "schema", "index")
Timed = dict[str, tuple[float, float]]


def write_files(directory: Path, count: int) -> None:
    """Write agents of the usual size, each with words of its own."""
    for number in range(count):
        sample = PLAYBOOK if number % 6 == 0 else SAMPLE
        subject = SUBJECTS[number % 10]
        name = f"{subject}-{sample.stem}-{number}"
        text = re.sub(r"^- (?:Up to|To) .*\n", "", sample.read_text(encoding="utf-8"), flags=re.MULTILINE)
        text = re.sub(r'^name = ".*"', f'name = "{name}"', text, count=1, flags=re.MULTILINE)
        text = re.sub(
            r"^triggers = \[", f'triggers = ["{subject} lost {number}", "slow {subject}", ', text, flags=re.MULTILINE
        )
        path = directory / subject / f"{name}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


def measure(directory: Path, index: Path) -> Timed:
    """Measure one go at everything in this process, in milliseconds by the wall clock and of processor time."""
    taken: Timed = {}

    def take(name: str, work: Callable[[], object]) -> object:
        wall, busy = time.perf_counter(), time.process_time()
        found = work()
        taken[name] = (time.perf_counter() - wall) * 1000, (time.process_time() - busy) * 1000
        return found

    known = index.is_dir()
    if known:
        take("load from its index", lambda: load_catalog(builtin=directory, index=index))
    catalog = load_catalog(builtin=directory) if known else None
    if catalog is None:
        take("load as a user's own, all read", lambda: load_catalog([directory], builtin=None))
        return taken
    names = catalog.names()
    take("look at one", lambda: catalog.look_at(names[-1]))
    take("get one, first", lambda: catalog.get(names[-1]))
    take("get one, again", lambda: catalog.get(names[-1]))
    take("select by tier and tool", lambda: catalog.select(tier="task", tools=["read_file"]))
    take("find, first", lambda: catalog.find("certificate gone"))
    take("find, next", lambda: catalog.find("backup slow"))
    take("route, first", lambda: catalog.route("why is the slow queue on host-2?"))
    take("route, next", lambda: catalog.route("why is the slow cache full on host-3?"))
    return taken


def measure_cold(directory: Path) -> Timed:
    """Measure the first load of a process, without an index."""
    wall, busy = time.perf_counter(), time.process_time()
    load_catalog(builtin=directory)
    return {"load, cold": ((time.perf_counter() - wall) * 1000, (time.process_time() - busy) * 1000)}


def run_rounds(directory: Path, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Measure in fresh processes."""
    found: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):
            for mode in ("cold", "known", "unknown"):
                index = Path(folder) / ("none" if mode == "unknown" else "index")
                command = [sys.executable, __file__, "--measure", mode, str(directory), str(index)]
                told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                for name, times in json.loads(told).items():
                    if number:  # the first writes the index and fills the caches of the disk
                        found.setdefault(name, []).append((times[0], times[1]))
            load_catalog(builtin=directory, index=Path(folder) / "index")
    return found


def main() -> None:
    """Generate the files, measure, print."""
    if sys.argv[1:2] == ["--measure"]:
        mode, directory, index = sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])
        print(json.dumps(measure_cold(directory) if mode == "cold" else measure(directory, index)))
        return
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--files", type=int, default=330)
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--shipped", action="store_true")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        directory = BUILTIN if chosen.shipped else Path(folder)
        if not chosen.shipped:
            write_files(directory, chosen.files)
        count = sum(1 for _ in directory.rglob("*.md"))
        size = sum(path.stat().st_size for path in directory.rglob("*.md"))
        found = run_rounds(directory, chosen.rounds)
    for name, value in {**describe(), "command": f"python benchmarks/catalog.py {' '.join(sys.argv[1:])}"}.items():
        print(f"{name}: {value}")
    print(f"{count} agent files, {size / 1e6:.1f} MB, {chosen.rounds} fresh processes each")
    for name, times in found.items():
        walls, busy = [one[0] for one in times], [one[1] for one in times]
        print(
            f"{name:32} {statistics.median(walls):9.3f} ms ({min(walls):.3f}–{max(walls):.3f}), "
            f"processor {statistics.median(busy):9.3f} ms ({min(busy):.3f}–{max(busy):.3f})"
        )


if __name__ == "__main__":
    main()
