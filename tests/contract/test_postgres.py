"""Does the PostgreSQL store keep the contracts of all ports?"""

from collections.abc import AsyncGenerator, Awaitable, Callable

import asyncpg
import pytest

from quorate.ports import Log, Store
from quorate.state.backends.postgres import open_postgres_store
from quorate.testing.contracts import BlobsContract, KeyValueContract, LeasesContract, LogContract, OutboxContract

AGEING = """
UPDATE entries SET updated = updated - $1, expires = expires - $1;
UPDATE leases SET since = since - $1, expires = expires - $1;
UPDATE runs SET wakes = wakes - $1;
UPDATE blobs SET saved = saved - $1;
UPDATE blob_strays SET touched = touched - $1
"""


@pytest.fixture
async def store(postgres_dsn: str) -> AsyncGenerator[Store]:
    async with open_postgres_store(postgres_dsn, outbox=True) as store:
        yield store


@pytest.fixture
async def pass_time(store: Store, postgres_dsn: str) -> AsyncGenerator[Callable[[float], Awaitable[None]]]:
    """The database's clock is nobody's to move, so its rows grow older."""
    connection = await asyncpg.connect(postgres_dsn, server_settings={"search_path": "quorate"})

    async def pass_time(seconds: float) -> None:
        for statement in AGEING.split(";"):
            await connection.execute(statement, seconds)

    yield pass_time
    await connection.close()


class TestPostgresLog(LogContract):
    @pytest.fixture
    def log(self, store: Store) -> Log:
        return store.log


class TestPostgresValues(KeyValueContract):
    pass


class TestPostgresBlobs(BlobsContract):
    pass


class TestPostgresLeases(LeasesContract):
    pass


class TestPostgresOutbox(OutboxContract):
    pass
