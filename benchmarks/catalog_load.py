"""How long does it take to load, search and route among hundreds of agent files?

Run it with `python benchmarks/catalog_load.py [FILES]`. The files are generated; the first load in a fresh process is
the one that counts, so each round starts a new interpreter.
"""

import itertools
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 7
SUBJECTS = ("disk", "network", "queue", "cache", "billing", "tenant", "certificate", "backup", "schema", "index")


def write_files(directory: Path, count: int) -> None:
    """Write agents of the usual size: about a kilobyte of front matter and as much of instructions."""
    for number in range(count):
        subject, other = SUBJECTS[number % 10], SUBJECTS[number // 10 % 10]
        words = ", ".join(f'"{subject} {word}"' for word in ("full", "slow", f"lost {number}", "check", f"of {other}"))
        examples = ", ".join(f'"why is the {subject} {word} on host-{number}?"' for word in ("slow", "full", "gone"))
        name = f"{subject}-{other}-{number}"
        path = directory / subject / f"{name}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            f'+++\nname = "{name}"\nversion = "1"\n'
            f'description = "Finds out what is wrong with the {subject} of {other}."\n'
            f'tier = "task"\ndomain = "{subject}"\ntriggers = [{words}]\ntools = ["measure", "compare"]\n'
            f'output = "diagnosis"\nexamples = [{examples}]\nnot_for = ["write a poem about the {subject}"]\n'
            f"[limits]\nsteps = 10\nseconds = 60\n+++\n" + "Measure first, then judge what you have measured.\n" * 20
        )


def measure(directory: Path) -> None:
    """Print the milliseconds of one cold load, one cold and one warm search, route and lookup."""
    from quorate.catalog.load import load_catalog

    times = [time.perf_counter()]
    catalog = load_catalog([directory], builtin=None)
    times.append(time.perf_counter())
    for action in (
        lambda: catalog.find("certificate gone"),
        lambda: catalog.find("backup slow"),
        lambda: catalog.route("why is the queue slow on host-2?"),
        lambda: catalog.route("why is the cache full on host-3?"),
        lambda: catalog.get(catalog.names()[-1]),
    ):
        action()
        times.append(time.perf_counter())
    print(*((b - a) * 1000 for a, b in itertools.pairwise(times)))


def main() -> None:
    """Generate the files, measure in fresh processes, print medians and spread."""
    if sys.argv[1:2] == ["--measure"]:
        measure(Path(sys.argv[2]))
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    with tempfile.TemporaryDirectory() as directory:
        write_files(Path(directory), count)
        command = [sys.executable, __file__, "--measure", directory]
        lines = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(ROUNDS)]
    print(f"{count} agent files, {ROUNDS} fresh processes, Python {platform.python_version()}, {platform.machine()}")
    names = ("load, cold", "find, first", "find, next", "route, first", "route, next", "get")
    for name, values in zip(names, zip(*(map(float, line.split()) for line in lines), strict=True), strict=True):
        print(f"{name:14} median {statistics.median(values):8.3f} ms   {min(values):8.3f} to {max(values):8.3f}")


if __name__ == "__main__":
    main()
