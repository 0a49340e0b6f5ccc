"""How are runs exported, imported, deleted and pruned from the command line?"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, BinaryIO, cast, get_args

import typer

from quorate.cli.bars import open_steps
from quorate.cli.console import say, say_all, say_json, tell
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import DryRun, Force, Json, Quiet, Yes, read_word
from quorate.cli.person import confirm, get_user
from quorate.cli.quantities import read_duration, read_size, show_count
from quorate.cli.transfer import STANDARD, write_file
from quorate.cli.words import align, show_time
from quorate.errors import InvalidInput, NotFound, QuorateError
from quorate.events import Status
from quorate.runtime import Runtime
from quorate.state.archive import ImportReport, export_runs, import_runs
from quorate.state.archive.reading import scan_runs
from quorate.state.erasure import Eraser, ErasureCertificate, ErasureReport, read_certificate, verify_erasure
from quorate.state.erasure.certificate import MAX_BYTES, Subject, encode_certificate
from quorate.state.erasure.inventory import Inventory
from quorate.state.retention import PruneReport, RetentionPolicy, prune_runs

MOST_SHOWN = 20
PIECE = 1 << 20
STATUSES: tuple[Status, ...] = get_args(Status)

Runs = Annotated[list[str] | None, typer.Argument(metavar="RUN", help="The runs' ids.")]
Output = Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Where to; - is standard output.")]


def add_keep_commands(group: typer.Typer) -> None:
    """Add the commands about keeping runs to those about runs."""
    group.command("export")(export)
    group.command("import")(import_file)
    group.command("delete")(delete)
    group.command("check-deleted")(check_deleted)
    group.command("prune")(prune)


def export(
    runs: Runs = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All runs of the tenant.")] = False,
    output: Output = STANDARD,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Write runs as lines of JSON, one event a line."""
    if every == bool(runs):
        raise InvalidInput("name the runs to export, or say `--all`.")

    async def work(runtime: Runtime) -> None:
        chosen = list(runs or ())
        if every:
            async with aclosing(scan_runs(runtime.log, tenant=runtime.tenant)) as pages:
                chosen = [summary.run async for page in pages for summary in page]
        with tempfile.TemporaryFile() as aside, open_steps(quiet=quiet) as advance:
            # Half of an export is none: it is put together before any of it is given out.
            await export_runs(runtime.log, chosen, aside, tenant=runtime.tenant, progress=advance)
            aside.seek(0)
            if output != STANDARD:
                await write_file(output, _read_pieces(aside), lambda _: None, force=force)
                tell(f"Written to {output}: {show_count(len(chosen), 'run')}.")
                return
            while piece := aside.read(PIECE):
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()

    run_with_runtime(work)


async def _read_pieces(file: BinaryIO) -> AsyncGenerator[bytes]:
    while piece := file.read(PIECE):
        yield piece


