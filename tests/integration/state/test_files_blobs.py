"""Are blobs in files there as a whole or not at all, in their own place, whatever others do to the disk?"""

import asyncio
import os
import resource
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.errors import CorruptState, InvalidInput, NotFound, StorageFull, Unavailable
from quorate.state.backends.files import INCOMING, open_file_blobs
from quorate.testing import ManualClock

PART = st.from_regex(r"[a-c0_-][a-c0._-]{0,3}", fullmatch=True)
NAMES = st.lists(st.lists(PART, min_size=1, max_size=3).map("/".join), min_size=1, max_size=12, unique=True)


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def read(blobs: object, name: str) -> bytes:
    return b"".join([piece async for piece in blobs.get(name)])  # pyright: ignore[reportAttributeAccessIssue]


def list_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()]


@given(
    names=NAMES, prefix=st.sampled_from(["", "a", "ab", "a/", "a/b", "0", "b-"]), after=PART, limit=st.integers(0, 5)
)
def test_blobs_are_listed_by_name(
    names: list[str], prefix: str, after: str, limit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As one list sorted by the names' bytes, though a blob may be named like another one's folder."""

    async def check() -> None:
        async with open_file_blobs(tmp_path_factory.mktemp("blobs")) as blobs:
            for name in names:
                await blobs.put(name, pieces(name.encode()))
            for begin in ("", after):
                listed = await blobs.list_blobs(prefix, after=begin, limit=limit)
                wanted = [name for name in sorted(names) if name.startswith(prefix) and name > begin][:limit]
                assert [blob.name for blob in listed] == wanted
            for name in names:
                assert await read(blobs, name) == name.encode()
                assert await blobs.delete(name)
            assert await blobs.list_blobs() == []

    asyncio.run(check())


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/../b", "a//b", ".x", "a/.x", "a\0b", "A", "", "a/", "x" * 256, "ä"]
)
async def test_names_are_no_paths(name: str, tmp_path: Path) -> None:
    """Each door refuses them, and nothing is made."""
    async with open_file_blobs(tmp_path / "blobs") as blobs:
        with pytest.raises(InvalidInput, match="blob name"):
            await blobs.put(name, pieces(b"x"))
        with pytest.raises(InvalidInput, match="blob name"):
            await read(blobs, name)
        with pytest.raises(InvalidInput, match="blob name"):
            await blobs.delete(name)
        assert list_files(tmp_path) == []


async def test_the_longest_names_are_names(tmp_path: Path) -> None:
    async with open_file_blobs(tmp_path) as blobs:
        for name in ("x" * 255, "y" * 253 + "/z", "/".join("a" * 128)):
            await blobs.put(name[:255], pieces(b"1"))
            assert await read(blobs, name[:255]) == b"1"


async def test_links_are_not_followed(tmp_path: Path) -> None:
    """Neither to read what lies elsewhere nor to write there; putting a blob takes the link's place."""
    secret, root = tmp_path / "secret", tmp_path / "blobs"
    secret.mkdir()
    (secret / "key").write_bytes(b"secret")
    async with open_file_blobs(root) as blobs:
        await blobs.put("t/aa", pieces(b"mine"))
        (path,) = list_files(root)
        path.unlink()
        path.symlink_to(secret / "key")
        with pytest.raises(CorruptState, match="links are not followed"):
            await read(blobs, "t/aa")
        assert await blobs.list_blobs() == []
        await blobs.put("t/aa", pieces(b"again"))
        assert (secret / "key").read_bytes() == b"secret"
        assert await read(blobs, "t/aa") == b"again"
        shard = path.parent
        path.unlink()
        shard.rmdir()
        shard.symlink_to(secret)
        for work in (read(blobs, "t/aa"), blobs.put("t/aa", pieces(b"x")), blobs.delete("t/aa")):
            with pytest.raises(CorruptState, match="links are not followed"):
                await work
        assert os.listdir(secret) == ["key"]


async def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    """A FIFO would be waited for; it is refused at once."""
    async with open_file_blobs(tmp_path) as blobs:
        await blobs.put("a", pieces(b"1"))
        (path,) = list_files(tmp_path)
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(CorruptState, match="no regular file"):
            async with asyncio.timeout(30):
                await read(blobs, "a")


async def test_a_put_that_fails_leaves_nothing_and_takes_nothing(tmp_path: Path) -> None:
    """What was there stays; no file is left behind, be it cut off at once or after many pieces."""

    async def broken(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield bytes(1 << 20)
        raise RuntimeError("cut off")

    async with open_file_blobs(tmp_path) as blobs:
        await blobs.put("a", pieces(b"before"))
        for count in (0, 1, 3):
            with pytest.raises(RuntimeError, match="cut off"):
                await blobs.put("a", broken(count))
        assert await read(blobs, "a") == b"before"
        assert len(list_files(tmp_path)) == 1


async def test_a_put_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    """Whenever that is."""
    for cut in range(12):

        async def slow(cut: int = cut) -> AsyncIterator[bytes]:
            for number in range(12):
                if number == cut:
                    me.cancel()
                yield bytes(1 << 20)

        async def put() -> None:
            async with open_file_blobs(tmp_path) as blobs:
                await blobs.put("a", slow())

        me = asyncio.ensure_future(put())
        with pytest.raises(asyncio.CancelledError):
            await me
        assert list_files(tmp_path) == []


class HeldThreads(ThreadPoolExecutor):
    """Threads that begin what they are given only once they may, so that a wait for it can be cancelled before."""

    def __init__(self) -> None:
        super().__init__(1)
        self.given = asyncio.Event()
        self.may_begin = threading.Event()

    def submit(self, work: Callable[..., object], /, *words: object, **named: object) -> Future[object]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take work; it waits."""

        def wait_and_work() -> object:
            self.may_begin.wait()
            return work(*words, **named)

        self.given.set()
        return super().submit(wait_and_work)


async def cancel_under_way(work: Coroutine[object, object, object]) -> None:
    """Cancel what waits for a thread, which then does its work nevertheless."""
    loop, threads = asyncio.get_running_loop(), HeldThreads()
    loop.set_default_executor(threads)
    try:
        waiting = asyncio.ensure_future(work)
        await threads.given.wait()
        waiting.cancel()
        await asyncio.sleep(0)
        threads.may_begin.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    finally:
        threads.may_begin.set()
        loop.set_default_executor(ThreadPoolExecutor())
        threads.shutdown()


def list_open(folder: Path) -> list[str]:
    """What this process holds open below a folder."""
    found: list[str] = []
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return [path for path in found if path.startswith(str(folder))]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no list of what is open")
async def test_whoever_is_cancelled_leaves_no_file_open(tmp_path: Path) -> None:
    """While the directory is opened, and while a blob is: the thread opens it all the same, and it is closed."""

    async def begin() -> None:
        async with open_file_blobs(tmp_path):
            raise AssertionError("it was cancelled before")

    await cancel_under_way(begin())
    assert list_open(tmp_path) == []
    async with open_file_blobs(tmp_path) as blobs:
        await blobs.put("a", pieces(b"1" * (3 << 20)))
        before = list_open(tmp_path)
        await cancel_under_way(read(blobs, "a"))
        assert list_open(tmp_path) == before
        reader = blobs.get("a")
        await anext(reader)
        await cancel_under_way(anext(reader))  # pyright: ignore[reportArgumentType]
        assert list_open(tmp_path) == before
    assert list_open(tmp_path) == []


async def test_readers_see_one_version_as_a_whole(tmp_path: Path) -> None:
    """Whoever began to read goes on with what they began with; whoever begins later has the new one."""
    async with open_file_blobs(tmp_path) as blobs:
        await blobs.put("a", pieces(b"1" * (3 << 20)))
        reader = blobs.get("a")
        first = await anext(reader)
        await blobs.put("a", pieces(b"2" * (2 << 20)))
        rest = b"".join([piece async for piece in reader])
        assert set(first + rest) == {ord("1")}
        assert len(first + rest) == 3 << 20
        assert set(await read(blobs, "a")) == {ord("2")}


async def test_a_process_that_dies_over_a_put_leaves_no_blob(tmp_path: Path) -> None:
    """Only a file without a name, which goes when the directory is opened an hour later."""
    program = f"""
import asyncio, os
from quorate.state.backends.files import open_file_blobs

async def dying():
    for _ in range(3):
        yield bytes(2 << 20)
    os.kill(os.getpid(), 9)
    yield b""

async def main():
    async with open_file_blobs({str(tmp_path)!r}) as blobs:
        await blobs.put("a", dying())

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=30)
    assert done.returncode == -9
    clock = ManualClock(time.time())
    async with open_file_blobs(tmp_path, clock=clock) as blobs:
        assert await blobs.list_blobs() == []
        assert len(list_files(tmp_path / INCOMING)) == 1
    clock.advance(3700)
    async with open_file_blobs(tmp_path, clock=clock) as blobs:
        assert list_files(tmp_path / INCOMING) == []
        assert await blobs.list_blobs() == []


async def test_files_are_for_their_owner_and_bear_the_stores_time(tmp_path: Path) -> None:
    clock = ManualClock(1_600_000_000.0)
    async with open_file_blobs(tmp_path / "blobs", clock=clock) as blobs:
        await blobs.put("a", pieces(b"1"))
        (blob,) = await blobs.list_blobs()
        assert (blob.size, blob.saved) == (1, 1_600_000_000.0)
        (path,) = list_files(tmp_path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "blobs").stat().st_mode) == 0o700


