"""How are blobs kept as files below one directory, so that each is there as a whole or not at all?

A blob `a/b/cdef` is the file `a+/b+/cd=/cdef`: a `+` marks what is a folder of the name, a `=` a shard, so that no
folder holds too many files and no blob is in the way of another one's folder. Everything is opened relative to the
folder above it and without following links: a link that was put there is met and refused.
"""

from __future__ import annotations

import asyncio
import errno
import heapq
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from itertools import islice

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import CorruptState, InvalidInput, NotFound
from quorate.ports import BlobInfo
from quorate.state.backends._checks import MAX_CHUNK, check_blob_name
from quorate.state.disk import explain_disk
from quorate.state.threads import MAX_THREADS, Threads

INCOMING = ".incoming"
"""Where files are written before they have their name; no blob's name begins with a dot."""
LEFT_BEHIND_S = 3600.0
_SHARD = 2
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class FileBlobs:
    """A `Blobs` of files; build it with `open_file_blobs`."""

    def __init__(self, root: str, descriptor: int, *, clock: Clock, max_threads: int = MAX_THREADS) -> None:
        self.root = root
        self._root = descriptor
        self._now = clock.now
        self._threads = Threads(max_threads)

    async def put(self, name: str, chunks: AsyncIterable[bytes]) -> int:
        """Store bytes; see `quorate.ports.Blobs`."""
        check_blob_name(name)
        incoming = _Incoming(self, name)
        size, waiting, held = 0, list[bytes](), 0
        try:
            async for chunk in chunks:
                size += len(chunk)
                held += len(chunk)
                waiting.append(bytes(chunk))
                if held >= MAX_CHUNK:
                    await self._threads.run(partial(incoming.write, waiting))
                    waiting, held = [], 0
            await self._threads.run(partial(incoming.finish, waiting))
        except BaseException:
            # Removing one file takes no time, and must happen even when whoever asked has gone.
            await asyncio.shield(self._threads.run(incoming.abandon))
            raise
        return size

    async def get(self, name: str) -> AsyncIterator[bytes]:
        """Yield bytes; see `quorate.ports.Blobs`."""
        check_blob_name(name)
        # What a thread opens is held here: whoever is cancelled in the middle has no answer of it, and closes it.
        with ExitStack() as held:
            descriptor, piece = await self._threads.run(partial(self._begin, name, held))
            while piece:
                yield piece
                if len(piece) < MAX_CHUNK:
                    return
                piece = await self._threads.run(partial(self._read, descriptor, name))

    async def delete(self, name: str) -> bool:
        """Forget a blob; see `quorate.ports.Blobs`."""
        return await self._threads.run(partial(self._delete, check_blob_name(name)))

    async def list_blobs(self, prefix: str = "", *, after: str = "", limit: int = 1000) -> list[BlobInfo]:
        """List blobs; see `quorate.ports.Blobs`."""
        return await self._threads.run(lambda: list(islice(self._walk(prefix, after), max(limit, 0))))

    def sweep(self) -> int:
        """Remove files that a process left behind when it died over them; blocks."""
        gone = 0
        with self.explained(), self.open_folder((INCOMING,), make=True) as folder:
            for entry in os.scandir(folder):
                old = entry.stat(follow_symlinks=False).st_mtime < self._now() - LEFT_BEHIND_S
                if old and not entry.is_dir(follow_symlinks=False):
                    with suppress(FileNotFoundError):
                        os.unlink(entry.name, dir_fd=folder)
                        gone += 1
        return gone

    @contextmanager
    def explained(self, name: str = "") -> Generator[None]:
        """Raise what a disk says as one of our errors."""
        try:
            yield
        except FileNotFoundError as error:
            raise NotFound(f"There is no blob {name!r}.", name=name) from error
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise CorruptState(
                    f"Blob {name!r} in {self.root!r} leads through a link or a file, and links are not followed: "
                    "somebody else changed what is there.",
                    name=name,
                ) from error
            raise explain_disk(error, repr(self.root)) from error

    @contextmanager
    def open_folder(self, parts: tuple[str, ...], *, make: bool = False) -> Generator[int]:
        """Open a folder below the root, one part after the other; make what is missing if asked to."""
        descriptor = os.dup(self._root)
        try:
            for part in parts:
                inner = _open_part(part, descriptor, make=make)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)

    def mark(self, descriptor: int) -> None:
        """Give an open file the store's time as its own."""
        now = int(self._now() * 1e9)
        os.utime(descriptor, ns=(now, now))

    def _begin(self, name: str, held: ExitStack) -> tuple[int, bytes]:
        with self.explained(name):
            folders, file = _split(name)
            with self.open_folder(folders) as folder:
                descriptor = os.open(file, _READ, dir_fd=folder)
            held.callback(os.close, descriptor)
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise CorruptState(
                    f"Blob {name!r} in {self.root!r} is no regular file. Restore it from a backup.", name=name
                )
            return descriptor, self._read(descriptor, name)

    def _read(self, descriptor: int, name: str) -> bytes:
        with self.explained(name):
            found = bytearray()
            while len(found) < MAX_CHUNK and (piece := os.read(descriptor, MAX_CHUNK - len(found))):
                found += piece
            return bytes(found)

    def _delete(self, name: str) -> bool:
        folders, file = _split(name)
        try:
            with self.explained(name), self.open_folder(folders) as folder:
                os.unlink(file, dir_fd=folder)
                os.fsync(folder)
        except NotFound:
            return False
        return True

    def _walk(self, prefix: str, after: str) -> Generator[BlobInfo]:
        with self.explained(prefix), self.open_folder(()) as root:
            yield from self._walk_folder(root, "", prefix, after)

    def _walk_folder(self, folder: int, above: str, prefix: str, after: str) -> Generator[BlobInfo]:
        """Yield what is below a folder, by name; folders that cannot hold what is wanted are left out."""
        shards, folders = list[str](), list[str]()
        with os.scandir(folder) as entries:
            for entry in entries:
                kind, part = entry.name[-1:], entry.name[:-1]
                begin = above + part + ("/" if kind == "+" else "")
                if kind in ("+", "=") and _may_hold(begin, prefix, after):
                    (folders if kind == "+" else shards).append(part)

        def walk_shards() -> Generator[BlobInfo]:
            for part in sorted(shards):
                yield from self._walk_shard(folder, f"{part}=", above, prefix, after)

        def walk_folders() -> Generator[BlobInfo]:
            for part in sorted(folders, key=lambda part: f"{part}/"):
                with _opened(f"{part}+", folder) as inner:
                    yield from self._walk_folder(inner, f"{above}{part}/", prefix, after)

        yield from heapq.merge(walk_shards(), walk_folders(), key=lambda blob: blob.name)

    def _walk_shard(self, folder: int, shard: str, above: str, prefix: str, after: str) -> Generator[BlobInfo]:
        with _opened(shard, folder) as inner:
            for part in sorted(os.listdir(inner)):
                name = above + part
                if name.startswith(prefix) and name > after:
                    with suppress(FileNotFoundError):  # deleted meanwhile
                        found = os.stat(part, dir_fd=inner, follow_symlinks=False)
                        if stat.S_ISREG(found.st_mode):
                            yield BlobInfo(name=name, size=found.st_size, saved=found.st_mtime)


