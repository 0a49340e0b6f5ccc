"""Is what a store has the same as what a backup has?"""

from __future__ import annotations

import hashlib
from contextlib import aclosing

from quorate.errors import Conflict, CorruptState, NotFound
from quorate.ports import Entry, Store
from quorate.state.archive.compare import Comparison, open_comparison
from quorate.state.archive.lines import Advance, RunEnd, RunHeader
from quorate.state.artifacts.vault import read_row
from quorate.state.audit.chain import HEAD, ROOM
from quorate.state.backup.format import BlobEnd, Value
from quorate.state.backup.read import BackupFile


async def match_backup(store: Store, backup: BackupFile, *, now: float, whole: bool, progress: Advance) -> None:
    """Compare everything a backup has with what a store has under the same names.

    Args:
        store: What was restored into, or will be.
        backup: The backup.
        now: What expired before this time may be missing.
        whole: Whether all of it must be there; if not, only what is there must be the same.
        progress: Is told what was compared.

    Raises:
        Conflict: Something is there already and differs.
        CorruptState: `whole` is asked for, and something is missing or differs.
    """
    try:
        await _match_runs(store, backup, whole=whole, progress=progress)
        await _match_values(store, backup, now=now, whole=whole, progress=progress)
        await _match_blobs(store, backup, whole=whole, progress=progress)
    except Conflict as error:
        if not whole:
            raise
        raise CorruptState(f"What was restored is not what the backup has: {error.message}") from error


async def _match_runs(store: Store, backup: BackupFile, *, whole: bool, progress: Advance) -> None:
    comparison: Comparison | None = None
    seen = 0
    async with aclosing(backup.read_runs()) as items:
        async for item in items:
            if isinstance(item, RunHeader):
                comparison = await open_comparison(store.log, item.run)
                continue
            assert comparison is not None  # the reader gives events and ends only behind a header
            if not isinstance(item, RunEnd):
                await comparison.check(item)
                continue
            if not comparison.finish(item.events) and whole:
                raise Conflict(f"run {item.run!r} has {comparison.last} events, not {item.events}.", run=item.run)
            seen += item.events
            progress("events compared", seen, backup.manifest.events)


async def _match_values(store: Store, backup: BackupFile, *, now: float, whole: bool, progress: Advance) -> None:
    seen = 0
    async with aclosing(backup.read_values()) as values:
        async for value in values:
            entry = await store.values.get(value.key)
            if entry is not None and (whole or not is_cleared(entry)):
                _match_value(value, entry)
            elif whole and (value.expires is None or value.expires > now):
                raise Conflict(f"key {value.key!r} is missing.", key=value.key)
            seen += 1
            progress("values compared", seen, backup.manifest.members[1].count)


def is_cleared(entry: Entry) -> bool:
    """Whether an entry only keeps the place of an artifact that was deleted, for a while."""
    parts = entry.key.split("/")
    if parts[0] != "artifact" or len(parts) < 4:
        return False
    if parts[2] == "blob":
        return not read_row(entry.value, entry.key).blob
    return parts[2] == "own" and not entry.value


def _match_value(value: Value, entry: Entry) -> None:
    # The end of an audit trail may be further on in one of the two.
    if entry.value != value.value and not (value.key.startswith(ROOM) and value.key.endswith(f"/{HEAD}")):
        raise Conflict(
            f"There is another value under {value.key!r} already: nothing was written. Delete one of the two, or "
            "restore into an empty database.",
            key=value.key,
        )


async def _match_blobs(store: Store, backup: BackupFile, *, whole: bool, progress: Advance) -> None:
    name, seen = "", 0
    async with aclosing(backup.read_blobs()) as pieces:
        async for piece in pieces:
            if isinstance(piece, str):
                name = piece
            elif isinstance(piece, BlobEnd) and not piece.gone:
                await _match_blob(store, name, piece, whole=whole)
                seen += 1
                progress("blobs compared", seen, backup.manifest.members[2].count)


async def _match_blob(store: Store, name: str, end: BlobEnd, *, whole: bool) -> None:
    there = await store.blobs.list_blobs(name, limit=1)
    if not there or there[0].name != name:
        if whole:
            raise Conflict(f"blob {name!r} is missing.", name=name)
        return
    digest = hashlib.sha256()
    try:
        async for chunk in store.blobs.get(name):
            digest.update(chunk)
    except NotFound:
        return
    if digest.hexdigest() != end.sha256:
        raise Conflict(f"There is another blob {name!r} already: nothing was written.", name=name)
