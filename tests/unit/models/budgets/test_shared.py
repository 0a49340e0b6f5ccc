"""Do budgets in a store outlast their process, forget the dead, and lose nothing when the store is away?"""

import asyncio

import pytest
from tests.unit.models.budgets.worlds import ask, build, build_reply

from quorate.errors import BudgetExceeded, Unavailable
from quorate.models.budgets.account import Ask
from quorate.models.budgets.budgets import Budgets
from quorate.models.budgets.rules import BudgetRule, Cap
from quorate.models.budgets.shared import SharedAccounts
from quorate.models.cost import NANO
from quorate.models.ledger import Ledger
from quorate.models.scripted import After
from quorate.ports import Entry, KeyValue
from quorate.state.backends.memory import MemoryValues
from quorate.testing import ManualClock

RULES = (BudgetRule(name="b", scope="tenant", usd=1.0),)


class Wavering:
    """A `KeyValue` that can be away, before a write or just after it."""

    def __init__(self, inner: KeyValue) -> None:
        self.inner = inner
        self.away = ""
        self.puts = 0

    async def get(self, key: str) -> Entry | None:
        self._check("get")
        return await self.inner.get(key)

    async def put(self, key: str, value: bytes, *, if_revision: int | None = None, ttl_s: float | None = None) -> Entry:
        self.puts += 1
        self._check("put")
        await asyncio.sleep(0)
        return await self.inner.put(key, value, if_revision=if_revision, ttl_s=ttl_s)

    async def delete(self, key: str, *, if_revision: int | None = None) -> bool:
        return await self.inner.delete(key, if_revision=if_revision)

    async def scan(self, prefix: str, *, after: str = "", limit: int = 100) -> list[Entry]:
        return await self.inner.scan(prefix, after=after, limit=limit)

    def _check(self, what: str) -> None:
        if self.away:
            raise Unavailable(f"away at {what}")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def values(clock: ManualClock) -> Wavering:
    return Wavering(MemoryValues(clock))


async def spent(budgets: Budgets) -> tuple[float, int]:
    (cap,) = budgets.find_caps(ask().caller, model="openai:gpt-5.2")
    account = await budgets.find(cap)
    return account.usd / NANO, len(account.held)


async def test_a_restart_resets_nothing(values: Wavering, clock: ManualClock) -> None:
    """row: B10"""
    for _ in range(4):
        model, _ = build(Budgets(RULES, values=values, clock=clock))
        await model.complete(ask())
    model, inner = build(Budgets(RULES, values=values, clock=clock))
    with pytest.raises(BudgetExceeded):
        await model.complete(ask())
    assert not inner.requests


