"""How are runs begun, watched and stopped over HTTP?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from functools import partial
from typing import Annotated

from litestar import Response, delete, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody, QueryParameter
from litestar.router import Router
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from quorate.errors import Forbidden, InvalidInput
from quorate.events import ENDINGS, AnyEvent, RunWaiting, Status, summarize
from quorate.messages import Delta
from quorate.ports import RunOrder
from quorate.runtime import RunHandle, Runtime
from quorate.runtime.browse import RunFilter, page_runs
from quorate.runtime.control import read_run as read_log
from quorate.server.access import Doorkeeper, need
from quorate.server.acts import find_who, note_act
from quorate.server.asked import Asked, Key, Limit, find_id, find_runtime, find_seats, wants_stream
from quorate.server.described import refuses
from quorate.server.doors import read_trace
from quorate.server.following import Follows
from quorate.server.session_rights import build_sight, guard_run
from quorate.server.streams import MAX_PLACE, EventStream, Write, read_last_id, wait_while_wanted, write_events
from quorate.server.tags import IfMatch, IfNoneMatch, build_tag, check_match, tag
from quorate.server.views import Page, Reason, RunRequest, RunView, build_page, check_labels, check_limits, view_run
from quorate.state.erasure import Eraser, ErasureCertificate

MAX_WAIT_S = 60.0
"""How long a caller may wait for a run in one request."""
Labels = Annotated[
    list[str] | None,
    QueryParameter(
        max_items=16, description="Only those with this label, as `name=value`; may be given several times."
    ),
]
Moment = Annotated[
    float | None, QueryParameter(ge=0, le=1e11, description="Seconds since 1970; a fork is born when it was forked.")
]
Cursor = Annotated[str | None, QueryParameter(max_length=200, description="What `next_cursor` of a page said.")]
UNDER_WAY = ResponseSpec(RunView, generate_examples=False, description="It is recorded, and goes on.")
Wait = Annotated[float, QueryParameter(ge=0, le=MAX_WAIT_S, description="How many seconds to wait for its end.")]


@post(
    "/runs",
    opt=need("runs", "write"),
    status_code=HTTP_200_OK,
    summary="Do a task",
    responses={HTTP_202_ACCEPTED: UNDER_WAY, **refuses(402, 409)},
)
async def create_run(
    request: Asked, data: JSONBody[RunRequest], wait: Wait = 0.0, idempotency_key: Key = None
) -> Response[RunView] | EventStream:
    """Accept a task; once this answers, the run is recorded, and goes on whether or not anybody listens.

    With `Accept: text/event-stream` its events are streamed; with `wait` the answer comes when it ends or rests, or
    when that time is over.
    """
    return await begin_run(request, data, wait=wait, idempotency_key=idempotency_key)


async def begin_run(
    request: Asked, data: RunRequest, *, wait: float, idempotency_key: str | None
) -> Response[RunView] | EventStream:
    """Record a run, and answer with how it stands, or with a stream of what happens."""
    runtime = find_runtime(request)
    if wants_stream(request):
        find_seats(request).check(request.user.credential)
    handle = await runtime.submit(
        data.task,
        agent=data.agent,
        model=data.model,
        session=data.session,
        limits=check_limits(data.limits),
        labels=check_labels(data.labels),
        principal=request.user.principal,
        idempotency_key=idempotency_key,
        start=bool(request.app.state.works),
        trace=read_trace(request.headers),
    )
    if wants_stream(request):
        return stream_run(request, handle)
    if wait:
        await wait_while_wanted(request.receive, await_rest(handle, wait), closing=request.app.state.closing)
    view = await read_run(runtime, handle.id)
    is_over = wait > 0 and view.status not in ("queued", "running")
    status = HTTP_200_OK if is_over else HTTP_202_ACCEPTED
    return Response(view, status_code=status, headers={"Location": f"/v1/runs/{handle.id}"})


@get("/runs", opt=need("runs", "read"), summary="List runs", responses=refuses(409))
async def list_runs(
    request: Asked,
    status: FromQuery[Status | None] = None,
    agent: FromQuery[str | None] = None,
    session: FromQuery[str | None] = None,
    label: Labels = None,
    created_after: Moment = None,
    created_before: Moment = None,
    order: FromQuery[RunOrder] = "newest",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[RunView]:
    """List runs that match all that is given, a page at a time.

    Runs of sessions of others, which are not shared with one, are left out; with `runs:admin`, none is.
    With labels, or a time and `order=updated`, a page may have less than `limit`, and another one behind it all the
    same: `next_cursor` says so.
    """
    wanted = RunFilter(
        status=status,
        agent=agent,
        session=session,
        labels=read_labels(label or ()),
        since=created_after,
        until=created_before,
    )
    runtime = find_runtime(request)
    found = await page_runs(
        runtime.log, wanted, tenant=runtime.tenant, order=order, after=cursor, limit=limit,
        sees=build_sight(runtime, request.user),
    )  # fmt: skip
    data = [view_run(summary, labels=found.labels[summary.run]) for summary in found.runs]
    return Page(data=data, next_cursor=found.after)


@get("/runs/{run_id:str}", opt=need("runs", "read"), summary="Show a run")
async def show_run(request: Asked, run_id: FromPath[str], if_none_match: IfNoneMatch = None) -> Response[RunView]:
    """Show how a run stands, and what it gave."""
    view = await read_run(find_runtime(request), run_id)
    return tag(request, view, revision=view.events)


@delete(
    "/runs/{run_id:str}",
    opt=need("runs", "write"),
    status_code=HTTP_200_OK,
    summary="Delete a run for good",
    responses=refuses(409, 412),
)
async def delete_run(
    request: Asked,
    run_id: FromPath[str],
    reason: Annotated[str, QueryParameter(max_length=1000, description="Why; it is written down.")] = "",
    if_match: IfMatch = None,
) -> ErasureCertificate:
    """Delete a run that has ended, with its artifacts and values, look for all of it again, and answer with the proof.

    Whoever asked for it may, and with `runs:admin` anybody. `quorate runs check-deleted` checks the certificate at any
    time. The audit trail stays.
    """
    runtime = find_runtime(request)
    summary = await runtime.show(run_id)
    if find_who(request, "runs") not in (None, summary.principal):
        async with note_act(request, "run.delete", object=f"run/{run_id}", reason=reason):
            raise Forbidden(f"Run {run_id!r} is another's: they delete it, or somebody with `runs:admin`.")
    eraser = Eraser(runtime.store, tenant=runtime.tenant, clock=runtime.clock, audit=runtime.audit)
    check_match(request, build_tag(summary.events))
    return await eraser.erase_run(run_id, by=request.user.principal, reason=reason)


@post(
    "/runs/{run_id:str}/cancel",
    opt=need("runs", "write"),
    status_code=HTTP_202_ACCEPTED,
    summary="Stop a run",
    responses=refuses(409),
)
async def cancel_run(request: Asked, run_id: FromPath[str], data: JSONBody[Reason | None] = None) -> RunView:
    """Stop a run, wherever it is worked on; a run that has ended is a conflict."""
    runtime = find_runtime(request)
    await runtime.cancel(run_id, reason=data.reason if data is not None else "", by=request.user.principal)
    return await read_run(runtime, run_id)


@post(
    "/runs/{run_id:str}/resume",
    opt=need("runs", "write"),
    status_code=HTTP_202_ACCEPTED,
    summary="Go on with a run",
    responses=refuses(402, 409),
)
async def resume_run(request: Asked, run_id: FromPath[str]) -> RunView:
    """Go on with a run that rests; no recorded step is made again."""
    runtime = find_runtime(request)
    await runtime.resume(run_id, by=request.user.principal)
    return await read_run(runtime, run_id)


@get("/runs/{run_id:str}/events", opt=need("runs", "read"), summary="Read or follow what happened")
async def read_events(
    request: Asked,
    run_id: FromPath[str],
    after: Annotated[int, QueryParameter(ge=0, le=MAX_PLACE, description="Only those behind this place.")] = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 200,
    last_event_id: Annotated[str | None, HeaderParameter(name="Last-Event-ID")] = None,
) -> Response[Page[AnyEvent]] | EventStream:
    """Read what was recorded of a run; with `Accept: text/event-stream`, follow it until it ends or rests.

    A stream goes on behind `Last-Event-ID`, so that whoever comes back misses nothing and sees nothing twice.
    """
    runtime = find_runtime(request)
    await runtime.show(run_id)
    if wants_stream(request):
        find_seats(request).check(request.user.credential)
        place = max(after, read_last_id(last_event_id))
        follows: Follows = request.app.state.follows
        items = follows.follow(runtime, run_id, after=place)
        return stream_items(request, items)
    events = await runtime.log.read(run_id, after=after, limit=limit)
    cursor = str(events[-1].seq) if events else None
    return Response(build_page(events, limit=limit, cursor=cursor))


async def read_run(runtime: Runtime, run_id: str) -> RunView:
    """Read how a run stands.

    Raises:
        NotFound: The tenant has no such run.
    """
    created, events = await read_log(runtime.log, run_id, tenant=runtime.tenant)
    summary = summarize(None, events)
    assert summary is not None  # the log begins with its birth
    return view_run(summary, events[-1], labels=created.labels)


def read_labels(given: Sequence[str]) -> dict[str, str]:
    """Read labels that are written `name=value`.

    Raises:
        InvalidInput: One is not.
    """
    pairs = [text.partition("=") for text in given]
    for name, equals, value in pairs:
        if not name or not equals:
            raise InvalidInput(f"label {(name + value)[:80]!r} is none: write it like `label=team=net`.")
    return {name: value for name, _, value in pairs}


def stream_run(request: Asked, handle: RunHandle) -> EventStream:
    """Stream a run from its beginning, with its text as it is said."""
    return stream_items(request, handle.stream(), headers={"Location": f"/v1/runs/{handle.id}"})


def stream_items(
    request: Asked, items: AsyncGenerator[AnyEvent | Delta], *, headers: dict[str, str] | None = None
) -> EventStream:
    """Stream what happens for as long as the credential is good, and we stay."""
    doorkeeper: Doorkeeper = request.app.state.doorkeeper

    async def write(send: Write) -> None:
        with find_seats(request).take(request.user.credential):
            await write_events(
                send,
                items,
                request_id=find_id(request),
                closing=request.app.state.closing,
                check=partial(doorkeeper.identify, request.headers),
            )

    return EventStream(write, headers=headers)


async def await_rest(handle: RunHandle, wait_s: float) -> None:
    """Wait until a run ends or rests, however it ends, or until a time is over."""
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s), aclosing(handle.stream()) as items:
            async for item in items:
                if isinstance(item, (*ENDINGS, RunWaiting)):
                    return


def build_router() -> Router:
    """Build the routes about runs."""
    return Router(
        "/v1",
        route_handlers=[create_run, list_runs, show_run, delete_run, cancel_run, resume_run, read_events],
        tags=["runs"],
        guards=[guard_run],
    )
