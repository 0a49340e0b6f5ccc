"""Which models can be asked, what do they cost, and how do they stand?"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from litestar import Response, get
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.router import Router
from msgspec import Meta, Struct

from quorate.errors import InvalidInput, NotFound, UnknownName
from quorate.models.breaking import State
from quorate.models.cost import Price
from quorate.models.health import TargetHealth
from quorate.models.ledger import Ledger
from quorate.models.plan import GatewayPlan
from quorate.models.roster import (
    RECENT_DAYS,
    Described,
    Listed,
    Recent,
    build_listed,
    count_recent,
    describe_model,
    load_known,
)
from quorate.models.routes import RouteRule, list_targets
from quorate.runtime import Runtime
from quorate.server.access import need
from quorate.server.asked import Asked, Limit, find_runtime
from quorate.server.tags import IfNoneMatch, tag
from quorate.server.views import Page

Capability = Literal["tools", "vision", "audio", "files", "reasoning", "schema", "embedding"]
Name = Annotated[str | None, QueryParameter(max_length=200)]


class PriceView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """US dollars for a million tokens, at the list price."""

    input: float
    output: float
    cached: float | None = None
    """For input read from the provider's cache; as `input` where it is absent."""
    cache_write: float | None = None
    """For input written to the provider's cache; as `input` where it is absent."""


class ModelView(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="object", tag="model"):
    """A model whose facts are known, as a list shows it."""

    name: Annotated[str, Meta(examples=["openai:gpt-5.2"])]
    provider: str
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    price: PriceView | None = None
    """Absent where nobody knows it: a limit or a budget in dollars refuses such a model."""
    capabilities: tuple[Capability, ...] = ()
    deprecated: str = ""
    """When it ends, and what to use instead."""


class RecentView(Struct, frozen=True, kw_only=True):
    """How the calls of the caller's tenant went lately."""

    days: int
    calls: int
    """That gave a reply."""
    cut_calls: int
    """That gave none: cut, cancelled, too slow."""
    cost_usd: float


class BreakerView(Struct, frozen=True, kw_only=True):
    """Whether one credential of a model is used at all for a while."""

    state: State
    held: bool
    """Whether it was opened by hand."""
    retry_after_s: float
    failures: int
    """Failures in a row."""


class HealthView(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="object", tag="model.health"):
    """How a model stands in the process that answers, by the calls that are made anyway."""

    model: str
    state: Literal["well", "ill", "down"]
    """`ill`: most calls failed lately; `down`: it is not called at all for a while."""
    calls: int
    failures: int
    failure_share: float
    in_flight: int
    waiting: int
    latency_s: float | None = None
    """How long a whole answer takes."""
    first_s: float | None = None
    """How long a stream's first piece takes."""
    last_error: str = ""
    """The code of the last failure."""
    quality: float | None = None
    """How good its answers were rated, 0 to 1."""
    breakers: tuple[BreakerView, ...] = ()


class ModelCard(ModelView, frozen=True, kw_only=True, omit_defaults=True, tag="model"):
    """All that callers may know of a model."""

    ready: bool
    """Whether it can be asked: its credential is there, though a provider may refuse it still."""
    health: HealthView | None = None
    """How it stands; absent where it was not asked yet."""
    recent: RecentView | None = None


class WordView(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="object", tag="model.word"):
    """An alias or a route: a name of the gateway's own for models."""

    name: str
    kind: Literal["alias", "route"]
    models: tuple[str, ...]
    """What it stands for, the preferred first."""
    choose: str = ""
    """By what a route chooses."""
    tries: int | None = None
    """How many models a route tries for one call."""
    members: tuple[ModelCard, ...] = ()
    """The models, each as it stands; only where one word is shown."""


