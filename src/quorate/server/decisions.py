"""How do agents and people decide over HTTP, and how is it checked afterwards?"""

from __future__ import annotations

from typing import Annotated

from litestar import Response, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.router import Router
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED, HTTP_202_ACCEPTED

from quorate.council.decision import Decision, Verification
from quorate.council.motion import write_motion
from quorate.council.registrar import DECIDER
from quorate.council.trust import Source
from quorate.errors import CorruptState, NotFound
from quorate.events import InputRequested
from quorate.runtime import Runtime
from quorate.runtime.ballots import cast_ballot, find_asked
from quorate.runtime.decisions import Decisions
from quorate.runtime.motions import check_motion
from quorate.runtime.outcomes import Outcomes
from quorate.runtime.questions import OpenQuestion
from quorate.server.access import need
from quorate.server.acts import note_act
from quorate.server.approvals import go_on
from quorate.server.asked import Asked, Key, Limit, find_runtime
from quorate.server.decision_views import (
    BallotRequest,
    DecisionRequest,
    DecisionView,
    MotionView,
    OutcomeRequest,
    OutcomeView,
    Standing,
    TakenView,
    VerificationView,
    find_standing,
    view_decision,
    view_entry,
    view_outcome,
    view_verification,
)
from quorate.server.described import refuses
from quorate.server.doors import read_trace
from quorate.server.idempotency import OnceKey, once
from quorate.server.runs import Wait, await_rest
from quorate.server.session_rights import build_sight, sees_run
from quorate.server.streams import wait_while_wanted
from quorate.server.tags import IfNoneMatch, tag
from quorate.server.views import Page
from quorate.state.places import build_decision_id

PUT = ResponseSpec(MotionView, generate_examples=False, description="It is recorded, and goes on.")
Cursor = Annotated[
    str | None,
    QueryParameter(max_length=200, pattern="^dec-[a-z0-9-]+$", description="What `next_cursor` of a page said."),
]


@post(
    "/decisions",
    opt=need("runs", "write"),
    status_code=HTTP_200_OK,
    summary="Put something to the vote",
    responses={HTTP_202_ACCEPTED: PUT, **refuses(402, 409)},
)
async def create_decision(
    request: Asked, data: JSONBody[DecisionRequest], wait: Wait = 0.0, idempotency_key: Key = None
) -> Response[MotionView]:
    """Put a question to the vote among agents and people; once this answers, the run that holds the vote is recorded.

    All that is wrong with it is told at once, before anybody is asked. With `wait` the answer comes when it is decided
    or waits for somebody, or when that time is over. `Location` is the decision, or its run until it is opened.
    """
    runtime, motion = find_runtime(request), data.motion
    works = bool(request.app.state.works)
    await check_motion(runtime, motion, model=data.model, start=works)
    handle = await runtime.submit(
        write_motion(motion),
        agent=DECIDER,
        model=data.model,
        principal=request.user.principal,
        idempotency_key=idempotency_key,
        start=works,
        trace=read_trace(request.headers),
    )
    if wait:
        await wait_while_wanted(request.receive, await_rest(handle, wait), closing=request.app.state.closing)
    summary = await runtime.show(handle.id)
    decision = await find_decision(runtime, handle.id)
    is_over = wait > 0 and summary.status not in ("queued", "running")
    return Response(
        MotionView(run=handle.id, status=summary.status, decision=decision),
        status_code=HTTP_200_OK if is_over else HTTP_202_ACCEPTED,
        headers={"Location": f"/v1/decisions/{decision}" if decision else f"/v1/runs/{handle.id}"},
    )


@get("/decisions", opt=need("runs", "read"), summary="List decisions")
async def list_decisions(
    request: Asked, status: FromQuery[Standing | None] = None, cursor: Cursor = None, limit: Limit = 50
) -> Page[DecisionView]:
    """List decisions, the oldest first, a page at a time; those of runs that one may not see are left out.

    A page may have less than `limit`, and another one behind it all the same: `next_cursor` says so.
    """
    runtime = find_runtime(request)
    sees, seen = build_sight(runtime, request.user), dict[str, bool]()
    found = await Decisions(runtime).list_entries(after=cursor or "", limit=limit)
    for one in found:
        if one.run not in seen:
            seen[one.run] = await sees_run(runtime, sees, one.run)
    data = [view_entry(one) for one in found if seen[one.run] and status in (None, find_standing(one.by))]
    return Page(data=data, next_cursor=found[-1].id if len(found) == limit else None)


