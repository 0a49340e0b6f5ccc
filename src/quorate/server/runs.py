"""How are runs begun, watched and stopped over HTTP?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Annotated

from litestar import Response, get, post
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody, QueryParameter
from litestar.router import Router
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from quorate.events import ENDINGS, AnyEvent, RunSummary, RunWaiting, Status
from quorate.messages import Delta
from quorate.ports import RunOrder
from quorate.runtime import RunHandle, Runtime
from quorate.server.access import Doorkeeper, need
from quorate.server.asked import Asked, Key, Limit, find_id, find_runtime, find_seats, wants_stream
from quorate.server.doors import read_trace
from quorate.server.streams import MAX_PLACE, EventStream, Write, read_last_id, write_events
from quorate.server.views import Page, Reason, RunRequest, RunView, build_page, check_limits, view_run

MAX_WAIT_S = 60.0
"""How long a caller may wait for a run in one request."""
Wait = Annotated[float, QueryParameter(ge=0, le=MAX_WAIT_S, description="How many seconds to wait for its end.")]


@post("/runs", opt=need("runs", "write"), status_code=HTTP_202_ACCEPTED, summary="Do a task")
async def create_run(
    request: Asked, data: JSONBody[RunRequest], wait: Wait = 0.0, idempotency_key: Key = None
) -> Response[RunView] | EventStream:
    """Accept a task; once this answers, the run is recorded, and goes on whether or not anybody listens.

    With `Accept: text/event-stream` its events are streamed; with `wait` the answer comes when it ends or rests, or
    when that time is over.
    """
    runtime = find_runtime(request)
    if wants_stream(request):
        find_seats(request).check(request.user.credential)
    handle = await runtime.submit(
        data.task,
        agent=data.agent,
        model=data.model,
        session=data.session,
        limits=check_limits(data.limits),
        labels=data.labels,
        principal=request.user.principal,
        idempotency_key=idempotency_key,
        start=bool(request.app.state.works),
        trace=read_trace(request.headers),
    )
    if wants_stream(request):
        return stream_run(request, handle)
    if wait:
        try:
            async with asyncio.timeout(wait):
                await _await_rest(handle)
        except TimeoutError:
            pass
    view = await read_run(runtime, handle.id)
    is_over = wait > 0 and view.status not in ("queued", "running")
    status = HTTP_200_OK if is_over else HTTP_202_ACCEPTED
    return Response(view, status_code=status, headers={"Location": f"/v1/runs/{handle.id}"})


@get("/runs", opt=need("runs", "read"), summary="List runs")
async def list_runs(
    request: Asked,
    status: FromQuery[Status | None] = None,
    agent: FromQuery[str | None] = None,
    session: FromQuery[str | None] = None,
    order: FromQuery[RunOrder] = "newest",
    cursor: FromQuery[str | None] = None,
    limit: Limit = 50,
) -> Page[RunView]:
    """List runs that match all that is given, a page at a time."""
    found: Sequence[RunSummary] = await find_runtime(request).list_runs(
        status=status, agent=agent, session=session, order=order, before=cursor, limit=limit
    )
    last = found[-1].run if found else None
    return build_page([view_run(summary) for summary in found], limit=limit, cursor=last)


@get("/runs/{run_id:str}", opt=need("runs", "read"), summary="Show a run")
async def show_run(request: Asked, run_id: FromPath[str]) -> RunView:
    """Show how a run stands, and what it gave."""
    return await read_run(find_runtime(request), run_id)


@post("/runs/{run_id:str}/cancel", opt=need("runs", "write"), status_code=HTTP_202_ACCEPTED, summary="Stop a run")
async def cancel_run(request: Asked, run_id: FromPath[str], data: JSONBody[Reason | None] = None) -> RunView:
    """Stop a run, wherever it is worked on; a run that has ended is a conflict."""
    runtime = find_runtime(request)
    await runtime.cancel(run_id, reason=data.reason if data is not None else "", by=request.user.principal)
    return await read_run(runtime, run_id)


@post("/runs/{run_id:str}/resume", opt=need("runs", "write"), status_code=HTTP_202_ACCEPTED, summary="Go on with a run")
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
        items = runtime.follow(run_id, after=place)
        return stream_items(request, items)
    events = await runtime.log.read(run_id, after=after, limit=limit)
    cursor = str(events[-1].seq) if events else None
    return Response(build_page(events, limit=limit, cursor=cursor))


async def read_run(runtime: Runtime, run_id: str) -> RunView:
    """Read how a run stands.

    Raises:
        NotFound: The tenant has no such run.
    """
    summary = await runtime.show(run_id)
    last = await runtime.log.read(run_id, after=summary.events - 1, limit=1)
    return view_run(summary, last[-1] if last else None)


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


async def _await_rest(handle: RunHandle) -> None:
    """Wait until a run ends or rests, however it ends."""
    async with aclosing(handle.stream()) as items:
        async for item in items:
            if isinstance(item, (*ENDINGS, RunWaiting)):
                return


def build_router() -> Router:
    """Build the routes about runs."""
    return Router(
        "/v1",
        route_handlers=[create_run, list_runs, show_run, cancel_run, resume_run, read_events],
        tags=["runs"],
    )
