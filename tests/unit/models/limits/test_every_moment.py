"""Is a limit exact whoever leaves, whatever is settled late, and however time jumps?"""

import asyncio
import random
from contextlib import suppress

import pytest
from tests.unit.models.limits.times import Times

from quorate.errors import RateLimited
from quorate.models.limits.limiter import Limiter
from quorate.models.limits.memory import MemoryLimits
from quorate.models.limits.rules import LimitRule
from quorate.models.limits.store import LimitStore, Ticket
from quorate.models.limits.values import ValueLimits
from quorate.specs import Caller
from quorate.state.backends.memory import MemoryValues
from quorate.testing import ManualClock

RULES = (
    LimitRule(name="g", requests=40, tokens=4000, per_s=60),
    LimitRule(name="t", scope="tenant", requests=15, tokens=1500, per_s=30),
    LimitRule(name="k", scope="key", requests=5, per_s=10),
    LimitRule(name="s", scope="session", tokens=300, per_s=10, policy="refuse"),
)


@pytest.mark.parametrize("seed", range(6))
async def test_many_rules_hold_together_whoever_leaves(seed: int) -> None:
    """Calls of many come, wait, leave and settle at random; no window is ever overfull, and nothing is left behind."""
    dice, times = random.Random(seed), Times()
    store = MemoryLimits(monotonic=times.monotonic)
    limiter = Limiter(RULES, store=store, monotonic=times.monotonic, pause=times.pause)
    passed: list[tuple[float, Caller]] = []

    async def call(caller: Caller, tokens: int) -> None:
        with suppress(RateLimited):
            ticket = await limiter.enter(limiter.find_claims(caller, model="m"), tokens)
            passed.append((times.now, caller))
            await limiter.settle(ticket, dice.randint(0, tokens))

    tasks: list[asyncio.Task[None]] = []
    for _ in range(150):
        caller = Caller(tenant=dice.choice("ab"), principal=dice.choice("xyz"), session=dice.choice("123"))
        tasks.append(asyncio.ensure_future(call(caller, dice.choice((10, 50, 200, 400)))))
        if dice.random() < 0.3:
            dice.choice(tasks).cancel()
        if dice.random() < 0.2:
            await times.advance(dice.random() * 5)
    await times.advance(400)
    assert all(task.done() for task in tasks)
    assert limiter.waiting == 0
    for at, caller in passed:
        inside = [one for now, one in passed if at <= now < at + 60]
        assert len(inside) <= 40
        inside = [one for now, one in passed if at <= now < at + 30 and one.tenant == caller.tenant]
        assert len(inside) <= 15
        whose = (caller.tenant, caller.principal)
        inside = [one for now, one in passed if at <= now < at + 10 and (one.tenant, one.principal) == whose]
        assert len(inside) <= 5


@pytest.mark.parametrize("kind", ["memory", "values"])
async def test_a_ticket_that_nobody_knows_takes_and_gives_nothing_twice(kind: str) -> None:
    """Settled twice, settled after its window, or of another process that is long gone."""
    clock = ManualClock()
    store: LimitStore = MemoryLimits(monotonic=clock.monotonic)
    if kind == "values":
        store = ValueLimits(MemoryValues(clock), clock=clock)
    limiter = Limiter([LimitRule(name="g", tokens=100, requests=3, policy="refuse")], store=store)
    claims = limiter.find_claims(Caller(), model="m")
    await limiter.settle(Ticket(claims, [7], 50), 0)
    await limiter.settle(Ticket(claims, [7], 50), 0, requests=0)
    first = await limiter.enter(claims, 60)
    for _ in range(3):
        await limiter.settle(first, 0, requests=0)
    second = await limiter.enter(claims, 100)
    with pytest.raises(RateLimited):
        await limiter.enter(claims, 1)
    clock.advance(61)
    await limiter.settle(second, 0, requests=0)
    await limiter.enter(claims, 100)
    with pytest.raises(RateLimited):
        await limiter.enter(claims, 1)


async def test_a_clock_that_goes_back_lets_no_more_through() -> None:
    """The store's, by an hour; and whoever waits waits no longer than a window."""
    clock = ManualClock()
    limiter = Limiter([LimitRule(requests=3, policy="refuse")], store=ValueLimits(MemoryValues(clock), clock=clock))
    claims = limiter.find_claims(Caller(), model="m")
    for _ in range(3):
        await limiter.enter(claims)
    clock.jump(-3600)
    for _ in range(2):
        with pytest.raises(RateLimited) as caught:
            await limiter.enter(claims)
        assert (caught.value.retry_after_s or 0) <= 60
    clock.advance(61)
    await limiter.enter(claims)
