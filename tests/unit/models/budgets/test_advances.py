"""Do calls that do not wait for the store stay within budgets, and is all of it written in the end?"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager

from quorate.errors import BudgetExceeded, Unavailable
from quorate.messages import Usage
from quorate.models.budgets.account import Account, Ask
from quorate.models.budgets.advances import ADVANCE_S, AGAIN_S, CALLS
from quorate.models.budgets.budgets import Budgets
from quorate.models.budgets.rules import BudgetRule, Cap
from quorate.models.ledger import Ledger, Spending
from quorate.ports import Entry
from quorate.specs import Caller
from quorate.state.backends.memory import MemoryValues
from quorate.testing import ManualClock

CALLER = Caller(tenant="acme")
ASK = Ask(100, 0, 100, 100, 0.0)
SPENT = Spending(CALLER, "openai:gpt-5.2", Usage(input_tokens=90, output_tokens=10), 0)
PLENTY = 10**9


class Counted(MemoryValues):
    """A store that counts what is written, and may be away."""

    puts = 0
    is_away = False

    async def put(self, key: str, value: bytes, *, if_revision: int | None = None, ttl_s: float | None = None) -> Entry:
        if self.is_away:
            raise Unavailable("The store is away.")
        self.puts += 1
        return await super().put(key, value, if_revision=if_revision, ttl_s=ttl_s)


class Ahead:
    """Budgets that work ahead, and what they do beside calls, which is done when it is told to be."""

    def __init__(self, tokens: int) -> None:
        self.clock = ManualClock()
        self.values = Counted(clock=self.clock)
        self.ledger = Ledger(self.values, clock=self.clock)
        rule = BudgetRule(name="tokens", scope="tenant", period="total", tokens=tokens)
        self.budgets = Budgets((rule,), values=self.values, ledger=self.ledger, clock=self.clock, wait_s=0.0)
        self.beside: list[Coroutine[object, object, None]] = []
        self.budgets.work_ahead(self.beside.append)
        self.caps = self.budgets.find_caps(CALLER, model="openai:gpt-5.2")

    @property
    def cap(self) -> Cap:
        return self.caps[0]

    async def call(self, caller: Caller = CALLER) -> None:
        held = await self.budgets.reserve(caller, self.caps, ASK)
        await self.budgets.settle(held, SPENT)

    async def work(self) -> None:
        """Do what is to be done beside calls."""
        while self.beside:
            await self.beside.pop()

    async def read(self) -> Account:
        """Read what is stored, as another process does."""
        others = Budgets(self.budgets.rules, values=self.values, clock=self.clock)
        return await others.find(self.cap)

    async def warm_up(self) -> None:
        """Have something set aside."""
        await self.call()
        self.clock.advance(AGAIN_S)
        await self.call()
        await self.work()


@asynccontextmanager
async def ahead(tokens: int = PLENTY) -> AsyncGenerator[Ahead]:
    one = Ahead(tokens)
    yield one
    await one.work()
    await one.budgets.aclose()


async def test_calls_do_not_wait_for_the_store_and_all_of_them_are_written() -> None:
    """What is out of everybody's reach beforehand needs no write of its own."""
    async with ahead() as one:
        await one.warm_up()
        before = one.values.puts
        for _ in range(50):
            await one.call()
        assert one.values.puts == before
        assert sum(hold.tokens for hold in (await one.read()).held.values()) >= 50 * 200
        await one.budgets.aclose()
        account = await one.read()
        assert (account.tokens, account.held) == (52 * 100, {})
        rows = [booked.row async for booked in one.ledger.read()]
        assert sum(row.calls for row in rows) == 52


async def test_a_budget_that_is_nearly_spent_is_drawn_on_call_by_call() -> None:
    """Nothing is set aside beforehand that others could miss, and no call is made that cannot be paid for."""
    async with ahead(tokens=1_000) as one:
        refused = 0
        for _ in range(20):
            one.clock.advance(AGAIN_S)
            try:
                await one.call()
            except BudgetExceeded:
                refused += 1
            await one.work()
        account = await one.read()
        assert account.tokens <= 1_000
        assert refused >= 10


async def test_what_nobody_uses_goes_back() -> None:
    """Other processes have need of it."""
    async with ahead() as one:
        await one.warm_up()
        assert sum(hold.tokens for hold in (await one.read()).held.values()) >= (CALLS - 2) * 200
        one.clock.advance(ADVANCE_S + AGAIN_S)
        await one.budgets.flush()
        assert (await one.read()).held == {}


async def test_what_the_store_does_not_take_is_written_later() -> None:
    """The replies are there and paid for."""
    async with ahead() as one:
        await one.warm_up()
        one.values.is_away = True
        await one.call()
        await one.budgets.flush()
        one.values.is_away = False
        await one.budgets.flush()
        assert (await one.read()).tokens == 300


async def test_calls_of_runs_are_booked_before_their_reply_is_given_out() -> None:
    """The book never lacks what a log has."""
    async with ahead() as one:
        await one.warm_up()
        await one.budgets.flush()
        caller = Caller(tenant="acme", run="run-1")
        held = await one.budgets.reserve(caller, one.caps, ASK)
        await one.budgets.settle(held, Spending(caller, SPENT.model, SPENT.usage, 0))
        assert (await one.read()).tokens == 300


async def test_many_at_once_never_pass_the_end() -> None:
    """Two processes draw on one budget until nothing is left."""
    one = Ahead(60_000)
    other = Ahead(60_000)
    other.values = one.values
    other.budgets = Budgets(one.budgets.rules, values=one.values, clock=one.clock, wait_s=0.0)
    other.budgets.work_ahead(other.beside.append)
    done = 0

    async def go(side: Ahead) -> None:
        nonlocal done
        try:
            held = await side.budgets.reserve(CALLER, one.caps, ASK)
        except BudgetExceeded:
            return
        done += 1
        await side.budgets.settle(held, Spending(CALLER, SPENT.model, Usage(input_tokens=100, output_tokens=100), 0))

    for _ in range(10):
        one.clock.advance(AGAIN_S)
        async with asyncio.TaskGroup() as group:
            for side in (one, other):
                for _ in range(25):
                    group.create_task(go(side))
        for side in (one, other):
            await side.work()
    for side in (one, other):
        await side.budgets.aclose()
    assert (await one.read()).tokens == done * 200 <= 60_000
