"""What is in a backup, and which files are not taken for one?

A backup is a ZIP archive of four members, read from the front:

```
runs.jsonl      the runs, as `quorate runs export` writes them, by id
values.jsonl    one value a line: {"key":"…","value":"<base64>","expires":…}, by key
blobs.bin       frames: 4 bytes of length, then as many bytes. A blob is a header {"blob":"name"}, its bytes, an empty
                frame, and an end {"size":…,"sha256":"…"}
manifest.json   what is in the others: versions, counts, sizes, digests
```

Nothing in it is ever written to a path that it names.
"""

from __future__ import annotations

import os
import stat
import struct
import zipfile
from typing import BinaryIO

import msgspec
from msgspec import Struct

from quorate.errors import CorruptState, InvalidInput, TooLarge
from quorate.events import SCHEMA_VERSION
from quorate.state.archive.lines import check_schema

FORMAT = 1
RUNS, VALUES, BLOBS, MANIFEST = "runs.jsonl", "values.jsonl", "blobs.bin", "manifest.json"
MEMBERS = (RUNS, VALUES, BLOBS)
MAX_BYTES = 1 << 40
"""The most bytes that the members of a backup may have when they are read, unless told otherwise."""
MAX_RATIO = 400
"""How many times smaller than its bytes a member may be; what a store keeps is not that much alike."""
SMALL = 64 << 20
"""Up to how many bytes it does not matter how well a member is compressed."""
MAX_MANIFEST = 1 << 20
KNOWN_FLAGS = 0x80E
"""How a member may be packed: compressed well or quickly, its size behind it, its name in UTF-8; not encrypted."""
MAX_FRAME = 1 << 20
_END = struct.Struct("<4s4H2LH")
_FAR_END_PLACE = struct.Struct("<4sLQL")
_FAR_END = struct.Struct("<4sQ2H2L4Q")
_LENGTH = struct.Struct(">I")


