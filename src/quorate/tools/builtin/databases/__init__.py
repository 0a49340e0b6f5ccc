"""Which tools let an agent look at the databases and servers that the settings name?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

from msgspec import Meta

from quorate.errors import ToolError
from quorate.tools.builtin.data.sqlite import Rows
from quorate.tools.builtin.databases import postgres, redis
from quorate.tools.define import AnyTool, tool

__all__ = ["database_tools"]

Name = Annotated[str, Meta(min_length=1, max_length=100, description="A name of the setting `probe.databases`.")]
Most = Annotated[int, Meta(ge=1, le=200, description="How many of each kind to list.")]
_POSTGRES = ("postgres://", "postgresql://")
_REDIS = ("redis://", "rediss://", "unix://")


def database_tools(names: Sequence[str], find_url: Callable[[str], str | None]) -> list[AnyTool]:
    """Build the tools that look at databases; only those that an operator named can be reached.

    Args:
        names: What there is, for whoever asks for something else.
        find_url: Finds the address of one, with its password, which is never shown.
    """

    def find(name: str, schemes: tuple[str, ...]) -> str:
        url = find_url(name)
        if not url:
            known = ", ".join(sorted(names)) or "none is set"
            raise ToolError(
                f"There is no database {name!r} in `probe.databases` ({known}); an operator has to name it."
            )
        if not url.startswith(schemes):
            raise ToolError(f"The database {name!r} is of another kind: its address does not begin with {schemes[0]}.")
        return url

    @tool(effect="idempotent", timeout_s=35)
    async def postgres_health(database: Name, most: Most = 20) -> postgres.PostgresHealth:
        """Ask a PostgreSQL server how it is doing: connections, cache, locks, dead rows, indexes, slow statements."""
        return await postgres.read_postgres_health(database, find(database, _POSTGRES), most=most)

    @tool(effect="idempotent", timeout_s=35)
    async def query_postgres(
        database: Name,
        sql: Annotated[str, Meta(min_length=1, max_length=20_000)],
        *,
        max_rows: Annotated[int, Meta(ge=1, le=1000)] = 100,
    ) -> Rows:
        """Run one SQL statement that only reads on a PostgreSQL server; needs a login without greater rights.

        Args:
            sql: Such as `SELECT state, count(*) FROM orders GROUP BY state`.
            max_rows: How many rows to show.
        """
        return await postgres.query_postgres(find(database, _POSTGRES), sql, most=max_rows)

    @tool(effect="idempotent", timeout_s=20)
    async def redis_health(server: Name, most: Most = 10) -> redis.RedisHealth:
        """Ask a Redis or Valkey server how it is doing: memory, hits, evictions, persistence, slow commands."""
        return await redis.read_redis_health(server, find(server, _REDIS), most=most)

    return [postgres_health, query_postgres, redis_health]
