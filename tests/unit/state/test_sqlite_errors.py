"""What do the troubles of SQLite and of the file system mean to users?"""

import errno
import sqlite3
from pathlib import Path

import pytest

from quorate.errors import CorruptState, InvalidInput, QuorateError, StorageFull, TooLarge, Unavailable
from quorate.state.backends._sqlite_file import map_error, map_os_error

PATH = Path("/data/quorate.db")


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (sqlite3.SQLITE_FULL, StorageFull, "free some space"),
        (sqlite3.SQLITE_IOERR_WRITE, StorageFull, "free some space"),
        (sqlite3.SQLITE_IOERR_SHMSIZE, StorageFull, "free some space"),
        (sqlite3.SQLITE_BUSY, Unavailable, "another process holds it"),
        (sqlite3.SQLITE_BUSY_RECOVERY, Unavailable, "fuser /data/quorate.db"),
        (sqlite3.SQLITE_LOCKED, Unavailable, "another process holds it"),
        (sqlite3.SQLITE_NOTADB, InvalidInput, "is not a SQLite database"),
        (sqlite3.SQLITE_READONLY, InvalidInput, "make the file and its directory writable"),
        (sqlite3.SQLITE_READONLY_DIRECTORY, InvalidInput, "make the file and its directory writable"),
        (sqlite3.SQLITE_CORRUPT, CorruptState, "restore it from a backup"),
        (sqlite3.SQLITE_CORRUPT_INDEX, CorruptState, ".recover"),
        (sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, CorruptState, "is damaged"),
        (sqlite3.SQLITE_TOOBIG, TooLarge, "of that size"),
        (sqlite3.SQLITE_CANTOPEN, Unavailable, "its directory exists"),
        (sqlite3.SQLITE_IOERR_READ, Unavailable, "Look before you try again"),
        (sqlite3.SQLITE_IOERR_FSYNC, Unavailable, "Look before you try again"),
        (sqlite3.SQLITE_NOMEM, Unavailable, "Look before you try again"),
    ],
)
def test_sqlites_codes_become_our_errors(code: int, kind: type[QuorateError], said: str) -> None:
    """Each names the file and a way out, and keeps SQLite's own error as its cause. row: C5"""
    error = sqlite3.OperationalError("something happened")
    error.sqlite_errorcode = code
    error.sqlite_errorname = "SQLITE_X"
    mapped = map_error(error, PATH)
    assert type(mapped) is kind
    assert mapped.message.startswith("database '/data/quorate.db' ")
    assert said in mapped.message
    assert mapped.__cause__ is error
    assert mapped.context["path"] == "/data/quorate.db"


def test_an_error_without_a_code_is_unavailable() -> None:
    assert type(map_error(sqlite3.ProgrammingError("closed"), PATH)) is Unavailable


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StorageFull),
        (errno.EDQUOT, StorageFull),
        (errno.EMFILE, Unavailable),
        (errno.EIO, Unavailable),
        (errno.EACCES, InvalidInput),
        (errno.EROFS, InvalidInput),
        (errno.ENOTDIR, InvalidInput),
        (errno.ENAMETOOLONG, InvalidInput),
    ],
)
def test_the_systems_errors_become_ours(number: int, kind: type[QuorateError]) -> None:
    error = OSError(number, "it said so", str(PATH))
    mapped = map_os_error(error, PATH)
    assert type(mapped) is kind
    assert "it said so" in mapped.message
    assert mapped.__cause__ is error
