"""How are stored values read, changed and followed over HTTP?"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from litestar import Response, delete, get, put
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody, QueryParameter
from litestar.router import Router
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED, HTTP_204_NO_CONTENT
from msgspec import Meta, Struct

from quorate.errors import Forbidden, InvalidInput, NotFound
from quorate.ports import StateEntry, StateScope
from quorate.security.identity import Need
from quorate.server.access import Doorkeeper, need
from quorate.server.acts import find_created, find_root, find_who, note_act
from quorate.server.asked import Asked, find_id, find_runtime, wants_stream
from quorate.server.changes import POLL_S, NotAcceptable, write_changes
from quorate.server.described import refuses
from quorate.server.pages import Cursor
from quorate.server.session_rights import check_run
from quorate.server.streams import MAX_PLACE, EventStream, Seats, Write, read_last_id
from quorate.server.tags import IfMatch, IfNoneMatch, build_tag, matched, tag
from quorate.server.views import Page, build_page
from quorate.state.places import ScopeRef, check_name
from quorate.state.rows import describe
from quorate.state.scopes import StateInfo, StateStore
from quorate.state.watching import StateChange

OWNED = ("user", "session", "agent", "workflow", "run")
"""Scopes of which each one has values of its own."""
OwnedScope = Literal["user", "session", "agent", "workflow", "run"]
Owner = Annotated[
    str | None,
    QueryParameter(
        max_length=240,
        description="Which user, session, agent, workflow or run it is; oneself, where no user is named.",
    ),
]
Many = Annotated[int, QueryParameter(ge=1, le=1000, description="How many at most.")]


class StateRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value to store."""

    value: object
    """Any JSON of up to 256 KiB and 32 levels, but no secret."""
    ttl_s: Annotated[float, Meta(gt=0, le=1e10, examples=[3600])] | None = None
    """After how many seconds it is gone; it stays when not given."""


class StateView(Struct, frozen=True, tag_field="object", tag="state", kw_only=True, omit_defaults=True):
    """A stored value."""

    scope: StateScope
    id: str | None = None
    """Whose it is, where the scope does not say that."""
    name: str
    value: object
    revision: int
    expires: float | None = None


class StateInfoView(Struct, frozen=True, tag_field="object", tag="state.info", kw_only=True, omit_defaults=True):
    """What is known of a stored value without reading it."""

    name: str
    revision: int
    size: int
    """Bytes, as they are kept."""
    updated: float
    expires: float | None = None
    schema: str = ""
    """The schema that it was stored under, and its version."""
    version: int = 0
    readable: bool = True


class StateChangeView(Struct, frozen=True, tag_field="object", tag="state.changed", kw_only=True):
    """That a value is another one now, or gone."""

    name: str
    revision: int
    """The new revision; for a value that is gone, the last one that was seen."""
    is_deleted: bool
    value: object
    expires: float | None


class OwnerView(Struct, frozen=True, tag_field="object", tag="state.owner", kw_only=True):
    """Somebody who has stored values."""

    scope: StateScope
    id: str


MADE = ResponseSpec(StateView, generate_examples=False, description="The value, where nothing was before.")


@get("/state/{state_scope:str}/values", opt=need("state", "read"), summary="List stored values")
async def list_values(
    request: Asked,
    state_scope: FromPath[StateScope],
    id: Owner = None,
    prefix: FromQuery[str] = "",
    cursor: Cursor = None,
    limit: Many = 100,
) -> Page[StateInfoView]:
    """List what is known of the values of a scope whose names begin with `prefix`, in order of their names."""
    ref = await _find_readable(request, state_scope, id)
    found = await _find_state(request).list_values(ref, prefix=prefix, after=cursor or "", limit=limit)
    return build_page([_view_info(info) for info in found], limit=limit, cursor=found[-1].name if found else None)


@get("/state/{state_scope:str}/owners", opt=need("state", "admin"), summary="List who has stored values")
async def list_owners(
    request: Asked, state_scope: FromPath[OwnedScope], cursor: Cursor = None, limit: Many = 100
) -> Page[OwnerView]:
    """List the users, sessions, agents, workflows or runs that have values."""
    found = await _find_state(request).list_owners(
        state_scope, tenant=request.user.tenant, after=cursor or "", limit=limit
    )
    return build_page(
        [OwnerView(scope=state_scope, id=one) for one in found], limit=limit, cursor=found[-1] if found else None
    )


