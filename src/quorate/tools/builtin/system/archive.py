"""What lies in an archive, without unpacking it?"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Protocol, Self, cast

from msgspec import Struct

from quorate.errors import ToolError
from quorate.tools.builtin.checks import clean
from quorate.tools.workspace import Workspace

MAX_ENTRIES = 20_000
MAX_NAMES = 200
MAX_FILE_BYTES = 2_000_000_000
MAX_READ_BYTES = 500_000_000
MAX_RATIO = 100
MAX_XZ_BYTES = 128 << 20
MAX_NOTE_BYTES = 1 << 20
MAX_DIRECTORY_BYTES = 20 << 20
MAX_DANGERS = 50
IS_EXTENDED_AT = 482
"""Where a header of GNU tar says that its list of holes goes on."""
END_64, LOCATOR_64, END = 56, 20, 65_557
"""The sizes of what a zip file ends with."""
SECONDS = 20.0


class ArchiveListing(Struct, frozen=True, kw_only=True):
    """What an archive holds, and what would be dangerous about unpacking it."""

    path: str
    kind: str
    """`zip` or `tar`."""
    entries: int
    total_bytes: int
    """What it says it unpacks to."""
    packed_bytes: int
    ratio: float
    names: tuple[str, ...]
    """The first of them."""
    dangers: tuple[str, ...]
    truncated: bool = False


class _Entry(Struct):
    name: str
    size: int
    link: str = ""
    is_special: bool = False
    is_encrypted: bool = False


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class _Bounded:
    """A stream that ends an unpacking which would go on for ever."""

    def __init__(self, stream: _Readable, ends_at: float, most: int) -> None:
        self._stream, self._ends_at, self._left = stream, ends_at, most

    def read(self, size: int = -1) -> bytes:
        if time.monotonic() > self._ends_at or self._left <= 0:
            raise _Over
        data = self._stream.read(size)
        self._left -= len(data)
        return data


class _Xz:
    """Unpacks xz within a bound of memory, which the library's own file does not have."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._inner = lzma.LZMADecompressor(memlimit=MAX_XZ_BYTES)

    def read(self, size: int = -1) -> bytes:
        while not self._inner.eof:
            packed = self._stream.read(65_536) if self._inner.needs_input else b""
            data = self._inner.decompress(packed, max_length=size)
            if data or (not packed and self._inner.needs_input):
                return data
        return b""