@get("/decisions/{decision_id:str}", opt=need("runs", "read"), summary="Show a decision")
async def show_decision(
    request: Asked, decision_id: FromPath[str], if_none_match: IfNoneMatch = None
) -> Response[DecisionView]:
    """Show the record of a decision: its terms, ballots with reasons, and what came of it.

    The ballots of a secret vote are shown when it is closed.
    """
    record = await _get(request, decision_id)
    asked = await find_asked(find_runtime(request), record) if record.is_open else []
    return tag(request, view_decision(record, waits_for=[name for one in asked if (name := _names(one))]))


@get(
    "/decisions/{decision_id:str}/verification",
    opt=need("runs", "read"),
    summary="Count the ballots of a decision again",
)
async def verify_decision(request: Asked, decision_id: FromPath[str]) -> VerificationView:
    """Take the ballots of a decision again, count them again, and compare all that was noted; each fault is named."""
    try:
        await _get(request, decision_id)
        found = await Decisions(find_runtime(request)).verify(decision_id)
    except CorruptState as error:
        found = Verification(decision=decision_id, winner=None, faults=(error.message,))
    return view_verification(found)


@post(
    "/decisions/{decision_id:str}/ballots",
    opt=need("approvals", "write"),
    status_code=HTTP_201_CREATED,
    summary="Vote",
    responses=refuses(409),
)
async def create_ballot(
    request: Asked, decision_id: FromPath[str], data: JSONBody[BallotRequest], idempotency_key: OnceKey = None
) -> Response[TakenView]:
    """Vote as oneself where a decision waits for one's ballot, or decide where it waits for that.

    Whoever asks is the voter: nobody votes for somebody else. The ballot is checked before it is taken.
    """

    async def work() -> Response[TakenView]:
        runtime, by = find_runtime(request), request.user.principal
        record = await Decisions(runtime).get(decision_id)
        if by not in [_names(one) for one in await find_asked(runtime, record)]:
            await _check_sight(request, record)
        one = await cast_ballot(runtime, decision_id, data.ballot, by=by)
        status = await go_on(request, one.run)
        view = TakenView(decision=decision_id, run=one.run, by=by, status=status)
        return Response(view, status_code=HTTP_201_CREATED, headers={"Location": f"/v1/decisions/{decision_id}"})

    return await once(request, idempotency_key, work)


@post(
    "/decisions/{decision_id:str}/outcome",
    opt=need("feedback", "write"),
    status_code=HTTP_200_OK,
    summary="Say what turned out to be right",
    responses=refuses(409),
)
async def create_outcome(
    request: Asked, decision_id: FromPath[str], data: JSONBody[OutcomeRequest], idempotency_key: OnceKey = None
) -> Response[OutcomeView]:
    """Say which option turned out to be right: it is measured how good the decision was, and voters are trusted so.

    Something else than was said before is a conflict, unless `correct` is set.
    """

    async def work() -> Response[OutcomeView]:
        runtime = find_runtime(request)
        await _get(request, decision_id)
        async with note_act(request, "decision.outcome", object=f"decision/{decision_id}", reason=data.reason):
            report = await Outcomes(runtime).record(
                decision_id,
                data.truth,
                source=Source(principal=request.user.principal),
                reason=data.reason,
                utilities=data.utilities or None,
                corrects=data.correct,
            )
        return Response(view_outcome(report), status_code=HTTP_200_OK)

    return await once(request, idempotency_key, work)


async def find_decision(runtime: Runtime, run: str) -> str:
    """Find the id of the decision that a run makes; empty until it is opened."""
    place = build_decision_id(run, "")
    found = await Decisions(runtime).list_entries(after=place, limit=1)
    return found[0].id if found and found[0].run == run else ""


async def _get(request: Asked, decision: str) -> Decision:
    """Read a decision.

    Raises:
        NotFound: There is none, for whoever asks.
    """
    record = await Decisions(find_runtime(request)).get(decision)
    await _check_sight(request, record)
    return record


async def _check_sight(request: Asked, record: Decision) -> None:
    runtime = find_runtime(request)
    if not await sees_run(runtime, build_sight(runtime, request.user), record.run):
        raise NotFound(f"There is no decision {record.id!r:.80}: list them with `quorate decisions list`.")


def _names(one: OpenQuestion) -> str:
    return one.question.of if isinstance(one.question, InputRequested) else ""


def build_router() -> Router:
    """Build the routes about decisions."""
    handlers = [create_decision, list_decisions, show_decision, verify_decision, create_ballot, create_outcome]
    return Router("/v1", route_handlers=handlers, tags=["decisions"])
