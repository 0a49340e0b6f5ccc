"""How is everything kept in a SQLite file, so that what was acknowledged survives a crash of anything?

One thread writes, and everything queued while a commit is under way goes into the next one; others read.
Several processes may have the file open: every write checks what it goes from inside the writing transaction.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.events import AnyEvent, RunSummary, Status
from quorate.ports import RunOrder, Store
from quorate.state.backends._checks import check_count, check_text
from quorate.state.backends._lane import open_lane
from quorate.state.backends._sqlite_append import Append
from quorate.state.backends._sqlite_blobs import SqliteBlobs
from quorate.state.backends._sqlite_commit import open_writer
from quorate.state.backends._sqlite_file import check_path, open_connection
from quorate.state.backends._sqlite_leases import SqliteLeases
from quorate.state.backends._sqlite_line import Line
from quorate.state.backends._sqlite_list import list_runs
from quorate.state.backends._sqlite_read import get_last, open_reader, read_events, read_logs
from quorate.state.backends._sqlite_values import SqliteOutbox, SqliteValues

_MAX_QUEUED_BYTES = 128 << 20
_LOGS_AT_ONCE = 64


class SqliteLog:
    """A `Log` in a SQLite file, for one machine; open it with `open_sqlite_log`."""

    __slots__ = ("_line", "path")

    def __init__(self, path: Path, line: Line) -> None:
        self.path = path
        self._line = line

    async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
        """Add events; see `quorate.ports.Log`.

        An append that is cancelled may still be committed: look before appending again.
        """
        job = Append(run, events, expected=expected)
        await self._line.writer.put(job)
        await job.future

    async def read(self, run: str, *, after: int = 0, limit: int | None = None) -> list[AnyEvent]:
        """Return events after a position; see `quorate.ports.Log`."""
        check_count(after, "after")
        check_count(limit or 0, "limit")
        return await self._line.ask(partial(read_events, run=run, after=after, limit=limit))

    async def read_many(self, runs: Sequence[str]) -> dict[str, list[AnyEvent]]:
        """Return the whole logs of several runs; see `quorate.ports.Log`."""
        found: dict[str, list[AnyEvent]] = {}
        for first in range(0, len(runs), _LOGS_AT_ONCE):  # others read in between
            found |= await self._line.ask(partial(read_logs, runs=runs[first : first + _LOGS_AT_ONCE]))
        return found

    async def last(self, run: str) -> int:
        """Return the last position; see `quorate.ports.Log`."""
        return await self._line.ask(partial(get_last, run=run))

    async def list_runs(
        self,
        *,
        status: Status | None = None,
        agent: str | None = None,
        session: str | None = None,
        tenant: str | None = None,
        order: RunOrder = "newest",
        before: str | None = None,
        limit: int = 50,
    ) -> list[RunSummary]:
        """List runs; see `quorate.ports.Log`."""
        check_count(limit, "limit")
        filters = {"status": status, "agent": agent, "session": session, "tenant": tenant}
        return await self._line.ask(partial(list_runs, filters=filters, order=order, before=before, limit=limit))

    async def delete(self, run: str) -> bool:
        """Forget a run; see `quorate.ports.Log`."""
        check_text(run, "run")

        def write(connection: sqlite3.Connection, statements: Mapping[str, str]) -> bool:
            connection.execute(statements["delete_events"], (run,))
            return connection.execute(statements["delete_run"], (run,)).rowcount > 0

        return await self._line.change(write, run=run)


@asynccontextmanager
async def open_sqlite_store(
    path: str | os.PathLike[str],
    *,
    clock: Clock = SYSTEM_CLOCK,
    outbox: bool = False,
    busy_timeout_s: float = 5.0,
    max_pending: int = 10_000,
    queue_timeout_s: float = 30.0,
) -> AsyncGenerator[Store]:
    """Open the store in a SQLite file; the file and its directory are made where they are missing.

    Args:
        path: The file.
        clock: The store's time: what expires, and who is alive.
        outbox: Whether to keep notices of what others want to hear of.
        busy_timeout_s: How long to wait for another process that holds the file.
        max_pending: How many writes, and how many reads, may wait; further ones wait for a place.
        queue_timeout_s: How long they wait for a place before they are `Unavailable`.

    Raises:
        InvalidInput: The path cannot be a database of ours, or a newer version of Quorate wrote it.
        Unavailable: Another process holds it.
        StorageFull: There is no room to make it.
        CorruptState: It is damaged.
    """
    file = check_path(path)

    def connect() -> AbstractContextManager[sqlite3.Connection]:
        return open_connection(file, clock=clock, busy_timeout_s=busy_timeout_s)

    open_one = partial(open_lane, max_pending=max_pending, max_bytes=_MAX_QUEUED_BYTES, wait_s=queue_timeout_s)
    async with (
        open_one(partial(open_writer, file, connect, outbox=outbox), name=f"writer of {str(file)!r}") as writer,
        open_one(partial(open_reader, file, connect), name=f"reader of {str(file)!r}") as reader,
        # Of its own, so that values and leases never wait behind long logs.
        open_one(partial(open_reader, file, connect), name=f"second reader of {str(file)!r}") as second,
    ):
        line = Line(writer, second)
        yield Store(
            name=str(file),
            log=SqliteLog(file, Line(writer, reader)),
            values=SqliteValues(line, clock),
            blobs=SqliteBlobs(line, clock),
            leases=SqliteLeases(line, clock),
            outbox=SqliteOutbox(line),
        )


@asynccontextmanager
async def open_sqlite_log(
    path: str | os.PathLike[str],
    *,
    clock: Clock = SYSTEM_CLOCK,
    busy_timeout_s: float = 5.0,
    max_pending: int = 10_000,
    queue_timeout_s: float = 30.0,
) -> AsyncGenerator[SqliteLog]:
    """Open only the log of a store in a SQLite file; the file and its directory are made where they are missing.

    Args:
        path: The file.
        clock: Where the times of migrations come from.
        busy_timeout_s: How long to wait for another process that holds the file.
        max_pending: How many appends, and how many reads, may wait; further ones wait for a place.
        queue_timeout_s: How long they wait for a place before they are `Unavailable`.

    Raises:
        InvalidInput: The path cannot be a database of ours, or a newer version of Quorate wrote it.
        Unavailable: Another process holds it.
        StorageFull: There is no room to make it.
        CorruptState: It is damaged.
    """
    async with open_sqlite_store(
        path, clock=clock, busy_timeout_s=busy_timeout_s, max_pending=max_pending, queue_timeout_s=queue_timeout_s
    ) as store:
        log = store.log
        assert isinstance(log, SqliteLog), "it is the log that was put there"
        yield log
