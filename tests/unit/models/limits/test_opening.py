"""Is the place where limits are counted the one that was asked for, or a typed refusal?"""

import sys

import pytest

from quorate.errors import InvalidInput, MissingExtra
from quorate.models.limits.memory import MemoryLimits
from quorate.models.limits.opening import LimitsPlace, open_limit_store
from quorate.models.limits.redis import RedisLimits
from quorate.models.limits.values import ValueLimits
from quorate.models.prices import load_public_price
from quorate.models.redis import open_redis
from quorate.state.backends.memory import MemoryValues
from quorate.testing import ManualClock

pytestmark = pytest.mark.blocking


async def test_each_place_is_opened() -> None:
    """Nothing is connected yet."""
    async with open_limit_store(LimitsPlace()) as store:
        assert isinstance(store, MemoryLimits)
    async with open_limit_store(LimitsPlace(store="database"), values=MemoryValues(ManualClock())) as store:
        assert isinstance(store, ValueLimits)
    async with open_limit_store(LimitsPlace(store="redis"), find={"REDIS_URL": "redis://127.0.0.1:1"}.get) as store:
        assert isinstance(store, RedisLimits)


async def test_a_place_that_is_not_there_is_refused() -> None:
    """Limits are never counted somewhere else in silence."""
    with pytest.raises(InvalidInput, match="and `VALKEY` holds no address"):
        async with open_limit_store(LimitsPlace(store="redis", url_env="VALKEY")):
            pass
    with pytest.raises(InvalidInput, match="and none is open: choose `memory` or `redis`"):
        async with open_limit_store(LimitsPlace(store="database")):
            pass


async def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(MissingExtra, match=r"pip install 'quorate\[redis\]'"):
        async with open_redis("redis://127.0.0.1"):
            pass
    monkeypatch.setitem(sys.modules, "genai_prices.data_snapshot", None)
    with pytest.raises(MissingExtra, match=r"pip install 'quorate\[prices\]'"):
        load_public_price("openai:some-model-nobody-asked-for")
