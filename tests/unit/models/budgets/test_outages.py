"""Is every debt of a budget kept, whoever leaves and whatever is away, and no strange count let in?"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import pytest
from msgspec import structs
from tests.unit.models.budgets.test_metered import PRICE as VECTOR_PRICE
from tests.unit.models.budgets.test_metered import REQUEST, Vectors
from tests.unit.models.budgets.test_shared import RULES, Wavering, spent
from tests.unit.models.budgets.worlds import PRICE, ask, build, build_reply

from quorate.errors import RateLimited, Unavailable
from quorate.messages import Usage
from quorate.models.budgets.account import Ask
from quorate.models.budgets.budgets import Budgets, Reservation
from quorate.models.budgets.rules import BudgetRule
from quorate.models.cost import NANO, cost_usd
from quorate.models.ledger import Ledger, Spending, to_nano
from quorate.models.limits.limiter import Limiter
from quorate.models.limits.rules import LimitRule
from quorate.models.limits.values import ValueLimits
from quorate.models.metered import Metered
from quorate.models.scripted import After
from quorate.specs import Caller, Request
from quorate.state.backends.memory import MemoryValues
from quorate.testing import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def values(clock: ManualClock) -> Wavering:
    return Wavering(MemoryValues(clock))


async def owe(budgets: Budgets, values: Wavering, requests: Sequence[Request]) -> None:
    """Make calls whose ends cannot be written; each costs 0.02 dollars."""
    held: list[Reservation] = []
    for request in requests:
        caps = budgets.find_caps(request.caller, model="m")
        held.append(await budgets.reserve(request.caller, caps, Ask(10, 10_000_000, 1, 1, 2_000_000.0)))
    reply = build_reply(10, 5)
    values.away = "now"
    for one in held:
        await budgets.settle(one, Spending(one.caller, "m", reply.usage, to_nano(reply.cost_usd)))
    values.away = ""


async def test_a_store_that_goes_away_again_loses_no_debt(values: Wavering, clock: ManualClock) -> None:
    budgets = Budgets(RULES, values=values, clock=clock)
    await owe(budgets, values, [ask()] * 4)
    values.away = "now"
    model, _ = build(budgets)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await model.complete(ask(max_tokens=1))
    values.away = ""
    await model.complete(ask(max_tokens=1))
    usd, held = await spent(budgets)
    assert (round(usd, 6), held) == (round(4 * 0.02 + 0.2, 6), 0)


@pytest.mark.parametrize("turns", range(14))
async def test_whoever_leaves_while_debts_are_paid_loses_none(values: Wavering, clock: ManualClock, turns: int) -> None:
    budgets = Budgets(RULES, values=values, clock=clock)
    await owe(budgets, values, [ask()] * 4)
    model, _ = build(budgets)
    task = asyncio.ensure_future(model.complete(ask(max_tokens=1)))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await model.complete(ask(max_tokens=1))
    usd, held = await spent(budgets)
    assert usd >= 4 * 0.02 + 0.2 - 1e-9
    assert held == 0


async def test_debts_of_runs_that_are_over_are_paid_and_bounded(values: Wavering, clock: ManualClock) -> None:
    """Nobody asks for the account of a run again that ended while the store was away."""
    budgets = Budgets(values=values, clock=clock)
    callers = [Caller(tenant="acme", run=f"old-{number}", cost_usd=1.0) for number in range(20)]
    await owe(budgets, values, [Request(messages=(), caller=caller) for caller in callers])
    model, _ = build(budgets)
    for _ in range(5):
        await model.complete(ask(cost_usd=9.0))
    for caller in callers:
        (cap,) = budgets.find_caps(caller, model="m")
        account = await budgets.find(cap)
        assert (account.usd / NANO, account.held) == (0.02, {})


@pytest.mark.parametrize("turns", range(40))
async def test_vectors_whose_caller_leaves_hold_no_money(clock: ManualClock, turns: int) -> None:
    """Limits in a database take a moment to settle, and the caller may leave in just that moment."""
    shared = Wavering(MemoryValues(clock))
    budgets = Budgets([BudgetRule(name="b", scope="tenant", usd=1.0)], ledger=Ledger())
    limiter = Limiter([LimitRule(tokens=1000)], store=ValueLimits(shared, clock=clock))
    metered = Metered(Vectors(), limiter=limiter, budgets=budgets, price=VECTOR_PRICE, count=lambda *_: 12)
    task = asyncio.ensure_future(metered.embed(REQUEST))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    (cap,) = budgets.find_caps(REQUEST.caller, model="m")
    assert not (await budgets.find(cap)).held


@pytest.mark.parametrize("is_shared", [False, True])
@pytest.mark.parametrize(("read", "written"), [(-1_000_000, 5), (10, -1_000_000), (10**30, 5), (10, 10**400)])
async def test_a_strange_count_gives_nothing_back_and_breaks_nothing(
    values: Wavering, clock: ManualClock, read: int, written: int, is_shared: bool
) -> None:
    """A server may say that it used less than nothing, or more than there is."""
    store = values if is_shared else None
    ledger = Ledger(store, clock=clock)
    budgets = Budgets(RULES, values=store, ledger=ledger, clock=clock)
    usage = Usage(input_tokens=read, output_tokens=written, requests=1)
    usd = cost_usd(usage, PRICE) if written < 10**300 else float("inf")
    script = [build_reply(), structs.replace(build_reply(), usage=usage, cost_usd=usd)]
    model, _ = build(budgets, script)
    await model.complete(ask())
    before, _ = await spent(budgets)
    await model.complete(ask())
    after, held = await spent(budgets)
    assert (after >= before, held) == (True, 0)
    rows = [one.row async for one in ledger.read()]
    assert rows[0].calls == 2
    assert min(rows[0].usd, rows[0].input_tokens, rows[0].output_tokens) >= 0


async def test_one_tenants_huge_call_makes_no_call_of_others_dear() -> None:
    """What a call used beyond our count, such as a picture's tokens, says little about the calls of others."""
    budgets = Budgets([BudgetRule(name="b", scope="tenant", usd=10.0, match="small")])
    model, _ = build(budgets, [build_reply(500_000, 900_000), build_reply()])
    await model.complete(ask(Caller(tenant="big")))
    await model.complete(ask(Caller(tenant="small"), max_tokens=None))


async def test_whoever_waits_for_a_budget_is_bounded(clock: ManualClock) -> None:
    budgets = Budgets(RULES, clock=clock, max_waiting=3)
    model, _ = build(budgets, lambda request: After(1e6, build_reply()))
    tasks = [asyncio.ensure_future(model.complete(ask(max_tokens=400))) for _ in range(5)]
    for _ in range(20):
        await asyncio.sleep(0)
    with pytest.raises(RateLimited):
        await model.complete(ask(max_tokens=400))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert budgets.waiting == 0
