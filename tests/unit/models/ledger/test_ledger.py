"""Is every call booked once, on its day, and found again?"""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.messages import Usage
from quorate.models.cost import NANO
from quorate.models.ledger import MAX_ROWS, Booked, Ledger, Row, Spending, to_nano
from quorate.ports import KeyValue
from quorate.specs import Caller
from quorate.state.backends.memory import MemoryValues
from quorate.testing import ManualClock

DAY = 86_400


def spend(
    usd: float | None, *, tenant: str = "acme", agent: str = "net", model: str = "openai:a", run: str = "r"
) -> Spending:
    usage = Usage(input_tokens=10, output_tokens=5, cached_tokens=3, requests=1)
    return Spending(Caller(tenant=tenant, agent=agent, run=run), model, usage, to_nano(usd))


async def read(ledger: Ledger, **filters: str) -> list[Booked]:
    return [booked async for booked in ledger.read(**filters)]  # type: ignore[arg-type]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["process", "store"])
def values(request: pytest.FixtureRequest, clock: ManualClock) -> KeyValue | None:
    return MemoryValues(clock) if request.param == "store" else None


async def test_calls_are_added_up_by_day_tenant_agent_and_model(values: KeyValue | None, clock: ManualClock) -> None:
    """And by whether they were made in a run. row: A17"""
    ledger = Ledger(values, clock=clock)
    for spending in (spend(0.1), spend(0.2), spend(0.4, tenant="b"), spend(0.8, agent="x"), spend(1.6, run="")):
        await ledger.book(spending)
    clock.advance(DAY)
    await ledger.book(spend(3.2))
    found = await read(ledger)
    assert [(one.day, one.tenant, one.agent, one.in_run, one.row.calls, one.row.usd / NANO) for one in found] == [
        ("2023-11-14", "acme", "net", True, 2, pytest.approx(0.3)),
        ("2023-11-14", "acme", "x", True, 1, pytest.approx(0.8)),
        ("2023-11-14", "acme", "net", False, 1, pytest.approx(1.6)),
        ("2023-11-14", "b", "net", True, 1, pytest.approx(0.4)),
        ("2023-11-15", "acme", "net", True, 1, pytest.approx(3.2)),
    ]
    assert found[0].row == Row(calls=2, usd=300_000_000, input_tokens=20, output_tokens=10, cached_tokens=6)
    assert len(await read(ledger, since="2023-11-15")) == 1
    assert len(await read(ledger, until="2023-11-14")) == 4
    assert len(await read(ledger, tenant="b")) == 1
    assert await read(ledger, since="2024") == []


async def test_unknown_prices_and_cut_calls_are_counted_apart(values: KeyValue | None, clock: ManualClock) -> None:
    """Neither is taken for free, and what is only thought is not mixed with what is known. row: A17"""
    ledger = Ledger(values, clock=clock)
    await ledger.book(spend(None))
    cut = spend(0.5)
    await ledger.book(Spending(cut.caller, cut.model, cut.usage, cut.usd, is_whole=False))
    (one,) = await read(ledger)
    assert (one.row.calls, one.row.usd, one.row.unpriced) == (1, 0, 1)
    assert (one.row.cut_calls, one.row.cut_usd, one.row.cut_tokens) == (1, NANO // 2, 15)


async def test_a_restart_loses_nothing(clock: ManualClock) -> None:
    values = MemoryValues(clock)
    for _ in range(3):
        await Ledger(values, clock=clock).book(spend(0.1))
    assert [one.row.calls for one in await read(Ledger(values, clock=clock))] == [3]


async def test_processes_book_into_one_sheet(clock: ManualClock) -> None:
    values = MemoryValues(clock)
    ledgers = [Ledger(values, clock=clock) for _ in range(4)]
    await asyncio.gather(*(ledger.book(spend(0.001)) for _ in range(50) for ledger in ledgers))
    assert [(one.row.calls, one.row.usd) for one in await read(ledgers[0])] == [(200, NANO // 5)]


async def test_a_day_has_a_bound(clock: ManualClock) -> None:
    """What is beyond it is booked without its name: sums stay right."""
    ledger = Ledger(clock=clock)
    for number in range(MAX_ROWS + 100):
        await ledger.book(spend(0.001, agent=f"a-{number}"))
    found = await read(ledger)
    assert len(found) == MAX_ROWS + 1
    assert sum(one.row.calls for one in found) == MAX_ROWS + 100
    assert next(one for one in found if not one.agent).row.calls == 100


async def test_a_name_cannot_break_a_row(clock: ManualClock) -> None:
    ledger = Ledger(clock=clock)
    await ledger.book(spend(0.1, agent="a\nb\nrun"))
    assert [one.agent for one in await read(ledger)] == ["a b run"]


@given(st.lists(st.floats(0, 100), max_size=50))
def test_sums_do_not_depend_on_the_order(costs: list[float]) -> None:
    """They are sums of whole numbers."""

    async def add_up(order: list[float]) -> int:
        ledger = Ledger()
        for cost in order:
            await ledger.book(spend(cost))
        return sum([one.row.usd for one in await read(ledger)])

    assert asyncio.run(add_up(costs)) == asyncio.run(add_up(costs[::-1])) == sum(round(cost * NANO) for cost in costs)
