"""What did a model call cost, and what may one cost at most?"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta, Struct

from quorate.messages import Usage

MILLION = 1_000_000
BYTES_PER_TOKEN = 4
NANO = 1_000_000_000
"""Money is counted in whole billionths of a dollar, so that sums are exact."""
Dollars = Annotated[float, Meta(ge=0)]
Day = Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]


class Rates(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """US dollars for a million tokens."""

    input: Dollars
    output: Dollars
    cached: Dollars | None = None
    """For input read from the provider's cache; as `input` when it is not told apart."""
    cache_write: Dollars | None = None
    """For input written to the provider's cache; as `input` when it is not told apart."""
    cache_write_long: Dollars | None = None
    """For input written to the provider's cache for an hour or more; as `cache_write` when it is not told apart."""


class Tier(Rates, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all tokens of a call cost when its input is longer."""

    above: Annotated[int, Meta(gt=0)]
    """How many input tokens a call must pass for it."""


class Change(Rates, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What tokens cost from a day on."""

    since: Day
    """The first day, in UTC: `2026-12-01`."""
    tiers: tuple[Tier, ...] = ()


class Price(Rates, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """US dollars for a million tokens, at the list price of ordinary service."""

    tiers: tuple[Tier, ...] = ()
    """Other prices for calls with more input."""
    changes: tuple[Change, ...] = ()
    """Prices that are announced for later, the earliest first."""


FREE = Price(input=0.0, output=0.0)


def cost_usd(usage: Usage, price: Price | None, *, now: float | None = None) -> float | None:
    """Work out what a call cost in US dollars; `None` when no price is known.

    Args:
        usage: What it used up.
        price: What tokens cost.
        now: Wall time of the call, for prices that change; without it they are as they were first.
    """
    if price is None:
        return None
    rates: Rates = price
    if price.tiers or price.changes:
        rates = find_rates(price, usage.input_tokens, now=now)
    read = usage.input_tokens
    cached = min(usage.cached_tokens, read)
    written = min(usage.cache_write_tokens, read - cached)
    long = min(usage.cache_write_long_tokens, written)
    write_rate = rates.input if rates.cache_write is None else rates.cache_write
    total = (read - cached - written) * rates.input + usage.output_tokens * rates.output
    if cached:
        total += cached * (rates.input if rates.cached is None else rates.cached)
    if written:
        total += (written - long) * write_rate
        total += long * (write_rate if rates.cache_write_long is None else rates.cache_write_long)
    return total / MILLION


def find_rates(price: Price, input_tokens: int, *, now: float | None = None) -> Rates:
    """Find what holds for a call with so much input, at a moment."""
    current: Price | Change = price
    if price.changes and now is not None:
        today = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
        for change in price.changes:
            if change.since <= today:
                current = change
    rates: Rates = current
    reached = 0
    for tier in current.tiers:
        if reached < tier.above < input_tokens:
            rates, reached = tier, tier.above
    return rates


def bound_rates(price: Price, input_tokens: int, *, now: float | None = None) -> tuple[float, float]:
    """Return what a token of input and of output costs at most in a call with so much input, in dollars."""
    rates = find_rates(price, input_tokens, now=now)
    reads = (rates.input, rates.cached, rates.cache_write, rates.cache_write_long)
    return max(rate for rate in reads if rate is not None) / MILLION, rates.output / MILLION


def find_dearest(prices: Iterable[Price | None]) -> Price | None:
    """Build the price that none of several passes, for a call that any of them may answer; `None` if one is unknown."""
    found = list(prices)
    known = [price for price in found if price is not None]
    if not known or len(known) < len(found):
        return None
    if len(set(known)) == 1:
        return known[0]
    rows: list[Rates] = [row for price in known for row in (price, *price.tiers)]
    rows += [row for price in known for change in price.changes for row in (change, *change.tiers)]
    reads = [max(row.input, row.cached or 0.0, row.cache_write or 0.0, row.cache_write_long or 0.0) for row in rows]
    return Price(input=max(reads), output=max(row.output for row in rows))


def estimate_usage(*, sent_bytes: int, received_chars: int) -> Usage:
    """Count for ourselves, roughly, where a provider gives no count: better a rough bill than none."""
    return Usage(
        input_tokens=-(-sent_bytes // BYTES_PER_TOKEN),
        output_tokens=-(-received_chars // BYTES_PER_TOKEN),
        requests=1,
    )
