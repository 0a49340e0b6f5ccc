"""Does a fleet whose disk is full say so, and go on by itself once there is room?"""

import time
from pathlib import Path

import pytest
from tests.chaos.fleets import open_fleet
from tests.chaos.outages import small_disk

RUNS = 24


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_fleet_survives_a_full_disk(kind: str, tmp_path: Path) -> None:
    """Under two workers the disk fills up: they say that it is full, and end every run within 30 s of there being room
    again, without having been started anew."""
    gate = tmp_path / "gate"
    gate.touch()
    with (
        small_disk(kind, tmp_path) as (database, take_room, give_room),
        open_fleet(tmp_path, database, seed=41) as fleet,
    ):
        fleet.submit(RUNS)
        workers = [fleet.start(gate=str(gate), heard=True) for _ in range(2)]
        wait_for(fleet.said, "taken", RUNS)
        take_room()
        gate.write_text("open")
        wait_for(fleet.said, "storage_full", 3)
        fleet.check_steps()
        give_room()
        took = fleet.wait_ended(within_s=30)
        fleet.check_ends()
        assert [worker.poll() for worker in workers] == [None, None], "a worker did not survive"
    assert took < 30


def wait_for(said: list[str], word: str, times: int) -> None:
    """Wait until workers said something so often."""
    deadline = time.monotonic() + 60
    while sum(word in line.split() for line in said) < times:
        assert time.monotonic() < deadline, f"nobody said {word!r} {times} times: {said[-20:]}"
        time.sleep(0.05)
