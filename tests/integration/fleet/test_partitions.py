"""Do a worker and the others agree on its runs when the network between them is cut? `make chaos` cuts for a minute."""

from pathlib import Path

from tests.chaos.network import work_apart
from tests.chaos.partition import cut_off_a_worker, hide_the_broker


def test_a_worker_that_is_cut_off_is_replaced_once(tmp_path: Path) -> None:
    """Silently, in the middle of its calls: others end its runs, what it writes afterwards is refused, and it works
    on."""
    cut = work_apart(lambda: cut_off_a_worker(tmp_path, way="both", cut_s=0, runs=4, seed=51))
    assert cut.fenced == cut.runs


def test_a_worker_without_a_broker_works_on(tmp_path: Path) -> None:
    """Only the broker is out of reach: nothing is moved, and nothing waits for it."""
    work_apart(lambda: hide_the_broker(tmp_path, cut_s=0, runs=4, seed=52))
