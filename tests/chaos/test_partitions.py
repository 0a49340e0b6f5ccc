"""Do a worker and the others agree on its runs after a minute without each other? `make chaos`."""

import os
from pathlib import Path

import pytest
from tests.chaos.network import Way, work_apart
from tests.chaos.partition import cut_off_a_worker, hide_the_broker

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

CUT_S = float(os.environ.get("CHAOS_CUT_S", "60"))
SEED = int(os.environ.get("CHAOS_SEED", "20260101"))
RUNS = 16


@pytest.mark.parametrize("way", ["both", "from", "to"])
def test_a_worker_that_is_cut_off_for_a_minute_is_replaced_once(way: Way, tmp_path: Path) -> None:
    """Both ways or one: each run is taken over once, 0 are lost, 0 late writes, and the worker works on."""
    cut = work_apart(lambda: cut_off_a_worker(tmp_path, way=way, cut_s=CUT_S, runs=RUNS, seed=SEED))
    print(
        f"\ncut {way} for {CUT_S:g} s: {cut.runs} runs taken over once each, the last {cut.taken_after_s:.1f} s after the "
        f"cut; {cut.fenced} let go of after it, 0 late writes, 0 lost"
    )
    assert cut.fenced == cut.runs


def test_a_worker_without_a_broker_for_a_minute_works_on(tmp_path: Path) -> None:
    """Only the broker is out of reach: nothing is moved, and nothing waits for it."""
    fleet = work_apart(lambda: hide_the_broker(tmp_path, cut_s=CUT_S, runs=RUNS, seed=SEED))
    print(f"\nno broker for {CUT_S:g} s: {len(fleet.names)} runs in one attempt each")
