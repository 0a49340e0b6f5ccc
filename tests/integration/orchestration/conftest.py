"""On which buses do the tests of messages between agents run?"""

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from quorate.bus.backends.local import open_local_broker, open_local_bus
from quorate.bus.backends.nats import open_nats_bus
from quorate.ports import Store
from quorate.ports.bus import Bus, StreamRule
from quorate.state.backends.memory import open_memory_store
from quorate.testing.nats_server import NatsServer, open_nats_server

OpenBus = Callable[[Sequence[StreamRule]], AbstractAsyncContextManager[Bus]]


@pytest.fixture(scope="module")
def nats_server() -> Iterator[NatsServer]:
    """A real server for the tests of a file."""
    with open_nats_server() as server:
        yield server


@pytest.fixture
async def store() -> AsyncGenerator[Store]:
    """What the processes of a fleet share."""
    async with open_memory_store() as opened:
        yield opened


@pytest.fixture(params=["local", "nats"])
async def open_bus(request: pytest.FixtureRequest) -> AsyncGenerator[OpenBus]:
    """Opens a bus of tenant `acme`, each time as another process would."""
    if request.param == "local":
        async with open_local_broker() as broker:

            @asynccontextmanager
            async def open_local(streams: Sequence[StreamRule]) -> AsyncGenerator[Bus]:
                async with open_local_bus("acme", streams=streams, broker=broker) as bus:
                    yield bus

            yield open_local
        return
    server: NatsServer = request.getfixturevalue("nats_server")

    @asynccontextmanager
    async def open_nats(streams: Sequence[StreamRule]) -> AsyncGenerator[Bus]:
        async with open_nats_bus(server.url, tenant="acme", streams=streams) as bus:
            yield bus

    yield open_nats
    async with open_nats_bus(server.url) as bus:
        jetstream = bus.connection.jetstream()  # pyright: ignore[reportUnknownMemberType]
        for info in await jetstream.streams_info():
            await jetstream.delete_stream(info.config.name or "")
