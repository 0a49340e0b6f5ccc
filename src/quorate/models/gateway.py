"""Which layers stand between an agent and a provider?

The gateway is a stack of layers with the same methods. `build_model` builds a small one for one model; a `Gateway`
builds those of a whole plan, which share breakers, limits, budgets and connections.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct, structs

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import UnknownName
from quorate.models.batching import Batched
from quorate.models.bounded import BULKHEAD_RULE, BulkheadRule
from quorate.models.breaking import BREAKER_POLICY, Breaker, BreakerPolicy, Breaking
from quorate.models.cache.key import CacheKey, new_secret
from quorate.models.choice import Candidate
from quorate.models.connections import Connections
from quorate.models.cost import find_dearest
from quorate.models.credentials import Credentials
from quorate.models.crew import Crew
from quorate.models.deadlines import TIMEOUTS, Timeouts
from quorate.models.facts import Table
from quorate.models.grants import check_credential
from quorate.models.health import TargetHealth
from quorate.models.observed import Listener, Observed
from quorate.models.retry import RETRY_POLICY, Retrying, RetryPolicy, build_budget
from quorate.models.routed import Routed
from quorate.models.routes import Member, RouteRule
from quorate.models.shared import Shared
from quorate.models.sizing import Estimator
from quorate.models.target import Target, find_target
from quorate.models.upstream import Patience, Upstream, build_remote, build_upstream
from quorate.ports import Embedder, Model
from quorate.specs import Request

if TYPE_CHECKING:
    from quorate.models.budgets.budgets import Budgets
    from quorate.models.cache.caches import Caches
    from quorate.models.cache.rule import CacheStore
    from quorate.models.guards.guard import Finding, GuardFunction
    from quorate.models.limits.limiter import Limiter
    from quorate.models.plan import GatewayPlan
    from quorate.models.tokenizers import Tokenizers
from quorate.models.steady import Steady

T = TypeVar("T")
MAX_MODELS = 2048
"""How many models are held; a name may be anybody's, and the one that was found first goes when there are more."""


class GatewayParts(Struct, frozen=True, kw_only=True):
    """What a gateway is given ready-made, as it cannot open it by itself."""

    limiter: Limiter | None = None
    """The plan's limits, with the store they are counted in; in this process when there is none."""
    budgets: Budgets | None = None
    """The plan's budgets, with their accounts and the book; in this process when there are none."""
    cache_store: CacheStore | None = None
    """Where answers are kept; in this process when there is none."""
    cache_secret: bytes | None = None
    """What keys are made with where processes share a store."""
    guard_functions: Mapping[str, GuardFunction] = {}
    """The program's own guards, by the names the plan calls them."""
    listeners: tuple[Listener, ...] = ()
    """Who hears of every call."""
    report: Callable[[Finding], None] | None = None
    """Who hears of what guards find."""
    trace: Callable[[], str] | None = None
    """Gives the W3C `traceparent` that goes with requests to providers; empty for none."""


