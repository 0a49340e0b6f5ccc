"""How is a log kept in a SQLite file, so that what was acknowledged survives a crash of anything?

One thread writes, and everything queued while a commit is under way goes into the next one; another one reads.
Several processes may have the file open: every append checks its position inside the writing transaction.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import InvalidInput
from quorate.events import AnyEvent, RunSummary, Status
from quorate.state.backends._lane import Lane, open_lane
from quorate.state.backends._sqlite_commit import Append, open_writer
from quorate.state.backends._sqlite_file import check_path, open_connection
from quorate.state.backends._sqlite_read import (
    Answer,
    Question,
    Reading,
    get_last,
    list_runs,
    open_reader,
    read_events,
)

_MAX_QUEUED_BYTES = 128 << 20

T = TypeVar("T")


class SqliteLog:
    """A `Log` in a SQLite file, for one machine; open it with `open_sqlite_log`."""

    __slots__ = ("_reader", "_writer", "path")

    def __init__(self, path: Path, *, writer: Lane[Append], reader: Lane[Reading]) -> None:
        self.path = path
        self._writer = writer
        self._reader = reader

    async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
        """Add events; see `quorate.ports.Log`.

        An append that is cancelled may still be committed: look before appending again.
        """
        job = Append(run, events, expected=expected)
        await self._writer.put(job)
        await job.future

    async def read(self, run: str, *, after: int = 0, limit: int | None = None) -> list[AnyEvent]:
        """Return events after a position; see `quorate.ports.Log`."""
        _check_count(after, "after")
        _check_count(limit or 0, "limit")
        return await self._ask(partial(read_events, run=run, after=after, limit=limit))

    async def last(self, run: str) -> int:
        """Return the last position; see `quorate.ports.Log`."""
        return await self._ask(partial(get_last, run=run))

    async def list_runs(
        self,
        *,
        status: Status | None = None,
        agent: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> list[RunSummary]:
        """List runs, newest first; see `quorate.ports.Log`."""
        _check_count(limit, "limit")
        return await self._ask(partial(list_runs, status=status, agent=agent, before=before, limit=limit))

    async def _ask(self, answer: Answer[T]) -> T:
        job = Question(answer)
        await self._reader.put(job)
        return await job.future


@asynccontextmanager
async def open_sqlite_log(
    path: str | os.PathLike[str],
    *,
    clock: Clock = SYSTEM_CLOCK,
    busy_timeout_s: float = 5.0,
    max_pending: int = 10_000,
    queue_timeout_s: float = 30.0,
) -> AsyncGenerator[SqliteLog]:
    """Open the log in a SQLite file; the file and its directory are made where they are missing.

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
    file = check_path(path)

    def connect() -> AbstractContextManager[sqlite3.Connection]:
        return open_connection(file, clock=clock, busy_timeout_s=busy_timeout_s)

    async with (
        open_lane(
            partial(open_writer, file, connect),
            name=f"writer of {str(file)!r}",
            max_pending=max_pending,
            max_bytes=_MAX_QUEUED_BYTES,
            wait_s=queue_timeout_s,
        ) as writer,
        open_lane(
            partial(open_reader, file, connect),
            name=f"reader of {str(file)!r}",
            max_pending=max_pending,
            max_bytes=_MAX_QUEUED_BYTES,
            wait_s=queue_timeout_s,
        ) as reader,
    ):
        yield SqliteLog(file, writer=writer, reader=reader)


def _check_count(value: int, name: str) -> None:
    if value < 0:
        raise InvalidInput(f"`{name}` is {value!r}; it counts events or runs, so it is 0 or more.")
