"""Is the result the same whenever the process that holds a vote is killed?"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from pathlib import Path

import pytest
from tests.chaos.councils import MINDS, check, read
from tests.forks import fork

from quorate.events import AnyEvent

PROGRAM = Path(__file__).with_name("councils.py")
PATIENCE_S = 120


def kill_and_resume(folder: Path, *, kills: int, seed: int) -> list[AnyEvent]:
    """Kill the process at random moments of its work, let a last one finish, and return the log."""
    database, effects, dice = folder / "council.db", folder / "effects.txt", random.Random(seed)
    effects.touch()
    command = [PROGRAM, database, effects]
    for number in range(kills):
        made = effects.read_bytes().count(b"\n")
        goal = made + dice.randint(0, max(1, (2 * len(MINDS) - made) // (kills - number)))
        with fork(command) as process:
            until = time.monotonic() + PATIENCE_S
            while process.poll() is None and effects.read_bytes().count(b"\n") < goal and time.monotonic() < until:
                time.sleep(0.001)
            time.sleep(dice.uniform(0, 0.005))  # not always behind the same step
            process.send_signal(signal.SIGKILL)
            process.wait(PATIENCE_S)
    with fork(command) as process:
        assert process.wait(PATIENCE_S) == 0
    return asyncio.run(read(database))


def test_a_vote_of_seven_is_killed_three_times(tmp_path: Path) -> None:
    """The short form of what `make chaos` does. Promise R27."""
    events = kill_and_resume(tmp_path, kills=3, seed=5)
    check(events, tmp_path, kills=3)


@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(12))
def test_a_vote_of_seven_is_killed_again_and_again(tmp_path: Path, seed: int) -> None:
    """Ten kills each: every ballot is counted once, and none is cast again. Promise R27."""
    events = kill_and_resume(tmp_path, kills=10, seed=seed)
    check(events, tmp_path, kills=10)
