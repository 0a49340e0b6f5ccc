"""Which databases are tests run on that must hold for all of them?"""

from pathlib import Path

import pytest


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database, as the setting `database` names it."""
    if request.param == "sqlite":
        return str(tmp_path / "quorate.db")
    return request.getfixturevalue("postgres_dsn")
