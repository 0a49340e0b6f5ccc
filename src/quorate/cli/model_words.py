"""How are models, prices and what they can do written on the command line?"""

from __future__ import annotations

from collections.abc import Sequence

from quorate.cli.words import align, clean_line, show_cost
from quorate.models.cost import Price
from quorate.models.roster import RECENT_DAYS, Described, Listed


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
