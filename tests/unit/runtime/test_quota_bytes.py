"""Does whoever breaks off while writing leave the room that was set aside for it?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from quorate.errors import BudgetExceeded
from quorate.runtime.quota_bytes import MeteredBlobs
from quorate.state.backends.memory import MemoryBlobs, MemoryValues
from quorate.testing.clock import ManualClock

MOST = 100_000


def build_blobs() -> MeteredBlobs:
    clock = ManualClock()

    async def find_most(tenant: str) -> tuple[int | None, float]:
        return MOST, 0.0

    return MeteredBlobs(MemoryBlobs(clock), MemoryValues(clock), find_most=find_most, clock=clock)


async def give(*sizes: int) -> AsyncIterator[bytes]:
    for size in sizes:
        yield b"x" * size


async def break_off(size: int) -> AsyncIterator[bytes]:
    yield b"x" * size
    raise ConnectionResetError("whoever sent it left")


async def hang(size: int, there: asyncio.Event) -> AsyncIterator[bytes]:
    yield b"x" * size
    there.set()
    await asyncio.Event().wait()


async def test_an_upload_whose_sender_left_keeps_no_room() -> None:
    """Nothing is stored of it, so all of the quota is there for the next one."""
    blobs = build_blobs()
    for number in range(5):
        with pytest.raises(ConnectionResetError):
            await blobs.put(f"acme/a{number}", break_off(60_000))
    assert await blobs.put("acme/b", give(50_000, 50_000)) == MOST
    with pytest.raises(BudgetExceeded):
        await blobs.put("acme/c", give(1))


async def test_an_upload_that_is_cancelled_keeps_no_room() -> None:
    blobs, there = build_blobs(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(blobs.put("acme/a", hang(60_000, there)))
        await there.wait()
        task.cancel()
    assert await blobs.put("acme/b", give(50_000, 50_000)) == MOST
