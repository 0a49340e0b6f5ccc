"""How are events and runs read from a SQLite file, and every row verified?"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Generic, Protocol, TypeVar
from zlib import crc32

import msgspec

from quorate.codec.json import decode_event
from quorate.errors import CorruptState, InvalidInput, QuorateError
from quorate.events import AnyEvent, RunSummary
from quorate.messages import Usage
from quorate.state.backends._lane import Job, Settling, Work
from quorate.state.backends._sqlite_file import map_error, roll_back
from quorate.state.sql import load_queries

T = TypeVar("T")
Answer = Callable[[sqlite3.Connection, Mapping[str, str]], T]
"""Reads something by the named queries."""

RunRow = tuple[str, int, str | None, str, float, float, str, str | None, str, str, float | None]
"""A row of `runs`, in the order of its columns."""

_AFTER_ALL_RUNS = "\U0010ffff"


class Reading(Settling, Protocol):
    """A question to the reader's thread, whatever the type of its answer."""

    def answer(self, connection: sqlite3.Connection, queries: Mapping[str, str], path: Path) -> None:
        """Find the answer, or the error, and keep it."""
        ...


class Question(Job[T], Generic[T]):
    """A question to the reader's thread."""

    __slots__ = ("_read",)

    def __init__(self, read: Answer[T]) -> None:
        super().__init__()
        self._read = read

    def answer(self, connection: sqlite3.Connection, queries: Mapping[str, str], path: Path) -> None:
        """Find the answer, or the error, and keep it."""
        try:
            self.finish(self._read(connection, queries))
        except QuorateError as error:
            self.fail(error)
        except sqlite3.Error as error:
            self.fail(map_error(error, path))
        except (OverflowError, UnicodeError) as error:
            mapped = InvalidInput(f"that cannot be looked up in {str(path)!r}: {error}.")
            mapped.__cause__ = error
            self.fail(mapped)
        finally:
            roll_back(connection)


@contextmanager
def open_reader(
    path: Path, connect: Callable[[], AbstractContextManager[sqlite3.Connection]]
) -> Generator[Work[Reading]]:
    """Open a connection that only reads, and give what answers a batch of questions with it."""
    queries = load_queries()
    with connect() as connection:
        connection.execute("PRAGMA query_only = ON")

        def work(jobs: Sequence[Reading]) -> None:
            for job in jobs:
                job.answer(connection, queries, path)

        yield work


def read_events(
    connection: sqlite3.Connection, queries: Mapping[str, str], *, run: str, after: int, limit: int | None
) -> list[AnyEvent]:
    """Read events of a run and check that each is whole and none is missing."""
    connection.execute("BEGIN")  # rows and count of one moment
    last = get_last(connection, queries, run=run)
    rows = connection.execute(queries["read_events"], (run, after, -1 if limit is None else limit)).fetchall()
    connection.execute("COMMIT")
    expected = range(after + 1, last + 1)[:limit]
    events = [_verify(run, seq, row) for seq, row in zip(expected, rows, strict=False)]
    if len(rows) != len(expected):
        seq = after + min(len(rows), len(expected)) + 1
        raise _build_corrupt(run, seq, f"is missing: {last} events were written")
    return events


def _verify(run: str, expected: int, row: tuple[int, str, int, object]) -> AnyEvent:
    seq, version, checksum, body = row
    if seq != expected:
        raise _build_corrupt(run, expected, "is missing")
    if not isinstance(body, bytes) or crc32(body) != checksum:
        raise _build_corrupt(run, seq, "has another checksum than when it was written")
    event = decode_event(body, where=f"run {run!r} seq {seq}", version=version)
    if event.run != run or event.seq != seq:
        raise _build_corrupt(run, seq, f"holds the event of run {event.run!r} seq {event.seq}")
    return event


def _build_corrupt(run: str, seq: int, what: str) -> CorruptState:
    return CorruptState(
        f"run {run!r} seq {seq} {what}. The run is parked, others are unharmed; restore the row from a backup.",
        run=run,
        seq=seq,
    )


def get_last(connection: sqlite3.Connection, queries: Mapping[str, str], *, run: str) -> int:
    """Return a run's last `seq`; 0 when it is unknown."""
    row = connection.execute(queries["get_last"], (run,)).fetchone()
    return int(row[0]) if row else 0


def list_runs(
    connection: sqlite3.Connection,
    queries: Mapping[str, str],
    *,
    status: str | None,
    agent: str | None,
    before: str | None,
    limit: int,
) -> list[RunSummary]:
    """List runs, newest first, by the index made for the filters that are given."""
    filters = {"agent": agent, "status": status}
    given = [name for name, value in filters.items() if value is not None]
    query = queries["_and_".join(["list_runs_by_" + given[0], *given[1:]]) if given else "list_runs"]
    values = {**filters, "before": _AFTER_ALL_RUNS if before is None else before, "limit": limit}
    found = (build_summary(row) for row in connection.execute(query, values).fetchall())
    return [summary for summary in found if summary is not None]


def build_summary(row: RunRow) -> RunSummary | None:
    """Build the one line about a run from its row; `None` while no `run.created` was seen."""
    run, last, status, agent, created, updated, tenant, session, task, usage, cost_usd = row
    if status is None:
        return None
    facts = {
        "run": run, "events": last, "status": status, "agent": agent, "created": created, "updated": updated,
        "tenant": tenant, "session": session, "task": task, "cost_usd": cost_usd,
    }  # fmt: skip
    try:
        return msgspec.convert({**facts, "usage": msgspec.json.decode(usage, type=Usage)}, RunSummary)
    except (msgspec.MsgspecError, TypeError) as error:
        raise CorruptState(
            f"the line of run {run!r} in table `runs` does not verify: {error}. Restore it from a backup.",
            run=run,
        ) from error
