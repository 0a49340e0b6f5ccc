"""How are tenants and their projects seen and managed over HTTP?"""

from __future__ import annotations

from typing import Annotated, Literal

from litestar import Response, delete, get, patch, post
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.router import Router
from litestar.status_codes import HTTP_200_OK
from msgspec import Meta, Struct

from quorate.errors import Forbidden
from quorate.runtime.tenants import TenantActs, find_quotas
from quorate.security.tenants import StoredTenant, Tenant, build_absence
from quorate.server.access import need
from quorate.server.asked import Asked, Limit, find_runtime
from quorate.server.described import refuses
from quorate.server.tags import IfMatch, IfNoneMatch, build_tag, matched, tag
from quorate.server.views import Page

Id = Annotated[str, Meta(min_length=1, max_length=63, pattern="^[a-z0-9][a-z0-9-]{0,62}$", examples=["acme"])]
Name = Annotated[str, Meta(max_length=100, examples=["Acme Ltd"])]
Cursor = Annotated[str | None, QueryParameter(max_length=63, pattern="^[a-z0-9][a-z0-9-]{0,62}$")]


class TenantRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tenant to register."""

    id: Id
    """Its id for good; a tenant that has keys already is registered by the id that they have."""
    name: Name = ""


class TenantChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is changed of a tenant."""

    name: Name


