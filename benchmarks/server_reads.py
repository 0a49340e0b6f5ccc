"""How long do reads take with many runs stored?

Used as `python -m benchmarks.server_reads DATABASE COUNT`, it stores that many runs.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Generator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.run import ROOT, log
from benchmarks.server_figures import Results
from benchmarks.server_load import Order
from benchmarks.server_sides import NotStarted, Running, load, open_quorate, run
from quorate.events import RunCompleted, RunCreated
from quorate.messages import build_user_message
from quorate.ports import Store
from quorate.state.backends.postgres import open_postgres_store
from quorate.state.backends.sqlite import open_sqlite_store

RUNS, AT_ONCE = 100_000, 500
BORN = 1_795_000_000
SECONDS = 1.0


def name_run(number: int) -> str:
    """Name the run that began so many seconds after the first one."""
    return f"run-{(BORN + number) * 1000:012x}{number:020x}"


def list_paths(count: int) -> list[str]:
    """List what is read."""
    middle = count // 2
    run = name_run(middle)
    return [
        "/v1/runs",
        "/v1/runs?limit=200",
        "/v1/runs?order=updated",
        "/v1/runs?status=completed&agent=net",
        f"/v1/runs?created_after={BORN + middle}&created_before={BORN + middle + 500}",
        "/v1/runs?label=team%3Dnet",
        f"/v1/runs/{run}",
        f"/v1/runs/{run}/events",
        "/v1/sessions",
        "/v1/artifacts",
        "/v1/approvals",
        "/v1/usage",
        "/v1/audit",
        "/v1/agents",
    ]


async def fill(store: Store, count: int) -> None:
    """Store runs that have ended, one of a thousand with a label of its own."""

    async def put(number: int) -> None:
        run, time = name_run(number), float(BORN + number)
        created = RunCreated(
            run=run,
            seq=1,
            time=time,
            agent="net",
            tenant="default",
            messages=(build_user_message("Why is the service slow?"),),
            labels={"team": "net" if number % 1000 == 0 else "others"},
        )
        ended = RunCompleted(run=run, seq=2, time=time + 1, output="Its connection pool is used up.")
        await store.log.append(run, (created, ended), expected=0)

    for begin in range(0, count, AT_ONCE):
        async with asyncio.TaskGroup() as group:
            for number in range(begin, min(begin + AT_ONCE, count)):
                group.create_task(put(number))


def open_database(database: str) -> AbstractAsyncContextManager[Store]:
    """Open a database by its address: a server's, or a file."""
    return open_postgres_store(database) if "://" in database else open_sqlite_store(database)


@contextmanager
def open_databases(results: Results) -> Generator[dict[str, str]]:
    """Give the addresses of databases that hold nothing yet, by their kinds."""
    with TemporaryDirectory() as folder:
        databases = {"SQLite": str(Path(folder) / "quorate.db")}
        try:
            from quorate.testing.postgres_server import open_postgres_server

            opened = open_postgres_server()
            server = opened.__enter__()
        except Exception as error:  # whatever keeps it from starting is a reason to leave it out
            results.failed["reads on PostgreSQL"] = str(error)
            yield databases
            return
        try:
            databases["PostgreSQL"] = asyncio.run(server.create_database())
            yield databases
        finally:
            opened.__exit__(None, None, None)


def measure_reads(results: Results, *, rounds: int, count: int, seconds: float) -> None:
    """Fill `results` with how long reads take on each database, the databases taking turns."""
    with open_databases(results) as databases:
        for kind, database in databases.items():
            log(f"store {count:,} runs in {kind}")
            run([sys.executable, "-m", "benchmarks.server_reads", database, str(count)], cwd=ROOT)
        for number in range(rounds):
            for kind, database in databases.items():
                log(f"round {number + 1} of {rounds}: reads on {kind}")
                try:
                    with open_quorate("http://127.0.0.1:9", database=database, role="admin") as running:
                        read_all(results, kind, running, count=count, seconds=seconds)
                except NotStarted as error:
                    results.failed[f"reads on {kind}"] = str(error)


def read_all(results: Results, kind: str, running: Running, *, count: int, seconds: float) -> None:
    """Read everything for a while."""
    for path in list_paths(count):
        order = Order(
            port=running.port, path=path, key=running.key, connections=1, warm_s=0.2, seconds=seconds, expected="{"
        )
        try:
            found = load(order)
        except NotStarted as error:
            results.failed[f"GET {path} on {kind}"] = str(error)
            continue
        results.add_read(kind, path, "p50", found.p50_ms)
        results.add_read(kind, path, "p95", found.p95_ms)


async def main() -> None:
    database, count = sys.argv[1:]
    async with open_database(database) as store:
        await fill(store, int(count))


if __name__ == "__main__":
    asyncio.run(main())
