"""Does the book lose nothing when its store is away, slow, or its caller leaves?"""

import asyncio
from contextlib import suppress

import pytest
from tests.unit.models.ledger.test_ledger import DAY, read, spend

from quorate.errors import Unavailable
from quorate.models.ledger import MAX_SHEETS, Ledger
from quorate.ports import Entry
from quorate.state.backends.memory import MemoryValues
from quorate.testing import ManualClock


class Away(MemoryValues):
    """Is away, or slow, when it is told to be."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.is_away = False
        self.gate: asyncio.Event | None = None
        self.puts = 0

    async def put(self, key: str, value: bytes, *, if_revision: int | None = None, ttl_s: float | None = None) -> Entry:
        self.puts += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.is_away:
            raise Unavailable("away")
        return await super().put(key, value, if_revision=if_revision, ttl_s=ttl_s)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def values(clock: ManualClock) -> Away:
    return Away(clock)


async def owe(ledger: Ledger, values: Away, calls: int) -> None:
    await ledger.book(spend(0.1))
    values.is_away = True
    for _ in range(calls):
        await ledger.book(spend(0.1))
    values.is_away = False


@pytest.mark.parametrize("turns", range(12))
async def test_whoever_leaves_loses_nothing_that_is_owed(values: Away, clock: ManualClock, turns: int) -> None:
    """A call is cancelled at every moment while it writes what others owe."""
    ledger = Ledger(values, clock=clock)
    await owe(ledger, values, 5)
    values.gate = asyncio.Event()
    task = asyncio.ensure_future(ledger.book(spend(0.1)))
    for _ in range(turns):
        await asyncio.sleep(0)
        if turns > 4:
            values.gate.set()
    task.cancel()
    await asyncio.sleep(0)
    values.gate.set()
    with suppress(asyncio.CancelledError):
        await task
    await ledger.book(spend(0.1))
    (booked,) = await read(ledger)
    # One that was cancelled before its first step was not asked for at all.
    assert booked.row.calls == (8 if turns else 7)


async def test_while_the_store_is_away_a_call_does_not_try_all_that_is_owed(values: Away, clock: ManualClock) -> None:
    ledger = Ledger(values, clock=clock)
    await owe(ledger, values, 50)
    values.is_away, values.puts = True, 0
    await ledger.book(spend(0.1))
    assert values.puts <= 2
    values.is_away = False
    await ledger.book(spend(0.1))
    (booked,) = await read(ledger)
    assert booked.row.calls == 53


async def test_what_is_owed_of_other_days_is_booked_on_its_day(values: Away, clock: ManualClock) -> None:
    ledger = Ledger(values, clock=clock)
    await owe(ledger, values, 3)
    clock.advance(DAY)
    await ledger.book(spend(0.1))
    assert [one.row.calls for one in await read(ledger)] == [4, 1]


async def test_no_name_can_break_the_book(values: Away, clock: ManualClock) -> None:
    ledger = Ledger(values, clock=clock)
    await ledger.book(spend(0.1, agent="a\nb", model="openai:x\ny"))
    (booked,) = await read(ledger)
    assert (booked.agent, booked.model) == ("a b", "openai:x y")


async def test_a_book_in_memory_is_bounded(clock: ManualClock) -> None:
    """A tenant is anybody's word, and there is a sheet for each and each day: the oldest go."""
    ledger = Ledger(clock=clock)
    for number in range(MAX_SHEETS + 100):
        await ledger.book(spend(0.1, tenant=f"t{number}"))
    found = await read(ledger)
    assert len(found) == MAX_SHEETS
    assert found[-1].tenant == f"t{MAX_SHEETS - 1}"  # as words are ordered
    assert "t0" not in {one.tenant for one in found}