class Suspension(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a tenant is suspended."""

    reason: Annotated[str, Meta(max_length=200, examples=["the bill of May is open"])] = ""


class ProjectRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A project to add."""

    id: Id
    name: Name = ""


class ProjectView(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="object", tag="project"):
    """A part of a tenant that has quotas of its own."""

    id: str
    name: str = ""
    created: float
    by: str = ""


class TenantView(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="object", tag="tenant"):
    """A tenant."""

    id: str
    state: Literal["active", "suspended", "deleted"]
    registered: bool
    """Whether it is in the register; one that is not works all the same, and has no projects."""
    name: str = ""
    reason: str = ""
    """Why it is suspended."""
    created: float | None = None
    changed: float | None = None
    projects: list[ProjectView] = []


@get("/tenants", opt=need("tenants", "read"), summary="List tenants")
async def list_tenants(request: Asked, cursor: Cursor = None, limit: Limit = 50) -> Page[TenantView]:
    """List tenants: all that are registered for whoever operates the platform, and their own for everybody else."""
    if not request.user.platform:
        own = await _find(request, request.user.tenant)
        return Page(data=[] if cursor is not None else [own])
    book = find_quotas(find_runtime(request)).tenants
    found = await book.list_tenants(after=cursor or "", limit=limit + 1)
    views = [view_tenant(one.tenant) for one in found[:limit]]
    return Page(data=views, next_cursor=views[-1].id if len(found) > limit else None)


@post("/tenants", opt=need("tenants", "admin", platform=True), summary="Register a tenant", responses=refuses(409))
async def create_tenant(request: Asked, data: JSONBody[TenantRequest]) -> Response[TenantView]:
    """Register a tenant, which then can be named, suspended and have projects; for whoever operates the platform."""
    made = await _act(request).create(data.id, name=data.name)
    return _answer(request, made, status_code=201, headers={"Location": f"/v1/tenants/{data.id}"})


@get("/tenants/{tenant_id:str}", opt=need("tenants", "read"), summary="Show a tenant")
async def show_tenant(
    request: Asked, tenant_id: FromPath[str], if_none_match: IfNoneMatch = None
) -> Response[TenantView]:
    """Show a tenant: one's own, or any for whoever operates the platform."""
    check_tenant(request, tenant_id)
    return tag(request, await _find(request, tenant_id))


@patch(
    "/tenants/{tenant_id:str}",
    opt=need("tenants", "admin", platform=True),
    summary="Rename a tenant",
    responses=refuses(409, 412),
)
async def rename_tenant(
    request: Asked, tenant_id: FromPath[str], data: JSONBody[TenantChange], if_match: IfMatch = None
) -> Response[TenantView]:
    """Call a tenant something else; its id stays."""
    with matched(request, build_tag(await _find(request, tenant_id))):
        return _answer(request, await _act(request).rename(tenant_id, name=data.name))


@post(
    "/tenants/{tenant_id:str}/suspend",
    opt=need("tenants", "admin", platform=True),
    status_code=HTTP_200_OK,
    summary="Suspend a tenant",
    responses=refuses(409, 412),
)
async def suspend_tenant(
    request: Asked, tenant_id: FromPath[str], data: JSONBody[Suspension | None] = None, if_match: IfMatch = None
) -> Response[TenantView]:
    """Let nobody of a tenant in, within five seconds everywhere; runs under way go on until they end or rest."""
    reason = "" if data is None else data.reason
    with matched(request, build_tag(await _find(request, tenant_id))):
        return _answer(request, await _act(request).suspend(tenant_id, reason=reason))


@post(
    "/tenants/{tenant_id:str}/resume",
    opt=need("tenants", "admin", platform=True),
    status_code=HTTP_200_OK,
    summary="Let a tenant in again",
    responses=refuses(409, 412),
)
async def resume_tenant(request: Asked, tenant_id: FromPath[str], if_match: IfMatch = None) -> Response[TenantView]:
    """Let a tenant in again that was suspended."""
    with matched(request, build_tag(await _find(request, tenant_id))):
        return _answer(request, await _act(request).resume(tenant_id))


@delete(
    "/tenants/{tenant_id:str}",
    opt=need("tenants", "admin", platform=True),
    status_code=HTTP_200_OK,
    summary="Delete a tenant",
    responses=refuses(409, 412),
)
async def delete_tenant(request: Asked, tenant_id: FromPath[str], if_match: IfMatch = None) -> Response[TenantView]:
    """End a tenant of which no run is under way or rests: its keys are refused, and nobody else gets its id.

    What it recorded stays until it is pruned.
    """
    with matched(request, build_tag(await _find(request, tenant_id))):
        return _answer(request, await _act(request).delete(tenant_id))


@post(
    "/tenants/{tenant_id:str}/projects",
    opt=need("tenants", "admin"),
    summary="Add a project",
    responses=refuses(409),
)
async def add_project(request: Asked, tenant_id: FromPath[str], data: JSONBody[ProjectRequest]) -> Response[TenantView]:
    """Add a project to one's own tenant, or to any for whoever operates the platform; the tenant is answered."""
    await _check_own(request, tenant_id)
    made = await _act(request).add_project(tenant_id, data.id, name=data.name)
    return _answer(request, made, status_code=201, headers={"Location": f"/v1/tenants/{tenant_id}"})


@delete(
    "/tenants/{tenant_id:str}/projects/{project_id:str}",
    opt=need("tenants", "admin"),
    status_code=HTTP_200_OK,
    summary="Take a project away",
    responses=refuses(409),
)
async def remove_project(request: Asked, tenant_id: FromPath[str], project_id: FromPath[str]) -> Response[TenantView]:
    """Take a project away from a tenant; its keys go on working, and its quotas on counting. The tenant is answered."""
    await _check_own(request, tenant_id)
    return _answer(request, await _act(request).remove_project(tenant_id, project_id))


def check_tenant(request: Asked, tenant: str) -> None:
    """Return if somebody may know of a tenant: it is theirs, or they operate the platform.

    Raises:
        NotFound: They may not, in the same words as for one that is not there.
    """
    if tenant != request.user.tenant and not request.user.platform:
        raise build_absence(tenant)


async def _check_own(request: Asked, tenant: str) -> None:
    """Return if somebody may change the projects of a tenant.

    Raises:
        NotFound: They may not know of it.
        Forbidden: Their key is of one project, and has no say about others.
    """
    check_tenant(request, tenant)
    if request.user.project and not request.user.platform:
        async with _act(request).noting("project.change", tenant):
            raise Forbidden("A key of a project has no say about projects: use one of none.", need="tenants:admin")


def view_tenant(tenant: Tenant) -> TenantView:
    """Build what callers read of a tenant."""
    return TenantView(
        id=tenant.id,
        state=tenant.state,
        registered=True,
        name=tenant.name,
        reason=tenant.reason,
        created=tenant.created,
        changed=tenant.changed,
        projects=[
            ProjectView(id=project.id, name=project.name, created=project.created, by=project.by)
            for project in tenant.projects
        ],
    )


async def _find(request: Asked, tenant: str) -> TenantView:
    """Find a tenant; one's own is there also where nobody registered it.

    Raises:
        NotFound: There is none.
    """
    found = await find_quotas(find_runtime(request)).tenants.find(tenant)
    if found is not None and found.tenant.state != "deleted":
        return view_tenant(found.tenant)
    if found is None and tenant == request.user.tenant:
        return TenantView(id=tenant, state="active", registered=False)
    raise build_absence(tenant)


def _act(request: Asked) -> TenantActs:
    return TenantActs(find_runtime(request), by=request.user.principal, own=request.user.tenant)


def _answer(
    request: Asked, found: StoredTenant, *, status_code: int = 200, headers: dict[str, str] | None = None
) -> Response[TenantView]:
    return tag(request, view_tenant(found.tenant), status_code=status_code, headers=headers)


def build_router() -> Router:
    """Build the routes about tenants."""
    return Router(
        "/v1",
        route_handlers=[
            list_tenants,
            create_tenant,
            show_tenant,
            rename_tenant,
            suspend_tenant,
            resume_tenant,
            delete_tenant,
            add_project,
            remove_project,
        ],
        tags=["tenants"],
    )
