"""Do the stores that read a clock keep the contracts of all ports?"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import pytest

from quorate.ports import Log, Store
from quorate.state.backends.memory import open_memory_store
from quorate.state.backends.sqlite import open_sqlite_store
from quorate.testing import ManualClock
from quorate.testing.contracts import (
    BlobsContract,
    KeyValueContract,
    LeasesContract,
    LogContract,
    OutboxContract,
    build_opening,
)

BACKENDS = ["memory", "sqlite"]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=BACKENDS)
async def store(request: pytest.FixtureRequest, clock: ManualClock, tmp_path: Path) -> AsyncGenerator[Store]:
    if request.param == "memory":
        opened = open_memory_store(clock=clock, outbox=True)
    else:
        opened = open_sqlite_store(tmp_path / "quorate.db", clock=clock, outbox=True)
    async with opened as store:
        yield store


@pytest.fixture
def pass_time(clock: ManualClock) -> Callable[[float], Awaitable[None]]:
    async def move(seconds: float) -> None:
        clock.jump(seconds)

    return move


class TestLog(LogContract):
    @pytest.fixture
    def log(self, store: Store) -> Log:
        return store.log


class TestKeyValue(KeyValueContract):
    pass


class TestBlobs(BlobsContract):
    pass


class TestLeases(LeasesContract):
    pass


class TestOutbox(OutboxContract):
    pass


@pytest.mark.parametrize("backend", BACKENDS)
async def test_without_an_outbox_there_are_no_notices(backend: str, tmp_path: Path) -> None:
    """Nobody would ever mark them as told."""
    async with open_memory_store() if backend == "memory" else open_sqlite_store(tmp_path / "quorate.db") as store:
        await store.log.append("run-1", build_opening("run-1"), expected=0)
        assert await store.outbox.pending() == []
        await store.outbox.done([1])
