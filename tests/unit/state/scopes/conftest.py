"""What do the tests of stored state share?"""

from collections.abc import AsyncIterator

import pytest

from quorate.ports import KeyValue
from quorate.state.backends.memory import open_memory_store
from quorate.testing.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def values(clock: ManualClock) -> AsyncIterator[KeyValue]:
    async with open_memory_store(clock=clock) as store:
        yield store.values
