"""How is a SQLite file of ours opened, and what do SQLite's complaints mean to its users?"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from quorate.clock import Clock
from quorate.errors import CorruptState, InvalidInput, QuorateError, StorageFull, TooLarge, Unavailable
from quorate.state.sql import Migration, load_migrations

APPLICATION_ID = 0x51_52_54_45
"""`QRTE` in the file's header: what tells our files from those of other programs."""

_RETRY_S = 0.02
_FULL = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_SHMSIZE,
    sqlite3.SQLITE_IOERR_TRUNCATE,
}


def map_error(error: sqlite3.Error, path: Path) -> QuorateError:
    """Build our error from SQLite's, with the file's name and a way out; SQLite's is its cause."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    mapped = _build_error(code, f"{error} ({getattr(error, 'sqlite_errorname', type(error).__name__)})", path)
    mapped.__cause__ = error
    return mapped


def _build_error(code: int, said: str, path: Path) -> QuorateError:
    shown = f"database {str(path)!r}"
    primary = code & 0xFF
    if code in _FULL:
        return StorageFull(
            f"{shown} cannot grow: {said}. Nothing was written; free some space and try again.",
            path=str(path),
        )
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Unavailable(
            f"{shown} is locked: another process holds it. Nothing was written; end that process "
            f"(`fuser {path}` names it) or try again later.",
            path=str(path),
        )
    if primary == sqlite3.SQLITE_NOTADB:
        return InvalidInput(
            f"{shown} is not a SQLite database ({said}); name another file, or restore it from a backup.",
            path=str(path),
        )
    if primary == sqlite3.SQLITE_READONLY:
        return InvalidInput(
            f"{shown} is read-only ({said}); make the file and its directory writable for this user.",
            path=str(path),
        )
    if primary == sqlite3.SQLITE_CORRUPT or code == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
        return CorruptState(
            f"{shown} is damaged: {said}. Nothing was written; restore it from a backup, or save what can be "
            f"read with `sqlite3 {path} .recover`.",
            path=str(path),
        )
    if primary == sqlite3.SQLITE_TOOBIG:
        return TooLarge(f"{shown} cannot keep a value of that size: {said}.", path=str(path))
    if primary == sqlite3.SQLITE_CANTOPEN:
        return Unavailable(
            f"{shown} cannot be opened ({said}); check that its directory exists and "
            "is writable for this user, and that not too many files are open.",
            path=str(path),
        )
    return Unavailable(f"{shown} failed: {said}. Look before you try again.", path=str(path))


def map_os_error(error: OSError, path: Path) -> QuorateError:
    """Build our error from the operating system's, met while the file or its directory was made."""
    shown = f"database {str(path)!r}"
    said = error.strerror or str(error)
    mapped: QuorateError
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        mapped = StorageFull(f"{shown} cannot be made: {said}; free some space and try again.", path=str(path))
    elif error.errno in (errno.EMFILE, errno.ENFILE, errno.EIO, errno.ENOMEM):
        mapped = Unavailable(f"{shown} cannot be opened: {said}.", path=str(path))
    else:
        mapped = InvalidInput(
            f"{shown} cannot be opened: {said} ({error.filename!r}); name a file in a directory "
            "that this user may write to.",
            path=str(path),
        )
    mapped.__cause__ = error
    return mapped


