"""Is what was known of a tenant believed no longer than it may be while the store is away?"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from msgspec import structs

from quorate.errors import Unavailable
from quorate.ports import Entry, KeyValue
from quorate.runtime.quotas import TRUSTED_S, Quotas
from quorate.specs import Caller
from quorate.state.backends.memory import open_memory_store
from quorate.testing.clock import ManualClock


class Wavering:
    """Values that cannot be reached while `is_away`."""

    def __init__(self, inner: KeyValue) -> None:
        self._inner = inner
        self.is_away = False
        self.asked = 0

    async def get(self, key: str) -> Entry | None:
        self.asked += 1
        if self.is_away:
            raise Unavailable("the store is away")
        return await self._inner.get(key)

    async def put(self, key: str, value: bytes, *, if_revision: int | None = None, ttl_s: float | None = None) -> Entry:
        return await self._inner.put(key, value, if_revision=if_revision, ttl_s=ttl_s)

    async def delete(self, key: str, *, if_revision: int | None = None) -> bool:
        return await self._inner.delete(key, if_revision=if_revision)

    async def scan(self, prefix: str, *, after: str = "", limit: int = 100) -> list[Entry]:
        return await self._inner.scan(prefix, after=after, limit=limit)


@pytest.fixture
async def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def values(clock: ManualClock) -> AsyncIterator[Wavering]:
    async with open_memory_store(clock=clock) as store:
        yield Wavering(store.values)


async def test_runs_that_go_on_let_nobody_in(clock: ManualClock, values: Wavering) -> None:
    """A run goes on by what was known, as the store refuses what it may not; whoever comes to a door waits for it."""
    async with open_memory_store(clock=clock) as store:
        quotas = Quotas(structs.replace(store, values=values), clock=clock)
        await quotas.check("acme")
        values.is_away = True
        await quotas.check("acme")  # for five seconds
        clock.advance(TRUSTED_S + 0.1)
        assert await quotas.find_caps(Caller(tenant="acme")) == ()
        with pytest.raises(Unavailable):
            await quotas.check("acme")
        asked = values.asked
        for _ in range(100):
            await quotas.find_caps(Caller(tenant="acme"))
        assert values.asked == asked  # not for each call of a model
        values.is_away = False
        clock.advance(1.1)
        await quotas.find_caps(Caller(tenant="acme"))
        await quotas.check("acme")