@get("/state/{state_scope:str}/values/{value_name:path}", opt=need("state", "read"), summary="Read a stored value")
async def read_value(
    request: Asked,
    state_scope: FromPath[StateScope],
    value_name: FromPath[str],
    id: Owner = None,
    if_none_match: IfNoneMatch = None,
) -> Response[StateView]:
    """Read a value; its `ETag` is its revision.

    | scope | who may read it | who may write it |
    |---|---|---|
    | `user` | the user | the user |
    | `session` | whoever the session is for | whoever the session is for |
    | `run` | whoever may see the run | whoever asked for the run |
    | `agent`, `workflow`, `tenant` | everybody of the tenant | everybody with `state:write` |
    | `global` | everybody | an admin of the operator's own tenant |

    With `state:admin`, all of the tenant's.
    """
    ref, name = await _find_readable(request, state_scope, id), _read_name(value_name)
    entry = await _find_state(request).get(ref, name)
    if entry is None:
        raise _build_absent(ref, name)
    return tag(request, _view(ref, entry), revision=entry.revision)


@get(
    "/state/{state_scope:str}/changes",
    opt=need("state", "read"),
    summary="Follow stored values",
    responses=refuses(404, 406),
)
async def follow_values(
    request: Asked,
    state_scope: FromPath[StateScope],
    id: Owner = None,
    name: Annotated[str, QueryParameter(max_length=128, description="One value; all of them when empty.")] = "",
    prefix: FromQuery[str] = "",
    since: Annotated[
        int | None, QueryParameter(ge=0, le=MAX_PLACE, description="From a revision on, instead of from now on.")
    ] = None,
    last_event_id: Annotated[str | None, HeaderParameter(name="Last-Event-ID")] = None,
) -> EventStream:
    """Stream values as they change, each with its revision as id: `state.changed` events with what is there now.

    Of a value that changes several times in a second the last change is told.
    A stream goes on behind `Last-Event-ID`; what was deleted while nobody listened is told for a single `name` only.
    """
    if not wants_stream(request):
        raise NotAcceptable("changes come as a stream only: ask with `Accept: text/event-stream`.")
    ref = await _find_readable(request, state_scope, id)
    seats: Seats = request.app.state.watches
    seats.check(request.user.credential)
    last = read_last_id(last_event_id)
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    watch = _find_state(request).watch(ref, name=name, prefix=prefix, since=last or since, poll_s=POLL_S)

    def show(change: StateChange) -> StateChangeView:
        entry = change.entry
        return StateChangeView(
            name=change.name,
            revision=change.revision,
            is_deleted=entry is None,
            value=None if entry is None else entry.value,
            expires=None if entry is None else entry.expires,
        )

    async def write(send: Write) -> None:
        with seats.take(request.user.credential):
            await write_changes(
                send,
                watch,
                show,
                request_id=find_id(request),
                closing=request.app.state.closing,
                check=partial(doorkeeper.identify, request.headers),
            )

    return EventStream(write)


