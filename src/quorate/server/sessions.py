"""How are conversations over several runs begun, read, changed and ended over HTTP?"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Literal

from litestar import Response, delete, get, patch, post
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.router import Router
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED

from quorate.errors import Conflict, NotFound
from quorate.server.access import need
from quorate.server.acts import find_root, find_who, note_act
from quorate.server.asked import Asked, Limit
from quorate.server.described import refuses
from quorate.server.idempotency import OnceKey, once
from quorate.server.pages import Cursor, PlaceOrder, read_place
from quorate.server.problems import Outdated
from quorate.server.session_views import (
    ForkRequest,
    MessageView,
    SessionDeleted,
    SessionPatch,
    SessionRequest,
    SessionRunView,
    SessionUsageView,
    SessionView,
    read_limits,
    view_deleted,
    view_entry,
    view_message,
    view_session,
    view_usage,
)
from quorate.server.tags import IfMatch, IfNoneMatch, build_tag, check_match, matched, tag
from quorate.server.transfers import Download
from quorate.server.views import Page, Reason
from quorate.state.archive import stream_runs
from quorate.state.sessions import Session, SessionOrder, SessionStatus, SessionStore

LINES = "application/x-ndjson"
Verb = Literal["suspend", "resume", "complete", "fail", "archive"]


@post("/sessions", opt=need("sessions", "write"), summary="Begin a session", responses=refuses(409))
async def create_session(
    request: Asked, data: JSONBody[SessionRequest], idempotency_key: OnceKey = None
) -> Response[SessionView]:
    """Begin a session, which belongs to whoever asks; a run that names a new session begins it by itself, too.

    An id that is taken is a conflict, whoever has it.
    """

    async def work() -> Response[SessionView]:
        async with note_act(request, "session.create", object=f"session/{data.id or 'new'}") as facts:
            record = await _find_sessions(request).create(
                data.id,
                tenant=request.user.tenant,
                principal=request.user.principal,
                title=data.title,
                tags=data.tags,
                metadata=data.metadata,
                limits=read_limits(data.limits),
                shared_with=data.shared_with,
            )
            facts["session"] = record.id
        return _answer_new(request, record)

    return await once(request, idempotency_key, work)


@get("/sessions", opt=need("sessions", "read"), summary="List sessions")
async def list_sessions(
    request: Asked,
    status: FromQuery[SessionStatus | None] = None,
    tag: FromQuery[str | None] = None,
    owner: FromQuery[str | None] = None,
    text: FromQuery[str | None] = None,
    order: FromQuery[SessionOrder] = "newest",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[SessionView]:
    """List the sessions that are one's own or shared with one, a page at a time; with `sessions:admin`, all there are.

    `text` is looked for in titles, tags and ids, whatever its case.
    """
    page = await _find_sessions(request).list_sessions(
        tenant=request.user.tenant,
        principal=find_who(request, "sessions"),
        status=status,
        tag=tag,
        owner=owner,
        text=text,
        order=order,
        cursor=cursor or "",
        limit=limit,
    )
    return Page(data=[view_session(one) for one in page.sessions], next_cursor=page.cursor or None)


@get("/sessions/{session_id:str}", opt=need("sessions", "read"), summary="Show a session")
async def show_session(
    request: Asked, session_id: FromPath[str], if_none_match: IfNoneMatch = None
) -> Response[SessionView]:
    """Show whose a session is, how it stands and what it may use."""
    return _answer(request, await _get(request, session_id))


@patch(
    "/sessions/{session_id:str}",
    opt=need("sessions", "write"),
    summary="Change a session",
    responses=refuses(409, 412),
)
async def change_session(
    request: Asked, session_id: FromPath[str], data: JSONBody[SessionPatch], if_match: IfMatch = None
) -> Response[SessionView]:
    """Change what is given, each thing as a whole; only its owner may.

    With `If-Match`, only if nobody has changed it since it was read; taking a turn in it is a change, too.
    """
    async with note_act(request, "session.update", object=f"session/{session_id}"):
        before = await _get(request, session_id)
        with matched(request, build_tag(before.revision)):
            record = await _find_sessions(request).update(
                session_id,
                tenant=request.user.tenant,
                principal=find_who(request, "sessions"),
                title=data.title,
                tags=data.tags,
                metadata=data.metadata,
                limits=None if data.limits is None else read_limits(data.limits),
                shared_with=data.shared_with,
                if_revision=before.revision if if_match is not None else None,
            )
    return _answer(request, record)


@delete(
    "/sessions/{session_id:str}",
    opt=need("sessions", "write"),
    summary="Delete a session",
    status_code=HTTP_200_OK,
    responses=refuses(409, 412),
)
async def delete_session(request: Asked, session_id: FromPath[str], if_match: IfMatch = None) -> SessionDeleted:
    """Forget a session, its runs and all that was said in them; only its owner may.

    It is a conflict while a run of it is under way, or where another session goes on from it.
    Artifacts and stored values of the session stay.
    """
    async with note_act(request, "session.delete", object=f"session/{session_id}") as facts:
        revision = await _find_expected(request, session_id)
        with _told_apart():
            done = await _find_sessions(request).delete(
                session_id,
                tenant=request.user.tenant,
                principal=find_who(request, "sessions"),
                if_revision=revision,
            )
        facts["runs"] = str(len(done.runs))
    return view_deleted(done)


@post(
    "/sessions/{session_id:str}/suspend",
    opt=need("sessions", "write"),
    summary="Let a session rest",
    status_code=HTTP_200_OK,
    responses=refuses(409, 412),
)
async def suspend_session(
    request: Asked, session_id: FromPath[str], data: JSONBody[Reason | None] = None, if_match: IfMatch = None
) -> Response[SessionView]:
    """Let a session take no turns until it is resumed; runs under way go on."""
    return await _move(request, session_id, "suspend", data)


@post(
    "/sessions/{session_id:str}/resume",
    opt=need("sessions", "write"),
    summary="Go on with a session",
    status_code=HTTP_200_OK,
    responses=refuses(409, 412),
)
async def resume_session(
    request: Asked, session_id: FromPath[str], data: JSONBody[Reason | None] = None, if_match: IfMatch = None
) -> Response[SessionView]:
    """Let a suspended session take turns again."""
    return await _move(request, session_id, "resume", data)


@post(
    "/sessions/{session_id:str}/complete",
    opt=need("sessions", "write"),
    summary="End a session whose work is done",
    status_code=HTTP_200_OK,
    responses=refuses(409, 412),
)
async def complete_session(
    request: Asked, session_id: FromPath[str], data: JSONBody[Reason | None] = None, if_match: IfMatch = None
) -> Response[SessionView]:
    """End a session whose work is done; this is final, and whoever wants to go on forks it."""
    return await _move(request, session_id, "complete", data)


@post(
    "/sessions/{session_id:str}/fail",
    opt=need("sessions", "write"),
    summary="End a session that came to nothing",
    status_code=HTTP_200_OK,
    responses=refuses(409, 412),
)
async def fail_session(
    request: Asked, session_id: FromPath[str], data: JSONBody[Reason | None] = None, if_match: IfMatch = None
) -> Response[SessionView]:
    """End a session that came to nothing; this is final, and whoever wants to go on forks it."""
    return await _move(request, session_id, "fail", data)


@post(
    "/sessions/{session_id:str}/archive",
    opt=need("sessions", "write"),
    summary="Put a session away",
    status_code=HTTP_200_OK,
    responses=refuses(409, 412),
)
async def archive_session(
    request: Asked, session_id: FromPath[str], data: JSONBody[Reason | None] = None, if_match: IfMatch = None
) -> Response[SessionView]:
    """Put a session away for good, ended before or not; it can still be read and forked."""
    return await _move(request, session_id, "archive", data)


@post(
    "/sessions/{session_id:str}/fork",
    opt=need("sessions", "write"),
    summary="Go on from a session in a new one",
    responses=refuses(409),
)
async def fork_session(
    request: Asked, session_id: FromPath[str], data: JSONBody[ForkRequest], idempotency_key: OnceKey = None
) -> Response[SessionView]:
    """Begin a session that goes on from an event of a run of another, which stays as it is.

    The new one belongs to whoever asks; with `sessions:admin`, to the owner of the old one.
    """
    tenant, who, sessions = request.user.tenant, find_who(request, "sessions"), _find_sessions(request)

    async def work() -> Response[SessionView]:
        async with note_act(request, "session.fork", object=f"session/{session_id}") as facts:
            run = data.run
            if run is None:
                timeline = await sessions.timeline(session_id, tenant=tenant, principal=who)
                if not timeline:
                    raise NotFound(f"Session {session_id!r} has no runs to go on from: begin another one.")
                run = timeline[-1].run.run
            fork = await sessions.fork(
                session_id, run, tenant=tenant, principal=who, seq=data.seq, name=data.id, title=data.title
            )
            facts["fork"] = fork.id
        return _answer_new(request, fork)

    return await once(request, idempotency_key, work)


@post(
    "/sessions/{session_id:str}/recover",
    opt=need("sessions", "write"),
    summary="Mend a session",
    status_code=HTTP_200_OK,
    responses=refuses(409),
)
async def recover_session(request: Asked, session_id: FromPath[str]) -> Response[SessionView]:
    """Mend a session whose record cannot be read, or whose runs are gone, and try failed cleanups again.

    Where nothing is wrong, nothing is changed.
    """
    async with note_act(request, "session.recover", object=f"session/{session_id}"):
        record = await _find_sessions(request).recover(
            session_id, tenant=request.user.tenant, principal=find_who(request, "sessions")
        )
    return _answer(request, record)


@get("/sessions/{session_id:str}/messages", opt=need("sessions", "read"), summary="Read what was said")
async def list_messages(
    request: Asked,
    session_id: FromPath[str],
    order: PlaceOrder = "oldest",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[MessageView]:
    """Read what was said in a session, which is what its next run will know: from its beginning, or from its end back.

    A page ends before its `limit` where its messages are large.
    """
    place = read_place(cursor, order=order)
    said = await _find_sessions(request).history(
        session_id, tenant=request.user.tenant, principal=find_who(request, "sessions")
    )
    return place.take([view_message(message, number) for number, message in enumerate(said, 1)], limit=limit)


@get("/sessions/{session_id:str}/runs", opt=need("sessions", "read"), summary="List the runs of a session")
async def list_session_runs(
    request: Asked,
    session_id: FromPath[str],
    order: PlaceOrder = "oldest",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[SessionRunView]:
    """List the runs of a session, and how they go on from each other."""
    place = read_place(cursor, order=order)
    timeline = await _find_sessions(request).timeline(
        session_id, tenant=request.user.tenant, principal=find_who(request, "sessions")
    )
    return place.take([view_entry(entry) for entry in timeline], limit=limit)


@get("/sessions/{session_id:str}/usage", opt=need("sessions", "read"), summary="Show what a session has used")
async def show_usage(request: Asked, session_id: FromPath[str]) -> SessionUsageView:
    """Show what all runs of a session have used, and why it takes no turn where it takes none."""
    tenant, who, sessions = request.user.tenant, find_who(request, "sessions"), _find_sessions(request)
    usage = await sessions.usage(session_id, tenant=tenant, principal=who)
    return view_usage(usage, await sessions.find_refusal(session_id, tenant=tenant, principal=who))


@get(
    "/sessions/{session_id:str}/export",
    opt=need("sessions", "read"),
    summary="Export the runs of a session",
    media_type=LINES,
)
async def export_session(request: Asked, session_id: FromPath[str]) -> Response[bytes]:
    """Export the runs of a session with all their events, as lines of JSON that `quorate runs import` reads.

    Each run ends with a line that says what its events come to, so that half of an export is not taken for all of it.
    """
    tenant, who = request.user.tenant, find_who(request, "sessions")
    timeline = await _find_sessions(request).timeline(session_id, tenant=tenant, principal=who)
    runs = [entry.run.run for entry in timeline]
    headers = {"Content-Disposition": f'attachment; filename="{session_id}.ndjson"'}
    pieces = stream_runs(find_root(request).log, runs, tenant=tenant)
    return Download(pieces, request, headers=headers, media_type=LINES)


async def _move(request: Asked, session_id: str, verb: Verb, data: Reason | None) -> Response[SessionView]:
    sessions = _find_sessions(request)
    moves = {
        "suspend": sessions.suspend,
        "resume": sessions.resume,
        "complete": sessions.complete,
        "fail": sessions.fail,
        "archive": sessions.archive,
    }
    reason, who = data.reason if data is not None else "", find_who(request, "sessions")
    async with note_act(request, f"session.{verb}", object=f"session/{session_id}", reason=reason):
        revision = await _find_expected(request, session_id)
        with _told_apart():
            record = await moves[verb](
                session_id, tenant=request.user.tenant, principal=who, reason=reason, if_revision=revision
            )
    return _answer(request, record)


async def _find_expected(request: Asked, session_id: str) -> int | None:
    """Find the revision that a change is meant for; `None` where it is for any.

    Raises:
        NotFound: There is no such session.
        Outdated: It is another one by now.
    """
    if "if-match" not in request.headers:
        return None
    revision = (await _get(request, session_id)).revision
    check_match(request, build_tag(revision))
    return revision


@contextmanager
def _told_apart() -> Generator[None]:
    """Tell that somebody changed a session apart from that something cannot follow on how it stands.

    Raises:
        Outdated: Somebody changed it since it was looked at.
    """
    try:
        yield
    except Conflict as error:
        if "revision" not in error.context:
            raise
        raise Outdated(error.message, **error.context) from error


def _find_sessions(request: Asked) -> SessionStore:
    return find_root(request).sessions


async def _get(request: Asked, session_id: str) -> Session:
    return await _find_sessions(request).get(
        session_id, tenant=request.user.tenant, principal=find_who(request, "sessions")
    )


def _answer(request: Asked, record: Session) -> Response[SessionView]:
    return tag(request, view_session(record), revision=record.revision)


def _answer_new(request: Asked, record: Session) -> Response[SessionView]:
    return tag(
        request,
        view_session(record),
        revision=record.revision,
        status_code=HTTP_201_CREATED,
        headers={"Location": f"/v1/sessions/{record.id}"},
    )


def build_router() -> Router:
    """Build the routes about sessions."""
    return Router(
        "/v1",
        route_handlers=[
            create_session,
            list_sessions,
            show_session,
            change_session,
            delete_session,
            suspend_session,
            resume_session,
            complete_session,
            fail_session,
            archive_session,
            fork_session,
            recover_session,
            list_messages,
            list_session_runs,
            show_usage,
            export_session,
        ],
        tags=["sessions"],
    )
