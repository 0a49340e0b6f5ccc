"""How are the counts of limits kept in one process?"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import Lock

from quorate.errors import Unavailable
from quorate.models.limits.rules import Claim
from quorate.models.limits.store import Refusal, Ticket
from quorate.models.limits.window import Window, add, build_window, find_wait, settle, trim

MAX_WINDOWS = 100_000
SWEEP_S = 1.0
"""How long a full store is not swept again: that takes a look at all windows."""


class MemoryLimits:
    """A `LimitStore` of this process alone; any of its threads may use it."""

    is_shared = False

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic, max_windows: int = MAX_WINDOWS) -> None:
        self._monotonic = monotonic
        self._max_windows = max_windows
        self._windows: dict[str, tuple[Window, float]] = {}
        self._sweep_at = 256
        self._full_until = 0.0
        self._lock = Lock()

    async def admit(self, claims: Sequence[Claim], tokens: int) -> Ticket | Refusal:
        """Let a call through all of its windows or none; see `LimitStore`."""
        with self._lock:
            now = self._monotonic()
            worst: Claim | None = None
            longest = 0.0
            windows: list[Window] = []
            for claim in claims:
                window = self._find(claim, now)
                windows.append(window)
                wait = find_wait(window, now, claim, tokens)
                if wait > longest:
                    worst, longest = claim, wait
            if worst is not None:
                return Refusal(worst, longest)
            self._keep(claims, windows, now)
            ids = [add(window, now, claim.per_s, tokens) for claim, window in zip(claims, windows, strict=True)]
        return Ticket(claims, ids, tokens)

    async def settle(self, ticket: Ticket, tokens: int, *, requests: int = 1) -> None:
        """Replace what was set aside by what was used; see `LimitStore`."""
        with self._lock:
            now = self._monotonic()
            for claim, entry in zip(ticket.claims, ticket.ids, strict=True):
                if requests and claim.tokens is None:
                    continue
                window = self._find(claim, now)
                settle(window, entry, now, claim.per_s, tokens=tokens - ticket.tokens, requests=requests - 1)
                if window.entries:
                    self._keep((claim,), (window,), now)

    def _find(self, claim: Claim, now: float) -> Window:
        """Find a window, trimmed; a new one, which is not kept yet, where there is none."""
        found = self._windows.get(claim.key)
        if found is not None:
            window = found[0]
            if window.entries and window.entries[0].time + claim.per_s <= now:
                trim(window, now, claim.per_s)
            return window
        return build_window(now)

    def _keep(self, claims: Sequence[Claim], windows: Sequence[Window], now: float) -> None:
        """Keep those windows that are new; all of a call, or none.

        Raises:
            Unavailable: There are too many.
        """
        kept = self._windows
        new = 0
        for claim in claims:
            if claim.key not in kept:
                new += 1
        if not new:
            return
        if len(kept) + new > self._sweep_at:
            self._sweep(now, new)
        for claim, window in zip(claims, windows, strict=True):  # a sweep forgets those that are empty as yet
            self._windows[claim.key] = (window, claim.per_s)

    def _sweep(self, now: float, new: int) -> None:
        """Forget windows that nothing is in; each time there are twice as many, so that it costs next to nothing."""
        if now >= self._full_until:
            for window, per_s in self._windows.values():
                trim(window, now, per_s)
            self._windows = {key: pair for key, pair in self._windows.items() if pair[0].entries}
            self._full_until = now + SWEEP_S if 2 * len(self._windows) > self._max_windows else 0.0
        if len(self._windows) + new > self._max_windows:
            raise Unavailable(
                f"{len(self._windows)} limits are being counted at once, which is as many as are kept: "
                "use fewer values of `session` or `key`, or a shared store."
            )
        self._sweep_at = min(self._max_windows, max(256, 2 * len(self._windows)))
