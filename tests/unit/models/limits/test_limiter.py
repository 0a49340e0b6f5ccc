"""Do calls pass in time and in order, and does nobody pass who may not?"""

import asyncio
from contextlib import suppress

import pytest
from tests.unit.models.limits.times import Times

from quorate.errors import RateLimited, Unavailable
from quorate.models.limits.limiter import Limiter
from quorate.models.limits.memory import MemoryLimits
from quorate.models.limits.rules import LimitRule
from quorate.specs import Caller


def build(times: Times, *rules: LimitRule, **options: object) -> Limiter:
    return Limiter(rules, monotonic=times.monotonic, pause=times.pause, **options)  # type: ignore[arg-type]


def find(limiter: Limiter, caller: Caller = Caller()):  # noqa: B008
    return limiter.find_claims(caller, model="openai:gpt-5.2", credential="k")


async def test_sixty_a_minute_pass_in_each_minute_and_the_others_are_woken_in_order() -> None:
    """150 calls at once: 60 pass now, 60 a minute later, 30 after two; each in the order they came. row: A11"""
    times = Times()
    limiter = build(times, LimitRule(requests=60, max_wait_s=3600))
    passed: list[tuple[int, float]] = []

    async def call(number: int) -> None:
        await limiter.enter(find(limiter))
        passed.append((number, times.now - 1000))

    async with asyncio.TaskGroup() as group:
        for number in range(150):
            group.create_task(call(number))
        await times.settle()
        assert len(passed) == 60
        await times.advance(59.9)
        assert len(passed) == 60
        assert limiter.waiting == 90
        await times.advance(0.2)
        assert len(passed) == 120
        await times.advance(120)
    assert [number for number, _ in passed] == list(range(150))
    assert [sum(minute * 60 <= at < minute * 60 + 60 for _, at in passed) for minute in range(3)] == [60, 60, 30]
    assert limiter.waiting == 0


async def test_spread_calls_pass_sixty_in_each_minute() -> None:
    """A steady stream of three calls a second is thinned to 60 in every minute, none of them more. row: A11"""
    times = Times()
    limiter = build(times, LimitRule(requests=60, policy="refuse"))
    passed: list[float] = []
    for _ in range(3 * 300):
        with suppress(RateLimited):
            await limiter.enter(find(limiter))
            passed.append(times.now)
        times.now += 1 / 3
    for start in passed:
        assert sum(start <= at < start + 60 for at in passed) <= 60
    assert len(passed) == 300


async def test_a_refusal_says_how_long_to_wait_and_that_is_true() -> None:
    """At that moment there is room, and not before. part of row C4"""
    times = Times()
    limiter = build(times, LimitRule(name="small", scope="tenant", requests=2, policy="refuse"))
    claims = find(limiter)
    await limiter.enter(claims)
    times.now += 10
    await limiter.enter(claims)
    with pytest.raises(RateLimited) as caught:
        await limiter.enter(claims)
    assert caught.value.retry_after_s == pytest.approx(50)
    assert caught.value.context["source"] == "gateway"
    assert caught.value.message == (
        "The limit 'small' of 2 requests in 60 s is met for tenant 'default': try again in 50.0 s, or raise the limit."
    )
    times.now += 49.9
    with pytest.raises(RateLimited):
        await limiter.enter(claims)
    times.now += 0.2
    await limiter.enter(claims)


async def test_a_wait_that_would_be_too_long_is_refused_at_once() -> None:
    times = Times()
    limiter = build(times, LimitRule(requests=1, max_wait_s=30))
    await limiter.enter(find(limiter))
    with pytest.raises(RateLimited) as caught:
        await limiter.enter(find(limiter))
    assert caught.value.retry_after_s == pytest.approx(60)
    assert limiter.waiting == 0


async def test_whoever_would_wait_behind_too_many_is_refused_at_once() -> None:
    """The second in the queue would have to wait for two minutes."""
    times = Times()
    limiter = build(times, LimitRule(requests=1, max_wait_s=90))
    await limiter.enter(find(limiter))
    first = asyncio.ensure_future(limiter.enter(find(limiter)))
    await times.settle()
    second = asyncio.ensure_future(limiter.enter(find(limiter)))
    third = asyncio.ensure_future(limiter.enter(find(limiter)))
    await times.settle()
    assert third.done()
    with pytest.raises(RateLimited):
        third.result()
    await times.advance(60)
    assert first.done()
    await times.advance(31)
    with pytest.raises(RateLimited):
        await second
    assert limiter.waiting == 0


