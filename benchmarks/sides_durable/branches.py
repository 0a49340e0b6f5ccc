"""What are the branches of a trial, when does its process die, and what must come out? Nothing here knows an engine."""

from __future__ import annotations

import asyncio
import os
import random
import signal

BRANCHES = ("a", "b", "c", "d")
STEPS = 3
TRIALS = 40
STEP_S = (0.05, 0.5)


def build_result(branch: str, number: int) -> str:
    return f"{branch}{number}"


EXPECTED = "|".join(" ".join(build_result(branch, number) for number in range(STEPS)) for branch in BRANCHES)


class Killer:
    """Kills its own process once a random number of steps was done: on average 3 to 8 of the 12 of each trial."""

    def __init__(self) -> None:
        self.left = -1

    def arm(self, trials: int) -> None:
        self.left = random.randint(3 * trials, 8 * trials)

    def count(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


async def do_step(killer: Killer, branch: str, number: int) -> str:
    """Do a step, taking a random time: no two processes have their branches in the same order."""
    await asyncio.sleep(random.uniform(*STEP_S))
    killer.count()
    return build_result(branch, number)
