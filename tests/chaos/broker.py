"""How does a fleet lose its workers and its broker at once, and what must the record say afterwards?"""

import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct
from tests.chaos.fleets import Fleet, Sender, open_fleet

from quorate.events import ATTEMPTS
from quorate.testing.nats_server import NatsServer

WORKERS = 3
LOOK_S = 0.05
CHECK_EACH_S = 5.0
LONGEST_S = 3000.0


class Toll(Struct, frozen=True, kw_only=True):
    """What was done to a fleet, and what came of it."""

    seconds: float
    runs: int
    kills: int
    restarts: int
    """How often the broker was killed and started again."""
    steps: int
    """How many steps are recorded."""
    again: int
    """How many steps were under way at a kill, and made again."""
    moved: int
    """How often a run was taken over."""

    def __str__(self) -> str:
        return (
            f"{self.runs} runs in {self.seconds:.1f} s, {self.kills} workers killed, broker killed {self.restarts} times: "
            f"{self.runs} completed, 0 lost, 0 of {self.steps} recorded steps made again; {self.moved} takeovers, "
            f"{self.again} steps were under way at a kill and made again"
        )


def build_toll(fleet: Fleet, *, began: float, restarts: int) -> Toll:
    """Check that every run came to its one end, and count what there is to count."""
    seconds = time.monotonic() - began
    fleet.check_ends()
    logs, done = fleet.read(), fleet.count_steps()
    return Toll(
        seconds=seconds,
        runs=len(logs),
        kills=fleet.kills,
        restarts=restarts,
        steps=len(fleet.recorded),
        again=sum(done[step] > 1 for step in fleet.recorded),
        moved=sum(sum(isinstance(event, ATTEMPTS) for event in events) - 1 for events in logs.values()),
    )


def harry(
    folder: Path, database: str, server: NatsServer, *, runs: int, sent: bool, kill_each_s: float, seed: int
) -> Toll:
    """Kill a worker of three every so often, and the broker twice in the middle, until every run has ended.

    Args:
        folder: Where the journal is.
        database: What is shared.
        server: The broker.
        runs: How many there are.
        sent: Whether they are sent as tasks over the bus, and not queued in the record.
        kill_each_s: How often a worker dies; another one is started at once.
        seed: Which one.
    """
    chance, restarts = random.Random(seed), 0
    with open_fleet(folder, database, seed=seed, bus=server.url) as fleet:
        began = time.monotonic()
        sender = fleet.send(runs) if sent else None
        if sender is None:
            fleet.submit(runs)
        for _ in range(WORKERS):
            fleet.start(awaited=False)
        next_kill, next_check, ended = time.monotonic() + kill_each_s, time.monotonic() + CHECK_EACH_S, 0
        while ended < runs:
            time.sleep(LOOK_S)
            now = time.monotonic()
            if now >= next_kill and (
                able := fleet.list_workers("ended")
            ):  # however slow the machine, something is done
                next_kill = now + kill_each_s
                fleet.kill(chance.choice(able))
                fleet.start(awaited=False)
            if now >= next_check:
                next_check = now + CHECK_EACH_S
                ended = count_ended(fleet, sender)
            if restarts < 2 and count_said(fleet, sender) >= runs * (restarts + 1) // 3:
                server.kill()
                time.sleep(chance.uniform(0.2, 1.0))
                server.start()
                restarts += 1
            assert now < began + LONGEST_S, f"{ended} of {runs} runs have ended"
        if sender is not None:
            end_sender(fleet, sender)
        return build_toll(fleet, began=began, restarts=restarts)


def harry_in_stages(folder: Path, database: str, server: NatsServer, *, runs: int, sent: bool, seed: int) -> Toll:
    """The same in little: what dies, dies when so much is done, however fast the machine is.

    The broker and a worker die while every run is under way; three more workers die while runs end.
    """
    chance, gate = random.Random(seed), folder / "gate"
    gate.touch()
    with open_fleet(folder, database, seed=seed, bus=server.url) as fleet:
        began = time.monotonic()
        sender = fleet.send(runs) if sent else None
        if sender is None:
            fleet.submit(runs)
        for _ in range(WORKERS):
            fleet.start(gate=str(gate), awaited=False)
        wait_until(lambda: sum(line.startswith("held") for line in tuple(fleet.said)) >= runs)
        server.kill()
        fleet.kill(chance.choice(fleet.list_workers("open")))
        gate.write_text("open")
        fleet.start(awaited=False)
        server.start()
        for share in (0.1, 0.3, 0.5):
            wait_until(lambda share=share: count_said(fleet, sender) >= share * runs)
            wait_until(lambda: len(fleet.list_workers("open")) > 0)
            fleet.kill(chance.choice(fleet.list_workers("open")))
            fleet.start(awaited=False)
        if sender is not None:
            end_sender(fleet, sender)
        fleet.wait_ended(within_s=60)
        return build_toll(fleet, began=began, restarts=1)


def count_ended(fleet: Fleet, sender: Sender | None) -> int:
    """Check what is recorded so far, and count the runs that have ended."""
    if sender is not None:
        assert sender.process.poll() in (None, 0), sender.process.communicate()
        fleet.names = sender.list_runs("accepted")
    fleet.check_steps()
    return len(fleet.ended)


def count_said(fleet: Fleet, sender: Sender | None) -> int:
    """Count the runs of which it was said that they ended; a worker that is killed may not come to that."""
    if sender is not None:
        return len(sender.list_runs("ended"))
    return len({line.split()[1] for line in tuple(fleet.said) if line.startswith("ended")})


def end_sender(fleet: Fleet, sender: Sender) -> None:
    """Whoever sent the tasks hears of every end, and that it is a good one."""
    assert sender.process.wait(60) == 0
    wait_until(lambda: len(sender.list_runs("ended")) == sender.count)
    fleet.names = sender.list_runs("accepted")
    assert sender.list_runs("ended") == fleet.names
    assert all(line.split()[3] == "run.completed" for line in sender.said if line.startswith("ended"))


def wait_until(holds: Callable[[], bool], *, within_s: float = 60) -> None:
    """Wait until something holds."""
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.01)


def read_held(process: subprocess.Popen[str], count: int) -> None:
    """Read what a worker says until so many of its calls wait at the gate."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.split() == ["held", str(count)]:
            return
    raise AssertionError(f"the worker ended: {process.communicate()}")
