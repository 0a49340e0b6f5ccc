"""Do calls of several processes' limiters wait for one another, and does every one of them get its turn?"""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.valkey import valkey_server, valkey_url

from quorate.models.limits.limiter import Limiter
from quorate.models.limits.redis import open_redis_limits
from quorate.models.limits.rules import LimitRule
from quorate.models.limits.values import ValueLimits
from quorate.specs import Caller
from quorate.state.backends.sqlite import open_sqlite_store

__all__ = ["valkey_server", "valkey_url"]

RULE = LimitRule(requests=5, per_s=0.4, max_wait_s=60)


@pytest.mark.parametrize("kind", ["sqlite", "valkey"])
async def test_all_pass_in_turn(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Thirty calls of two limiters take five windows at least; none is refused, and nobody waits at the end."""
    url = request.getfixturevalue("valkey_url") if kind == "valkey" else ""
    async with AsyncExitStack() as stack:
        limiters: list[Limiter] = []
        for _ in range(2):
            if url:
                store = await stack.enter_async_context(open_redis_limits(url, timeout_s=30))
            else:
                opened = await stack.enter_async_context(open_sqlite_store(tmp_path / "quorate.db"))
                store = ValueLimits(opened.values)
            limiters.append(Limiter([RULE], store=store))
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(30):
                limiter = limiters[number % 2]
                group.create_task(limiter.enter(limiter.find_claims(Caller(), model="m")))
        assert time.monotonic() - began >= 5 * 0.4
        assert [limiter.waiting for limiter in limiters] == [0, 0]
