"""How are quotas seen and set over HTTP?"""

from __future__ import annotations

from typing import Annotated

from litestar import Response, get, put
from litestar.params import FromPath, JSONBody
from litestar.router import Router
from msgspec import Meta, Struct

from quorate.errors import Forbidden, InvalidInput
from quorate.runtime.quotas import QuotaUse
from quorate.runtime.tenants import TenantActs, find_quotas
from quorate.security.quotas import TENANT, Quota, QuotaKind, QuotaPeriod
from quorate.server.access import need
from quorate.server.asked import Asked, find_runtime
from quorate.server.described import refuses
from quorate.server.tags import IfMatch, build_tag, matched
from quorate.server.tenants import Id, check_tenant

Quotas = Annotated[
    tuple[Quota, ...], Meta(max_length=32, examples=[[{"kind": "requests", "most": 600, "per": "minute"}]])
]


class QuotaRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All quotas of a project or a key; without either, of the tenant itself."""

    project: Id | None = None
    key: Annotated[str, Meta(pattern="^[0-9a-f]{16}$", examples=["0123456789abcdef"])] | None = None
    quotas: Quotas
    """All of them: what is not among them bounds it no more."""


class QuotaView(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="object", tag="quota"):
    """A quota, and how it stands."""

    project: str | None = None
    key: str | None = None
    kind: QuotaKind
    per: QuotaPeriod
    most: float
    used: float
    held: float = 0.0
    """Set aside for what is under way."""
    left: float
    reset_s: float | None = None
    """In how many seconds there is more of it; absent where time gives none back."""


class QuotaList(Struct, frozen=True, kw_only=True, tag_field="object", tag="quotas"):
    """All quotas of a tenant; what counts in several of them must fit into each."""

    tenant: str
    data: list[QuotaView]


@get("/quotas", opt=need("quotas", "read"), summary="Show one's quotas")
async def show_quotas(request: Asked) -> Response[QuotaList]:
    """Show the quotas of the caller's tenant, its projects and its keys: limits, what is used, and what is left.

    A key of a project sees those of its tenant, of its project and its own.
    """
    return await _show(request, request.user.tenant)


@put(
    "/quotas", opt=need("quotas", "admin"), summary="Set quotas of a project or a key", responses=refuses(404, 409, 412)
)
async def set_quotas(request: Asked, data: JSONBody[QuotaRequest], if_match: IfMatch = None) -> Response[QuotaList]:
    """Set all quotas of a project or a key of the caller's tenant; those of the tenant are set by who operates it."""
    return await _set(request, request.user.tenant, data)


@get("/tenants/{tenant_id:str}/quotas", opt=need("quotas", "read"), summary="Show a tenant's quotas")
async def show_tenant_quotas(request: Asked, tenant_id: FromPath[str]) -> Response[QuotaList]:
    """Show the quotas of a tenant: one's own, or any for whoever operates the platform."""
    check_tenant(request, tenant_id)
    return await _show(request, tenant_id)


@put(
    "/tenants/{tenant_id:str}/quotas",
    opt=need("quotas", "admin", platform=True),
    summary="Set a tenant's quotas",
    responses=refuses(409, 412),
)
async def set_tenant_quotas(
    request: Asked, tenant_id: FromPath[str], data: JSONBody[QuotaRequest], if_match: IfMatch = None
) -> Response[QuotaList]:
    """Set all quotas of a tenant, or of a project or key of it; for whoever operates the platform."""
    return await _set(request, tenant_id, data)


async def _show(request: Asked, tenant: str) -> Response[QuotaList]:
    runtime = find_runtime(request)
    quotas = find_quotas(runtime)
    table = await quotas.book.read(tenant)
    uses = await quotas.list_uses(tenant)
    view = QuotaList(tenant=tenant, data=[view_use(use) for use in uses if _is_seen(request, tenant, use.subject)])
    # Tagged by what was set, for whoever wants to change it: what is used changes all the time, so nothing is kept.
    return Response(view, headers={"ETag": build_tag(table.revision)})


async def _set(request: Asked, tenant: str, data: QuotaRequest) -> Response[QuotaList]:
    subject = read_subject(data)
    user = request.user
    runtime = find_runtime(request)
    acts = TenantActs(runtime, by=user.principal, own=user.tenant)
    if not user.platform and (user.project or subject == TENANT):
        async with acts.noting("quota.set", tenant, subject=subject):
            raise Forbidden(
                "Nobody raises what bounds themselves: the quotas of a tenant are set by who operates it (`quorate "
                "quotas set`, or an admin key of `server.operator_tenant`), those of projects and keys by an admin key "
                "of no project.",
                need="quotas:admin of the platform",
            )
    table = await find_quotas(runtime).book.read(tenant)
    with matched(request, build_tag(table.revision)):
        revision = table.revision if "if-match" in request.headers else None
        await acts.set_quotas(tenant, subject, data.quotas, if_revision=revision)
    return await _show(request, tenant)


def read_subject(data: QuotaRequest) -> str:
    """Read whose quotas are meant.

    Raises:
        InvalidInput: A project and a key are named, which have quotas each.
    """
    if data.project is not None and data.key is not None:
        raise InvalidInput("a project and a key are named: each has quotas of its own, so send one of them.")
    if data.project is not None:
        return f"project/{data.project}"
    return TENANT if data.key is None else f"key/{data.key}"


def view_use(use: QuotaUse) -> QuotaView:
    """Build what callers read of a quota."""
    kind, _, name = use.subject.partition("/")
    return QuotaView(
        project=name if kind == "project" else None,
        key=name if kind == "key" else None,
        kind=use.quota.kind,
        per=use.quota.per,
        most=use.quota.most,
        used=use.used,
        held=use.held,
        left=use.left,
        reset_s=use.reset_s,
    )


def _is_seen(request: Asked, tenant: str, subject: str) -> bool:
    """Whether somebody may see a quota: a key of a project sees nothing of other projects and keys."""
    user = request.user
    if user.platform or not user.project or tenant != user.tenant:
        return True
    return subject in (TENANT, f"project/{user.project}", f"key/{user.credential}")


def build_router() -> Router:
    """Build the routes about quotas."""
    return Router(
        "/v1", route_handlers=[show_quotas, set_quotas, show_tenant_quotas, set_tenant_quotas], tags=["quotas"]
    )
