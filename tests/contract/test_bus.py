"""Do the bus of one process and the one over a real NATS keep the same contract?"""

import asyncio
import heapq
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager

import pytest
from tests.tenants import Tenants, build_facts, open_tenants

from quorate.bus.accounts.facts import PrincipalFacts
from quorate.bus.backends.local import open_local_broker, open_local_bus
from quorate.ports.bus import Bus, StreamRule
from quorate.testing import ManualClock
from quorate.testing.contracts.bus import BusContract, OpenBus
from quorate.testing.contracts.bus_queue import BusQueueContract

MAKER = "maker"
"""Who makes the streams; whoever is tested here may not."""
TESTER = "tester"
CHIEF = "chief"
FOREIGN = ("test_a_star_is_one_word",)
"""Tests that listen to everything, which takes another role."""


class Time:
    """A clock that stands still, and sleepers who wake when it is moved."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.clock.monotonic() + seconds, id(future), future))
        await future

    async def move(self, seconds: float) -> None:
        await settle()
        end = self.clock.monotonic() + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, future = heapq.heappop(self._sleepers)
            self.clock.advance(max(due - self.clock.monotonic(), 0.0))
            if not future.done():
                future.set_result(None)
            await settle()
        self.clock.advance(end - self.clock.monotonic())
        await settle()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture(params=["local", "nats"])
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def tenants() -> Iterator[Tenants]:
    """A server whose tenants have the accounts and permissions that `quorate nats config` gives them."""
    people = {
        MAKER: PrincipalFacts(role="server"),
        TESTER: PrincipalFacts(role="worker"),
        CHIEF: PrincipalFacts(role="operator"),
    }
    with open_tenants(build_facts("acme", "other", principals=people, subjects=("a", "a.>", "b.>"))) as opened:
        yield opened


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def open_local(time: Time) -> AsyncGenerator[OpenBus]:
    async with open_local_broker(clock=time.clock, sleep=time.sleep) as broker:

        @asynccontextmanager
        async def open_bus(*, tenant: str = "acme", streams: Sequence[StreamRule] = ()) -> AsyncGenerator[Bus]:
            async with open_local_bus(tenant, principal=TESTER, streams=streams, broker=broker) as bus:
                yield bus

        yield open_bus


@pytest.fixture
async def open_nats(tenants: Tenants, request: pytest.FixtureRequest) -> AsyncGenerator[OpenBus]:
    """Buses of a worker, who may do only what workers must; the streams are made by somebody else before."""
    who = CHIEF if request.node.name.startswith(FOREIGN) else TESTER

    @asynccontextmanager
    async def open_bus(*, tenant: str = "acme", streams: Sequence[StreamRule] = ()) -> AsyncGenerator[Bus]:
        if streams:
            async with tenants.open(tenant, MAKER, streams=streams):
                pass
        async with tenants.open(tenant, who, streams=streams) as bus:
            yield bus

    yield open_bus
    async with tenants.open("acme", CHIEF) as bus:
        streams = bus.connection.jetstream()  # pyright: ignore[reportUnknownMemberType]
        for info in await streams.streams_info():
            await streams.delete_stream(info.config.name or "")


@pytest.fixture
def open_bus(backend: str, request: pytest.FixtureRequest) -> OpenBus:
    return request.getfixturevalue(f"open_{backend}")


@pytest.fixture
def pass_time(backend: str, time: Time) -> Callable[[float], Awaitable[None]]:
    return time.move if backend == "local" else asyncio.sleep


class TestBus(BusContract):
    """Messages that nobody keeps; over NATS as somebody with the permissions of a worker.
    row: A1, A2"""


class TestBusQueue(BusQueueContract):
    """Streams of work and of events.
    row: A5"""
