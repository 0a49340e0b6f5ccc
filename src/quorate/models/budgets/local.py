"""How are budgets kept in one process?"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct, structs

from quorate.errors import Unavailable
from quorate.models.budgets.account import Account, Ask, Standing, settle, take
from quorate.models.budgets.rules import Cap

MAX_ACCOUNTS = 100_000
SWEEP_S = 1.0
"""How long no room is looked for again where there was none: that takes a look at all accounts."""


class _Kept(Struct):
    """An account, and when it may go."""

    account: Account
    expires: float
    is_run: bool


class LocalAccounts:
    """Accounts that last as long as the process; those of runs and days long gone make room for new ones."""

    is_shared = False

    def __init__(self, now: Callable[[], float], *, max_accounts: int = MAX_ACCOUNTS) -> None:
        self._now = now
        self._max_accounts = max_accounts
        self._accounts: dict[str, _Kept] = {}
        self._sweep_at = 1024
        self._full_at: float | None = None

    def now(self) -> float:
        """Return the time of periods."""
        return self._now()

    async def take(self, cap: Cap, ask: Ask) -> int | Standing:
        """Set aside what a call may cost; see `account.take`.

        Raises:
            Unavailable: There are too many accounts.
        """
        now = self._now()
        found = self._accounts.get(cap.key)
        if found is None:
            if len(self._accounts) >= self._sweep_at:
                self._sweep(now)
            expires = now + (cap.ttl_s or float("inf"))
            found = self._accounts[cap.key] = _Kept(Account(), expires, "run" in (cap.scope, cap.period))
        return take(found.account, cap, ask, holder="", now=0.0, hold_s=1.0)

    async def settle(self, cap: Cap, held: tuple[int, int], spent: tuple[int, int]) -> None:
        """Replace what was set aside by what was spent."""
        found = self._accounts.get(cap.key)
        if found is not None:
            settle(found.account, holder="", held=held, spent=spent)

    async def find(self, cap: Cap) -> Account:
        """Return how an account stands."""
        found = self._accounts.get(cap.key)
        return Account() if found is None else structs.replace(found.account, held=dict(found.account.held))

    def _sweep(self, now: float) -> None:
        """Make room: what has expired goes, and then the older half of the runs of which nothing is under way."""
        if self._full_at is not None and abs(now - self._full_at) < SWEEP_S:
            raise self._refuse()
        kept = {key: one for key, one in self._accounts.items() if one.expires > now or one.account.held}
        if len(kept) >= self._max_accounts:
            idle = [key for key, one in kept.items() if one.is_run and not one.account.held]
            for key in idle[: len(idle) // 2 + 1]:
                del kept[key]
        self._accounts = kept
        self._full_at = now if len(kept) >= self._max_accounts else None
        if self._full_at is not None:
            raise self._refuse()
        self._sweep_at = min(self._max_accounts, max(1024, 2 * len(kept)))

    def _refuse(self) -> Unavailable:
        return Unavailable(f"{self._max_accounts} budgets are kept in memory, which is as many as fit: use a database.")
