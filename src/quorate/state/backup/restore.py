"""How does everything in a backup come into a store, checked before and after?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from msgspec import Struct

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import Conflict, CorruptState
from quorate.ports import Entry, KeyValue, Store
from quorate.state.archive.lines import Advance, ignore_progress
from quorate.state.archive.load import RunWriter, find_first
from quorate.state.artifacts.keys import KeyRing
from quorate.state.audit.chain import HEAD, ROOM, read_head
from quorate.state.audit.row import Revealing
from quorate.state.backup.format import MAX_BYTES, BlobEnd, Manifest, Value
from quorate.state.backup.match import is_cleared, match_backup
from quorate.state.backup.read import BackupFile, open_backup
from quorate.state.backup.verify import BackupReport, check_backup

TOGETHER = 64
"""How many values are written at once."""
TOGETHER_BYTES = 8 << 20


class RestoreReport(Struct, frozen=True, kw_only=True):
    """What came of a restore; all of it was read again afterwards."""

    manifest: Manifest
    checked: BackupReport
    events: int
    """How many events were written."""
    values: int
    """How many values were written."""
    blobs: int
    """How many blobs were written."""
    expired: int = 0
    """How many values had expired by now and were left out."""


async def restore_backup(
    store: Store,
    path: Path,
    *,
    into_nonempty: bool = False,
    accept_faults: bool = False,
    audit_key: Revealing | None = None,
    keys: KeyRing | None = None,
    max_bytes: int = MAX_BYTES,
    clock: Clock = SYSTEM_CLOCK,
    progress: Advance = ignore_progress,
) -> RestoreReport:
    """Bring back what a backup has; every byte of it is checked before the first is written, and read again afterwards.

    When it is stopped, every run, value and blob is there as a whole or not at all; the same restore with
    `into_nonempty` goes on from there. Values keep the wall time at which they expire.

    Args:
        store: Where to; it must be empty.
        path: The backup.
        into_nonempty: Let there be something already: what is the same is left as it is.
        accept_faults: Restore also what does not hold together in itself, such as a broken audit trail.
        audit_key: The key of the audit trails, if they have one.
        keys: The keys that artifacts are encrypted with.
        max_bytes: How many bytes the backup may unfold to.
        clock: The wall time, which says what has expired.
        progress: Is told what is done.

    Raises:
        Conflict: The store is not empty, or has something else under the same name; nothing was written.
        CorruptState: The backup is of a newer version, was changed, or does not hold together; nothing was written.
        InvalidInput: It is no backup; nothing was written.
        StorageFull: There is no room; what was written stays.
    """
    async with open_backup(path, max_bytes=max_bytes) as backup:
        if not into_nonempty:
            await check_empty(store)
        report = await check_backup(backup, audit_key=audit_key, keys=keys, progress=progress)
        if not report.ok and not accept_faults:
            shown = "; ".join(report.faults[:3])
            raise CorruptState(f"{backup.where} does not hold together: {shown}. Restore it with `--accept-faults`.")
        now = clock.now()
        if into_nonempty:
            await match_backup(store, backup, now=now, whole=False, progress=progress)
        # Told before the first of it: whoever is stopped from here on may leave something behind.
        progress("blobs written", 0, backup.manifest.members[2].count)
        blobs = await _write_blobs(store, backup, progress)
        values, expired = await _write_values(store, backup, clock, progress)
        events = await _write_runs(store, backup, progress)
        await match_backup(store, backup, now=clock.now(), whole=True, progress=progress)
        return RestoreReport(
            manifest=backup.manifest, checked=report, events=events, values=values, blobs=blobs, expired=expired
        )


async def check_empty(store: Store) -> None:
    """Raise `Conflict` when a store keeps anything."""
    if await store.log.list_runs(limit=1):
        kept = "runs"
    elif await store.values.scan("", limit=1):
        kept = "values"
    elif await store.blobs.list_blobs(limit=1):
        kept = "blobs"
    else:
        return
    raise Conflict(
        f"{store.name} is not empty: it has {kept}. Restore into a new database, or with `--into-nonempty`, which "
        "leaves what is the same and refuses what differs."
    )


async def _write_blobs(store: Store, backup: BackupFile, progress: Advance) -> int:
    count, place, total = 0, -1, backup.manifest.members[2].count
    gone = await _find_gone(backup)
    async with aclosing(backup.read_blobs()) as pieces:
        async for piece in pieces:
            if not isinstance(piece, str):
                continue
            place += 1
            there = await store.blobs.list_blobs(piece, limit=1)
            if place in gone or (there and there[0].name == piece):
                continue
            await store.blobs.put(piece, _give_bytes(pieces))
            count += 1
            progress("blobs written", count, total)
    return count


async def _give_bytes(pieces: AsyncGenerator[str | bytes | BlobEnd]) -> AsyncGenerator[bytes]:
    async for piece in pieces:
        if not isinstance(piece, bytes):
            return
        yield piece


async def _find_gone(backup: BackupFile) -> set[int]:
    """Find which of the blobs, counted from 0, were deleted while they were backed up."""
    gone, place = set[int](), -1
    async with aclosing(backup.read_blobs()) as pieces:
        async for piece in pieces:
            if isinstance(piece, str):
                place += 1
            elif isinstance(piece, BlobEnd) and piece.gone:
                gone.add(place)
    return gone


async def _write_values(store: Store, backup: BackupFile, clock: Clock, progress: Advance) -> tuple[int, int]:
    written = expired = size = 0
    group: list[Value] = []
    async with aclosing(backup.read_values()) as values:
        async for value in values:
            if value.expires is not None and value.expires <= clock.now():
                expired += 1
                continue
            group.append(value)
            size += len(value.value)
            if len(group) >= TOGETHER or size >= TOGETHER_BYTES:
                written += await _put_values(store.values, group, clock)
                group, size = [], 0
                progress("values written", written, backup.manifest.members[1].count)
    return written + await _put_values(store.values, group, clock), expired


async def _put_values(values: KeyValue, group: list[Value], clock: Clock) -> int:
    try:
        async with asyncio.TaskGroup() as tasks:
            done = [tasks.create_task(_put_value(values, value, clock)) for value in group]
    except BaseExceptionGroup as error:
        raise find_first(error) from error
    return sum(task.result() for task in done)


async def _put_value(values: KeyValue, value: Value, clock: Clock) -> bool:
    there = await values.get(value.key)
    if there is not None and (there.value == value.value or not (is_cleared(there) or is_newer_head(value, there))):
        return False
    revision = there.revision if there is not None else 0
    ttl_s = None if value.expires is None else max(0.001, value.expires - clock.now())
    entry = await values.put(value.key, value.value, if_revision=revision, ttl_s=ttl_s)
    if value.expires is not None and entry.expires is not None and abs(entry.expires - value.expires) > 1:
        # The store's clock is another one than ours.
        ttl_s = max(0.001, value.expires - entry.updated)
        await values.put(value.key, value.value, if_revision=entry.revision, ttl_s=ttl_s)
    return True


def is_newer_head(value: Value, there: Entry) -> bool:
    """Whether a value is the head of an audit trail, and further on than the one that is there."""
    if not (value.key.startswith(ROOM) and value.key.endswith(f"/{HEAD}")):
        return False
    return read_head(value.value).seq > read_head(there.value).seq


async def _write_runs(store: Store, backup: BackupFile, progress: Advance) -> int:
    writer = RunWriter(store.log, lambda events: progress("events written", events, backup.manifest.events))
    async with aclosing(backup.read_runs()) as items:
        async for item in items:
            await writer.take(item)
    await writer.flush()
    return writer.events
