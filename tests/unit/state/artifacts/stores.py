"""Stores of artifacts as the tests open them: over memory, and over one in which others come in between."""

import asyncio
import os
import random
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager

from quorate.ports import BlobInfo, Blobs, Entry, KeyValue, Store
from quorate.state.artifacts import ArtifactStore, Caller, KeyRing
from quorate.state.backends.memory import open_memory_store
from quorate.testing import ManualClock

MINE = Caller(tenant="acme", principal="ann", run="run-1")
OPERATOR = Caller(tenant="acme", operator=True)
KEYS = {"first": os.urandom(32), "second": os.urandom(32)}
RING = KeyRing(KEYS)


@asynccontextmanager
async def open_store(clock: ManualClock | None = None, **options: object) -> AsyncIterator[ArtifactStore]:
    """A store of artifacts in memory."""
    moved = clock or ManualClock()
    async with open_memory_store(clock=moved) as store:
        yield build_store(store, moved, **options)


def build_store(store: Store, clock: ManualClock, **options: object) -> ArtifactStore:
    return ArtifactStore(store.values, store.blobs, clock=clock, **options)  # pyright: ignore[reportArgumentType]


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def list_blobs(store: ArtifactStore) -> list[BlobInfo]:
    return await store.vault.blobs.list_blobs()


class Interrupted:
    """Values between whose changes others come in, in an order that a seed decides."""

    def __init__(self, inner: KeyValue, dice: random.Random) -> None:
        self.inner = inner
        self.dice = dice

    async def step_aside(self) -> None:
        for _ in range(self.dice.choice((0, 0, 1, 2, 5, 13))):
            await asyncio.sleep(0)

    async def get(self, key: str) -> Entry | None:
        await self.step_aside()
        return await self.inner.get(key)

    async def put(self, key: str, value: bytes, *, if_revision: int | None = None, ttl_s: float | None = None) -> Entry:
        await self.step_aside()
        return await self.inner.put(key, value, if_revision=if_revision, ttl_s=ttl_s)

    async def delete(self, key: str, *, if_revision: int | None = None) -> bool:
        await self.step_aside()
        return await self.inner.delete(key, if_revision=if_revision)

    async def scan(self, prefix: str, *, after: str = "", limit: int = 100) -> list[Entry]:
        await self.step_aside()
        return await self.inner.scan(prefix, after=after, limit=limit)


class InterruptedBlobs:
    """Blobs between whose changes others come in."""

    def __init__(self, inner: Blobs, values: Interrupted) -> None:
        self.inner = inner
        self._step_aside = values.step_aside

    async def put(self, name: str, chunks: AsyncIterable[bytes]) -> int:
        await self._step_aside()
        size = await self.inner.put(name, chunks)
        await self._step_aside()
        return size

    async def get(self, name: str) -> AsyncIterator[bytes]:
        async for piece in self.inner.get(name):
            yield piece
            await self._step_aside()

    async def delete(self, name: str) -> bool:
        await self._step_aside()
        return await self.inner.delete(name)

    async def list_blobs(self, prefix: str = "", *, after: str = "", limit: int = 1000) -> list[BlobInfo]:
        await self._step_aside()
        return await self.inner.list_blobs(prefix, after=after, limit=limit)
