"""How do many calls draw on a budget in a store without each of them waiting for it?

A process sets a little aside beforehand, for calls to come: it is out of everybody else's reach before it is used, so
that a budget is never exceeded, and goes back when nobody uses it. What was spent is written a moment later, for many
calls at once. A crash loses what was spent in that moment, as it loses the calls that were under way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from quorate.errors import QuorateError
from quorate.models.budgets.account import Ask, Standing
from quorate.models.budgets.rules import Cap
from quorate.models.budgets.shared import Amount, SharedAccounts
from quorate.models.later import LATER_S, Later, Spawn

CALLS = 256
"""For how many more calls something is set aside at a time."""
ADVANCE_S = 5.0
"""How long it stays so: a budget that was changed holds for all calls after that."""
AGAIN_S = 1.0
"""After how long it is tried again where there was too little left, or no store."""
MAX_ADVANCES = 1_000


class Advance:
    """What is set aside for calls to come."""

    __slots__ = ("again", "cap", "is_filling", "tokens", "until", "usd")

    def __init__(self, cap: Cap) -> None:
        self.cap = cap
        self.usd = 0
        self.tokens = 0
        self.until = 0.0
        """From when on it is used no more."""
        self.again = 0.0
        """From when on more may be set aside."""
        self.is_filling = False

    def can_pay(self, ask: Ask, now: float, *, times: int = 1) -> bool:
        """Whether it pays for such calls."""
        if now >= self.until or self.tokens < times * (ask.read + ask.write):
            return False
        return self.cap.usd is None or self.usd >= times * ask.price(ask.write)

    def draw(self, ask: Ask) -> None:
        """Take what a call may cost out of it."""
        self.usd -= ask.price(ask.write)
        self.tokens -= ask.read + ask.write


class Advances:
    """What this process set aside of shared budgets for calls to come.

    Args:
        accounts: The budgets.
        spawn: Does things beside requests.
        monotonic: Time that never goes back.
    """

    def __init__(
        self, accounts: SharedAccounts, *, spawn: Spawn, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._accounts = accounts
        self._spawn = spawn
        self._monotonic = monotonic
        self._own: dict[str, Advance] = {}
        self._writing = Later(self.flush, spawn=spawn, after_s=LATER_S)

    async def take(self, cap: Cap, ask: Ask) -> int | Standing:
        """Set aside what a call may cost; as `SharedAccounts.take`, mostly without a wait."""
        own, now = self._own.get(cap.key), self._monotonic()
        if own is None:
            if len(self._own) >= MAX_ADVANCES:
                return await self._accounts.take(cap, ask)
            own = self._own[cap.key] = Advance(cap)
            own.again = now + AGAIN_S  # for whoever asks once, it is not worth it
        pays = own.can_pay(ask, now)
        if pays:
            own.draw(ask)
        if not own.is_filling and now >= own.again and not own.can_pay(ask, now, times=CALLS // 2):
            own.is_filling = True
            self._spawn(self._fill(own, ask))
        return ask.write if pays else await self._accounts.take(cap, ask)

    def settle(self, cap: Cap, held: Amount, spent: Amount) -> None:
        """Replace what was set aside by what was spent, a moment from now."""
        self._accounts.owe(cap, held, spent)
        self._writing.ask()

    async def flush(self) -> None:
        """Write what was spent; what the store does not take now is written later."""
        self._give_back(self._monotonic())
        await self._accounts.pay_all()
        if self._accounts.owes:
            self._writing.ask(after_s=AGAIN_S)

    async def aclose(self) -> None:
        """Write what was spent, and give back what is left."""
        self._give_back(float("inf"))
        await self._accounts.pay_all()
        self._writing.cancel()

    async def _fill(self, own: Advance, ask: Ask) -> None:
        began = self._monotonic()
        own.again = began + AGAIN_S
        try:
            with suppress(QuorateError):  # calls find out by themselves, one by one
                usd, tokens = await self._accounts.set_aside(own.cap, ask, times=CALLS)
                if tokens:
                    own.usd += usd
                    own.tokens += tokens
                    own.until, own.again = began + ADVANCE_S, began
                    asyncio.get_running_loop().call_later(ADVANCE_S + LATER_S, self._writing.ask)
        finally:
            own.is_filling = False

    def _give_back(self, now: float) -> None:
        """Give back what nobody used in time."""
        for key, own in list(self._own.items()):
            if own.until <= now and own.again <= now and (not own.is_filling or now == float("inf")):
                del self._own[key]
                if own.usd or own.tokens:
                    self._accounts.owe(own.cap, (own.usd, own.tokens), (0, 0))