async def test_the_queue_has_a_bound() -> None:
    times = Times()
    limiter = build(times, LimitRule(requests=1, per_s=1, max_wait_s=3600), max_waiting=5)
    await limiter.enter(find(limiter))
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(limiter.enter(find(limiter)))
        await times.settle()
        with pytest.raises(RateLimited):
            await limiter.enter(find(limiter))
        await times.advance(10)


async def test_whoever_leaves_the_queue_leaves_nothing_behind() -> None:
    """The first, one in the middle and the last are cancelled; the others pass in order at the same moments."""
    times = Times()
    limiter = build(times, LimitRule(requests=1, per_s=10, max_wait_s=3600))
    await limiter.enter(find(limiter))
    passed: list[tuple[int, float]] = []

    async def call(number: int) -> None:
        await limiter.enter(find(limiter))
        passed.append((number, times.now - 1000))

    tasks = [asyncio.ensure_future(call(number)) for number in range(6)]
    await times.settle()
    for number in (0, 2, 5):
        tasks[number].cancel()
    await times.advance(100)
    assert passed == [(1, 10), (3, 20), (4, 30)]
    assert limiter.waiting == 0
    assert not limiter._queues


async def test_a_call_passes_all_of_its_windows_or_none() -> None:
    """What one limit refuses is not counted by another."""
    times = Times()
    rules = (LimitRule(requests=10), LimitRule(scope="tenant", requests=1, policy="refuse"))
    limiter = build(times, *rules)
    await limiter.enter(find(limiter))
    for _ in range(20):
        with pytest.raises(RateLimited):
            await limiter.enter(find(limiter))
    for number in range(9):
        await limiter.enter(find(limiter, Caller(tenant=f"t-{number}")))
    assert limiter.waiting == 0


async def test_one_tenants_queue_holds_up_no_other() -> None:
    times = Times()
    limiter = build(times, LimitRule(requests=10), LimitRule(scope="tenant", requests=1))
    await limiter.enter(find(limiter))
    held = asyncio.ensure_future(limiter.enter(find(limiter)))
    await times.settle()
    await asyncio.wait_for(limiter.enter(find(limiter, Caller(tenant="other"))), 1)
    await times.advance(60)
    assert held.done()


async def test_tokens_that_were_not_used_wake_whoever_waits_for_them() -> None:
    """The reservation is replaced by the real usage, and the first in the queue passes at once. part of row C4"""
    times = Times()
    limiter = build(times, LimitRule(tokens=1000))
    ticket = await limiter.enter(find(limiter), 900)
    waiting = asyncio.ensure_future(limiter.enter(find(limiter), 500))
    await times.settle()
    assert not waiting.done()
    await limiter.settle(ticket, 100)
    await times.settle()
    assert waiting.done()
    await limiter.settle(waiting.result(), 950)
    with pytest.raises(RateLimited):
        await asyncio.wait_for(build_refusing(limiter, 10), 1)


async def build_refusing(limiter: Limiter, tokens: int) -> None:
    """Enter where waiting would take too long."""
    rule = LimitRule(tokens=1000, policy="refuse")
    other = Limiter([rule], store=limiter._store)
    await other.enter(find(other), tokens)


async def test_a_call_larger_than_its_limit_passes_alone() -> None:
    """It passes an empty window and holds up those behind it; it never waits for ever."""
    times = Times()
    limiter = build(times, LimitRule(tokens=100))
    await limiter.enter(find(limiter), 500)
    behind = asyncio.ensure_future(limiter.enter(find(limiter), 1))
    await times.advance(59)
    assert not behind.done()
    await times.advance(2)
    assert behind.done()


async def test_windows_that_nothing_is_in_are_forgotten() -> None:
    """A hundred thousand sessions do not stay in memory; what is beyond the bound is refused, not let through."""
    times = Times()
    store = MemoryLimits(monotonic=times.monotonic, max_windows=1000)
    limiter = build(times, LimitRule(scope="session", requests=5), store=store)
    for number in range(5000):
        await limiter.enter(find(limiter, Caller(session=f"s-{number}")))
        times.now += 1
    assert len(store._windows) < 1000
    times.now += 100
    for number in range(1000):
        await limiter.enter(find(limiter, Caller(session=f"x-{number}")))
    with pytest.raises(Unavailable, match="1000 limits are being counted"):
        await limiter.enter(find(limiter, Caller(session="one-more")))
