"""Is everything that can be wrong with a PostgreSQL database said with its name and a way out, never its password?"""

import asyncio
import socket
import traceback
from collections.abc import AsyncGenerator

import asyncpg
import pytest

from quorate.errors import CorruptState, Forbidden, InvalidInput, QuorateError, Unauthenticated, Unavailable
from quorate.ports import Store
from quorate.state.backends._postgres_commit import Append, Committer
from quorate.state.backends._postgres_lines import Lines, Target
from quorate.state.backends._postgres_schema import load_statements
from quorate.state.backends.postgres import open_postgres_store
from quorate.testing.contracts import build_opening, build_step
from quorate.testing.postgres_server import HOST, PostgresServer, open_postgres_server

SECRET = "geheim-7"


async def try_to_open(dsn: str, **options: object) -> None:
    async with open_postgres_store(dsn, **options):  # type: ignore[arg-type]
        pass


def show(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error) + repr(getattr(error, "context", ""))


@pytest.fixture
async def store(postgres_dsn: str) -> AsyncGenerator[Store]:
    async with open_postgres_store(postgres_dsn, lock_timeout_s=0.5) as store:
        yield store


@pytest.fixture
async def stranger(postgres_dsn: str) -> AsyncGenerator[asyncpg.Connection]:
    """Somebody else in the same database."""
    connection = await asyncpg.connect(postgres_dsn)
    yield connection
    await connection.close()


async def test_a_wrong_password_is_unauthenticated(postgres_server: PostgresServer) -> None:
    with pytest.raises(Unauthenticated, match="refused the password") as caught:
        await try_to_open(f"postgresql://postgres:{SECRET}@{HOST}:{postgres_server.port}/postgres")
    assert f"postgresql://{HOST}:{postgres_server.port}/postgres" in caught.value.message
    assert SECRET not in show(caught.value)


async def test_an_unknown_user_is_unauthenticated(postgres_server: PostgresServer) -> None:
    with pytest.raises(Unauthenticated, match="check"):
        await try_to_open(f"postgresql://nobody-here:geheim-7@{HOST}:{postgres_server.port}/postgres")


async def test_a_database_that_is_not_there_is_said_so(postgres_server: PostgresServer) -> None:
    with pytest.raises(InvalidInput, match="createdb"):
        await try_to_open(postgres_server.build_dsn("no_such_database"))


async def test_a_port_where_nobody_listens_is_unavailable() -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match="cannot be reached") as caught:
            await try_to_open(f"postgresql://me:{SECRET}@{HOST}:{port}/db")
    assert SECRET not in show(caught.value)


async def test_a_host_that_does_not_exist_is_unavailable() -> None:
    with pytest.raises(Unavailable, match=r"postgresql://no-such-host\.invalid/db"):
        await try_to_open("postgresql://me:geheim-7@no-such-host.invalid/db", connect_timeout_s=3.0)


@pytest.mark.parametrize(
    "dsn",
    [
        "mysql://me:geheim-7@localhost/db",
        "postgresql://me:geheim-7@localhost:port/db",
        "postgresql://me:ge/heim-7@localhost:5432/db",
        "postgresql://me:geheim-7",
        "geheim-7",
        "",
        "postgresql://me:geheim-7@localhost/db?sslmode=perhaps",
    ],
)
async def test_what_is_no_address_is_refused_without_showing_the_password(dsn: str) -> None:
    with pytest.raises((InvalidInput, Unavailable)) as caught:
        await try_to_open(dsn, connect_timeout_s=2.0)
    shown = str(caught.value) + repr(caught.value.context) + repr(caught.value.__cause__)
    assert "heim-7" not in shown