async def test_what_a_dead_process_set_aside_is_free_again_in_time(values: Wavering, clock: ManualClock) -> None:
    """Three calls of a process that died hold 0.9 of 1.0 dollars until it counts as dead. R26"""
    dead, _ = build(Budgets(RULES, values=values, clock=clock, hold_s=100), lambda request: After(1e6, build_reply()))
    tasks = [asyncio.ensure_future(dead.complete(ask())) for _ in range(3)]
    for _ in range(50):
        await asyncio.sleep(0)
    living = Budgets(RULES, values=values, clock=clock, hold_s=100, wait_s=0.0)
    assert await spent(living) == (0, 1)
    model, _ = build(living)
    with pytest.raises(BudgetExceeded):
        await model.complete(ask())
    clock.advance(99)
    with pytest.raises(BudgetExceeded):
        await model.complete(ask())
    clock.advance(2)
    await model.complete(ask())
    assert await spent(living) == (pytest.approx(0.2), 0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_while_the_store_is_away_nothing_is_spent(values: Wavering, clock: ManualClock) -> None:
    """There is no weaker path behind a budget."""
    model, inner = build(Budgets(RULES, values=values, clock=clock))
    values.away = "yes"
    with pytest.raises(Unavailable):
        await model.complete(ask())
    assert not inner.requests
    values.away = ""
    await model.complete(ask())


async def test_what_could_not_be_booked_is_booked_before_anything_else_is_spent(
    values: Wavering, clock: ManualClock
) -> None:
    """The store goes away during a call: its reply is given, and its cost is not forgotten."""
    ledger = Ledger(values, clock=clock)
    budgets = Budgets(RULES, values=values, clock=clock, ledger=ledger)

    def go_away(request: object):  # type: ignore[no-untyped-def]
        values.away = "yes"
        return build_reply()

    model, _ = build(budgets, go_away)
    assert (await model.complete(ask())).message.text == "ok"
    with pytest.raises(Unavailable):
        await model.complete(ask())
    values.away = ""
    model, _ = build(budgets)
    await model.complete(ask())
    assert await spent(budgets) == (pytest.approx(0.4), 0)
    assert sum([row.row.usd async for row in ledger.read()]) == 0.4 * NANO


async def test_whoever_is_cancelled_while_money_is_set_aside_holds_nothing(
    values: Wavering, clock: ManualClock
) -> None:
    """At whatever moment it is cancelled."""
    budgets = Budgets(RULES, values=values, clock=clock)
    model, _ = build(budgets, lambda request: After(1e6, build_reply()))
    booked = 0.0
    for turns in range(30):
        call = asyncio.ensure_future(model.complete(ask(max_tokens=1)))
        for _ in range(turns):
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        was, held = await spent(budgets)
        assert held == 0
        assert was - booked in (pytest.approx(0), pytest.approx(0.1))  # the input, once the model was asked
        booked = was
        if booked > 0.75:
            break
    assert booked


async def test_calls_at_once_are_written_together(values: Wavering, clock: ManualClock) -> None:
    """A hundred calls take a few writes, not two hundred."""
    budgets = Budgets([BudgetRule(usd=1000.0)], values=values, clock=clock)
    model, _ = build(budgets)
    await asyncio.gather(*(model.complete(ask()) for _ in range(100)))
    assert values.puts < 20
    (cap,) = budgets.find_caps(ask().caller, model="openai:gpt-5.2")
    assert (await budgets.find(cap)).usd == 20 * NANO


async def test_two_processes_lose_nothing_to_each_other(values: Wavering, clock: ManualClock) -> None:
    """Each meets the other's writes, and makes its own again."""
    several = [build(Budgets([BudgetRule(usd=1000.0)], values=values, clock=clock))[0] for _ in range(4)]
    await asyncio.gather(*(model.complete(ask()) for _ in range(25) for model in several))
    budgets = Budgets([BudgetRule(usd=1000.0)], values=values, clock=clock)
    (cap,) = budgets.find_caps(ask().caller, model="openai:gpt-5.2")
    account = await budgets.find(cap)
    assert (account.usd, account.held) == (20 * NANO, {})


async def test_no_fraction_is_lost_in_what_a_budget_pays(values: Wavering, clock: ManualClock) -> None:
    """Prices per token are no whole billionths: what is set aside is never above the budget, not even by one."""
    accounts = SharedAccounts(values, clock=clock, hold_s=1800.0)
    for number, (usd, rate) in enumerate(((126217686, 42142.8), (1420939916, 67631.6), (466097003, 39466.3))):
        cap = Cap(
            key=f"b/{number}", budget="b", scope="tenant", value="acme", period="day", usd=usd, tokens=None, ttl_s=60.0
        )
        assert isinstance(await accounts.take(cap, Ask(0, 0, 32_768, 1, rate)), int)
        assert 0 < sum(hold.usd for hold in (await accounts.find(cap)).held.values()) <= usd


async def test_what_a_dead_process_set_aside_is_not_shown(values: Wavering, clock: ManualClock) -> None:
    """Nor does it bound anybody: its time is over."""
    first, second = (SharedAccounts(values, clock=clock, hold_s=1800.0) for _ in range(2))
    cap = Cap(key="b", budget="b", scope="tenant", value="acme", period="day", usd=100, tokens=None, ttl_s=86_400.0)
    await first.take(cap, Ask(1, 100, 0, 0, 0.0))
    assert (await second.find(cap)).held
    clock.advance(1801)
    assert (await second.find(cap)).held == {}
