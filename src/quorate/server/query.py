"""Who answers a question, why, and what did they say: an agent, documents, or both?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

from litestar import Response, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, QueryParameter
from litestar.router import Router
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED
from msgspec import Meta, Struct

from quorate.catalog.route import NoRoute, Route
from quorate.errors import InvalidInput
from quorate.server.access import need
from quorate.server.asked import Asked, Key, find_runtime
from quorate.server.described import refuses
from quorate.server.doors import read_trace
from quorate.server.runs import MAX_WAIT_S, await_rest, read_run
from quorate.server.streams import wait_while_wanted
from quorate.server.views import LabelMap, RunView, Word, check_labels, check_limits
from quorate.specs import Limits

Mode = Literal["auto", "rag", "agent", "both"]
LONGEST = 100_000
"""How many characters a question may have."""
QUICK = 2_000
"""Up to how many characters an agent is chosen at once; for more it may take longer than others should wait."""
MOST_REASON = 1_000
WAIT_S = 30.0

Wait = Annotated[float, QueryParameter(ge=0, le=MAX_WAIT_S, description="How many seconds to wait for the answer.")]


class NoRetriever(InvalidInput):
    """Documents are to be searched, and none are indexed here."""

    code = "no_retriever"


class NoAgent(InvalidInput):
    """No agent is for a question."""

    code = "no_agent"


class QueryRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question, and how it is to be answered."""

    query: Annotated[
        str, Meta(min_length=1, max_length=LONGEST, examples=["why can't I reach http://127.0.0.1:9?"])
    ]  # fmt: skip
    mode: Mode = "auto"
    """`agent`: an agent works on it; `rag`: it is answered from documents; `both`: an agent that has read them; `auto`:
    whichever fits."""
    agent: Word | None = None
    """Who answers, whatever the question's words say."""
    model: Word | None = None
    session: Word | None = None
    limits: Limits | None = None
    labels: LabelMap = {}
    dry_run: bool = False
    """Only decide, and do nothing."""


class Other(Struct, frozen=True, kw_only=True):
    """An agent that was weighed and not chosen."""

    agent: str
    score: float
    reason: str


class Decision(Struct, frozen=True, kw_only=True):
    """Who answers, and why."""

    asked: Mode
    """The mode that was asked for."""
    mode: Literal["agent"]
    """The mode that was chosen."""
    agent: str
    by: Literal["caller", "router"]
    """Who chose the agent: whoever named it, or the words of the question."""
    reason: str
    confidence: float
    """From 0 to 1: how much speaks for the agent, and how much more than for the next one; 1 where it was named."""
    score: float | None = None
    """The points behind it; from 1 up they are enough."""
    alternatives: tuple[Other, ...] = ()
    """The next best, best first."""


class Source(Struct, frozen=True, kw_only=True):
    """A document that an answer rests on."""

    id: str
    title: str = ""


class QueryView(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="object", tag="query"):
    """Who answers a question, and what they said."""

    decision: Decision
    answer: str | None = None
    """Once there is one; the run goes on until then."""
    run: RunView | None = None
    """The run that answers; none of a decision alone."""
    sources: tuple[Source, ...] = ()
    """Documents that the answer rests on; none where an agent answers from what it found out itself."""


@post(
    "/query",
    opt=need("runs", "write"),
    status_code=HTTP_200_OK,
    summary="Ask a question",
    responses={
        HTTP_202_ACCEPTED: ResponseSpec(QueryView, generate_examples=False, description="The run goes on."),
        **refuses(402, 404, 409),
    },
)
async def create_query(
    request: Asked, data: JSONBody[QueryRequest], wait: Wait = WAIT_S, idempotency_key: Key = None
) -> Response[QueryView]:
    """Let whoever fits answer a question; the answer says who that is and why.

    It is a run like any other: recorded, and going on whether or not anybody waits. `202` says that it has no end yet.
    A question that no agent is for is refused (`no_agent`), and so is one that is to be answered from documents while
    none are indexed (`no_retriever`).
    """
    runtime = find_runtime(request)
    choose = partial(decide, data.query, mode=data.mode, agent=data.agent, route=runtime.catalog.route)
    decision = await asyncio.to_thread(choose) if len(data.query) > QUICK else choose()
    if data.dry_run:
        if decision.by == "caller":
            runtime.find_agent(decision.agent, data.model)
        return Response(QueryView(decision=decision), status_code=HTTP_200_OK)
    marks = {"route.agent": decision.agent, "route.reason": decision.reason} if decision.by == "router" else {}
    handle = await runtime.submit(
        data.query,
        agent=decision.agent,
        model=data.model,
        session=data.session,
        limits=check_limits(data.limits),
        labels={**check_labels(data.labels), **marks},
        principal=request.user.principal,
        idempotency_key=idempotency_key,
        start=bool(request.app.state.works),
        trace=read_trace(request.headers),
    )
    if wait:
        await wait_while_wanted(request.receive, await_rest(handle, wait), closing=request.app.state.closing)
    run = await read_run(runtime, handle.id)
    is_over = run.status not in ("queued", "running")
    return Response(
        QueryView(decision=decision, answer=run.output if run.status == "completed" else None, run=run),
        status_code=HTTP_200_OK if is_over else HTTP_202_ACCEPTED,
        headers={"Location": f"/v1/runs/{handle.id}"},
    )


def decide(query: str, *, mode: Mode, agent: str | None, route: Callable[[str], Route]) -> Decision:
    """Decide who answers a question; the same question has the same decision as long as the catalog is the same.

    Args:
        query: The question.
        mode: What was asked for.
        agent: Who was named, if anybody: nobody else is chosen then.
        route: Chooses an agent by the words of a question.

    Raises:
        NoRetriever: Documents are to be searched, and there are none.
        NoAgent: The question is for no agent.
    """
    if mode in ("rag", "both"):
        raise NoRetriever(
            f"mode {mode!r} answers from documents, and none are indexed here: ask with `agent` or `auto`, for an "
            "agent that finds out by itself."
        )
    why = "no documents are indexed here, so that an agent answers; " if mode == "auto" else ""
    if agent is not None:
        return Decision(
            asked=mode, mode="agent", agent=agent, by="caller", reason=f"{why}it was named", confidence=1.0
        )  # fmt: skip
    try:
        found = route(query)
    except NoRoute as error:
        raise NoAgent(error.message, **error.context) from error
    return Decision(
        asked=mode,
        mode="agent",
        agent=found.agent,
        by="router",
        reason=f"{why}{found.reason}"[:MOST_REASON],
        confidence=find_confidence(found),
        score=found.score,
        alternatives=tuple(
            Other(agent=one.agent, score=one.score, reason=one.reason[:MOST_REASON]) for one in found.alternatives
        ),
    )


def find_confidence(route: Route) -> float:
    """Say how sure a choice is: the share that its points have beside those of the next best and one point of doubt."""
    following = max((one.score for one in route.alternatives), default=0.0)
    return round(route.score / (route.score + following + 1.0), 3)


def build_router() -> Router:
    """Build the route that answers questions."""
    return Router("/v1", route_handlers=[create_query], tags=["query"])
