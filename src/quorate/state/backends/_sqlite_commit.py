"""How do writes that wait at the same time become one durable transaction, and each its own outcome?"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import chain
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from msgspec import Struct, structs

from quorate.codec.json import encode_text
from quorate.errors import CorruptState, InvalidInput, QuorateError, Unavailable
from quorate.events import NOTICES, RunSummary, get_kind, summarize
from quorate.state.backends._checks import build_run_conflict
from quorate.state.backends._lane import Job, Settling, Work
from quorate.state.backends._sqlite_append import Append
from quorate.state.backends._sqlite_file import get_number, map_error, roll_back
from quorate.state.backends._sqlite_many import build_repeated
from quorate.state.backends._sqlite_read import RunRow, build_summary, load_statements
from quorate.state.backends._sqlite_tail import read_tail, warn_of_damage

T = TypeVar("T")

_MAX_KNOWN = 8192
_MANY = ("insert_event", "save_run", "change_run", "advance_run", "advance_run_to_a_minute", "insert_notice")
"""Statements that a batch has many rows for."""
_LOOK_MS = 1
"""How long SQLite sleeps by itself between two looks at a file that another process writes."""

Write = Callable[[sqlite3.Connection, Mapping[str, str]], T]
"""Changes something by the named statements; it refuses before it changes anything, or not at all."""


class State(Struct, frozen=True, gc=False):
    """A run's last `seq` and its time, and the one line about it."""

    last: int = 0
    updated: float = 0.0
    summary: RunSummary | None = None
    """As it was when its run last changed in more than position and time."""


_NEW = State()


class Step(Struct, gc=False):
    """From where to where a batch moves a run."""

    begin: State
    end: State
    size: int = 0


class Change(Job[T], Generic[T]):
    """A change of something else than the log's end."""

    __slots__ = ("_write", "run")

    def __init__(self, write: Write[T], *, size: int = 0, run: str | None = None) -> None:
        super().__init__(size=size)
        self._write = write
        self.run = run
        """The run that is no longer what it was, if any."""

    def apply(self, connection: sqlite3.Connection, statements: Mapping[str, str]) -> None:
        """Make the change, or keep the refusal; what SQLite raises is left to the batch."""
        try:
            self.finish(self._write(connection, statements))
        except QuorateError as error:
            self.fail(error)


class Changing(Settling, Protocol):
    """A `Change`, whatever it answers."""

    run: str | None

    def apply(self, connection: sqlite3.Connection, statements: Mapping[str, str]) -> None:
        """Make the change, or keep the refusal."""
        ...

    def fail(self, error: QuorateError) -> None:
        """Give the error instead of an answer."""
        ...


Row = tuple[object, ...]
Writing = Append | Changing
"""What the writer's thread is asked for."""


@contextmanager
def open_writer(
    path: Path, connect: Callable[[], AbstractContextManager[sqlite3.Connection]], *, outbox: bool = False
) -> Generator[Work[Writing]]:
    """Open the one connection that writes, and give what commits a batch with it."""
    before = read_tail(path)
    with connect() as connection:
        warn_of_damage(connection, path, before)
        yield Committer(connection, path, outbox=outbox).commit


