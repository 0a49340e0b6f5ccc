"""Does one budget bound the spending of four processes, also when they die?"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import structs
from tests.integration.models.budgets.spender import CALLER, RULES
from tests.integration.models.processes import open_children, read_words

from quorate.models.budgets.account import Account
from quorate.models.budgets.budgets import Budgets
from quorate.models.cost import NANO
from quorate.models.ledger import Ledger
from quorate.ports import Store
from quorate.state.backends.postgres import open_postgres_store
from quorate.state.backends.sqlite import open_sqlite_store

SPENDER = Path(__file__).with_name("spender.py")
MODEL = "openai:gpt-5.2"


@asynccontextmanager
async def open_database(address: str) -> AsyncGenerator[Store]:
    opened = open_postgres_store(address) if address.startswith("postgres") else open_sqlite_store(address)
    async with opened as store:
        yield store


async def find_accounts(store: Store, *, later_s: float = 0.0) -> list[Account]:
    """Read the accounts of the run and of its tenant's day."""
    budgets = Budgets(RULES, values=store.values)
    return [await budgets.find(cap) for cap in budgets.find_caps(CALLER, model=MODEL)]


async def test_a_run_never_books_more_than_its_cap_across_four_processes(database: str) -> None:
    """Twenty callers in four processes draw on 0.05 dollars: all is booked, and never more. R26, row: B10"""
    with open_children(SPENDER, [(database, "0")] * 4) as children:
        said = [read_words(child) for child in children]
    booked = sum(words["booked"] for words in said)
    assert sum(words["refused"] for words in said) == 20
    assert booked <= 0.05 * NANO
    assert booked > 0.04 * NANO, "a refusal came before there was no room"
    async with open_database(database) as store:
        run, day = await find_accounts(store)
        assert (run.usd, day.usd) == (booked, booked)
        assert not run.held
        assert not day.held
        rows = [booked async for booked in Ledger(store.values).read()]
        assert sum(row.row.usd for row in rows) == booked
        assert sum(row.row.calls for row in rows) == sum(words["calls"] for words in said)


async def test_a_restart_resets_no_budget(database: str) -> None:
    """What others spent before is spent. R26"""
    booked = 0
    for _ in range(2):
        with open_children(SPENDER, [(database, "0")]) as (child,):
            booked += read_words(child)["booked"]
    assert 0.04 * NANO < booked <= 0.05 * NANO


async def test_what_dead_processes_set_aside_is_given_back(database: str) -> None:
    """Five calls were under way when their process was killed: their money is held, and free again in time. R26"""
    with open_children(SPENDER, [(database, "60")]) as (child,):
        assert read_words(child) == {"held": 1}
    async with open_database(database) as store:
        run, _ = await find_accounts(store)
        (hold,) = run.held.values()
        assert run.usd == 0
        assert hold.usd == 5 * (250 * 2000 + 400 * 8000)
        (entry,) = await store.values.scan("budgets/cost_usd/")
        assert 1700 < hold.expires - entry.updated <= 1800
        budgets = Budgets(RULES, values=store.values, hold_s=-1.0)
        (own, *_) = budgets.find_caps(structs.replace(CALLER), model=MODEL)
        assert own.key == entry.key
