"""Which models are known, what can they do, and can they be asked from here?"""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Sequence

from msgspec import Struct

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import InvalidInput, UnknownName
from quorate.models.cost import NANO, Price
from quorate.models.credentials import Credentials
from quorate.models.facts import (
    ModelFacts,
    Provider,
    Table,
    list_providers,
    load_facts,
    load_table,
    unknown_provider,
)
from quorate.models.ledger import Booked
from quorate.models.plan import GatewayPlan
from quorate.models.readiness import Variable, find_lack, list_variables
from quorate.models.routes import RouteRule, list_targets
from quorate.models.target import find_target

RECENT_DAYS = 7
CAPABILITIES = ("tools", "vision", "audio", "files", "reasoning", "schema", "embedding")
"""What a model can be chosen by; `schema` means that it enforces one for its answer."""
HINT = "A model is named `provider:model`; aliases and routes are words of the gateway file."


class Listed(Struct, frozen=True, kw_only=True):
    """A model as the list shows it."""

    name: str
    provider: str
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    price: Price | None = None
    """In US dollars for a million tokens; `None` when nobody knows."""
    capabilities: tuple[str, ...] = ()
    deprecated: str = ""


class Word(Struct, frozen=True, kw_only=True):
    """An alias or a route as the list shows it."""

    name: str
    kind: str
    models: tuple[str, ...]


def build_listed(facts: ModelFacts, provider: Provider) -> Listed:
    """Build a row from what is known of a model."""
    return Listed(
        name=facts.name,
        provider=provider.name,
        context_tokens=facts.context_tokens,
        max_output_tokens=facts.max_output_tokens,
        price=facts.price,
        capabilities=list_capabilities(facts, provider),
        deprecated=facts.deprecated,
    )


def list_capabilities(facts: ModelFacts, provider: Provider) -> tuple[str, ...]:
    """List what a model can do, in a fixed order."""
    if facts.kind == "embedding":
        return ("embedding",)
    native = provider.native_output if facts.native_output is None else facts.native_output
    has = {
        "tools": facts.tools,
        "vision": facts.vision,
        "audio": facts.audio,
        "files": facts.files,
        "reasoning": facts.reasoning,
        "schema": native,
    }
    return tuple(name for name in CAPABILITIES if has.get(name))


def build_words(aliases: Iterable[tuple[str, str]], routes: Sequence[RouteRule]) -> list[Word]:
    """Build the rows of a gateway file's own names."""
    return [
        *(Word(name=rule.name, kind=f"route by {rule.choose}", models=list_targets(rule)) for rule in routes),
        *(Word(name=name, kind="alias", models=(target,)) for name, target in sorted(aliases)),
    ]


class Recent(Struct, frozen=True, kw_only=True):
    """How the calls of the last days went."""

    calls: int = 0
    """That gave a reply."""
    cut_calls: int = 0
    """That gave none: cut, cancelled, too slow."""
    cost_usd: float = 0.0


class Described(Struct, frozen=True, kw_only=True):
    """A model as `show` shows it."""

    name: str
    provider: str
    facts: ModelFacts | None
    """What is known of it; nothing of one that is not listed."""
    price: Price | None
    capabilities: tuple[str, ...]
    base_url: str
    """Where it is; empty while a part of the address is missing."""
    variables: tuple[Variable, ...]
    is_ready: bool
    """Whether it can be asked; a key that is there may still be refused."""
    lack: str
    """What is missing."""
    recent: Recent | None = None
    """How its calls went lately; `None` where nothing was booked yet."""


def load_known(plan: GatewayPlan, provider: str | None = None) -> Table:
    """Load the facts of all models, or of a provider's alone; those of the plan stand above those that are shipped.

    Raises:
        UnknownName: There is no such provider.
    """
    own = plan.build_table()
    if provider is not None:
        if provider not in own.providers and provider not in list_providers():
            raise unknown_provider(provider, {*list_providers(), *own.providers})
        return load_facts(provider, own=own)
    shipped = load_table()
    return Table(providers={**shipped.providers, **own.providers}, models={**shipped.models, **own.models})


def describe_model(
    plan: GatewayPlan,
    name: str,
    *,
    credentials: Credentials,
    recent: Recent | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Described:
    """Describe a model by its name in full: what is known of it, and what keeps it from being asked.

    Raises:
        UnknownName: There is no such provider, or the name is none of a model.
    """
    if ":" not in name:
        raise UnknownName("model, alias or route", name, (*plan.aliases, *(rule.name for rule in plan.routes)), HINT)
    own, provider_name = plan.build_table(), name.partition(":")[0]
    table = load_facts(provider_name, own=own)
    provider, lack, base_url = table.find_provider(provider_name), "", ""
    pool = plan.find_pool(provider_name)
    try:
        target = find_target(name, credentials=credentials, base_urls={}, table=own)
        base_url = target.base_url
        lack = find_lack(target, credentials, now=clock.now(), pool=pool)
    except InvalidInput as error:  # a part of the address is not set
        lack = error.message
    facts = table.find_facts(name)
    return Described(
        name=name,
        provider=provider.name,
        facts=facts,
        price=table.find_price(name),
        capabilities=list_capabilities(facts, provider) if facts is not None else (),
        base_url=base_url,
        variables=list_variables(provider, credentials, pool=pool),
        is_ready=not lack,
        lack=lack,
        recent=recent,
    )


async def count_recent(booked: AsyncIterable[Booked], names: Iterable[str]) -> dict[str, Recent]:
    """Count how the calls to some models went, as they are booked."""
    found = dict.fromkeys(names, Recent())
    async for one in booked:
        known = found.get(one.model)
        if known is not None:
            found[one.model] = Recent(
                calls=known.calls + one.row.calls,
                cut_calls=known.cut_calls + one.row.cut_calls,
                cost_usd=known.cost_usd + (one.row.usd + one.row.cut_usd) / NANO,
            )
    return found