class Member(Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """What one member of a backup must be."""

    name: str
    count: int
    """How many runs, values or blobs."""
    size: int
    sha256: str


class Manifest(Struct, frozen=True, kw_only=True, gc=False):
    """What a backup has."""

    format: int
    schema: str
    """The version of the events."""
    tool: str
    """The version of Quorate that made it."""
    store: str
    """What was backed up, for people."""
    began: float
    """Wall time at which it was begun: every run that had been accepted by then is in it."""
    finished: float
    events: int
    members: tuple[Member, ...]


class Value(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, forbid_unknown_fields=True):
    """A line of `values.jsonl`."""

    key: str
    value: bytes
    expires: float | None = None
    """Wall time from which on it is gone."""


class BlobHeader(Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """The frame before a blob."""

    blob: str


class BlobEnd(Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """The frame behind a blob."""

    size: int
    sha256: str
    gone: bool = False
    """Whether it was deleted while it was read: what is here of it is none."""


def build_frame(data: bytes) -> bytes:
    """Write a frame."""
    return _LENGTH.pack(len(data)) + data


def read_length(data: bytes, *, where: str) -> int:
    """Read the length of a frame.

    Raises:
        CorruptState: It is cut, or longer than a frame may be.
    """
    if len(data) != _LENGTH.size:
        raise CorruptState(f"{where} ends within a blob: the backup was cut.")
    (length,) = _LENGTH.unpack(data)
    if length > MAX_FRAME:
        raise CorruptState(f"{where} has a frame of {length} bytes; at most {MAX_FRAME} are read.")
    return length


def check_manifest(data: bytes, *, where: str) -> Manifest:
    """Read a manifest.

    Raises:
        CorruptState: It is of a newer version.
        InvalidInput: It is not one.
    """
    try:
        version = msgspec.json.decode(data, type=_Version).format
        if version > FORMAT:
            raise CorruptState(
                f"{where} is a backup of format {version}; this version reads up to {FORMAT}. Upgrade Quorate to read "
                "it."
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"{where} has a manifest that cannot be read: {error}") from error
    check_schema(manifest.schema, where=where)
    if tuple(member.name for member in manifest.members) != MEMBERS or manifest.format < 1:
        raise InvalidInput(f"{where} has a manifest of other members than {', '.join(MEMBERS)}: it is no backup.")
    return manifest


class _Version(Struct, gc=False):
    format: int


def build_manifest(
    members: tuple[Member, ...], *, store: str, tool: str, began: float, finished: float, events: int
) -> Manifest:
    """Build the manifest of a backup."""
    return Manifest(
        format=FORMAT,
        schema=SCHEMA_VERSION,
        tool=tool,
        store=store,
        began=began,
        finished=finished,
        events=events,
        members=members,
    )


def open_members(file: BinaryIO, *, where: str, max_bytes: int = MAX_BYTES) -> zipfile.ZipFile:
    """Open a backup, after a look at everything in it that an archive can lie with.

    Raises:
        InvalidInput: It is no backup: it has other members, links, encrypted ones, or the same one twice.
        TooLarge: It says that it has more bytes than are read, or unfolds to far more than it has.
    """
    _check_count(file, where=where)
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, EOFError) as error:
        raise InvalidInput(f"{where} is no backup: {error}.") from error
    infos = archive.infolist()
    names = [info.orig_filename for info in infos]
    if sorted(names) != sorted((*MEMBERS, MANIFEST)):
        shown = ", ".join(repr(name[:80]) for name in sorted(names)) or "nothing"
        raise InvalidInput(
            f"{where} is no backup: it has {shown}, and must have {', '.join((*MEMBERS, MANIFEST))} once."
        )
    for info in infos:
        _check_member(info, where=where)
    if sum(info.file_size for info in infos) > max_bytes:
        raise TooLarge(f"{where} unfolds to more than {max_bytes} bytes: raise `max_bytes` if it is really a backup.")
    return archive


def _check_member(info: zipfile.ZipInfo, *, where: str) -> None:
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        raise InvalidInput(f"{where} is no backup: {info.filename!r} is no plain file.")
    if info.flag_bits & ~KNOWN_FLAGS or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InvalidInput(f"{where} is no backup: {info.filename!r} is encrypted or packed in a way that none is.")
    if info.filename == MANIFEST and info.file_size > MAX_MANIFEST:
        raise TooLarge(f"{where} has a manifest of {info.file_size} bytes; at most {MAX_MANIFEST} are read.")
    if info.file_size > SMALL and info.file_size > MAX_RATIO * info.compress_size:
        raise TooLarge(
            f"{where} has {info.filename!r}, which unfolds to more than {MAX_RATIO} times its size: it is not read."
        )


def _check_count(file: BinaryIO, *, where: str) -> None:
    """Look how many members there are before a list of them is made."""
    size = file.seek(0, os.SEEK_END)
    if size < _END.size:
        raise InvalidInput(f"{where} is no backup: it has {size} bytes.")
    file.seek(size - _END.size)
    magic, _, _, _, count, length, _, comment = _END.unpack(file.read(_END.size))
    if magic != b"PK\5\6" or comment:
        raise InvalidInput(f"{where} is no backup, or its end is missing: it does not end as one does.")
    place = size - _END.size - _FAR_END_PLACE.size
    if place >= 0:
        file.seek(place)
        magic, _, far, _ = _FAR_END_PLACE.unpack(file.read(_FAR_END_PLACE.size))
        if magic == b"PK\6\7" and far <= size - _FAR_END.size:
            file.seek(far)
            found = _FAR_END.unpack(file.read(_FAR_END.size))
            count, length = max(found[7], count if count != 0xFFFF else 0), found[8]
    if count > 16 or length > (64 << 10):
        raise InvalidInput(f"{where} is no backup: it has {count} members, and a backup has four.")
    file.seek(0)
