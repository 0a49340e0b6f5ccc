"""How do people answer over HTTP what runs ask them?"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Annotated, Literal

from litestar import get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.router import Router
from litestar.status_codes import HTTP_200_OK
from msgspec import Meta, Struct

from quorate.errors import Conflict, NotFound, QuorateError
from quorate.events import AnyEvent, ApprovalDecided, ApprovalRequested, InputGiven, InputRequested, Status
from quorate.runtime import Runtime
from quorate.runtime.browse import find_question_id, page_questions
from quorate.runtime.control import read_run
from quorate.runtime.questions import MAX_TEXT, OpenQuestion, Question, find_question, find_questions, list_open
from quorate.server.access import need
from quorate.server.asked import Asked, Limit, find_runtime
from quorate.server.described import refuses
from quorate.server.views import Page
from quorate.tools.edits import build_edit

Kind = Literal["approval", "unknown", "input"]
KEYS_SHOWN = 20
_logger = logging.getLogger("quorate.server")

Cursor = Annotated[str | None, QueryParameter(max_length=200, description="What `next_cursor` of a page said.")]
Words = Annotated[str, Meta(max_length=MAX_TEXT)]
Digest = Annotated[str, Meta(min_length=64, max_length=64, pattern="^[0-9a-f]*$")]
QuestionKey = Annotated[str, Meta(min_length=1, max_length=1000, examples=["1/tool/call-1/approval"])]


class CallView(Struct, frozen=True, kw_only=True):
    """The exact call that is asked about."""

    name: str
    arguments: str
    """As JSON, exactly as they would be used, to the last character."""


class QuestionView(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="object", tag="question"):
    """Something that a run asks a person, and nobody has answered yet."""

    id: str
    """By which it is answered."""
    run: str
    key: str
    """Under which the run asks it."""
    kind: Kind
    """Whether a call may be made (`approval`), whether one of unknown outcome is to be made again (`unknown`), or what
    only a person knows (`input`)."""
    agent: str
    principal: str
    """Who asked for the run."""
    session: str | None = None
    task: str = ""
    asked: float
    expires: float | None = None
    """From when on no answer counts."""
    call: CallView | None = None
    """What would be called, unless words are wanted."""
    reason: str = ""
    editable: tuple[str, ...] = ()
    """Which arguments an answer may change."""
    by_other: bool = False
    """Whether whoever asked for the run may not answer."""
    digest: str = ""
    """What an answer is bound to: the run, the tool, its exact arguments and the policy."""
    question: str = ""
    choices: tuple[str, ...] = ()
    """What may be answered; anything when empty."""


class Approval(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A yes; what is called is in the run's log, and nothing of it is sent here."""

    reason: Words = ""
    changes: Annotated[dict[str, object], Meta(max_length=64, examples=[{"minutes": 30}])] = {}
    """New values for arguments that may be changed; all others stay as they are."""
    digest: Digest | None = None
    """The digest that was shown: nothing is approved if the question is another one by now."""


class Rejection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A no; the model reads who said so and why."""

    reason: Words = ""


class KeyedApproval(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A yes to the question of a run, by its key where it asks several things."""

    key: QuestionKey | None = None
    reason: Words = ""
    changes: Annotated[dict[str, object], Meta(max_length=64, examples=[{"minutes": 30}])] = {}
    """New values for arguments that may be changed; all others stay as they are."""
    digest: Digest | None = None
    """The digest that was shown: nothing is approved if the question is another one by now."""


class KeyedRejection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A no to the question of a run, by its key where it asks several things."""

    key: QuestionKey | None = None
    reason: Words = ""


class Input(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person tells a run."""

    text: Annotated[str, Meta(max_length=MAX_TEXT, examples=["north"])]


class AnswerView(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="object", tag="answer"):
    """What was answered, and how the run stands."""

    id: str
    run: str
    key: str
    approved: bool | None = None
    by: str
    reason: str = ""
    arguments: str | None = None
    """With which arguments exactly the call may be made."""
    text: str | None = None
    status: Status
    """How the run stands now."""