class Gateway:
    """All models of a plan, behind one set of breakers, pools, limits, budgets and connections.

    Use it as `async with Gateway(plan, credentials=…) as gateway:` and ask it for models; the end of the block cancels
    what is still under way and closes the connections. Its models belong to the event loop of that block.

    Args:
        plan: What there is, and by which rules.
        credentials: Gives the value of an environment name.
        base_urls: Where providers are, by name, instead of what `credentials` or the facts say.
        parts: What is given ready-made.
        clock: Where to read the time.
    """

    def __init__(
        self,
        plan: GatewayPlan,
        *,
        credentials: Credentials,
        base_urls: Mapping[str, str] | None = None,
        parts: GatewayParts | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.plan = plan
        self.parts = parts or GatewayParts()
        self.budget = build_budget(plan.retry, monotonic=clock.monotonic)
        """What all layers together may make again."""
        self._credentials = credentials
        self._base_urls = base_urls or {}
        self._clock = clock
        self._table = plan.build_table()
        self._secret = self.parts.cache_secret or new_secret()
        self._limiter = self.parts.limiter or _build_limiter(plan)
        # Also without rules: a run brings along what it may spend.
        self._budgets = self.parts.budgets or _build_budgets(plan, clock)
        self._tokenizers = _build_tokenizers(plan)
        self._estimate = Estimator(tokenizers=self._tokenizers)
        self._crew = Crew()
        self._connections = Connections(proxies=plan.proxies, trace=self.parts.trace)
        self._routes = {rule.name: rule for rule in plan.routes}
        self._upstreams: dict[str, Upstream] = {}
        self._models: dict[str, Model] = {}
        self._embedders: dict[str, Batched | Steady] = {}

    async def __aenter__(self) -> Gateway:
        if self.plan.prices.source:
            from quorate.models.prices import find_public_price  # a plan may do without the list

            await find_public_price("openai:gpt-5")  # the list is loaded in a thread, and at hand from now on
        if self._tokenizers is not None:
            await self._tokenizers.load()
        await self._crew.__aenter__()
        if self.plan.probe is not None:
            from quorate.models.probing import keep_probing  # what a plan does not ask for is not loaded

            self._crew.start(keep_probing(self.plan.probe, list_upstreams=lambda: tuple(self._upstreams.values())))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._crew.__aexit__(kind, error, trace)
        finally:
            await self.aclose()

    @cached_property
    def caches(self) -> Caches:
        """What keeps answers, and is told to forget them."""
        from quorate.models.cache.caches import Caches  # most gateways keep none

        return Caches(self.parts.cache_store)

    @property
    def budgets(self) -> Budgets:
        """How much may be spent, and how much was."""
        return self._budgets

    def find_model(self, name: str) -> Model:
        """Find a model by its name in full, an alias or a route; the same name gives the same object.

        Raises:
            UnknownName: There is none; the nearest is suggested.
            InvalidInput: What the name stands for does not hold together.
            Unauthenticated: Its provider needs a credential and there is none.
        """
        name = self.plan.aliases.get(name, name)
        model = self._models.get(name)
        if model is None:
            model = _keep(self._models, name, self._build_model(name))
        return model

    def find_embedder(self, name: str) -> Embedder:
        """Find what turns texts into vectors by its name in full or an alias; raises what `find_model` raises."""
        name = self.plan.aliases.get(name, name)
        embedder = self._embedders.get(name)
        if embedder is None:
            embedder = _keep(self._embedders, name, self._build_embedder(name))
        return embedder

    def health(self) -> tuple[TargetHealth, ...]:
        """List how the models that are in use stand."""
        return tuple([one.build_report() for one in self._upstreams.values()])

    def hold_open(self, name: str) -> None:
        """Put a model aside by hand: it is not called until `close_breaker`.

        Raises:
            UnknownName: No such model is in use.
        """
        for breaker in self._get_upstream(name).breakers:
            breaker.hold_open()

    def close_breaker(self, name: str) -> None:
        """Let a model be called again, whatever was counted; raises what `hold_open` raises."""
        for breaker in self._get_upstream(name).breakers:
            breaker.close()

    def rate(self, name: str, score: float) -> None:
        """Say how good an answer of a model was, 0 to 1; routes by quality go by it. Raises what `hold_open` raises."""
        self._get_upstream(name).health.rate(score)

    async def aclose(self) -> None:
        """Close the connections; they open again when a model is used again."""
        for upstream in self._upstreams.values():
            await upstream.inner.aclose()
        await self._connections.aclose()

    def _get_upstream(self, name: str) -> Upstream:
        found = self._upstreams.get(self.plan.aliases.get(name, name))
        if found is None:
            raise UnknownName("model in use", name, self._upstreams)
        return found

    def _build_model(self, name: str) -> Model:
        rule = self._routes.get(name)
        if rule is not None:
            return self._build_route(rule)
        upstream = self._find_upstream(name)
        return self._build_stack(upstream.build_alone(), [upstream])

    def _build_route(self, rule: RouteRule) -> Model:
        candidates = [self._build_candidate(one, rule) for one in rule.models]
        canary = None
        if rule.canary is not None:
            canary = next((one for one in candidates if one.name == rule.canary.model), None)
            canary = canary or self._build_candidate(rule.canary.model, rule)
        routed = Routed(
            rule,
            candidates,
            budget=self.budget,
            canary=canary,
            deadline_s=self.plan.retry.deadline_s,
            estimate=self._estimate,
            monotonic=self._clock.monotonic,
        )
        return self._build_stack(routed, [self._find_upstream(one.name) for one in routed.candidates])

    def _build_candidate(self, member: Member | str, rule: RouteRule) -> Candidate:
        row = member if isinstance(member, Member) else Member(model=member)
        upstream = self._find_upstream(row.model)
        return Candidate(
            upstream.build_last(),
            quick=upstream.build_quick(rule.attempts),
            health=upstream.health,
            price=upstream.target.price,
            member=row,
        )

    def _build_stack(self, model: Model, upstreams: Sequence[Upstream]) -> Model:
        """Build the layers above a route or a model; it reads inside out."""
        from quorate.models.budgeted import Budgeted, find_longest  # a model that is built without a gateway needs none

        plan, parts = self.plan, self.parts
        price = find_dearest([one.target.price for one in upstreams])
        # Counted as for the first that may answer, as its limits are: then it is counted once.
        first = upstreams[0].target.name

        def count(request: Request, _: str) -> int:
            return self._estimate(request, first)

        scope = "user" if plan.cache is None else plan.cache.scope
        key = CacheKey(self._secret, model=model.profile.name, scope=scope)
        longest = max([find_longest(one.target.build_profile()) for one in upstreams])
        model = Budgeted(model, budgets=self._budgets, price=price, longest=longest, count=count)
        if plan.share is not None:
            model = Shared(model, crew=self._crew, key=key, rule=plan.share)
        if plan.semantic is not None:
            from quorate.models.semantic import Semantic  # as probes

            embedder = self.find_embedder(plan.semantic.embedder)
            model = Semantic(model, embedder=embedder, rule=plan.semantic, key=key, monotonic=self._clock.monotonic)
            self.caches.add(model)
        if plan.cache is not None:
            from quorate.models.cached import Cached  # as probes

            model = Cached(model, rule=plan.cache, store=parts.cache_store, key=key, monotonic=self._clock.monotonic)
            self.caches.add(model)
        if plan.guards:
            from quorate.models.guarded import Guarded
            from quorate.models.guards.guard import build_guards

            guards = build_guards(plan.guards, functions=parts.guard_functions)
            model = Guarded(model, guards=guards, report=parts.report)
        if parts.listeners:
            providers = {one.target.name: one.target.provider.otel for one in upstreams}
            model = Observed(model, listeners=parts.listeners, price=price, providers=providers, clock=self._clock)
        return model

    def _build_embedder(self, name: str) -> Batched | Steady:
        from quorate.models.embed import RemoteEmbedder  # most gateways are never asked for vectors
        from quorate.models.metered import Metered
        from quorate.models.steady import Steady

        target = self._find_target(name)
        remote = RemoteEmbedder(
            target, credentials=self._credentials, timeouts=self._find_timeouts(target), connections=self._connections
        )
        check_credential(target, self._credentials)
        breaker = Breaker(target.name, policy=self.plan.breaker, monotonic=self._clock.monotonic)
        # Every attempt counts: limits and budgets are below what makes a call again.
        metered = Metered(remote, limiter=self._limiter, budgets=self._budgets, price=target.price)
        steady = Steady(
            metered,
            policy=self.plan.retry,
            breaker=breaker,
            budget=self.budget,
            monotonic=self._clock.monotonic,
        )
        if self.plan.batch is None:
            return steady
        return Batched(steady, crew=self._crew, rule=self.plan.batch, max_texts=remote.max_texts)

    def _find_upstream(self, name: str) -> Upstream:
        found = self._upstreams.get(name)
        if found is None:
            target = self._find_target(name)
            plan, provider = self.plan, target.provider.name
            patience = Patience(
                retry=plan.retry,
                breaker=plan.breaker,
                timeouts=self._find_timeouts(target),
                bulkhead=_find_bulkhead(plan, name),
                pool=next((rule for rule in plan.pools if rule.provider == provider), None),
                hedge=plan.hedge,
            )
            found = build_upstream(
                target,
                credentials=self._credentials,
                patience=patience,
                budget=self.budget,
                connections=self._connections,
                limiter=self._limiter,
                estimate=self._estimate,
                find_place=lambda own: self._find_target(name, own),
                monotonic=self._clock.monotonic,
            )
            _keep(self._upstreams, name, found)
        return found

    def _find_target(self, name: str, credentials: Credentials | None = None) -> Target:
        if ":" not in name:
            raise UnknownName(
                "model", name, [*self._routes, *self.plan.aliases], "Or name one in full: `openai:gpt-5.2`."
            )
        target = find_target(
            name, credentials=credentials or self._credentials, base_urls=self._base_urls, table=self._table
        )
        if target.price is None and self.plan.prices.source:
            from quorate.models.prices import load_public_price  # a plan may do without the list

            return structs.replace(target, price=load_public_price(name))
        return target

    def _find_timeouts(self, target: Target) -> Timeouts:
        return self.plan.provider_timeouts.get(target.provider.name, self.plan.timeouts)


def _keep(held: dict[str, T], name: str, value: T) -> T:
    if len(held) >= MAX_MODELS:
        del held[next(iter(held))]
    held[name] = value
    return value


def _find_bulkhead(plan: GatewayPlan, name: str) -> BulkheadRule:
    """Find the rule for a model: its own, else the one for each, else the usual one."""
    rules = {rule.model: rule for rule in plan.bulkheads}
    return rules.get(name) or rules.get("") or BULKHEAD_RULE


def _build_tokenizers(plan: GatewayPlan) -> Tokenizers | None:
    if not plan.tokenizers:
        return None
    from quorate.models.tokenizers import Tokenizers  # as probes

    return Tokenizers(plan.tokenizers)


def _build_limiter(plan: GatewayPlan) -> Limiter | None:
    if not plan.limits:
        return None
    from quorate.models.limits.limiter import Limiter  # a gateway without limits does not load them

    return Limiter(plan.limits)


def _build_budgets(plan: GatewayPlan, clock: Clock) -> Budgets:
    from quorate.models.budgets.budgets import Budgets  # as its layer

    return Budgets(plan.budgets, clock=clock)


def build_model(
    name: str,
    *,
    credentials: Credentials,
    base_urls: Mapping[str, str] | None = None,
    timeouts: Timeouts = TIMEOUTS,
    retry: RetryPolicy = RETRY_POLICY,
    breaker: BreakerPolicy = BREAKER_POLICY,
    table: Table | None = None,
    is_trusted: bool = True,
) -> Retrying:
    """Build a model from its name, such as `openai:gpt-5.2`; nothing is connected before it is used.

    Args:
        name: `provider:model`; any model the provider serves, known here or not.
        credentials: Gives the value of an environment name, for the key and for the base URL; `os.environ.get` will do.
        base_urls: Where providers are, by name, instead of what `credentials` or the table says.
        timeouts: The deadlines of each attempt.
        retry: How a failed call is made again.
        breaker: When it is not called at all for a while.
        table: Providers and models of one's own, which stand above those that come with Quorate.
        is_trusted: Whether an operator wrote all of this; what a tenant wrote leads to public addresses alone.

    Raises:
        UnknownName: There is no such provider.
        InvalidInput: The name or the base URL is not one.
        Unauthenticated: The provider needs a key and there is none.
    """
    target = find_target(name, credentials=credentials, base_urls=base_urls or {}, table=table, is_trusted=is_trusted)
    check_credential(target, credentials)
    remote = build_remote(target, credentials=credentials, timeouts=timeouts)
    return Retrying(Breaking(remote, breaker=Breaker(target.name, policy=breaker)), policy=retry)
