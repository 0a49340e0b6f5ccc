"""Is every run completed once when workers and the broker die under them? `make chaos` has a thousand."""

from pathlib import Path

import pytest
from tests.chaos.broker import harry_in_stages

from quorate.testing.nats_server import open_nats_server

RUNS = 60


@pytest.mark.parametrize("sent", [False, True], ids=["queued", "sent"])
def test_runs_are_completed_while_workers_and_the_broker_die(sent: bool, tmp_path: Path) -> None:
    """Three processes, of which four in all are killed with -9, and a broker that is, too: all runs completed, 0 lost,
    0 recorded steps made again, whether they were queued in the record or sent over the bus."""
    with open_nats_server() as server:
        toll = harry_in_stages(tmp_path, str(tmp_path / "quorate.db"), server, runs=RUNS, sent=sent, seed=41)
    print(f"\n{'sent over the bus' if sent else 'queued in the record'}: {toll}")
    assert (toll.runs, toll.kills) == (RUNS, 4)
    assert toll.moved > 0
