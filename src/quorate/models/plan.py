"""What does the operator want of the gateway: which providers, prices, routes, limits, budgets and guards?

A gateway file is TOML; without one, every model is asked by its own name, with the usual patience.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar, cast, get_args

import msgspec
from msgspec import Meta, Struct, structs

from quorate.errors import InvalidFiles, QuorateError
from quorate.models.batching import BatchRule
from quorate.models.bounded import BulkheadRule
from quorate.models.breaking import BREAKER_POLICY, BreakerPolicy
from quorate.models.budgets import rules as budget_rules
from quorate.models.budgets.rules import BudgetRule
from quorate.models.cache.rule import CacheRule
from quorate.models.coherence import Coherence, Words
from quorate.models.deadlines import TIMEOUTS, Timeouts
from quorate.models.facts import EnvironmentName, ModelFacts, Provider, Table, list_providers, load_provider
from quorate.models.guards.rules import FunctionRule, GuardRule
from quorate.models.health import ProbeRule
from quorate.models.hedged import HedgeRule
from quorate.models.limits import rules as limit_rules
from quorate.models.limits.opening import LimitsPlace
from quorate.models.limits.rules import LimitRule
from quorate.models.pooled import PoolRule
from quorate.models.prices import PricesPlace
from quorate.models.retry import RETRY_POLICY, RetryPolicy
from quorate.models.routes import RouteRule
from quorate.models.rows import Place, Rows, suggest
from quorate.models.semantic import SemanticRule
from quorate.models.shared import ShareRule
from quorate.models.tokenizers import TokenizerRule

Row = TypeVar("Row", bound=Struct)
MAX_BYTES = 1 << 20
FILE = "the gateway file"
NAMING = ("alias", "route", "pool", "bulkhead", "limit", "budget")
"""Lists whose tables name models and providers."""


class AliasRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another name for a model, a route, or another alias."""

    name: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9.-]{0,62}$")]
    model: str


