"""Does the PostgreSQL store keep its promises where PostgreSQL makes it hard: U+0000, races, half-written blobs?"""

import asyncio
from collections.abc import AsyncGenerator

import asyncpg
import pytest

from quorate.errors import Conflict, Fenced, NotFound
from quorate.events import RunCompleted, RunCreated, RunStarted, RunWaiting
from quorate.messages import build_user_message
from quorate.ports import Store
from quorate.state.backends._postgres_blobs import PostgresBlobs
from quorate.state.backends.postgres import open_postgres_store
from quorate.testing.contracts import build_opening, build_step
from quorate.testing.postgres_server import PostgresServer


@pytest.fixture
async def store(postgres_dsn: str) -> AsyncGenerator[Store]:
    async with open_postgres_store(postgres_dsn, outbox=True) as store:
        yield store


@pytest.fixture
async def look(postgres_dsn: str) -> AsyncGenerator[asyncpg.Connection]:
    """A connection of one's own to the same tables."""
    connection = await asyncpg.connect(postgres_dsn, server_settings={"search_path": "quorate"})
    yield connection
    await connection.close()


async def chunks(*pieces: bytes) -> AsyncGenerator[bytes]:
    for piece in pieces:
        yield piece


async def load(store: Store, name: str) -> bytes:
    return b"".join([piece async for piece in store.blobs.get(name)])


async def test_text_with_nul_survives_everywhere(store: Store) -> None:
    """PostgreSQL's text cannot hold U+0000; what people and models write can."""
    odd = RunCreated(
        run="run-1", seq=1, time=1.0, key="k\0", agent="a\0b", session="s\0\x01", tenant="t\0", principal="p\0",
        messages=(build_user_message("task\0\x01"),),
    )  # fmt: skip
    begun = RunStarted(run="run-1", seq=2, time=2.0, attempt="x\0", owner="w\0")
    await store.log.append("run-1", [odd, begun], expected=0)
    assert await store.log.read("run-1") == [odd, begun]
    (summary,) = await store.log.list_runs(agent="a\0b", session="s\0\x01", tenant="t\0")
    assert (summary.agent, summary.session, summary.tenant, summary.owner) == ("a\0b", "s\0\x01", "t\0", "w\0")
    assert summary.task == "task\0\x01"
    assert await store.log.list_runs(agent="ab") == []
    (notice,) = await store.outbox.pending()
    assert notice.tenant == "t\0"
    lease = await store.leases.beat("w\0", ttl_s=10)
    assert lease.owner == "w\0"
    assert [one.owner for one in await store.leases.list_leases()] == ["w\0"]


async def test_a_run_that_was_deleted_and_written_anew_is_not_mistaken(postgres_dsn: str, store: Store) -> None:
    """What one process remembers of a run is not put over what another wrote in its place."""
    async with open_postgres_store(postgres_dsn) as other:
        await store.log.append("run-1", build_opening("run-1", agent="old"), expected=0)
        await other.log.delete("run-1")
        anew = [*build_opening("run-1", agent="new")]
        anew[1] = RunStarted(run="run-1", seq=2, time=99.0, attempt="b")
        await other.log.append("run-1", anew, expected=0)
        await store.log.append("run-1", [RunCompleted(run="run-1", seq=3, time=100.0, output="ok")], expected=2)
    (summary,) = await store.log.list_runs()
    assert (summary.agent, summary.status, summary.events) == ("new", "completed", 3)


async def test_another_process_that_wrote_meanwhile_is_noticed(postgres_dsn: str, store: Store) -> None:
    """A guess that is out of date costs a look, never a wrong answer."""
    async with open_postgres_store(postgres_dsn) as other:
        await store.log.append("run-1", build_opening("run-1"), expected=0)
        await other.log.append("run-1", [build_step("run-1", 3)], expected=2)
        async with asyncio.TaskGroup() as group:
            late = group.create_task(_append(store, 3))
            right = group.create_task(_append(store, 4))
    assert isinstance(late.result(), Conflict)
    assert right.result() is None
    (summary,) = await store.log.list_runs()
    assert (summary.events, summary.updated) == (4, 15.0)


async def _append(store: Store, seq: int) -> Conflict | None:
    try:
        await store.log.append("run-1", [build_step("run-1", seq)], expected=seq - 1)
    except Conflict as error:
        return error
    return None