def import_file(
    file: Annotated[str, typer.Argument(metavar="FILE", help="What `export` wrote; - is standard input.")],
    *,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Read runs that were exported; every line is checked before the first run is written."""

    async def work(runtime: Runtime) -> ImportReport:
        with _open(file) as stream, open_steps(quiet=quiet) as advance:
            place = f"import/{os.path.basename(file)}"
            try:
                report = await import_runs(
                    runtime.log, stream, tenant=runtime.tenant, what=file, dry_run=dry_run, progress=advance
                )
            except QuorateError as refusal:
                if not refusal.retryable and not dry_run:
                    await runtime.audit.append(
                        "run.import", principal=get_user(), object=place, outcome="refused", reason=refusal.code
                    )
                raise
        if not dry_run:
            facts = {"runs": report.runs, "events": report.events, "skipped": report.skipped}
            await runtime.audit.append("run.import", principal=get_user(), object=place, facts=facts)
        return report

    report = run_with_runtime(work, is_news=False)
    if json:
        say_json({"dry_run": dry_run, "report": report})
        return
    done = "would be imported" if dry_run else "is imported" if report.runs == 1 else "are imported"
    say(f"{show_count(report.runs, 'run')} with {show_count(report.events, 'event')} {done}.")
    if report.skipped:
        say(f"Already there, the same in every event: {show_count(report.skipped, 'run')}.")


def delete(
    runs: Runs = None,
    *,
    session: Annotated[str | None, typer.Option("--session", help="A session with all its runs.")] = None,
    principal: Annotated[
        str | None, typer.Option("--principal", metavar="WHO", help="Everything of somebody, sessions included.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is written down.")] = "",
    certificate: Annotated[
        str | None, typer.Option("--certificate", metavar="FILE", help="Where to write the proof.")
    ] = None,
    force: Force = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Delete runs, a session, or everything of somebody for good, and prove it.

    Logs, artifacts and values go; then all is looked for again. The audit trail stays.
    """
    targets = _read_targets(runs or (), session, principal)
    if certificate is not None and len(targets) > 1:
        raise InvalidInput("one certificate is for one thing: delete the runs one by one, or print all with `--json`.")

    async def preview(runtime: Runtime) -> list[Inventory]:
        return [await _open_eraser(runtime).preview(subject, name) for subject, name in targets]

    if dry_run or not (yes or json):
        found = run_with_runtime(preview)
        counted = _count(found)
        if dry_run:
            if json:
                say_json({"dry_run": True, "counts": counted})
            else:
                say(f"There would be deleted: {_list_counts(counted)}.")
            return
        confirm(f"Delete {_list_counts(counted)} for good?")
    elif not yes:
        raise InvalidInput("nobody is asked with `--json`: add `--yes` if you mean it.")

    async def work(runtime: Runtime) -> list[ErasureCertificate]:
        with open_steps(quiet=quiet) as advance:
            eraser = Eraser(
                runtime.store, tenant=runtime.tenant, clock=runtime.clock, audit=runtime.audit, progress=advance
            )
            done = [await _erase(eraser, subject, name, reason=reason) for subject, name in targets]
        if certificate is not None:
            await write_file(certificate, _give(encode_certificate(done[0])), lambda _: None, force=force)
        return done

    done = run_with_runtime(work)
    if json:
        say_json({"certificates": done})
        return
    for one in done:
        say(f"Deleted and looked for again: {_list_counts(one.counts)}. Certificate {one.id}, digest {one.digest}.")
    if certificate is not None:
        say(f"Check it at any time: quorate runs check-deleted {certificate}")


def check_deleted(
    certificate: Annotated[Path, typer.Argument(metavar="CERTIFICATE", help="What `delete --certificate` wrote.")],
    *,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Look whether anything of what was deleted is there again, such as from an older backup."""
    try:
        with certificate.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"{str(certificate)!r} cannot be read: {error.strerror}.") from error
    given = read_certificate(data)

    async def work(runtime: Runtime) -> ErasureReport:
        if given.tenant != runtime.tenant:
            raise NotFound(f"Certificate {given.id!r} is not of this tenant: check it as tenant {given.tenant!r}.")
        with open_steps(quiet=quiet) as advance:
            return await verify_erasure(runtime.store, given, audit=runtime.audit, progress=advance)

    report = run_with_runtime(work)
    if json:
        say_json({"ok": report.ok, "report": report})
        return 0 if report.ok else 1
    say_all(f"✗ {thing} is there" for thing in report.found)
    if not report.recorded:
        say("✗ The audit trail has no such certificate: it was changed, or is of another database.")
    if report.ok:
        say(f"Nothing of it is there, among {report.searched} things; the audit trail has the certificate.")
    return 0 if report.ok else 1


def prune(
    *,
    max_age: Annotated[
        str | None, typer.Option("--max-age", metavar="TIME", help="Keep younger ones: 30d, 12h.")
    ] = None,
    max_runs: Annotated[int | None, typer.Option("--max-runs", min=0, help="Keep so many, the youngest.")] = None,
    max_size: Annotated[str | None, typer.Option("--max-size", metavar="SIZE", help="Keep so many bytes: 2g.")] = None,
    status: Annotated[
        list[str] | None, typer.Option("--status", help="Only those; may be given several times.")
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Delete old runs that have ended; what others need stays."""
    if max_age is None and max_runs is None and max_size is None:
        raise InvalidInput("say what to keep: `--max-age 30d`, `--max-runs 10000` or `--max-size 2g`.")
    policy = RetentionPolicy(
        max_age_s=None if max_age is None else read_duration(max_age),
        max_runs=max_runs,
        max_bytes=None if max_size is None else read_size(max_size),
        statuses=tuple(read for one in status or () if (read := read_word("status", one, STATUSES))),
    )

    async def work(runtime: Runtime, *, only_look: bool) -> PruneReport:
        with open_steps(quiet=quiet) as advance:
            return await prune_runs(
                runtime.store,
                policy,
                clock=runtime.clock,
                tenant=runtime.tenant,
                audit=runtime.audit,
                by=get_user(),
                dry_run=only_look,
                progress=advance,
            )

    if dry_run or not yes:
        looked = run_with_runtime(lambda runtime: work(runtime, only_look=True))
        if dry_run:
            _show_plan(looked, json=json)
            return
        if not looked.plan.taken:
            _show_plan(looked, json=json)
            return
        confirm(f"Delete {show_count(len(looked.plan.taken), 'run')} for good?")
    report = run_with_runtime(lambda runtime: work(runtime, only_look=False))
    if json:
        say_json(
            {"runs": report.runs, "events": report.events, "artifacts": report.artifacts, "kept": report.plan.kept}
        )
        return
    parts = show_count(report.events, "event"), show_count(report.artifacts, "artifact")
    say(f"Deleted: {show_count(report.runs, 'run')} with {' and '.join(parts)}.")
    if report.skipped:
        say(f"Kept, because somebody went on with their session meanwhile: {show_count(report.skipped, 'run')}.")


def _show_plan(report: PruneReport, *, json: bool) -> None:
    plan = report.plan
    if json:
        taken = [{"run": one.run.run, "status": one.run.status, "why": one.why} for one in plan.taken]
        say_json({"dry_run": True, "taken": taken, "kept": plan.kept, "held": plan.held})
        return
    rows = [(one.run.run, one.run.status, one.why, show_time(one.run.updated)) for one in plan.taken[:MOST_SHOWN]]
    say_all(align(rows))
    more = len(plan.taken) - len(rows)
    shown = f" ({more} more than shown)" if more else ""
    say(f"{show_count(len(plan.taken), 'run')} would go{shown}, {plan.kept} would stay.")
    if plan.held:
        say(f"{plan.held} are over the bound and stay: their sessions go on, or others go on from them.")


def _read_targets(runs: Sequence[str], session: str | None, principal: str | None) -> list[tuple[Subject, str]]:
    if bool(runs) + (session is not None) + (principal is not None) != 1:
        raise InvalidInput("say what to delete, one kind at a time: runs, `--session SESSION` or `--principal WHO`.")
    if session is not None:
        return [("session", session)]
    if principal is not None:
        return [("principal", principal)]
    return [("run", run) for run in dict.fromkeys(runs)]


def _open_eraser(runtime: Runtime) -> Eraser:
    return Eraser(runtime.store, tenant=runtime.tenant, clock=runtime.clock, audit=runtime.audit)


async def _erase(eraser: Eraser, subject: Subject, name: str, *, reason: str) -> ErasureCertificate:
    if subject == "run":
        return await eraser.erase_run(name, by=get_user(), reason=reason)
    if subject == "session":
        return await eraser.erase_session(name, by=get_user(), reason=reason)
    return await eraser.erase_principal(name, by=get_user(), reason=reason)


async def _give(data: bytes) -> AsyncGenerator[bytes]:
    yield data


def _count(found: Sequence[Inventory]) -> dict[str, int]:
    return {
        "run": sum(len(one.runs) for one in found),
        "session": sum(len(one.sessions) for one in found),
        "artifact": sum(len(one.artifacts) for one in found),
        "value": sum(len(one.values) for one in found),
    }


def _list_counts(counted: dict[str, int]) -> str:
    return ", ".join(show_count(count, kind) for kind, count in counted.items() if count) or "nothing"


def _open(file: str) -> BinaryIO:
    if file == STANDARD:
        return open(os.dup(sys.stdin.fileno()), "rb")
    try:
        return cast("BinaryIO", Path(file).open("rb"))
    except OSError as error:
        raise InvalidInput(f"{file!r} cannot be read: {error.strerror}.") from error
