"""How are API keys made, shown, rotated and ended over HTTP?"""

from __future__ import annotations

from contextlib import aclosing
from typing import Annotated, Literal

from litestar import Response, delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.router import Router
from litestar.status_codes import HTTP_200_OK
from msgspec import UNSET, Meta, Struct, UnsetType, structs

from quorate.errors import Forbidden
from quorate.runtime.access import open_keys
from quorate.runtime.tenants import check_project_of, pass_on_quotas
from quorate.security.identity import AREAS, Area, Identity, Need, Role, Verb, check_role, check_scopes
from quorate.security.keys import OVERLAP_S, ApiKey, KeyRing, NewKey, build_absence
from quorate.server.access import Doorkeeper, need
from quorate.server.acts import note_act
from quorate.server.asked import Asked, Limit, find_runtime
from quorate.server.described import refuses
from quorate.server.idempotency import OnceKey, once
from quorate.server.tags import IfMatch, IfNoneMatch, build_tag, matched, tag
from quorate.server.views import Page

MAX_LASTS_S = 10 * 366 * 86_400.0
MAX_OVERLAP_S = 90 * 86_400.0
VERBS: tuple[Verb, ...] = ("read", "write", "admin")
NEW_AREA = "*"
"""Stands for what there may be rights to later: whoever has none to it by name gives none to all."""
State = Literal["good", "expired", "revoked"]
Scope = Annotated[str, Meta(min_length=3, max_length=80, pattern="^([a-z]+|[*]):(read|write|admin|[*])$")]
Id = Annotated[str, Meta(min_length=1, max_length=63, pattern="^[a-z0-9][a-z0-9-]{0,62}$")]


class KeyRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to make."""

    role: Role = "operator"
    """What it may do; never more than whoever makes it."""
    scopes: Annotated[tuple[Scope, ...], Meta(max_length=64, examples=[["runs:read"]])] = ()
    """To what that is narrowed, as `area:verb`, either of which may be `*`; empty for all that its role may."""
    principal: Id | None = None
    """Who uses it; whoever makes it when not given."""
    name: Annotated[str, Meta(max_length=100, examples=["the nightly checks"])] = ""
    """What it is for."""
    project: Id | None = None
    """The project whose quotas it counts in, too; that of whoever makes it when not given."""
    lasts_s: Annotated[float, Meta(gt=0, le=MAX_LASTS_S, examples=[7_776_000])] | None = None
    """For how many seconds it works; for ever when not given."""


class Rotation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a key is replaced."""

    overlap_s: Annotated[float, Meta(ge=0, le=MAX_OVERLAP_S, examples=[3600])] = OVERLAP_S
    """For how many seconds the old key goes on working."""


class KeyView(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="object", tag="key"):
    """What is known of a key; what it takes to use it is not kept."""

    id: Annotated[str, Meta(examples=["0123456789abcdef"])]
    state: State
    role: Role
    scopes: tuple[str, ...]
    principal: str
    name: str = ""
    created: float
    by: str
    """Who made it."""
    expires: float | None = None
    revoked: float | None = None
    used: float | None = None
    """When it was used last, to some minutes."""
    replaces: str = ""
    """The key that it is the rotation of."""
    project: str = ""
    """The project whose quotas it counts in, too."""


class NewKeyView(KeyView, frozen=True, kw_only=True, omit_defaults=True, tag="key"):
    """A key that was just made."""

    text: str | UnsetType = UNSET
    """The key itself, to be sent as `Authorization: Bearer …`. It is shown this once: an answer that is repeated for
    the same `Idempotency-Key` is without it."""