@get("/models", opt=need("models", "read"), summary="List models")
async def list_models(
    request: Asked,
    provider: Name = None,
    capability: FromQuery[Capability | None] = None,
    max_price: Annotated[
        float | None, QueryParameter(ge=0, le=1e6, description="The most that a million tokens of output may cost.")
    ] = None,
    order: FromQuery[Literal["name", "price"]] = "name",
    cursor: Name = None,
    limit: Limit = 50,
) -> Page[ModelView]:
    """List the models whose facts are known, a page at a time. Others can be asked too, by their names in full."""
    plan = find_plan(find_runtime(request))
    rows = await asyncio.to_thread(_list_known, plan, provider)
    found = [
        row
        for row in rows
        if (capability is None or capability in row.capabilities)
        and (max_price is None or (row.price is not None and row.price.output <= max_price))
    ]

    def place(row: Listed) -> tuple[float, str]:
        return (row.price.output if row.price is not None else 1e9) if order == "price" else 0.0, row.name

    found.sort(key=place)
    if cursor is not None:
        last = next((row for row in found if row.name == cursor), None)
        if last is None:
            raise InvalidInput("`cursor` is none of this list: give what `next_cursor` was, or leave it out.")
        found = [row for row in found if place(row) > place(last)]
    page = [view_model(row) for row in found[:limit]]
    return Page(data=page, next_cursor=page[-1].name if len(found) > limit else None)


@get("/models/{model_name:path}", opt=need("models", "read"), summary="Show a model")
async def show_model(
    request: Asked, model_name: FromPath[str], if_none_match: IfNoneMatch = None
) -> Response[ModelCard | WordView]:
    """Show what is known of a model: its price, what it can do, how it stands, and how its last calls went.

    An alias or a route is shown with the models that it stands for.
    """
    runtime, name = find_runtime(request), model_name.lstrip("/")
    plan = find_plan(runtime)
    word = next((word for word in list_words(plan) if word.name == name), None)
    names = (name,) if word is None else word.models
    cards = await _describe(runtime, plan, names)
    if word is None:
        return tag(request, cards[0])
    return tag(request, _join(word, cards))


@get("/model-words", opt=need("models", "read"), summary="List aliases and routes")
async def show_words(request: Asked) -> Page[WordView]:
    """List the gateway's own names for models: aliases stand for one, routes for several."""
    return Page(data=list_words(find_plan(find_runtime(request))))


@get("/model-health", opt=need("models", "read"), summary="Show how models stand")
async def show_health(request: Asked, standing: Annotated[
    Literal["well", "ill", "down"] | None, QueryParameter(name="state")
] = None) -> Page[HealthView]:  # fmt: skip
    """Show how the models stand that the process which answers has asked so far."""
    gateway = find_runtime(request).gateway
    reports = gateway.health() if gateway is not None else ()
    views = sorted((view_health(one) for one in reports), key=lambda view: view.model)
    return Page(data=[view for view in views if standing in (None, view.state)])


def find_plan(runtime: Runtime) -> GatewayPlan:
    """Find what the gateway is told; nothing where there is none."""
    return runtime.gateway.plan if runtime.gateway is not None else GatewayPlan()


def list_words(plan: GatewayPlan) -> list[WordView]:
    """List the gateway's own names for models, by name."""
    words = [_view_route(rule) for rule in plan.routes]
    words += [WordView(name=name, kind="alias", models=(model,)) for name, model in plan.aliases.items()]
    return sorted(words, key=lambda word: word.name)


def _view_route(rule: RouteRule) -> WordView:
    return WordView(name=rule.name, kind="route", models=list_targets(rule), choose=rule.choose, tries=rule.tries)


def _join(word: WordView, cards: list[ModelCard]) -> WordView:
    return WordView(
        name=word.name,
        kind=word.kind,
        models=word.models,
        choose=word.choose,
        tries=word.tries,
        members=tuple(cards),
    )


def _list_known(plan: GatewayPlan, provider: str | None) -> list[Listed]:
    """List the models whose facts are known; reading them takes files, so that it is done beside the event loop."""
    try:
        table = load_known(plan, provider)
    except UnknownName:
        return []
    rows = (build_listed(facts, table.find_provider(facts.name.partition(":")[0])) for facts in table.models.values())
    return [row for row in rows if provider in (None, row.provider)]


