"""What must every store of limits do?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

from quorate.models.limits.rules import Claim, LimitRule, build_claim
from quorate.models.limits.store import LimitStore, Refusal, Ticket
from quorate.testing.contracts.building import run_together


def build_test_claim(
    name: str, *, requests: int | None = None, tokens: int | None = None, per_s: float = 60.0
) -> Claim:
    """Build the claim of a rule for all calls."""
    return build_claim(LimitRule(name=name, requests=requests, tokens=tokens, per_s=per_s), "")


def count_tickets(outcomes: Iterable[object]) -> int:
    """Count the calls that passed."""
    return sum(isinstance(outcome, Ticket) for outcome in outcomes)


def count_most(limit: int, *, per_s: float, since: float) -> int:
    """Count how many may have passed since a monotonic time, however slow the machine is."""
    return limit * (1 + int((time.monotonic() - since) / per_s))


class LimitStoreContract:
    """What every `LimitStore` must do; it wants the fixtures `limits` and `pass_time`, which lets seconds go by."""

    async def test_as_many_pass_as_the_limit_says_however_many_try(self, limits: LimitStore) -> None:
        """Of 100 calls at once exactly 20 pass, and the others are told how long to wait."""
        claim = build_test_claim("a", requests=20)
        outcomes = await run_together(limits.admit([claim], 0) for _ in range(100))
        refused = [outcome for outcome in outcomes if isinstance(outcome, Refusal)]
        assert len(outcomes) - len(refused) == 20
        assert all(outcome.claim == claim and 55 < outcome.wait_s <= 60 for outcome in refused)

    async def test_several_limits_are_each_exact(self, limits: LimitStore) -> None:
        """A call passes all of its windows or is counted in none."""
        wide, narrow, third = (
            build_test_claim(name, requests=most) for name, most in (("w", 30), ("n", 10), ("t", 50))
        )
        outcomes = await run_together(limits.admit([narrow, wide, third], 0) for _ in range(60))
        assert sum(isinstance(outcome, Ticket) for outcome in outcomes) == 10
        assert all(outcome.claim == narrow for outcome in outcomes if isinstance(outcome, Refusal))
        outcomes = await run_together(limits.admit([wide, third], 0) for _ in range(60))
        assert sum(isinstance(outcome, Ticket) for outcome in outcomes) == 20
        outcomes = await run_together(limits.admit([third], 0) for _ in range(60))
        assert sum(isinstance(outcome, Ticket) for outcome in outcomes) == 20

    async def test_there_is_room_again_when_the_window_has_passed(
        self, limits: LimitStore, pass_time: Callable[[float], Awaitable[None]]
    ) -> None:
        """Not before, and for no more than the limit."""
        claim = build_test_claim("a", requests=2, per_s=0.5)
        for _ in range(2):
            assert isinstance(await limits.admit([claim], 0), Ticket)
        refused = await limits.admit([claim], 0)
        assert isinstance(refused, Refusal)
        assert 0 < refused.wait_s <= 0.5
        await pass_time(refused.wait_s + 0.02)
        began = time.monotonic()
        passed = [await limits.admit([claim], 0) for _ in range(3)]
        assert 1 <= count_tickets(passed) <= count_most(2, per_s=0.5, since=began)
        await pass_time(0.6)
        began = time.monotonic()
        outcomes = await run_together(limits.admit([claim], 0) for _ in range(5))
        assert 2 <= count_tickets(outcomes) <= count_most(2, per_s=0.5, since=began)

    async def test_what_was_used_replaces_what_was_set_aside(self, limits: LimitStore) -> None:
        """Tokens that were not used are there for others, and those beyond count."""
        claim = build_test_claim("a", tokens=1000)
        first = await limits.admit([claim], 900)
        assert isinstance(first, Ticket)
        assert isinstance(await limits.admit([claim], 200), Refusal)
        await limits.settle(first, 300)
        second = await limits.admit([claim], 700)
        assert isinstance(second, Ticket)
        assert isinstance(await limits.admit([claim], 1), Refusal)
        await limits.settle(second, 100)
        third = await limits.admit([claim], 100)
        assert isinstance(third, Ticket)
        await limits.settle(third, 900)
        assert isinstance(await limits.admit([claim], 1), Refusal)

    async def test_a_call_larger_than_its_limit_passes_alone(self, limits: LimitStore) -> None:
        """And holds up whoever comes behind it."""
        claim = build_test_claim("a", tokens=100)
        assert isinstance(await limits.admit([claim], 1000), Ticket)
        assert isinstance(await limits.admit([claim], 1), Refusal)

    async def test_what_is_used_after_the_window_counts_from_then_on(
        self, limits: LimitStore, pass_time: Callable[[float], Awaitable[None]]
    ) -> None:
        """A long call cannot hide what it used; and what it did not use gives nothing back."""
        claim = build_test_claim("a", tokens=100, per_s=0.3)
        ticket = await limits.admit([claim], 10)
        assert isinstance(ticket, Ticket)
        await pass_time(0.4)
        await limits.settle(ticket, 110)
        assert isinstance(await limits.admit([claim], 1), Refusal)
        await pass_time(0.4)
        assert isinstance(await limits.admit([claim], 100), Ticket)
        await limits.settle(ticket, 0)
        assert isinstance(await limits.admit([claim], 1), Refusal)

    async def test_a_call_that_was_not_made_is_not_counted(self, limits: LimitStore) -> None:
        """Its place is there for another."""
        claim = build_test_claim("a", requests=1, tokens=100)
        ticket = await limits.admit([claim], 100)
        assert isinstance(ticket, Ticket)
        await limits.settle(ticket, 0, requests=0)
        assert isinstance(await limits.admit([claim], 100), Ticket)

    async def test_whoever_is_cancelled_leaves_nothing_behind(self, limits: LimitStore) -> None:
        """Calls that were cancelled at any moment of their admission are not counted."""
        claim = build_test_claim("a", requests=10, tokens=1000)
        other = build_test_claim("b", requests=99)
        for turns in range(12):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(limits.admit([claim, other], 10)) for _ in range(5)]
                for _ in range(turns):
                    await asyncio.sleep(0)
                for task in tasks:
                    task.cancel()
            for task in tasks:
                outcome = None if task.cancelled() else task.result()
                if isinstance(outcome, Ticket):  # it was through before
                    await limits.settle(outcome, 0, requests=0)
        outcomes = await run_together(limits.admit([claim], 10) for _ in range(30))
        assert sum(isinstance(outcome, Ticket) for outcome in outcomes) == 10
