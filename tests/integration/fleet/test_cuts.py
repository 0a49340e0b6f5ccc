"""Does a fleet notice that its commits stand when the answers to them are lost?"""

from pathlib import Path

from tests.chaos.cuts import cut_again_and_again

from quorate.testing.postgres_server import PostgresServer


def test_answers_lost_after_the_commit_fail_fence_and_move_nothing(
    postgres_server: PostgresServer, postgres_dsn: str, tmp_path: Path
) -> None:
    """Connections are cut right after COMMIT while two workers work: no run fails, none is fenced by itself, and none
    is taken over."""
    cuts = cut_again_and_again(tmp_path, postgres_server, postgres_dsn, runs=12, rounds=2, seed=31)
    assert cuts >= 5
