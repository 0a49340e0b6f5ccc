"""How is a PostgreSQL server doing, and what does a statement that only reads find in it?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Literal, Protocol, cast

from msgspec import Struct, structs

from quorate.errors import MissingExtra, ToolError
from quorate.tools.builtin.checks import Board, clean, hide_values
from quorate.tools.builtin.code.finding import Finding
from quorate.tools.builtin.data.sqlite import Rows, build_rows
from quorate.tools.builtin.databases.statements import (
    ACTIVITY,
    DATABASE,
    POWERS,
    REPLICATION,
    SLOW,
    TABLES,
    UNUSED,
)

CONNECT_S = 8.0
STATEMENT_MS = 8000
WHOLE_S = 25.0
MAX_QUERY_CHARS = 200
FETCHED_ROWS = 10
MAX_FETCHED = 2_000_000
_READING = ("select", "with", "values", "table", "show", "explain")
Row = Mapping[str, object]


class TableHealth(Struct, frozen=True, kw_only=True):
    """A table and how it is kept."""

    name: str
    size_bytes: int
    rows: int
    """As the server estimates it."""
    dead_percent: float
    """Rows that are gone and still take space."""
    last_vacuum: str = ""
    last_analyze: str = ""
    seq_scans: int = 0
    index_scans: int = 0


class UnusedIndex(Struct, frozen=True, kw_only=True):
    """An index that no statement has used since the statistics began."""

    name: str
    table: str
    size_bytes: int


class SlowQuery(Struct, frozen=True, kw_only=True):
    """A statement that takes much time in all; its values are left out by the server."""

    query: str
    calls: int
    mean_ms: float
    total_ms: float


class PostgresHealth(Struct, frozen=True, kw_only=True):
    """How a PostgreSQL server and one of its databases are doing."""

    status: Literal["ok", "unavailable"]
    reason: str = ""
    version: str = ""
    size_bytes: int = 0
    connections: int = 0
    max_connections: int = 0
    connection_percent: float = 0.0
    cache_hit_percent: float = 0.0
    deadlocks: int = 0
    temp_bytes: int = 0
    longest_query_s: float = 0.0
    longest_idle_s: float = 0.0
    """The oldest transaction that is open and does nothing."""
    waiting: int = 0
    """Sessions that wait for a lock."""
    replicas: int = 0
    replication_lag_bytes: int = 0
    xid_age_percent: float = 0.0
    """How much of the way to a forced stop for want of transaction numbers is gone."""
    tables: tuple[TableHealth, ...] = ()
    unused_indexes: tuple[UnusedIndex, ...] = ()
    slow_queries: tuple[SlowQuery, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    """What could not be asked, and why."""


class _Named(Protocol):
    name: str


class _Cursor(Protocol):
    async def fetch(self, n: int) -> Sequence[Row]: ...


class _Statement(Protocol):
    def get_attributes(self) -> Sequence[_Named]: ...
    def cursor(self) -> Awaitable[_Cursor]: ...


class _Transaction(AbstractAsyncContextManager[object], Protocol):
    async def start(self) -> None: ...


class Connection(Protocol):
    """What is needed of a driver's connection, which has no types of its own."""

    async def fetch(self, query: str) -> list[Row]:
        """Run a statement and return its rows."""
        ...

    async def execute(self, query: str) -> str:
        """Run a statement and return its tag."""
        ...

    async def prepare(self, query: str) -> _Statement:
        """Prepare one statement; several at once are refused."""
        ...

    def transaction(self, *, readonly: bool = False) -> _Transaction:
        """Open a transaction, or a savepoint inside one."""
        ...

    def get_server_version(self) -> tuple[int, ...]:
        """Tell the server's version."""
        ...

    def terminate(self) -> None:
        """Close it at once, without a word."""
        ...


@asynccontextmanager
async def _open(url: str) -> AsyncGenerator[Connection]:
    """Open a connection inside a transaction that cannot write.

    Raises:
        MissingExtra: `asyncpg` is not installed.
        ToolError: The server cannot be reached, or refuses.
    """
    try:
        import asyncpg  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as error:
        raise MissingExtra("Looking at PostgreSQL", "postgres") from error
    dial = cast("Callable[..., Awaitable[Connection]]", asyncpg.connect)  # pyright: ignore[reportUnknownMemberType]
    try:
        connection = await dial(url, timeout=CONNECT_S, command_timeout=STATEMENT_MS / 1000 + 2)
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
        # What the library says may hold the address, and so the password.
        raise ToolError(f"The server cannot be reached: {type(error).__name__}.") from error
    try:
        transaction = connection.transaction(readonly=True)
        await transaction.start()
        await connection.execute(f"SET LOCAL statement_timeout = {STATEMENT_MS}")
        await connection.execute("SET LOCAL lock_timeout = 1000")
        # From the first statement on, nobody can make the transaction one that writes.
        await connection.execute("SELECT 1")
        yield connection
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise ToolError(f"The statement failed: {clean(str(error), 300)}") from error
    finally:
        # Nothing is kept, so there is nothing to say farewell for; a silent server must not hold this up.
        connection.terminate()


