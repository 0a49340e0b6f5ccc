"""Is a full disk survived: nothing lost, reads going on, and writes again when there is room?"""

import resource
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from quorate.clock import SYSTEM_CLOCK
from quorate.errors import StorageFull
from quorate.ports import Store
from quorate.state.backends._sqlite_append import Append
from quorate.state.backends._sqlite_commit import Committer
from quorate.state.backends._sqlite_file import open_connection
from quorate.state.backends.sqlite import SqliteLog, open_sqlite_log, open_sqlite_store
from quorate.testing.contracts import build_opening, build_step


@contextmanager
def size_limit(folder: Path) -> Iterator[tuple[Path, Callable[[], object]]]:
    """No file of this process may grow beyond 512 KiB, until the limit is lifted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def lift() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    resource.setrlimit(resource.RLIMIT_FSIZE, (512 << 10, hard))
    try:
        yield folder, lift
    finally:
        lift()


@contextmanager
def small_disk(folder: Path) -> Iterator[tuple[Path, Callable[[], object]]]:
    """A real file system of 4 MiB, half of it taken by ballast; a size limit where one may not mount."""
    disk = folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=False, capture_output=True
    )
    if mounted.returncode:
        with size_limit(disk) as limited:
            yield limited
        return
    try:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(2 << 20))
        yield disk, ballast.unlink
    finally:
        subprocess.run(["umount", str(disk)], check=True)


async def fill(log: SqliteLog, last: int) -> tuple[int, StorageFull]:
    """Append until there is no room; return the last position that was acknowledged, and the refusal."""
    while last < 1000:
        try:
            step = build_step("run-1", last + 1, content="x" * 50_000)
            await log.append("run-1", [step], expected=last)
        except StorageFull as error:
            return last, error
        last += 1
    raise AssertionError("the disk never was full")


@pytest.mark.parametrize("full", [size_limit, small_disk])
async def test_a_full_disk_refuses_writes_and_is_well_again_without_reopening(
    tmp_path: Path, full: Callable[[Path], AbstractContextManager[tuple[Path, Callable[[], object]]]]
) -> None:
    """Nothing is acknowledged that was not kept; reads go on; the same append succeeds when there is room."""
    with full(tmp_path) as (folder, free):
        async with open_sqlite_log(folder / "quorate.db") as log:
            await log.append("run-1", build_opening("run-1"), expected=0)
            last, error = await fill(log, 2)
            again, _ = await fill(log, last)
            assert again == last
            assert "cannot grow" in error.message
            assert "free some space and try again" in error.message
            assert await log.last("run-1") == last
            assert [event.seq for event in await log.read("run-1")] == list(range(1, last + 1))
            free()
            await log.append("run-1", [build_step("run-1", last + 1, content="x" * 50_000)], expected=last)
            assert [event.seq for event in await log.read("run-1")] == list(range(1, last + 2))
            assert [summary.events for summary in await log.list_runs()] == [last + 1]
        async with open_sqlite_log(folder / "quorate.db") as log:
            assert await log.last("run-1") == last + 1


async def test_a_disk_that_is_full_from_the_start_is_said_so(tmp_path: Path) -> None:
    """A database that cannot even be made is `StorageFull`, too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        with pytest.raises(StorageFull, match="cannot grow"):
            async with open_sqlite_log(tmp_path / "quorate.db"):
                pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_page_limit_rolls_the_whole_batch_back(tmp_path: Path) -> None:
    """`SQLITE_FULL` in the middle of a batch leaves nothing of it behind, and the next batch that fits is kept."""
    path = tmp_path / "quorate.db"
    with open_connection(path, clock=SYSTEM_CLOCK, busy_timeout_s=1) as connection:
        committer = Committer(connection, path)
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 4}")
        jobs = [
            Append("run-1", build_opening("run-1"), expected=0),
            Append("run-2", [*build_opening("run-2"), build_step("run-2", 3, content="x" * 90_000)], expected=0),
        ]
        committer.commit(jobs)
        for job in jobs:
            job.settle()
            with pytest.raises(StorageFull, match="SQLITE_FULL"):
                await job.future
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (0,)
        retried = Append("run-1", build_opening("run-1"), expected=0)
        committer.commit([retried])
        retried.settle()
        await retried.future
    async with open_sqlite_log(path) as log:
        assert await log.read("run-1") == build_opening("run-1")
        assert await log.read("run-2") == []


async def give(size: int) -> AsyncIterator[bytes]:
    """Give as many bytes, in pieces."""
    for begin in range(0, size, 50_000):
        yield b"x" * min(50_000, size - begin)


async def fill_values(store: Store) -> tuple[list[str], StorageFull]:
    """Put values until there is no room; return the keys that were acknowledged, and the refusal."""
    keys: list[str] = []
    for number in range(1000):
        try:
            await store.values.put(f"key-{number:03}", b"x" * 50_000, ttl_s=3600)
        except StorageFull as error:
            return keys, error
        keys.append(f"key-{number:03}")
    raise AssertionError("the disk never was full")


@pytest.mark.parametrize("full", [size_limit, small_disk])
async def test_values_and_blobs_survive_a_full_disk(
    tmp_path: Path, full: Callable[[Path], AbstractContextManager[tuple[Path, Callable[[], object]]]]
) -> None:
    """What was acknowledged is there; a blob that had no room left nothing; reads and then writes go on."""
    with full(tmp_path) as (folder, free):
        async with open_sqlite_store(folder / "quorate.db") as store:
            await store.blobs.put("before", give(60_000))
            with pytest.raises(StorageFull, match=r"cannot grow.*free some space and try again"):
                await store.blobs.put("blob", give(8 << 20))
            keys, error = await fill_values(store)
            assert "Nothing was written" in error.message
            assert [entry.key for entry in await store.values.scan("", limit=1000)] == keys
            assert [(info.name, info.size) for info in await store.blobs.list_blobs()] == [("before", 60_000)]
            assert len(b"".join([piece async for piece in store.blobs.get("before")])) == 60_000
            free()
            await store.values.put("after", b"x" * 50_000)
            assert await store.blobs.put("blob", give(300_000)) == 300_000
        async with open_sqlite_store(folder / "quorate.db") as store:
            assert [entry.key for entry in await store.values.scan("", limit=1000)] == ["after", *keys]
            assert [info.name for info in await store.blobs.list_blobs()] == ["before", "blob"]
