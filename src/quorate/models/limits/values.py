"""How are the counts of limits kept in a database that several processes share?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.models.cells import Act, Cell, Cells
from quorate.models.limits.rules import Claim
from quorate.models.limits.store import Refusal, Ticket
from quorate.models.limits.window import Window, add, build_window, find_wait, settle, trim
from quorate.ports import KeyValue


class ValueLimits:
    """A `LimitStore` over a `KeyValue`: SQLite for the processes of one machine, PostgreSQL for many.

    A call takes one write for each of its limits, and one more where tokens are settled. What is taken is given back
    when a later limit of the same call refuses.
    """

    is_shared = True

    def __init__(self, values: KeyValue, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._cells = Cells(values, empty=build_window, clock=clock)

    async def admit(self, claims: Sequence[Claim], tokens: int) -> Ticket | Refusal:
        """Let a call through all of its windows or none; see `LimitStore`."""
        ids: list[int] = []
        try:
            for claim in claims:
                outcome = await self._get(claim).change(
                    _admitting(claim, tokens), undo=partial(_undoing, claim, tokens)
                )
                if isinstance(outcome, Refusal):
                    await self._give_back(claims, ids, tokens)
                    return outcome
                ids.append(outcome)
        except BaseException:
            await self._give_back(claims, ids, tokens)
            raise
        return Ticket(claims, ids, tokens)

    async def settle(self, ticket: Ticket, tokens: int, *, requests: int = 1) -> None:
        """Replace what was set aside by what was used; see `LimitStore`."""
        for claim, entry in zip(ticket.claims, ticket.ids, strict=True):
            if requests == 0 or (claim.tokens is not None and tokens != ticket.tokens):
                act = _settling(claim, entry, tokens=tokens - ticket.tokens, requests=requests - 1)
                await self._get(claim).change(act)

    async def _give_back(self, claims: Sequence[Claim], ids: Sequence[int], tokens: int) -> None:
        if ids:
            await self.settle(Ticket(claims[: len(ids)], ids, tokens), 0, requests=0)

    def _get(self, claim: Claim) -> Cell[Window]:
        return self._cells.get(claim.key, ttl_s=2 * claim.per_s + 60)


def _undoing(claim: Claim, cost: int, outcome: int | Refusal) -> Act[Window, None]:
    if isinstance(outcome, Refusal):
        return lambda window, now: (False, None)
    return _settling(claim, outcome, tokens=-cost, requests=-1)


def _admitting(claim: Claim, cost: int) -> Act[Window, int | Refusal]:
    def act(window: Window, now: float) -> tuple[bool, int | Refusal]:
        trim(window, now, claim.per_s)
        wait = find_wait(window, now, claim, cost)
        if wait:
            return False, Refusal(claim, wait)
        return True, add(window, now, claim.per_s, cost)

    return act


def _settling(claim: Claim, id: int, *, tokens: int, requests: int) -> Act[Window, None]:
    def act(window: Window, now: float) -> tuple[bool, None]:
        trim(window, now, claim.per_s)
        settle(window, id, now, claim.per_s, tokens=tokens, requests=requests)
        return True, None

    return act