@pytest.mark.parametrize("schema", ["", "Ours", "pg_mine", "public", 'a"; DROP', "1a", "x" * 64])
async def test_what_is_no_schema_is_refused(schema: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be ours"):
        await try_to_open("postgresql://localhost/db", schema=schema)


async def test_too_few_connections_are_refused() -> None:
    with pytest.raises(InvalidInput, match="max_connections"):
        await try_to_open("postgresql://localhost/db", max_connections=1)


async def test_a_server_without_a_free_connection_is_unavailable() -> None:
    with open_postgres_server(settings={"max_connections": "4", "superuser_reserved_connections": "0"}) as server:
        held = [await asyncpg.connect(server.dsn) for _ in range(4)]
        try:
            with pytest.raises(Unavailable, match="takes no more connections"):
                await try_to_open(server.dsn)
        finally:
            for connection in held:
                await connection.close()
        await try_to_open(server.dsn, max_connections=3)


async def test_a_user_without_rights_is_forbidden(postgres_server: PostgresServer, postgres_dsn: str) -> None:
    """Making the schema needs a right; where it is there already, using it needs others."""
    name = postgres_dsn.rpartition("/")[2]
    await postgres_server.execute(f"CREATE ROLE guest_{name} LOGIN PASSWORD 'geheim-7'")
    guest = f"postgresql://guest_{name}:geheim-7@{HOST}:{postgres_server.port}/{name}"
    with pytest.raises(Forbidden, match="grant the user what is missing"):
        await try_to_open(guest)
    await try_to_open(postgres_dsn)
    with pytest.raises((Forbidden, InvalidInput)) as caught:
        await try_to_open(guest)
    assert SECRET not in show(caught.value)
    await postgres_server.execute(f"DROP OWNED BY guest_{name}", database=name)
    await postgres_server.execute(f"DROP ROLE guest_{name}")


async def test_a_read_only_database_reads_and_says_so(store: Store, stranger: asyncpg.Connection) -> None:
    """As after a failover to a standby."""
    await store.log.append("run-1", build_opening("run-1"), expected=0)
    name = await stranger.fetchval("SELECT current_database()")
    await stranger.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await stranger.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()", name
    )
    with pytest.raises(Unavailable):
        await store.log.append("run-1", [build_step("run-1", 3)], expected=2)
    with pytest.raises(Unavailable, match="is read-only"):
        await store.log.append("run-1", [build_step("run-1", 3)], expected=2)
    assert await store.log.last("run-1") == 2


async def test_a_terminated_session_is_looked_after(store: Store, stranger: asyncpg.Connection) -> None:
    """An administrator ends all our sessions: the next read works, and the next append or the one after it."""
    await store.log.append("run-1", build_opening("run-1"), expected=0)
    await store.values.put("a", b"1")
    await stranger.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    entry = await store.values.get("a")
    assert entry is not None
    assert entry.value == b"1"


async def test_a_run_locked_by_a_stranger_holds_up_nobody_else(store: Store, stranger: asyncpg.Connection) -> None:
    """Only the append to the locked run fails, with nothing written; it succeeds when the lock is gone."""
    for number in range(4):
        await store.log.append(f"run-{number}", build_opening(f"run-{number}"), expected=0)
    transaction = stranger.transaction()
    await transaction.start()
    await stranger.execute("UPDATE quorate.runs SET last = last WHERE run = 'run-1'")

    async def write(number: int) -> QuorateError | None:
        try:
            await store.log.append(f"run-{number}", [build_step(f"run-{number}", 3)], expected=2)
        except QuorateError as error:
            return error
        return None

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(write(number)) for number in range(4)]
    errors = [task.result() for task in tasks]
    assert [number for number, error in enumerate(errors) if error is not None] == [1]
    assert isinstance(errors[1], Unavailable)
    assert "is locked by another session. Nothing was written" in errors[1].message
    await transaction.rollback()
    assert await write(1) is None
    assert [await store.log.last(f"run-{number}") for number in range(4)] == [3, 3, 3, 3]


async def test_a_table_locked_by_a_stranger_fails_all_appends_in_time(
    store: Store, stranger: asyncpg.Connection
) -> None:
    """However many runs wait, they are told within two waits for the lock, and none was written."""
    for number in range(20):
        await store.log.append(f"run-{number}", build_opening(f"run-{number}"), expected=0)
    async with stranger.transaction():
        await stranger.execute("LOCK TABLE quorate.runs IN ACCESS EXCLUSIVE MODE")
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            tasks = [group.create_task(_append(store, f"run-{number}")) for number in range(20)]
    assert all("is locked by another session" in str(task.result()) for task in tasks)
    assert [await store.log.last(f"run-{number}") for number in range(20)] == [2] * 20


