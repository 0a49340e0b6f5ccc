"""Which databases are the tests of fleets and boundaries run on?"""

from collections.abc import AsyncIterator

import pytest

from quorate import Settings
from quorate.assembly import open_store
from quorate.ports import Store


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    """A fresh database, opened."""
    async with open_store(Settings(database=database)) as opened:
        yield opened
