"""How are values kept in a SQLite file, and notices until they were told?"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from quorate.clock import Clock
from quorate.ports import Entry, Notice
from quorate.state.backends._checks import (
    build_key_conflict,
    check_count,
    check_key,
    check_text,
    check_value,
    find_end,
)
from quorate.state.backends._rows import EntryRow, sum_entry, verify_entry
from quorate.state.backends._sqlite_line import Line

_SWEPT = 8
"""How many expired values go whenever one that expires is put: more than come, so they never pile up."""


class SqliteValues:
    """A `KeyValue` in a SQLite file, by a clock."""

    __slots__ = ("_clock", "_line")

    def __init__(self, line: Line, clock: Clock) -> None:
        self._line = line
        self._clock = clock

    async def get(self, key: str) -> Entry | None:
        """Return an entry; see `quorate.ports.KeyValue`."""
        values = {"key": check_key(key), "now": self._clock.now()}

        def read(connection: sqlite3.Connection, statements: Mapping[str, str]) -> Entry | None:
            row: EntryRow | None = connection.execute(statements["get_entry"], values).fetchone()
            return None if row is None else verify_entry(row)

        return await self._line.ask(read)

    async def put(self, key: str, value: bytes, *, if_revision: int | None = None, ttl_s: float | None = None) -> Entry:
        """Store a value; see `quorate.ports.KeyValue`."""
        body = bytes(check_value(check_key(key), value))

        def write(connection: sqlite3.Connection, statements: Mapping[str, str]) -> Entry:
            now = self._clock.now()
            _check_revision(connection, statements, key, if_revision, now=now)
            expires = None if ttl_s is None else now + ttl_s
            row = (key, now, expires, sum_entry(key, body), body)
            revision = connection.execute(statements["put_entry"], row).lastrowid
            assert revision is not None, "an insert has a row"
            if ttl_s is not None:
                connection.execute(statements["sweep_entries"], {"now": now, "limit": _SWEPT})
            return Entry(key=key, value=body, revision=revision, updated=now, expires=expires)

        return await self._line.change(write, size=len(body))

    async def delete(self, key: str, *, if_revision: int | None = None) -> bool:
        """Forget a key; see `quorate.ports.KeyValue`."""
        check_key(key)

        def write(connection: sqlite3.Connection, statements: Mapping[str, str]) -> bool:
            revision = _check_revision(connection, statements, key, if_revision, now=self._clock.now())
            connection.execute(statements["delete_entry"], (key,))
            return bool(revision)

        return await self._line.change(write)

    async def scan(self, prefix: str, *, after: str = "", limit: int = 100) -> list[Entry]:
        """Return entries in order; see `quorate.ports.KeyValue`."""
        name, values = build_range("scan_entries", prefix, after, limit)
        values["now"] = self._clock.now()

        def read(connection: sqlite3.Connection, statements: Mapping[str, str]) -> list[Entry]:
            rows: list[EntryRow] = connection.execute(statements[name], values).fetchall()
            return [verify_entry(row) for row in rows]

        return await self._line.ask(read)


class SqliteOutbox:
    """An `Outbox` in a SQLite file."""

    __slots__ = ("_line",)

    def __init__(self, line: Line) -> None:
        self._line = line

    async def pending(self, *, limit: int = 100) -> list[Notice]:
        """Return what was not told yet; see `quorate.ports.Outbox`."""
        check_count(limit, "limit")

        def read(connection: sqlite3.Connection, statements: Mapping[str, str]) -> list[Notice]:
            rows = connection.execute(statements["list_notices"], (limit,)).fetchall()
            return [
                Notice(id=number, run=run, seq=seq, kind=kind, tenant=tenant) for number, run, seq, kind, tenant in rows
            ]

        return await self._line.ask(read)

    async def done(self, ids: Sequence[int]) -> None:
        """Mark notices as told; see `quorate.ports.Outbox`."""
        rows = [(number,) for number in ids]

        def write(connection: sqlite3.Connection, statements: Mapping[str, str]) -> None:
            connection.executemany(statements["delete_notice"], rows)

        await self._line.change(write)


def build_range(name: str, prefix: str, after: str, limit: int) -> tuple[str, dict[str, object]]:
    """Choose the statement that reads what begins with a prefix, and build its values."""
    check_count(limit, "limit")
    end = find_end(prefix)
    if end is None:
        end = b""  # every text sorts before any blob
    values: dict[str, object] = {"begin": check_text(prefix, "prefix"), "end": end, "limit": limit}
    # Text in Python sorts by code points, which is the order of its bytes in UTF-8.
    if check_text(after, "key") >= prefix and after:
        return f"{name}_after", {**values, "begin": after}
    return name, values


def _check_revision(
    connection: sqlite3.Connection, statements: Mapping[str, str], key: str, expected: int | None, *, now: float
) -> int:
    row = connection.execute(statements["get_revision"], {"key": key, "now": now}).fetchone()
    revision = int(row[0]) if row else 0
    if expected is not None and revision != expected:
        raise build_key_conflict(key, revision, expected)
    return revision
