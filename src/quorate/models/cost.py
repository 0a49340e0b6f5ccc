"""What did a model call cost?"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from quorate.messages import Usage

MILLION = 1_000_000
BYTES_PER_TOKEN = 4
Dollars = Annotated[float, Meta(ge=0)]


class Price(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """US dollars for a million tokens, at the list price of ordinary service."""

    input: Dollars
    output: Dollars
    cached: Dollars | None = None
    """For input read from the provider's cache; as `input` when it is not told apart."""
    cache_write: Dollars | None = None
    """For input written to the provider's cache; as `input` when it is not told apart."""


FREE = Price(input=0.0, output=0.0)


def cost_usd(usage: Usage, price: Price | None) -> float | None:
    """Work out what a call cost in US dollars; `None` when no price is known."""
    if price is None:
        return None
    cached = min(usage.cached_tokens, usage.input_tokens)
    written = min(usage.cache_write_tokens, usage.input_tokens - cached)
    plain = usage.input_tokens - cached - written
    total = plain * price.input + usage.output_tokens * price.output
    total += cached * (price.input if price.cached is None else price.cached)
    total += written * (price.input if price.cache_write is None else price.cache_write)
    return total / MILLION


def estimate_usage(*, sent_bytes: int, received_chars: int) -> Usage:
    """Count for ourselves, roughly, where a provider gives no count: better a rough bill than none."""
    return Usage(
        input_tokens=-(-sent_bytes // BYTES_PER_TOKEN),
        output_tokens=-(-received_chars // BYTES_PER_TOKEN),
        requests=1,
    )
