"""How are answers shared through Redis or Valkey?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from quorate.errors import MissingExtra, Unavailable

NAMESPACE = "quorate:"


class RedisClient(Protocol):
    """What is needed of `redis.asyncio.Redis`, opened with `decode_responses=False`."""

    async def get(self, name: str, /) -> bytes | None:
        """Return what is there, or `None`."""
        ...

    async def set(self, name: str, value: bytes, /, *, px: int) -> object:
        """Put bytes for some milliseconds."""
        ...

    async def delete(self, *names: str) -> object:
        """Forget names."""
        ...

    def scan_iter(self, *, match: str, count: int) -> AsyncIterator[bytes]:
        """Yield the names that match."""
        ...


class RedisPlaces:
    """`Places` in a Redis or Valkey server; it uses the client it is given and does not close it.

    Raises:
        MissingExtra: The extra `redis` is not installed.
    """

    def __init__(self, client: RedisClient, *, namespace: str = NAMESPACE) -> None:
        try:
            from redis.exceptions import RedisError
        except ImportError as error:
            raise MissingExtra("A cache in Redis", "redis") from error
        self._errors: tuple[type[Exception], ...] = (RedisError, OSError)
        self._client = client
        self._namespace = namespace

    async def read(self, name: str) -> bytes | None:
        """Return what is there, or `None`."""
        try:
            return await self._client.get(self._namespace + name)
        except self._errors as error:
            raise _lost() from error

    async def write(self, name: str, data: bytes, *, ttl_s: float) -> None:
        """Put bytes, in place of whatever is there."""
        try:
            await self._client.set(self._namespace + name, data, px=max(1, round(ttl_s * 1000)))
        except self._errors as error:
            raise _lost() from error

    async def remove(self, name: str) -> None:
        """Forget a name."""
        try:
            await self._client.delete(self._namespace + name)
        except self._errors as error:
            raise _lost() from error

    async def iterate(self, prefix: str) -> AsyncIterator[tuple[str, bytes]]:
        """Yield every name that begins so, with what is there; what comes or goes meanwhile may be left out."""
        begin = len(self._namespace)
        try:
            async for found in self._client.scan_iter(match=f"{self._namespace}{prefix}*", count=500):
                name = found.decode()[begin:]
                data = await self.read(name)
                if data is not None:
                    yield name, data
        except self._errors as error:
            raise _lost() from error


def _lost() -> Unavailable:
    return Unavailable("The cache's Redis server cannot be reached.", layer="cache")
