"""What does `quorate tenants` do?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from quorate.cli.console import say_all, say_json, tell
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Json, Yes
from quorate.cli.person import confirm, get_user
from quorate.cli.quantities import show_count
from quorate.cli.words import align, clean_line, show_time
from quorate.runtime import Runtime
from quorate.runtime.tenants import TenantActs, find_quotas
from quorate.security.tenants import StoredTenant, Tenant

TenantId = Annotated[str, typer.Argument(metavar="TENANT", help="The tenant's id.")]
ProjectId = Annotated[str, typer.Argument(metavar="PROJECT", help="The project's id.")]
Name = Annotated[str, typer.Option("--name", help="What it is called.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands about tenants."""
    group = typer.Typer(
        help="Register, list, suspend and end tenants, and their projects.",
        rich_markup_mode=None,
        no_args_is_help=True,
    )
    group.command("create")(create_tenant)
    group.command("list")(list_tenants)
    group.command("show")(show_tenant)
    group.command("rename")(rename_tenant)
    group.command("suspend")(suspend_tenant)
    group.command("resume")(resume_tenant)
    group.command("delete")(delete_tenant)
    group.command("add-project")(add_project)
    group.command("remove-project")(remove_project)
    app.add_typer(group, name="tenants")


def create_tenant(tenant: TenantId, *, name: Name = "", json: Json = False) -> None:
    """Register a tenant; one that has keys already is registered by the id that they have."""
    _do(lambda acts: acts.create(tenant, name=name), f"Tenant {tenant} is registered.", json=json)


def list_tenants(*, json: Json = False) -> None:
    """List the tenants that are registered."""

    async def work(runtime: Runtime) -> list[Tenant]:
        return [tenant async for tenant in find_quotas(runtime).tenants.iterate()]

    found = run_with_runtime(work)
    if json:
        say_json(found)
        return
    rows = [
        (one.id, one.state, show_time(one.created), show_count(len(one.projects), "project"), clean_line(one.name))
        for one in found
    ]
    say_all(align(rows) or ["No tenant is registered. Register one: `quorate tenants create NAME`."])


def show_tenant(tenant: TenantId, *, json: Json = False) -> None:
    """Show a tenant and its projects."""

    async def work(runtime: Runtime) -> StoredTenant:
        return await find_quotas(runtime).tenants.show(tenant)

    found = run_with_runtime(work).tenant
    if json:
        say_json(found)
        return
    facts = {
        "id": found.id,
        "state": found.state,
        "reason": found.reason,
        "name": found.name,
        "registered": f"{show_time(found.created)} by {found.by}",
    }
    say_all(align([(name, clean_line(value)) for name, value in facts.items() if value]))
    if found.projects:
        say_all(["projects:"])
        say_all(align([(one.id, show_time(one.created), clean_line(one.name)) for one in found.projects], indent="  "))


def rename_tenant(
    tenant: TenantId, name: Annotated[str, typer.Argument(metavar="NAME")], *, json: Json = False
) -> None:
    """Call a tenant something else; its id stays."""
    _do(lambda acts: acts.rename(tenant, name=name), f"Tenant {tenant} has a new name.", json=json)


def suspend_tenant(
    tenant: TenantId, *, reason: Annotated[str, typer.Option("--reason", help="Why.")] = "", json: Json = False
) -> None:
    """Let nobody of a tenant in, within five seconds; runs under way go on until they end or rest."""
    _do(lambda acts: acts.suspend(tenant, reason=reason), f"Tenant {tenant} is suspended.", json=json)


def resume_tenant(tenant: TenantId, *, json: Json = False) -> None:
    """Let a tenant in again."""
    _do(lambda acts: acts.resume(tenant), f"Tenant {tenant} is let in again.", json=json)


def delete_tenant(tenant: TenantId, *, yes: Yes = False, json: Json = False) -> None:
    """End a tenant of which no run is under way or rests; what it recorded stays until it is pruned."""
    if not yes:
        confirm(f"End tenant {clean_line(tenant, most=63)} for good, and refuse all of its keys?")
    _do(lambda acts: acts.delete(tenant), f"Tenant {tenant} is deleted.", json=json)


def add_project(tenant: TenantId, project: ProjectId, *, name: Name = "", json: Json = False) -> None:
    """Add a project to a tenant: keys are given out for it, and quotas of its own."""
    _do(lambda acts: acts.add_project(tenant, project, name=name), f"Project {project} is added.", json=json)


def remove_project(tenant: TenantId, project: ProjectId, *, yes: Yes = False, json: Json = False) -> None:
    """Take a project away from a tenant; its keys go on working, and its quotas on counting."""
    if not yes:
        confirm(f"Take project {clean_line(project, most=63)} away from {clean_line(tenant, most=63)}?")
    _do(lambda acts: acts.remove_project(tenant, project), f"Project {project} is gone.", json=json)


def _do(act: Callable[[TenantActs], Awaitable[StoredTenant]], done: str, *, json: bool) -> None:
    async def work(runtime: Runtime) -> StoredTenant:
        return await act(TenantActs(runtime, by=get_user()))

    found = run_with_runtime(work)
    if json:
        say_json(found.tenant)
    else:
        tell(clean_line(done))
