"""Do all stores of limits count alike?"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.valkey import valkey_server, valkey_url

from quorate.models.limits.memory import MemoryLimits
from quorate.models.limits.redis import open_redis_limits
from quorate.models.limits.store import LimitStore
from quorate.models.limits.values import ValueLimits
from quorate.state.backends.memory import open_memory_store
from quorate.state.backends.postgres import open_postgres_store
from quorate.state.backends.sqlite import open_sqlite_store
from quorate.testing.contracts.limits import LimitStoreContract

__all__ = ["valkey_server", "valkey_url"]


@pytest.fixture(params=["memory", "values", "sqlite", "postgres", "valkey"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Where to count, and its address."""
    names = {"postgres": "postgres_dsn", "valkey": "valkey_url"}
    name = names.get(request.param)
    return request.param, request.getfixturevalue(name) if name else str(tmp_path / "quorate.db")


@pytest.fixture
async def limits(place: tuple[str, str]) -> AsyncGenerator[LimitStore]:
    kind, address = place
    if kind == "memory":
        yield MemoryLimits()
    elif kind == "valkey":
        async with open_redis_limits(address, timeout_s=30) as opened:
            yield opened
    elif kind == "values":
        async with open_memory_store() as store:
            yield ValueLimits(store.values)
    else:
        async with open_postgres_store(address) if kind == "postgres" else open_sqlite_store(address) as store:
            yield ValueLimits(store.values)


@pytest.fixture
def pass_time() -> Callable[[float], Awaitable[None]]:
    """The servers' own clocks cannot be moved: these windows are short."""
    return asyncio.sleep


class TestLimitStore(LimitStoreContract):
    pass
