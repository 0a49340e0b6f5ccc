"""Is the record whole after an hour of random faults? `make soak`, for SOAK_SECONDS on each database."""

import asyncio
import os
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.chaos.storm import rage

from quorate.testing.postgres_server import open_postgres_server

pytestmark = [pytest.mark.soak, pytest.mark.timeout(0)]

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
SEED = int(os.environ.get("SOAK_SEED", str(time.time_ns() % 1_000_000)))


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_random_faults_leave_a_whole_record(kind: str, tmp_path: Path) -> None:
    """Kills, pauses, outages, locks and repeats for as long as it is told: no gap, one end each, every list is the fold
    of its logs, and the audit trail verifies."""
    until, rounds, runs, faults = time.monotonic() + SECONDS, 0, 0, Counter[str]()
    while (left := until - time.monotonic()) > 0:
        folder = tmp_path / str(rounds)
        folder.mkdir()
        seed = SEED + rounds
        print(f"\n{kind}: seed {seed}")
        if kind == "sqlite":
            done = rage(folder, str(folder / "quorate.db"), seconds=left, seed=seed, server=None)
        else:
            with open_postgres_server(fsync=True) as server:
                database = asyncio.run(server.create_database())
                done = rage(folder, database, seconds=left, seed=seed, server=server)
        rounds, runs, faults = rounds + 1, runs + done[0], faults + done[1]
    print(
        f"{kind}: {runs} runs through {sum(faults.values())} faults ({dict(faults)}): 0 lost, one end each, all verify"
    )
    assert runs
