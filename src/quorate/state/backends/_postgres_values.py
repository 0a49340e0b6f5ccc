"""How are values kept in PostgreSQL, and notices until they were told?"""

from __future__ import annotations

from collections.abc import Sequence

from quorate.errors import Conflict
from quorate.ports import Entry, Notice
from quorate.state.backends._checks import build_key_conflict, check_key, check_text, check_value, find_end
from quorate.state.backends._postgres_lines import Lines
from quorate.state.backends._postgres_rows import unescape
from quorate.state.backends._rows import EntryRow, sum_entry, verify_entry

_SWEPT = 8
"""How many expired values go whenever one that expires is put: more than come, so they never pile up."""

_TRIES = 3

Stamp = tuple[int, float, float | None]
"""Revision, time of the change and time of expiry, as the database gave them."""


class PostgresValues:
    """A `KeyValue` in a PostgreSQL database."""

    __slots__ = ("_lines",)

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    async def get(self, key: str) -> Entry | None:
        """Return an entry; see `quorate.ports.KeyValue`."""
        rows = await self._lines.read(EntryRow, "get_entry", check_key(key))
        return verify_entry(rows[0]) if rows else None

    async def put(self, key: str, value: bytes, *, if_revision: int | None = None, ttl_s: float | None = None) -> Entry:
        """Store a value; see `quorate.ports.KeyValue`."""
        body = bytes(check_value(check_key(key), value))
        facts: tuple[object, ...] = (key, ttl_s, sum_entry(key, body), body)
        for _ in range(_TRIES):
            if if_revision is None:
                rows = await self._lines.write(Stamp, "put_entry", *facts)
            elif if_revision == 0:
                rows = await self._lines.write(Stamp, "add_entry", *facts)
            else:
                rows = await self._lines.write(Stamp, "replace_entry", *facts, if_revision)
            if rows:
                break
            # What was in the way may be gone by now; then there is no conflict to tell of.
            revision = await self._find_revision(key)
            if revision != if_revision:
                raise build_key_conflict(key, revision, if_revision or 0)
        else:
            raise Conflict(f"key {key!r} changes too fast: somebody else wrote first.", key=key)
        if ttl_s is not None:
            await self._lines.write(tuple[()], "sweep_entries", _SWEPT)
        revision, updated, expires = rows[0]
        return Entry(key=key, value=body, revision=revision, updated=updated, expires=expires)

    async def delete(self, key: str, *, if_revision: int | None = None) -> bool:
        """Forget a key; see `quorate.ports.KeyValue`."""
        check_key(key)
        if if_revision is None:
            rows = await self._lines.write(tuple[bool], "delete_entry", key)
            return bool(rows) and rows[0][0]
        if if_revision > 0 and await self._lines.write(tuple[bool], "delete_entry_of", key, if_revision):
            return True
        revision = await self._find_revision(key)
        if revision != if_revision:
            raise build_key_conflict(key, revision, if_revision)
        return False

    async def scan(self, prefix: str, *, after: str = "", limit: int = 100) -> list[Entry]:
        """Return entries in order; see `quorate.ports.KeyValue`."""
        rows = await self._lines.read(EntryRow, *build_range(self._lines, "scan_entries", prefix, after, limit))
        return [verify_entry(row) for row in rows]

    async def _find_revision(self, key: str) -> int:
        rows = await self._lines.read(tuple[int], "get_revision", key)
        return rows[0][0] if rows else 0


class PostgresOutbox:
    """An `Outbox` in a PostgreSQL database."""

    __slots__ = ("_lines",)

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    async def pending(self, *, limit: int = 100) -> list[Notice]:
        """Return what was not told yet; see `quorate.ports.Outbox`."""
        rows = await self._lines.read(tuple[int, str, int, str, str], "list_notices", limit)
        return [
            Notice(id=number, run=run, seq=seq, kind=kind, tenant=unescape(tenant))
            for number, run, seq, kind, tenant in rows
        ]

    async def done(self, ids: Sequence[int]) -> None:
        """Mark notices as told; see `quorate.ports.Outbox`."""
        await self._lines.write(tuple[()], "delete_notices", list(ids))


def build_range(lines: Lines, name: str, prefix: str, after: str, limit: int) -> tuple[str, str, str, str | None, int]:
    """Build a statement that reads what begins with a prefix by its index, and its parameters.

    Raises:
        InvalidInput: The prefix or the place is no text that anything can begin with.
    """
    # Nothing stored holds U+0000, which no parameter may: what begins with it is nothing, and what sorts behind
    # `a\0b` is what sorts behind `a`.
    if "\0" in check_text(prefix, "prefix"):
        prefix, limit = prefix.partition("\0")[0], 0
    after = check_text(after, "after").partition("\0")[0]
    end = find_end(prefix)
    block = lines.statements["end_nowhere" if end is None else f"{name}_end"]
    return lines.statements[name].format(end=block), prefix, after, end, limit
