"""What does `quorate audit` do?"""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncGenerator, Callable
from typing import Annotated, get_args

import typer

from quorate.cli.backup import AuditKeyFile, read_audit_key
from quorate.cli.bars import open_steps
from quorate.cli.console import escape_json, say, say_all, say_json, tell
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Force, Json, Quiet, read_word
from quorate.cli.quantities import read_time
from quorate.cli.transfer import write_file
from quorate.cli.words import align, clean_line, show_time
from quorate.errors import InvalidInput
from quorate.runtime import Runtime
from quorate.state.audit import AuditFilter, AuditHead, AuditReport, AuditRow, AuditTrail, Outcome
from quorate.state.audit.row import encode_row

MOST_LISTED = 30
PAGE = 500
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
_ANCHOR = re.compile(r"(\d{1,15}):((?:hmac-)?sha256:[0-9a-f]{64})", re.ASCII)

Principal = Annotated[str, typer.Option("--principal", metavar="WHO", help="Only what somebody did.")]
Action = Annotated[str, typer.Option("--action", help="Only such acts: run.cancel, or run for all about runs.")]
Object = Annotated[str, typer.Option("--object", help="Only what was done to something, such as run/run-1.")]
OutcomeOption = Annotated[str | None, typer.Option("--outcome", help="Only those that were done, or refused.")]
Since = Annotated[str | None, typer.Option("--since", metavar="TIME", help="2026-01-31, or 7d ago.")]
Tenant = Annotated[str, typer.Option("--tenant", metavar="NAME", help="Whose trail.")]
Before = Annotated[str | None, typer.Option("--before", metavar="TIME", help="2026-01-31, or 7d ago.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands about the audit trail."""
    group = typer.Typer(
        help="Show, check and export who did what and what was refused.", rich_markup_mode=None, no_args_is_help=True
    )
    group.command("list")(list_rows)
    group.command("verify")(verify)
    group.command("export")(export)
    app.add_typer(group, name="audit")


def list_rows(
    *,
    principal: Principal = "",
    action: Action = "",
    object: Object = "",
    outcome: OutcomeOption = None,
    since: Since = None,
    before: Before = None,
    after: Annotated[int | None, typer.Option("--after", min=0, help="From behind this row on, oldest first.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many to show.")] = MOST_LISTED,
    tenant: Tenant = "default",
    json: Json = False,
) -> None:
    """List the last acts that were done or refused, the oldest of them first."""

    async def work(runtime: Runtime) -> list[AuditRow]:
        match = _read_filter(
            runtime, principal=principal, action=action, object=object, outcome=outcome, since=since, before=before
        )
        trail = runtime.for_tenant(tenant).audit
        if after is not None:
            return await trail.read(after=after, limit=limit, match=match)
        return await trail.read_last(limit=limit, match=match)

    found = run_with_runtime(work)
    if json:
        say_json({"rows": found})
        return
    say_all(
        align([_render_row(row) for row in found])
        or ["There are no such rows. What is done from now on is written down: see `quorate audit list --help`."]
    )
    if after is not None and len(found) == limit:
        tell(f"More: the same with --after {found[-1].seq}")


def verify(
    *,
    anchor: Annotated[
        str | None, typer.Option("--anchor", metavar="SEQ:HASH", help="What an earlier check printed, kept elsewhere.")
    ] = None,
    audit_key_file: AuditKeyFile = None,
    tenant: Tenant = "default",
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Check every row from the first on, and name the first that is not as it was written."""
    noted, key = _read_anchor(anchor), read_audit_key(audit_key_file)

    async def work(runtime: Runtime) -> AuditReport:
        runtime = runtime.for_tenant(tenant)
        trail = runtime.audit
        if key is not None:
            trail = AuditTrail(runtime.store.values, clock=runtime.clock, tenant=tenant, key=key)
        with open_steps(quiet=quiet) as advance:
            return await trail.verify(anchor=noted, progress=lambda done, total: advance("rows checked", done, total))

    report = run_with_runtime(work)
    if json:
        say_json({"ok": report.ok, "report": report})
        return 0 if report.ok else 1
    if report.fault is not None:
        say(f"✗ Row {report.fault.seq} is {report.fault.kind}: {report.fault.message}")
        say(f"It stands under {report.fault.key!r}. The {report.rows} rows before it verify.")
        return 1
    say(f"All {report.rows} rows verify.")
    if report.unchecked:
        say(f"{report.unchecked} of them were made with a key: give it with --audit-key-file to check their text.")
    if report.rows:
        say(f"Keep this elsewhere, to see later that nothing was cut off: --anchor {report.head}")
    return 0


def export(
    file: Annotated[str | None, typer.Option("--output", "-o", metavar="FILE", help="Where to.")] = None,
    *,
    principal: Principal = "",
    action: Action = "",
    object: Object = "",
    outcome: OutcomeOption = None,
    since: Since = None,
    before: Before = None,
    tenant: Tenant = "default",
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Write rows as lines of JSON, exactly as they are stored: each can be checked with `sha256sum`."""

    async def work(runtime: Runtime) -> None:
        match = _read_filter(
            runtime, principal=principal, action=action, object=object, outcome=outcome, since=since, before=before
        )
        with open_steps(quiet=quiet) as advance:
            trail = runtime.for_tenant(tenant).audit
            lines = _iterate(trail, match, advance=lambda rows: advance("rows exported", rows, 0))
            if file is not None:
                await write_file(file, lines, lambda _: None, force=force)
                return
            async for piece in lines:
                if sys.stdout.isatty():
                    sys.stdout.write(escape_json(piece.decode().rstrip("\n")) + "\n")
                else:
                    sys.stdout.buffer.write(piece)
                    sys.stdout.buffer.flush()

    run_with_runtime(work)
    if file is not None:
        say(f"Written to {file}.")


async def _iterate(trail: AuditTrail, match: AuditFilter, *, advance: Callable[[int], None]) -> AsyncGenerator[bytes]:
    after = count = 0
    while rows := await trail.read(after=after, limit=PAGE, match=match):
        yield b"".join(encode_row(row) + b"\n" for row in rows)
        after, count = rows[-1].seq, count + len(rows)
        advance(count)


def _read_filter(
    runtime: Runtime,
    *,
    principal: str,
    action: str,
    object: str,
    outcome: str | None,
    since: str | None,
    before: str | None,
) -> AuditFilter:
    now = runtime.clock.now()
    return AuditFilter(
        principal=principal,
        action=action,
        object=object,
        outcome=read_word("outcome", outcome, OUTCOMES),
        since=None if since is None else read_time(since, now=now, ahead=False),
        before=None if before is None else read_time(before, now=now, ahead=False),
    )


def _read_anchor(text: str | None) -> AuditHead | None:
    if text is None:
        return None
    match = _ANCHOR.fullmatch(text)
    if match is None:
        raise InvalidInput(f"`--anchor {text[:40]}` is not one: give what `quorate audit verify` printed.")
    return AuditHead(seq=int(match[1]), hash=match[2])


def _render_row(row: AuditRow) -> tuple[str, ...]:
    facts = " ".join(f"{name}={_show_fact(value)}" for name, value in row.facts.items())
    words = clean_line(" ".join(part for part in (row.reason, facts) if part), most=80)
    return (
        str(row.seq),
        show_time(row.time),
        row.outcome,
        clean_line(row.principal, most=24),
        row.action,
        clean_line(row.object, most=60),
        words,
    )


def _show_fact(value: object) -> str:
    return "" if value is None else str(value)
