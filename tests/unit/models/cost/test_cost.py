"""Is the bill right, and does nobody make one up?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.messages import Usage
from quorate.models.cost import FREE, Price, cost_usd, estimate_usage

PRICE = Price(input=2.0, cached=0.5, output=8.0)


def test_cached_input_is_cheaper() -> None:
    usage = Usage(input_tokens=1_000_000, cached_tokens=400_000, output_tokens=500_000, reasoning_tokens=100_000)
    assert cost_usd(usage, PRICE) == pytest.approx(0.6 * 2 + 0.4 * 0.5 + 0.5 * 8)


def test_without_a_price_for_the_cache_input_is_input() -> None:
    usage = Usage(input_tokens=1_000_000, cached_tokens=400_000, cache_write_tokens=100_000)
    assert cost_usd(usage, Price(input=2, output=8)) == pytest.approx(2.0)


def test_writing_to_the_cache_may_cost_more() -> None:
    usage = Usage(input_tokens=1_000_000, cache_write_tokens=1_000_000)
    assert cost_usd(usage, Price(input=2, output=8, cache_write=2.5)) == pytest.approx(2.5)


def test_an_unknown_price_is_not_nothing() -> None:
    assert cost_usd(Usage(input_tokens=1), None) is None
    assert cost_usd(Usage(input_tokens=1), FREE) == 0.0


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_bill_is_never_negative_nor_above_the_full_price(read: int, cached: int, written: int, wrote: int) -> None:
    """Even when a provider's counts contradict each other."""
    usage = Usage(input_tokens=read, cached_tokens=cached, cache_write_tokens=written, output_tokens=wrote)
    cost = cost_usd(usage, PRICE)
    assert cost is not None
    assert 0 <= cost <= (read * 2 + wrote * 8) / 1e6 + 1e-6


def test_an_own_count_rounds_up() -> None:
    usage = estimate_usage(sent_bytes=9, received_chars=4)
    assert (usage.input_tokens, usage.output_tokens, usage.requests) == (3, 1, 1)