async def query_postgres(url: str, sql: str, *, most: int) -> Rows:
    """Run one statement that reads, in a transaction that cannot write.

    Raises:
        MissingExtra: `asyncpg` is not installed.
        ToolError: It is no reading statement, it failed, or the login may do more than read.
    """
    if not sql.lstrip("( \t\r\n").lower().startswith(_READING):
        raise ToolError(f"Only a statement that reads is allowed; it begins with one of {', '.join(_READING).upper()}.")
    began = time.monotonic()
    async with _limited(url) as connection:
        # What the login is a member of it can become in the middle of a statement.
        if (await connection.fetch(POWERS))[0]["reaches_out"]:
            raise ToolError(
                "The login may reach the server's files and programs, which a statement that reads can use as well; "
                "set an address with a login that may only read."
            )
        statement = await connection.prepare(sql)
        columns = tuple(clean(one.name, 200) for one in statement.get_attributes())
        cursor = await statement.cursor()
        rows = await _fetch(cursor, columns, most=most)
    return structs.replace(rows, elapsed_ms=round((time.monotonic() - began) * 1000, 1))


async def _fetch(cursor: _Cursor, columns: tuple[str, ...], *, most: int) -> Rows:
    """Fetch a few rows at a time, and no more of them than there is room for, since each may be large."""
    found: list[tuple[object, ...]] = []
    room = MAX_FETCHED
    while len(found) <= most and room > 0 and (more := await cursor.fetch(FETCHED_ROWS)):
        for row in more:
            found.append(tuple(row.values()))
            room -= sum(len(value) if isinstance(value, str | bytes) else 8 for value in found[-1])
    rows = build_rows(columns, found, most=most)
    return structs.replace(rows, truncated=rows.truncated or room <= 0)


@asynccontextmanager
async def _limited(url: str) -> AsyncGenerator[Connection]:
    try:
        async with asyncio.timeout(WHOLE_S), _open(url) as connection:
            yield connection
    except TimeoutError as error:
        raise ToolError(f"The server did not answer within {WHOLE_S:g} s.") from error


async def read_postgres_health(name: str, url: str, *, most: int) -> PostgresHealth:
    """Ask a server for its statistics; what the login may not see is told and left out.

    Raises:
        MissingExtra: `asyncpg` is not installed.
    """
    try:
        async with _limited(url) as connection:
            notes: list[str] = []
            asked = {
                what: await _ask(connection, sql, what, notes)
                for what, sql in (
                    ("database", DATABASE),
                    ("activity", ACTIVITY),
                    ("replication", REPLICATION),
                    ("tables", TABLES),
                    ("indexes", UNUSED),
                    ("statements", SLOW),
                )
            }
            version = ".".join(str(part) for part in connection.get_server_version()[:2])
    except ToolError as error:
        return PostgresHealth(status="unavailable", reason=error.message)
    return _build(name, asked, version, notes, most=most)


async def _ask(connection: Connection, sql: str, what: str, notes: list[str]) -> list[Row]:
    import asyncpg  # pyright: ignore[reportMissingTypeStubs]

    try:
        # A statement that fails spoils its transaction: each has a savepoint of its own.
        async with connection.transaction():
            return await connection.fetch(sql)
    except asyncpg.PostgresError as error:
        notes.append(f"{what}: {clean(str(error), 200)}")
        return []


def _number(row: Row, name: str) -> float:
    value = row.get(name)
    return 0.0 if value is None else float(str(value))


def _whole(row: Row, name: str) -> int:
    return int(_number(row, name))


def _percent(part: float, whole: float) -> float:
    return round(100 * part / whole, 1) if whole else 0.0


