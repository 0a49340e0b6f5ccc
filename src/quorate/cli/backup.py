"""What does `quorate backup` do?"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from quorate.cli.bars import open_steps
from quorate.cli.console import say, say_all, say_json, tell
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Force, Json, Quiet
from quorate.cli.person import get_user
from quorate.cli.quantities import show_count, show_size
from quorate.cli.watch import run_async
from quorate.cli.words import align, clean_line, show_time
from quorate.errors import Conflict, InvalidInput
from quorate.runtime import Runtime
from quorate.security.secrets import Secret
from quorate.state.archive.lines import Advance
from quorate.state.artifacts.keys import KeyRing, read_keys
from quorate.state.backup import BackupReport, Manifest, RestoreReport, create_backup, restore_backup, verify_backup

MAX_KEY_FILE = 64 << 10

BackupFile = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]
AuditKeyFile = Annotated[
    Path | None,
    typer.Option("--audit-key-file", metavar="FILE", help="Holds the key of the audit trail, if it has one."),
]
"""Where the key of the audit trail is."""
ArtifactKeysFile = Annotated[
    Path | None,
    typer.Option("--artifact-keys-file", metavar="FILE", help="Holds the keys of encrypted artifacts: id:base64,…"),
]
"""Where the keys of artifacts are."""


def add_commands(app: typer.Typer) -> None:
    """Add the commands about backups."""
    group = typer.Typer(
        help="Put everything the database keeps into one file, check it, bring it back.",
        rich_markup_mode=None,
        no_args_is_help=True,
    )
    group.command("create")(create)
    group.command("verify")(verify)
    group.command("restore")(restore)
    app.add_typer(group, name="backup")


def create(file: BackupFile, *, force: Force = False, json: Json = False, quiet: Quiet = False) -> None:
    """Write runs, sessions, state, artifacts and audit trails of all tenants to one file, while they are being used."""

    async def work(runtime: Runtime) -> Manifest:
        with open_steps(quiet=quiet) as advance:
            manifest = await create_backup(
                runtime.store, file.absolute(), force=force, clock=runtime.clock, progress=advance
            )
        facts = {"events": manifest.events, "runs_sha256": manifest.members[0].sha256}
        await runtime.audit.append("backup.create", principal=get_user(), object=f"backup/{file.name}", facts=facts)
        return manifest

    manifest = run_with_runtime(work)
    if json:
        say_json({"file": str(file), "manifest": manifest})
        return
    say(f"{manifest.store} is backed up to {file}: {_count(manifest)}.")
    say(f"Check it where you keep it: quorate backup verify {file}")


def verify(
    file: BackupFile,
    *,
    audit_key_file: AuditKeyFile = None,
    artifact_keys_file: ArtifactKeysFile = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Read all of a backup: digests, every event, the audit trails, every artifact, and what refers to what."""
    key, keys = read_audit_key(audit_key_file), read_artifact_keys(artifact_keys_file)

    async def work() -> BackupReport:
        with open_steps(quiet=quiet) as advance:
            return await verify_backup(file, audit_key=key, keys=keys, progress=advance)

    report = run_async(work())
    if json:
        say_json({"ok": report.ok, "report": report})
    else:
        say_all(_render(file, report))
    return 0 if report.ok else 1


