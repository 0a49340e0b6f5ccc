"""Where are the counts of limits kept?"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Literal

from msgspec import Meta, Struct

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import InvalidInput
from quorate.models.limits.memory import MemoryLimits
from quorate.models.limits.store import LimitStore
from quorate.ports import KeyValue


class LimitsPlace(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where limits are counted."""

    store: Literal["memory", "database", "redis"] = "memory"
    """In each process by itself; in the runtime's database, for all processes that share it; or in Redis or Valkey."""
    url_env: Annotated[str, Meta(pattern="^[A-Z][A-Z0-9_]{0,63}$")] = "REDIS_URL"
    """The name of the environment variable that holds the address of Redis or Valkey."""


@asynccontextmanager
async def open_limit_store(
    place: LimitsPlace,
    *,
    values: KeyValue | None = None,
    find: Callable[[str], str | None] = lambda name: None,
    clock: Clock = SYSTEM_CLOCK,
) -> AsyncGenerator[LimitStore]:
    """Open the place where limits are counted.

    Args:
        place: Which one.
        values: The runtime's database.
        find: Gives the value of an environment name.
        clock: The time of waits.

    Raises:
        InvalidInput: There is no database, or no address.
        MissingExtra: The extra `redis` is not installed.
    """
    if place.store == "redis":
        url = (find(place.url_env) or "").strip()
        if not url:
            raise InvalidInput(f"Limits are to be counted in Redis or Valkey, and `{place.url_env}` holds no address.")
        from quorate.models.limits.redis import open_redis_limits

        async with open_redis_limits(url) as limits:
            yield limits
    elif place.store == "database":
        if values is None:
            raise InvalidInput(
                "Limits are to be counted in the database, and none is open: choose `memory` or `redis`."
            )
        from quorate.models.limits.values import ValueLimits

        yield ValueLimits(values, clock=clock)
    else:
        yield MemoryLimits(monotonic=clock.monotonic)
