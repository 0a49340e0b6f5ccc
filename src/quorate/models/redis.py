"""How is Redis or Valkey reached?"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from quorate.errors import InvalidInput, MissingExtra

if TYPE_CHECKING:
    from redis.asyncio import Redis

TIMEOUT_S = 2.0
MAX_CONNECTIONS = 32
"""Of one process; further calls wait for one."""
SCHEMES = ("redis", "rediss", "unix")


@asynccontextmanager
async def open_redis(url: str, *, timeout_s: float = TIMEOUT_S) -> AsyncGenerator[Redis]:
    """Open a client for an address such as `redis://127.0.0.1:6379/0`; nothing is connected before its first use.

    Args:
        url: `redis://`, `rediss://` (TLS) or `unix://`.
        timeout_s: How long connecting, and each answer, may take.

    Raises:
        MissingExtra: The extra `redis` is not installed.
        InvalidInput: The address is not one; it is not repeated, as it may hold a password.
    """
    try:
        from redis.asyncio import BlockingConnectionPool, Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import ConnectionError as Lost
    except ImportError as error:
        raise MissingExtra("Redis and Valkey", "redis") from error
    if url.partition("://")[0] not in SCHEMES:
        raise InvalidInput(
            "The address of a Redis or Valkey server must begin with `redis://`, `rediss://` or `unix://`."
        )
    # A connection that the server closed while nobody used it is opened anew, once.
    retry = Retry(NoBackoff(), 1, supported_errors=(Lost,))
    try:
        pool = BlockingConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType]
            url,
            max_connections=MAX_CONNECTIONS,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=retry,
        )
    except ValueError as error:
        raise InvalidInput(
            "The address of the Redis or Valkey server is not one: write `redis://HOST:PORT/0`."
        ) from error
    client = Redis.from_pool(pool)
    try:
        yield client
    finally:
        await client.aclose()