class CachePlan(CacheRule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept of the answers of models, and where."""

    store: Literal["memory", "database", "redis"] = "memory"
    """In this process alone, or shared by all that use the same database or server."""
    url_env: EnvironmentName = "REDIS_URL"
    """The name of the environment variable that holds the server's address, for `redis`."""
    secret_env: EnvironmentName = "MODEL_CACHE_SECRET"  # noqa: S105  # a name
    """The name of the environment variable that holds 32 random bytes in hexadecimal, for what is shared."""


class SemanticPlan(SemanticRule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When an answer is given to a question that only says the same, and what compares the two."""

    embedder: str
    """The model that turns questions into vectors, named in full, or an alias."""


class GatewayPlan(Struct, frozen=True, kw_only=True):
    """All that a gateway is told; read from a file by `load_plan`, or built in Python."""

    providers: tuple[Provider, ...] = ()
    """Providers of one's own, beside those that come with Quorate."""
    models: tuple[ModelFacts, ...] = ()
    """Facts and prices that stand above those that come with Quorate."""
    aliases: dict[str, str] = {}
    """Other names for models and routes."""
    routes: tuple[RouteRule, ...] = ()
    """Names that stand for several models."""
    pools: tuple[PoolRule, ...] = ()
    """Several credentials for one provider."""
    bulkheads: tuple[BulkheadRule, ...] = ()
    """How many calls may be under way at a model."""
    retry: RetryPolicy = RETRY_POLICY
    breaker: BreakerPolicy = BREAKER_POLICY
    timeouts: Timeouts = TIMEOUTS
    """The deadlines of each attempt."""
    provider_timeouts: dict[str, Timeouts] = {}
    """Other deadlines for a provider, by its name."""
    proxies: dict[str, str] = {}
    """The proxy that leads to a provider, by its name."""
    hedge: HedgeRule | None = None
    """When a slow call is made a second time."""
    share: ShareRule | None = ShareRule()
    """How identical calls at the same moment become one; `None`: they do not."""
    batch: BatchRule | None = BatchRule()
    """How small requests for vectors become large ones; `None`: they do not."""
    probe: ProbeRule | None = None
    """How models that nobody calls are looked after."""
    limits: tuple[LimitRule, ...] = ()
    """How many requests and tokens there may be in a while."""
    limit_place: LimitsPlace = LimitsPlace()
    """Where they are counted."""
    budgets: tuple[BudgetRule, ...] = ()
    """How much may be spent."""
    prices: PricesPlace = PricesPlace()
    """Where prices are looked for that nobody wrote."""
    cache: CachePlan | None = None
    """Which answers are kept; `None`: none are."""
    semantic: SemanticPlan | None = None
    """Which answers are given to questions that are alike; `None`: to the same question alone."""
    tokenizers: tuple[TokenizerRule, ...] = ()
    """What counts the tokens of which models; what no rule names is estimated."""
    guards: tuple[GuardRule, ...] = ()
    """What is looked for in requests and answers, in this order."""

    def build_table(self) -> Table:
        """Build the facts that stand above those that come with Quorate."""
        return Table(providers={row.name: row for row in self.providers}, models={row.name: row for row in self.models})

    def find_pool(self, provider: str) -> PoolRule | None:
        """Find the credentials that share a provider's calls, or `None` where it has its own alone."""
        return next((rule for rule in self.pools if rule.provider == provider), None)


def load_plan(path: str | os.PathLike[str]) -> GatewayPlan:
    """Load and check a gateway file.

    Raises:
        InvalidFiles: It cannot be read, or does not hold together; every fault is listed with its line.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise InvalidFiles(FILE, [f"{path}: it has more than {MAX_BYTES} bytes"])
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise InvalidFiles(FILE, [f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        what = f"byte 0x{error.object[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise InvalidFiles(FILE, [f"{path}: {what}"]) from error
    plan = check_plan(text, where=Path(path).name)
    beside = Path(path).parent  # where what the file names is
    placed = [structs.replace(rule, file=str(beside / rule.file)) if rule.file else rule for rule in plan.tokenizers]
    return structs.replace(plan, tokenizers=tuple(placed))


def check_plan(text: str, *, where: str = "gateway.toml") -> GatewayPlan:
    """Read what a gateway file says, and check that it holds together.

    Raises:
        InvalidFiles: It does not; every fault is listed with its line.
    """
    rows = Rows(text, where=where)
    plan = _Reader(rows, rows.parse()).read()
    if rows.faults:
        raise InvalidFiles(FILE, rows.sort_faults())
    return plan


class _Reader:
    """Reads one file's tables; those with faults are left out."""

    def __init__(self, rows: Rows, raw: Mapping[str, object]) -> None:
        self._rows = rows
        self._raw = raw
        self._asked: list[str] = []
        self._placed: dict[str, list[Place]] = {}
        """Where the rows of each list are that have no faults of their own."""

    def read(self) -> GatewayPlan:
        """Read all there is, and note what does not hold together."""
        providers = self._read_list("provider", Provider, prepare=_prepare_provider)
        own = Table(providers={row.name: row for _, row in providers}, models={})
        models = self._read_list("model", ModelFacts, prepare=lambda raw: _prepare_model(raw, own))
        own = structs.replace(own, models={row.name: row for _, row in models})
        prices = self._read_table("prices", PricesPlace())
        check = Coherence(self._rows, own, prices=prices, declared=_list_names(self._raw.get("provider")))
        check.check_providers(providers)
        check.check_models(models)
        aliases, routes = self._read_list("alias", AliasRule), self._read_list("route", RouteRule)
        words = Words(
            self._rows,
            known=check,
            aliases=[(place, row.name, row.model) for place, row in aliases],
            routes=routes,
            declared=[*_list_names(self._raw.get("alias")), *_list_names(self._raw.get("route"))],
        )
        leads = words.list_leads()
        budgets = self._read_rules("budget", BudgetRule, budget_rules.find_faults)
        check.check_prices(budgets, leads)
        timeouts, others = self._read_timeouts(check)
        plan = GatewayPlan(
            providers=tuple(own.providers.values()),
            models=tuple(own.models.values()),
            aliases=words.aliases,
            routes=words.routes,
            pools=check.check_pools(self._read_list("pool", PoolRule)),
            bulkheads=check.check_named(self._read_list("bulkhead", BulkheadRule)),
            retry=self._read_table("retry", RETRY_POLICY),
            breaker=self._read_table("breaker", BREAKER_POLICY),
            timeouts=timeouts,
            provider_timeouts=others,
            proxies=self._read_proxies(check),
            hedge=check.check_each("hedge", self._read_optional("hedge", HedgeRule, None)),
            share=self._read_optional("share", ShareRule, ShareRule()),
            batch=self._read_optional("batch", BatchRule, BatchRule()),
            probe=check.check_each("probe", self._read_optional("probe", ProbeRule, None)),
            limits=check.check_named(self._read_rules("limit", LimitRule, limit_rules.find_faults)),
            prices=prices,
            limit_place=self._read_table("limits", LimitsPlace()),
            budgets=check.check_named(budgets, words=[*leads]),
            cache=self._read_optional("cache", CachePlan, None),
            semantic=check.check_embedder(self._read_optional("semantic", SemanticPlan, None), words.aliases),
            tokenizers=tuple(row for _, row in self._read_list("tokenizer", TokenizerRule)),
            guards=self._read_guards(),
        )
        for name in NAMING:
            check.check_rest(self._raw.get(name), self._placed[name], (name,))
        for name in self._raw.keys() - {*self._asked}:
            self._rows.add((name,), f"is no table of this file; {suggest(name, self._asked)}")
        return plan

    def _read_list(
        self, name: str, kind: type[Row], *, prepare: Callable[[dict[str, object]], object] | None = None
    ) -> list[tuple[Place, Row]]:
        raw = self._take(name)
        if prepare is not None and isinstance(raw, list):
            tables = cast("list[object]", raw)
            raw = [prepare(cast("dict[str, object]", one)) if isinstance(one, dict) else one for one in tables]
        found = [] if raw is None else self._rows.read_list(raw, kind, (name,))
        self._placed[name] = [place for place, _ in found]
        return found

    def _read_rules(
        self, name: str, kind: type[Row], find_faults: Callable[[Sequence[Row]], list[tuple[int, str]]]
    ) -> list[tuple[Place, Row]]:
        """Read rules whose owner knows what must hold between them."""
        found = self._read_list(name, kind)
        for number, fault in find_faults([row for _, row in found]):
            self._rows.add(found[number][0], fault)
        return found

    def _read_guards(self) -> tuple[GuardRule, ...]:
        raw = self._take("guard")
        found = [] if raw is None else self._rows.read_kinds(raw, get_args(GuardRule), ("guard",))
        seen: set[str] = set()
        for place, row in found:
            if row.name in seen:
                self._rows.add((*place, "name"), f"{row.name!r} is there twice; choose another name for one of them")
            seen.add(row.name)
        guards = tuple(cast("GuardRule", row) for _, row in found)  # what `read_kinds` read is of these kinds
        if guards:
            from quorate.models.guards.guard import build_guards  # loaded where there are guards

            for (place, _), rule in zip(found, guards, strict=True):
                # Functions come from the program, which is not asked here.
                if not isinstance(rule, FunctionRule):
                    try:
                        build_guards((rule,))
                    except QuorateError as error:
                        self._rows.add(place, f"cannot be used: {error.message}")
        return guards

    def _read_table(self, name: str, default: Row) -> Row:
        raw = self._take(name)
        return default if raw is None else self._rows.read(raw, type(default), (name,)) or default

    def _read_optional(self, name: str, kind: type[Row], default: Row | None) -> Row | None:
        raw = self._take(name)
        if raw is None or raw is False:  # `share = false` switches it off
            return default if raw is None else None
        return self._rows.read(raw, kind, (name,))

    def _read_timeouts(self, check: Coherence) -> tuple[Timeouts, dict[str, Timeouts]]:
        """Read `[timeouts]`, and `[timeouts.PROVIDER]` for those of one provider."""
        raw = self._take("timeouts")
        if not isinstance(raw, dict):
            return TIMEOUTS if raw is None else self._rows.read(raw, Timeouts, ("timeouts",)) or TIMEOUTS, {}
        table = cast("dict[str, object]", raw)
        plain = {name: value for name, value in table.items() if not isinstance(value, dict)}
        usual = self._rows.read(plain, Timeouts, ("timeouts",)) or TIMEOUTS
        others: dict[str, Timeouts] = {}
        for name in table.keys() - plain.keys():
            check.check_provider(name, ("timeouts", name))
            given = cast("dict[str, object]", table[name])
            read = self._rows.read({**structs.asdict(usual), **given}, Timeouts, ("timeouts", name))
            others[name] = read or usual
        return usual, others

    def _read_proxies(self, check: Coherence) -> dict[str, str]:
        raw = self._take("proxies")
        if not isinstance(raw, dict):
            if raw is not None:
                self._rows.add(("proxies",), "must be a table; write it as `[proxies]`")
            return {}
        return check.check_proxies(cast("dict[str, object]", raw))

    def _take(self, name: str) -> object:
        self._asked.append(name)
        return self._raw.get(name)


def _list_names(raw: object) -> list[str]:
    """List what tables are called, those with faults too."""
    tables = cast("list[object]", raw) if isinstance(raw, list) else []
    return [str(cast("dict[str, object]", one).get("name")) for one in tables if isinstance(one, dict)]


def _prepare_provider(raw: dict[str, object]) -> dict[str, object]:
    """Fill in what most servers of one's own have in common."""
    otel = str(raw.get("name", "")).replace("-", "_")
    return {"dialect": "openai", "otel": otel, **raw}


def _prepare_model(raw: dict[str, object], own: Table) -> dict[str, object]:
    """Fill in what is known of a model already."""
    name = raw.get("name")
    provider = name.partition(":")[0] if isinstance(name, str) else ""
    if provider in own.providers:
        return {"price": {"input": 0, "output": 0}, **raw} if own.providers[provider].free else raw
    if provider not in list_providers():
        return raw
    known = load_provider(provider).find_facts(str(name))
    filled = cast("dict[str, object]", msgspec.to_builtins(known)) if known else {}
    if not known and load_provider(provider).providers[provider].free:
        filled = {"price": {"input": 0, "output": 0}}
    return {**filled, **raw}
