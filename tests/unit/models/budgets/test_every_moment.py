"""Does a budget hold at every moment a call can be cancelled, closed or fail, and over every border of time?"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

import pytest
from tests.unit.models.budgets.test_shared import Wavering
from tests.unit.models.budgets.worlds import CALLER, PRICE, PROFILE, ask, build, build_reply

from quorate.errors import BudgetExceeded, Incomplete, QuorateError, RateLimited
from quorate.messages import Reply, ReplyDone, StreamItem, TextDelta, ThinkingDelta, ToolCallDelta
from quorate.models.budgeted import Budgeted
from quorate.models.budgets.budgets import Budgets
from quorate.models.budgets.rules import BudgetRule
from quorate.models.cost import NANO
from quorate.models.ledger import Ledger
from quorate.models.limited import Limited
from quorate.models.limits.limiter import Limiter
from quorate.models.limits.rules import LimitRule
from quorate.models.limits.values import ValueLimits
from quorate.specs import Request
from quorate.state.backends.memory import MemoryValues
from quorate.testing import ManualClock

RULES = (
    BudgetRule(name="t", scope="tenant", usd=50.0),
    BudgetRule(name="d", period="day", usd=60.0),
    BudgetRule(name="r", scope="run", usd=40.0, tokens=40_000),
)


class Slow:
    """Gives way before each item, and fails in the end when it is told to."""

    profile = PROFILE

    def __init__(self, error: QuorateError | None = None) -> None:
        self.error = error

    async def complete(self, request: Request) -> Reply:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return build_reply()

    async def stream(self, request: Request) -> AsyncGenerator[StreamItem]:
        for item in (ThinkingDelta("hm"), TextDelta("one"), ToolCallDelta("1", "f", "{}"), TextDelta("two")):
            await asyncio.sleep(0)
            yield item
        if self.error is not None:
            raise self.error
        yield ReplyDone(build_reply())


class World:
    """Budgets, a book and limits, in a store or in this process."""

    def __init__(self, *, shared: bool, error: QuorateError | None = None) -> None:
        self.clock = ManualClock()
        values = Wavering(MemoryValues(self.clock)) if shared else None
        self.ledger = Ledger(values, clock=self.clock)
        self.budgets = Budgets(RULES, values=values, ledger=self.ledger, clock=self.clock)
        store = ValueLimits(values, clock=self.clock) if values is not None else None
        limiter = Limiter([LimitRule(tokens=1_000_000)], store=store)
        limited = Limited(Slow(error), limiter=limiter, count=lambda request, name: 100)
        self.model = Budgeted(limited, budgets=self.budgets, price=PRICE, count=lambda request, name: 100)

    async def check(self) -> None:
        """Nothing is held, and each budget has what the book has."""
        rows = [one.row async for one in self.ledger.read()]
        booked = sum(row.usd + row.cut_usd for row in rows)
        for cap in self.budgets.find_caps(CALLER, model=PROFILE.name):
            account = await self.budgets.find(cap)
            assert (account.usd, account.held) == (booked, {}), cap.budget


async def read(model: Budgeted, request: Request) -> None:
    async for _ in model.stream(request):
        pass


@pytest.mark.parametrize("error", [None, Incomplete("cut"), RateLimited("no")])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("stream", [False, True])
async def test_whoever_leaves_at_any_moment_has_paid_and_holds_nothing(
    stream: bool, shared: bool, error: QuorateError | None
) -> None:
    world = World(shared=shared, error=error)
    for turns in range(60 if shared else 16):
        call = read(world.model, ask()) if stream else world.model.complete(ask())
        task = asyncio.ensure_future(call)
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError, QuorateError):
            await task
        await world.check()


@pytest.mark.parametrize("shared", [False, True])
async def test_a_stream_may_be_closed_at_every_item(shared: bool) -> None:
    world = World(shared=shared)
    for items in range(6):
        stream = world.model.stream(ask())
        for _ in range(items):
            await anext(stream)
        await stream.aclose()
        await world.check()


async def test_a_stream_that_nobody_closes_is_booked_when_it_is_collected() -> None:
    world = World(shared=False)
    stream = world.model.stream(ask())
    await anext(stream)
    del stream
    for _ in range(5):
        await asyncio.sleep(0)
    await world.check()
    assert [one.row.cut_calls async for one in world.ledger.read()] == [1]


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
@pytest.mark.parametrize("shared", [False, True])
async def test_a_clock_that_jumps_over_midnight_gives_nothing_twice(shared: bool, jump: float) -> None:
    """What a day has spent stays spent, also when the day comes again."""
    clock = ManualClock()
    clock.advance(86_400 - clock.now() % 86_400)
    clock.jump(-jump / 2)
    values = MemoryValues(clock) if shared else None
    budgets = Budgets([BudgetRule(name="d", period="day", usd=1.0)], values=values, clock=clock)

    def answer(request: Request) -> Reply:
        clock.jump(jump)  # while the call is under way
        return build_reply()

    model, _ = build(budgets, answer)
    days: dict[str, float] = {}
    for _ in range(12):
        with suppress(BudgetExceeded):
            await model.complete(ask())
        clock.jump(-jump)
        for at in (0.0, jump):
            clock.jump(at)
            (cap,) = budgets.find_caps(CALLER, model="m")
            account = await budgets.find(cap)
            clock.jump(-at)
            assert account.usd >= days.get(cap.key, 0)
            days[cap.key] = account.usd
            assert account.usd <= 1.0 * NANO