async def _describe(runtime: Runtime, plan: GatewayPlan, names: tuple[str, ...]) -> list[ModelCard]:
    """Describe some models, each with how it stands and how its calls went.

    Raises:
        NotFound: One is none.
    """

    def describe() -> list[Described]:
        find = runtime.settings.find_credential
        return [describe_model(plan, name, credentials=find, clock=runtime.clock) for name in _follow(plan, names)]

    try:
        described = await asyncio.to_thread(describe)
    except UnknownName as error:
        raise NotFound(
            f"There is no model {names[0][:80]!r}: `GET /v1/models` and `GET /v1/model-words` list them."
        ) from error
    today = datetime.fromtimestamp(runtime.clock.now(), UTC).date()
    days = [(today - timedelta(days=place)).isoformat() for place in range(RECENT_DAYS)]
    async with aclosing(Ledger(runtime.store.values, clock=runtime.clock).read_days(runtime.tenant, days)) as booked:
        recent = await count_recent(booked, [one.name for one in described])
    reports = {one.model: one for one in runtime.gateway.health()} if runtime.gateway is not None else {}
    return [_build_card(one, recent[one.name], reports.get(one.name)) for one in described]


def _follow(plan: GatewayPlan, names: tuple[str, ...]) -> list[str]:
    """Name in full what an alias leads to, which may be a route."""
    routes = {rule.name: rule for rule in plan.routes}
    found: list[str] = []
    for name in names:
        found += list_targets(routes[name]) if name in routes else [name]
    return found


def _build_card(described: Described, recent: Recent, report: TargetHealth | None) -> ModelCard:
    facts = described.facts
    return ModelCard(
        name=described.name,
        provider=described.provider,
        context_tokens=None if facts is None else facts.context_tokens,
        max_output_tokens=None if facts is None else facts.max_output_tokens,
        price=view_price(described.price),
        capabilities=_pick(described.capabilities),
        deprecated="" if facts is None else facts.deprecated,
        ready=described.is_ready,
        health=None if report is None else view_health(report),
        recent=RecentView(days=RECENT_DAYS, calls=recent.calls, cut_calls=recent.cut_calls, cost_usd=recent.cost_usd),
    )


def view_model(row: Listed) -> ModelView:
    """Build what a list shows of a model."""
    return ModelView(
        name=row.name,
        provider=row.provider,
        context_tokens=row.context_tokens,
        max_output_tokens=row.max_output_tokens,
        price=view_price(row.price),
        capabilities=_pick(row.capabilities),
        deprecated=row.deprecated,
    )


def view_price(price: Price | None) -> PriceView | None:
    """Build what callers read of a price."""
    if price is None:
        return None
    return PriceView(input=price.input, output=price.output, cached=price.cached, cache_write=price.cache_write)


def view_health(report: TargetHealth) -> HealthView:
    """Build what callers read of how a model stands; where its credentials are is the operator's matter."""
    breakers = [one.breaker for one in report.credentials if one.breaker is not None]
    return HealthView(
        model=report.model,
        state=report.state,
        calls=report.calls,
        failures=report.failures,
        failure_share=report.failure_share,
        in_flight=report.in_flight,
        waiting=report.waiting,
        latency_s=report.latency_s,
        first_s=report.first_s,
        last_error=report.last_error,
        quality=report.quality,
        breakers=tuple(
            BreakerView(state=one.state, held=one.held, retry_after_s=one.retry_after_s, failures=one.failures)
            for one in breakers
        ),
    )


def _pick(words: tuple[str, ...]) -> tuple[Capability, ...]:
    known: tuple[Capability, ...] = ("tools", "vision", "audio", "files", "reasoning", "schema", "embedding")
    return tuple(one for one in known if one in words)


def build_router() -> Router:
    """Build the routes about models."""
    return Router("/v1", route_handlers=[list_models, show_model, show_words, show_health], tags=["models"])
