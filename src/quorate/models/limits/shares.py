"""How are requests counted together in all processes of a database, though most of them cost no look at it?

A process takes its requests out of a window in the database in shares: as many as wait at that moment, and some more
where it used up the last share soon. What it took counts at once, for everybody, and may be used for `SPAN_S` only.
Windows in the database are longer by that span. So in no window of the promised length do more requests pass than the
limit, in all processes together; and room comes back up to that span later than it would with one process alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial

from msgspec import Struct

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import QuorateError, RateLimited, Unavailable
from quorate.models.cells import Act, Cell, Cells
from quorate.models.limits.rules import Claim
from quorate.models.limits.store import Refusal
from quorate.models.limits.window import Window, add, build_window, find_wait, settle, trim
from quorate.ports import KeyValue

SPAN_S = 1.0
"""For how long a share may be used; less where the window is short."""
PART = 16
"""A share is at most this part of the limit, so that what one process holds keeps no others from theirs."""
MAX_SHARE = 256
DENY_S = 0.25
"""How long a refusal is repeated without another look: others may give something back meanwhile."""
MAX_SHARES = 10_000
"""For how many windows shares are held at once."""


def lengthen(per_s: float) -> float:
    """Return how long a window is in the database that promises a limit for `per_s`."""
    return per_s + min(SPAN_S, per_s / 20)


def find_span(per_s: float) -> float:
    """Find how long a share may be used of a window that is `per_s` long in the database: by so much it is longer."""
    return min(SPAN_S, per_s / 21)


class Taken(Struct, frozen=True):
    """What a process took out of a window."""

    entry: int
    count: int
    left: int
    """What is left in the window for all."""
    wait_s: float
    """In how many seconds there is more room than now."""


class Share:
    """What this process holds of one window."""

    __slots__ = (
        "asked", "claim", "denied_until", "entry", "is_filling", "left", "more_at", "room", "room_at", "size", "until",
    )  # fmt: skip

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.left = 0
        """How many requests may pass without a look at the store."""
        self.until = 0.0
        """Monotonic time up to which they may."""
        self.entry = 0
        """The entry of the window in which they are counted."""
        self.asked = float("-inf")
        """When one was asked for last."""
        self.size = 0
        """How many more than one were taken last."""
        self.is_filling = False
        self.room = claim.requests or 0
        """What was left in the store when it was looked at last."""
        self.more_at = 0.0
        """When there was to be more."""
        self.denied_until = 0.0
        self.room_at = 0.0
        """When there is room again, while there is none."""

    def is_idle(self, now: float) -> bool:
        """Whether nothing would be lost with it."""
        return not self.is_filling and now >= self.until and now >= self.denied_until


class Shares:
    """Counts requests in windows that all processes of a database share; exact, and cheap where there are many.

    Args:
        values: The database.
        clock: What durations are measured by where the store does not tell.
        monotonic: The time in which shares run out.
        spawn: Does something beside the request; it gives back what was not used. Without it, that passes with the
            window.
    """

    def __init__(
        self,
        values: KeyValue,
        *,
        clock: Clock = SYSTEM_CLOCK,
        monotonic: Callable[[], float] = time.monotonic,
        spawn: Callable[[Coroutine[object, object, None]], object] | None = None,
    ) -> None:
        self._cells = Cells(values, empty=build_window, clock=clock)
        self._monotonic = monotonic
        self._spawn = spawn
        self._shares: dict[str, Share] = {}

    def __len__(self) -> int:
        return len(self._shares)

    def try_enter(self, claims: Sequence[Claim]) -> bool:
        """Count a request in all of its windows if this process holds enough of each; say whether it did."""
        now, shares = self._monotonic(), self._shares
        found: list[Share] = []
        for claim in claims:
            share = shares.get(claim.key)
            if share is None or not share.left or now >= share.until or share.claim is not claim:
                return False
            found.append(share)
        for share in found:
            share.left -= 1
        return True

    async def enter(self, claims: Sequence[Claim]) -> None:
        """Count a request in all of its windows, or in none; they come with the narrowest first.

        Raises:
            RateLimited: One has no room; `retry_after_s` says when it has.
            Unavailable: The store cannot be reached, so that nothing may pass.
        """
        now = self._monotonic()
        shares = [self._find(claim, now) for claim in claims]
        for share in shares:  # before anything is taken that would have to be given back
            if now < share.denied_until:
                raise refuse(share.claim, max(share.room_at - now, 0.001))
        undo: list[Callable[[], Coroutine[object, object, None]]] = []
        try:
            for share in shares:
                undo.append(await self._take(share))
        except BaseException:
            for back in undo:
                await back()
            raise

    def describe(self, claims: Sequence[Claim]) -> list[tuple[Claim, int, float]]:
        """Say how windows stand as far as this process knows: what is left at least, and in how many seconds it grows.

        Nothing is looked up: what others took since is not in it.
        """
        now, found = self._monotonic(), list[tuple[Claim, int, float]]()
        for claim in claims:
            share = self._shares.get(claim.key)
            if share is None:
                found.append((claim, claim.requests or 0, 0.0))
            else:
                own = share.left if now < share.until else 0
                found.append((claim, share.room + own, max(0.0, share.more_at - now)))
        return found

    async def look(self, claim: Claim) -> tuple[int, float]:
        """Look how many requests a window counts, and in how many seconds one of them leaves it."""

        def act(window: Window, now: float) -> tuple[bool, tuple[int, float]]:
            trim(window, now, claim.per_s)
            wait = window.entries[0].time + claim.per_s - now if window.entries else 0.0
            return False, (window.requests, max(0.0, wait))

        return await self._get(claim).change(act)

    async def close(self) -> None:
        """Give back all that was not used."""
        for share in list(self._shares.values()):
            if share.left:
                with suppress(QuorateError):  # it passes with its window
                    await self._give_back(share)

    async def _take(self, share: Share) -> Callable[[], Coroutine[object, object, None]]:
        """Count a request in one window; return what takes that back."""
        now = self._monotonic()
        if share.left and now < share.until:
            share.left -= 1
            return partial(self._return_one, share, share.entry)
        more, is_first = 0, not share.is_filling
        if is_first:
            more, share.is_filling = self._choose_size(share, now), True
        unused, entry = (share.left, share.entry) if is_first else (0, 0)
        if unused:
            share.left = 0
        try:
            outcome = await self._get(share.claim).change(
                _taking(share.claim, 1 + more, entry=entry, unused=unused), undo=partial(_undoing, share.claim)
            )
        finally:
            if is_first:
                share.is_filling = False
        if isinstance(outcome, Refusal):
            share.room, share.room_at = 0, now + outcome.wait_s
            share.denied_until = now + min(DENY_S, outcome.wait_s)
            raise refuse(share.claim, outcome.wait_s)
        share.room, share.more_at = outcome.left, now + outcome.wait_s
        if outcome.count > 1:
            share.left, share.entry = outcome.count - 1, outcome.entry
            share.until = now + find_span(share.claim.per_s)
            if self._spawn is not None:
                self._spawn(self._end(share, outcome.entry))
        return partial(self._settle, share.claim, outcome.entry, 1)

    def _choose_size(self, share: Share, now: float) -> int:
        """Choose how many requests more to take: twice as many where the last share was used up in its time."""
        most = min((share.claim.requests or 0) // PART, MAX_SHARE)
        span = find_span(share.claim.per_s)
        is_busy = not share.left and now < share.asked + 2 * span
        share.size = min(most, max(1, 2 * share.size) if is_busy else share.size // 4)
        share.asked = now
        return share.size

    async def _end(self, share: Share, entry: int) -> None:
        """Give back what of a share was not used in its time."""
        await asyncio.sleep(find_span(share.claim.per_s) * 1.05)
        if share.entry == entry and share.left and self._monotonic() >= share.until:
            with suppress(QuorateError):
                await self._give_back(share)

    async def _give_back(self, share: Share) -> None:
        unused, share.left = share.left, 0
        await self._settle(share.claim, share.entry, unused)

    async def _return_one(self, share: Share, entry: int) -> None:
        if share.entry == entry and self._monotonic() < share.until:
            share.left += 1
        else:
            await self._settle(share.claim, entry, 1)

    async def _settle(self, claim: Claim, entry: int, count: int) -> None:
        with suppress(QuorateError):  # it passes with its window
            await self._get(claim).change(_returning(claim, entry, count))

    def _find(self, claim: Claim, now: float) -> Share:
        share = self._shares.get(claim.key)
        if share is None:
            if len(self._shares) >= MAX_SHARES:
                self._shares = {key: one for key, one in self._shares.items() if not one.is_idle(now)}
            if len(self._shares) >= MAX_SHARES:
                raise Unavailable(f"{MAX_SHARES} quotas of requests are counted at once, as many as are kept.")
            share = self._shares[claim.key] = Share(claim)
        elif share.claim is not claim:
            if share.claim.requests != claim.requests:  # the quota was changed
                share.denied_until = 0.0
            share.claim = claim
        return share

    def _get(self, claim: Claim) -> Cell[Window]:
        return self._cells.get(claim.key, ttl_s=2 * claim.per_s + 60)


def refuse(claim: Claim, wait_s: float) -> RateLimited:
    """Say that a quota of requests is used up, whose it is, and when there is room again."""
    per_s = claim.per_s - find_span(claim.per_s)
    return RateLimited(
        f"The quota {claim.limit!r} of {claim.requests or 0:,} requests in {per_s:g} s is used up for {claim.value}: "
        f"try again in {wait_s:.1f} s.",
        retry_after_s=wait_s,
        source="quota",
        limit=claim.limit,
    )


def _taking(claim: Claim, count: int, *, entry: int, unused: int) -> Act[Window, Taken | Refusal]:
    """Take up to so many requests out of a window, and give back what was not used of the last share."""

    def act(window: Window, now: float) -> tuple[bool, Taken | Refusal]:
        trim(window, now, claim.per_s)
        if unused:
            settle(window, entry, now, claim.per_s, tokens=0, requests=-unused)
        room = (claim.requests or 0) - window.requests
        if room <= 0:
            return bool(unused), Refusal(claim, find_wait(window, now, claim, 0))
        taken = min(count, room)
        place = add(window, now, claim.per_s, 0)
        settle(window, place, now, claim.per_s, tokens=0, requests=taken - 1)
        wait = max(0.0, window.entries[0].time + claim.per_s - now)
        return True, Taken(place, taken, room - taken, wait)

    return act


def _returning(claim: Claim, entry: int, count: int) -> Act[Window, None]:
    def act(window: Window, now: float) -> tuple[bool, None]:
        trim(window, now, claim.per_s)
        settle(window, entry, now, claim.per_s, tokens=0, requests=-count)
        return True, None

    return act


def _undoing(claim: Claim, outcome: Taken | Refusal) -> Act[Window, None]:
    if isinstance(outcome, Refusal):
        return lambda window, now: (False, None)
    return _returning(claim, outcome.entry, outcome.count)
