"""How is a backup read, member by member, and believed only as far as its digests go?"""

from __future__ import annotations

import errno
import hashlib
import itertools
import math
import os
import stat
import zipfile
import zlib
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from quorate.errors import CorruptState, InvalidInput, NotFound, QuorateError
from quorate.state.archive.lines import Item, RunHeader, RunReader
from quorate.state.archive.load import read_lines
from quorate.state.backends._checks import check_blob_name, check_key, check_value
from quorate.state.backup.format import (
    BLOBS,
    MANIFEST,
    MAX_BYTES,
    MAX_MANIFEST,
    RUNS,
    VALUES,
    BlobEnd,
    BlobHeader,
    Manifest,
    Member,
    Value,
    check_manifest,
    open_members,
    read_length,
)
from quorate.state.backup.write import map_disk_error
from quorate.state.threads import Threads

T = TypeVar("T")
_values = msgspec.json.Decoder(Value)
_headers = msgspec.json.Decoder(BlobHeader)
_ends = msgspec.json.Decoder(BlobEnd)


class _Stream:
    """The bytes of a member, counted and hashed as they are read."""

    def __init__(self, archive: zipfile.ZipFile, member: Member, where: str) -> None:
        self.count = 0
        self._archive = archive
        self._member = member
        self._where = f"{where}, {member.name}"
        self._file = archive.open(member.name)
        self._hash = hashlib.sha256()
        self._size = 0

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes.

        Raises:
            CorruptState: They were changed or cut.
        """
        try:
            data = self._file.read(size)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise CorruptState(f"{self._where} was changed or cut: {error}.") from error
        self._hash.update(data)
        self._size += len(data)
        return data

    def finish(self) -> None:
        """Raise `CorruptState` when what was read is not what was written."""
        found = (self.count, self._size, self._hash.hexdigest())
        wanted = (self._member.count, self._member.size, self._member.sha256)
        if found != wanted:
            raise CorruptState(
                f"{self._where} was changed: it has {found[0]} entries in {found[1]} bytes of digest {found[2][:12]}, "
                f"and the manifest says {wanted[0]}, {wanted[1]} and {wanted[2][:12]}."
            )


class BackupFile:
    """An open backup; each member can be read several times."""

    def __init__(self, archive: zipfile.ZipFile, manifest: Manifest, *, where: str, threads: Threads) -> None:
        self.manifest = manifest
        self.where = where
        self._archive = archive
        self._threads = threads

    async def read_runs(self) -> AsyncGenerator[Item]:
        """Yield what the lines of the runs say, by id.

        Raises:
            CorruptState: They are not what was written.
            InvalidInput: A line is not one.
        """
        what = f"{self.where}, {RUNS}"
        stream, reader, numbers = await self._open(RUNS), RunReader(what, ascending=True), itertools.count(1)
        async for lines in read_lines(stream.read, self._threads, what=what):
            for line, number in zip(lines, numbers, strict=False):
                item = reader.take(number, line)
                stream.count += isinstance(item, RunHeader)
                yield item
        reader.finish()
        stream.finish()

    async def read_values(self) -> AsyncGenerator[Value]:
        """Yield the values by key; raises what `read_runs` raises."""
        what = f"{self.where}, {VALUES}"
        stream, numbers, last = await self._open(VALUES), itertools.count(1), b""
        async for lines in read_lines(stream.read, self._threads, what=what):
            for line, number in zip(lines, numbers, strict=False):
                value = _read_value(line, f"{what}, line {number}")
                if value.key.encode() <= last:
                    raise InvalidInput(f"{what}, line {number}: key {value.key!r} comes twice or out of order.")
                last = value.key.encode()
                stream.count += 1
                yield value
        stream.finish()

    async def read_blobs(self) -> AsyncGenerator[str | bytes | BlobEnd]:
        """Yield each blob's name, its bytes piece by piece, and its end; raises what `read_runs` raises."""
        where, last = f"{self.where}, {BLOBS}", ""
        stream = await self._open(BLOBS)
        while True:
            frame = await self._read_frame(stream, where)
            if frame is None:
                break
            name = _read_name(frame, where, after=last)
            size, digest = 0, hashlib.sha256()
            yield name
            while piece := await self._read_frame(stream, where):
                size += len(piece)
                digest.update(piece)
                yield piece
            end = _decode(_ends.decode, await self._read_frame(stream, where) or b"", where)
            if (end.size, end.sha256) != (size, digest.hexdigest()):
                raise CorruptState(f"{where}: blob {name!r} is not what was written.", name=name)
            if not end.gone:  # one that is gone may come again, from where it was moved to
                stream.count += 1
                last = name
            yield end
        stream.finish()

    async def _read_frame(self, stream: _Stream, where: str) -> bytes | None:
        """Read a frame; `None` at the end."""

        def read() -> bytes | None:
            head = stream.read(4)
            if not head:
                return None
            length = read_length(head, where=where)
            data = stream.read(length)
            if len(data) != length:
                raise CorruptState(f"{where} ends within a blob: the backup was cut.")
            return data

        return await self._threads.run(read)

    async def _open(self, name: str) -> _Stream:
        member = next(member for member in self.manifest.members if member.name == name)

        def open_stream() -> _Stream:
            try:
                return _Stream(self._archive, member, self.where)
            except (zipfile.BadZipFile, KeyError, RuntimeError, ValueError, OSError) as error:
                if isinstance(error, OSError) and error.errno != errno.EINVAL:  # a place before the file's beginning
                    raise
                raise CorruptState(f"{self.where}, {name} cannot be opened: {error}.") from error

        return await self._threads.run(open_stream)


