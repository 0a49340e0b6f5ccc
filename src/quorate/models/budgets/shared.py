"""How are budgets kept in a database, so that several processes draw on one and a restart resets none?

What is set aside is kept by process, with a time by which it counts as dead: a crash loses no more than the calls that
were under way.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import islice

from msgspec import structs

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import QuorateError
from quorate.ids import new_id
from quorate.models.budgets.account import Account, Ask, Standing, settle, take
from quorate.models.budgets.rules import Cap
from quorate.models.cells import Act, Cells
from quorate.ports import KeyValue

Amount = tuple[int, int]
MAX_OWED = 10_000
"""Accounts to which something is owed; then the oldest debt is forgotten."""
AT_ONCE = 4
"""Debts of others that one call writes down."""


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

    async def settle(self, cap: Cap, held: Amount, spent: Amount) -> None:
        """Replace what was set aside by what was spent; what cannot be written now is owed, and written before more."""
        with suppress(QuorateError):  # the reply is there and paid for
            await self._write(cap, held, spent)

    async def find(self, cap: Cap) -> Account:
        """Return how an account stands."""

        def act(account: Account, now: float) -> tuple[bool, Account]:
            return False, structs.replace(account, held=dict(account.held))

        return await self._cells.get(cap.key, ttl_s=cap.ttl_s).change(act)

    async def _write(self, cap: Cap, held: Amount, spent: Amount) -> None:
        """Settle; what is not written is owed, also when whoever waits is gone."""
        owe: Callable[[], None] = partial(self._owe, cap, held, spent)
        try:
            await self._cells.get(cap.key, ttl_s=cap.ttl_s).change(self._build_settling(held, spent), lost=owe)
        except QuorateError:
            owe()
            raise

    def _owe(self, cap: Cap, held: Amount, spent: Amount) -> None:
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

    def _build_settling(self, held: Amount, spent: Amount) -> Act[Account, None]:
        def act(account: Account, now: float) -> tuple[bool, None]:
            settle(account, holder=self._holder, held=held, spent=spent)
            return True, None

        return act
