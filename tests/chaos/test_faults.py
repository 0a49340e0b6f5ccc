"""Do fleets outlast long outages, cut connections and thousands of runs? `make chaos`."""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.chaos.cuts import cut_again_and_again
from tests.chaos.fleets import open_fleet
from tests.chaos.many import MAX_THREADS, crowd
from tests.chaos.outages import take_away

from quorate.events import ATTEMPTS
from quorate.testing.postgres_server import PostgresServer, open_postgres_server

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]

ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "100"))
SEED = int(os.environ.get("CHAOS_SEED", "20260101"))
OUTAGE_S = float(os.environ.get("CHAOS_OUTAGE_S", "60"))
RUNNING = int(os.environ.get("CHAOS_RUNNING", "1000"))
KINDS = ["sqlite", "postgres"]


@contextmanager
def fresh_database(kind: str, folder: Path) -> Iterator[tuple[str, PostgresServer | None]]:
    """Open a database of one's own, on a server of one's own where it is a server's."""
    if kind == "sqlite":
        yield str(folder / "quorate.db"), None
        return
    with open_postgres_server(fsync=True) as server:
        yield asyncio.run(server.create_database()), server


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_outage_fails_and_moves_no_run(kind: str, tmp_path: Path) -> None:
    """The database is away for a minute, many leases long: no run fails, and none is taken from an owner that lives."""
    gate = tmp_path / "gate"
    gate.touch()
    with fresh_database(kind, tmp_path) as (database, server), open_fleet(tmp_path, database, seed=SEED) as fleet:
        fleet.submit(16)
        workers = [fleet.start(gate=str(gate), heard=True) for _ in range(3)]
        time.sleep(1)
        with take_away(database, server):
            gate.write_text("open")
            time.sleep(OUTAGE_S)
        took = fleet.wait_ended(within_s=60)
        fleet.check_ends()
        attempts = [sum(isinstance(e, ATTEMPTS) for e in events) for events in fleet.read().values()]
        assert [worker.poll() for worker in workers] == [None] * 3
    print(f"\n{kind}: away for {OUTAGE_S:g} s, 16 runs ended {took:.1f} s later, {sum(attempts) - 16} were moved")
    assert attempts == [1] * 16


def test_answers_lost_after_the_commit_again_and_again(tmp_path: Path) -> None:
    """Connections are cut right after COMMIT, hundreds of times: no failed run, no false fence, no false takeover."""
    rounds = max(2, ROUNDS // 5)
    with open_postgres_server(fsync=True) as server:
        database = asyncio.run(server.create_database())
        cuts = cut_again_and_again(tmp_path, server, database, runs=12, rounds=rounds, seed=SEED)
    print(f"\n{cuts} connections cut after their commit, {12 * rounds} runs ended in one attempt each")
    assert cuts >= 3 * rounds


@pytest.mark.parametrize("workers", [2, 4, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_running_beside_ten_thousand_waiting(kind: str, workers: int, tmp_path: Path) -> None:
    """Nobody is stranded, who waits costs rows alone, and a worker's threads do not grow with its runs."""
    with fresh_database(kind, tmp_path) as (database, _):
        seen = crowd(tmp_path, database, running=RUNNING, waiting=10 * RUNNING, workers=workers, within_s=600)
    p50, p99 = seen.append_ms
    print(
        f"\n{kind}, {workers} workers: {seen.running} runs under way beside {10 * RUNNING} at rest; all ended "
        f"{seen.seconds:.1f} s after the gate opened; a bystander's append p50 {p50:.1f} ms, p99 {p99:.1f} ms; "
        f"threads of a worker {seen.threads[0]} standing, {seen.threads[1]} working; {seen.rss_mib:.0f} MiB"
    )
    assert max(seen.threads) <= MAX_THREADS
