"""Do sessions keep all their promises on SQLite and on PostgreSQL?"""

from collections.abc import AsyncGenerator

import pytest
from tests.integration.state.sessions.databases import open_database
from tests.unit.state.sessions.doubles import Desk
from tests.unit.state.sessions.test_lifecycle import TestAccess as Access
from tests.unit.state.sessions.test_lifecycle import TestDelete as Delete
from tests.unit.state.sessions.test_lifecycle import TestExpiry as Expiry
from tests.unit.state.sessions.test_lifecycle import TestListing as Listing
from tests.unit.state.sessions.test_lifecycle import TestUpdate as Update
from tests.unit.state.sessions.test_turns import TestConversation as Conversation
from tests.unit.state.sessions.test_turns import TestFork as Fork
from tests.unit.state.sessions.test_turns import TestLimits as Limits
from tests.unit.state.sessions.test_turns import TestRecovery as Recovery

from quorate.testing.clock import ManualClock


@pytest.fixture
async def desk(database: str) -> AsyncGenerator[Desk]:
    clock = ManualClock()
    async with open_database(database, clock) as store:
        yield Desk(store, clock)


class TestStoredAccess(Access): ...


class TestStoredConversation(Conversation): ...


class TestStoredDelete(Delete): ...


class TestStoredExpiry(Expiry): ...


class TestStoredFork(Fork): ...


class TestStoredLimits(Limits): ...


class TestStoredListing(Listing): ...


class TestStoredRecovery(Recovery): ...


class TestStoredUpdate(Update): ...
