"""How are budgets kept in a database, so that several processes draw on one and a restart resets none?

What is set aside is kept by process, with a time by which it counts as dead: a crash loses no more than the calls that
were under way.
"""

from __future__ import annotations

from msgspec import structs

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import QuorateError
from quorate.ids import new_id
from quorate.models.budgets.account import Account, Ask, Standing, settle, take
from quorate.models.budgets.rules import Cap
from quorate.models.cells import Act, Cells
from quorate.ports import KeyValue

Amount = tuple[int, int]


class SharedAccounts:
    """Accounts in a `KeyValue`."""

    is_shared = True

    def __init__(self, values: KeyValue, *, clock: Clock = SYSTEM_CLOCK, hold_s: float) -> None:
        self._cells = Cells(values, empty=lambda _: Account(), clock=clock)
        self._hold_s = hold_s
        self._holder = new_id("p")
        self._owed: dict[str, list[tuple[Cap, Amount, Amount]]] = {}
        """What could not be written when a call was over; written before anything else is set aside."""

    def now(self) -> float:
        """Return the store's time."""
        return self._cells.times.now()

    async def take(self, cap: Cap, ask: Ask) -> int | Standing:
        """Set aside what a call may cost; see `account.take`.

        Raises:
            Unavailable: The accounts cannot be reached, so nothing may be spent.
        """
        for debt in self._owed.pop(cap.key, ()):
            await self.settle(*debt, is_kept=True)

        def act(account: Account, now: float) -> tuple[bool, int | Standing]:
            outcome = take(account, cap, ask, holder=self._holder, now=now, hold_s=self._hold_s)
            return not isinstance(outcome, Standing), outcome

        def undo(outcome: int | Standing) -> Act[Account, None]:
            if isinstance(outcome, Standing):
                return lambda account, now: (False, None)
            return self._build_settling((ask.price(outcome), ask.read + outcome), (0, 0))

        return await self._cells.get(cap.key, ttl_s=cap.ttl_s).change(act, undo=undo)

    async def settle(self, cap: Cap, held: Amount, spent: Amount, *, is_kept: bool = False) -> None:
        """Replace what was set aside by what was spent; what cannot be written now is owed, and written before more.

        Raises:
            Unavailable: The accounts cannot be reached, and `is_kept`.
        """
        try:
            await self._cells.get(cap.key, ttl_s=cap.ttl_s).change(self._build_settling(held, spent))
        except QuorateError:
            self._owed.setdefault(cap.key, []).append((cap, held, spent))
            if is_kept:
                raise

    async def find(self, cap: Cap) -> Account:
        """Return how an account stands."""

        def act(account: Account, now: float) -> tuple[bool, Account]:
            return False, structs.replace(account, held=dict(account.held))

        return await self._cells.get(cap.key, ttl_s=cap.ttl_s).change(act)

    def _build_settling(self, held: Amount, spent: Amount) -> Act[Account, None]:
        def act(account: Account, now: float) -> tuple[bool, None]:
            settle(account, holder=self._holder, held=held, spent=spent)
            return True, None

        return act
