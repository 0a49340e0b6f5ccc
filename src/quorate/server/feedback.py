"""How do people say over HTTP what an answer was worth?"""

from __future__ import annotations

from typing import Annotated, Literal

from litestar import Response, delete, get, post, put
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.router import Router
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED, HTTP_204_NO_CONTENT
from msgspec import Meta, Struct, structs

from quorate.errors import Forbidden, NotFound
from quorate.models.feedback import MOST_TEXT, Feedback, FeedbackStore
from quorate.runtime import Runtime
from quorate.runtime.acts import noted
from quorate.server.access import need
from quorate.server.acts import find_who, note_act
from quorate.server.asked import Asked, Limit, find_runtime
from quorate.server.described import refuses
from quorate.server.idempotency import OnceKey, once
from quorate.server.session_rights import build_sight, guard_run, sees_run
from quorate.server.tags import IfMatch, IfNoneMatch, build_tag, matched, tag
from quorate.server.views import Page

Judge = Literal["person", "program", "model"]
Cursor = Annotated[
    str | None,
    QueryParameter(max_length=200, pattern="^[a-z0-9-]+/[a-z0-9-]+$", description="What `next_cursor` of a page said."),
]
Step = Annotated[str, QueryParameter(max_length=400, description="Only that about a step, such as `2/model`.")]
Text = Annotated[str, Meta(max_length=MOST_TEXT)]
FeedbackLabels = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=64)], Annotated[str, Meta(max_length=256)]], Meta(max_length=16)
]


class FeedbackRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody thinks of a run's answer, or of one of its steps; something of it is said."""

    key: Annotated[str, Meta(max_length=400, examples=["2/model"])] = ""
    """The step's key in the run's log; empty for the run as a whole."""
    rating: Annotated[float, Meta(ge=0.0, le=1.0, examples=[1.0])] | None = None
    """From 0, useless, to 1, right."""
    correction: Text = ""
    """What the answer should have been."""
    comment: Text = ""
    labels: FeedbackLabels = {}
    source: Judge = "person"
    """Who judged: a model's judgement is never counted as a person's."""


class FeedbackView(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="object", tag="feedback"):
    """What somebody thinks of a run's answer."""

    id: str
    run: str
    key: str = ""
    reply: str = ""
    """The provider's id for the reply, where one is known."""
    principal: str
    """Who says so."""
    rating: float | None = None
    correction: str = ""
    comment: str = ""
    labels: dict[str, str] = {}
    source: Judge = "person"
    created: float


class SummaryView(Struct, frozen=True, kw_only=True, tag_field="object", tag="feedback.summary"):
    """What people think of a run's answers, in numbers."""

    run: str
    count: int
    rated: int
    rating: float | None
    """The mean of the ratings."""
    corrections: int
    comments: int


class Deleted(Struct, frozen=True, kw_only=True, tag_field="object", tag="deleted"):
    """How many there were."""

    count: int


@post(
    "/runs/{run_id:str}/feedback",
    opt=need("feedback", "write"),
    status_code=HTTP_201_CREATED,
    summary="Say what an answer was worth",
    responses=refuses(409),
)
async def create_feedback(
    request: Asked, run_id: FromPath[str], data: JSONBody[FeedbackRequest], idempotency_key: OnceKey = None
) -> Response[FeedbackView]:
    """Keep what somebody thinks of a run's answer, or of one of its steps; it never changes the run."""

    async def work() -> Response[FeedbackView]:
        saved = await _save(request, run_id, data)
        view = view_feedback(saved)
        headers = {"Location": f"/v1/runs/{run_id}/feedback/{saved.id}"}
        return tag(request, view, status_code=HTTP_201_CREATED, headers=headers)

    return await once(request, idempotency_key, work)


@get("/feedback", opt=need("feedback", "read"), summary="List feedback")
async def list_feedback(request: Asked, cursor: Cursor = None, limit: Limit = 50) -> Page[FeedbackView]:
    """List what was said of all runs, run by run, a page at a time.

    What was said of runs that one may not see is left out, so that a page may have less than `limit`.
    """
    runtime, sees = find_runtime(request), build_sight(find_runtime(request), request.user)
    found = await open_feedback(runtime).list(runtime.tenant, after=cursor or "", limit=limit)
    page, seen = _build_page(found, limit), dict[str, bool]()
    for one in found:
        if one.run not in seen:
            seen[one.run] = await sees_run(runtime, sees, one.run)
    return structs.replace(page, data=[view for view in page.data if seen[view.run]])


@get("/runs/{run_id:str}/feedback", opt=need("feedback", "read"), summary="List feedback on a run")
async def list_run_feedback(
    request: Asked, run_id: FromPath[str], key: Step = "", cursor: Cursor = None, limit: Limit = 50
) -> Page[FeedbackView]:
    """List what was said of a run, from old to new, a page at a time."""
    runtime = find_runtime(request)
    await runtime.show(run_id)
    found = await open_feedback(runtime).list(runtime.tenant, run=run_id, key=key, after=cursor or "", limit=limit)
    return _build_page(found, limit)


@get("/runs/{run_id:str}/feedback/summary", opt=need("feedback", "read"), summary="Show feedback on a run in numbers")
async def summarize_feedback(request: Asked, run_id: FromPath[str]) -> SummaryView:
    """Show how many people said something of a run, and the mean of their ratings."""
    runtime = find_runtime(request)
    await runtime.show(run_id)
    found = await open_feedback(runtime).summarize(runtime.tenant, run=run_id)
    return SummaryView(
        run=run_id,
        count=found.count,
        rated=found.rated,
        rating=found.rating,
        corrections=found.corrections,
        comments=found.comments,
    )


