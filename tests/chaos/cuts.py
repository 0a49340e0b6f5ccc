"""What happens to a fleet whose connections are cut when its statements were committed?"""

import time
from pathlib import Path

from tests.chaos.fleets import open_fleet
from tests.chaos.outages import open_cutter

from quorate.events import ATTEMPTS
from quorate.testing.postgres_server import PostgresServer


def cut_again_and_again(
    folder: Path, server: PostgresServer, database: str, *, runs: int, rounds: int, seed: int
) -> int:
    """Let two workers work while the answers to what they committed are cut off: none is moved; return how often."""
    with (
        open_cutter(server, database) as (cutter, address),
        open_fleet(folder, database, seed=seed, lease_s=5) as fleet,
    ):
        for _ in range(rounds):
            fleet.submit(runs)
            fleet.database = address  # the workers go through the proxy; whoever checks does not
            while len(fleet.workers) < 2:
                fleet.start(heard=True)
            fleet.database = database
            for _ in range(5):
                cutter.hold(answers=True)
                time.sleep(fleet.random.uniform(0.01, 0.06))
                cutter.hold(answers=False)
                time.sleep(fleet.random.uniform(0.02, 0.1))
        fleet.wait_ended(within_s=60)
        fleet.check_ends()
        assert all(worker.poll() is None for worker in fleet.workers)
        attempts = {run: [e for e in events if isinstance(e, ATTEMPTS)] for run, events in fleet.read().items()}
        again = {run: [(e.owner, e.seq) for e in made] for run, made in attempts.items() if len(made) > 1}
        assert not again, f"runs were taken although their owners lived: {again}, {fleet.said}"
        return cutter.cuts
