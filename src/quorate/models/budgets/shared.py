"""How are budgets kept in a database, so that several processes draw on one and a restart resets none?

What is set aside is kept by process, with a time by which it counts as dead: a crash loses no more than the calls that
were under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import islice

from msgspec import structs

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import QuorateError
from quorate.ids import new_id
from quorate.models.budgets.account import Account, Ask, Hold, Standing, drop_dead, settle, take
from quorate.models.budgets.rules import Cap
from quorate.models.cells import Act, Cells
from quorate.ports import KeyValue

Amount = tuple[int, int]
MAX_OWED = 10_000
"""Accounts to which something is owed; then the oldest debt is forgotten."""
AT_ONCE = 4
"""Debts of others that one call writes down."""
SPARE = 100
"""The part of what is left of a budget that may be set aside for calls to come: one in so many."""


class SharedAccounts:
    """Accounts in a `KeyValue`."""

    is_shared = True

    def __init__(self, values: KeyValue, *, clock: Clock = SYSTEM_CLOCK, hold_s: float) -> None:
        self._cells = Cells(values, empty=lambda _: Account(), clock=clock)
        self._hold_s = hold_s
        self._holder = new_id("p")
        self._owed: dict[str, tuple[Cap, Amount, Amount]] = {}
        """What could not be written when a call was over; written before anything else is set aside."""

    def now(self) -> float:
        """Return the store's time."""
        return self._cells.times.now()

    async def take(self, cap: Cap, ask: Ask) -> int | Standing:
        """Set aside what a call may cost; see `account.take`.

        Raises:
            Unavailable: The accounts cannot be reached, so nothing may be spent.
        """
        if self._owed:
            await self._pay(cap.key)

        def act(account: Account, now: float) -> tuple[bool, int | Standing]:
            outcome = take(account, cap, ask, holder=self._holder, now=now, hold_s=self._hold_s)
            return not isinstance(outcome, Standing), outcome

        def undo(outcome: int | Standing) -> Act[Account, None]:
            if isinstance(outcome, Standing):
                return lambda account, now: (False, None)
            return self._build_settling((ask.price(outcome), ask.read + outcome), (0, 0))

        return await self._cells.get(cap.key, ttl_s=cap.ttl_s).change(act, undo=undo)

    async def set_aside(self, cap: Cap, ask: Ask, *, times: int) -> Amount:
        """Set aside what so many calls may cost, where the budget has plenty; return how much, or nothing.

        Raises:
            Unavailable: The accounts cannot be reached.
        """

        def act(account: Account, now: float) -> tuple[bool, Amount]:
            usd, tokens = times * ask.price(ask.write), times * (ask.read + ask.write)
            drop_dead(account, now)
            if cap.usd is not None:
                left = cap.usd - account.usd - sum(hold.usd for hold in account.held.values())
                if usd > left // SPARE:
                    return False, (0, 0)
            if cap.tokens is not None:
                left = cap.tokens - account.tokens - sum(hold.tokens for hold in account.held.values())
                if tokens > left // SPARE:
                    return False, (0, 0)
            own = account.held.setdefault(self._holder, Hold(0, 0, 0.0))
            own.usd += usd
            own.tokens += tokens
            own.expires = now + self._hold_s
            return True, (usd, tokens)

        def undo(amount: Amount) -> Act[Account, None]:
            return self._build_settling(amount, (0, 0))

        return await self._cells.get(cap.key, ttl_s=cap.ttl_s).change(act, undo=undo)

    async def settle(self, cap: Cap, held: Amount, spent: Amount) -> None:
        """Replace what was set aside by what was spent; what cannot be written now is owed, and written before more."""
        with suppress(QuorateError):  # the reply is there and paid for
            await self._write(cap, held, spent)

    async def find(self, cap: Cap) -> Account:
        """Return how an account stands; what dead processes set aside is not in it."""

        def act(account: Account, now: float) -> tuple[bool, Account]:
            found = structs.replace(account, held=dict(account.held))
            drop_dead(found, now)
            return False, found

        return await self._cells.get(cap.key, ttl_s=cap.ttl_s).change(act)

    async def _write(self, cap: Cap, held: Amount, spent: Amount) -> None:
        """Settle; what is not written is owed, also when whoever waits is gone."""
        owe: Callable[[], None] = partial(self.owe, cap, held, spent)
        try:
            await self._cells.get(cap.key, ttl_s=cap.ttl_s).change(self._build_settling(held, spent), lost=owe)
        except QuorateError:
            owe()
            raise

    @property
    def owes(self) -> bool:
        """Whether something is still to be written."""
        return bool(self._owed)

    def owe(self, cap: Cap, held: Amount, spent: Amount) -> None:
        """Note what is to be written with what is written next: what was set aside, and what was spent of it."""
        before = self._owed.pop(cap.key, None)
        if before is not None:
            _, more_held, more_spent = before
            held = (held[0] + more_held[0], held[1] + more_held[1])
            spent = (spent[0] + more_spent[0], spent[1] + more_spent[1])
        elif len(self._owed) >= MAX_OWED:
            del self._owed[next(iter(self._owed))]
        self._owed[cap.key] = (cap, held, spent)

    async def _pay(self, key: str) -> None:
        """Write what is owed to an account, and some of what is owed to others, such as those of runs that are over.

        Raises:
            Unavailable: The account cannot be reached.
        """
        own = self._owed.pop(key, None)
        if own is not None:
            await self._write(*own)
        for other in list(islice(self._owed, AT_ONCE)):
            debt = self._owed.pop(other, None)  # somebody else may have taken it meanwhile
            if debt is not None:
                with suppress(QuorateError):  # it is owed still, and nothing is drawn on it now
                    await self._write(*debt)

    async def pay_all(self) -> None:
        """Write what is owed, as far as the store takes it."""
        debts, self._owed = self._owed, {}
        async with asyncio.TaskGroup() as group:  # all in one commit
            for debt in debts.values():
                group.create_task(self._pay_one(*debt))

    async def _pay_one(self, cap: Cap, held: Amount, spent: Amount) -> None:
        with suppress(QuorateError):  # it is owed still
            await self._write(cap, held, spent)

    def _build_settling(self, held: Amount, spent: Amount) -> Act[Account, None]:
        def act(account: Account, now: float) -> tuple[bool, None]:
            settle(account, holder=self._holder, held=held, spent=spent)
            return True, None

        return act
