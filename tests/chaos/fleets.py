"""How does a fleet of workers lose its members and its database, and what must the record say afterwards?"""

import asyncio
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from tests.chaos.rounds import run_faultless
from tests.forks import Process, fork, run_fork

from quorate import Settings
from quorate.assembly import open_store
from quorate.events import ATTEMPTS, ENDINGS, AnyEvent, ModelReplied, RunCompleted, RunCreated, ToolFailed, ToolFinished
from quorate.testing.postgres_server import PostgresServer

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = (sys.executable, "-m", "tests.chaos.fleet")
LEASE_S = 1.0
"""Short, so that what died is noticed soon."""
Step = tuple[str, str, str]
"""What was done (`begin` or `ask`), in which run, under which key."""


class Sender:
    """A process that sends tasks over a bus: what it has heard of them so far."""

    def __init__(self, process: Process, count: int) -> None:
        self.process = process
        self.count = count
        self.said: list[str] = []
        hear(process, self.said)

    def list_runs(self, what: str) -> dict[str, str]:
        """Return the names by run of what was `accepted` or has `ended`."""
        words = [line.split() for line in tuple(self.said)]
        return {word[2]: word[1] for word in words if word[0] == what}


class Fleet:
    """One database, one journal of effects, and processes that come and go."""

    def __init__(self, folder: Path, database: str, *, seed: int, lease_s: float = LEASE_S, bus: str = "") -> None:
        self.folder = folder
        self.database = database
        self.bus = bus
        """Over which its processes talk; empty for none."""
        self.lease_s = lease_s
        self.random = random.Random(seed)
        self.names: dict[str, str] = {}
        """What was accepted: the name of each run by its id."""
        self.kills = 0
        self.recorded: dict[Step, int] = {}
        """How often each step had been made when it was first seen recorded."""
        self.server_kills = 0
        self.ended: set[str] = set()
        """Runs whose end was seen and checked; they are read again only at the very end."""
        self._workers: list[Process] = []
        self.said: list[str] = []
        """What the workers said that were started with `heard`."""

    @property
    def workers(self) -> list[Process]:
        """Those that were started and not killed."""
        return self._workers

    def submit(self, count: int) -> None:
        """Queue some more runs."""
        command = [*PROGRAM, "submit", self.database, str(len(self.names)), str(count), self.bus]
        done = run_fork(command, cwd=ROOT, timeout_s=120)
        done.check_returncode()
        said = done.stdout
        for line in said.splitlines():
            _, name, run = line.split()
            self.names[run] = name
        assert len(said.splitlines()) == count

    def submit_poison(self) -> str:
        """Queue a run that kills whoever works on it; return its id."""
        command = [*PROGRAM, "poison", self.database]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=ROOT).stdout.split()[
            2
        ]

    def start(
        self,
        *,
        gate: str = "-",
        until_idle: bool = False,
        max_crashes: int = 100,
        concurrency: int = 64,
        heard: bool = False,
        awaited: bool = True,
        inside: Sequence[str] = (),
    ) -> Process:
        """Start a worker and wait until it has opened the database.

        Args:
            gate: While this file is empty, its tool calls wait.
            until_idle: Whether it leaves when nothing is left.
            max_crashes: After how many deaths in a row a run is put aside.
            concurrency: How many runs it does at once.
            heard: Whether what it says from then on is kept.
            awaited: Without it, nobody waits for the worker to open; it is heard.
            inside: What the command begins with, such as what enters a network namespace.
        """
        command = [*inside, *PROGRAM, "work", self.database, str(self.folder / "journal"), gate]
        command += [str(self.lease_s), str(max_crashes), str(concurrency), "until-idle" if until_idle else "-"]
        process = start_program([*command, self.bus])
        self._workers.append(process)
        assert process.stdout is not None
        if awaited:
            said = process.stdout.readline()
            assert said.startswith("open"), process.communicate()
            self.said.append(said)
        if heard or not awaited:
            hear(process, self.said)
        return process

    def send(self, count: int) -> "Sender":
        """Start a process that sends some more runs as tasks over the bus, and waits for their ends."""
        command = [*PROGRAM, "send", self.bus, str(len(self.names)), str(count)]
        return Sender(start_program(command), count)

    def kill(self, process: Process) -> None:
        """Kill a worker with -9, whatever it does."""
        process.send_signal(signal.SIGKILL)
        process.communicate()
        self._workers.remove(process)
        self.kills += 1

    def list_workers(self, what: str) -> list[Process]:
        """List the workers that have said `open`, `taken` or `ended`, of those that are heard."""
        pids = {line.split()[-1] for line in tuple(self.said) if line.startswith(what)}
        return [worker for worker in self._workers if str(worker.pid) in pids]

    def stop_all(self) -> None:
        """End what is left."""
        for process in self._workers:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.communicate()
        self._workers.clear()

    def read(self, *, everything: bool = True) -> dict[str, list[AnyEvent]]:
        """Read the runs that were accepted: all of them, or those whose end was not seen yet."""
        wanted = [run for run in self.names if everything or run not in self.ended]

        async def read() -> dict[str, list[AnyEvent]]:
            async with open_store(Settings(database=self.database)) as store:
                return await store.log.read_many(wanted)

        return asyncio.run(read())

    def count_steps(self) -> Counter[Step]:
        """Count what the journal says was done; a model is asked for a run by its name."""
        path, ids = self.folder / "journal", {name: run for run, name in self.names.items()}
        lines = path.read_text().splitlines() if path.exists() else []
        steps = (line.split(" ", 2) for line in lines)
        return Counter((what, ids.get(run, run), key) for what, run, key in steps)

    def check_steps(self, *, everything: bool = False) -> dict[str, list[AnyEvent]]:
        """Nothing accepted is lost, no log has a gap, and what was recorded has not been done again since."""
        logs = self.read(everything=everything)  # before the journal: what is recorded was done before
        done = self.count_steps()
        assert set(logs) | self.ended == set(self.names), "an accepted run was lost"
        again = {step: (times, done[step]) for step, times in self.recorded.items() if done[step] != times}
        assert not again, f"recorded steps were made again: {again}"
        for run, events in logs.items():
            assert [event.seq for event in events] == list(range(1, len(events) + 1)), f"{run} has a gap"
            assert sum(isinstance(event, ENDINGS) for event in events) <= 1, f"{run} has two ends"
            attempts = sum(isinstance(event, ATTEMPTS) for event in events)
            for step in find_recorded(run, events):
                self.recorded.setdefault(step, done[step])
                assert done[step] <= attempts, f"{step} was made {done[step]} times in {attempts} attempts"
            if isinstance(events[-1], ENDINGS):
                self.ended.add(run)
        return logs

    def wait_ended(self, *, within_s: float) -> float:
        """Wait until every run has ended; return how long that took."""
        began = time.monotonic()
        while True:
            logs = self.check_steps()
            unfinished = [run for run, events in logs.items() if not isinstance(events[-1], ENDINGS)]
            took = time.monotonic() - began
            if not unfinished:
                return took
            assert took < within_s, f"{len(unfinished)} runs have not ended after {took:.1f} s, such as {unfinished[0]}"
            time.sleep(0.1)

    def check_ends(self) -> None:
        """Every accepted run came to the one end that it comes to when nothing happens."""
        expected = asyncio.run(run_faultless(len(self.names)))
        logs = self.check_steps(everything=True)
        assert set(logs) == set(self.names), "an accepted run was lost"
        for run, events in logs.items():
            first, last, name = events[0], events[-1], self.names[run]
            assert isinstance(first, RunCreated)
            assert isinstance(last, RunCompleted), f"{run} ended as {last}"
            assert last.output.replace(run, name) == expected[name], f"{run} has another result"
            results = Counter(event.key for event in events if isinstance(event, (ToolFinished, ToolFailed)))
            assert set(results.values()) <= {1}, f"{run} has a result twice"