@asynccontextmanager
async def open_backup(path: Path, *, max_bytes: int = MAX_BYTES) -> AsyncGenerator[BackupFile]:
    """Open a backup to be read.

    Raises:
        NotFound: There is no such file.
        InvalidInput: It is no backup.
        CorruptState: It is of a newer version, or was changed.
        TooLarge: It unfolds to more than `max_bytes`.
        Unavailable: It cannot be read.
    """
    threads = Threads(1)
    try:
        file = await threads.run(partial(_open_plain, path))
        try:
            archive, manifest = await threads.run(partial(_open_archive, file, path.name, max_bytes))
            yield BackupFile(archive, manifest, where=path.name, threads=threads)
        finally:
            await threads.run(file.close)
    except FileNotFoundError as error:
        raise NotFound(f"There is no file {str(path)!r}.") from error
    except OSError as error:
        raise map_disk_error(error, path) from error


def _open_plain(path: Path) -> BinaryIO:
    # Without waiting for somebody who writes into it, should it be a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidInput(f"{str(path)!r} is no plain file, so it is no backup.")
    return os.fdopen(descriptor, "rb")


def _open_archive(file: BinaryIO, where: str, max_bytes: int) -> tuple[zipfile.ZipFile, Manifest]:
    archive = open_members(file, where=where, max_bytes=max_bytes)
    try:
        with archive.open(MANIFEST) as member:
            data = member.read(MAX_MANIFEST + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # a place before the file's beginning
            raise
        raise CorruptState(f"{where}, {MANIFEST} was changed or cut: {error}.") from error
    return archive, check_manifest(data, where=where)


def _decode(decode: Callable[[bytes], T], data: bytes, where: str) -> T:
    try:
        return decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"{where} cannot be read: {error}") from error


def _read_value(line: bytes, where: str) -> Value:
    value = _decode(_values.decode, line, where)
    try:
        check_value(check_key(value.key), value.value)
    except QuorateError as error:
        raise InvalidInput(f"{where}: {error.message}") from error
    if value.expires is not None and not math.isfinite(value.expires):
        raise InvalidInput(f"{where}: key {value.key!r} expires at no time that there is.")
    return value


def _read_name(frame: bytes, where: str, *, after: str) -> str:
    name = _decode(_headers.decode, frame, where).blob
    try:
        check_blob_name(name)
    except QuorateError as error:
        raise InvalidInput(f"{where}: {error.message}") from error
    if name <= after:
        raise InvalidInput(f"{where}: blob {name!r} comes twice or out of order.")
    return name
