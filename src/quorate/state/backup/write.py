"""How is a backup written so that there is either a whole one under its name, or none?"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import zipfile
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO

from quorate.errors import Conflict, QuorateError, StorageFull, Unavailable
from quorate.state.backup.format import BLOBS, Member
from quorate.state.threads import Threads

PIECE = 1 << 20
LEVEL = 3
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def map_disk_error(error: OSError, path: Path) -> QuorateError:
    """Say in our words what went wrong with a file."""
    if error.errno in _FULL:
        return StorageFull(f"There is no room for {str(path)!r}: free some space and try again. Nothing is left there.")
    return Unavailable(f"{str(path)!r} cannot be used: {error.strerror or error}.")


class ArchiveWriter:
    """Writes the members of a backup one after the other; what blocks is done in another thread."""

    def __init__(self, archive: zipfile.ZipFile, threads: Threads) -> None:
        self.members: list[Member] = []
        self._archive = archive
        self._threads = threads
        self._stream: IO[bytes] | None = None
        self._hash = hashlib.sha256()
        self._size = 0
        self._buffer = bytearray()

    async def begin(self, name: str) -> None:
        """Begin a member; bytes of artifacts are compressed already where that helps."""
        self._archive.compression = zipfile.ZIP_STORED if name == BLOBS else zipfile.ZIP_DEFLATED

        def work() -> None:  # it is to be known also when the wait for it is cancelled
            self._stream = self._archive.open(name, "w", force_zip64=True)

        await self._threads.run(work)
        self._hash, self._size = hashlib.sha256(), 0

    async def write(self, data: bytes) -> None:
        """Write bytes of a member."""
        self._buffer += data
        if len(self._buffer) >= PIECE:
            await self._flush()

    async def end(self, name: str, count: int) -> Member:
        """End a member and say what it is."""
        await self._flush()
        assert self._stream is not None
        await self._threads.run(self._stream.close)
        self._stream = None
        member = Member(name=name, count=count, size=self._size, sha256=self._hash.hexdigest())
        self.members.append(member)
        return member

    def abandon(self) -> None:
        """Let go of a member that was begun: what was written is thrown away."""
        if self._stream is not None:
            with suppress(OSError, ValueError):  # why it is thrown away matters more
                self._stream.close()

    async def _flush(self) -> None:
        stream, piece = self._stream, bytes(self._buffer)
        assert stream is not None
        self._buffer.clear()
        self._size += len(piece)

        def work() -> None:
            self._hash.update(piece)
            stream.write(piece)

        await self._threads.run(work)


@asynccontextmanager
async def open_writer(path: Path, *, force: bool) -> AsyncGenerator[ArchiveWriter]:
    """Open a backup to be written; it gets its name when the block ends well, and is gone when it does not.

    Only its owner may read it.

    Raises:
        Conflict: There is a file of that name, and `force` is not set.
        StorageFull: There is no room.
        Unavailable: The folder cannot be written to.
    """
    threads = Threads(1)
    if not force and await threads.run(lambda: os.path.lexists(path)):
        raise _build_taken(path)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    # What a thread opens is kept here, and not in what it returns: that is lost when the wait for it is cancelled.
    files: list[BinaryIO] = []
    archives: list[zipfile.ZipFile] = []
    writer: ArchiveWriter | None = None

    def begin() -> None:
        files.append(_open_private(part))
        archives.append(zipfile.ZipFile(files[0], "w", compresslevel=LEVEL))

    try:
        await threads.run(begin)
        writer = ArchiveWriter(archives[0], threads)
        yield writer
        await threads.run(_build_finish(archives[0], files[0], part, path, force=force))
    except OSError as error:
        raise map_disk_error(error, path) from error
    finally:
        await threads.run(lambda: _throw_away(writer, archives, files, part))


def _open_private(part: Path) -> BinaryIO:
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    return os.fdopen(descriptor, "w+b")


def _build_finish(
    archive: zipfile.ZipFile, file: BinaryIO, part: Path, path: Path, *, force: bool
) -> Callable[[], None]:
    def finish() -> None:
        archive.close()
        file.flush()
        os.fsync(file.fileno())
        if force:
            os.replace(part, path)
        else:
            _name_once(part, path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    return finish


def _name_once(part: Path, path: Path) -> None:
    """Give a file its name unless something has it by now."""
    try:
        os.link(part, path)
    except FileExistsError as error:
        raise _build_taken(path) from error
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS):
            raise
        # Some file systems have no links; there the look and the naming are two steps.
        if os.path.lexists(path):
            raise _build_taken(path) from error
        os.replace(part, path)


def _throw_away(
    writer: ArchiveWriter | None, archives: list[zipfile.ZipFile], files: list[BinaryIO], part: Path
) -> None:
    if writer is not None:
        writer.abandon()
    for archive in archives:
        with suppress(OSError, ValueError):  # on a full disk its end has no room either
            archive.close()
    for file in files:
        with suppress(OSError):
            file.close()
        with suppress(FileNotFoundError):
            os.unlink(part)


def _build_taken(path: Path) -> Conflict:
    return Conflict(f"There is a file {str(path)!r} already: choose another name, or overwrite it with `--force`.")