def find_recorded(run: str, events: list[AnyEvent]) -> set[Step]:
    """Find the steps that must never be made again; a delegate leaves no line of its own."""
    tools = {("begin", run, e.key) for e in events if isinstance(e, ToolFinished) and e.result.name != "clerk"}
    return tools | {("ask", run, e.key) for e in events if isinstance(e, ModelReplied)}


def start_program(command: Sequence[str]) -> Process:
    """Start a process of a fleet: a fork where that is all there is to it."""
    if command[0] == sys.executable:
        return fork(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def hear(process: Process, said: list[str]) -> None:
    """Keep what a process says: somebody who says much and is not listened to stands still."""
    assert process.stdout is not None
    threading.Thread(target=_hear, args=(process.stdout, said), daemon=True).start()
    process.stdout = None  # it is the thread's


def _hear(lines: IO[str], said: list[str]) -> None:
    with lines:
        said.extend(lines)


@contextmanager
def open_fleet(folder: Path, database: str, *, seed: int, lease_s: float = LEASE_S, bus: str = "") -> Generator[Fleet]:
    """Open a fleet none of whose processes outlives the block."""
    fleet = Fleet(folder, database, seed=seed, lease_s=lease_s, bus=bus)
    try:
        yield fleet
    finally:
        fleet.stop_all()


def kill_everything(
    folder: Path, database: str, *, rounds: int, new: int, seed: int, server: PostgresServer | None = None
) -> Fleet:
    """Let a fleet work under load while its workers, and the database's server, are killed again and again."""
    with open_fleet(folder, database, seed=seed) as fleet:
        for _ in range(rounds):
            fleet.submit(new)
            while len(fleet.workers) < 2:
                fleet.start()
            time.sleep(fleet.random.uniform(0.02, 0.3))
            victim = fleet.random.choice(("worker", "server", "both") if server is not None else ("worker",))
            if victim != "server":
                fleet.kill(fleet.random.choice(fleet.workers))
            if server is not None and victim != "worker":
                server.kill()
                time.sleep(fleet.random.uniform(0.0, 0.4))
                server.start()
                fleet.server_kills += 1
            fleet.check_steps()
        fleet.start()
        fleet.wait_ended(within_s=120)
        fleet.check_ends()
    return fleet
