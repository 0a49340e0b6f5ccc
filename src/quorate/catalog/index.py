"""How is a directory of agents known again without reading every file?

An index is a file in a cache directory with what lists, search and routing need of each agent. It is believed for a
file only whose size and times are what they were; any other file is read again. An index that is broken, of another
version of Quorate, or in a place that others may write to, is as good as none.
"""

from __future__ import annotations

import os
import secrets
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

import msgspec
from msgspec import Struct

from quorate.catalog.definition import AgentEntry

MAGIC = b"QAIX1\n"
SETTLED_NS = 20_000_000
"""How long before the index was written a file must have been changed last: file systems stamp files a tick late."""
COARSE_SETTLED_NS = 2_000_000_000
"""The same where stamps are whole seconds."""
SECOND_NS = 1_000_000_000
MOST_BYTES = 256 * 1024 * 1024
_HERE = Path(__file__).parent
_BASIS = (
    "body.py", "check.py", "definition.py", "case.py", "gates.py", "outputs.py", "shape.py", "skim.py", "outputs.toml",
    "tiers.toml", "toolsets.toml", "../specs.py", "../models/playbook/define.py",
)  # fmt: skip
"""What decides how a file is read: when one of these changes, so does every entry."""


class Stamp(Struct, frozen=True, kw_only=True, array_like=True):
    """What of a file changes whenever what is in it does."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


class Record(Struct, frozen=True, kw_only=True, array_like=True):
    """A file, as it was when it was read, and what it said."""

    stamp: Stamp
    entry: AgentEntry


class _Head(Struct, frozen=True, kw_only=True):
    basis: str
    root: str
    written_ns: int
    files: dict[str, Record]


class Index:
    """What is known of a directory's files, from an earlier look at them."""

    def __init__(self, files: Mapping[str, Record], *, written_ns: int) -> None:
        self.files = files
        self._written_ns = written_ns

    def find(self, file: str, stamp: Stamp) -> AgentEntry | None:
        """Find what a file said; `None` when it is not the file it was."""
        record = self.files.get(file)
        if record is None or record.stamp != stamp:
            return None
        is_coarse = stamp.mtime_ns % SECOND_NS == stamp.ctime_ns % SECOND_NS == 0
        slack_ns = COARSE_SETTLED_NS if is_coarse else SETTLED_NS
        return record.entry if max(stamp.mtime_ns, stamp.ctime_ns) < self._written_ns - slack_ns else None


def build_stamp(found: os.stat_result) -> Stamp:
    """Build the stamp of a file."""
    return Stamp(size=found.st_size, mtime_ns=found.st_mtime_ns, ctime_ns=found.st_ctime_ns, inode=found.st_ino)


def name_index(folder: Path, root: str, *, builtin: bool) -> Path:
    """Name the file in which the index of a directory is."""
    place = blake2b(f"{root}\0{builtin}".encode(), digest_size=12).hexdigest()
    return folder / f"agents-{place}.index"


def open_index(path: Path, root: str) -> Index | None:
    """Open an index; `None` where there is none that can be believed."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
            found = os.fstat(opened.fileno())
            if not _is_ours(found) or found.st_size > MOST_BYTES:
                return None
            content = opened.read(MOST_BYTES)
        start, body = content[: len(MAGIC) + 16], content[len(MAGIC) + 16 :]
        if start != MAGIC + _digest(body):
            return None
        head = msgspec.msgpack.decode(body, type=_Head)
    except (OSError, msgspec.DecodeError):
        return None
    if (head.basis, head.root) != (_find_basis(), root):
        return None
    return Index(head.files, written_ns=head.written_ns)


def write_index(path: Path, root: str, files: Mapping[str, Record], *, written_ns: int) -> None:
    """Write an index in the place of any other; where that cannot be done, the next start reads the files again.

    Args:
        path: Where to.
        root: The directory it is of.
        files: What each file said, by its path, with its stamp from before it was read.
        written_ns: When the files were looked at, by the clock that stamps them.
    """
    head = _Head(basis=_find_basis(), root=root, written_ns=written_ns, files=dict(files))
    body = msgspec.msgpack.encode(head)
    part = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    # A cache that cannot be written, on a full disk or one that is only read, is no reason not to start.
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as opened:
                opened.write(MAGIC + _digest(body) + body)
            os.replace(part, path)
        except OSError:
            part.unlink(missing_ok=True)
            raise


def shorten(definition: AgentEntry) -> AgentEntry:
    """Return what an index keeps at hand of a definition."""
    values = {name: getattr(definition, name) for name in AgentEntry.__struct_fields__}
    return AgentEntry(**values)


def get_now_ns() -> int:
    """Return the time by the clock that file systems stamp files with."""
    return time.time_ns()


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=16).digest()


def _is_ours(found: os.stat_result) -> bool:
    """Whether nobody else can have written the file."""
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022


def _find_basis() -> str:
    """Say by which rules files are read: sizes and times of what these rules stand in."""
    found = [os.stat(_HERE / name) for name in _BASIS]
    return ";".join(f"{one.st_size}.{one.st_mtime_ns}" for one in found)
