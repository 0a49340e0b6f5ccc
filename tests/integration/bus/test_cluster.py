"""Do three servers that `quorate nats config` set up keep streams together, and is each of them checked?"""

import asyncio
import random
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, suppress
from pathlib import Path
from typing import TypeVar, cast

import pytest
from msgspec import structs
from tests.tenants import build_facts

from quorate.bus.accounts.facts import ClusterFacts
from quorate.bus.accounts.saving import save_configuration
from quorate.bus.backends.nats import NatsLogin, NatsPatience, open_nats_bus
from quorate.errors import DeadlineExceeded, InvalidInput, Unavailable
from quorate.ports.bus import Bus, StreamRule
from quorate.testing.nats_server import NatsServer, open_nats_server

TASKS = StreamRule(name="tasks", subjects=("ai.agent.tasks.acme",), kind="work", max_bytes=1 << 20, replicas=3)
NAMES = ("one", "two", "three")
PATIENCE_S = 100.0
PATIENCE = NatsPatience(connect_s=30, request_s=5)
T = TypeVar("T")


def find_ports(count: int) -> list[int]:
    """Find ports that are free, none of them one that the system gives to whoever asks for any."""
    found: list[int] = []
    with ExitStack() as held:
        for port in random.sample(range(20_000, 32_000), 1000):
            with suppress(OSError):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
                found.append(port)
            if len(found) == count:
                break
    return found


async def insist(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again while the servers do not know of each other yet, or choose who leads."""
    while True:
        try:
            return await ask()
        except (DeadlineExceeded, Unavailable):
            pass
        except InvalidInput as error:
            if "no suitable peers" not in error.message:
                raise
        await asyncio.sleep(0.1)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[dict[str, NatsServer]]:
    """Three servers, each with its own configuration; the last one stores otherwise than it should."""
    places = {name: f"127.0.0.1:{port}" for name, port in zip(NAMES, find_ports(3), strict=True)}
    facts = structs.replace(build_facts("acme"), cluster=ClusterFacts(servers=places))
    saved = save_configuration(facts, tmp_path / "nats")
    with ExitStack() as stack:
        servers: dict[str, NatsServer] = {}
        for file in map(Path, saved.configurations):
            store = f'store_dir: "{tmp_path / file.stem}", max_file_store: 1GB, sync_interval: "1m"'
            lines = [f"jetstream {{ {store} }}"] if file.stem == "three" else []
            servers[file.stem] = stack.enter_context(open_nats_server(configuration=file, lines=lines))
        yield servers


async def test_every_server_of_a_cluster_is_checked_and_keeps_streams(
    cluster: dict[str, NatsServer], tmp_path: Path
) -> None:
    """The one that stores otherwise is named; without that check a stream has three replicas, and outlives a server."""
    keys = {
        name: NatsLogin(nkey_file=str(tmp_path / "nats" / "keys" / f"{name}.nk")) for name in ("acme/server", "system")
    }
    urls = [server.url for server in cluster.values()]

    def open_it(system: NatsLogin | None) -> AbstractAsyncContextManager[Bus]:
        how = {"login": keys["acme/server"], "streams": [TASKS], "system": system, "patience": PATIENCE}
        return open_nats_bus(urls, tenant="acme", principal="server", **how)  # pyright: ignore[reportArgumentType]

    async def find_faults() -> list[str]:
        try:
            async with open_it(keys["system"]):
                return []
        except InvalidInput as error:
            return [str(fault) for fault in cast("tuple[str, ...]", error.context["faults"])]

    async with asyncio.timeout(PATIENCE_S):  # a cluster takes a while to find together
        while not (faults := await insist(find_faults)) or not all("(server " in fault for fault in faults):
            await asyncio.sleep(0.1)
    assert any("`sync_interval` is 60 s" in fault for fault in faults)
    assert all("(server 'three')" in fault for fault in faults)
    async with asyncio.timeout(PATIENCE_S), AsyncExitStack() as stack:
        bus = await insist(lambda: stack.enter_async_context(open_it(None)))
        await insist(lambda: bus.enqueue("ai.agent.tasks.acme", b"one", id="one"))
        await asyncio.to_thread(cluster["three"].kill)
        await insist(lambda: bus.enqueue("ai.agent.tasks.acme", b"two", id="two"))
        pieces = await insist(lambda: stack.enter_async_context(bus.work("tasks")))
        assert [(await anext(aiter(pieces))).message.data for _ in range(2)] == [b"one", b"two"]