@post("/keys", opt=need("keys", "admin"), summary="Make a key", responses=refuses(404, 409))
async def create_key(
    request: Asked, data: JSONBody[KeyRequest], idempotency_key: OnceKey = None
) -> Response[NewKeyView]:
    """Make a key of the caller's tenant. Its text is in this answer alone, and cannot be read back.

    Nobody gives out more rights than they have: the role and the scopes together must allow nothing that the caller's
    own do not.
    """
    who = request.user

    async def work() -> Response[NewKeyView]:
        async with note_act(request, "key.create", object=f"tenant/{who.tenant}") as facts:
            project = await _find_project(request, data.project)
            check_grant(request, role=data.role, scopes=data.scopes, project=project)
            new = await find_ring(request).create(
                tenant=who.tenant,
                principal=data.principal or who.principal,
                role=data.role,
                scopes=data.scopes,
                name=data.name,
                by=who.principal,
                lasts_s=data.lasts_s,
                project=project,
            )
            facts["key"] = new.key.id
        return _answer_new(request, new)

    return await once(request, idempotency_key, work, conceal=_conceal)


@get("/keys", opt=need("keys", "read"), summary="List keys")
async def list_keys(
    request: Asked,
    principal: Annotated[str | None, QueryParameter(max_length=63)] = None,
    role: FromQuery[Role | None] = None,
    standing: Annotated[State | None, QueryParameter(name="state")] = None,
    cursor: Annotated[str | None, QueryParameter(max_length=64, pattern="^[0-9a-f]{16}$")] = None,
    limit: Limit = 50,
) -> Page[KeyView]:
    """List the keys of the caller's tenant by id, revoked and expired ones too, a page at a time."""
    now, found = find_runtime(request).clock.now(), list[KeyView]()
    async with aclosing(find_ring(request).list_keys(tenant=request.user.tenant, after=cursor or "")) as keys:
        async for key in keys:
            view = view_key(key, now=now)
            if (
                _is_within(request, key)
                and principal in (None, key.principal)
                and role in (None, key.role)
                and standing in (None, view.state)
            ):
                if len(found) == limit:
                    return Page(data=found, next_cursor=found[-1].id)
                found.append(view)
    return Page(data=found)


@get("/keys/{key_id:str}", opt=need("keys", "read"), summary="Show a key")
async def show_key(request: Asked, key_id: FromPath[str], if_none_match: IfNoneMatch = None) -> Response[KeyView]:
    """Show what is known of a key."""
    key = await _find_key(request, key_id)
    return tag(request, view_key(key, now=find_runtime(request).clock.now()), revision=_pick_stable(key))


@post("/keys/{key_id:str}/rotate", opt=need("keys", "admin"), summary="Replace a key", responses=refuses(409, 412))
async def rotate_key(
    request: Asked,
    key_id: FromPath[str],
    data: JSONBody[Rotation | None] = None,
    idempotency_key: OnceKey = None,
    if_match: IfMatch = None,
) -> Response[NewKeyView]:
    """Make a key in place of another one, which goes on working for a while; the new one's text is shown this once.

    It has the rights and the quotas of the old one; whoever asks must have those rights too.
    """
    overlap_s = OVERLAP_S if data is None else data.overlap_s
    who, ring = request.user, find_ring(request)

    async def work() -> Response[NewKeyView]:
        async with note_act(request, "key.rotate", object=f"key/{key_id[:40]}") as facts:
            old = await _find_key(request, key_id)
            check_grant(request, role=old.role, scopes=old.scopes, project=old.project)
            with matched(request, build_tag(_pick_stable(old))):
                new = await ring.rotate(key_id, tenant=who.tenant, by=who.principal, overlap_s=overlap_s)
            facts["key"] = new.key.id
            await pass_on_quotas(find_runtime(request), who.tenant, old=key_id, new=new.key.id)
        return _answer_new(request, new)

    return await once(request, idempotency_key, work, conceal=_conceal)


@delete(
    "/keys/{key_id:str}",
    opt=need("keys", "admin"),
    status_code=HTTP_200_OK,
    summary="Revoke a key",
    responses=refuses(412),
)
async def revoke_key(request: Asked, key_id: FromPath[str], if_match: IfMatch = None) -> Response[KeyView]:
    """End a key for good; it is refused everywhere within five seconds. It stays in the list, as revoked.

    To revoke it once more changes nothing.
    """
    tenant, ring = request.user.tenant, find_ring(request)
    async with note_act(request, "key.revoke", object=f"key/{key_id[:40]}"):
        old = await _find_key(request, key_id)
        with matched(request, build_tag(_pick_stable(old))):
            key = await ring.revoke(key_id, tenant=tenant)
    return tag(request, view_key(key, now=find_runtime(request).clock.now()), revision=_pick_stable(key))


