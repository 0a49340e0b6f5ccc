"""Do values, blobs, leases and the log share one file, between threads and between processes?"""

import asyncio
import sqlite3
import subprocess
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.forks import Process, fork

from quorate.errors import Conflict, Fenced, InvalidInput, QuorateError, Unavailable
from quorate.events import RunStarted
from quorate.ports import Store
from quorate.state.backends._pieces import STRAY_S
from quorate.state.backends._sqlite_blobs import PIECE_BYTES
from quorate.state.backends.sqlite import open_sqlite_log, open_sqlite_store
from quorate.testing import ManualClock
from quorate.testing.contracts import build_opening, build_step

KEEPER = str(Path(__file__).parent / "sqlite_keeper.py")
MIB = 1 << 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "quorate.db"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def store(path: Path, clock: ManualClock) -> AsyncGenerator[Store]:
    async with open_sqlite_store(path, clock=clock, outbox=True, busy_timeout_s=0.05) as store:
        yield store


@contextmanager
def held(path: Path) -> Iterator[sqlite3.Connection]:
    """A stranger holds the database, so that nothing can be committed until it lets go."""
    with closing(sqlite3.connect(path, isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        yield stranger


def fetch(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def start(*arguments: str) -> Process:
    return fork([KEEPER, *arguments], stdout=subprocess.PIPE)


async def read_line(process: Process) -> str:
    assert process.stdout is not None
    return (await asyncio.to_thread(process.stdout.readline)).strip()


async def give(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def load(store: Store, name: str) -> bytes:
    return b"".join([piece async for piece in store.blobs.get(name)])


# One file


async def test_a_store_is_named_by_its_file(path: Path, store: Store) -> None:
    assert store.name == str(path)


async def test_everything_outlives_the_process(path: Path, clock: ManualClock) -> None:
    """What was acknowledged is there when the file is opened again, and leases go on."""
    async with open_sqlite_store(path, clock=clock, outbox=True) as store:
        await store.log.append("run-1", build_opening("run-1"), expected=0)
        put = await store.values.put("key", b"x", ttl_s=60)
        await store.blobs.put("blob", give(b"x" * MIB))
        lease = await store.leases.beat("w1", ttl_s=60)
    async with open_sqlite_store(path, clock=clock) as store:
        assert await store.log.read("run-1") == build_opening("run-1")
        assert await store.values.get("key") == put
        assert await load(store, "blob") == b"x" * MIB
        assert await store.leases.list_leases() == [lease]
        assert [notice.run for notice in await store.outbox.pending()] == ["run-1"]
        assert (await store.values.put("other", b"x")).revision > put.revision
        assert (await store.leases.beat("w1", ttl_s=60, epoch=lease.epoch)).since == lease.since


async def test_a_log_that_is_opened_by_itself_is_the_stores(path: Path, store: Store) -> None:
    async with open_sqlite_log(path) as log:
        await log.append("run-1", build_opening("run-1"), expected=0)
        assert [summary.run for summary in await store.log.list_runs()] == ["run-1"]


async def test_no_thread_outlives_the_store(path: Path) -> None:
    before = threading.active_count()
    for _ in range(3):
        async with open_sqlite_store(path) as store:
            await store.values.put("key", b"x")
            await store.values.get("key")
    assert threading.active_count() == before
    with pytest.raises(Unavailable, match="is closed; open it again"):
        await store.values.put("key", b"y")
    with pytest.raises(Unavailable, match="is closed; open it again"):
        await store.values.get("key")


# One transaction for all that wait


async def outcome(work: object) -> str:
    try:
        await work  # type: ignore[misc]
    except QuorateError as error:
        return type(error).__name__
    return "done"


async def test_a_refusal_fails_nobody_else_of_its_batch(path: Path) -> None:
    """Appends, values, leases and deletions that share a commit are each right or refused by themselves."""
    async with open_sqlite_store(path, busy_timeout_s=30, outbox=True) as store:
        await store.values.put("taken", b"x")
        await store.leases.beat("w1", ttl_s=60)
        await store.log.append("run-old", build_opening("run-old"), expected=0)
        with held(path) as stranger:
            blocked = asyncio.ensure_future(store.values.put("first", b"x"))
            await asyncio.sleep(0)
            works = {
                "append": store.log.append("run-1", build_opening("run-1"), expected=0),
                "wrong append": store.log.append("run-2", [build_step("run-2", 5)], expected=4),
                "value": store.values.put("key", b"x", if_revision=0),
                "wrong value": store.values.put("taken", b"y", if_revision=0),
                "lease": store.leases.beat("w2", ttl_s=60),
                "wrong lease": store.leases.beat("w1", ttl_s=60, epoch=7),
                "deletion": store.log.delete("run-old"),
                "too much for SQLite": store.outbox.done([1 << 70]),
                "blob": store.blobs.put("blob", give(b"x")),
            }
            tasks = {name: asyncio.ensure_future(outcome(work)) for name, work in works.items()}
            for _ in range(5):
                await asyncio.sleep(0)
            stranger.execute("ROLLBACK")
        await blocked
        assert {name: await task for name, task in tasks.items()} == {
            **dict.fromkeys(works, "done"),
            "wrong append": "Conflict",
            "wrong value": "Conflict",
            "wrong lease": "Fenced",
            "too much for SQLite": "InvalidInput",
        }
        assert [summary.run for summary in await store.log.list_runs()] == ["run-1"]
        assert [notice.run for notice in await store.outbox.pending()] == ["run-old", "run-1"]
        assert [entry.key for entry in await store.values.scan("")] == ["first", "key", "taken"]


async def test_values_that_wait_together_are_committed_together(path: Path, store: Store) -> None:
    """A thousand puts at once take a handful of transactions, not a thousand."""
    before = Path(f"{path}-wal").stat().st_size
    async with asyncio.TaskGroup() as group:
        for number in range(1000):
            group.create_task(store.values.put(f"key-{number:04}", b"x"))
    assert Path(f"{path}-wal").stat().st_size - before < 1000 * 4096
    assert len(await store.values.scan("", limit=2000)) == 1000


async def test_an_append_does_not_wait_for_a_blob(store: Store) -> None:
    """A blob goes to the file in small transactions, and others in between."""
    reached = asyncio.Event()

    async def give_much() -> AsyncIterator[bytes]:
        for number in range(64):
            yield b"x" * MIB
            if number == 2:
                reached.set()

    put = asyncio.ensure_future(store.blobs.put("blob", give_much()))
    await reached.wait()
    for number in range(5):
        await store.log.append(f"run-{number}", build_opening(f"run-{number}"), expected=0)
    assert not put.done()
    assert await put == 64 * MIB


async def test_what_cannot_be_kept_as_text_is_refused(store: Store) -> None:
    """Halves of characters are an error of the caller's, and nobody else's."""
    half = "\ud800"
    with pytest.raises(InvalidInput, match=r"run '.ud800' is not UTF-8"):
        await store.log.delete(half)
    with pytest.raises(InvalidInput, match=r"owner '.ud800' is not UTF-8"):
        await store.leases.beat(half, ttl_s=60)
    with pytest.raises(InvalidInput, match=r"owner '.ud800' is not UTF-8"):
        await store.leases.drop(half)
    with pytest.raises(InvalidInput, match="`limit` is -1"):
        await store.values.scan("", limit=-1)
    with pytest.raises(InvalidInput, match="`limit` is -1"):
        await store.outbox.pending(limit=-1)
    with pytest.raises(InvalidInput, match="cannot be looked up"):
        await store.log.list_runs(agent=half)


# What rests in the file


async def test_a_locked_database_refuses_every_write_and_is_well_again(path: Path, store: Store) -> None:
    """Each says so and did nothing; reads go on; the same call succeeds when the stranger lets go."""
    lease = await store.leases.beat("w1", ttl_s=60)
    await store.values.put("old", b"x")
    with held(path) as stranger:
        for work in (
            store.values.put("key", b"x"),
            store.values.delete("old"),
            store.blobs.put("blob", give(b"x" * MIB)),
            store.blobs.delete("blob"),
            store.leases.beat("w1", ttl_s=60, epoch=lease.epoch),
            store.leases.drop("w1"),
            store.outbox.done([1]),
            store.log.delete("run-1"),
        ):
            with pytest.raises(Unavailable, match="is locked: another process holds it"):
                await work
        assert [entry.key for entry in await store.values.scan("")] == ["old"]
        assert await store.blobs.list_blobs() == []
        assert await store.leases.list_leases() == [lease]
        stranger.execute("ROLLBACK")
    await store.values.put("key", b"x")
    await store.blobs.put("blob", give(b"x" * MIB))
    assert await load(store, "blob") == b"x" * MIB


async def test_expired_values_leave_the_file(path: Path, store: Store, clock: ManualClock) -> None:
    """Those that are never asked for again go when others come."""
    for number in range(50):
        await store.values.put(f"old-{number}", b"x", ttl_s=10)
    clock.advance(11)
    for number in range(10):
        await store.values.put(f"new-{number}", b"x", ttl_s=10)
    assert fetch(path, "SELECT count(*) FROM entries") == [(10,)]


async def test_replaced_and_deleted_blobs_leave_the_file(path: Path, store: Store, clock: ManualClock) -> None:
    """A replaced one after a while, since somebody may read it still; a deleted one at once, with what it replaced."""
    for name in ("kept", "gone"):
        for _ in range(3):
            await store.blobs.put(name, give(b"x" * (5 * MIB)))
    count = "SELECT count(*) FROM blob_pieces"
    whole = 5 * MIB // PIECE_BYTES
    assert fetch(path, count) == [(6 * whole,)]
    await store.blobs.delete("gone")
    assert fetch(path, count) == [(3 * whole,)]
    clock.advance(STRAY_S + 1)
    await store.blobs.put("other", give(b""))
    assert fetch(path, count) == [(whole,)]
    assert fetch(path, "SELECT count(*) FROM blob_strays") == [(0,)]
    assert await load(store, "kept") == b"x" * (5 * MIB)


async def test_a_put_that_rests_for_too_long_is_refused(store: Store, clock: ManualClock) -> None:
    """Its pieces were swept, and no half of it ever gets a name."""

    async def give_slowly() -> AsyncIterator[bytes]:
        yield b"x" * MIB
        clock.advance(STRAY_S + 1)
        await store.blobs.put("other", give(b"x"))
        yield b"x" * MIB

    with pytest.raises(Unavailable, match="rested for so long while it was written that it was removed"):
        await store.blobs.put("blob", give_slowly())
    assert [info.name for info in await store.blobs.list_blobs()] == ["other"]


async def test_a_put_that_goes_on_is_never_swept(store: Store, clock: ManualClock) -> None:
    """However long it takes as a whole."""

    async def give_slowly() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * MIB
            clock.advance(STRAY_S / 2)
            await store.blobs.put("other", give(b"x"))

    assert await store.blobs.put("blob", give_slowly()) == 10 * MIB
    assert await load(store, "blob") == b"x" * (10 * MIB)


# Several processes


async def test_two_processes_count_together(path: Path) -> None:
    """Every number is one process's, and none is left out."""
    processes = [start("count", str(path), "key", "150") for _ in range(2)]
    said = await asyncio.gather(*(asyncio.to_thread(process.communicate, timeout=60) for process in processes))
    assert [process.returncode for process in processes] == [0, 0]
    numbers = [int(line) for lines, _ in said for line in lines.split()]
    assert sorted(numbers) == list(range(1, 301))
    async with open_sqlite_store(path) as store:
        entry = await store.values.get("key")
        assert entry is not None
        assert entry.value == b"300"


async def test_a_process_killed_in_the_middle_of_a_blob_leaves_nothing(path: Path) -> None:
    """What was there before is there still, and the pieces without a name are swept."""
    clock = ManualClock()
    async with open_sqlite_store(path) as store:
        await store.blobs.put("blob", give(b"before"))
        process = start("blob", str(path), "blob")
        assert await read_line(process) == "under way"
        process.kill()
        process.communicate()
        assert await load(store, "blob") == b"before"
        assert [info.size for info in await store.blobs.list_blobs()] == [6]
    assert fetch(path, "SELECT count(*) > 8 FROM blob_pieces") == [(1,)]
    clock.jump(10_000_000_000.0)
    async with open_sqlite_store(path, clock=clock) as store:
        await store.blobs.put("other", give(b""))
    assert fetch(path, "SELECT count(*) FROM blob_pieces") == [(1,)]


async def test_the_run_of_a_killed_process_is_found_and_the_dead_stay_fenced(path: Path) -> None:
    """A living one is left alone; a killed one is declared dead, also for other processes."""
    clock = ManualClock(time.time() - 80)  # and soon 20 s ahead of the other process
    process = start("own", str(path), "w1", "run-1")
    async with open_sqlite_store(path, clock=clock) as store:
        judge = await store.leases.beat("w2", ttl_s=60)
        for _ in range(2):
            clock.advance(50)
            judge = await store.leases.beat("w2", ttl_s=60, epoch=judge.epoch)
        assert await read_line(process) == "owned"
        assert await store.leases.find_work(judge, ttl_s=60) == []
        process.kill()
        process.communicate()
        for _ in range(2):
            clock.advance(50)
            judge = await store.leases.beat("w2", ttl_s=60, epoch=judge.epoch)
        assert [summary.run for summary in await store.leases.find_work(judge, ttl_s=60)] == ["run-1"]
        async with open_sqlite_store(path) as other:
            with pytest.raises(Fenced, match="w1"):
                await other.leases.beat("w1", ttl_s=60, epoch=1)


async def test_what_another_process_deleted_is_not_remembered(path: Path, store: Store) -> None:
    """What the writer knows of a run never outlives the run."""
    started = RunStarted(run="run-1", seq=2, time=11.0, attempt="a1")
    await store.log.append("run-1", [build_opening("run-1")[0], started], expected=0)
    async with open_sqlite_store(path) as other:
        assert await other.log.delete("run-1")
        with pytest.raises(Conflict, match="has 0 events, not 2"):
            await store.log.append("run-1", [build_step("run-1", 3)], expected=2)
        await store.log.append("run-1", build_opening("run-1"), expected=0)
        assert await other.log.last("run-1") == 2
