"""How is everything in a store put into one file while it is being used?"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import CorruptState, NotFound
from quorate.events import AnyEvent
from quorate.ports import Blobs, Entry, Store
from quorate.state.archive.export import build_lines
from quorate.state.archive.lines import Advance, ignore_progress
from quorate.state.archive.reading import read_groups, read_whole, scan_runs
from quorate.state.artifacts.vault import read_row
from quorate.state.backup.format import (
    BLOBS,
    MANIFEST,
    MAX_FRAME,
    RUNS,
    VALUES,
    BlobEnd,
    BlobHeader,
    Manifest,
    Value,
    build_frame,
    build_manifest,
)
from quorate.state.backup.write import PIECE, ArchiveWriter, open_writer
from quorate.state.threads import Threads

PAGE = 50
BLOB_PAGE = 500
ARTIFACTS = "artifact"
TRIES = 3


async def create_backup(
    store: Store,
    path: Path,
    *,
    force: bool = False,
    clock: Clock = SYSTEM_CLOCK,
    progress: Advance = ignore_progress,
) -> Manifest:
    """Write everything a store keeps to one file, and return what is in it.

    The store may be used meanwhile. Of each run a beginning is kept, and what refers to something else is read first:
    runs, then values, then bytes, so that nothing in the backup lacks what was there when it was begun.

    Args:
        store: What to back up.
        path: Where to; the file gets its name when it is whole, and only its owner may read it.
        force: Overwrite a file that is there.
        clock: What the backup is dated by.
        progress: Is told what is written.

    Raises:
        Conflict: There is such a file already.
        StorageFull: There is no room; nothing is left behind.
        CorruptState: Something in the store does not verify.
        Unavailable: The store or the folder cannot be used.
    """
    began = clock.now()
    async with open_writer(path, force=force) as writer:
        events = await _write_runs(store, writer, progress)
        named = await _write_values(store, writer, progress)
        await _write_blobs(store, writer, named, progress)
        manifest = build_manifest(
            tuple(writer.members),
            store=store.name,
            tool=await asyncio.to_thread(_find_version),
            began=began,
            finished=clock.now(),
            events=events,
        )
        await writer.begin(MANIFEST)
        await writer.write(msgspec.json.format(msgspec.json.encode(manifest), indent=2))
        await writer.end(MANIFEST, 1)
    return manifest


def _find_version() -> str:
    try:
        return version("quorate")
    except PackageNotFoundError:
        return "unknown"


async def _write_runs(store: Store, writer: ArchiveWriter, progress: Advance) -> int:
    await writer.begin(RUNS)
    runs = events = 0
    async with aclosing(scan_runs(store.log)) as pages:
        async for page in pages:
            async with aclosing(read_groups(store.log, page)) as groups:
                async for summary, whole in groups:
                    given = read_whole(store.log, summary.run, upto=summary.events) if whole is None else _give(whole)
                    count = await _write_run(summary.run, given, writer)
                    runs, events = runs + (count > 0), events + count
            progress("runs", runs, 0)
    await writer.end(RUNS, runs)
    return events


async def _give(events: list[AnyEvent]) -> AsyncGenerator[AnyEvent]:
    for event in events:
        yield event


async def _write_run(run: str, events: AsyncGenerator[AnyEvent], writer: ArchiveWriter) -> int:
    count = 0
    try:
        async with aclosing(events):
            async for line in build_lines(run, events):
                await writer.write(line)
                count += 1
    except NotFound:  # it was deleted since it was listed
        if count:
            raise
        return 0
    return count - 2  # the marks around the run


async def _write_values(store: Store, writer: ArchiveWriter, progress: Advance) -> dict[str, str]:
    """Write the values by key; return the names of blobs that they name, with the keys under which they do."""
    await writer.begin(VALUES)
    count, after, named = 0, "", dict[str, str]()
    while entries := await store.values.scan("", after=after, limit=PAGE):
        for entry in entries:
            room = entry.key.split("/", 2)[:2]
            if room[0] == ARTIFACTS and len(room) == 2:
                # `0` comes next behind `/`: all of the tenant's artifacts are done then.
                after = f"{ARTIFACTS}/{room[1]}0"
                count += await _write_artifacts(store, writer, f"{ARTIFACTS}/{room[1]}/", named)
                break
            await writer.write(_encode_value(entry))
            count, after = count + 1, entry.key
        progress("values", count, 0)
    await writer.end(VALUES, count)
    return named


async def _write_artifacts(store: Store, writer: ArchiveWriter, prefix: str, named: dict[str, str]) -> int:
    """Write the values of a tenant's artifacts, whose rows of bytes come first and are read last.

    An artifact that is saved meanwhile then has its bytes, too; the others wait in a temporary file.
    """
    count, threads = 0, Threads(1)
    aside = await threads.run(tempfile.TemporaryFile)
    try:
        async for entry in _scan(store, prefix, after=f"{prefix}blob0"):
            await threads.run(partial(aside.write, _encode_value(entry)))
            count += 1
        async for entry in _scan(store, prefix, upto=f"{prefix}blob0"):
            await writer.write(_encode_value(entry))
            if entry.key.startswith(f"{prefix}blob/"):
                with suppress(CorruptState):  # verifying the backup tells
                    named[read_row(entry.value, entry.key).blob] = entry.key
            count += 1
        await threads.run(partial(aside.seek, 0))
        while piece := await threads.run(partial(aside.read, PIECE)):
            await writer.write(piece)
    finally:
        await threads.run(aside.close)
    named.pop("", None)
    return count


async def _scan(store: Store, prefix: str, *, after: str = "", upto: str | None = None) -> AsyncGenerator[Entry]:
    while entries := await store.values.scan(prefix, after=after, limit=PAGE):
        for entry in entries:
            if upto is not None and entry.key.encode() >= upto.encode():
                return
            yield entry
        after = entries[-1].key


def _encode_value(entry: Entry) -> bytes:
    return msgspec.json.encode(Value(key=entry.key, value=entry.value, expires=entry.expires)) + b"\n"


async def _write_blobs(store: Store, writer: ArchiveWriter, named: dict[str, str], progress: Advance) -> None:
    """Write the blobs by name, and what became of those that were named and are not there any more."""
    await writer.begin(BLOBS)
    count, after, waiting = 0, "", deque(sorted(named))
    while True:
        blobs = await store.blobs.list_blobs(after=after, limit=BLOB_PAGE)
        for blob in blobs:
            while waiting and waiting[0] < blob.name:
                name = waiting.popleft()
                count += await _write_moved(store, name, named[name], writer)
            if waiting and waiting[0] == blob.name:
                waiting.popleft()
            if await _write_blob(store.blobs, blob.name, writer, source=blob.name):
                count += 1
            elif blob.name in named:
                count += await _write_moved(store, blob.name, named[blob.name], writer)
            progress("blobs", count, len(named))
        if len(blobs) < BLOB_PAGE:
            break
        after = blobs[-1].name
    for name in waiting:
        count += await _write_moved(store, name, named[name], writer)
    await writer.end(BLOBS, count)


async def _write_moved(store: Store, name: str, key: str, writer: ArchiveWriter) -> bool:
    """Write under its old name what was encrypted anew since it was named; or that it was deleted."""
    for _ in range(TRIES):
        entry = await store.values.get(key)
        moved = read_row(entry.value, key).blob if entry is not None else ""
        if moved == name:
            return False  # it is lost; verifying the backup tells
        if not moved:
            break
        # The bytes are bound to their digest and not to their name.
        if await _write_blob(store.blobs, name, writer, source=moved):
            return True
    await _write_gone(name, writer)
    return False


async def _write_blob(blobs: Blobs, name: str, writer: ArchiveWriter, *, source: str) -> bool:
    pieces = blobs.get(source)
    try:
        piece = await anext(pieces, None)
    except NotFound:
        return False
    await writer.write(build_frame(msgspec.json.encode(BlobHeader(blob=name))))
    size, digest, gone = 0, hashlib.sha256(), False
    try:
        while piece is not None:
            for begin in range(0, len(piece), MAX_FRAME):
                part = piece[begin : begin + MAX_FRAME]
                size += len(part)
                digest.update(part)
                await writer.write(build_frame(part))
            piece = await anext(pieces, None)
    except NotFound:
        gone = True
    await writer.write(build_frame(b""))
    end = BlobEnd(size=size, sha256=digest.hexdigest(), gone=gone)
    await writer.write(build_frame(msgspec.json.encode(end)))
    return not gone


async def _write_gone(name: str, writer: ArchiveWriter) -> None:
    end = BlobEnd(size=0, sha256=hashlib.sha256().hexdigest(), gone=True)
    for frame in (msgspec.json.encode(BlobHeader(blob=name)), b"", msgspec.json.encode(end)):
        await writer.write(build_frame(frame))
