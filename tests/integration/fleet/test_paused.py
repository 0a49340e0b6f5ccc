"""Is anybody held up for long by a worker that is stopped in the middle of a transaction, on either database?"""

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.chaos.fleets import Fleet, open_fleet
from tests.chaos.outages import is_held, pause_inside_a_transaction
from tests.forks import Process, pause

from quorate.errors import Unavailable
from quorate.state.backends.postgres import open_postgres_store
from quorate.state.backends.sqlite import open_sqlite_store
from quorate.testing.contracts import build_opening, build_step

HOLDER = """
import asyncio, os, signal, sys

from quorate.state.backends.postgres import open_postgres_store

async def main(dsn, run):
    async with open_postgres_store(dsn, statement_timeout_s=1.0, lock_timeout_s=0.5) as store:
        connections = store.log._lines
        async with connections.borrow(is_write=True) as connection, connection.transaction():
            await connection.execute("UPDATE runs SET last = last WHERE run = $1", run)
            print("held", flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)

asyncio.run(main(*sys.argv[1:]))
"""
"""A process of ours that is stopped while a transaction of its is open and holds a run."""


def stop_one_in_a_transaction(fleet: Fleet, database: str) -> Process:
    """Start workers until one was caught in the middle of a write; what the others did is done."""
    for _ in range(20):
        fleet.submit(8)
        worker = fleet.start(heard=True)
        if pause_inside_a_transaction(worker, database):
            return worker
        fleet.kill(worker)
    raise AssertionError("no worker was ever seen inside a transaction")


@pytest.mark.parametrize("then", ["goes on", "is killed"])
async def test_a_worker_stopped_inside_a_write_of_a_file(then: str, tmp_path: Path) -> None:
    """Others read on, and are told in bounded time who is in the way; once it goes on or is killed, everything ends."""
    database = str(tmp_path / "quorate.db")
    with open_fleet(tmp_path, database, seed=21) as fleet:
        stopped = stop_one_in_a_transaction(fleet, database)
        try:
            async with open_sqlite_store(database, busy_timeout_s=0.3) as store:
                assert await store.log.list_runs(limit=1), "those who read are not held up"
                began = time.monotonic()
                with pytest.raises(Unavailable, match=r"is locked: another process holds it.*end that process"):
                    await store.log.append("run-other", build_opening("run-other"), expected=0)
                assert time.monotonic() - began < 30
                assert await store.log.last("run-other") == 0
        finally:
            stopped.send_signal(signal.SIGCONT if then == "goes on" else signal.SIGKILL)
        if then == "is killed":
            fleet.kill(stopped)
            assert not is_held(database), "the lock of a killed process is free at once"
            fleet.start(heard=True)
        await asyncio.to_thread(fleet.wait_ended, within_s=100)
        await asyncio.to_thread(fleet.check_ends)


async def test_a_process_stopped_inside_a_transaction_of_a_server(postgres_dsn: str) -> None:
    """The server ends a transaction whose owner says nothing: others wait for a lock's time, then for nothing."""
    async with open_postgres_store(postgres_dsn, lock_timeout_s=0.5) as store:
        for run in ("run-held", "run-free"):
            await store.log.append(run, build_opening(run), expected=0)
        with subprocess.Popen(
            [sys.executable, "-c", HOLDER, postgres_dsn, "run-held"], stdout=subprocess.PIPE, text=True
        ) as holder:
            try:
                assert holder.stdout is not None
                assert holder.stdout.readline() == "held\n"
                began = time.monotonic()
                with pytest.raises(Unavailable):
                    await store.log.append("run-held", [build_step("run-held", 3)], expected=2)
                assert time.monotonic() - began < 30
                await store.log.append("run-free", [build_step("run-free", 3)], expected=2)
                # The server's limit for a silent transaction is a second here, and ends the holder's.
                while True:
                    try:
                        await store.log.append("run-held", [build_step("run-held", 3)], expected=2)
                    except Unavailable:
                        assert time.monotonic() - began < 60
                    else:
                        break
                assert [event.seq for event in await store.log.read("run-held")] == [1, 2, 3]
            finally:
                holder.kill()


def test_workers_of_a_server_that_are_stopped_anywhere(postgres_dsn: str, tmp_path: Path) -> None:
    """Workers are stopped at random moments, statements under way included; others end their runs, and what the woken
    ones write is refused."""
    with open_fleet(tmp_path, postgres_dsn, seed=22) as fleet:
        stopped = list[Process]()
        for _ in range(3):
            fleet.submit(6)
            worker = fleet.start(heard=True)
            time.sleep(fleet.random.uniform(0.02, 0.15))
            pause(worker)
            stopped.append(worker)
        fleet.start(heard=True)
        fleet.wait_ended(within_s=100)
        ended = {run: len(events) for run, events in fleet.read().items()}
        for worker in stopped:
            worker.send_signal(signal.SIGCONT)
        time.sleep(0.5)
        # The woken ones may finish the one call of each branch that they were in; what they write of it is refused.
        fleet.recorded.clear()
        assert {run: len(events) for run, events in fleet.read().items()} == ended, "an old owner wrote"
        fleet.check_ends()
