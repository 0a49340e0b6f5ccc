"""Is a damaged row found, named and kept apart from everything else?"""

import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from quorate.clock import SYSTEM_CLOCK
from quorate.errors import CorruptState
from quorate.events import get_kind
from quorate.ports import Store
from quorate.state.backends._sqlite_append import Append
from quorate.state.backends._sqlite_blobs import PIECE_BYTES
from quorate.state.backends._sqlite_commit import Committer
from quorate.state.backends._sqlite_file import open_connection
from quorate.state.backends.sqlite import SqliteLog, open_sqlite_log, open_sqlite_store
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


async def test_a_run_whose_line_is_damaged_is_parked_alone(path: Path) -> None:
    """It cannot go on and nobody finds it to work on; others can and are, and it can be deleted."""
    async with open_sqlite_store(path) as store:
        for run in ("run-1", "run-2"):
            await store.log.append(run, build_opening(run)[:1], expected=0)
    alter(path, "UPDATE runs SET usage = 'dreaming' WHERE run = 'run-1'")
    async with open_sqlite_store(path) as store:
        for seq in (2, 3):
            with pytest.raises(CorruptState, match=r"line of run 'run-1'.*does not verify"):
                await store.log.append("run-1", [build_step("run-1", 2)], expected=1)
            await store.log.append("run-2", [build_step("run-2", seq)], expected=seq - 1)
        lease = await store.leases.beat("w1", ttl_s=60)
        assert [summary.run for summary in await store.leases.find_work(lease, ttl_s=60)] == ["run-2"]
        assert await store.log.read("run-1") == build_opening("run-1")[:1]
        assert await store.log.delete("run-1")
        assert [summary.run for summary in await store.log.list_runs()] == ["run-2"]


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


# Values and blobs


@pytest.fixture
async def store(path: Path) -> AsyncGenerator[Store]:
    """A store with three values, and two blobs of three pieces."""
    async with open_sqlite_store(path) as store:
        for key in ("key-1", "key-2", "key-3"):
            await store.values.put(key, f"the value of {key}".encode())
        for name in ("blob-1", "blob-2"):
            await store.blobs.put(name, give(name.encode() * (PIECE_BYTES // 2)))
        yield store


async def give(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def load(store: Store, name: str) -> bytes:
    return b"".join([piece async for piece in store.blobs.get(name)])


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET value = replace(value, 'value', 'VALUE') WHERE key = 'key-2'",
        "UPDATE entries SET value = X'' WHERE key = 'key-2'",
        "UPDATE entries SET value = 'text' WHERE key = 'key-2'",
        "UPDATE entries SET value = 7 WHERE key = 'key-2'",
        "UPDATE entries SET checksum = 0 WHERE key = 'key-2'",
        """UPDATE entries SET (value, checksum) = (SELECT value, checksum FROM entries WHERE key = 'key-1')
        WHERE key = 'key-2'""",
    ],
)
async def test_a_damaged_value_is_named_and_harms_nothing_else(path: Path, store: Store, statement: str) -> None:
    """It is not got and not scanned; others are, and it can be replaced or deleted."""
    alter(path, statement)
    for work in (store.values.get("key-2"), store.values.scan("key-")):
        with pytest.raises(CorruptState, match=r"value of key 'key-2' has another checksum.*restore it from a backup"):
            await work
    assert [entry.key for entry in await store.values.scan("key-", after="key-2")] == ["key-3"]
    await store.values.put("key-2", b"new")
    assert [entry.value for entry in await store.values.scan("key-2")] == [b"new"]


DAMAGED_BLOBS = {
    "UPDATE blob_pieces SET body = replace(body, 'blob-1', 'BLOB-1') WHERE version = 1 AND number = 1": "piece 1 of",
    "UPDATE blob_pieces SET body = 7 WHERE version = 1 AND number = 2": "piece 2 of",
    "DELETE FROM blob_pieces WHERE version = 1 AND number = 0": "piece 0 of .* is missing",
    "DELETE FROM blob_pieces WHERE version = 1 AND number = 2": "piece 2 of .* is missing",
    "UPDATE blobs SET size = size + 1 WHERE name = 'blob-1'": "it has .* bytes, and .* were written",
    "UPDATE blobs SET pieces = pieces - 1 WHERE name = 'blob-1'": "it has .* bytes, and .* were written",
}


@pytest.mark.parametrize("statement", DAMAGED_BLOBS)
async def test_a_damaged_blob_is_named_and_harms_nothing_else(path: Path, store: Store, statement: str) -> None:
    """The error says which piece; others are read, and it can be replaced or deleted."""
    alter(path, statement)
    with pytest.raises(CorruptState, match=rf"blob 'blob-1' does not verify: {DAMAGED_BLOBS[statement]}"):
        await load(store, "blob-1")
    assert await load(store, "blob-2") == b"blob-2" * (PIECE_BYTES // 2)
    assert [info.name for info in await store.blobs.list_blobs()] == ["blob-1", "blob-2"]
    await store.blobs.put("blob-1", give(b"new"))
    assert await load(store, "blob-1") == b"new"
    assert await store.blobs.delete("blob-1")
