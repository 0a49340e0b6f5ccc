"""How are all stored values brought to the versions of today's schemas, or none of them?

What is about to be replaced is kept beside it in the store first. A failure puts it back; a process that dies leaves it
there, and the next migration goes on from it or puts it back.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable

import msgspec
from msgspec import Struct

from quorate.errors import Conflict, CorruptState, QuorateError
from quorate.ports import Entry, KeyValue
from quorate.state.places import NOBODY, ROOM, Place, read_key
from quorate.state.plain import to_plain
from quorate.state.rows import Rows
from quorate.state.schemas import StateSchema, check_not_newer, get_version, open_envelope, open_value, seal
from quorate.state.sweeps import PAGE, clear, get_room, scan_pages

GUARD_TTL_S = 120.0
"""For how long nobody else may migrate after whoever did was heard of last."""
_GUARD = f"{ROOM}{NOBODY}/migration"
_KEPT = f"{ROOM}{NOBODY}/migrated/"
_DONE = f"{ROOM}{NOBODY}/migration-done"
"""There from the moment a migration is whole until what it kept is dropped: that is never put back."""

Report = Callable[[int, int], None]
"""Told after each page how many values were looked at, and how many were migrated."""


class Migrated(Struct, frozen=True, kw_only=True, gc=False):
    """What a migration did."""

    seen: int = 0
    """How many values of a schema were looked at."""
    changed: int = 0
    """How many of them were older and are of today's version now."""


class _Kept(Struct, frozen=True, kw_only=True, gc=False):
    """What stood at a key before it was migrated."""

    key: str
    new: str
    """SHA-256 of what replaced it: if something else stands there, somebody else wrote it."""
    expires: float | None
    old: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Kept).decode


class _Guard:
    """Keeps two migrations apart."""

    def __init__(self, values: KeyValue) -> None:
        self._values = values
        self._revision = 0
        self.is_lost = False

    async def hold(self) -> None:
        """Begin, or tell that one is still at it.

        Raises:
            Conflict: Somebody else is migrating.
        """
        try:
            entry = await self._values.put(_GUARD, b"{}", if_revision=self._revision, ttl_s=GUARD_TTL_S)
        except Conflict as error:
            self.is_lost = True
            raise Conflict("Somebody else is migrating the stored values: wait until that is done.") from error
        self._revision = entry.revision

    async def drop(self) -> None:
        """Let others migrate."""
        await self._values.delete(_GUARD)


async def migrate_all(rows: Rows, *, tenant: str | None, report: Report) -> Migrated:
    """Migrate every value that is older than its schema; when one cannot be, put all back that were.

    Args:
        rows: The values and their schemas.
        tenant: Whose; everybody's when it is `None`.
        report: Told how far it has come.

    Raises:
        Conflict: Somebody else is migrating.
        CorruptState: A value cannot be migrated, or is of a newer version; the message names it and the step.
        InvalidInput: There is no migration for one of the steps.
    """
    guard = _Guard(rows.values)
    await guard.hold()
    try:
        if await rows.values.get(_DONE) is not None:
            await _drop_kept(rows.values)
        done = await _go_through(rows, guard, tenant=tenant, report=report)
        await rows.values.put(_DONE, b"{}")
    except BaseException as error:
        if not guard.is_lost:
            words = await _put_back(rows)
            if isinstance(error, QuorateError):
                error.args = (f"{error.message} {words}",)
            await guard.drop()
        raise
    await _drop_kept(rows.values)
    await guard.drop()
    return done


async def _drop_kept(values: KeyValue) -> None:
    await clear(values, _KEPT)
    await values.delete(_DONE)


async def _go_through(rows: Rows, guard: _Guard, *, tenant: str | None, report: Report) -> Migrated:
    seen = changed = 0
    async for page in scan_pages(rows.values, get_room(tenant)):
        await guard.hold()
        for entry in page:
            place = read_key(entry.key)
            schema = rows.schemas.find(place.name) if place is not None else None
            if place is not None and schema is not None:
                seen += 1
                changed += await _migrate(rows, entry, place, schema)
        report(seen, changed)
    return Migrated(seen=seen, changed=changed)


async def _migrate(rows: Rows, entry: Entry | None, place: Place, schema: StateSchema) -> bool:
    """Migrate one value, again when somebody changes it meanwhile; say whether it was older."""
    for attempt in range(rows.patience.attempts):
        data = _build(rows, entry, place, schema) if entry is not None else None
        if entry is None or data is None:
            return False
        await _keep(rows.values, entry, data)
        try:
            await rows.put(entry.key, data, if_revision=entry.revision, until=entry.expires)
        except Conflict:
            await rows.patience.wait(attempt)
            entry = await rows.values.get(entry.key)
        else:
            return True
    raise Conflict(f"state {place.describe()} is changed all the time: migrate it when there is less to do.")


def _build(rows: Rows, entry: Entry, place: Place, schema: StateSchema) -> bytes | None:
    """Build what a value becomes, or `None` when it is of today's version."""
    where = f"state {place.describe()}"
    envelope = open_envelope(entry.value, where=where)
    check_not_newer(envelope, schema, where=where)
    if envelope.gone or get_version(envelope, schema) == schema.version:
        return None
    value = open_value(envelope, schema, where=where)
    return seal(to_plain(value, name=place.name, where=where, rules=rows.rules), schema, where=where)


async def _keep(values: KeyValue, entry: Entry, data: bytes) -> None:
    """Keep what is about to be replaced; of a value that an unfinished migration wrote, what was there before it."""
    key = _KEPT + hashlib.sha256(entry.key.encode()).hexdigest()
    row = await values.get(key)
    before = _read_kept(row) if row is not None else None
    if before is not None and before.new == _hash(entry.value):
        old, expires = before.old, before.expires
    else:
        old, expires = zlib.compress(entry.value, 1), entry.expires
    await values.put(key, _encode(_Kept(key=entry.key, new=_hash(data), expires=expires, old=old)))


async def _put_back(rows: Rows) -> str:
    """Put everything back that an unfinished migration replaced, and say so.

    What somebody else has written since stays as it is: it is no work of the migration.
    """
    back = later = 0
    while page := await rows.values.scan(_KEPT, limit=PAGE):
        for row in page:
            kept = _read_kept(row)
            old, entry = zlib.decompress(kept.old), await rows.values.get(kept.key)
            if entry is not None and _hash(entry.value) == kept.new:
                try:
                    await rows.put(kept.key, old, if_revision=entry.revision, until=kept.expires)
                    back += 1
                except Conflict:
                    later += 1
            elif entry is not None and entry.value != old:
                later += 1
            await rows.values.delete(row.key)
    others = f" ({later} that others have changed since are as those left them)" if later else ""
    return f"Nothing is migrated: the values that had been ({back}) are as they were{others}."


def _read_kept(row: Entry) -> _Kept:
    try:
        return _decode(row.value)
    except msgspec.DecodeError as error:
        raise CorruptState(f"What a migration kept under {row.key!r} does not verify: {error}.") from error


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