@get("/runs/{run_id:str}/feedback/{feedback_id:str}", opt=need("feedback", "read"), summary="Show feedback")
async def show_feedback(
    request: Asked, run_id: FromPath[str], feedback_id: FromPath[str], if_none_match: IfNoneMatch = None
) -> Response[FeedbackView]:
    """Show what somebody said."""
    found, _ = await _find(find_runtime(request), run_id, feedback_id)
    return tag(request, view_feedback(found))


@put(
    "/runs/{run_id:str}/feedback/{feedback_id:str}",
    opt=need("feedback", "write"),
    summary="Say it otherwise",
    responses=refuses(409, 412),
)
async def replace_feedback(
    request: Asked,
    run_id: FromPath[str],
    feedback_id: FromPath[str],
    data: JSONBody[FeedbackRequest],
    if_match: IfMatch = None,
) -> Response[FeedbackView]:
    """Replace what one said oneself; what others said is theirs."""
    before, revision = await _find(find_runtime(request), run_id, feedback_id)
    expected = revision if if_match is not None else None
    with matched(request, build_tag(view_feedback(before))):
        saved = await _save(request, run_id, data, id=feedback_id, if_revision=expected)
    return tag(request, view_feedback(saved))


@delete(
    "/runs/{run_id:str}/feedback/{feedback_id:str}",
    opt=need("feedback", "write"),
    status_code=HTTP_204_NO_CONTENT,
    summary="Forget feedback",
    responses=refuses(409, 412),
)
async def delete_feedback(
    request: Asked, run_id: FromPath[str], feedback_id: FromPath[str], if_match: IfMatch = None
) -> None:
    """Forget what one said oneself; with `feedback:admin`, what anybody said."""
    before, revision = await _find(find_runtime(request), run_id, feedback_id)
    if find_who(request, "feedback") not in (None, before.principal):
        async with note_act(request, "feedback.delete", object=f"run/{run_id}") as facts:
            facts["feedback"] = feedback_id
            raise Forbidden(
                f"Feedback {feedback_id!r} is another's: they forget it, or somebody with `feedback:admin`."
            )
    with matched(request, build_tag(view_feedback(before))):
        await _delete(request, run_id, feedback_id, if_revision=revision if if_match is not None else None)


@delete(
    "/runs/{run_id:str}/feedback",
    opt=need("feedback", "write"),
    status_code=HTTP_200_OK,
    summary="Forget one's feedback on a run",
)
async def delete_run_feedback(request: Asked, run_id: FromPath[str]) -> Deleted:
    """Forget everything that one said of a run oneself; with `feedback:admin`, everything that anybody said."""
    await find_runtime(request).show(run_id)
    return Deleted(count=await _delete(request, run_id, ""))


def open_feedback(runtime: Runtime) -> FeedbackStore:
    """Open what is kept of feedback."""
    return FeedbackStore(runtime.store.values, log=runtime.log, clock=runtime.clock)


def view_feedback(one: Feedback) -> FeedbackView:
    """Show what somebody said."""
    return FeedbackView(
        id=one.id,
        run=one.run,
        key=one.key,
        reply=one.reply,
        principal=one.principal,
        rating=one.rating,
        correction=one.correction,
        comment=one.comment,
        labels=one.labels,
        source=one.source,
        created=one.created,
    )


async def _save(
    request: Asked, run_id: str, data: FeedbackRequest, *, id: str = "", if_revision: int | None = None
) -> Feedback:
    runtime, by = find_runtime(request), request.user.principal
    said = Feedback(
        tenant=runtime.tenant,
        run=run_id,
        key=data.key,
        principal=by,
        rating=data.rating,
        correction=data.correction,
        comment=data.comment,
        labels=data.labels,
        source=data.source,
        id=id,
    )
    await runtime.show(run_id)
    act = "feedback.change" if id else "feedback.add"
    async with noted(runtime.audit, act, principal=by, object=f"run/{run_id}", clock=runtime.clock) as facts:
        saved = await open_feedback(runtime).save(said, if_revision=if_revision)
        facts["feedback"] = saved.id
    return saved


async def _delete(request: Asked, run_id: str, id: str, *, if_revision: int | None = None) -> int:
    runtime, by = find_runtime(request), request.user.principal
    async with noted(runtime.audit, "feedback.delete", principal=by, object=f"run/{run_id}") as facts:
        count = await open_feedback(runtime).delete(
            runtime.tenant, run_id, id, principal=find_who(request, "feedback"), if_revision=if_revision
        )
        facts |= {"count": str(count), **({"feedback": id} if id else {})}
    return count


async def _find(runtime: Runtime, run_id: str, id: str) -> tuple[Feedback, int]:
    await runtime.show(run_id)
    found = await open_feedback(runtime).find(runtime.tenant, run_id, id)
    if found is None:
        raise NotFound(f"There is no feedback {id!r} on run {run_id!r}: list it.", run=run_id)
    return found


def _build_page(found: list[Feedback], limit: int) -> Page[FeedbackView]:
    cursor = f"{found[-1].run}/{found[-1].id}" if len(found) == limit else None
    return Page(data=[view_feedback(one) for one in found], next_cursor=cursor)


def build_router() -> Router:
    """Build the routes about feedback."""
    handlers = [
        create_feedback,
        list_feedback,
        list_run_feedback,
        summarize_feedback,
        show_feedback,
        replace_feedback,
        delete_feedback,
        delete_run_feedback,
    ]
    return Router("/v1", route_handlers=handlers, tags=["feedback"], guards=[guard_run])
