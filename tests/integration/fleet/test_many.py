"""Are many runs under way and many more at rest a matter of rows, on either database? `make chaos` has thousands."""

from pathlib import Path

from tests.chaos.many import MAX_THREADS, crowd


def test_a_hundred_running_beside_a_thousand_waiting(database: str, tmp_path: Path) -> None:
    """Two workers have a hundred runs under way, with no more threads than their pools; all end, and who waits waits."""
    seen = crowd(tmp_path, database, running=100, waiting=1000, workers=2, within_s=100)
    assert max(seen.threads) <= MAX_THREADS