async def test_a_table_locked_by_a_stranger_is_unavailable(store: Store, stranger: asyncpg.Connection) -> None:
    await store.values.put("a", b"1")
    async with stranger.transaction():
        await stranger.execute("LOCK TABLE quorate.entries IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(Unavailable, match="is locked by another session"):
            await store.values.get("a")
        with pytest.raises(Unavailable, match="pg_stat_activity"):
            await store.values.put("a", b"2")
    entry = await store.values.get("a")
    assert entry is not None
    assert entry.value == b"1"


async def test_a_deadlock_with_a_stranger_is_tried_again(postgres_dsn: str, stranger: asyncpg.Connection) -> None:
    """PostgreSQL picks us as the one to give way; the same batch succeeds when the other is done."""
    async with open_postgres_store(postgres_dsn) as store:
        for run in ("run-1", "run-2"):
            await store.log.append(run, build_opening(run), expected=0)
    await stranger.execute("SET deadlock_timeout = '20s'")
    target = Target(dsn=postgres_dsn, schema="quorate", connect_timeout_s=5, statement_timeout_s=20, lock_timeout_s=20)
    lines = Lines(target, load_statements(), limit=1, wait_s=30)
    transaction = stranger.transaction()
    await transaction.start()
    await stranger.execute("UPDATE quorate.runs SET last = last WHERE run = 'run-2'")
    jobs = [Append(run, [build_step(run, 3)], expected=2) for run in ("run-1", "run-2")]
    async with asyncio.TaskGroup() as group:
        group.create_task(Committer(lines, outbox=False).commit(jobs))
        while not await stranger.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await stranger.execute("SELECT pg_sleep(0.01)")
        await stranger.execute("UPDATE quorate.runs SET last = last WHERE run = 'run-1'")
        await transaction.commit()
    assert [await job.future for job in jobs] == [None, None]
    await lines.close()


async def test_a_statement_that_takes_too_long_is_stopped(postgres_dsn: str, stranger: asyncpg.Connection) -> None:
    async with open_postgres_store(postgres_dsn, statement_timeout_s=1.5) as store:
        await store.values.put("a", b"1")
        async with stranger.transaction():
            await stranger.execute("LOCK TABLE quorate.entries IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(Unavailable, match=r"was too slow, and the statement was stopped\. Nothing was written"):
                await store.values.put("a", b"2")


async def test_all_connections_busy_is_unavailable(postgres_dsn: str, stranger: asyncpg.Connection) -> None:
    """Who waits for a connection waits no longer than told."""
    async with open_postgres_store(postgres_dsn, max_connections=2, queue_timeout_s=0.5, lock_timeout_s=2.5) as store:
        await store.values.put("a", b"1")
        async with stranger.transaction():
            await stranger.execute("LOCK TABLE quorate.entries IN ACCESS EXCLUSIVE MODE")
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(_fail(store)) for _ in range(3)]
        words = sorted(task.result() for task in tasks)
        assert sum("were busy for 0.5 s" in word for word in words) == 2


async def _fail(store: Store) -> str:
    with pytest.raises(Unavailable) as caught:
        await store.values.get("a")
    return caught.value.message


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("UPDATE quorate.events SET body = 'x' WHERE seq = 2", "run 'run-1' seq 2 has another checksum"),
        ("DELETE FROM quorate.events WHERE seq = 2", "run 'run-1' seq 2 is missing"),
        ("DELETE FROM quorate.events WHERE seq = 3", "run 'run-1' seq 3 is missing"),
        ("DELETE FROM quorate.events", "run 'run-1' seq 1 is missing"),
        ("UPDATE quorate.events SET seq = 9 WHERE seq = 3", "run 'run-1' seq 3 is missing"),
        ("UPDATE quorate.events SET version = '7.0' WHERE seq = 1", "run 'run-1' seq 1 has schema version '7.0'"),
    ],
)
async def test_a_damaged_event_is_named(store: Store, stranger: asyncpg.Connection, damage: str, words: str) -> None:
    """The run is parked with the place, and others are unharmed."""
    await store.log.append("run-1", [*build_opening("run-1"), build_step("run-1", 3)], expected=0)
    await stranger.execute(damage)
    await store.log.append("run-2", build_opening("run-2"), expected=0)
    with pytest.raises(CorruptState) as caught:
        await store.log.read("run-1")
    assert words in caught.value.message
    with pytest.raises(CorruptState):
        await store.log.read_many(["run-2", "run-1"])
    assert await store.log.read("run-2") == build_opening("run-2")


