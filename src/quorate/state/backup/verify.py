"""Can a backup be restored, and does everything in it hold together?"""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

from msgspec import Struct

from quorate.state.archive.lines import Advance, RunEnd, RunHeader, ignore_progress
from quorate.state.artifacts.keys import KeyRing
from quorate.state.audit.chain import ROOM
from quorate.state.audit.row import Revealing
from quorate.state.audit.verify import AuditReport, ChainCheck
from quorate.state.backup.format import MAX_BYTES, BlobEnd, Manifest
from quorate.state.backup.read import BackupFile, open_backup
from quorate.state.backup.references import BlobCheck, References


class BackupReport(Struct, frozen=True, kw_only=True):
    """What came of looking at every byte of a backup."""

    manifest: Manifest
    runs: int
    events: int
    values: int
    blobs: int
    audit: tuple[AuditReport, ...]
    """The trail of each tenant."""
    faults: tuple[str, ...] = ()
    """What does not hold together although the backup is what was written, the first hundred."""
    dangling: int = 0
    """How many artifacts that a log names were deleted before."""
    vanished: int = 0
    """Of how many artifacts the bytes were deleted while the backup was made; what knows of them is here still."""
    unchecked: int = 0
    """How many encrypted blobs could not be looked into."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


async def verify_backup(
    path: Path,
    *,
    audit_key: Revealing | None = None,
    keys: KeyRing | None = None,
    max_bytes: int = MAX_BYTES,
    progress: Advance = ignore_progress,
) -> BackupReport:
    """Read all of a backup and check it: digests, every event, every audit trail, every artifact, every reference.

    Args:
        path: The backup.
        audit_key: The key of the audit trails, if they have one.
        keys: The keys that artifacts are encrypted with; those of others are counted as unchecked.
        max_bytes: How many bytes it may unfold to.
        progress: Is told what was read.

    Raises:
        NotFound: There is no such file.
        InvalidInput: It is no backup, or a line in it is none.
        CorruptState: It is of a newer version, or not what was written.
        TooLarge: It unfolds to too much.
    """
    async with open_backup(path, max_bytes=max_bytes) as backup:
        return await check_backup(backup, audit_key=audit_key, keys=keys, progress=progress)


async def check_backup(
    backup: BackupFile,
    *,
    audit_key: Revealing | None = None,
    keys: KeyRing | None = None,
    progress: Advance = ignore_progress,
) -> BackupReport:
    """Check an open backup; see `verify_backup`."""
    references = References(began=backup.manifest.began, keys=keys)
    runs, events = await _check_runs(backup, references, progress)
    values, audit = await _check_values(backup, references, audit_key, progress)
    blobs = await _check_blobs(backup, references, progress)
    references.finish()
    if events != backup.manifest.events:
        references.fail(f"there are {events} events, and the manifest says {backup.manifest.events}")
    return BackupReport(
        manifest=backup.manifest,
        runs=runs,
        events=events,
        values=values,
        blobs=blobs,
        audit=audit,
        faults=tuple(references.faults),
        dangling=references.dangling,
        vanished=references.vanished,
        unchecked=references.unchecked,
    )


async def _check_runs(backup: BackupFile, references: References, progress: Advance) -> tuple[int, int]:
    runs = events = 0
    tenant, total = "", backup.manifest.events
    async with aclosing(backup.read_runs()) as items:
        async for item in items:
            if isinstance(item, RunHeader):
                tenant = item.tenant
            elif isinstance(item, RunEnd):
                runs, events = runs + 1, events + item.events
                progress("events checked", events, total)
            else:
                references.add_event(item, tenant=tenant)
    return runs, events


async def _check_values(
    backup: BackupFile, references: References, audit_key: Revealing | None, progress: Advance
) -> tuple[int, tuple[AuditReport, ...]]:
    count, total = 0, backup.manifest.members[1].count
    checks: dict[str, ChainCheck] = {}
    async with aclosing(backup.read_values()) as values:
        async for value in values:
            count += 1
            if value.key.startswith(ROOM) and value.key.count("/") >= 2:
                tenant = value.key.split("/")[1]
                if tenant not in checks:
                    checks[tenant] = ChainCheck(tenant, key=audit_key)
                checks[tenant].feed(value.key, value.value)
            else:
                references.add_value(value)
            progress("values checked", count, total)
    reports = tuple(check.finish() for check in checks.values())
    for report in reports:
        if report.fault is not None:
            references.fail(f"the audit trail of tenant {report.tenant!r} is broken: {report.fault.message}")
    return count, reports


async def _check_blobs(backup: BackupFile, references: References, progress: Advance) -> int:
    count, total = 0, backup.manifest.members[2].count
    name, check = "", None
    async with aclosing(backup.read_blobs()) as pieces:
        async for piece in pieces:
            if isinstance(piece, str):
                name, check = piece, references.add_blob(piece)
            elif isinstance(piece, BlobEnd):
                if piece.gone:
                    references.drop_blob(name)
                elif isinstance(check, BlobCheck) and (fault := check.finish()):
                    references.fail(f"artifact bytes {name!r}: {fault}")
                count += not piece.gone
                progress("blobs checked", count, total)
            elif check is not None:
                check.feed(piece)
    return count