class _Incoming:
    """A blob that is being written; each method blocks."""

    def __init__(self, blobs: FileBlobs, name: str) -> None:
        self._blobs = blobs
        self._name = name
        self._temporary = f"{os.urandom(12).hex()}.part"
        self._descriptor: int | None = None
        self._is_there = False

    def write(self, pieces: list[bytes]) -> None:
        with self._blobs.explained(self._name):
            if self._descriptor is None:
                with self._blobs.open_folder((INCOMING,), make=True) as folder:
                    self._descriptor = os.open(self._temporary, _CREATE, 0o600, dir_fd=folder)
                self._is_there = True
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    view = view[os.write(self._descriptor, view) :]

    def finish(self, pieces: list[bytes]) -> None:
        """Write the rest, and give the file its name once everything is on the disk."""
        self.write(pieces)
        assert self._descriptor is not None
        folders, file = _split(self._name)
        with self._blobs.explained(self._name):
            self._blobs.mark(self._descriptor)
            os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
            with (
                self._blobs.open_folder((INCOMING,)) as incoming,
                self._blobs.open_folder(folders, make=True) as folder,
            ):
                os.rename(self._temporary, file, src_dir_fd=incoming, dst_dir_fd=folder)
                self._is_there = False
                os.fsync(folder)

    def abandon(self) -> None:
        """Leave nothing behind."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        if self._is_there:
            with suppress(OSError), self._blobs.open_folder((INCOMING,)) as folder:
                os.unlink(self._temporary, dir_fd=folder)


@asynccontextmanager
async def open_file_blobs(
    directory: str | os.PathLike[str], *, clock: Clock = SYSTEM_CLOCK, max_threads: int = MAX_THREADS
) -> AsyncGenerator[FileBlobs]:
    """Open blobs that are files below a directory; it is made when it is missing.

    Args:
        directory: Where; on one file system, whose directories can be synced.
        clock: The store's time.
        max_threads: How many files are worked on at once.

    Raises:
        InvalidInput: There is something else of that name.
        Unavailable: It cannot be used.
    """
    threads = Threads(1)
    with ExitStack() as held:
        root, descriptor = await threads.run(partial(_open_root, directory, held))
        blobs = FileBlobs(root, descriptor, clock=clock, max_threads=max_threads)
        await threads.run(blobs.sweep)
        yield blobs


def _open_root(directory: str | os.PathLike[str], held: ExitStack) -> tuple[str, int]:
    root = os.path.abspath(directory)
    try:
        os.makedirs(root, mode=0o700, exist_ok=True)
        # What the operator named may be a link; nothing below it may.
        descriptor = os.open(root, _DIRECTORY & ~os.O_NOFOLLOW)
        held.callback(os.close, descriptor)
        return root, descriptor
    except (FileExistsError, NotADirectoryError) as error:
        raise InvalidInput(f"{root!r} is no directory: blobs need one of their own.") from error
    except OSError as error:
        raise explain_disk(error, repr(root)) from error


def _split(name: str) -> tuple[tuple[str, ...], str]:
    """Tell in which folders the file of a blob is, and what it is called there."""
    *folders, file = name.split("/")
    return (*(f"{folder}+" for folder in folders), f"{file[:_SHARD]}="), file


def _open_part(part: str, folder: int, *, make: bool) -> int:
    try:
        return os.open(part, _DIRECTORY, dir_fd=folder)
    except FileNotFoundError:
        if not make:
            raise
    with suppress(FileExistsError):  # somebody else made it meanwhile
        os.mkdir(part, 0o700, dir_fd=folder)
        os.fsync(folder)
    return os.open(part, _DIRECTORY, dir_fd=folder)


@contextmanager
def _opened(part: str, folder: int) -> Generator[int]:
    descriptor = os.open(part, _DIRECTORY, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _may_hold(begin: str, prefix: str, after: str) -> bool:
    """Whether names with this beginning can be wanted."""
    if not (begin.startswith(prefix) or prefix.startswith(begin)):
        return False
    return begin > after or after.startswith(begin)
