"""What the tests of sessions over real databases share."""

from pathlib import Path

import pytest


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of one's own: a file, or the address of a server."""
    return str(tmp_path / "quorate.db") if request.param == "sqlite" else request.getfixturevalue("postgres_dsn")
