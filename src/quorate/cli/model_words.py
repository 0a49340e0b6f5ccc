"""How are models, prices and what they can do written on the command line?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from quorate.cli.words import align, clean_line, show_cost
from quorate.models.cost import Price
from quorate.models.facts import ModelFacts, Provider
from quorate.models.readiness import Variable
from quorate.models.routes import RouteRule, list_targets

RECENT_DAYS = 7
CAPABILITIES = ("tools", "vision", "audio", "files", "reasoning", "schema", "embedding")
"""What a model can be chosen by; `schema` means that it enforces one for its answer."""


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


def render_rows(rows: Sequence[Listed]) -> list[tuple[str, ...]]:
    """Write models as rows of columns: name, context, price, what it can do."""
    return [(row.name, show_tokens(row.context_tokens), show_price(row.price), _describe(row)) for row in rows]


def show_tokens(count: int | None) -> str:
    """Write a number of tokens as people read it."""
    if count is None:
        return "?"
    if count >= 1_000_000:
        return f"{count / 1_000_000:.3g}M"
    return f"{count / 1000:.4g}k" if count >= 1000 else str(count)


def show_price(price: Price | None) -> str:
    """Write a price: dollars for a million tokens read and written."""
    if price is None:
        return "no price known"
    if not (price.input or price.output):
        return "free"
    return f"${price.input:g} in, ${price.output:g} out"


def _describe(row: Listed) -> str:
    words = ", ".join(row.capabilities)
    return f"{words} (deprecated: {clean_line(row.deprecated)})" if row.deprecated else words


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


def render_model(described: Described) -> list[str]:
    """Write what is known of a model, as lines."""
    facts = described.facts
    rows: list[tuple[str, ...]] = [("name", described.name), ("address", described.base_url or "not known yet")]
    if facts is None:
        rows.append(("facts", "none: it is not listed here; it can be used all the same"))
    else:
        rows += [
            ("context", f"{show_tokens(facts.context_tokens)} tokens"),
            ("answers", f"{show_tokens(facts.max_output_tokens)} tokens at most"),
            ("can do", ", ".join(described.capabilities) or "text alone"),
        ]
    rows.append(("price", _describe_price(described.price)))
    if facts is not None and facts.deprecated:
        rows.append(("deprecated", clean_line(facts.deprecated)))
    rows += [(one.name, f"{'set' if one.is_set else 'not set'} ({one.purpose})") for one in described.variables]
    if described.recent is not None:
        said = described.recent
        rows.append(
            (
                f"last {RECENT_DAYS} days",
                f"{said.calls} calls answered, {said.cut_calls} cut, {show_cost(said.cost_usd)}",
            )
        )
    rows.append(("ready", "yes; it was not asked anything" if described.is_ready else f"no: {described.lack}"))
    return align([(name, clean_line(value)) for name, value in rows])


def _describe_price(price: Price | None) -> str:
    if price is None:
        return "not known: a limit or a budget in dollars refuses it; set one with `[[model]]` in a gateway file"
    parts = [show_price(price)]
    if price.cached is not None:
        parts.append(f"${price.cached:g} in from the cache")
    if price.cache_write is not None:
        parts.append(f"${price.cache_write:g} in to the cache")
    return f"{', '.join(parts)} for a million tokens" if len(parts) > 1 or price.input or price.output else parts[0]
