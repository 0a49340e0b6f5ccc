"""Which price holds for a call: by its length, by its day, and for several models together?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.messages import Usage
from quorate.models.cost import Change, Price, Tier, bound_rates, cost_usd, find_dearest

LONG = Tier(above=200_000, input=4.0, cached=0.4, output=30.0)
PRICE = Price(input=2.0, cached=0.2, output=20.0, tiers=(LONG,))
DECEMBER = 1_796_083_200.0
"""2026-12-01 00:00 UTC."""


def cost(price: Price, *, now: float | None = None, **usage: int) -> float:
    found = cost_usd(Usage(**usage), price, now=now)
    assert found is not None
    return found


def test_a_long_call_costs_more_for_all_of_its_tokens() -> None:
    """From the first token above the border on, and for its output too."""
    assert cost(PRICE, input_tokens=200_000, output_tokens=100) == pytest.approx(0.4 + 0.002)
    assert cost(PRICE, input_tokens=200_001, output_tokens=100) == pytest.approx(200_001 * 4e-6 + 0.003)
    assert cost(PRICE, input_tokens=300_000, cached_tokens=300_000) == pytest.approx(0.12)


def test_of_several_borders_the_highest_passed_one_holds() -> None:
    """In whatever order they are written."""
    price = Price(input=1, output=0, tiers=(Tier(above=200, input=3, output=0), Tier(above=100, input=2, output=0)))
    assert [round(cost(price, input_tokens=n) * 1e6 / n) for n in (100, 101, 200, 201)] == [1, 2, 2, 3]


def test_a_price_changes_on_its_day() -> None:
    """In UTC; the tiers change with it."""
    later = Change(since="2026-12-01", input=4.0, output=40.0, tiers=(Tier(above=10, input=8.0, output=80.0),))
    price = Price(input=2.0, output=20.0, changes=(later,))
    assert cost(price, now=DECEMBER - 1, output_tokens=1_000_000) == 20
    assert cost(price, now=DECEMBER, output_tokens=1_000_000) == 40
    assert cost(price, now=DECEMBER, input_tokens=11, output_tokens=1_000_000) == pytest.approx(80, rel=1e-4)
    assert cost(price, output_tokens=1_000_000) == 20


def test_what_is_kept_long_in_the_cache_may_cost_more() -> None:
    """Of the tokens written, those that stay an hour."""
    price = Price(input=2.0, output=0, cache_write=2.5, cache_write_long=4.0)
    usage = {"input_tokens": 1_000_000, "cache_write_tokens": 600_000, "cache_write_long_tokens": 100_000}
    assert cost(price, **usage) == pytest.approx(0.4 * 2 + 0.5 * 2.5 + 0.1 * 4)
    assert cost(Price(input=2.0, output=0, cache_write=2.5), **usage) == pytest.approx(0.4 * 2 + 0.6 * 2.5)


RATE = st.none() | st.floats(0, 100)


@given(
    st.builds(
        Price, input=st.floats(0, 100), output=st.floats(0, 100), cached=RATE, cache_write=RATE, cache_write_long=RATE
    ),
    *[st.integers(0, 10**6)] * 4,
    st.integers(0, 10**5),
)
def test_no_call_costs_more_than_its_bound(
    price: Price, read: int, cached: int, written: int, long: int, wrote: int
) -> None:
    """Which is what is set aside for it."""
    in_rate, out_rate = bound_rates(price, read)
    usage = {"cached_tokens": cached, "cache_write_tokens": written, "cache_write_long_tokens": long}
    assert cost(price, input_tokens=read, output_tokens=wrote, **usage) <= read * in_rate + wrote * out_rate + 1e-9


def test_of_several_models_the_dearest_price_bounds_all() -> None:
    """One whose price nobody knows makes it unknown."""
    other = Price(input=3.0, output=10.0, cache_write=5.0)
    assert find_dearest([PRICE]) == PRICE
    assert find_dearest([PRICE, PRICE]) == PRICE
    assert find_dearest([PRICE, other]) == Price(input=5.0, output=30.0)
    assert find_dearest([PRICE, None]) is None
    assert find_dearest([]) is None
