"""Are prices of the public list read as it means them, and does a guess count for nothing?"""

from decimal import Decimal

import pytest

from quorate.models.cost import Price, Tier
from quorate.models.facts import load_provider
from quorate.models.prices import build_price, find_public_price, load_public_price

pytestmark = pytest.mark.blocking


class Tiered:
    """A rate that depends on the length of the input, as the list has it."""

    def __init__(self, base: str, *steps: tuple[int, str]) -> None:
        self.base = Decimal(base)
        self.tiers = [type("Step", (), {"start": start, "price": Decimal(price)})() for start, price in steps]


def test_a_flat_price_is_read() -> None:
    row = {"input_mtok": Decimal("2"), "output_mtok": Decimal("10"), "cache_read_mtok": Decimal("0.1")}
    assert build_price(row) == Price(input=2.0, output=10.0, cached=0.1)
    written = {
        "cache_write_mtok": Decimal("2.5"),
        "cache_write_1h_mtok": Decimal("4"),
        "web_searches_kcount": Decimal("10"),
    }
    assert build_price(row | written) == Price(
        input=2.0, output=10.0, cached=0.1, cache_write=2.5, cache_write_long=4.0
    )


def test_rates_that_depend_on_length_become_tiers() -> None:
    """Each border has all rates that hold from it on."""
    row = {
        "input_mtok": Tiered("1.25", (200_000, "2.5"), (500_000, "5")),
        "output_mtok": Tiered("10", (200_000, "15")),
        "cache_read_mtok": Decimal("0.1"),
    }
    assert build_price(row) == Price(
        input=1.25,
        output=10.0,
        cached=0.1,
        tiers=(
            Tier(above=200_000, input=2.5, output=15.0, cached=0.1),
            Tier(above=500_000, input=5.0, output=15.0, cached=0.1),
        ),
    )


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"input_mtok": Decimal("1")},
        {"output_mtok": Decimal("1")},
        {"input_mtok": Decimal("1"), "output_mtok": Decimal("1"), "requests_kcount": Decimal("5")},
    ],
)
def test_what_is_no_price_for_tokens_alone_is_none(row: dict[str, object]) -> None:
    """A model that also costs something for each request would be booked too low."""
    assert build_price(row) is None


def test_the_list_itself_is_asked() -> None:
    """It agrees with our own catalog, and knows models that ours does not."""
    own = load_provider("openai").find_price("openai:gpt-5.2")
    assert own is not None
    found = load_public_price("openai:gpt-5.2")
    assert found is not None
    assert (found.input, found.output, found.cached) == (own.input, own.output, own.cached)
    assert load_provider("openai").find_price("openai:gpt-4-turbo") is None
    assert load_public_price("openai:gpt-4-turbo") is not None


@pytest.mark.parametrize("name", ["openai:no-such-model", "nobody:gpt-5.2", "vllm:gpt-5.2", "ollama:llama3", "x", ""])
def test_another_ones_price_is_no_price(name: str) -> None:
    """A provider that the list does not know has none, whatever its models are called."""
    assert load_public_price(name) is None


async def test_in_an_event_loop_a_thread_loads_the_list() -> None:
    """Nothing else waits for it."""
    assert await find_public_price("openai:gpt-5.2") == load_public_price("openai:gpt-5.2")
