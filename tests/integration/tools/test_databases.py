"""Databases that an operator named are looked at, and never written to. Part of row B1."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from tests.valkey import valkey_server, valkey_url

from quorate.errors import ToolError
from quorate.tools.builtin.databases import database_tools

__all__ = ["valkey_server", "valkey_url"]
READER = "quorate_reader_of_tests"


def build(urls: Mapping[str, str]) -> dict[str, Any]:
    return {one.name: one for one in database_tools(tuple(urls), urls.get)}


@pytest.fixture
async def reader_dsn(postgres_dsn: str) -> str:
    """The address of a database with some tables, for a login that may only read."""
    connection = await asyncpg.connect(postgres_dsn)
    try:
        await connection.execute(
            "CREATE TABLE orders(id int PRIMARY KEY, state text, note bytea);"
            "INSERT INTO orders SELECT n, 'open', '\\x00ff' FROM generate_series(1, 50) n;"
            "CREATE INDEX unused ON orders(state); ANALYZE orders"
        )
        await connection.execute(
            f"DO $$ BEGIN CREATE ROLE {READER} LOGIN PASSWORD 'reader-password'; "
            "EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )
        await connection.execute(f"GRANT USAGE ON SCHEMA public TO {READER}; GRANT SELECT ON orders TO {READER}")
    finally:
        await connection.close()
    parts = urlsplit(postgres_dsn)
    place = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{READER}:reader-password@{place}").geturl()


async def test_a_server_tells_how_it_is(postgres_dsn: str, reader_dsn: str) -> None:
    tools = build({"shop": postgres_dsn})
    report = await tools["postgres_health"]("shop")
    assert report.status == "ok"
    assert int(report.version.split(".")[0]) >= 12
    assert 0 < report.connections <= report.max_connections
    assert report.size_bytes > 0
    assert "public.orders" in {one.name for one in report.tables}
    assert "unused" in {one.name for one in report.unused_indexes}
    assert any(note.startswith("statements:") for note in report.notes)


async def test_a_statement_reads(reader_dsn: str) -> None:
    tools = build({"shop": reader_dsn})
    rows = await tools["query_postgres"]("shop", "SELECT state, note, id FROM orders WHERE id = 7")
    assert (rows.columns, rows.rows) == (("state", "note", "id"), (("open", "<2 bytes>", 7),))
    rows = await tools["query_postgres"]("shop", "SELECT id FROM orders ORDER BY 1", max_rows=3)
    assert (rows.row_count, rows.truncated) == (3, True)
    assert (await tools["query_postgres"]("shop", "TABLE orders", max_rows=1)).row_count == 1


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM orders",
        "WITH gone AS (DELETE FROM orders RETURNING 1) SELECT * FROM gone",
        "SELECT 1; DELETE FROM orders",
        "SELECT set_config('transaction_read_only', 'off', false)",
        "DO $$ BEGIN DELETE FROM orders; END $$",
        "COPY orders TO PROGRAM 'cat'",
        "SET TRANSACTION READ WRITE",
        "SELECT * INTO copied FROM orders",
        "SELECT nextval('gone')",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT $1::int",
        "EXPLAIN ANALYZE DELETE FROM orders",
    ],
)
async def test_a_statement_that_does_more_is_refused(postgres_dsn: str, reader_dsn: str, sql: str) -> None:
    tools = build({"shop": reader_dsn})
    with pytest.raises(ToolError) as refused:
        await tools["query_postgres"]("shop", sql)
    assert "reader-password" not in refused.value.message
    connection = await asyncpg.connect(postgres_dsn)
    try:
        assert await connection.fetchval("SELECT count(*) FROM orders") == 50
    finally:
        await connection.close()


async def test_a_login_that_may_do_more_is_refused(postgres_dsn: str) -> None:
    with pytest.raises(ToolError, match="may only read"):
        await build({"shop": postgres_dsn})["query_postgres"]("shop", "SELECT 1")


async def test_a_cache_tells_how_it_is(valkey_url: str, valkey_server: Any) -> None:
    with valkey_server.client() as client:
        client.set("a", "1")
        client.get("a")
        client.get("gone")
    report = await build({"cache": valkey_url})["redis_health"]("cache")
    assert report.status == "ok"
    assert (report.keys, report.keys_with_expiry, report.role) == (1, 0, "master")
    assert report.used_memory_bytes > 0
    assert report.version
    assert 0 < report.hit_percent < 100
    assert "no-memory-limit" in {one.rule for one in report.findings}


async def test_only_what_an_operator_named_is_reached(valkey_url: str) -> None:
    tools = build(
        {"cache": valkey_url, "dead": "postgresql://u:hidden@127.0.0.1:1/x", "mute": "redis://:hidden@127.0.0.1:1"}
    )
    call: Callable[..., Any]
    for call, name, said in (
        (tools["postgres_health"], "gone", "cache, dead, mute"),
        (tools["postgres_health"], "cache", "another kind"),
        (tools["redis_health"], "postgresql://u:p@h/x", "no database"),
    ):
        with pytest.raises(ToolError, match=said):
            await call(name)
    with pytest.raises(ToolError, match="cannot be reached"):
        await tools["query_postgres"]("dead", "SELECT 1")
    for report in (await tools["postgres_health"]("dead"), await tools["redis_health"]("mute")):
        assert report.status == "unavailable"
        assert "hidden" not in str(report)
    with pytest.raises(ToolError, match="none is set"):
        await build({})["redis_health"]("cache")