class _BoundedInfo(tarfile.TarInfo):
    """A header that refuses to hold a name or a note of megabytes, which the library would read whole."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        found = super().frombuf(buf, encoding, errors)
        is_note = found.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, b"x", b"g", b"X")
        if is_note and found.size > MAX_NOTE_BYTES:
            raise tarfile.ReadError(f"a header has {found.size} bytes")
        # A file with holes may go on with a list of them without end, which the library keeps whole.
        if found.type == tarfile.GNUTYPE_SPARSE and buf[IS_EXTENDED_AT]:
            raise tarfile.ReadError("a file has more holes than are listed in its header")
        return found


class _Over(Exception):
    """A bound was reached."""


def list_archive(
    workspace: Workspace, path: str, *, seconds: float = SECONDS, most_bytes: int = MAX_READ_BYTES
) -> ArchiveListing:
    """List a zip or tar archive; nothing is written, and a tar is read only as far as the bounds go.

    Raises:
        ToolError: The name is refused or missing, or it is no such archive.
    """
    ends_at = time.monotonic() + seconds
    found: list[_Entry] = []
    truncated = False
    with workspace.open_file(path, max_bytes=MAX_FILE_BYTES) as stream:
        packed = stream.seek(0, 2)
        stream.seek(0)
        head = stream.read(6)
        stream.seek(0)
        if head.startswith(b"PK"):
            _check_directory(path, stream, packed)
        kind = "zip" if head.startswith((b"PK\x03\x04", b"PK\x05\x06")) else "tar"
        entries = _list_zip(stream) if kind == "zip" else _list_tar(stream, head, ends_at, most_bytes)
        try:
            for entry in entries:
                if len(found) >= MAX_ENTRIES or time.monotonic() > ends_at:
                    truncated = True
                    break
                found.append(entry)
        except _Over:
            truncated = True
        except (
            zipfile.BadZipFile,
            tarfile.TarError,
            zlib.error,
            EOFError,
            OSError,
            ValueError,
            NotImplementedError,
        ) as error:
            raise ToolError(f"The file {path!r} is no whole zip or tar archive: {str(error)[:200]}.") from error
    total = sum(entry.size for entry in found)
    return ArchiveListing(
        path=path,
        kind=kind,
        entries=len(found),
        total_bytes=total,
        packed_bytes=packed,
        ratio=round(total / packed, 1) if packed else 0.0,
        names=tuple(clean(entry.name, 300) for entry in found[:MAX_NAMES]),
        dangers=tuple(_find_dangers(found, total, packed)),
        truncated=truncated,
    )


def _list_zip(stream: BinaryIO) -> Iterator[_Entry]:
    with zipfile.ZipFile(stream) as archive:
        for one in archive.infolist():
            is_link = (one.external_attr >> 28) == 0o12
            yield _Entry(
                name=one.filename,
                size=one.file_size,
                link="somewhere" if is_link else "",
                is_encrypted=bool(one.flag_bits & 1),
            )


def _check_directory(path: str, stream: BinaryIO, size: int) -> None:
    """Refuse a table of contents that the library would read whole, however large it is."""
    most = END_64 + LOCATOR_64 + END
    stream.seek(max(0, size - most))
    tail = stream.read(most)
    stream.seek(0)
    at = tail.rfind(b"PK\x05\x06")
    found = int.from_bytes(tail[at + 12 : at + 16], "little") if at >= 0 else 0
    if at >= LOCATOR_64 + END_64 and tail[at - LOCATOR_64 :].startswith(b"PK\x06\x07"):
        # The library goes by the large form wherever there is one, whatever the small one says.
        large = tail[at - LOCATOR_64 - END_64 : at - LOCATOR_64]
        found = max(found, int.from_bytes(large[40:48], "little"))
    if found > MAX_DIRECTORY_BYTES:
        raise ToolError(f"The table of contents of {path!r} is larger than {MAX_DIRECTORY_BYTES} bytes.")


def _unpack(stream: BinaryIO, head: bytes) -> _Readable:
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=stream, mode="rb")
    if head.startswith(b"BZh"):
        return bz2.BZ2File(stream)
    return _Xz(stream) if head.startswith(b"\xfd7zX") else stream


def _list_tar(stream: BinaryIO, head: bytes, ends_at: float, most: int) -> Iterator[_Entry]:
    # It only ever reads, and reads as a stream: a member is passed over and never kept.
    bounded = cast("BinaryIO", _Bounded(_unpack(stream, head), ends_at, most))
    with tarfile.open(fileobj=bounded, mode="r|", tarinfo=_BoundedInfo) as archive:
        for one in archive:
            yield _Entry(
                name=one.name,
                size=one.size,
                link=one.linkname if one.issym() or one.islnk() else "",
                is_special=one.isdev() or one.isfifo(),
            )


def _find_dangers(found: list[_Entry], total: int, packed: int) -> list[str]:
    dangers: list[str] = []
    if packed and total / packed > MAX_RATIO and total > 10_000_000:
        dangers.append(f"it unpacks to {total / packed:.0f} times its size ({total} bytes)")
    seen: set[str] = set()
    for entry in found:
        name = clean(entry.name, 150)
        parts = entry.name.replace("\\", "/").split("/")
        if entry.name.startswith(("/", "\\")) or ".." in parts or (len(parts[0]) == 2 and parts[0].endswith(":")):
            dangers.append(f"`{name}` leads out of the directory it is unpacked to")
        if entry.link and (entry.link.startswith("/") or ".." in entry.link.split("/")):
            dangers.append(f"`{name}` is a link to `{clean(entry.link, 150)}`")
        if entry.is_special:
            dangers.append(f"`{name}` is a device or FIFO")
        if entry.name in seen and not entry.name.endswith("/"):
            dangers.append(f"`{name}` comes twice")
        if entry.name.lower().endswith((".zip", ".tar", ".gz", ".xz", ".bz2", ".7z")) and entry.size > 1_000_000:
            dangers.append(f"`{name}` is an archive itself")
        seen.add(entry.name)
        if len(dangers) >= MAX_DANGERS:
            break
    if any(entry.is_encrypted for entry in found):
        dangers.append("some entries are encrypted, so nobody can look into them")
    return dangers
