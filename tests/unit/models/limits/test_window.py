"""Is a window's limit met in every window, and is nothing refused that it has room for?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.models.limits.rules import Claim, LimitRule, build_claim
from quorate.models.limits.window import MAX_ENTRIES, add, build_window, find_wait, settle, trim

PER_S = 60.0
MOMENTS = st.lists(st.integers(0, 3000), min_size=1, max_size=60)


def claim(requests: int | None = None, tokens: int | None = None) -> Claim:
    return build_claim(LimitRule(requests=requests, tokens=tokens, per_s=PER_S), "")


def admit(window, now: float, *, requests: int | None = None, tokens: int | None = None, cost: int = 0) -> float:
    trim(window, now, PER_S)
    wait = find_wait(window, now, claim(requests, tokens), cost)
    if not wait:
        add(window, now, PER_S, cost)
    return wait


@given(MOMENTS, st.integers(1, 7))
def test_no_window_has_more_than_the_limit_and_none_is_refused_in_vain(gaps: list[int], most: int) -> None:
    """Wherever a window of 60 s is laid, it holds at most as many; a call is let through exactly when there is room."""
    window, now, passed = build_window(0.0), 0.0, []
    for gap in gaps:
        now += gap / 100
        has_room = sum(now - PER_S < at for at in passed) < most
        assert (admit(window, now, requests=most) == 0) == has_room
        if has_room:
            passed.append(now)
    for start in passed:
        assert sum(start <= at < start + PER_S for at in passed) <= most


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 120)), min_size=1, max_size=60))
def test_tokens_are_counted_by_the_same_rule(calls: list[tuple[int, int]]) -> None:
    """A call has room when all of it fits, or when the window is empty of tokens."""
    window, now, passed = build_window(0.0), 0.0, []
    for gap, cost in calls:
        now += gap / 100
        inside = sum(tokens for at, tokens in passed if now - PER_S < at)
        has_room = inside + cost <= 100 or inside == 0
        assert (admit(window, now, tokens=100, cost=cost) == 0) == has_room
        if has_room:
            passed.append((now, cost))


@given(MOMENTS, st.integers(1, 5))
def test_the_wait_that_is_told_is_the_shortest_that_is_long_enough(gaps: list[int], most: int) -> None:
    window, now = build_window(0.0), 0.0
    for gap in gaps:
        now += gap / 100
        wait = admit(window, now, requests=most)
        if wait:
            trim(window, now + wait - 0.001, PER_S)
            assert find_wait(window, now + wait - 0.001, claim(most), 0) > 0
            assert admit(window, now + wait + 1e-6, requests=most) == 0
            now += wait + 1e-6


def test_what_was_used_replaces_what_was_set_aside() -> None:
    """Tokens given back make room at once; tokens beyond count."""
    window = build_window(0.0)
    assert admit(window, 0.0, tokens=100, cost=90) == 0
    assert admit(window, 1.0, tokens=100, cost=20) == 59
    settle(window, window.last, 1.0, 60.0, tokens=-60)
    assert admit(window, 1.0, tokens=100, cost=20) == 0
    settle(window, window.last, 2.0, 60.0, tokens=60)
    assert window.tokens == 110


def test_what_is_used_after_the_window_counts_from_then_on() -> None:
    """A call that outlasts its window cannot hide what it used."""
    window = build_window(0.0)
    admit(window, 0.0, tokens=100, cost=10)
    entry = window.last
    trim(window, 61.0, PER_S)
    settle(window, entry, 61.0, 60.0, tokens=80)
    assert (window.tokens, window.requests) == (80, 0)
    assert admit(window, 62.0, tokens=100, cost=30) == pytest.approx(59)
    settle(window, entry, 62.0, 60.0, tokens=-80)
    assert window.tokens == 80


def test_a_window_of_any_size_has_a_bound() -> None:
    """A hundred thousand entries take no more room than five hundred, and still no window holds too many."""
    window, passed = build_window(0.0), []
    for number in range(100_000):
        now = number * 0.001
        if admit(window, now, requests=50_000) == 0:
            passed.append(now)
        assert len(window.entries) <= 2 * MAX_ENTRIES + 1
    assert len(passed) >= 50_000
    for start in passed[::5000]:
        assert sum(start <= at < start + PER_S for at in passed) <= 50_000


def test_a_clock_that_jumps_back_blocks_nobody_for_longer_than_a_window() -> None:
    """What seems to come from the future passed now."""
    window = build_window(3600.0)
    admit(window, 3600.0, requests=1)
    assert admit(window, 0.0, requests=1) == PER_S
    assert admit(window, PER_S, requests=1) == 0
