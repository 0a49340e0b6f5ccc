"""A statement that reads cannot become one that does more, nor fill this machine's memory. Part of row B1."""

from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from quorate.errors import ToolError
from quorate.tools.builtin.databases import database_tools


@pytest.fixture
async def logins(postgres_dsn: str) -> AsyncGenerator[dict[str, str]]:
    """Addresses for a login that reads, one that may become an administrator, and one that was one at first."""
    mark = uuid4().hex[:12]
    names = {kind: f"quorate_{kind}_{mark}" for kind in ("boss", "reader", "member", "former")}
    connection = await asyncpg.connect(postgres_dsn)
    try:
        await connection.execute(
            f"CREATE ROLE {names['boss']} SUPERUSER NOLOGIN;"
            f"CREATE ROLE {names['reader']} LOGIN PASSWORD 'p';"
            f"CREATE ROLE {names['member']} LOGIN PASSWORD 'p' IN ROLE {names['boss']};"
            f"CREATE ROLE {names['former']} SUPERUSER LOGIN PASSWORD 'p';"
            f"ALTER ROLE {names['former']} SET role = {names['reader']}"
        )
        parts = urlsplit(postgres_dsn)
        place = parts.netloc.rpartition("@")[2]
        yield {kind: parts._replace(netloc=f"{name}:p@{place}").geturl() for kind, name in names.items()}
    finally:
        for kind in ("former", "member", "reader", "boss"):
            await connection.execute(f"DROP ROLE IF EXISTS {names[kind]}")
        await connection.close()


async def test_a_login_that_may_become_more_is_refused(logins: dict[str, str]) -> None:
    tools: dict[str, Any] = {one.name: one for one in database_tools(tuple(logins), logins.get)}
    for kind in ("member", "former"):
        with pytest.raises(ToolError, match="files and programs"):
            await tools["query_postgres"](kind, "SELECT 1")
    assert (await tools["query_postgres"]("reader", "SELECT 1")).rows == ((1,),)


async def test_large_values_are_not_all_fetched(logins: dict[str, str]) -> None:
    tools: dict[str, Any] = {one.name: one for one in database_tools(tuple(logins), logins.get)}
    sql = "SELECT repeat('x', 300000) FROM generate_series(1, 1000)"
    found = await tools["query_postgres"]("reader", sql, max_rows=1000)
    assert found.truncated
    assert 0 < found.row_count <= 20
    assert not (await tools["query_postgres"]("reader", "VALUES (1), (2)", max_rows=2)).truncated
