"""Are runs whole after a hundred kills, pauses and races? `make chaos`."""

import os
from pathlib import Path

import pytest
from tests.chaos.rounds import kill_again_and_again, race_to_resume, stop_and_take_over

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]

ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "100"))
SEED = int(os.environ.get("CHAOS_SEED", "20260101"))


def test_a_hundred_kills_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """Workers with many runs at once are killed at random moments: 0 lost runs, 0 repeated recorded steps, one end each."""
    chaos = kill_again_and_again(tmp_path, rounds=ROUNDS, new=8, within_s=0.25, seed=SEED)
    print(f"\n{chaos.kills} kills, {len(chaos.read())} runs, {len(chaos.recorded)} recorded steps, 0 made again")
    assert chaos.kills >= ROUNDS // 2


@pytest.mark.parametrize("place", range(max(1, ROUNDS // 10)))
def test_several_processes_go_on_with_the_same_runs(place: int, tmp_path: Path) -> None:
    """Whoever began last owns a run; the others are fenced, and there is one end."""
    race_to_resume(tmp_path, new=12, racers=2 + place % 2, seed=SEED + place)


@pytest.mark.parametrize("place", range(max(1, ROUNDS // 10)))
def test_an_owner_that_was_stopped_cannot_write_when_it_wakes(place: int, tmp_path: Path) -> None:
    """The owner is stopped, another one takes over and ends the runs; what the woken owner writes is refused."""
    stop_and_take_over(tmp_path, new=8, seed=SEED + place)
