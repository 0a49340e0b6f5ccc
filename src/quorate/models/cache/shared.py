"""How are answers shared by processes, through the database they share anyway?

There are as many places as there may be entries, and an answer's key says which is its own: a later answer replaces
whatever is there. So the store is bounded without counting, and every operation touches one row.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from quorate.errors import InvalidInput, TooLarge, Unavailable
from quorate.models.cache.key import LEAST_SECRET_BYTES
from quorate.models.cache.rule import Invalidation, Stored
from quorate.models.cache.sealed import seal, unseal
from quorate.ports import KeyValue

PREFIX = "cache/"
TIMEOUT_S = 0.25
PAGE = 100


class Places(Protocol):
    """Where processes put bytes for each other, by name; each is gone after its time.

    All of it raises `Unavailable` where the store cannot be reached.
    """

    async def read(self, name: str) -> bytes | None:
        """Return what is there, or `None`."""
        ...

    async def write(self, name: str, data: bytes, *, ttl_s: float) -> None:
        """Put bytes, in place of whatever is there; `TooLarge` where they do not fit."""
        ...

    async def remove(self, name: str) -> None:
        """Forget a name; an unknown one does no harm."""
        ...

    def iterate(self, prefix: str) -> AsyncIterator[tuple[str, bytes]]:
        """Yield every name that begins so, with what is there."""
        ...


class StoredPlaces:
    """`Places` in a database: SQLite for the processes of one machine, PostgreSQL for several."""

    def __init__(self, values: KeyValue) -> None:
        self._values = values

    async def read(self, name: str) -> bytes | None:
        """Return what is there, or `None`."""
        entry = await self._values.get(name)
        return None if entry is None else entry.value

    async def write(self, name: str, data: bytes, *, ttl_s: float) -> None:
        """Put bytes, in place of whatever is there; raises what the port says."""
        await self._values.put(name, data, ttl_s=ttl_s)

    async def remove(self, name: str) -> None:
        """Forget a name."""
        await self._values.delete(name)

    async def iterate(self, prefix: str) -> AsyncIterator[tuple[str, bytes]]:
        """Yield every name that begins so, with what is there."""
        after = ""
        while entries := await self._values.scan(prefix, after=after, limit=PAGE):
            for entry in entries:
                yield entry.key, entry.value
            after = entries[-1].key


class SharedCache:
    """A `CacheStore` that processes share: a database they use anyway, or Redis."""

    def __init__(
        self,
        places: Places,
        *,
        secret: bytes,
        max_entries: int = 10_000,
        max_entry_bytes: int = 256 << 10,
        timeout_s: float = TIMEOUT_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._places = places
        self._secret = check_secret(secret)
        self._most = max_entries
        self._most_entry = max_entry_bytes
        self._timeout_s = timeout_s
        self._now = now

    async def find(self, key: bytes) -> Stored | None:
        """Find what is kept under a key and has not expired; raises what the port says."""
        try:
            async with asyncio.timeout(self._timeout_s):
                data = await self._places.read(self._place(key))
        except TimeoutError as error:
            raise _too_slow(self._timeout_s) from error
        return None if data is None else unseal(data, secret=self._secret, key=key, now=self._now())

    async def keep(self, key: bytes, stored: Stored, *, ttl_s: float) -> bool:
        """Keep an answer and say so, or leave what does not fit or cannot be written; raises what the port says."""
        data = seal(key, stored, secret=self._secret, until=self._now() + ttl_s)
        if data is None or len(data) > self._most_entry:
            return False
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._places.write(self._place(key), data, ttl_s=ttl_s)
        except TooLarge:
            return False
        except TimeoutError as error:
            raise _too_slow(self._timeout_s) from error
        return True

    async def forget(self, which: Invalidation) -> int:
        """Forget answers and say how many; what does not verify goes too."""
        gone = 0
        async for name, data in self._places.iterate(PREFIX):
            stored = unseal(data, secret=self._secret)
            if stored is None or which.meets(stored):
                await self._places.remove(name)
                gone += 1
        return gone

    def _place(self, key: bytes) -> str:
        return f"{PREFIX}{int.from_bytes(key[:8], 'big') % self._most:08x}"


def check_secret(secret: bytes) -> bytes:
    """Return a secret that is long enough.

    Raises:
        InvalidInput: It is shorter than 32 bytes, or one byte repeated; its value is not shown.
    """
    if len(secret) < LEAST_SECRET_BYTES or len(set(secret)) < 8:
        raise InvalidInput(
            f"The secret of a shared cache has {len(secret)} bytes or is too regular: give {LEAST_SECRET_BYTES} random "
            "ones, such as those of `openssl rand -hex 32`."
        )
    return secret


def _too_slow(timeout_s: float) -> Unavailable:
    return Unavailable(f"The cache's store did not answer within {timeout_s:g} s.", layer="cache")