async def test_a_stray_event_in_the_way_fails_its_own_run_alone(store: Store, stranger: asyncpg.Connection) -> None:
    """A row where none may be is damage, not a conflict; of a batch only its run is refused."""
    for run in ("run-1", "run-2"):
        await store.log.append(run, build_opening(run), expected=0)
    await stranger.execute(
        "INSERT INTO quorate.events SELECT run, 3, kind, version, checksum, body FROM quorate.events WHERE run = 'run-1' AND seq = 2"
    )
    async with asyncio.TaskGroup() as group:
        bad = group.create_task(_append(store, "run-1"))
        good = group.create_task(_append(store, "run-2"))
    assert isinstance(bad.result(), CorruptState)
    assert good.result() is None


async def _append(store: Store, run: str) -> QuorateError | None:
    try:
        await store.log.append(run, [build_step(run, 3)], expected=2)
    except QuorateError as error:
        return error
    return None


async def test_a_damaged_line_is_named(store: Store, stranger: asyncpg.Connection) -> None:
    await store.log.append("run-1", build_opening("run-1"), expected=0)
    await stranger.execute("UPDATE quorate.runs SET summary = '{'")
    with pytest.raises(CorruptState, match="the line of run 'run-1' in table `runs` does not verify"):
        await store.log.list_runs()


async def test_a_damaged_value_and_a_damaged_blob_are_named(store: Store, stranger: asyncpg.Connection) -> None:
    await store.values.put("a", b"1")
    await stranger.execute("UPDATE quorate.entries SET value = '2'")
    with pytest.raises(CorruptState, match="'a'"):
        await store.values.get("a")
    with pytest.raises(CorruptState, match="'a'"):
        await store.values.scan("")
    await store.blobs.put("b", _chunks(b"x" * (3 << 20)))
    for damage, words in (
        ("UPDATE quorate.blob_pieces SET body = 'x' WHERE number = 1", "piece 1 of 3 has another checksum"),
        ("DELETE FROM quorate.blob_pieces WHERE number = 1", "piece 1 of 3 is missing"),
        ("UPDATE quorate.blobs SET pieces = 1", "it has 1048576 bytes, and 3145728 were written"),
    ):
        await stranger.execute(damage)
        with pytest.raises(CorruptState) as caught:
            _ = [piece async for piece in store.blobs.get("b")]
        assert words in caught.value.message


async def _chunks(*pieces: bytes) -> AsyncGenerator[bytes]:
    for piece in pieces:
        yield piece


async def test_tables_that_are_gone_are_said_so(store: Store, stranger: asyncpg.Connection) -> None:
    await store.log.append("run-1", build_opening("run-1"), expected=0)
    await stranger.execute("DROP SCHEMA quorate CASCADE")
    with pytest.raises(Unavailable, match="has lost tables of ours"):
        await store.log.last("run-1")
    with pytest.raises(Unavailable, match="has lost tables of ours"):
        await store.log.append("run-1", [build_step("run-1", 3)], expected=2)


async def test_ids_that_no_database_keeps_are_refused(store: Store) -> None:
    """NUL and lone surrogates never reach the server, where one of them would fail a whole batch."""
    for run in ("run\0", "run\ud800"):
        with pytest.raises(InvalidInput):
            await store.log.read(run)
        with pytest.raises(InvalidInput):
            await store.log.append(run, [], expected=0)
    with pytest.raises(InvalidInput):
        await store.log.read("run-1", after=1 << 70)


async def test_an_error_in_the_block_comes_out_as_itself(postgres_dsn: str) -> None:
    with pytest.raises(ZeroDivisionError):
        async with open_postgres_store(postgres_dsn):
            _ = 1 / 0


async def test_a_closed_store_says_so(postgres_dsn: str) -> None:
    async with open_postgres_store(postgres_dsn) as store:
        pass
    with pytest.raises(Unavailable, match="is closed"):
        await store.log.append("run-1", build_opening("run-1"), expected=0)
    with pytest.raises(Unavailable, match="is closed"):
        await store.log.last("run-1")