class Committer:
    """Writes batches; owned by the writer's thread."""

    __slots__ = (
        "_connection",
        "_file",
        "_known",
        "_outbox",
        "_path",
        "_patience_s",
        "_repeated",
        "_statements",
        "_version",
    )

    def __init__(self, connection: sqlite3.Connection, path: Path, *, outbox: bool = False) -> None:
        self._connection = connection
        self._path = path
        self._outbox = outbox
        self._statements = load_statements()
        self._repeated = {name: build_repeated(self._statements[name]) for name in _MANY}
        self._file = _find_file(path)
        self._version = -1
        self._patience_s = get_number(connection, "PRAGMA busy_timeout") / 1000
        connection.execute(f"PRAGMA busy_timeout = {_LOOK_MS}")
        self._known: dict[str, State] = {}

    def commit(self, jobs: Sequence[Writing]) -> None:
        """Write what is in order in one transaction; a refusal fails its own job alone."""
        if self._file != _find_file(self._path):
            # What is written into a file without a name is gone when it is closed.
            for job in jobs:
                job.fail(self._build_moved())
            return
        try:
            self._write(jobs)
        except (sqlite3.Error, OverflowError, UnicodeError) as error:
            self._known.clear()
            roll_back(self._connection)
            if len(jobs) > 1 and _is_of_one_job(error):
                for job in jobs:
                    self.commit([job])
                return
            for job in jobs:
                job.fail(_map_error(error, self._path))

    def _write(self, jobs: Sequence[Writing]) -> None:
        """Do everything; answers that were given before a fault are given anew by whoever catches it."""
        execute = self._connection.execute
        self._begin()
        self._forget_if_others_wrote()
        appends: list[Append] = []
        changes: list[Changing] = []
        for job in jobs:
            if isinstance(job, Append):
                appends.append(job)
            else:
                changes.append(job)
        steps = self._append(appends) if appends else {}
        for change in changes:
            change.apply(self._connection, self._statements)
        execute("COMMIT")
        self._remember(steps)
        for change in changes:
            if change.run is not None:
                self._known.pop(change.run, None)

    def _begin(self) -> None:
        """Begin to write, as soon as no other process does: SQLite itself looks ever less often."""
        ends = time.monotonic() + self._patience_s
        while True:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= ends:
                    raise
            else:
                return

    def _append(self, jobs: Sequence[Append]) -> dict[str, Step]:
        steps: dict[str, Step] = {}
        taken: list[Append] = []
        rows: list[Row] = []
        for job in jobs:
            step = steps.get(job.run)
            state = self._known.get(job.run) if step is None else step.end
            if state is None:
                try:
                    state = self._load_state(job.run)
                except CorruptState as error:
                    job.fail(error)
                    continue
            if state.last != job.expected:
                job.fail(build_run_conflict(job.run, state.last, job.expected))
                continue
            job.finish(None)
            if not job.rows:
                continue
            summary = summarize(state.summary, job.changes) if job.changes else state.summary
            end = State(state.last + len(job.rows), job.rows[-1][6], summary)
            if step is None:
                steps[job.run] = Step(state, end, job.size)
            else:
                step.end, step.size = end, step.size + job.size
            rows += job.rows
            taken.append(job)
        self._insert("insert_event", rows)
        self._save_runs(steps)
        if self._outbox:
            self._insert("insert_notice", _build_notices(taken, steps))
        return steps

    def _insert(self, name: str, rows: Sequence[Row]) -> None:
        """Insert many rows by few statements: each statement gives the interpreter away, and waits for it again."""
        place = 0
        for count, statement in self._repeated[name]:
            while len(rows) - place >= count:
                self._connection.execute(statement, [*chain.from_iterable(rows[place : place + count])])
                place += count

    def _forget_if_others_wrote(self) -> None:
        version = get_number(self._connection, "PRAGMA data_version")
        if version != self._version:
            self._known.clear()
            self._version = version

    def _load_state(self, run: str) -> State:
        row: RunRow | None = self._connection.execute(self._statements["get_run"], (run,)).fetchone()
        return State(row[1], row[5] or 0.0, build_summary(row)) if row else _NEW

    def _save_runs(self, steps: Mapping[str, Step]) -> None:
        rows: dict[str, list[Row]] = {
            "save_run": [], "change_run": [], "advance_run": [], "advance_run_to_a_minute": [],
        }  # fmt: skip
        for run, step in steps.items():
            name, row = _build_run_row(run, step)
            rows[name].append(row)
        for name, given in rows.items():
            if given:
                self._insert(name, given)

    def _remember(self, steps: Mapping[str, Step]) -> None:
        known = self._known
        for run, step in steps.items():
            known.pop(run, None)
            known[run] = step.end
        while len(known) > _MAX_KNOWN:
            del known[next(iter(known))]

    def _build_moved(self) -> Unavailable:
        return Unavailable(
            f"database {str(self._path)!r} was moved, replaced or deleted while it was open. "
            "Nothing was written; put it back, or close and open it again.",
            path=str(self._path),
        )


def _find_file(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _map_error(error: sqlite3.Error | OverflowError | UnicodeError, path: Path) -> QuorateError:
    if isinstance(error, sqlite3.Error):
        return map_error(error, path)
    mapped = InvalidInput(f"that cannot be kept in {str(path)!r}: {error}.", path=str(path))
    mapped.__cause__ = error
    return mapped


def _is_of_one_job(error: Exception) -> bool:
    """Whether one job's rows are to blame, so that the rest of its batch deserves another try."""
    return isinstance(error, (sqlite3.IntegrityError, OverflowError, UnicodeError)) or (
        getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_TOOBIG)
    )


def _build_notices(jobs: Sequence[Append], steps: Mapping[str, Step]) -> list[Row]:
    rows: list[Row] = []
    for job in jobs:
        for event in job.changes:
            if isinstance(event, NOTICES):
                summary = steps[job.run].end.summary
                rows.append((job.run, event.seq, get_kind(event), summary.tenant if summary is not None else ""))
    return rows


def _build_run_row(run: str, step: Step) -> tuple[str, Row]:
    """Build the line about a run, and say by which statement it is saved: no index is touched without need."""
    begin, end, last, updated = step.begin.summary, step.end.summary, step.end.last, step.end.updated
    if end is None:
        return "save_run", (run, last, *[None] * 9, "", 0, 0, None, "local", None, step.size)
    minute = updated // 60
    if begin is None or (end is not begin and _has_begun_again(begin, end)):
        facts = (
            end.status, end.agent, end.created, updated, end.tenant, end.session, end.task, encode_text(end.usage),
            end.cost_usd, end.owner, end.attempts, end.crashes, end.wakes, end.principal, minute, step.size,
        )  # fmt: skip
        return "save_run", (run, last, *facts)
    if end is not begin and end != structs.replace(begin, updated=end.updated, events=end.events):
        facts = (
            minute, end.status, encode_text(end.usage), end.cost_usd, end.owner, end.attempts, end.crashes, end.wakes,
        )  # fmt: skip
        return "change_run", (run, last, updated, step.size, *facts)
    if step.begin.updated // 60 != minute:
        return "advance_run_to_a_minute", (run, last, updated, step.size, minute)
    return "advance_run", (run, last, updated, step.size)


def _has_begun_again(begin: RunSummary, end: RunSummary) -> bool:
    """Whether another `run.created` came, which is strange, and yet what the log says."""
    return (begin.created, begin.agent, begin.tenant, begin.session, begin.task, begin.principal) != (
        end.created, end.agent, end.tenant, end.session, end.task, end.principal,
    )  # fmt: skip
