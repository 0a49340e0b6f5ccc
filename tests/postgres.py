"""How do tests get a real PostgreSQL? One server for each process that runs tests, an empty database for each test."""

from collections.abc import AsyncGenerator, Iterator

import pytest

from quorate.testing.postgres_server import PostgresServer, open_postgres_server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server that starts with the first test that wants one; whoever kills or pauses it opens another one."""
    with open_postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_spares() -> list[str]:
    """Databases that tests are done with, emptied for the next ones."""
    return []


@pytest.fixture
async def postgres_dsn(postgres_server: PostgresServer, postgres_spares: list[str]) -> AsyncGenerator[str]:
    """The address of an empty database of one's own."""
    dsn = postgres_spares.pop() if postgres_spares else await postgres_server.create_database()
    yield dsn
    await postgres_server.clear_database(dsn)
    postgres_spares.append(dsn)