async def test_a_notice_is_written_with_its_event_or_not_at_all(store: Store) -> None:
    await store.log.append("run-1", build_opening("run-1"), expected=0)
    with pytest.raises(Conflict):
        await store.log.append("run-1", [RunCompleted(run="run-1", seq=2, time=3.0, output="ok")], expected=1)
    assert [notice.kind for notice in await store.outbox.pending()] == ["run.created"]


async def test_without_an_outbox_nothing_is_kept(postgres_dsn: str) -> None:
    async with open_postgres_store(postgres_dsn) as store:
        await store.log.append("run-1", build_opening("run-1"), expected=0)
        assert await store.outbox.pending() == []


async def test_a_deleted_run_leaves_no_row(store: Store, look: asyncpg.Connection) -> None:
    await store.log.append("run-1", build_opening("run-1"), expected=0)
    assert await store.log.delete("run-1")
    assert await look.fetchval("SELECT count(*) FROM events") == 0
    assert await look.fetchval("SELECT count(*) FROM runs") == 0


async def test_appends_and_deletions_that_race_leave_no_orphan(store: Store, look: asyncpg.Connection) -> None:
    async def write() -> None:
        for _ in range(40):
            last = await store.log.last("run-1")
            events = build_opening("run-1") if last == 0 else [build_step("run-1", last + 1)]
            try:
                await store.log.append("run-1", events, expected=last)
            except Conflict:
                continue

    async def delete() -> None:
        for _ in range(20):
            await store.log.delete("run-1")

    async with asyncio.TaskGroup() as group:
        for work in (write, write, delete):
            group.create_task(work())
    events = await store.log.read("run-1")
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert await look.fetchval("SELECT count(*) FROM events") == len(events)


async def test_a_blob_that_is_replaced_while_it_is_read_is_read_whole(store: Store) -> None:
    """A reader sees one version from its first byte to its last."""
    old, new = b"a" * (3 << 20), b"b" * (3 << 20)
    await store.blobs.put("b", chunks(old))
    reader = store.blobs.get("b")
    read = [await anext(reader)]
    await store.blobs.put("b", chunks(new))
    read += [piece async for piece in reader]
    assert b"".join(read) == old
    assert await load(store, "b") == new


async def test_a_blob_that_is_deleted_while_it_is_read_is_gone(store: Store, look: asyncpg.Connection) -> None:
    """Deleting takes older versions along: nothing of it is left."""
    for letter in (b"a", b"b"):
        await store.blobs.put("b", chunks(letter * (3 << 20)))
    reader = store.blobs.get("b")
    await anext(reader)
    assert await store.blobs.delete("b")
    with pytest.raises(NotFound, match="deleted while it was read"):
        await anext(reader)
    assert await look.fetchval("SELECT count(*) FROM blob_pieces") == 0
    assert await look.fetchval("SELECT count(*) FROM blob_strays") == 0


async def test_a_source_that_fails_leaves_nothing(store: Store, look: asyncpg.Connection) -> None:
    async def failing() -> AsyncGenerator[bytes]:
        yield bytes(3 << 20)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.blobs.put("b", failing())
    assert await store.blobs.list_blobs() == []
    assert await look.fetchval("SELECT count(*) FROM blob_pieces") == 0


async def test_what_a_dead_process_left_half_written_is_swept(store: Store, look: asyncpg.Connection) -> None:
    """After a while, pieces that no name leads to are gone, and what is there stays."""
    await store.blobs.put("kept", chunks(bytes(2 << 20)))
    version = await look.fetchval(
        "INSERT INTO blob_strays VALUES (nextval('blob_versions'), 'lost', false, 0) RETURNING version"
    )
    await look.execute("INSERT INTO blob_pieces VALUES ($1, 0, 0, 'x')", version)
    assert isinstance(store.blobs, PostgresBlobs)
    await store.blobs.sweep()
    assert await look.fetchval("SELECT count(*) FROM blob_pieces WHERE version = $1", version) == 0
    assert len(await load(store, "kept")) == 2 << 20


