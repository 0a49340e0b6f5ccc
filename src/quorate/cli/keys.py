"""What does `quorate keys` do?"""

from __future__ import annotations

from typing import Annotated

import typer

from quorate.cli.console import say, say_all, say_json, tell
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Json, Yes
from quorate.cli.person import confirm, get_user
from quorate.cli.quantities import read_duration
from quorate.cli.words import align, clean_line, show_time
from quorate.runtime import Runtime
from quorate.runtime.access import open_keys
from quorate.runtime.acts import noted
from quorate.runtime.tenants import check_project_of, pass_on_quotas
from quorate.security.keys import OVERLAP_S, ApiKey, NewKey

KeyId = Annotated[str, typer.Argument(metavar="KEY", help="The key's id.")]
Tenant = Annotated[str, typer.Option("--tenant", metavar="NAME", help="Whose keys.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands about API keys."""
    group = typer.Typer(
        help="Make, list, show, rotate and revoke API keys.", rich_markup_mode=None, no_args_is_help=True
    )
    group.command("create")(create_key)
    group.command("list")(list_keys)
    group.command("show")(show_key)
    group.command("rotate")(rotate_key)
    group.command("revoke")(revoke_key)
    app.add_typer(group, name="keys")


def create_key(
    *,
    role: Annotated[str, typer.Option("--role", help="viewer, operator or admin.")] = "operator",
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="AREA:VERB", help="Only this, such as runs:read; may be given several times."),
    ] = None,
    principal: Annotated[
        str | None, typer.Option("--principal", metavar="NAME", help="Who uses it; yourself by default.")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="What it is for.")] = "",
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="TIME", help="How long it lasts, such as 90d; for ever if not.")
    ] = None,
    project: Annotated[
        str | None, typer.Option("--project", metavar="NAME", help="The project whose quotas it counts in, too.")
    ] = None,
    tenant: Tenant = "default",
    json: Json = False,
) -> None:
    """Make a key. It is shown this once, and cannot be read back."""
    lasts_s = None if expires is None else read_duration(expires)

    async def work(runtime: Runtime) -> NewKey:
        runtime, who = runtime.for_tenant(tenant), get_user()
        async with noted(runtime.audit, "key.create", principal=who, object=f"tenant/{tenant}") as facts:
            if project is not None:
                await check_project_of(runtime, tenant, project)
            new = await open_keys(runtime).create(
                tenant=tenant,
                principal=principal or who,
                role=role,
                scopes=tuple(scope or ()),
                name=name,
                by=who,
                lasts_s=lasts_s,
                project=project or "",
            )
            facts["key"] = new.key.id
            return new

    _say_new(run_with_runtime(work), json=json)


def list_keys(*, tenant: Tenant = "default", json: Json = False) -> None:
    """List the keys of a tenant; what it takes to use them is not kept."""

    async def work(runtime: Runtime) -> tuple[list[ApiKey], float]:
        keys = [key async for key in open_keys(runtime).list_keys(tenant=tenant)]
        return sorted(keys, key=lambda key: key.created), runtime.clock.now()

    keys, now = run_with_runtime(work)
    if json:
        say_json([_describe(key) for key in keys])
        return
    rows = [
        (
            key.id,
            _find_state(key, now),
            key.role,
            key.principal,
            show_time(key.created),
            clean_line(key.name or " ".join(key.scopes)),
        )
        for key in keys
    ]
    say_all(align(rows) or ["There are no keys. Make one: `quorate keys create --role admin`."])


def show_key(key: KeyId, *, tenant: Tenant = "default", json: Json = False) -> None:
    """Show what is known of a key."""

    async def work(runtime: Runtime) -> tuple[ApiKey, float]:
        return await open_keys(runtime).show(key, tenant=tenant), runtime.clock.now()

    found, now = run_with_runtime(work)
    if json:
        say_json(_describe(found))
        return
    facts = {
        "id": found.id,
        "state": _find_state(found, now),
        "for": found.name,
        "principal": found.principal,
        "role": found.role,
        "project": found.project,
        "scopes": ", ".join(found.scopes) or "all that its role may",
        "made": f"{show_time(found.created)} by {found.by}",
        "expires": "never" if found.expires is None else show_time(found.expires),
        "revoked": "" if found.revoked is None else show_time(found.revoked),
        "last used": "never, as far as is known" if found.used is None else show_time(found.used),
        "replaces": found.replaces,
    }
    say_all(align([(name, clean_line(value)) for name, value in facts.items() if value]))


def rotate_key(
    key: KeyId,
    *,
    overlap: Annotated[
        str | None, typer.Option("--overlap", metavar="TIME", help="How long the old one goes on; a day by default.")
    ] = None,
    tenant: Tenant = "default",
    json: Json = False,
) -> None:
    """Make a key in place of another one, which goes on working for a while."""
    overlap_s = OVERLAP_S if overlap is None else read_duration(overlap)

    async def work(runtime: Runtime) -> NewKey:
        runtime, who = runtime.for_tenant(tenant), get_user()
        async with noted(runtime.audit, "key.rotate", principal=who, object=f"key/{clean_line(key, most=40)}") as facts:
            new = await open_keys(runtime).rotate(key, tenant=tenant, by=who, overlap_s=overlap_s)
            facts["key"] = new.key.id
            await pass_on_quotas(runtime, tenant, old=key, new=new.key.id)
            return new

    _say_new(run_with_runtime(work), json=json)


def revoke_key(key: KeyId, *, tenant: Tenant = "default", yes: Yes = False, json: Json = False) -> None:
    """End a key for good; it is refused everywhere within five seconds."""
    if not yes:
        confirm(f"End key {clean_line(key, most=40)}?")

    async def work(runtime: Runtime) -> ApiKey:
        runtime, who = runtime.for_tenant(tenant), get_user()
        async with noted(runtime.audit, "key.revoke", principal=who, object=f"key/{clean_line(key, most=40)}"):
            return await open_keys(runtime).revoke(key, tenant=tenant)

    found = run_with_runtime(work)
    if json:
        say_json(_describe(found))
    else:
        tell(f"Key {found.id} is revoked.")


def _say_new(new: NewKey, *, json: bool) -> None:
    if json:
        say_json({**_describe(new.key), "text": new.text.reveal()})
        return
    say(new.text.reveal())
    tell(f"It is shown this once. {new.key.role.capitalize()} key {new.key.id} of {new.key.principal}; send it as:")
    tell("  Authorization: Bearer KEY")


def _describe(key: ApiKey) -> dict[str, object]:
    """Say what is known of a key, but its hash."""
    return {name: getattr(key, name) for name in key.__struct_fields__ if name != "digest"}


def _find_state(key: ApiKey, now: float) -> str:
    if key.revoked is not None:
        return "revoked"
    return "good" if key.is_good(now) else "expired"
