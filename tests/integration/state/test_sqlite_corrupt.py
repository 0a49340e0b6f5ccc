"""Is a damaged row found, named and kept apart from everything else?"""

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path

import pytest

from quorate.clock import SYSTEM_CLOCK
from quorate.errors import CorruptState
from quorate.events import get_kind
from quorate.state.backends._sqlite_commit import Append, Committer
from quorate.state.backends._sqlite_file import open_connection
from quorate.state.backends.sqlite import SqliteLog, open_sqlite_log
from quorate.testing.contracts import build_opening, build_step


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "quorate.db"


@pytest.fixture
async def log(path: Path) -> AsyncGenerator[SqliteLog]:
    """A log with two runs of five events."""
    async with open_sqlite_log(path) as log:
        for run in ("run-1", "run-2"):
            steps = [build_step(run, seq) for seq in range(3, 6)]
            await log.append(run, [*build_opening(run), *steps], expected=0)
        yield log


def alter(path: Path, statement: str) -> None:
    """Damage a database behind the log's back."""
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute(statement).rowcount > 0


DAMAGES = {
    "a flipped byte": (
        "UPDATE events SET body = replace(body, 'ok', 'OK') WHERE run = 'run-1' AND seq = 4",
        "has another checksum",
    ),
    "no bytes": ("UPDATE events SET body = 7 WHERE run = 'run-1' AND seq = 4", "has another checksum"),
    "cut off": (
        "UPDATE events SET body = substr(body, 1, 9) WHERE run = 'run-1' AND seq = 4",
        "has another checksum",
    ),
    "gone": ("DELETE FROM events WHERE run = 'run-1' AND seq = 4", "is missing"),
    "a newer major version": (
        "UPDATE events SET version = '9.0' WHERE run = 'run-1' AND seq = 4",
        "has schema version '9.0'",
    ),
    "another run's": (
        """UPDATE events SET (body, checksum) =
        (SELECT body, checksum FROM events WHERE run = 'run-2' AND seq = 4) WHERE run = 'run-1' AND seq = 4""",
        "holds the event of run 'run-2' seq 4",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_row_is_named_and_harms_nothing_else(path: Path, log: SqliteLog, damage: str) -> None:
    """The error says which row; the run is still listed, its other rows and all other runs are read."""
    statement, said = DAMAGES[damage]
    alter(path, statement)
    with pytest.raises(CorruptState) as caught:
        await log.read("run-1")
    assert "run 'run-1' seq 4" in caught.value.message
    assert said in caught.value.message
    assert [event.seq for event in await log.read("run-1", limit=3)] == [1, 2, 3]
    assert [event.seq for event in await log.read("run-1", after=4)] == [5]
    assert [summary.run for summary in await log.list_runs()] == ["run-2", "run-1"]
    assert len(await log.read("run-2")) == 5
    await log.append("run-2", [build_step("run-2", 6)], expected=5)


async def test_a_lost_tail_is_found(path: Path, log: SqliteLog) -> None:
    """A run never looks shorter than what was acknowledged."""
    alter(path, "DELETE FROM events WHERE run = 'run-1' AND seq >= 4")
    with pytest.raises(CorruptState, match="run 'run-1' seq 4 is missing: 5 events were written"):
        await log.read("run-1")


async def test_rows_that_disagree_with_their_run_refuse_appends_to_it_alone(path: Path, log: SqliteLog) -> None:
    """A position that is taken already is never overwritten, and the other appends of its batch are kept."""
    alter(path, "UPDATE runs SET last = 4 WHERE run = 'run-1'")
    with open_connection(path, clock=SYSTEM_CLOCK, busy_timeout_s=1) as connection:
        jobs = [
            Append("run-0", build_opening("run-0"), expected=0),
            Append("run-1", [build_step("run-1", 5)], expected=4),
            Append("run-2", [build_step("run-2", 6)], expected=5),
        ]
        Committer(connection, path).commit(jobs)
    for job in jobs:
        job.settle()
    await jobs[0].future
    with pytest.raises(CorruptState, match="is damaged"):
        await jobs[1].future
    await jobs[2].future
    assert [await log.last(f"run-{number}") for number in range(3)] == [2, 4, 6]


async def test_a_damaged_line_about_a_run_is_named(path: Path, log: SqliteLog) -> None:
    """The list says which run's line does not verify."""
    alter(path, "UPDATE runs SET status = 'dreaming' WHERE run = 'run-1'")
    with pytest.raises(CorruptState, match=r"line of run 'run-1'.*does not verify"):
        await log.list_runs()


async def read_all(log: SqliteLog) -> None:
    for number in range(50):
        await log.read(f"run-{number}")


async def test_a_damaged_file_is_said_so(path: Path) -> None:
    """A file whose pages are garbage is a typed error, when it is opened or when it is read."""
    async with open_sqlite_log(path) as log:
        for number in range(50):
            run = f"run-{number}"
            await log.append(run, [*build_opening(run), build_step(run, 3, content="x" * 900)], expected=0)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (path.stat().st_size - 4096))
    with pytest.raises(CorruptState, match=r"is damaged.*restore it from a backup"):
        async with open_sqlite_log(path) as log:
            await read_all(log)


async def test_columns_repeat_what_the_body_says(path: Path, log: SqliteLog) -> None:
    """An operator may look at runs with any SQLite tool."""
    events = await log.read("run-1")
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT seq, key, kind, attempt, time FROM events WHERE run = 'run-1' ORDER BY seq"
        rows = connection.execute(query).fetchall()
    assert rows == [(e.seq, e.key, get_kind(e), e.attempt, e.time) for e in events]