def _build(name: str, asked: dict[str, list[Row]], version: str, notes: list[str], *, most: int) -> PostgresHealth:
    database: Row = asked["database"][0] if asked["database"] else {}
    activity: Row = asked["activity"][0] if asked["activity"] else {}
    reads = _number(database, "blks_hit") + _number(database, "blks_read")
    health = PostgresHealth(
        status="ok",
        version=version,
        size_bytes=_whole(database, "size_bytes"),
        connections=_whole(activity, "connections"),
        max_connections=_whole(activity, "max_connections"),
        connection_percent=_percent(_number(activity, "connections"), _number(activity, "max_connections")),
        cache_hit_percent=_percent(_number(database, "blks_hit"), reads) if reads else 100.0,
        deadlocks=_whole(database, "deadlocks"),
        temp_bytes=_whole(database, "temp_bytes"),
        longest_query_s=round(_number(activity, "longest_query_s"), 1),
        longest_idle_s=round(_number(activity, "longest_idle_s"), 1),
        waiting=_whole(activity, "waiting"),
        replicas=len(asked["replication"]),
        replication_lag_bytes=max((_whole(row, "lag_bytes") for row in asked["replication"]), default=0),
        xid_age_percent=_percent(_number(database, "xid_age"), 2_000_000_000),
        tables=tuple(
            TableHealth(
                name=clean(str(row["name"]), 200),
                size_bytes=_whole(row, "size_bytes"),
                rows=_whole(row, "live"),
                dead_percent=_percent(_number(row, "dead"), _number(row, "live") + _number(row, "dead")),
                last_vacuum=str(row["last_vacuum"] or ""),
                last_analyze=str(row["last_analyze"] or ""),
                seq_scans=_whole(row, "seq_scan"),
                index_scans=_whole(row, "idx_scan"),
            )
            for row in asked["tables"][:most]
        ),
        unused_indexes=tuple(
            UnusedIndex(
                name=clean(str(row["name"]), 200),
                table=clean(str(row["tab"]), 200),
                size_bytes=_whole(row, "size_bytes"),
            )
            for row in asked["indexes"][:most]
        ),
        slow_queries=tuple(
            SlowQuery(
                query=hide_values(clean(" ".join(str(row["query"]).split()), MAX_QUERY_CHARS)),
                calls=_whole(row, "calls"),
                mean_ms=round(_number(row, "mean_ms"), 2),
                total_ms=round(_number(row, "total_ms"), 1),
            )
            for row in asked["statements"][:most]
        ),
        notes=tuple(notes),
    )
    return _judge(name, health)


def _judge(name: str, health: PostgresHealth) -> PostgresHealth:
    board = Board()

    def note(when: bool, rule: str, severity: Literal["critical", "high", "medium", "low"], message: str) -> None:
        if when:
            board.note(name, 1, rule, severity, message)

    note(
        health.connection_percent >= 80,
        "connections",
        "high",
        f"{health.connection_percent} % of the connections are taken",
    )
    note(
        health.cache_hit_percent < 90, "cache", "medium", f"only {health.cache_hit_percent} % of reads come from memory"
    )
    note(health.deadlocks > 0, "deadlocks", "low", f"{health.deadlocks} deadlocks since the statistics began")
    note(health.longest_query_s > 300, "long-query", "medium", f"a statement runs for {health.longest_query_s} s")
    note(
        health.longest_idle_s > 300,
        "idle-transaction",
        "high",
        f"a transaction is open and idle for {health.longest_idle_s} s",
    )
    note(health.waiting > 0, "locks", "medium", f"{health.waiting} sessions wait for a lock")
    note(
        health.replication_lag_bytes > 100_000_000,
        "replication",
        "high",
        f"a replica is {health.replication_lag_bytes} bytes behind",
    )
    note(
        health.xid_age_percent >= 50,
        "transaction-numbers",
        "critical",
        f"{health.xid_age_percent} % of transaction numbers are used; vacuum",
    )
    for table in health.tables:
        is_large = table.rows > 1000
        note(
            is_large and table.dead_percent > 20,
            "dead-rows",
            "medium",
            f"{table.dead_percent} % of `{table.name}` are dead rows; vacuum",
        )
        is_scanned = table.rows > 100_000 and table.seq_scans > 100 and table.seq_scans > 10 * table.index_scans
        note(
            is_scanned,
            "scans",
            "medium",
            f"`{table.name}` is read from end to end {table.seq_scans} times; an index is missing",
        )
        note(is_large and not table.last_analyze, "no-statistics", "low", f"`{table.name}` was never analyzed")
    for index in health.unused_indexes:
        note(
            index.size_bytes > 10_000_000,
            "unused-index",
            "low",
            f"`{index.name}` takes {index.size_bytes} bytes and is never used",
        )
    return structs.replace(health, findings=board.build(name, most=100).findings)