def restore(
    file: BackupFile,
    *,
    into_nonempty: Annotated[
        bool, typer.Option("--into-nonempty", help="Let there be something already; what is the same stays as it is.")
    ] = False,
    accept_faults: Annotated[
        bool, typer.Option("--accept-faults", help="Restore also what does not hold together in itself.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check; nothing is written.")] = False,
    audit_key_file: AuditKeyFile = None,
    artifact_keys_file: ArtifactKeysFile = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Bring back what a backup has, into an empty database; stop the workers before.

    All of it is checked before anything is written, and read again afterwards.
    """
    key, keys = read_audit_key(audit_key_file), read_artifact_keys(artifact_keys_file)
    if dry_run:
        return verify(
            file, audit_key_file=audit_key_file, artifact_keys_file=artifact_keys_file, json=json, quiet=quiet
        )

    async def work(runtime: Runtime) -> RestoreReport:
        place, who = f"backup/{file.name}", get_user()
        with open_steps(quiet=quiet) as advance, _explain_stop(file, advance) as told:
            try:
                report = await restore_backup(
                    runtime.store,
                    file,
                    into_nonempty=into_nonempty,
                    accept_faults=accept_faults,
                    audit_key=key,
                    keys=keys,
                    clock=runtime.clock,
                    progress=told,
                )
            except Conflict as refusal:
                # There is something in the store, so that a row more does not make it another one.
                await runtime.audit.append(
                    "backup.restore", principal=who, object=place, outcome="refused", reason=refusal.code
                )
                raise
        facts = {"events": report.events, "values": report.values, "blobs": report.blobs}
        await runtime.audit.append("backup.restore", principal=who, object=place, facts=facts)
        return report

    report = run_with_runtime(work, is_news=False)
    if json:
        say_json({"restored": report})
        return 0
    say(
        f"Restored from {file} and read again: {show_count(report.events, 'event')}, "
        f"{show_count(report.values, 'value')}, {show_count(report.blobs, 'blob')}"
        f"{f'; expired meanwhile: {report.expired}' if report.expired else ''}."
    )
    say("Look at it: quorate runs list; quorate audit verify")
    return 0


@contextmanager
def _explain_stop(file: Path, advance: Advance) -> Generator[Advance]:
    """Say how the database stands when somebody stops a restore."""
    written = False

    def note(what: str, done: int, total: int) -> None:
        nonlocal written
        written = written or "written" in what
        advance(what, done, total)

    try:
        yield note
    except asyncio.CancelledError:
        if written:
            tell(
                "Stopped. Each run, value and blob is there as a whole or not at all. "
                f"Go on with: quorate backup restore {file} --into-nonempty"
            )
        else:
            tell("Stopped. Nothing was written.")
        raise


def read_audit_key(file: Path | None) -> Secret | None:
    """Read the key of the audit trail from a file.

    Raises:
        InvalidInput: It cannot be read.
    """
    return None if file is None else Secret(_read_secret(file).strip())


def read_artifact_keys(file: Path | None) -> KeyRing | None:
    """Read the keys of artifacts from a file.

    Raises:
        InvalidInput: It cannot be read, or has no keys.
    """
    return None if file is None else read_keys(_read_secret(file).strip())


def _read_secret(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_KEY_FILE + 1)
        text = data.decode()
    except OSError as error:
        raise InvalidInput(f"{str(file)!r} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{str(file)!r} holds no text: name the file that has the key.") from error
    if len(data) > MAX_KEY_FILE:
        raise InvalidInput(f"{str(file)!r} is too long to be a key: name the file that has it.")
    return text


def _count(manifest: Manifest) -> str:
    runs, values, blobs = (member.count for member in manifest.members)
    size = show_size(sum(member.size for member in manifest.members))
    counts = [show_count(values, "value"), show_count(blobs, "blob"), size]
    return f"{show_count(runs, 'run')} with {show_count(manifest.events, 'event')}, {', '.join(counts)}"


def _render(file: Path, report: BackupReport) -> list[str]:
    rows = [
        ("backup", clean_line(str(file))),
        ("of", clean_line(report.manifest.store)),
        ("made", f"{show_time(report.manifest.began)} UTC by Quorate {clean_line(report.manifest.tool)}"),
        ("has", _count(report.manifest)),
        *(("audit", f"tenant {one.tenant}: {one.rows} rows verify") for one in report.audit),
    ]
    lines = align(rows)
    rows_unchecked = sum(one.unchecked for one in report.audit)
    if rows_unchecked:
        lines.append(f"{rows_unchecked} audit rows were made with a key: give it with --audit-key-file.")
    if report.unchecked:
        lines.append(f"{report.unchecked} blobs are encrypted: give their keys with --artifact-keys-file.")
    if report.dangling:
        lines.append(f"{report.dangling} artifacts that logs name had been deleted before.")
    lines += [f"✗ {clean_line(fault)}" for fault in report.faults]
    return [*lines, "Everything verifies." if report.ok else "It does not hold together."]