async def test_a_directory_that_is_not_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InvalidInput, match="is no directory"):
            async with open_file_blobs(path):
                pass


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A real file system of 4 MiB; where one may not mount, one whose files may not grow beyond 2 MiB."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    if not mounted:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, limits[1]))
    try:
        yield disk
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        if mounted:
            subprocess.run(["umount", str(disk)], check=True)


async def test_a_disk_that_is_full_is_told_and_nothing_is_stored(tmp_path: Path) -> None:
    """Reads go on; what was there is untouched; what fits is stored as before."""
    with small_disk(tmp_path) as disk:
        async with open_file_blobs(disk) as blobs:
            await blobs.put("small", pieces(b"here"))
            await blobs.put("filler", pieces(bytes(1 << 20)))
            for name in ("small", "new"):
                with pytest.raises(StorageFull, match="there is no room in"):
                    await blobs.put(name, pieces(*[bytes(1 << 20)] * 4))
            assert await read(blobs, "small") == b"here"
            assert [blob.name for blob in await blobs.list_blobs()] == ["filler", "small"]
            assert len(list_files(disk)) == 2
            await blobs.put("new", pieces(bytes(1 << 20)))


async def test_many_at_once_are_all_there(tmp_path: Path) -> None:
    """Threads are bounded, and nobody gets another one's bytes."""
    async with open_file_blobs(tmp_path, max_threads=3) as blobs:
        async with asyncio.TaskGroup() as group:
            for number in range(200):
                group.create_task(blobs.put(f"t/{number}", pieces(str(number).encode() * 50)))
        for number in range(200):
            assert await read(blobs, f"t/{number}") == str(number).encode() * 50


async def test_a_directory_that_goes_away_is_told(tmp_path: Path) -> None:
    """Nothing is made up in its place."""
    root = tmp_path / "blobs"
    async with open_file_blobs(root) as blobs:
        await blobs.put("a", pieces(b"1"))
        for path in sorted(root.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        root.rmdir()
        with pytest.raises((NotFound, Unavailable)):
            await blobs.put("b", pieces(b"1"))
        with pytest.raises(NotFound):
            await read(blobs, "a")
