"""Is every limit exact when fifty threads call at once?"""

import asyncio
import time
from collections import Counter
from threading import Barrier, Thread, local

import pytest

from quorate.errors import RateLimited
from quorate.models.limits.limiter import Limiter
from quorate.models.limits.rules import LimitRule
from quorate.specs import Caller

pytestmark = pytest.mark.blocking

THREADS = 50
CALLS = 40


def run_threads(work) -> None:  # type: ignore[no-untyped-def]
    """Run an event loop in each of fifty threads that begin at the same moment."""
    barrier, errors = Barrier(THREADS), []

    def run(number: int) -> None:
        barrier.wait()
        try:
            asyncio.run(work(number))
        except BaseException as error:
            errors.append(error)

    threads = [Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert not any(thread.is_alive() for thread in threads)
    assert not errors


def test_each_of_several_rules_is_exact_under_fifty_threads() -> None:
    """2,000 calls from 50 threads, under limits for calls and tokens of all, a model, a tenant and agents. part of row C4"""
    rules = (
        LimitRule(requests=700, policy="refuse"),
        LimitRule(scope="tenant", match="a", requests=111, policy="refuse"),
        LimitRule(scope="tenant", match="b", tokens=990, policy="refuse"),
        LimitRule(scope="agent", match="x", requests=7, policy="refuse"),
        LimitRule(scope="model", match="m", requests=900, policy="refuse"),
    )
    limiter = Limiter(rules)
    passed: Counter[str] = Counter()

    async def call(number: int) -> None:
        for turn in range(CALLS):
            # Agent x asks first: its calls are to meet its own limit, never those of its tenants.
            caller = Caller(tenant="abc"[turn % 3], agent="x" if turn < 3 else "y")
            try:
                ticket = await limiter.enter(limiter.find_claims(caller, model="m"), 20)
            except RateLimited:
                continue
            await limiter.settle(ticket, 10)
            passed.update(["all", caller.tenant, f"{caller.tenant}/{caller.agent}"])

    run_threads(call)
    assert passed["a"] == 111
    assert passed["b"] == 98  # 97 calls of 10 tokens and one for which 20 are left
    assert passed["all"] == 700
    assert [passed[f"{tenant}/x"] for tenant in "abc"] == [7, 7, 7]


def test_waiters_of_many_threads_are_woken() -> None:
    """Each thread's event loop sleeps until its turn; nobody passes too early, nobody is forgotten. part of row C4"""
    here = local()
    passed: list[float] = []

    def look() -> float:
        here.now = time.monotonic()
        return here.now

    limiter = Limiter([LimitRule(requests=25, per_s=0.2, max_wait_s=60)], monotonic=look)

    async def call(number: int) -> None:
        for _ in range(3):
            await limiter.enter(limiter.find_claims(Caller(), model="m"))
            passed.append(here.now)  # when the limiter looked, not when this thread came to go on

    run_threads(call)
    assert len(passed) == 3 * THREADS
    assert limiter.waiting == 0
    passed.sort()
    assert all(later >= earlier + 0.2 for earlier, later in zip(passed, passed[25:], strict=False))
