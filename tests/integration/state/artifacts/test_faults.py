"""Is nothing lost and nothing left when a process is killed over a save, or a disk is full?"""

import asyncio
import os
import random
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from msgspec import structs
from tests.forks import fork
from tests.integration.state.test_files_blobs import list_files, pieces, small_disk

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import StorageFull
from quorate.ports import Store
from quorate.state.artifacts import ArtifactStore, Caller, KeyRing, collect_garbage, verify_artifacts
from quorate.state.backends.files import open_file_blobs
from quorate.state.backends.memory import open_memory_store
from quorate.state.backends.sqlite import open_sqlite_store
from quorate.testing import ManualClock

MINE = Caller(tenant="acme", principal="ann", session="s-1", run="run-1")
KEY = bytes(range(32))

SAVER = """
import asyncio, os, random, sys
from tests.integration.state.artifacts.test_faults import MINE, open_place
from quorate.clock import SYSTEM_CLOCK

async def save(store, dice):
    while True:
        size = dice.choice([10, 70_000, 1_500_000, 5_000_000])
        data = dice.choice([b"a", b"b", os.urandom(64)]) * (size // 64)
        info = await store.save(dice.choice("xyz"), data, caller=MINE)
        print(info.id, info.digest, flush=True)
        if dice.random() < 0.3:
            print("-" + info.id, flush=True)
            await store.delete(info.id, caller=MINE)

async def main():
    async with open_place(sys.argv[1], sys.argv[2], SYSTEM_CLOCK) as (store, _):
        async with asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(save(store, random.Random(int(sys.argv[3]) * 10 + number)))

asyncio.run(main())
"""


@asynccontextmanager
async def open_place(folder: str, kind: str, clock: Clock) -> AsyncIterator[tuple[ArtifactStore, Store]]:
    """Artifacts whose rows are in SQLite, and whose bytes are there or in files."""
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(open_sqlite_store(f"{folder}/q.db", clock=clock))
        if kind == "files":
            blobs = await stack.enter_async_context(open_file_blobs(f"{folder}/blobs", clock=clock))
            opened = structs.replace(opened, blobs=blobs)
        yield ArtifactStore(opened.values, opened.blobs, clock=clock, keys=KeyRing({"a": KEY})), opened


@pytest.mark.parametrize("kind", ["sqlite", "files"])
def test_kills_lose_nothing_and_leave_nothing_for_good(kind: str, tmp_path: Path) -> None:
    """What `save` returned is there after kill -9 at any moment, and what was cut off is swept.

    row: E11
    """
    dice, kept = random.Random(7), dict[str, str]()
    for number in range(4):
        command = ["-c", SAVER, tmp_path, kind, number]
        saver = fork(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[4])
        assert saver.stdout is not None
        lines = [saver.stdout.readline() for _ in range(dice.randint(1, 12))]
        saver.kill()
        for line in [*lines, *saver.stdout]:
            if line.startswith("-"):
                kept.pop(line[1:].strip())
            elif line.endswith("\n"):
                handle, digest = line.split()
                kept[handle] = digest
        assert saver.wait() == -9

    async def check() -> None:
        clock = ManualClock(time.time() + 10)
        async with open_place(str(tmp_path), kind, clock) as (store, opened):
            for handle, digest in kept.items():
                info = await store.find(handle, caller=MINE)
                assert info is not None
                assert info.digest == digest
                await store.load(handle, caller=MINE)
            faults = [checked.fault async for checked in verify_artifacts(store, "acme")]
            assert set(faults) <= {""}
            clock.advance(7200)
            await collect_garbage(store, "acme")
            clock.advance(100_000)
            await collect_garbage(store, "acme")
            named = {checked.info.digest async for checked in verify_artifacts(store, "acme")}
            blobs = await opened.blobs.list_blobs(limit=100_000)
            assert sorted(blob.name.split("/")[1][:64] for blob in blobs) == sorted(named)
            for handle in kept:
                await store.load(handle, caller=MINE)

    asyncio.run(check())
    assert len(kept) >= 4


async def give(size: int) -> AsyncIterator[bytes]:
    for _ in range(size >> 20):
        yield os.urandom(1 << 20)


async def test_a_full_disk_keeps_nothing_and_loses_nothing(tmp_path: Path) -> None:
    """Not a row and not a file of it; what was there is read as before.

    row: E11
    """
    with small_disk(tmp_path) as disk:
        async with open_memory_store() as rows, open_file_blobs(disk) as blobs:
            store = ArtifactStore(rows.values, blobs, clock=SYSTEM_CLOCK)
            first = await store.save("a", give(2 << 20), caller=MINE)
            before = await rows.values.scan("")
            for name in ("theirs/1", "theirs/2", "theirs/3"):
                await blobs.put(name, pieces(bytes(400_000)))
            for data in (give(3 << 20), os.urandom(3_500_000), os.urandom(1_000_000)):
                with pytest.raises(StorageFull, match="there is no room in"):
                    await store.save("b", data, caller=MINE)
            assert await rows.values.scan("") == before
            assert len(list_files(disk)) == 4
            assert len(await store.load(first, caller=MINE)) == 2 << 20
            await store.delete(first.id, caller=MINE)
            assert (await store.save("b", give(2 << 20), caller=MINE)).version == 1


async def test_a_full_folder_for_temporary_files_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large stream waits there; nothing of it stays."""
    with small_disk(tmp_path) as disk:
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        async with open_memory_store() as rows:
            store = ArtifactStore(rows.values, rows.blobs, clock=SYSTEM_CLOCK)
            with pytest.raises(StorageFull, match="folder for temporary files"):
                await store.save("a", give(12 << 20), caller=MINE)
            assert await rows.values.scan("") == []
            assert list_files(disk) == []
