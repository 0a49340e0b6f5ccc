"""Did SQLite's write-ahead log lose commits that were in it, as the disk damaged them?

SQLite takes what verifies from the beginning of the log and drops the rest in silence, since a commit that was cut by a
crash looks like that, too. A commit whose last frame is there as a whole and still does not verify is no such cut,
unless the power failed: it is worth a word.
File format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log (sections 4.1 and 4.2).
"""

from __future__ import annotations

import logging
import os
import sqlite3
import struct
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

MAGIC = (0x377F0682, 0x377F0683)
_HEADER = struct.Struct(">L4xL4x8s8x")
"""Magic number, page size and salts of a log."""
_FRAME = struct.Struct(">4xL8s8x")
"""Size after a commit, or 0, and salts of a frame."""
_LIFE = "128 128"
"""What every process locks of the index beside a log, for as long as it has the database open."""
_logger = logging.getLogger("quorate.state.sqlite")


class Tail(Struct, frozen=True, kw_only=True):
    """Up to where the commits of a write-ahead log reach, by what stands in it."""

    salt: bytes
    """What all frames of this log bear; another one once the log begins anew."""
    frames: int
    """The last frame that ends a commit, counted from 1; 0 when there is none."""


def read_tail(path: Path) -> Tail | None:
    """Read how far the log beside a database reaches, whether it verifies or not; `None` when there is none.

    Nor is there one to speak of while another process has the database open: SQLite then does not read the log anew but
    goes by its index, and behind what that knows may stand what a killed process wrote and told nobody of.
    """
    if is_open_elsewhere(path):
        return None
    try:
        with open(f"{path}-wal", "rb") as file:
            return scan(file)
    except OSError:
        return None


def is_open_elsewhere(path: Path) -> bool:
    """Whether another process has a database open, as far as the system tells (Linux does).

    It is asked for its list of locks: opening and closing the index would let go of our own.
    """
    try:
        inode = os.stat(f"{path}-shm").st_ino
        lines = Path("/proc/locks").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return False
    ours = str(os.getpid())
    held = (line.split() for line in lines if line.endswith(f":{inode} {_LIFE}"))
    return any(words[4] != ours for words in held if "->" not in words)


def scan(file: BinaryIO) -> Tail | None:
    """Read how far an opened log reaches, by the salts of its frames."""
    head = file.read(_HEADER.size)
    if len(head) < _HEADER.size:
        return None
    magic, page_size, salt = _HEADER.unpack(head)
    if magic not in MAGIC or not page_size:
        return None
    size, place, last = os.fstat(file.fileno()).st_size, 0, 0
    step = _FRAME.size + page_size
    while _HEADER.size + (place + 1) * step <= size:
        file.seek(_HEADER.size + place * step)
        commit, found = _FRAME.unpack(file.read(_FRAME.size))
        if found != salt:
            break
        place += 1
        if commit:
            last = place
    return Tail(salt=salt, frames=last)


def warn_of_damage(connection: sqlite3.Connection, path: Path, before: Tail | None) -> None:
    """Say in the program's log when a database was opened without commits that stood in its write-ahead log."""
    if before is None or not before.frames:
        return
    try:
        _, kept, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    except sqlite3.Error:  # such as on a full disk: whoever writes next meets it, and says it
        return
    now = read_tail(path)
    # Another process may have begun the log anew meanwhile; one that copies it keeps us from seeing how much is there.
    if now is not None and now.salt == before.salt and 0 <= kept < before.frames:
        _logger.warning(
            "sqlite_log_damaged path=%s kept_pages=%d lost_pages=%d: acknowledged commits may be missing", path, kept,
            before.frames - kept,
        )  # fmt: skip