def check_path(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a database, or raise `InvalidInput` when it cannot be one."""
    text = os.fspath(path)
    if not text or "\0" in text or text == ":memory:":
        raise InvalidInput(
            f"{text!r} is not the path of a file; name one such as `quorate.db`, or use `open_memory_store` "
            "to keep nothing."
        )
    return Path(text).absolute()


def make_file(path: Path) -> None:
    """Make the file (mode 0600) and the directories above it (mode 0700), where they are not there yet."""
    try:
        missing = [parent for parent in path.parents if not parent.exists()]
        for parent in reversed(missing):
            parent.mkdir(mode=0o700, exist_ok=True)
        if path.is_dir():
            raise InvalidInput(
                f"database {str(path)!r} is a directory; name a file in it, such as {str(path / 'quorate.db')!r}.",
                path=str(path),
            )
        # Never open a file that exists: closing it would drop the locks SQLite holds on it in this process.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise map_os_error(error, path) from error


@contextmanager
def open_connection(
    path: Path, *, clock: Clock, busy_timeout_s: float, migrations: tuple[Migration, ...] | None = None
) -> Generator[sqlite3.Connection]:
    """Open a database of ours, made and migrated where needed, for the thread that calls.

    Args:
        path: The file.
        clock: Where the times of migrations come from.
        busy_timeout_s: How long to wait for another process that holds the file.
        migrations: What is known of its schema; all there are unless an older version is to be played.

    Raises:
        InvalidInput: The path cannot be a database of ours, or a newer version of Quorate wrote it.
        Unavailable: Another process holds it.
        StorageFull: There is no room to make it.
        CorruptState: It is damaged.
    """
    make_file(path)
    try:
        connection = sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None)
    except sqlite3.Error as error:
        raise map_error(error, path) from error
    try:
        try:
            _prepare(connection, path, migrations or load_migrations(), clock=clock, busy_timeout_s=busy_timeout_s)
        except sqlite3.Error as error:
            raise map_error(error, path) from error
        yield connection
    finally:
        connection.close()


def _prepare(
    connection: sqlite3.Connection,
    path: Path,
    migrations: tuple[Migration, ...],
    *,
    clock: Clock,
    busy_timeout_s: float,
) -> None:
    _check_owner(connection, path, newest=migrations[-1].number)
    _set_wal(connection, path, busy_timeout_s=busy_timeout_s)
    # FULL: a commit is on the disk before it is acknowledged; `fullfsync` makes that true on macOS too.
    for setting in (
        "synchronous = FULL",
        "fullfsync = ON",
        "trusted_schema = OFF",
        "cell_size_check = ON",
        "journal_size_limit = 67108864",
    ):
        connection.execute(f"PRAGMA {setting}")
    _migrate(connection, migrations, clock=clock)


def _check_owner(connection: sqlite3.Connection, path: Path, *, newest: int) -> None:
    connection.execute("BEGIN")  # one snapshot: another process may be making the tables right now
    application = get_number(connection, "PRAGMA application_id")
    version = get_number(connection, "PRAGMA user_version")
    tables = get_number(connection, "SELECT count(*) FROM sqlite_master")
    connection.execute("COMMIT")
    if application != APPLICATION_ID and (application or version or tables):
        raise InvalidInput(f"database {str(path)!r} belongs to another program; name another file.", path=str(path))
    if version > newest:
        raise InvalidInput(
            f"database {str(path)!r} has schema {version}; this version of Quorate knows {newest}. "
            "Upgrade Quorate to open it.",
            path=str(path),
            schema=version,
        )


def _set_wal(connection: sqlite3.Connection, path: Path, *, busy_timeout_s: float) -> None:
    # SQLite does not wait for locks when it changes the journal mode, so waiting is up to us.
    tries = max(1, int(busy_timeout_s / _RETRY_S))
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            tries -= 1
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or not tries:
                raise
            time.sleep(_RETRY_S)
        else:
            break
    if mode != "wal":
        raise InvalidInput(
            f"database {str(path)!r} cannot use a write-ahead log there (journal mode {mode!r}); "
            "put it on a local disk.",
            path=str(path),
        )


def _migrate(connection: sqlite3.Connection, migrations: tuple[Migration, ...], *, clock: Clock) -> None:
    if _find_missing(connection, migrations):
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Looked up again: another process may have been quicker.
            for migration in _find_missing(connection, migrations):
                _apply(connection, migration, clock=clock)
            connection.execute("COMMIT")
        except BaseException:
            roll_back(connection)
            raise


def _find_missing(connection: sqlite3.Connection, migrations: tuple[Migration, ...]) -> tuple[Migration, ...]:
    if not get_number(connection, "SELECT count(*) FROM sqlite_master WHERE name = 'migrations'"):
        return migrations
    known = {row[0] for row in connection.execute("SELECT number FROM migrations")}
    return tuple(migration for migration in migrations if migration.number not in known)


def _apply(connection: sqlite3.Connection, migration: Migration, *, clock: Clock) -> None:
    for statement in migration.statements:
        connection.execute(statement)
    connection.execute("INSERT INTO migrations VALUES (?, ?, ?)", (migration.number, migration.name, clock.now()))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    if migration.is_breaking:
        # The lowest schema a version must know to work here: what `_check_owner` compares.
        connection.execute(f"PRAGMA user_version = {migration.number}")


def roll_back(connection: sqlite3.Connection) -> None:
    """Leave the transaction, if there is one; SQLite has left it by itself after some faults."""
    if connection.in_transaction:
        with suppress(sqlite3.Error):  # the next transaction meets what is wrong, and says it
            connection.execute("ROLLBACK")


def get_number(connection: sqlite3.Connection, query: str) -> int:
    """Return the one number that a query gives."""
    return int(connection.execute(query).fetchone()[0])
