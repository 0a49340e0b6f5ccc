"""Does a fleet of real processes end every run, whoever dies, pauses or comes twice, on either database?"""

import asyncio
import signal
import time
from pathlib import Path

import pytest
from tests.chaos.fleets import LEASE_S, kill_everything, open_fleet
from tests.chaos.outages import take_away
from tests.chaos.rounds import stop_between_transactions
from tests.forks import Process
from tests.forks import pause as pause_anywhere

from quorate import Settings
from quorate.assembly import open_store
from quorate.events import ATTEMPTS, RunWaiting


def read_log(database: str, run: str) -> list[object]:
    async def read() -> list[object]:
        async with open_store(Settings(database=database)) as store:
            return list(await store.log.read(run))

    return asyncio.run(read())


def wait_exit(process: Process) -> None:
    process.communicate(timeout=100)


def test_when_all_workers_die_a_new_fleet_ends_every_run(database: str, tmp_path: Path) -> None:
    """Two workers are killed in the middle, two others with new names finish: nothing lost, nothing recorded again.
    row: E13"""
    with open_fleet(tmp_path, database, seed=3) as fleet:
        fleet.submit(8)
        for process in [fleet.start(), fleet.start()]:
            time.sleep(fleet.random.uniform(0.05, 0.25))
            fleet.kill(process)
            fleet.check_steps()
        fleet.start()
        fleet.start()
        took = fleet.wait_ended(within_s=100)
        fleet.check_ends()
    assert took < 100


def test_a_worker_that_paused_past_its_lease_is_fenced(database: str, tmp_path: Path) -> None:
    """A worker is stopped in its calls, another one takes over after the lease; what the woken one writes is refused."""
    gate = tmp_path / "gate"
    gate.touch()
    with open_fleet(tmp_path, database, seed=4) as fleet:
        fleet.submit(4)
        paused = fleet.start(gate=str(gate))
        assert paused.stdout is not None
        for line in paused.stdout:
            if line.split() == ["held", "4"]:
                break
        pause(paused, database)
        fleet.start()
        began = time.monotonic()
        fleet.wait_ended(within_s=100)
        assert time.monotonic() - began > LEASE_S
        ended = {run: len(events) for run, events in fleet.read().items()}
        gate.write_text("open")
        paused.send_signal(signal.SIGCONT)
        time.sleep(1.0)
        # The woken one may finish the one call of each branch that it was in; what it writes of it is refused.
        fleet.recorded.clear()
        assert {run: len(events) for run, events in fleet.read().items()} == ended, "the old owner wrote"
        fleet.check_ends()


def pause(process: Process, database: str) -> None:
    """Stop a process; on a file, where it does not hold the lock that a stopped process keeps."""
    if "://" in database:
        pause_anywhere(process)
    else:
        stop_between_transactions(process, Path(database))


def test_a_taker_that_dies_in_the_middle_strands_nothing(database: str, tmp_path: Path) -> None:
    """Takeovers are cut short again and again, by the death of the taker; the last one ends every run once."""
    with open_fleet(tmp_path, database, seed=5, lease_s=0.5) as fleet:
        fleet.submit(6)
        for _ in range(2):
            takers = [fleet.start(), fleet.start()]
            time.sleep(0.5 + fleet.random.uniform(0.1, 0.4))
            for taker in takers:
                fleet.kill(taker)
            fleet.check_steps()
        fleet.start()
        fleet.wait_ended(within_s=100)
        fleet.check_ends()


def test_a_worker_that_is_asked_to_stop_hands_over(database: str, tmp_path: Path) -> None:
    """SIGTERM in the middle: the worker leaves by itself, and the next one goes on without waiting for a lease."""
    with open_fleet(tmp_path, database, seed=6, lease_s=60) as fleet:
        fleet.submit(8)
        first = fleet.start()
        time.sleep(0.1)
        first.send_signal(signal.SIGTERM)
        wait_exit(first)
        assert first.returncode == 0
        wait_exit(fleet.start(until_idle=True))
        assert fleet.wait_ended(within_s=30) < 30, "nobody may wait for a lease of 60 s"
        fleet.check_ends()


def test_a_run_that_kills_its_workers_is_put_aside(database: str, tmp_path: Path) -> None:
    """Three workers die of one run; it rests with its story, and the others are done."""
    with open_fleet(tmp_path, database, seed=7, lease_s=1.0) as fleet:
        poison = fleet.submit_poison()
        fleet.submit(3)
        for _ in range(3):
            process = fleet.start(max_crashes=3)
            wait_exit(process)
            assert process.returncode == -signal.SIGKILL
        fleet.start(max_crashes=3)
        fleet.wait_ended(within_s=100)
        deadline = time.monotonic() + 60
        while not isinstance(last := read_log(database, poison)[-1], RunWaiting):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        fleet.check_ends()
    assert (last.reason, "died" in last.note) == ("parked", True)
    # The parking itself is an attempt too: it fences whoever might still be there.
    assert sum(isinstance(event, ATTEMPTS) for event in read_log(database, poison)) == 4


def test_a_submission_that_comes_twice_is_one_run(database: str, tmp_path: Path) -> None:
    """The same orders from two processes, one after the other: the same runs, done once. row: E13"""
    with open_fleet(tmp_path, database, seed=8) as fleet:
        fleet.submit(5)
        first, fleet.names = fleet.names, {}
        fleet.submit(5)
        assert fleet.names == first
        wait_exit(fleet.start(until_idle=True))
        fleet.check_ends()


def test_ten_rounds_of_kills_lose_and_repeat_nothing(
    request: pytest.FixtureRequest, database: str, tmp_path: Path
) -> None:
    """Under load, workers and the database's server are killed with -9 ten times: 0 lost, 0 recorded steps again, one
    end each. row: E13"""
    server = request.getfixturevalue("postgres_server") if "://" in database else None
    fleet = kill_everything(tmp_path, database, rounds=10, new=4, seed=10, server=server)
    assert fleet.kills + fleet.server_kills >= 10


@pytest.mark.parametrize("seconds", [0.4, 10.0])
def test_an_outage_of_the_database_fails_and_moves_no_run(
    request: pytest.FixtureRequest, database: str, seconds: float, tmp_path: Path
) -> None:
    """The database is away for much longer than a lease while two workers work: no run fails, and none is taken from
    an owner that lives."""
    server = request.getfixturevalue("postgres_server") if "://" in database else None
    gate = tmp_path / "gate"
    gate.touch()
    with open_fleet(tmp_path, database, seed=11, lease_s=3.0) as fleet:
        fleet.submit(8)
        workers = [fleet.start(gate=str(gate)), fleet.start(gate=str(gate))]
        for worker in workers[:1]:
            assert worker.stdout is not None
            worker.stdout.readline()
        time.sleep(0.5)
        with take_away(database, server):
            gate.write_text("open")
            time.sleep(seconds)
        fleet.wait_ended(within_s=100)
        fleet.check_ends()
        attempts = [sum(isinstance(e, ATTEMPTS) for e in events) for events in fleet.read().values()]
        assert attempts == [1] * 8
