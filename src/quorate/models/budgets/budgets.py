"""Can the next call be paid for, and what did the last one cost?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

from msgspec import Struct, structs

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import BudgetExceeded, RateLimited
from quorate.models.budgets.account import Account, Ask, Standing
from quorate.models.budgets.advances import Advances
from quorate.models.budgets.local import LocalAccounts
from quorate.models.budgets.rules import DAY_S, BudgetRule, Cap, build_caps
from quorate.models.budgets.shared import SharedAccounts
from quorate.models.cost import NANO
from quorate.models.later import Spawn
from quorate.models.ledger import Ledger, Spending, bound_tokens
from quorate.models.limits.limiter import Pause, pause
from quorate.ports import KeyValue
from quorate.specs import Caller

HOLD_S = 1800.0
"""Longer than any call takes, its retries included: only then may its process count as dead."""
MAX_KNOWN = 8192
MAX_WAITING = 1000
"""Calls that wait for what others may give back; all of a budget look again whenever one does."""
LOOK_S = 0.25


class BudgetRecord(Struct, frozen=True, kw_only=True):
    """What happened to a budget; for whoever watches."""

    kind: Literal["reserved", "settled", "exceeded"]
    budget: str
    value: str
    """Whose it is."""
    caller: Caller
    usd: float
    tokens: int


BudgetListener = Callable[[BudgetRecord], None]


class Reservation(Struct, frozen=True):
    """What was set aside for a call."""

    caller: Caller
    caps: Sequence[Cap]
    amounts: list[tuple[int, int]]
    """For each cap, in billionths of a dollar and in tokens."""
    read: int
    """The tokens of input that are paid for."""
    write: int
    """The most tokens of output that are paid for."""


class Accounts(Protocol):
    """Where accounts are kept."""

    is_shared: bool

    def now(self) -> float:
        """Return the time of periods, in seconds since 1970."""
        ...

    async def take(self, cap: Cap, ask: Ask) -> int | Standing:
        """Set aside what a call may cost, and return how many tokens of output that pays for."""
        ...

    async def settle(self, cap: Cap, held: tuple[int, int], spent: tuple[int, int]) -> None:
        """Replace what was set aside by what was spent; it does not fail."""
        ...

    async def find(self, cap: Cap) -> Account:
        """Return how an account stands."""
        ...


class Budgets:
    """The budgets of a gateway, and the book of what was spent; all of its models share one."""

    def __init__(
        self,
        rules: Sequence[BudgetRule] = (),
        *,
        values: KeyValue | None = None,
        ledger: Ledger | None = None,
        listeners: Sequence[BudgetListener] = (),
        clock: Clock = SYSTEM_CLOCK,
        pause: Pause = pause,
        wait_s: float = 30.0,
        hold_s: float = HOLD_S,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        """Keep budgets.

        Args:
            rules: What may be spent; the cap a run brings along holds without a rule.
            values: Where accounts are kept; in this process when not given, which a restart resets.
            ledger: Where every call is booked.
            listeners: Told of what happens to a budget; they may not wait.
            clock: Time, for days and months where there is no store that has its own.
            pause: How waits are done.
            wait_s: How long a call waits for others that have set aside all there is.
            hold_s: How long what a dead process set aside stays so.
            max_waiting: How many calls may wait at once; a further one is refused.
        """
        self.rules = tuple(rules)
        self.ledger = ledger
        self._accounts: Accounts = (
            LocalAccounts(clock.now) if values is None else SharedAccounts(values, clock=clock, hold_s=hold_s)
        )
        self._listeners = tuple(listeners)
        self._clock = clock
        self._pause = pause
        self._wait_s = wait_s
        self._max_waiting = max_waiting
        self._known: dict[tuple[object, ...], tuple[Cap, ...]] = {}
        self._scopes = frozenset(rule.scope for rule in self.rules)
        self._by_run = any("run" in (rule.scope, rule.period) for rule in self.rules)
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self.find_more: Callable[[Caller], Awaitable[Sequence[Cap]]] | None = None
        """Finds what a call draws on beside the rules, such as the quotas of its tenant."""
        self.refused: Callable[[Caller, BudgetExceeded], None] | None = None
        """Told of every call that could not be paid for."""
        self._advances: Advances | None = None

    def work_ahead(self, spawn: Spawn) -> None:
        """Let calls outside of runs wait for the store no more than they must: for servers, which make many of them.

        What they may cost is set aside beforehand, and what they did cost is written and booked a moment later. Those
        of runs are booked before their reply is recorded, as ever.

        Args:
            spawn: Does things beside requests, until `aclose`.
        """
        if isinstance(self._accounts, SharedAccounts):
            self._advances = Advances(self._accounts, spawn=spawn, monotonic=self._clock.monotonic)
        if self.ledger is not None:
            self.ledger.work_later(spawn)

    async def flush(self) -> None:
        """Write what calls outside of runs did cost, and give back what nobody used."""
        if self._advances is not None:
            await self._advances.flush()
        if self.ledger is not None:
            await self.ledger.flush()

    async def aclose(self) -> None:
        """Write what is still to be written; from now on everything is written at once."""
        advances, self._advances = self._advances, None
        if advances is not None:
            await advances.aclose()
        if self.ledger is not None:
            await self.ledger.aclose()

    @property
    def waiting(self) -> int:
        """How many calls wait at the moment."""
        return sum(map(len, self._waiting.values()))

    def now(self) -> float:
        """Return the time of periods."""
        return self._accounts.now()

    def find_caps(self, caller: Caller, *, model: str) -> tuple[Cap, ...]:
        """Find the budgets that a call draws on; none where nothing bounds it."""
        if caller.cost_usd is None and not self.rules:
            return ()
        scopes, now = self._scopes, self._accounts.now()
        known = (
            now // DAY_S,
            model,
            caller.tenant,
            caller.cost_usd,
            caller.run if self._by_run or caller.cost_usd is not None else "",
            caller.agent if "agent" in scopes else "",
            caller.principal if "key" in scopes or caller.cost_usd is not None else "",
            caller.session if "session" in scopes else "",
        )
        caps = self._known.get(known)
        if caps is None:
            if len(self._known) >= MAX_KNOWN:
                self._known = {}
            caps = self._known[known] = build_caps(self.rules, model=model, caller=caller, now=now)
        return caps

    async def find(self, cap: Cap) -> Account:
        """Return how a budget stands.

        Raises:
            Unavailable: The accounts cannot be reached.
        """
        await self.flush()
        return await self._accounts.find(cap)

    async def reserve(self, caller: Caller, caps: Sequence[Cap], ask: Ask) -> Reservation:
        """Set aside what a call may cost, in all of its budgets or in none.

        Raises:
            BudgetExceeded: One of them cannot pay for it.
            RateLimited: Too many wait for what others may give back.
            Unavailable: The accounts cannot be reached, so nothing may be spent.
        """
        amounts: list[tuple[int, int]] = []
        try:
            for cap in caps:
                write = await self._take(caller, cap, ask)
                amounts.append((ask.price(write), ask.read + write))
                if write < ask.write:
                    ask = structs.replace(ask, write=write)
        except BaseException:
            await self.release(Reservation(caller, caps[: len(amounts)], amounts, 0, 0))
            raise
        if self._listeners:
            for cap, (usd, tokens) in zip(caps, amounts, strict=True):
                self._tell("reserved", caller, cap, usd, tokens)
        return Reservation(caller, caps, amounts, ask.read, ask.write)

    async def release(self, reservation: Reservation) -> None:
        """Give back what was set aside for a call that used nothing."""
        if self._accounts.is_shared:
            async with asyncio.TaskGroup() as group:  # all at once, so that whoever leaves leaves none of them
                for place in range(len(reservation.caps)):
                    group.create_task(self._release_one(reservation, place))
            return
        for place in range(len(reservation.caps)):
            await self._release_one(reservation, place)

    async def settle(self, reservation: Reservation | None, spending: Spending) -> None:
        """Book what a call really used; it does not fail, as the reply is there and paid for."""
        if self._advances is not None and not spending.caller.run:
            if reservation is not None:
                for place in range(len(reservation.caps)):
                    self._settle_later(self._advances, reservation, place, spending)
            if self.ledger is not None:
                await self.ledger.book(spending)
            return
        if reservation is not None and self._accounts.is_shared:
            async with asyncio.TaskGroup() as group:  # one commit for all of them
                if self.ledger is not None:
                    group.create_task(self.ledger.book(spending))
                for place in range(1, len(reservation.caps)):
                    group.create_task(self._settle_one(reservation, place, spending))
                await self._settle_one(reservation, 0, spending)
            return
        if reservation is not None:
            for place in range(len(reservation.caps)):
                await self._settle_one(reservation, place, spending)
        if self.ledger is not None:
            await self.ledger.book(spending)

    async def _release_one(self, reservation: Reservation, place: int) -> None:
        cap = reservation.caps[place]
        await self._accounts.settle(cap, reservation.amounts[place], (0, 0))
        self._wake(cap)

    async def _settle_one(self, reservation: Reservation, place: int, spending: Spending) -> None:
        cap, held = reservation.caps[place], reservation.amounts[place]
        spent = _find_spent(held, spending)
        await self._accounts.settle(cap, held, spent)
        self._note_settled(reservation, cap, spent)

    def _settle_later(self, advances: Advances, reservation: Reservation, place: int, spending: Spending) -> None:
        cap, held = reservation.caps[place], reservation.amounts[place]
        spent = _find_spent(held, spending)
        advances.settle(cap, held, spent)
        self._note_settled(reservation, cap, spent)

    def _note_settled(self, reservation: Reservation, cap: Cap, spent: tuple[int, int]) -> None:
        if self._waiting:
            self._wake(cap)
        if self._listeners:
            self._tell("settled", reservation.caller, cap, *spent)

    async def _take(self, caller: Caller, cap: Cap, ask: Ask) -> int:
        """Draw on one budget, waiting for what others may give back."""
        # Where somebody waits for what others give back, nobody goes first.
        advances = None if caller.run or cap.key in self._waiting else self._advances
        outcome = await (self._accounts if advances is None else advances).take(cap, ask)
        if not isinstance(outcome, Standing):
            return outcome
        if outcome.is_busy and self.waiting >= self._max_waiting:
            raise RateLimited(
                f"{self._max_waiting} calls wait for what others may give back to a budget, such as {cap.budget!r}: "
                "try again.",
                retry_after_s=LOOK_S,
                source="gateway",
                limit=cap.budget,
            )
        until = self._clock.monotonic() + self._wait_s
        while outcome.is_busy and self._clock.monotonic() < until:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(cap.key, set()).add(turn)
            try:
                outcome = await self._accounts.take(cap, ask)
                if not isinstance(outcome, Standing):
                    return outcome
                if outcome.is_busy:
                    await self._pause(turn, LOOK_S if self._accounts.is_shared else self._wait_s)
            finally:
                self._waiting[cap.key].discard(turn)
                if not self._waiting[cap.key]:
                    del self._waiting[cap.key]
        if self._listeners:
            self._tell("exceeded", caller, cap, ask.price(ask.least), ask.read + ask.least)
        error = exceed(cap, ask, outcome)
        if self.refused is not None:
            self.refused(caller, error)
        raise error

    def _wake(self, cap: Cap) -> None:
        for turn in self._waiting.get(cap.key, ()):
            if not turn.done():
                turn.set_result(None)

    def _tell(
        self, kind: Literal["reserved", "settled", "exceeded"], caller: Caller, cap: Cap, usd: int, tokens: int
    ) -> None:
        record = BudgetRecord(
            kind=kind, budget=cap.budget, value=cap.value, caller=caller, usd=usd / NANO, tokens=tokens
        )
        for listener in self._listeners:
            try:
                listener(record)
            except Exception as error:  # a listener is anybody's code, and what it watches must not depend on it
                facts = {"message": "a listener failed on a budget", "exception": error}
                asyncio.get_running_loop().call_exception_handler(facts)


def _find_spent(held: tuple[int, int], spending: Spending) -> tuple[int, int]:
    # A model whose price nobody knows answered after all: it costs what was set aside.
    usd = held[0] if spending.usd is None else spending.usd
    return usd, bound_tokens(spending.usage.total_tokens)


def exceed(cap: Cap, ask: Ask, standing: Standing) -> BudgetExceeded:
    """Say which budget cannot pay, what is left of it, what was wanted, and what to do."""
    whose = f" for {cap.scope} {cap.value.rpartition('/')[2]!r}" if cap.value else ""
    most: list[str] = []
    left: list[str] = []
    if cap.usd is not None:
        most.append(f"${cap.usd / NANO:g}")
        left.append(f"${max(0, cap.usd - standing.usd - standing.held_usd) / NANO:.6f}")
    if cap.tokens is not None:
        most.append(f"{cap.tokens} tokens")
        left.append(f"{max(0, cap.tokens - standing.tokens - standing.held_tokens)} tokens")
    wanted = f"${ask.price(ask.least) / NANO:.6f}" if cap.usd is not None else f"{ask.read + ask.least} tokens"
    again = {"day": ", or wait for the next day (UTC)", "month": ", or wait for the next month (UTC)"}.get(
        cap.period, ""
    )
    return BudgetExceeded(
        f"The budget {cap.budget!r} of {' and '.join(most)}{whose} cannot pay for this call: {' and '.join(left)} is "
        f"left, and it may take {wanted}. Raise the budget, lower `max_tokens`, shorten the conversation{again}.",
        limit=cap.budget,
        scope=cap.scope,
        period=cap.period,
        left_usd=None if cap.usd is None else max(0, cap.usd - standing.usd - standing.held_usd) / NANO,
    )
