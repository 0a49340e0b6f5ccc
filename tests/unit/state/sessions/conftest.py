"""What the tests of sessions share."""

from collections.abc import AsyncGenerator

import pytest
from tests.unit.state.sessions.doubles import Desk, open_desk


@pytest.fixture
async def desk() -> AsyncGenerator[Desk]:
    async with open_desk() as desk:
        yield desk
