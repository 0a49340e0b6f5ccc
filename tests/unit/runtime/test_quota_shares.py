"""Do processes that share a window let no more pass than it promises, whatever each of them holds?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

import pytest

from quorate.errors import RateLimited
from quorate.models.limits.rules import Claim
from quorate.models.limits.shares import PART, Shares, find_span, lengthen
from quorate.state.backends.memory import MemoryValues


def build_claim(requests: int, per_s: float = 60.0, name: str = "tenant") -> Claim:
    return Claim(
        key=f"quotas/rate/acme/{name}/minute", limit="requests-minute", scope="tenant", value="tenant 'acme'",
        requests=requests, tokens=None, per_s=lengthen(per_s), max_wait_s=0.0,
    )  # fmt: skip


class Moved:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def now(self) -> float:
        return 1_700_000_000.0 + self.at

    def monotonic(self) -> float:
        return self.at


async def test_no_window_has_more_than_its_limit() -> None:
    """Three processes, thousands of requests at random times: every window of a minute holds the limit at most."""
    clock, random = Moved(), Random(7)
    values = MemoryValues(clock)
    claim = build_claim(160)
    parts = [Shares(values, clock=clock, monotonic=clock.monotonic) for _ in range(3)]
    passed: list[float] = []
    for _ in range(6_000):
        clock.at += random.expovariate(12)
        part = random.choice(parts)
        try:
            if not part.try_enter((claim,)):
                await part.enter((claim,))
        except RateLimited:
            continue
        passed.append(clock.at)
    most = max(sum(1 for later in passed[place:] if later < time + 60.0) for place, time in enumerate(passed))
    assert most <= 160
    minutes = (passed[-1] - passed[0]) / 60
    assert len(passed) > 160 * minutes * 0.75  # and what is promised is nearly all given


async def test_whoever_asks_often_asks_the_store_seldom() -> None:
    """A share is used without a look at the store, and is never above its part of the limit."""
    clock = Moved()
    looks = Counted(MemoryValues(clock))
    shares = Shares(looks, clock=clock, monotonic=clock.monotonic)  # type: ignore[arg-type]
    claim = build_claim(16_000)
    for _ in range(4_000):
        clock.at += 0.0005
        if not shares.try_enter((claim,)):
            await shares.enter((claim,))
    assert looks.puts < 60
    assert 16_000 // PART >= 256


async def test_a_refusal_says_when_there_is_room() -> None:
    """To the second, and in words; it is repeated without a look at the store."""
    clock = Moved()
    looks = Counted(MemoryValues(clock))
    shares = Shares(looks, clock=clock, monotonic=clock.monotonic)  # type: ignore[arg-type]
    claim = build_claim(2)
    await shares.enter((claim,))
    clock.at += 10
    await shares.enter((claim,))
    words = "quota 'requests-minute' of 2 requests in 60 s is used up for tenant 'acme'"
    with pytest.raises(RateLimited, match=words) as caught:
        await shares.enter((claim,))
    assert caught.value.retry_after_s == pytest.approx(51.0, abs=0.01)
    puts = looks.puts
    for _ in range(50):
        with pytest.raises(RateLimited):
            await shares.enter((claim,))
    assert looks.puts == puts
    clock.at += 50.9
    with pytest.raises(RateLimited):
        await shares.enter((claim,))
    clock.at += 0.2
    await shares.enter((claim,))


async def test_what_was_not_used_is_given_back() -> None:
    """When a share's time is over, or its process ends, others have the room."""
    clock = Moved()
    values = MemoryValues(clock)
    first = Shares(values, clock=clock, monotonic=clock.monotonic)
    second = Shares(values, clock=clock, monotonic=clock.monotonic)
    claim = build_claim(64)
    for _ in range(10):
        if not first.try_enter((claim,)):
            await first.enter((claim,))
    assert (await second.look(claim))[0] >= 10
    await first.close()
    assert (await second.look(claim))[0] == 10


async def test_a_request_counts_in_all_of_its_windows_or_in_none() -> None:
    """What a later window refuses is given back to the earlier ones."""
    clock = Moved()
    shares = Shares(MemoryValues(clock), clock=clock, monotonic=clock.monotonic)
    wide, narrow = build_claim(5, name="key/a"), build_claim(1)
    await shares.enter((wide, narrow))
    for _ in range(3):
        clock.at += 1
        with pytest.raises(RateLimited):
            await shares.enter((wide, narrow))
    assert (await shares.look(wide))[0] == 1


async def test_whoever_is_cancelled_has_counted_nothing() -> None:
    """A request that is given up while its room is taken leaves the room."""
    clock = Moved()
    values = MemoryValues(clock)
    shares = Shares(values, clock=clock, monotonic=clock.monotonic)
    claim = build_claim(3)
    task = asyncio.ensure_future(shares.enter((claim,)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(3):
        await shares.enter((claim,))
    with pytest.raises(RateLimited):
        await shares.enter((claim,))


def test_a_window_is_longer_by_what_a_share_lasts() -> None:
    """So that what is used late counts long enough."""
    for per_s in (1.0, 60.0, 3_600.0, 86_400.0):
        assert per_s + find_span(lengthen(per_s)) == pytest.approx(lengthen(per_s))


class Counted:
    """Values whose changes are counted."""

    def __init__(self, inner: object) -> None:
        self._inner = inner
        self.puts = 0

    def __getattr__(self, name: str) -> Callable[..., object]:
        if name == "put":
            self.puts += 1
        found: Callable[..., object] = getattr(self._inner, name)
        return found
