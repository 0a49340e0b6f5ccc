"""What does `quorate quotas` do?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from quorate.cli.console import say_all, say_json, tell
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Json
from quorate.cli.person import get_user
from quorate.cli.quantities import read_size, show_size
from quorate.cli.words import align, clean_line, show_duration
from quorate.errors import InvalidInput
from quorate.runtime import Runtime
from quorate.runtime.quotas import QuotaUse
from quorate.runtime.tenants import TenantActs, find_quotas
from quorate.security.quotas import (
    PERIODS,
    Quota,
    QuotaKind,
    QuotaPeriod,
    QuotaTable,
    check_subject,
    name_subject,
    write_amount,
)

KINDS: dict[str, QuotaKind] = {kind: kind for kind in PERIODS}
EXAMPLES = "requests=600/minute, tokens=1000000/day, usd=50/month, runs=10 or bytes=5G"
Tenant = Annotated[str, typer.Option("--tenant", metavar="NAME", help="Whose quotas.")]
Project = Annotated[str | None, typer.Option("--project", metavar="NAME", help="Those of a project of it.")]
Key = Annotated[str | None, typer.Option("--key", metavar="KEY", help="Those of a key of it.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands about quotas."""
    group = typer.Typer(
        help="Bound what tenants, projects and keys may use.", rich_markup_mode=None, no_args_is_help=True
    )
    group.command("list")(list_quotas)
    group.command("show")(show_quotas)
    group.command("set")(set_quotas)
    group.command("clear")(clear_quotas)
    app.add_typer(group, name="quotas")


def list_quotas(*, tenant: Tenant = "default", json: Json = False) -> None:
    """List all quotas of a tenant, with what is used and what is left."""
    _show(tenant, None, json=json)


def show_quotas(*, tenant: Tenant = "default", project: Project = None, key: Key = None, json: Json = False) -> None:
    """Show the quotas of a tenant alone, or of a project or a key of it."""
    _show(tenant, _read_subject(project, key), json=json)


def set_quotas(
    quotas: Annotated[list[str], typer.Argument(metavar="QUOTA...", help=f"Such as {EXAMPLES}.")],
    *,
    tenant: Tenant = "default",
    project: Project = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Set quotas; others that are there stay. They hold everywhere within five seconds."""
    chosen, subject = [read_quota(text) for text in quotas], _read_subject(project, key)

    async def work(runtime: Runtime) -> QuotaTable:
        return await TenantActs(runtime, by=get_user()).change_quotas(tenant, subject, add=chosen)

    _tell(run_with_runtime(work), tenant, subject, json=json)


def clear_quotas(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME...]", help="Which, such as requests-minute; all of them when not given."),
    ] = None,
    *,
    tenant: Tenant = "default",
    project: Project = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Take quotas away; what they counted bounds nobody any more."""
    subject = _read_subject(project, key)
    known = {f"{kind}-{period}" for kind, periods in PERIODS.items() for period in periods}
    for name in names or ():
        if name not in known:
            raise InvalidInput(f"{name[:80]!r} is no quota: give one of {', '.join(sorted(known))}.")

    async def work(runtime: Runtime) -> QuotaTable:
        acts = TenantActs(runtime, by=get_user())
        if names:
            return await acts.change_quotas(tenant, subject, drop=tuple(names))
        return await acts.set_quotas(tenant, subject, ())

    _tell(run_with_runtime(work), tenant, subject, json=json)


def read_quota(text: str) -> Quota:
    """Read a quota as it is written on the command line, such as `requests=600/minute`.

    Raises:
        InvalidInput: It is none.
    """
    match = re.fullmatch(r"([a-z]+)=([0-9.]+[kmgtKMGT]?[bB]?)(?:/([a-z]+))?", text.strip(), re.ASCII)
    if match is None or match[1] not in KINDS:
        raise InvalidInput(f"{text[:80]!r} is no quota: write it like {EXAMPLES}.")
    kind = KINDS[match[1]]
    known = PERIODS[kind]
    wanted: str = match[3] or known[0]
    per: QuotaPeriod | None = next((period for period in known if period == wanted), None)
    if per is None or (match[3] is None and len(known) > 1):
        said = " or ".join(f"{match[1]}={match[2]}/{period}" for period in known) if len(known) > 1 else match[1]
        raise InvalidInput(f"{text[:80]!r} does not say in what time: write {said}.")
    try:
        most = float(match[2]) if kind == "usd" else float(read_size(match[2]))
    except ValueError as error:
        raise InvalidInput(f"{text[:80]!r} is no amount of money: write it like usd=50/month.") from error
    return Quota(kind=kind, most=most, per=per)


def _read_subject(project: str | None, key: str | None) -> str:
    if project is not None and key is not None:
        raise InvalidInput("A project and a key have quotas of their own each: give `--project` or `--key`.")
    return check_subject(f"project/{project}" if project is not None else f"key/{key}" if key is not None else "")


def _show(tenant: str, subject: str | None, *, json: bool) -> None:
    async def work(runtime: Runtime) -> list[QuotaUse]:
        return await find_quotas(runtime).list_uses(tenant)

    uses = [use for use in run_with_runtime(work) if subject in (None, use.subject)]
    if json:
        say_json([{**msgspec.to_builtins(use), "left": use.left} for use in uses])
        return
    rows = [_build_row(use, tenant) for use in uses]
    say_all(align([("WHOSE", "QUOTA", "MOST", "USED", "LEFT", "MORE IN"), *rows] if rows else []) or [_none(tenant)])


def _none(tenant: str) -> str:
    return (
        f"No quota bounds tenant {clean_line(tenant, most=63)}. Set one: `quorate quotas set {EXAMPLES.split(',')[0]}`."
    )


def _build_row(use: QuotaUse, tenant: str) -> tuple[str, ...]:
    quota = use.quota

    def show(amount: float) -> str:
        if quota.kind == "usd":
            return f"${amount:.4f}"  # as costs are shown
        return show_size(amount) if quota.kind == "bytes" else f"{amount:,.0f}"

    used = show(use.used) + (f" + {show(use.held)} held" if use.held else "")
    again = "" if use.reset_s is None else show_duration(use.reset_s)
    return (name_subject(use.subject, tenant), quota.name, show(quota.most), used, show(use.left), again)


def _tell(table: QuotaTable, tenant: str, subject: str, *, json: bool) -> None:
    quotas: Sequence[Quota] = table.subjects.get(subject, ())
    if json:
        say_json(quotas)
    else:
        names = ", ".join(f"{quota.name} {write_amount(quota)}" for quota in quotas) or "none"
        tell(f"The quotas of {name_subject(subject, tenant)}: {names}.")
