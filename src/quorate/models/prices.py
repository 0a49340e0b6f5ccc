"""What do the tokens of a model cost that nobody here lists?

`genai-prices` is a list of prices that others maintain; it comes with the extra `prices` and is asked only where it is
switched on. Prices of the gateway file and of the catalog stand above it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Literal, Protocol, cast

import msgspec
from msgspec import Struct

from quorate.errors import MissingExtra
from quorate.models.cost import Price, Tier

OWNERS: Mapping[str, str] = {
    "bedrock": "aws",
    "gemini": "google",
    "vertex": "google",
    "xai": "x-ai",
    "openai-responses": "openai",
    "azure-responses": "azure",
}
"""What the list calls some of our providers; the others have the same name there."""
FIELDS: Mapping[str, str] = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_long": "cache_write_1h_mtok",
}
"""Our words for a rate, and the list's."""


class _Step(Protocol):
    """From where on a rate holds."""

    start: int
    price: Decimal


class _Tiered(Protocol):
    """A rate that depends on the length of the input."""

    tiers: Sequence[_Step]


class PricesPlace(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where prices are looked for that neither the gateway file nor the catalog has."""

    source: Literal["", "genai-prices"] = ""
    """Nowhere: such a model has no known price; or in the list that comes with the extra `prices`."""


async def find_public_price(name: str) -> Price | None:
    """Find the price of a model, named in full, in the public list; `None` when it is not there.

    The list is loaded in a thread at the first use, as that takes a moment.

    Raises:
        MissingExtra: The extra `prices` is not installed.
    """
    return await asyncio.to_thread(load_public_price, name)


@lru_cache(maxsize=1024)
def load_public_price(name: str) -> Price | None:
    """Find a price as `find_public_price` does, at once; for where no event loop waits."""
    try:
        from genai_prices.data_snapshot import get_snapshot
    except ImportError as error:
        raise MissingExtra("The public list of prices", "prices") from error
    provider, _, model = name.partition(":")
    owner = OWNERS.get(provider, provider)
    try:
        found, info = get_snapshot().find_provider_model(model, None, owner, None)
    except LookupError:
        return None
    # Where it does not know a provider it may guess one by the model's name: another one's price is none.
    return build_price(vars(info.get_prices(datetime.now(UTC)))) if found.id == owner else None


def build_price(row: Mapping[str, object]) -> Price | None:
    """Build our own words for a row of the list; `None` where it has no price for text, or one for each request too."""
    read = {ours: row.get(theirs) for ours, theirs in FIELDS.items() if row.get(theirs) is not None}
    if not read.keys() >= {"input", "output"} or row.get("requests_kcount"):
        return None
    starts = {tier.start for rate in read.values() for tier in _get_tiers(rate)}
    tiers = tuple(msgspec.convert({"above": start, **_read_rates(read, start)}, Tier) for start in sorted(starts))
    return msgspec.convert({**_read_rates(read, 0), "tiers": tiers}, Price)


def _read_rates(read: Mapping[str, object], start: int) -> dict[str, float]:
    return {word: _find_rate(rate, start) for word, rate in read.items()}


def _get_tiers(rate: object) -> Sequence[_Step]:
    return cast("_Tiered", rate).tiers if hasattr(rate, "tiers") else ()  # the list's two forms of a rate


def _find_rate(rate: object, start: int) -> float:
    base = getattr(rate, "base", rate)
    reached = [step.price for step in _get_tiers(rate) if step.start <= start]
    return float(cast("Decimal", reached[-1] if reached else base))  # as above
