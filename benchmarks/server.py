"""What does a chat completion cost that is relayed by `quorate serve`, and how long do reads take?

    python benchmarks/server.py [--rounds 3] [--only SIDE …] [--peers] [--size 1] [--no-reads] [--json] [--save]

In each round each side is started anew, as anybody would start it, on a core of its own; who asks and the provider
that is asked share another one. Ours checks a key, quotas, limits and a budget, keeps the book in a database file, and
counts what is to be scraped. CPU is that of the whole process, all of its threads included. What a side adds to a
request is how much longer it takes than the provider's own answer at the same rate, 60 % of what the side can do.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# This file is run as a script, from whatever folder.
sys.path[0] = str(ROOT)

from benchmarks.gateway import SIDES as GATEWAY  # noqa: E402
from benchmarks.peers import OURS, NotInstalled  # noqa: E402
from benchmarks.record_figures import BY_NAME as RECORD  # noqa: E402
from benchmarks.record_peers import read_pins  # noqa: E402
from benchmarks.run import PAGE, describe, log, read_version  # noqa: E402
from benchmarks.server_figures import BEGIN, END, Results, render_page  # noqa: E402
from benchmarks.server_load import PLACE, Order  # noqa: E402
from benchmarks.server_reads import RUNS, measure_reads  # noqa: E402
from benchmarks.server_sides import (  # noqa: E402
    PINS,
    SIDES,
    NotStarted,
    Running,
    load,
    open_side,
    open_upstream,
    read_rss,
)
from benchmarks.workloads import BY_NAME as OTHERS  # noqa: E402

PACE_S = 0.01
"""How long the provider waits between two pieces of a stream."""
CONNECTIONS, STREAMS = 64, 40
PART = 0.6
"""At which part of what a side can do it is measured what it adds."""
BODY = {
    "model": "chat",
    "messages": [
        {"role": "system", "content": "You are a careful engineer."},
        {"role": "user", "content": f"Why is the service slow? {PLACE.decode()}"},
    ],
    "temperature": 0.2,
    "max_tokens": 200,
}


def build_order(running: Running, *, seconds: float) -> Order:
    """Build what a side is asked."""
    return Order(
        port=running.port,
        path=running.path,
        body=json.dumps(BODY),
        key=running.key,
        pid=running.pid,
        connections=CONNECTIONS,
        seconds=seconds,
        expected="connection pool",
    )


def measure_side(results: Results, side: str, running: Running, upstream: str, *, seconds: float) -> None:
    """Measure one side, which answers already."""
    order = build_order(running, seconds=seconds)
    if side in read_pins(PINS):  # slow ones have to get going, and are answered seldom
        order = replace(order, warm_s=5.0, seconds=2 * seconds)
    most = load(order)
    rate = most.requests / most.seconds
    results.add(side, "ready_s", running.ready_s)
    results.add(side, "cpu_ms", most.cpu_s / most.requests * 1e3)
    results.add(side, "rate", rate)
    provider = replace(order, port=int(upstream.rpartition(":")[2]), path="/v1/chat/completions", pid=0)
    through, bare = (load(replace(one, rate=rate * PART)) for one in (order, provider))
    for name in ("p50", "p95", "p99"):
        added = getattr(through, f"{name}_ms") - getattr(bare, f"{name}_ms")
        results.add(side, f"added_{name}", added)
    body = json.dumps({**BODY, "stream": True})
    streams = load(replace(order, body=body, connections=STREAMS, warm_s=1.0, expected="word", pieces="word"))
    results.add(side, "chunk_us", streams.cpu_s / streams.pieces * 1e6)
    results.add(side, "rss_mb", read_rss(running.pid))


def measure_all(results: Results, given: argparse.Namespace) -> None:
    """Fill `results`, so that whoever interrupts this has what there is."""
    pins = read_pins(PINS)
    sides = [side for side in SIDES if side in given.only or (not given.only and (given.peers or side not in pins))]
    with open_upstream(pace_s=PACE_S) as upstream:
        for number in range(given.rounds):
            for side in sides:
                log(f"round {number + 1} of {given.rounds}: {side}")
                try:
                    with open_side(side, upstream) as running:
                        measure_side(results, side, running, upstream, seconds=3.0 * given.size)
                except (NotStarted, NotInstalled) as error:
                    results.failed[side] = str(error)
                    log(f"    {error}")
    if not given.no_reads and (not given.only or "quorate" in given.only):
        measure_reads(results, rounds=1, count=int(RUNS * min(given.size, 1)), seconds=given.size)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=[], metavar="SIDE", help=f"of {', '.join(SIDES)}")
    parser.add_argument("--peers", action="store_true", help="other proxies too")
    parser.add_argument("--size", type=float, default=1.0, help="less than 1 measures less: for trying it out")
    parser.add_argument("--no-reads", action="store_true", help="without reads from a large database")
    parser.add_argument("--json", action="store_true", help="print the raw results")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results and the table in docs")
    given, _ = parser.parse_known_args()  # `make bench` gives its arguments to all scripts
    # The names of the other scripts are no mistake here.
    if unknown := sorted(set(given.only) - {*SIDES, *GATEWAY, *RECORD, *OTHERS, *OURS}):
        parser.error(f"no side is called {unknown}; there are {[*SIDES]}")
    if given.save and (given.only or given.size != 1 or given.no_reads):
        parser.error("what is saved is a whole run: leave out `--only`, `--size` and `--no-reads`")
    return given


def save(results: Results) -> None:
    """Keep the raw results, and put the table into the page."""
    path = ROOT / "benchmarks" / "results" / f"{results.facts['date'][:10]}-server.json"
    path.write_text(json.dumps(asdict(results), indent=1) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    PAGE.write_text(f"{before}{render_page(results)}{rest.partition(END)[2]}", encoding="utf-8")


def read_versions(*, peers: bool) -> str:
    """Say what was measured."""
    found = [f"quorate {read_version()}"]
    for name in ("uvicorn", "httptools", "aiohttp", "msgspec", "uvloop"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:  # some do without it
            continue
    pins = [pin for some in read_pins(PINS).values() for pin in some] if peers else []
    return ", ".join([*found, *pins])


def main() -> None:
    given = parse()
    facts = {
        **describe(),
        "command": f"python benchmarks/server.py {' '.join(sys.argv[1:])}".strip(),
        "versions": read_versions(peers=given.peers),
        "spread": f"rounds: {given.rounds}; shown is the median (lowest–highest)",
    }
    results = Results(facts)
    try:
        measure_all(results, given)
    except KeyboardInterrupt:
        log("interrupted: this is what there is")
    print(json.dumps(asdict(results)) if given.json else render_page(results))
    if given.save:
        save(results)


if __name__ == "__main__":
    main()
