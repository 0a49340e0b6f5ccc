"""On which stores do stored values have to hold? On all that outlive a process."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from quorate.ports import Store
from quorate.state.backends.postgres import open_postgres_store
from quorate.state.backends.sqlite import open_sqlite_store
from quorate.testing.postgres_server import PostgresServer, open_postgres_server

Open = Callable[[], AbstractAsyncContextManager[Store]]
"""Opens the same database again, as another process would."""


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    with open_postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
async def address(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """A database of one's own."""
    if request.param == "sqlite":
        yield str(tmp_path / "quorate.db")
    else:
        server = await asyncio.to_thread(request.getfixturevalue, "server")
        yield await server.create_database()


def open_store(address: str) -> AbstractAsyncContextManager[Store]:
    """Open a database by its address."""
    return open_postgres_store(address) if address.startswith("postgresql:") else open_sqlite_store(address)


@pytest.fixture
def open_again(address: str) -> Open:
    @asynccontextmanager
    async def open_() -> AsyncGenerator[Store]:
        async with open_store(address) as store:
            yield store

    return open_
