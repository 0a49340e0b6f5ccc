"""Which agents are there, what are they for, and who is it that a task is for?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from typing import Annotated, Literal

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.router import Router
from litestar.status_codes import HTTP_200_OK
from msgspec import Meta, Struct

from quorate.agent.agent import AnyAgent
from quorate.agent.output import Output
from quorate.catalog.build import find_output_type
from quorate.catalog.definition import AgentDefinition
from quorate.errors import InvalidInput, NotFound
from quorate.runtime import Runtime
from quorate.server.access import need
from quorate.server.asked import Asked, Limit, find_runtime
from quorate.server.tags import IfNoneMatch, tag
from quorate.server.views import Page, build_page
from quorate.specs import Limits

MAX_WORDS = 500
Words = Annotated[
    str, QueryParameter(min_length=1, max_length=MAX_WORDS, description="Words to look for, such as `tls certificate`.")
]
Name = Annotated[str | None, QueryParameter(max_length=200)]


class AgentView(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="object", tag="agent"):
    """An agent, as a list shows it."""

    name: Annotated[str, Meta(examples=["network-agent"])]
    version: str
    description: str
    origin: Literal["catalog", "given"]
    """Whether it is of the catalog's files, or was given to the server by its program."""
    tier: str = ""
    domain: str = ""
    tags: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    """What it may call; `agent:<name>` is an agent as a tool."""
    needs_model: bool = True
    """Whether it takes a language model; one with a playbook works without."""


class AgentCard(AgentView, frozen=True, kw_only=True, omit_defaults=True, tag="agent"):
    """All that callers may know of an agent."""

    triggers: tuple[str, ...] = ()
    """Words and phrases of the tasks that are routed to it."""
    examples: tuple[str, ...] = ()
    """Tasks that it is for."""
    not_for: tuple[str, ...] = ()
    """Tasks that sound alike, and that it is not for."""
    output: Literal["text", "structured"] = "text"
    output_schema: dict[str, object] | None = None
    """JSON Schema of its answer, where that has a structure."""
    limits: Limits = Limits()
    """The bounds of each of its runs; those of the server hold as well."""
    requires: tuple[str, ...] = ()
    """What a worker must offer to do its runs, such as `gpu`."""


class AgentVersion(Struct, frozen=True, kw_only=True, tag_field="object", tag="agent.version"):
    """A version of an agent that new runs may have."""

    agent: str
    version: str
    digest: str
    """Of its definition: it changes whenever anything in it does, whatever version it says it is."""
    current: bool
    """Whether it is what new runs get."""


class AgentMatch(Struct, frozen=True, kw_only=True, tag_field="object", tag="agent.match"):
    """An agent that fits some words, and why."""

    agent: str
    score: float
    """Higher is better; comparable within one answer only."""
    reason: str


class RouteRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A task that somebody is to be found for."""

    task: Annotated[str, Meta(min_length=1, max_length=20_000, examples=["why can't I reach http://127.0.0.1:9?"])]


class RouteView(Struct, frozen=True, kw_only=True, tag_field="object", tag="route"):
    """Who a task is for."""

    agent: str
    reason: str
    """What in the task speaks for it."""
    score: float
    """How much does; from 1 up it is enough."""
    alternatives: list[AgentMatch]
    """The next best, best first."""


@get("/agents", opt=need("agents", "read"), summary="List agents")
async def list_agents(
    request: Asked,
    tier: Name = None,
    domain: Name = None,
    tag: Name = None,
    tool: Name = None,
    origin: FromQuery[Literal["catalog", "given"] | None] = None,
    order: FromQuery[Literal["name", "-name"]] = "name",
    cursor: Name = None,
    limit: Limit = 50,
) -> Page[AgentView]:
    """List the agents that have all that is asked for, by name, a page at a time."""
    found = [
        view
        for view in list_views(find_runtime(request))
        if tier in (None, view.tier)
        and domain in (None, view.domain)
        and (tag is None or tag in view.tags)
        and (tool is None or tool in view.tools)
        and origin in (None, view.origin)
    ]
    found.sort(key=lambda view: view.name, reverse=order == "-name")
    if cursor is not None:
        found = [view for view in found if (view.name < cursor if order == "-name" else view.name > cursor)]
    page = found[:limit]
    return build_page(page, limit=limit, cursor=page[-1].name if len(found) > limit else None)


@get("/agent-matches", opt=need("agents", "read"), summary="Find agents by words")
async def find_agents(
    request: Asked, q: Words, limit: Annotated[int, QueryParameter(ge=1, le=50)] = 10
) -> Page[AgentMatch]:
    """Find the agents of the catalog that share words with a text, best first, each with the reason."""
    catalog = find_runtime(request).catalog
    found = await asyncio.to_thread(catalog.find, q, limit=limit)
    data = [AgentMatch(agent=match.agent, score=match.score, reason=match.reason) for match in found]
    return Page(data=data)


@post("/route", opt=need("agents", "read"), status_code=HTTP_200_OK, summary="Find who a task is for")
async def route_task(request: Asked, data: JSONBody[RouteRequest]) -> RouteView:
    """Choose the agent that a task would go to, and say why; nothing is begun.

    A task that is for none of them is refused (`invalid_input`), and the reason says what would match.
    """
    route = await asyncio.to_thread(find_runtime(request).catalog.route, data.task)
    return RouteView(
        agent=route.agent,
        reason=route.reason,
        score=route.score,
        alternatives=[AgentMatch(agent=one.agent, score=one.score, reason=one.reason) for one in route.alternatives],
    )


@get("/agents/{agent_name:str}", opt=need("agents", "read"), summary="Show an agent")
async def show_agent(
    request: Asked, agent_name: FromPath[str], if_none_match: IfNoneMatch = None
) -> Response[AgentCard]:
    """Show what an agent is for, what it may call, and within which limits."""
    return tag(request, find_card(find_runtime(request), agent_name))


@get("/agents/{agent_name:str}/versions", opt=need("agents", "read"), summary="List an agent's versions")
async def list_versions(request: Asked, agent_name: FromPath[str]) -> Page[AgentVersion]:
    """List the versions of an agent that this server knows: that of its catalog, or of its program."""
    runtime = find_runtime(request)
    card = find_card(runtime, agent_name)
    definition: object = card
    if agent_name not in runtime.given:
        definition = msgspec.structs.replace(runtime.catalog.get(agent_name), source="")
    digest = sha256(msgspec.json.encode(definition, order="deterministic")).hexdigest()
    found = AgentVersion(agent=card.name, version=card.version, digest=f"sha256:{digest}", current=True)
    return Page(data=[found])


def list_views(runtime: Runtime) -> Iterable[AgentView]:
    """Yield all agents; one that the program gave stands in for one of the catalog with its name."""
    for definition in runtime.catalog:
        if definition.name not in runtime.given:
            yield AgentView(
                name=definition.name,
                version=definition.version,
                description=definition.description,
                origin="catalog",
                tier=definition.tier,
                domain=definition.domain,
                tags=definition.tags,
                tools=definition.tools,
                needs_model=not definition.has_playbook,
            )
    for agent in runtime.given.values():
        yield AgentView(
            name=agent.name,
            version=agent.version,
            description=agent.description,
            origin="given",
            tools=_list_tools(agent),
        )


def find_card(runtime: Runtime, name: str) -> AgentCard:
    """Find all that callers may know of an agent.

    Raises:
        NotFound: There is none of that name.
    """
    agent = runtime.given.get(name)
    if agent is not None:
        return _describe_given(agent)
    if name not in runtime.catalog:
        raise NotFound(f"There is no agent {name[:80]!r}: `GET /v1/agents` lists them.")
    return _describe(runtime.catalog.get(name))


def _describe(found: AgentDefinition) -> AgentCard:
    is_text = found.output == "text"
    return AgentCard(
        name=found.name,
        version=found.version,
        description=found.description,
        origin="catalog",
        tier=found.tier,
        domain=found.domain,
        tags=found.tags,
        tools=found.tools,
        needs_model=not found.has_playbook,
        triggers=found.triggers,
        examples=found.examples,
        not_for=found.not_for,
        output="text" if is_text else "structured",
        output_schema=None if is_text else Output(find_output_type(found, gated=False)).spec.json_schema,
        limits=found.limits,
        requires=found.requires,
    )


def _describe_given(agent: AnyAgent) -> AgentCard:
    schema = None
    if agent.output_type is not str:
        with suppress(InvalidInput):  # one that does not hold together says so when it is to run
            schema = agent.compiled.output.spec.json_schema
    return AgentCard(
        name=agent.name,
        version=agent.version,
        description=agent.description,
        origin="given",
        tools=_list_tools(agent),
        output="text" if agent.output_type is str else "structured",
        output_schema=schema,
        limits=agent.limits,
    )


def _list_tools(agent: AnyAgent) -> tuple[str, ...]:
    """List what an agent may call; one that does not hold together calls nothing, and its runs say why."""
    try:
        return tuple(spec.name for spec in agent.compiled.specs)
    except InvalidInput:
        return ()


def build_router() -> Router:
    """Build the routes about agents."""
    return Router(
        "/v1",
        route_handlers=[list_agents, find_agents, route_task, show_agent, list_versions],
        tags=["agents"],
    )
