"""Do the migrations make exactly what the statements need, once, and only where the place is ours?"""

import asyncio
from pathlib import Path

import asyncpg
import pytest
from tests.forks import fork

from quorate.errors import InvalidInput
from quorate.state.backends._postgres_lines import Target
from quorate.state.backends._postgres_lines import connect as open_connection
from quorate.state.backends._postgres_schema import load_statements
from quorate.state.backends.postgres import open_postgres_store
from quorate.state.sql import load_migrations
from quorate.testing.contracts import build_opening, build_step
from quorate.testing.postgres_server import HOST, PostgresServer, open_postgres_server

APPENDER = str(Path(__file__).parent / "appender.py")
FRAGMENTS = ("now", "any_", "one_", "first_page", "page_", "order_", "end_nowhere")
"""Blocks that are no statements by themselves."""


async def connect(dsn: str) -> asyncpg.Connection:
    return await asyncpg.connect(dsn, server_settings={"search_path": "quorate"})


async def dump(dsn: str) -> list[str]:
    """Describe every column, index and sequence of the schema."""
    connection = await connect(dsn)
    rows = await connection.fetch(
        """SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable
                  || coalesce(' ' || collation_name, '') AS what
           FROM information_schema.columns WHERE table_schema = 'quorate'
           UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'quorate'
           UNION ALL SELECT sequencename FROM pg_sequences WHERE schemaname = 'quorate' ORDER BY 1"""
    )
    await connection.close()
    return [row["what"] for row in rows]


@pytest.mark.parametrize("version", [16, 18])
async def test_every_statement_fits_what_the_migrations_make(version: int) -> None:
    """On the oldest server there is here and the newest; a column that is not there fails at once."""
    with open_postgres_server(version=version) as server:
        async with open_postgres_store(server.dsn) as store:
            await store.log.append("run-1", build_opening("run-1"), expected=0)
            await store.log.append("run-1", [build_step("run-1", 3)], expected=2)
            assert [event.seq for event in await store.log.read("run-1")] == [1, 2, 3]
        connection = await connect(server.dsn)
        statements = load_statements()
        for name, text in statements.items():
            if name.startswith(FRAGMENTS) or name.endswith("_end") or name == "make_schema":
                continue
            if name == "list_runs":
                for order in ("newest", "oldest", "updated"):
                    parts = {part: statements[f"one_{part}"] for part in ("status", "agent", "session", "tenant")}
                    parts |= {"page": statements[f"page_{order}"], "order": statements[f"order_{order}"]}
                    await connection.prepare(text.format_map(parts))
            else:
                await connection.prepare(text.replace("{end}", statements.get(f"{name}_end", "")))
        await connection.close()


async def test_migrating_again_changes_nothing(postgres_dsn: str) -> None:
    """Each migration is applied once, and noted."""
    async with open_postgres_store(postgres_dsn):
        pass
    before = await dump(postgres_dsn)
    async with open_postgres_store(postgres_dsn):
        pass
    assert await dump(postgres_dsn) == before
    connection = await connect(postgres_dsn)
    noted = await connection.fetch("SELECT number, name, breaking FROM migrations ORDER BY number")
    assert [tuple(row) for row in noted] == [(m.number, m.name, m.is_breaking) for m in load_migrations("postgres")]
    await connection.close()


async def test_the_migrations_make_the_whole_schema(postgres_dsn: str) -> None:
    """What the statements need is there, and text that is compared is compared by its bytes."""
    async with open_postgres_store(postgres_dsn):
        pass
    lines = await dump(postgres_dsn)
    tables = {line.partition(".")[0] for line in lines if "." in line and not line.startswith("CREATE")}
    assert tables == {
        "migrations", "events", "runs", "entries", "blobs", "blob_strays", "blob_pieces", "leases", "notices",
    }  # fmt: skip
    assert [line for line in lines if " text " in line and not line.endswith(" C") and "migrations" not in line] == []


async def test_processes_that_open_a_new_database_at_once(postgres_dsn: str) -> None:
    """Whoever is second finds the tables made."""
    processes = [fork([APPENDER, "race", postgres_dsn, "run-1", name, "0"]) for name in ("p1", "p2", "p3")]
    assert [await asyncio.to_thread(process.wait, timeout=60) for process in processes] == [0, 0, 0]


async def test_stores_of_one_process_that_open_a_new_database_at_once(postgres_dsn: str) -> None:
    async def open_and_write(number: int) -> None:
        async with open_postgres_store(postgres_dsn, max_connections=3) as store:
            await store.log.append(f"run-{number}", build_opening(f"run-{number}"), expected=0)

    async with asyncio.TaskGroup() as group:
        for number in range(6):
            group.create_task(open_and_write(number))


async def test_two_schemas_of_one_database_know_nothing_of_each_other(postgres_dsn: str) -> None:
    async with (
        open_postgres_store(postgres_dsn, schema="one") as one,
        open_postgres_store(postgres_dsn, schema="two") as two,
    ):
        await one.log.append("run-1", build_opening("run-1"), expected=0)
        await one.values.put("a", b"1")
        assert await two.log.last("run-1") == 0
        assert await two.values.get("a") is None


