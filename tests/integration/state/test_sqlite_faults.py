"""Does every trouble with the file end in a typed error with a way out, and nothing lost?"""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from quorate.errors import (
    Conflict,
    InvalidInput,
    QuorateError,
    Unavailable,
)
from quorate.state.backends.sqlite import SqliteLog, open_sqlite_log
from quorate.testing import ManualClock
from quorate.testing.contracts import build_opening, build_step

NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "quorate.db"


@pytest.fixture
async def log(path: Path) -> AsyncGenerator[SqliteLog]:
    async with open_sqlite_log(path, busy_timeout_s=0.05) as log:
        yield log


def alter(path: Path, statement: str, *values: object) -> None:
    """Change a database behind the log's back."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


async def refuse_to_open(path: Path | str) -> QuorateError:
    with pytest.raises(QuorateError) as caught:
        async with open_sqlite_log(path, busy_timeout_s=0.05):
            pass
    return caught.value


# What is made


async def test_files_and_directories_are_private(tmp_path: Path) -> None:
    """Runs hold private words: only their owner may read them."""
    path = tmp_path / "a" / "b" / "quorate.db"
    async with open_sqlite_log(path) as log:
        await log.append("run-1", build_opening("run-1"), expected=0)
        modes = {p.name: p.stat().st_mode & 0o777 for p in path.parent.iterdir()}
    assert modes == {"quorate.db": 0o600, "quorate.db-wal": 0o600, "quorate.db-shm": 0o600}
    assert [p.stat().st_mode & 0o777 for p in (path.parent, path.parent.parent)] == [0o700, 0o700]


async def test_what_was_written_outlives_the_process(path: Path) -> None:
    """A log that is opened again goes on."""
    async with open_sqlite_log(path) as log:
        await log.append("run-1", build_opening("run-1"), expected=0)
    async with open_sqlite_log(path) as log:
        assert await log.read("run-1") == build_opening("run-1")
        await log.append("run-1", [build_step("run-1", 3)], expected=2)
        assert [(summary.run, summary.events) for summary in await log.list_runs()] == [("run-1", 3)]


async def test_the_time_of_a_migration_is_the_clocks(path: Path) -> None:
    async with open_sqlite_log(path, clock=ManualClock(123.5)):
        pass
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT DISTINCT applied FROM migrations").fetchall() == [(123.5,)]


# What cannot be opened


async def test_a_directory_is_refused(tmp_path: Path) -> None:
    error = await refuse_to_open(tmp_path)
    assert isinstance(error, InvalidInput)
    assert "is a directory; name a file in it" in error.message


@pytest.mark.parametrize("name", ["", ":memory:", "a\0b"])
async def test_what_is_not_a_path_is_refused(name: str) -> None:
    error = await refuse_to_open(name)
    assert isinstance(error, InvalidInput)
    assert "is not the path of a file" in error.message


async def test_a_file_in_the_way_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    error = await refuse_to_open(tmp_path / "file" / "quorate.db")
    assert isinstance(error, InvalidInput)
    assert "Not a directory" in error.message


async def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    path.write_bytes(b"dear diary, " * 100)
    error = await refuse_to_open(path)
    assert isinstance(error, InvalidInput)
    assert "is not a SQLite database" in error.message
    assert path.read_bytes() == b"dear diary, " * 100


async def test_an_empty_file_becomes_a_database(path: Path) -> None:
    """A file made beforehand, for its rights or its owner, is used."""
    path.touch()
    async with open_sqlite_log(path) as log:
        assert await log.list_runs() == []


async def test_a_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    alter(path, "CREATE TABLE songs (title TEXT)")
    before = path.read_bytes()
    error = await refuse_to_open(path)
    assert isinstance(error, InvalidInput)
    assert "belongs to another program" in error.message
    assert path.read_bytes() == before


async def test_a_database_of_a_newer_schema_is_refused(path: Path) -> None:
    """An old version does not write into what it does not understand."""
    async with open_sqlite_log(path):
        pass
    alter(path, "PRAGMA user_version = 999")
    error = await refuse_to_open(path)
    assert isinstance(error, InvalidInput)
    assert "has schema 999" in error.message
    assert "Upgrade Quorate" in error.message


async def test_a_newer_migration_that_breaks_nothing_is_worked_with(path: Path) -> None:
    """During a rolling upgrade the older version goes on beside the newer one."""
    async with open_sqlite_log(path):
        pass
    alter(path, "INSERT INTO migrations VALUES (999, 'addition', 0)")
    async with open_sqlite_log(path) as log:
        await log.append("run-1", build_opening("run-1"), expected=0)


@contextmanager
def powerless() -> Iterator[Path]:
    """A directory of a user without special rights, which the process is meanwhile."""
    folder = Path(tempfile.mkdtemp())
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o700)
        shutil.rmtree(folder)


async def test_a_directory_without_write_permission_is_named() -> None:
    with powerless() as folder:
        folder.chmod(0o500)
        error = await refuse_to_open(folder / "quorate.db")
        deeper = await refuse_to_open(folder / "more" / "quorate.db")
    for refused in (error, deeper):
        assert isinstance(refused, InvalidInput)
        assert "Permission denied" in refused.message
        assert "in a directory that this user may write to" in refused.message


async def test_a_read_only_file_is_named() -> None:
    with powerless() as folder:
        path = folder / "quorate.db"
        async with open_sqlite_log(path) as log:
            await log.append("run-1", build_opening("run-1"), expected=0)
        path.chmod(0o400)
        with pytest.raises(InvalidInput, match=r"read-only.*make the file and its directory writable"):
            async with open_sqlite_log(path) as log:
                await log.append("run-1", [build_step("run-1", 3)], expected=2)


# Locked by a stranger


async def test_a_database_locked_by_a_stranger_is_unavailable_until_it_is_released(path: Path, log: SqliteLog) -> None:
    """The error names the file; reads go on; nothing was written, and the append can be made again."""
    with closing(sqlite3.connect(path, isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match=r"quorate.db' is locked: another process holds it") as caught:
            await log.append("run-1", build_opening("run-1"), expected=0)
        assert caught.value.retryable
        assert await log.last("run-1") == 0
        stranger.execute("ROLLBACK")
    await log.append("run-1", build_opening("run-1"), expected=0)
    assert await log.last("run-1") == 2


async def test_a_database_locked_while_it_is_made_is_unavailable(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as stranger:
        stranger.execute("BEGIN EXCLUSIVE")
        error = await refuse_to_open(path)
    assert isinstance(error, Unavailable)
    assert "is locked" in error.message


async def test_a_strangers_append_is_seen(path: Path, log: SqliteLog) -> None:
    """What one process remembers of a run never hides what another one wrote."""
    await log.append("run-1", build_opening("run-1"), expected=0)
    async with open_sqlite_log(path) as other:
        await other.append("run-1", [build_step("run-1", 3)], expected=2)
        with pytest.raises(Conflict):
            await log.append("run-1", [build_step("run-1", 3)], expected=2)
        await log.append("run-1", [build_step("run-1", 4)], expected=3)
        assert await other.last("run-1") == 4
