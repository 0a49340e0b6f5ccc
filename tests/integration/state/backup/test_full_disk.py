"""Is a full disk survived by whoever makes a backup: nothing half is left, and there is one when there is room?"""

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.unit.state.backup.filling import fill

from quorate.errors import StorageFull
from quorate.ports import Store
from quorate.state.artifacts.access import Caller
from quorate.state.artifacts.store import ArtifactStore
from quorate.state.backends.memory import open_memory_store
from quorate.state.backends.sqlite import open_sqlite_store
from quorate.state.backup import create_backup, restore_backup, verify_backup
from quorate.testing.clock import ManualClock


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 2 MiB; skipped where one may not mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("a file system can be mounted by root alone")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    """A store of some megabytes that cannot be compressed."""
    clock = ManualClock()
    async with open_memory_store(clock=clock) as opened:
        await fill(opened, clock=clock)
        artifacts = ArtifactStore(opened.values, opened.blobs, clock=clock)
        for number in range(3):
            await artifacts.save(f"noise {number}", os.urandom(1 << 20), caller=Caller(tenant="acme"))
        yield opened


async def test_a_backup_without_room_leaves_nothing(store: Store, disk: Path) -> None:
    """A disk that is full while a backup is written is told; its name and its space are free again."""
    path = disk / "backup"
    with pytest.raises(StorageFull, match="free some space and try again"):
        await create_backup(store, path)
    assert os.listdir(disk) == []
    old = b"an older backup"
    path.write_bytes(old)
    with pytest.raises(StorageFull):
        await create_backup(store, path, force=True)
    assert path.read_bytes() == old
    subprocess.run(["mount", "-o", "remount,size=16m", str(disk)], check=True)
    await create_backup(store, path, force=True)
    assert (await verify_backup(path)).ok


async def test_a_restore_without_room_goes_on_when_there_is(store: Store, disk: Path, tmp_path: Path) -> None:
    """A database whose disk is full while it is restored refuses; the same restore completes it once there is room."""
    path = tmp_path / "backup"
    await create_backup(store, path)
    async with open_sqlite_store(disk / "new.db") as other:
        with pytest.raises(StorageFull):
            await restore_backup(other, path)
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        await restore_backup(other, path, into_nonempty=True)
        assert len(await other.log.list_runs(limit=100)) == len(await store.log.list_runs(limit=100))
