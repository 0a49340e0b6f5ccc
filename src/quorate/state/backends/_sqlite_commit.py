"""How do appends that wait at the same time become one durable transaction, and each its own outcome?"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from zlib import crc32

import msgspec
from msgspec import structs

from quorate.codec.json import decode_event, encode, encode_text
from quorate.errors import Conflict, CorruptState, InvalidInput, QuorateError, TooLarge, Unavailable
from quorate.events import SCHEMA_VERSION, AnyEvent, RunSummary, get_kind, summarize
from quorate.state.backends._lane import Job, Work
from quorate.state.backends._sqlite_file import get_number, map_error, roll_back
from quorate.state.backends._sqlite_read import RunRow, build_summary
from quorate.state.sql import load_queries

MAX_BODY_BYTES = 64 << 20
"""The most bytes one event may have; what is larger belongs into an artifact."""

_MAX_KNOWN = 8192

EventRow = tuple[str, int, str, str, str, str, float, int, bytes]
"""A row of `events`, in the order of its columns."""

State = tuple[int, RunSummary | None]
"""A run's last `seq`, and the one line about it."""


class Append(Job[None]):
    """Events of one run on their way to the disk, encoded already, and known to be readable again."""

    __slots__ = ("events", "expected", "rows", "run")

    def __init__(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
        self.run = run
        self.expected = expected
        self.events: list[AnyEvent] = []
        self.rows: list[EventRow] = []
        size = 0
        for seq, given in enumerate(events, expected + 1):
            event, body = _encode(run, seq, given)
            kind = get_kind(event)
            size += len(body)
            self.events.append(event)
            self.rows.append((run, seq, event.key, kind, SCHEMA_VERSION, event.attempt, event.time, crc32(body), body))
        super().__init__(size=size)


def _encode(run: str, seq: int, event: AnyEvent) -> tuple[AnyEvent, bytes]:
    """Return an event's bytes, and the event as it will be read: what cannot be read must not be recorded."""
    kind = get_kind(event)
    if event.run != run or event.seq != seq:
        raise InvalidInput(
            f"event {kind!r} bears run {event.run!r} seq {event.seq}, but is appended as run {run!r} seq {seq}."
        )
    try:
        body = encode(event)
        # JSON has no NaN and no lone surrogates, and a struct may be built with fields of wrong types.
        readable = decode_event(body)
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError, CorruptState) as error:
        raise InvalidInput(
            f"event {kind!r} of run {run!r} with key {event.key!r} cannot be written as JSON: {error}.", run=run
        ) from error
    if len(body) > MAX_BODY_BYTES:
        raise TooLarge(
            f"event {kind!r} of run {run!r} has {len(body)} bytes; at most {MAX_BODY_BYTES} are kept. "
            "Save it as an artifact and record the handle.",
            run=run,
        )
    return readable, body


@contextmanager
def open_writer(
    path: Path, connect: Callable[[], AbstractContextManager[sqlite3.Connection]]
) -> Generator[Work[Append]]:
    """Open the one connection that writes, and give what commits a batch with it."""
    with connect() as connection:
        yield Committer(connection, path).commit


class Committer:
    """Writes batches; owned by the writer's thread."""

    __slots__ = ("_connection", "_file", "_known", "_path", "_queries", "_version")

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._queries: Mapping[str, str] = load_queries()
        self._file = _find_file(path)
        self._version = -1
        self._known: dict[str, State] = {}

    def commit(self, jobs: Sequence[Append]) -> None:
        """Write what is in order in one transaction; a conflict fails its own append alone."""
        try:
            errors = self._write(jobs)
        except sqlite3.Error as error:
            self._known.clear()
            roll_back(self._connection)
            if len(jobs) > 1 and _is_of_one_run(error):
                for job in jobs:
                    self.commit([job])
                return
            errors = [map_error(error, self._path) for _ in jobs]
        for job, refusal in zip(jobs, errors, strict=True):
            if refusal is None:
                job.finish(None)
            else:
                job.fail(refusal)

    def _write(self, jobs: Sequence[Append]) -> list[QuorateError | None]:
        if self._file != _find_file(self._path):
            # What is written into a file without a name is gone when it is closed.
            return [self._build_moved() for _ in jobs]
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        self._forget_if_others_wrote()
        states: dict[str, State] = {}
        rows: list[EventRow] = []
        errors: list[QuorateError | None] = []
        for job in jobs:
            last, summary = states.get(job.run) or self._find_state(job.run)
            if last != job.expected:
                errors.append(_build_conflict(job, last))
                continue
            states[job.run] = (last + len(job.rows), summarize(summary, job.events))
            rows += job.rows
            errors.append(None)
        self._connection.executemany(self._queries["insert_event"], rows)
        self._save_runs(states)
        execute("COMMIT")
        self._remember(states)
        return errors

    def _forget_if_others_wrote(self) -> None:
        version = get_number(self._connection, "PRAGMA data_version")
        if version != self._version:
            self._known.clear()
            self._version = version

    def _find_state(self, run: str) -> State:
        state = self._known.get(run)
        if state is None:
            row: RunRow | None = self._connection.execute(self._queries["get_run"], (run,)).fetchone()
            state = (row[1], build_summary(row)) if row else (0, None)
        return state

    def _save_runs(self, states: Mapping[str, State]) -> None:
        saved: list[tuple[object, ...]] = []
        advanced: list[tuple[str, float | None, int]] = []
        for run, (last, summary) in states.items():
            known = self._known.get(run, (0, None))[1]
            if known is not None and summary is not None and _is_same_but_later(known, summary):
                advanced.append((run, summary.updated, last))
            elif last:
                saved.append(_build_run_row(run, last, summary))
        self._connection.executemany(self._queries["save_run"], saved)
        self._connection.executemany(self._queries["advance_run"], advanced)

    def _remember(self, states: Mapping[str, State]) -> None:
        known = self._known
        for run in states:
            known.pop(run, None)
        known.update(states)
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


def _is_of_one_run(error: sqlite3.Error) -> bool:
    """Whether one run's rows are to blame, so that the rest of its batch deserves another try."""
    return isinstance(error, sqlite3.IntegrityError) or (
        getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_TOOBIG)
    )


def _is_same_but_later(known: RunSummary, summary: RunSummary) -> bool:
    """Whether only position and time moved on, so that no index needs to be touched."""
    return summary == structs.replace(known, updated=summary.updated, events=summary.events)


def _build_conflict(job: Append, last: int) -> Conflict:
    return Conflict(
        f"run {job.run!r} has {last} events, not {job.expected}: somebody else wrote first.",
        run=job.run,
        last=last,
    )


def _build_run_row(run: str, last: int, summary: RunSummary | None) -> tuple[object, ...]:
    if summary is None:
        return (run, last, *[None] * 9)
    return (
        run, last, summary.status, summary.agent, summary.created, summary.updated, summary.tenant,
        summary.session, summary.task, encode_text(summary.usage), summary.cost_usd,
    )  # fmt: skip