@put(
    "/state/{state_scope:str}/values/{value_name:path}",
    opt=need("state", "write"),
    summary="Store a value",
    status_code=HTTP_200_OK,
    responses={HTTP_201_CREATED: MADE, **refuses(409, 412)},
)
async def store_value(
    request: Asked,
    state_scope: FromPath[StateScope],
    value_name: FromPath[str],
    data: JSONBody[StateRequest],
    id: Owner = None,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Response[StateView]:
    """Store a value in place of what is there; 201 where nothing was.

    With `If-Match`, only over the very revision that was read; with `If-None-Match: *`, only where nothing is.
    """
    name, state = _read_name(value_name), _find_state(request)
    async with note_act(request, "state.set", object=_name_object(request, state_scope, id, name)) as facts:
        ref = await _find_writable(request, state_scope, id)
        row = await state.rows.find(ref, name)
        before = row.revision if row is not None else 0
        is_conditional = if_match is not None or if_none_match is not None
        with matched(request, build_tag(before) if row is not None else None):
            expected = before if is_conditional else None
            entry = await state.set(ref, name, data.value, if_revision=expected, ttl_s=data.ttl_s)
        facts["revision"] = str(entry.revision)
    status = HTTP_200_OK if row is not None else HTTP_201_CREATED
    return tag(request, _view(ref, entry), revision=entry.revision, status_code=status)


@delete(
    "/state/{state_scope:str}/values/{value_name:path}",
    opt=need("state", "write"),
    summary="Forget a value",
    status_code=HTTP_204_NO_CONTENT,
    responses=refuses(409, 412),
)
async def delete_value(
    request: Asked,
    state_scope: FromPath[StateScope],
    value_name: FromPath[str],
    id: Owner = None,
    if_match: IfMatch = None,
) -> None:
    """Forget a value; with `If-Match`, only the very revision that was read."""
    name, state = _read_name(value_name), _find_state(request)
    async with note_act(request, "state.delete", object=_name_object(request, state_scope, id, name)):
        ref = await _find_writable(request, state_scope, id)
        row = await state.rows.find(ref, name)
        with matched(request, build_tag(row.revision) if row is not None else None):
            expected = row.revision if row is not None and if_match is not None else None
            if row is None or not await state.delete(ref, name, if_revision=expected):
                raise _build_absent(ref, name)


async def _find_readable(request: Asked, scope: StateScope, id: str | None) -> ScopeRef:
    """Say whose values are meant, if whoever asks may read them.

    Raises:
        NotFound: They are another user's, or of a session or run that is not there.
        InvalidInput: The scope needs an id, or takes none.
    """
    ref = _build_ref(request, scope, id)
    who = find_who(request, "state")
    if who is None:
        return ref
    if scope == "user" and ref.id != who:
        raise NotFound(f"There is no user {ref.id!r} whose values you may reach: leave out `id` for your own.")
    if scope == "session":
        await find_root(request).sessions.get(ref.id, tenant=ref.tenant, principal=who)
    elif scope == "run":
        await check_run(find_runtime(request), request.user, ref.id)
        await find_created(request, ref.id)
    return ref


async def _find_writable(request: Asked, scope: StateScope, id: str | None) -> ScopeRef:
    """Say whose values are meant, if whoever asks may change them.

    Raises:
        Forbidden: They may be read only.
        NotFound: They are another user's, or of a session or run that is not there.
        InvalidInput: The scope needs an id, or takes none.
    """
    ref = await _find_readable(request, scope, id)
    who = find_who(request, "state")
    if scope == "global":
        request.user.check(Need("state", "admin", platform=True))
    elif who is not None and scope == "tenant" and not _find_state(request).tenant_writes:
        raise Forbidden("What the whole tenant shares is changed by those with `state:admin` only.")
    elif who is not None and scope == "run" and (await find_created(request, ref.id)).principal != who:
        raise Forbidden(f"Run {ref.id!r} is another's: its values may be read only.")
    return ref


def _build_ref(request: Asked, scope: StateScope, id: str | None) -> ScopeRef:
    owner = request.user.principal if id is None and scope == "user" else id
    if owner is None and scope in OWNED:
        raise InvalidInput(f"Scope `{scope}` needs an id: say which {scope}, as in `?id=…`.")
    return ScopeRef(scope=scope, tenant="" if scope == "global" else request.user.tenant, id=owner or "")


def _name_object(request: Asked, scope: StateScope, id: str | None, name: str) -> str:
    """Name a value as the audit trail does, whether or not it may be reached."""
    owner = id if id is not None or scope != "user" else request.user.principal
    return f"state/{scope}/{owner}/{name}" if owner else f"state/{scope}/{name}"


def _read_name(given: str) -> str:
    """Read a name from the end of a path, which begins with the slash before it."""
    return check_name(given.removeprefix("/"))


def _build_absent(ref: ScopeRef, name: str) -> NotFound:
    return NotFound(f"There is no {describe(ref, name)}: list what there is.")


def _find_state(request: Asked) -> StateStore:
    return find_root(request).state


def _view(ref: ScopeRef, entry: StateEntry) -> StateView:
    return StateView(
        scope=ref.scope,
        id=ref.id or None,
        name=entry.name,
        value=entry.value,
        revision=entry.revision,
        expires=entry.expires,
    )


def _view_info(info: StateInfo) -> StateInfoView:
    return StateInfoView(
        name=info.name,
        revision=info.revision,
        size=info.size,
        updated=info.updated,
        expires=info.expires,
        schema=info.schema,
        version=info.version,
        readable=not info.fault,
    )


def build_router() -> Router:
    """Build the routes about stored values."""
    return Router(
        "/v1",
        route_handlers=[list_values, list_owners, follow_values, read_value, store_value, delete_value],
        tags=["state"],
    )
