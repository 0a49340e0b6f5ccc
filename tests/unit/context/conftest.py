"""What do the tests of memory share?"""

from collections.abc import AsyncIterator, Callable

import pytest
from tests.unit.context.hive import ACME, member

from quorate.context.memory.kinds import MemoryRules
from quorate.context.memory.memories import Memories
from quorate.ports import Store
from quorate.state.backends.memory import open_memory_store
from quorate.testing.clock import ManualClock

__all__ = ["member"]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def store(clock: ManualClock) -> AsyncIterator[Store]:
    async with open_memory_store(clock=clock) as opened:
        yield opened


@pytest.fixture
def open_hive(store: Store, clock: ManualClock) -> Callable[..., Memories]:
    """Open the memories of a tenant, with rules of one's own."""

    def build(rules: MemoryRules | None = None, *, prefix: str = ACME, **parts: object) -> Memories:
        return Memories(store.values, prefix=prefix, rules=rules or MemoryRules(), clock=clock, **parts)  # pyright: ignore[reportArgumentType]

    return build


@pytest.fixture
def hive(open_hive: Callable[..., Memories]) -> Memories:
    return open_hive()