def find_ring(request: Asked) -> KeyRing:
    """Find the keys that callers are known by, so that what is revoked here is refused here at once."""
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    ring = doorkeeper.keys
    return ring if isinstance(ring, KeyRing) else open_keys(find_runtime(request))


def check_grant(request: Asked, *, role: str, scopes: tuple[str, ...], project: str) -> None:
    """Return if whoever asks has all rights that they give out.

    Raises:
        Forbidden: They have not; the first few that are missing are named.
        InvalidInput: The role or a scope is none.
    """
    who = request.user
    bare = Identity(
        tenant=who.tenant,
        principal=who.principal,
        role=check_role(role),
        scopes=check_scopes(scopes),
        project=project,
    )
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    given = structs.replace(bare, platform=doorkeeper.is_of_platform(bare))
    lacks = [str(one) for one in _list_needs() if given.may(one) and not who.may(one)]
    if lacks:
        raise Forbidden(
            f"The key could do what {who.principal!r} may not: {', '.join(lacks[:5])}. Give it a lower role, a "
            "project, or scopes that yours cover.",
            need=lacks[0],
        )


def view_key(key: ApiKey, *, now: float) -> KeyView:
    """Build what callers read of a key."""
    state: State = "revoked" if key.revoked is not None else "good" if key.is_good(now) else "expired"
    return KeyView(
        id=key.id,
        state=state,
        role=key.role,
        scopes=key.scopes,
        principal=key.principal,
        name=key.name,
        created=key.created,
        by=key.by,
        expires=key.expires,
        revoked=key.revoked,
        used=key.used,
        replaces=key.replaces,
        project=key.project,
    )


def _answer_new(request: Asked, new: NewKey) -> Response[NewKeyView]:
    seen = view_key(new.key, now=find_runtime(request).clock.now())
    view = NewKeyView(**structs.asdict(seen), text=new.text.reveal())
    headers = {"Location": f"/v1/keys/{new.key.id}"}
    return tag(request, view, revision=_pick_stable(new.key), status_code=201, headers=headers)


def _conceal(view: NewKeyView) -> NewKeyView:
    return structs.replace(view, text=UNSET)


def _pick_stable(key: ApiKey) -> object:
    """Pick what somebody may have changed: that it was used is no change."""
    return (key.id, key.role, key.scopes, key.principal, key.name, key.expires, key.revoked)


def _list_needs() -> list[Need]:
    areas: tuple[Area, ...] = (*AREAS, NEW_AREA)  # type: ignore[assignment]  # one that no scope names but `*`
    return [Need(area, verb, is_platform) for is_platform in (False, True) for area in areas for verb in VERBS]


async def _find_key(request: Asked, key_id: str) -> ApiKey:
    """Find a key that the caller may know of: one of a project knows of that project's alone.

    Raises:
        NotFound: There is none.
    """
    key = await find_ring(request).show(key_id, tenant=request.user.tenant)
    if not _is_within(request, key):
        raise build_absence(key_id)
    return key


def _is_within(request: Asked, key: ApiKey) -> bool:
    return not request.user.project or key.project == request.user.project


async def _find_project(request: Asked, wanted: str | None) -> str:
    """Find the project that a new key is of.

    Raises:
        Forbidden: Whoever asks is of another one.
        NotFound: The tenant has no such project.
    """
    who = request.user
    project = wanted or who.project
    if who.project and project != who.project:
        raise Forbidden("A key of a project makes keys of that project alone.")
    if wanted:
        await check_project_of(find_runtime(request), who.tenant, wanted)
    return project


def build_router() -> Router:
    """Build the routes about keys."""
    return Router("/v1", route_handlers=[create_key, list_keys, show_key, rotate_key, revoke_key], tags=["keys"])