@get("/approvals", opt=need("approvals", "read"), summary="List what runs ask")
async def list_approvals(
    request: Asked,
    kind: FromQuery[Kind | None] = None,
    agent: FromQuery[str | None] = None,
    session: FromQuery[str | None] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[QuestionView]:
    """List what resting runs ask and nobody has answered, those of the oldest run first.

    A page may have less than `limit`, and another one behind it all the same: `next_cursor` says so.
    """
    runtime = find_runtime(request)
    found = await page_questions(
        runtime.log, tenant=runtime.tenant, agent=agent, session=session, kinds=[kind] if kind else (), after=cursor,
        limit=limit,
    )  # fmt: skip
    return Page(data=[view_question(one) for one in found.questions], next_cursor=found.after)


@get("/runs/{run_id:str}/approvals", opt=need("approvals", "read"), summary="List what a run asks")
async def list_run_approvals(request: Asked, run_id: FromPath[str]) -> Page[QuestionView]:
    """List everything that a run asks and nobody has answered, in the order in which it was asked."""
    events = await _read(find_runtime(request), run_id)
    return Page(data=[view_question(one) for one in list_open(events)])


@get(
    "/runs/{run_id:str}/approvals/{question_id:str}",
    opt=need("approvals", "read"),
    summary="Show what a run asks",
    responses=refuses(409),
)
async def show_approval(request: Asked, run_id: FromPath[str], question_id: FromPath[str]) -> QuestionView:
    """Show what a run asks, with the stored arguments in full; one that was answered is a conflict."""
    events = await _read(find_runtime(request), run_id)
    key = find_key(events, question_id)
    find_question(events, key)
    return next(view_question(one) for one in list_open(events) if one.key == key)


@post(
    "/runs/{run_id:str}/approvals/{question_id:str}/approve",
    opt=need("approvals", "write"),
    status_code=HTTP_200_OK,
    summary="Say yes to a call",
    responses=refuses(409),
)
async def approve(
    request: Asked, run_id: FromPath[str], question_id: FromPath[str], data: JSONBody[Approval | None] = None
) -> AnswerView:
    """Say yes to the exact call that a run asks about, or to make one of unknown outcome again.

    What is called is what the run's log holds; `changes` may name arguments that the question declares as `editable`,
    and they pass the tool's schema and every policy again. The server then goes on with the run, or a worker does.
    """
    runtime, given = find_runtime(request), data or Approval()
    events = await _read(runtime, run_id)
    key = find_key(events, question_id)
    return await _approve(request, events, key, changes=given.changes, reason=given.reason, digest=given.digest)


@post(
    "/runs/{run_id:str}/approvals/{question_id:str}/reject",
    opt=need("approvals", "write"),
    status_code=HTTP_200_OK,
    summary="Say no to a call",
    responses=refuses(409),
)
async def reject(
    request: Asked, run_id: FromPath[str], question_id: FromPath[str], data: JSONBody[Rejection | None] = None
) -> AnswerView:
    """Say no; the model reads who did and why, and the run goes on without the call."""
    events = await _read(find_runtime(request), run_id)
    return await _reject(request, events, find_key(events, question_id), reason=data.reason if data else "")


@post(
    "/runs/{run_id:str}/inputs/{question_id:str}",
    opt=need("approvals", "write"),
    status_code=HTTP_200_OK,
    summary="Tell a run what it asked",
    responses=refuses(409),
)
async def give_input(
    request: Asked, run_id: FromPath[str], question_id: FromPath[str], data: JSONBody[Input]
) -> AnswerView:
    """Tell a run what it asked a person for; where it gives choices, one of them."""
    runtime, by = find_runtime(request), request.user.principal
    events = await _read(runtime, run_id)
    key = find_key(events, question_id)
    await runtime.answer(run_id, key, text=data.text, by=by)
    status = await go_on(request, run_id)
    return AnswerView(id=question_id, run=run_id, key=key, by=by, text=data.text, status=status)


@post(
    "/runs/{run_id:str}/approve",
    opt=need("approvals", "write"),
    status_code=HTTP_200_OK,
    summary="Say yes to the one call a run asks about",
    responses=refuses(409),
)
async def approve_only(
    request: Asked, run_id: FromPath[str], data: JSONBody[KeyedApproval | None] = None
) -> AnswerView:
    """Say yes where a run asks about one call only, or name it by its `key`; of several, it is a conflict."""
    given = data or KeyedApproval()
    events = await _read(find_runtime(request), run_id)
    key = given.key if given.key is not None else find_only(events)
    return await _approve(request, events, key, changes=given.changes, reason=given.reason, digest=given.digest)


@post(
    "/runs/{run_id:str}/reject",
    opt=need("approvals", "write"),
    status_code=HTTP_200_OK,
    summary="Say no to the one call a run asks about",
    responses=refuses(409),
)
async def reject_only(
    request: Asked, run_id: FromPath[str], data: JSONBody[KeyedRejection | None] = None
) -> AnswerView:
    """Say no where a run asks about one call only, or name it by its `key`; of several, it is a conflict."""
    given = data or KeyedRejection()
    events = await _read(find_runtime(request), run_id)
    key = given.key if given.key is not None else find_only(events)
    return await _reject(request, events, key, reason=given.reason)


async def _approve(
    request: Asked, events: Sequence[AnyEvent], key: str, *, changes: dict[str, object], reason: str, digest: str | None
) -> AnswerView:
    runtime, by, run = find_runtime(request), request.user.principal, events[0].run
    question = find_questions(events).get(key)
    arguments = None
    if isinstance(question, ApprovalRequested):
        if digest is not None and digest != question.digest:
            raise Conflict(f"Run {run!r} asks something else under {key!r} by now: look at it again.", run=run)
        arguments = build_edit(question.call.arguments, changes) if changes else None
    await runtime.decide(run, key, approved=True, by=by, reason=reason, arguments=arguments)
    asked = question.call.arguments if isinstance(question, ApprovalRequested) else None
    return AnswerView(
        id=find_question_id(key),
        run=run,
        key=key,
        approved=True,
        by=by,
        reason=reason,
        arguments=asked if arguments is None else arguments,
        status=await go_on(request, run),
    )


async def _reject(request: Asked, events: Sequence[AnyEvent], key: str, *, reason: str) -> AnswerView:
    by, run = request.user.principal, events[0].run
    await find_runtime(request).decide(run, key, approved=False, by=by, reason=reason)
    status = await go_on(request, run)
    return AnswerView(
        id=find_question_id(key), run=run, key=key, approved=False, by=by, reason=reason, status=status
    )  # fmt: skip


async def go_on(request: Asked, run: str) -> Status:
    """Go on with a run whose last question was answered, where this process works on runs; return how it stands.

    Any worker may be quicker, and does it where this process does not or cannot: the answer is recorded.
    """
    runtime = find_runtime(request)
    summary = await runtime.show(run)
    if summary.status != "queued" or not request.app.state.works or find_questions(await runtime.log.read(run)):
        return summary.status
    try:
        await runtime.take(summary)
        return (await runtime.show(run)).status
    except QuorateError as error:
        _logger.warning("run.left", extra={"run": run, "error": error.code})
        return summary.status


def find_key(events: Sequence[AnyEvent], question_id: str) -> str:
    """Find under which key a run asked the question of an id, answered or not.

    Raises:
        NotFound: It asked no such thing.
    """
    kinds = (ApprovalRequested, InputRequested, ApprovalDecided, InputGiven)
    for event in events:
        if isinstance(event, kinds) and find_question_id(event.key) == question_id:
            return event.key
    run = events[0].run
    raise NotFound(f"Run {run!r} asked nothing with the id {question_id[:80]!r}: list what it asks.", run=run)


def find_only(events: Sequence[AnyEvent]) -> str:
    """Find the key of the one call that a run asks about.

    Raises:
        Conflict: It asks about none, or about several, which are named then.
    """
    run = events[0].run
    keys = [key for key, one in find_questions(events).items() if isinstance(one, ApprovalRequested)]
    if not keys:
        raise Conflict(f"Run {run!r} asks about no call, or was answered: look at what it asks.", run=run)
    if len(keys) > 1:
        named = ", ".join(repr(key) for key in keys[:KEYS_SHOWN])
        raise Conflict(f"Run {run!r} asks about {len(keys)} calls: name one as `key`, of {named}.", run=run)
    return keys[0]


def view_question(one: OpenQuestion) -> QuestionView:
    """Show a question in full."""
    asked: Question = one.question
    is_call = isinstance(asked, ApprovalRequested)
    return QuestionView(
        id=find_question_id(one.key),
        run=one.run,
        key=one.key,
        kind=one.kind,
        agent=one.agent,
        principal=one.principal,
        session=one.session,
        task=one.task,
        asked=one.asked,
        expires=one.expires,
        call=CallView(name=asked.call.name, arguments=asked.call.arguments) if is_call else None,
        reason=asked.reason if is_call else "",
        editable=asked.editable if is_call else (),
        by_other=asked.by_other if is_call else False,
        digest=asked.digest if is_call else "",
        question="" if is_call else asked.question,
        choices=() if is_call else asked.choices,
    )


async def _read(runtime: Runtime, run_id: str) -> list[AnyEvent]:
    """Read a run's log.

    Raises:
        NotFound: The tenant has no such run.
    """
    _, events = await read_run(runtime.log, run_id, tenant=runtime.tenant)
    return events


def build_router() -> Router:
    """Build the routes about what runs ask."""
    return Router(
        "/v1",
        route_handlers=[
            list_approvals,
            list_run_approvals,
            show_approval,
            approve,
            reject,
            give_input,
            approve_only,
            reject_only,
        ],
        tags=["approvals"],
    )
