"""Are runs whole after a hundred kills, pauses and races? `make chaos`."""

import asyncio
import os
from pathlib import Path

import pytest
from tests.chaos.fleets import kill_everything
from tests.chaos.rounds import kill_again_and_again, race_to_resume, stop_and_take_over

from quorate.testing.postgres_server import open_postgres_server

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]

ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "100"))
SHORT = max(1, ROUNDS // 5)
SEED = int(os.environ.get("CHAOS_SEED", "20260101"))


def test_a_hundred_kills_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """Workers with many runs at once are killed at random moments: 0 lost runs, 0 repeated recorded steps, one end each."""
    chaos = kill_again_and_again(tmp_path, rounds=ROUNDS, new=12, within_s=0.15, seed=SEED)
    done = chaos.count_steps()
    twice = sum(times > 1 for times in done.values())
    print(
        f"\n{chaos.kills} kills, {len(chaos.read())} runs, {len(chaos.recorded)} recorded steps: "
        f"0 lost, 0 made again; {twice} steps were under way at a kill and made again"
    )


def test_several_processes_go_on_with_the_same_runs(tmp_path: Path) -> None:
    """Whoever began last owns a run; the others are fenced, and there is one end."""
    fenced = 0
    for place in range(SHORT):
        folder = tmp_path / str(place)
        folder.mkdir()
        fenced += race_to_resume(folder, new=16, racers=2 + place % 2, seed=SEED + place).fenced
    print(f"\n{SHORT} races, {fenced} attempts fenced")
    assert fenced, "no two processes met: the test is too slow to test anything"


def test_an_owner_that_was_stopped_cannot_write_when_it_wakes(tmp_path: Path) -> None:
    """The owner is stopped, another one takes over and ends the runs; what the woken owner writes is refused."""
    fenced = 0
    for place in range(SHORT):
        folder = tmp_path / str(place)
        folder.mkdir()
        fenced += stop_and_take_over(folder, new=8, seed=SEED + place).fenced
    print(f"\n{SHORT} owners stopped and woken, {fenced} attempts fenced, 0 events written by them")


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_fleet_and_its_database_are_killed_under_load(kind: str, tmp_path: Path) -> None:
    """Workers of a fleet, and the PostgreSQL server, die with -9 in every round: 0 lost, 0 repeated recorded steps, 0
    double commits."""
    if kind == "sqlite":
        fleet = kill_everything(tmp_path, str(tmp_path / "quorate.db"), rounds=ROUNDS, new=12, seed=SEED)
    else:
        with open_postgres_server(fsync=True) as server:
            database = asyncio.run(server.create_database())
            fleet = kill_everything(tmp_path, database, rounds=ROUNDS, new=12, seed=SEED, server=server)
    again = sum(times > 1 for times in fleet.count_steps().values())
    print(
        f"\n{kind}: {fleet.kills} workers and {fleet.server_kills} servers killed, {len(fleet.names)} runs, "
        f"{len(fleet.recorded)} recorded steps: 0 lost, 0 made again, 0 double commits; {again} steps were under way "
        f"at a kill and made again"
    )
