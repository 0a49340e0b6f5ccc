"""Are a thousand runs whole when workers and the broker die under them? `make chaos`."""

import asyncio
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.chaos.broker import harry
from tests.chaos.commands import harry_commands

from quorate.testing.nats_server import open_nats_server
from quorate.testing.postgres_server import open_postgres_server

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]

RUNS = int(os.environ.get("CHAOS_RUNS", "1000"))
COMMAND_RUNS = max(10, RUNS // 5)
SEED = int(os.environ.get("CHAOS_SEED", "20260101"))


@contextmanager
def open_database(kind: str, folder: Path) -> Generator[str]:
    """Open a database of one's own, whose commits are on disk."""
    if kind == "sqlite":
        yield str(folder / "quorate.db")
        return
    with open_postgres_server(fsync=True) as server:
        yield asyncio.run(server.create_database())


@pytest.mark.parametrize("sent", [False, True], ids=["queued", "sent"])
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_thousand_runs_while_workers_and_the_broker_die(kind: str, sent: bool, tmp_path: Path) -> None:
    """Three workers, one of which dies every second, and a broker that dies twice: every run that was queued in the
    record, or sent over the bus, is completed, 0 are lost, and 0 recorded steps are made again."""
    with open_nats_server(sync=True) as server, open_database(kind, tmp_path) as database:
        toll = harry(tmp_path, database, server, runs=RUNS, sent=sent, kill_each_s=1.0, seed=SEED)
    print(f"\n{kind}, {'sent over the bus' if sent else 'queued in the record'}: {toll}")
    assert (toll.runs, toll.restarts) == (RUNS, 2)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_the_commands_while_they_and_the_broker_die(kind: str, tmp_path: Path) -> None:
    """Three `quorate worker --agents`, of which one is killed again and again: a web server counts what they ask for."""
    with open_nats_server(sync=True) as server, open_postgres_server(fsync=True) as databases:
        database = str(tmp_path / "quorate.db") if kind == "sqlite" else await databases.create_database()
        toll = await harry_commands(tmp_path, database, server, runs=COMMAND_RUNS, kill_each_s=2.0, seed=SEED)
    print(
        f"\n{kind}: {toll.runs} runs of `quorate worker` in {toll.seconds:.1f} s, half of them sent over the bus, "
        f"{toll.kills} killed, the broker twice: {toll.runs} completed, 0 of {toll.steps} recorded requests made again; "
        f"{toll.again} were under way at a kill and made again"
    )
    assert toll.runs == COMMAND_RUNS