async def test_a_newer_schema_is_refused_when_it_says_so(postgres_dsn: str) -> None:
    """`pre` migrations of a newer version are shared with it; a `post` one is the end for us."""
    async with open_postgres_store(postgres_dsn):
        pass
    connection = await connect(postgres_dsn)
    await connection.execute("INSERT INTO migrations VALUES (900, 'shared', false, 0)")
    await connection.execute("ALTER TABLE runs ADD COLUMN later text")
    async with open_postgres_store(postgres_dsn) as store:
        await store.log.append("run-1", build_opening("run-1"), expected=0)
    await connection.execute("INSERT INTO migrations VALUES (901, 'breaking', true, 0)")
    with pytest.raises(InvalidInput, match=r"has version 901; this version of Quorate knows \d+. Upgrade Quorate"):
        async with open_postgres_store(postgres_dsn):
            pass
    await connection.close()


async def test_a_schema_of_another_program_is_left_alone(postgres_dsn: str) -> None:
    connection = await connect(postgres_dsn)
    await connection.execute("CREATE SCHEMA quorate; CREATE TABLE quorate.theirs (a integer)")
    with pytest.raises(InvalidInput, match=r"schema 'quorate' of database .* belongs to another program"):
        async with open_postgres_store(postgres_dsn):
            pass
    assert await connection.fetchval("SELECT count(*) FROM pg_class WHERE relnamespace = 'quorate'::regnamespace") == 1
    await connection.close()


async def test_an_empty_schema_made_by_an_administrator_is_used(
    postgres_server: PostgresServer, postgres_dsn: str
) -> None:
    """Its owner needs no further right."""
    name = postgres_dsn.rpartition("/")[2]
    connection = await connect(postgres_dsn)
    await connection.execute(f"CREATE ROLE owner_{name} LOGIN PASSWORD 'x'")
    await connection.execute(f"CREATE SCHEMA quorate AUTHORIZATION owner_{name}")
    async with open_postgres_store(f"postgresql://owner_{name}:x@{HOST}:{postgres_server.port}/{name}") as store:
        await store.log.append("run-1", build_opening("run-1"), expected=0)
        assert await store.log.last("run-1") == 2
    await connection.execute(f"DROP OWNED BY owner_{name}")
    await connection.execute(f"DROP ROLE owner_{name}")
    await connection.close()


async def test_a_database_of_another_encoding_is_refused(postgres_server: PostgresServer) -> None:
    dsn = await postgres_server.create_database(template="template0", options="ENCODING 'LATIN1'")
    with pytest.raises(InvalidInput, match="encoded in LATIN1"):
        async with open_postgres_store(dsn):
            pass
    await postgres_server.drop_database(dsn)


async def test_a_migration_that_fails_leaves_nothing_behind(postgres_dsn: str) -> None:
    """Each is one transaction: here its last statement finds the place taken by a type of the same name."""
    connection = await connect(postgres_dsn)
    await connection.execute("CREATE SCHEMA quorate; CREATE TYPE quorate.notices AS ENUM ('a')")
    with pytest.raises(Exception, match="notices"):
        async with open_postgres_store(postgres_dsn):
            pass
    assert await connection.fetch("SELECT relname FROM pg_class WHERE relnamespace = 'quorate'::regnamespace") == []
    await connection.execute("DROP TYPE quorate.notices")
    async with open_postgres_store(postgres_dsn) as store:
        assert await store.log.last("run-1") == 0
    await connection.close()


async def test_runs_are_found_by_index_whatever_the_planner_knew_first(postgres_dsn: str) -> None:
    """Plans made while the tables were empty still go by an index when they are not."""
    async with open_postgres_store(postgres_dsn) as store:
        for number in range(300):
            run = f"run-{number:04}"
            await store.log.append(run, build_opening(run), expected=0)
            await store.log.append(run, [build_step(run, 3)], expected=2)
            await store.log.read(run)
        connection = await connect(postgres_dsn)
        await connection.execute("SELECT pg_stat_force_next_flush()")
        scans = await connection.fetch(
            "SELECT relname, seq_scan FROM pg_stat_user_tables WHERE relname IN ('runs', 'events') ORDER BY 1"
        )
        # Building the indexes of empty tables counts as well.
        assert all(row["seq_scan"] < 20 for row in scans)
        await connection.close()


async def test_what_is_acknowledged_is_on_the_disk_whatever_the_database_defaults_to(postgres_dsn: str) -> None:
    """A database set to acknowledge early is asked not to, for our sessions; stricter ones are left alone."""
    connection = await connect(postgres_dsn)
    name = await connection.fetchval("SELECT current_database()")
    for default, ours in (("off", "on"), ("local", "on"), ("on", "on"), ("remote_apply", "remote_apply")):
        await connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = {default}")
        target = Target(dsn=postgres_dsn, schema="s", connect_timeout_s=5, statement_timeout_s=5, lock_timeout_s=5)
        opened = await open_connection(target, load_statements())
        assert [tuple(row) for row in await opened.fetch("SHOW synchronous_commit")] == [(ours,)]  # type: ignore[call-overload]
        opened.terminate()
    await connection.close()
