"""How fast is a keyed table with group commit, written straight against the driver?

What any log on the same driver can at most reach: no schema, no check, no summary of a run, nobody else's rows
expected. Everything that is queued while one commit is under way goes in the next.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread

import asyncpg  # pyright: ignore[reportMissingTypeStubs]

Row = tuple[str, int, str, str, bytes, str, float]
"""Run, seq, key, kind, body, attempt, time."""
Append = Callable[[Sequence[Row]], Awaitable[None]]
Waiting = tuple[Sequence[Row], "asyncio.Future[None]"]

SQLITE_TABLE = """CREATE TABLE bare (
    run TEXT NOT NULL, seq INTEGER NOT NULL, key TEXT NOT NULL, kind TEXT NOT NULL, body BLOB NOT NULL,
    attempt TEXT NOT NULL, time REAL NOT NULL, PRIMARY KEY (run, seq))"""
POSTGRES_TABLE = """CREATE TABLE bare (
    run text COLLATE "C" NOT NULL, seq bigint NOT NULL, key text NOT NULL, kind text NOT NULL, body bytea NOT NULL,
    attempt text NOT NULL, time double precision NOT NULL, PRIMARY KEY (run, seq))"""
INSERT = "INSERT INTO bare VALUES (?, ?, ?, ?, ?, ?, ?)"
UNNEST = """INSERT INTO bare
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bytea[], $6::text[], $7::float8[])"""


def settle(futures: Sequence[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


def write_sqlite(path: Path, queue: SimpleQueue[Waiting | None], loop: asyncio.AbstractEventLoop) -> None:
    """Be the one thread that writes, until it is told `None`."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    while (first := queue.get()) is not None:
        batch = [first]
        with suppress(Empty):
            while (more := queue.get_nowait()) is not None:
                batch.append(more)
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(INSERT, [row for rows, _ in batch for row in rows])
        connection.execute("COMMIT")
        loop.call_soon_threadsafe(settle, [future for _, future in batch])
    connection.close()


@asynccontextmanager
async def open_sqlite(path: Path) -> AsyncGenerator[Append]:
    connection = sqlite3.connect(path)
    connection.execute(SQLITE_TABLE)
    connection.close()
    loop, queue = asyncio.get_running_loop(), SimpleQueue[Waiting | None]()
    thread = Thread(target=write_sqlite, args=(path, queue, loop), daemon=True)
    thread.start()

    async def append(rows: Sequence[Row]) -> None:
        future: asyncio.Future[None] = loop.create_future()
        queue.put((rows, future))
        await future

    try:
        yield append
    finally:
        queue.put(None)
        await asyncio.to_thread(thread.join)


@asynccontextmanager
async def open_postgres(dsn: str) -> AsyncGenerator[Append]:
    connection = await asyncpg.connect(dsn)
    await connection.execute("DROP TABLE IF EXISTS bare")
    await connection.execute(POSTGRES_TABLE)
    statement = await connection.prepare(UNNEST)
    loop = asyncio.get_running_loop()
    waiting: list[Waiting] = []
    wanted, stopped = asyncio.Event(), asyncio.Event()

    async def write() -> None:
        while not stopped.is_set():
            await wanted.wait()
            wanted.clear()
            while waiting:
                batch = waiting[:]
                waiting.clear()
                columns = zip(*[row for rows, _ in batch for row in rows], strict=True)
                await statement.fetch(*map(list, columns))
                settle([future for _, future in batch])

    async def append(rows: Sequence[Row]) -> None:
        future: asyncio.Future[None] = loop.create_future()
        waiting.append((rows, future))
        wanted.set()
        await future

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        try:
            yield append
        finally:
            stopped.set()
            wanted.set()
    await connection.close()