async def test_puts_of_one_blob_at_once_leave_one_version_and_no_orphan(store: Store, look: asyncpg.Connection) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(store.blobs.put("b", chunks(bytes([number]) * ((number % 3 + 1) << 20))))
    assert len(set(await load(store, "b"))) == 1
    assert isinstance(store.blobs, PostgresBlobs)
    for _ in range(3):
        await store.blobs.sweep(older_s=-1)
    orphans = "SELECT count(*) FROM blob_pieces WHERE version NOT IN (SELECT version FROM blobs)"
    assert await look.fetchval(orphans) == 0
    assert len(set(await load(store, "b"))) == 1


async def test_counters_that_race_lose_no_step(store: Store) -> None:
    """Compare and set over one key: every success is one step, from two stores at once."""

    async def count_up() -> None:
        done = 0
        while done < 10:
            entry = await store.values.get("n")
            value, revision = (int(entry.value), entry.revision) if entry else (0, 0)
            try:
                await store.values.put("n", str(value + 1).encode(), if_revision=revision)
            except Conflict:
                continue
            done += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(count_up())
    entry = await store.values.get("n")
    assert entry is not None
    assert entry.value == b"50"


async def test_expired_values_do_not_pile_up(store: Store, look: asyncpg.Connection) -> None:
    for number in range(30):
        await store.values.put(f"k{number}", b"", ttl_s=0.001)
    await look.execute("SELECT pg_sleep(0.01)")
    for number in range(8):
        await store.values.put(f"later{number}", b"", ttl_s=60)
    assert await look.fetchval("SELECT count(*) FROM entries") == 8


async def test_a_beat_and_a_verdict_that_race_agree(store: Store, look: asyncpg.Connection) -> None:
    """Whoever is second in the database knows: the owner is fenced, or the judge finds it alive."""
    judge = await store.leases.beat("judge", ttl_s=60)
    for number in range(10):
        owner, run = f"w{number}", f"run-{number}"
        lease = await store.leases.beat(owner, ttl_s=60)
        begun = RunStarted(run=run, seq=2, time=2.0, attempt="x", owner=owner)
        await store.log.append(run, [build_opening(run)[0], begun], expected=0)
        await look.execute("UPDATE leases SET expires = 0 WHERE owner = $1", owner)
        await look.execute("UPDATE leases SET since = since - 100 WHERE owner = 'judge'")
        fenced, found = await asyncio.wait_for(_race(store, owner, lease.epoch, judge, run), 60)
        assert fenced == found


async def _race(store: Store, owner: str, epoch: int, judge: object, run: str) -> tuple[bool, bool]:
    async def beat() -> bool:
        try:
            await store.leases.beat(owner, ttl_s=60, epoch=epoch)
        except Fenced:
            return True
        return False

    async def judge_all() -> bool:
        found = await store.leases.find_work(judge, ttl_s=60, limit=100)  # type: ignore[arg-type]
        return run in {summary.run for summary in found}

    async with asyncio.TaskGroup() as group:
        beaten, found = group.create_task(beat()), group.create_task(judge_all())
    return beaten.result(), found.result()


async def test_work_is_found_in_the_order_of_birth(store: Store) -> None:
    """Queued, due and abandoned runs are one list, oldest first, and the limit is over all of them."""
    for number in range(12):
        run = f"run-{number:02}"
        opening = build_opening(run)
        if number % 3 == 1:
            opening[1] = RunWaiting(run=run, seq=2, time=2.0, reason="timer", wakes=3.0)
        await store.log.append(run, opening[: 1 if number % 3 == 0 else 2], expected=0)
    lease = await store.leases.beat("w", ttl_s=10)
    found = await store.leases.find_work(lease, ttl_s=10, limit=5)
    assert [summary.run for summary in found] == ["run-00", "run-01", "run-03", "run-04", "run-06"]


async def test_a_corrupt_line_hides_its_run_from_workers_and_no_other(
    postgres_dsn: str, postgres_server: PostgresServer
) -> None:
    """One row that does not verify stops nobody: the other queued run is found."""
    async with open_postgres_store(postgres_dsn) as store:
        for run in ("run-1", "run-2"):
            await store.log.append(run, build_opening(run)[:1], expected=0)
        lease = await store.leases.beat("owner-1", ttl_s=10)
        await postgres_server.execute(
            "UPDATE quorate.runs SET summary = 'broken' WHERE run = 'run-1'", database=postgres_dsn.rsplit("/", 1)[1]
        )
        assert [one.run for one in await store.leases.find_work(lease, ttl_s=10)] == ["run-2"]
