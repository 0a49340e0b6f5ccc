"""Do accounts in memory have a bound, and does it harm nobody who is at work?"""

import pytest

from quorate.errors import Unavailable
from quorate.models.budgets.account import Ask
from quorate.models.budgets.local import LocalAccounts
from quorate.models.budgets.rules import BudgetRule, Cap, build_caps
from quorate.specs import Caller
from quorate.testing import ManualClock

ASK = Ask(read=1, read_usd=1, write=1, least=1, rate=1.0)


def build_cap(clock: ManualClock, *, scope: str, value: str) -> Cap:
    rule = BudgetRule(scope=scope, tokens=10)  # type: ignore[arg-type]
    (cap,) = build_caps([rule], model="m", caller=Caller(run=value, session=value), now=clock.now())
    return cap


async def test_runs_make_room_for_runs() -> None:
    """The oldest of which nothing is under way are forgotten; those with calls under way stay."""
    clock = ManualClock()
    accounts = LocalAccounts(clock.now, max_accounts=2000)
    busy = build_cap(clock, scope="run", value="busy")
    await accounts.take(busy, ASK)
    for number in range(10_000):
        cap = build_cap(clock, scope="run", value=f"run-{number}")
        await accounts.take(cap, ASK)
        await accounts.settle(cap, (2, 2), (2, 2))
    assert len(accounts._accounts) <= 2000
    assert (await accounts.find(busy)).held


async def test_what_is_no_run_is_not_forgotten() -> None:
    """A budget that were begun anew would be none: beyond the bound nothing is spent."""
    clock = ManualClock()
    accounts = LocalAccounts(clock.now, max_accounts=2000)
    for number in range(2000):
        await accounts.take(build_cap(clock, scope="session", value=f"s-{number}"), ASK)
    with pytest.raises(Unavailable, match="use a database"):
        await accounts.take(build_cap(clock, scope="session", value="one-more"), ASK)
