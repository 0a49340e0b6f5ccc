"""How is a SQLite file read beside the one who writes, and every row verified?"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import msgspec

from quorate.errors import InvalidInput, QuorateError
from quorate.events import AnyEvent, RunSummary
from quorate.messages import Usage
from quorate.state.backends._lane import Job, Settling, Work
from quorate.state.backends._rows import build_corrupt_line, verify_events
from quorate.state.backends._sqlite_file import map_error, roll_back
from quorate.state.sql import load_queries

T = TypeVar("T")
Answer = Callable[[sqlite3.Connection, Mapping[str, str]], T]
"""Reads something by the named statements."""

RunRow = tuple[
    str, int, str | None, str, float, float, str, str | None, str, str, float | None, str, int, int, float | None, str
]
"""A row of `runs`, in the order of `run_columns`."""


class Reading(Settling, Protocol):
    """A question to the reader's thread, whatever the type of its answer."""

    def answer(self, connection: sqlite3.Connection, statements: Mapping[str, str], path: Path) -> None:
        """Find the answer, or the error, and keep it."""
        ...


class Question(Job[T], Generic[T]):
    """A question to the reader's thread."""

    __slots__ = ("_read",)

    def __init__(self, read: Answer[T]) -> None:
        super().__init__()
        self._read = read

    def answer(self, connection: sqlite3.Connection, statements: Mapping[str, str], path: Path) -> None:
        """Find the answer, or the error, and keep it."""
        try:
            self.finish(self._read(connection, statements))
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


def load_statements() -> Mapping[str, str]:
    """Load the named statements, the columns of `runs` put in where they are read or written."""
    blocks = load_queries("sqlite")
    return {name: text.replace("{run_columns}", blocks["run_columns"]) for name, text in blocks.items()}


@contextmanager
def open_reader(
    path: Path, connect: Callable[[], AbstractContextManager[sqlite3.Connection]]
) -> Generator[Work[Reading]]:
    """Open a connection that only reads, and give what answers a batch of questions with it."""
    statements = load_statements()
    with connect() as connection:
        connection.execute("PRAGMA query_only = ON")

        def work(jobs: Sequence[Reading]) -> None:
            for job in jobs:
                job.answer(connection, statements, path)

        yield work


def read_events(
    connection: sqlite3.Connection, statements: Mapping[str, str], *, run: str, after: int, limit: int | None
) -> list[AnyEvent]:
    """Read events of a run and check that each is whole and none is missing."""
    connection.execute("BEGIN")  # rows and count of one moment
    last = get_last(connection, statements, run=run)
    rows = connection.execute(statements["read_events"], (run, after, -1 if limit is None else limit)).fetchall()
    connection.execute("COMMIT")
    return verify_events(run, rows, last=last, after=after, limit=limit)


def read_logs(
    connection: sqlite3.Connection, statements: Mapping[str, str], *, runs: Sequence[str]
) -> dict[str, list[AnyEvent]]:
    """Read whole logs; unknown ones are left out."""
    logs = {run: read_events(connection, statements, run=run, after=0, limit=None) for run in runs}
    return {run: events for run, events in logs.items() if events}


def get_last(connection: sqlite3.Connection, statements: Mapping[str, str], *, run: str) -> int:
    """Return a run's last `seq`; 0 when it is unknown."""
    row = connection.execute(statements["get_last"], (run,)).fetchone()
    return int(row[0]) if row else 0


def _share(text: object) -> object:
    """Keep a text that many lines have once; JSON then leaves it out where it is the default."""
    return sys.intern(text) if type(text) is str else text


def build_summary(row: RunRow) -> RunSummary | None:
    """Build the one line about a run from its row; `None` while no `run.created` was seen."""
    (
        run, last, status, agent, created, updated, tenant, session, task, usage, cost_usd,
        owner, attempts, crashes, wakes, principal,
    ) = row  # fmt: skip
    if status is None:
        return None
    facts = {
        "run": run, "events": last, "status": status, "agent": agent, "created": created, "updated": updated,
        "tenant": _share(tenant), "session": session, "task": task, "cost_usd": cost_usd,
        "owner": owner, "attempts": attempts, "crashes": crashes, "wakes": wakes, "principal": _share(principal),
    }  # fmt: skip
    try:
        return msgspec.convert({**facts, "usage": msgspec.json.decode(usage, type=Usage)}, RunSummary)
    except (msgspec.MsgspecError, TypeError) as error:
        raise build_corrupt_line(run, str(error)) from error
