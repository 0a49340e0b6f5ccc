"""What does a fleet go through in an hour of random faults?"""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.chaos.fleets import Fleet, open_fleet
from tests.chaos.many import list_all
from tests.chaos.outages import pause_inside_a_transaction, take_away
from tests.forks import pause

from quorate import Settings
from quorate.assembly import open_runtime, open_store
from quorate.events import ENDINGS, RunSummary, summarize
from quorate.state.audit import AuditReport
from quorate.testing.postgres_server import PostgresServer

WORKERS = 3
MAX_OPEN = 60
"""How many runs may be under way before the storm waits for some to end."""
RUNS_KEPT = 400
"""After how many runs a storm begins on a fresh database, since whoever checks reads all of them."""


class Storm:
    """A fleet under faults that come at random, one after the other."""

    def __init__(self, fleet: Fleet, server: PostgresServer | None) -> None:
        self.fleet = fleet
        self.server = server
        self.random = fleet.random
        self.faults: Counter[str] = Counter()

    def strike(self) -> None:
        """Let one thing go wrong."""
        fleet = self.fleet
        while len(fleet.workers) < WORKERS:
            fleet.start(heard=True)
        time.sleep(self.random.uniform(0.02, 0.3))
        faults: list[Callable[[], None]] = [self.kill_one, self.kill_all, self.pause_one, self.outage, self.twice]
        if self.server is not None:
            faults.append(self.kill_server)
        else:
            faults.append(self.pause_in_a_write)
        fault = self.random.choice(faults)
        fault()
        self.faults[fault.__name__] += 1

    def kill_one(self) -> None:
        """Kill -9 a worker."""
        self.fleet.kill(self.random.choice(self.fleet.workers))

    def kill_all(self) -> None:
        """Kill -9 every worker: those that come next have other names."""
        for worker in list(self.fleet.workers):
            self.fleet.kill(worker)

    def pause_one(self) -> None:
        """Stop a worker for longer than its lease, and let it go on."""
        worker = self.random.choice(self.fleet.workers)
        pause(worker)
        time.sleep(self.fleet.lease_s * self.random.uniform(0.5, 2.5))
        worker.send_signal(signal.SIGCONT)
        time.sleep(0.2)
        # It may finish the one call of each branch that it was in; from here on, nothing recorded is made again.
        self.fleet.recorded.clear()

    def pause_in_a_write(self) -> None:
        """Stop a worker in the middle of a write of the file, and kill it there."""
        worker = self.random.choice(self.fleet.workers)
        if pause_inside_a_transaction(worker, self.fleet.database):
            time.sleep(self.random.uniform(0.0, 1.0))
        self.fleet.kill(worker)

    def outage(self) -> None:
        """Take the database away for a moment."""
        with take_away(self.fleet.database, self.server):
            time.sleep(self.random.uniform(0.1, 3.0))

    def twice(self) -> None:
        """Submit everything that is known once more, in part."""
        known = dict(list(self.fleet.names.items())[:5])
        names, self.fleet.names = self.fleet.names, {}
        self.fleet.submit(len(known))
        again, self.fleet.names = self.fleet.names, names
        assert again == known, "the same submission became another run"

    def kill_server(self) -> None:
        """Kill -9 the database's server, and start it again."""
        assert self.server is not None
        self.server.kill()
        time.sleep(self.random.uniform(0.0, 0.5))
        self.server.start()


def rage(
    folder: Path, database: str, *, seconds: float, seed: int, server: PostgresServer | None
) -> tuple[int, Counter[str]]:
    """Let faults strike a fleet for some time; return how many runs went through them, and the faults."""
    until = time.monotonic() + seconds
    with open_fleet(folder, database, seed=seed) as fleet:
        storm = Storm(fleet, server)
        while time.monotonic() < until and len(fleet.names) < RUNS_KEPT:
            fleet.submit(fleet.random.randint(2, 8))
            storm.strike()
            logs = fleet.check_steps()
            if sum(not isinstance(events[-1], ENDINGS) for events in logs.values()) > MAX_OPEN:
                fleet.wait_ended(within_s=120)
        fleet.start(heard=True)
        fleet.wait_ended(within_s=120)
        fleet.check_ends()
        check_folds(fleet)
        return len(fleet.names), storm.faults


def check_folds(fleet: Fleet) -> None:
    """The list of runs is the fold of their logs, and the chain of the audit trail is whole."""
    logs = fleet.read()
    folded = {run: summarize(None, events) for run, events in logs.items()}

    async def look() -> tuple[dict[str, RunSummary], AuditReport]:
        async with open_store(Settings(database=fleet.database)) as store:
            listed = await list_all(store.log, None)
            async with open_runtime(Settings(), store=store) as runtime:
                report = await runtime.audit.verify()
        return {summary.run: summary for summary in listed}, report

    listed, report = asyncio.run(look())
    assert listed == folded
    assert report.fault is None, report.fault
    assert report.rows >= len(logs), "an accepted run is not in the audit trail"
