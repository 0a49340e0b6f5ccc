"""How is something written a moment from now, once for all who want it written?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

Spawn = Callable[[Coroutine[object, object, None]], None]
"""Does something beside requests, until it is done or whoever owns it closes."""
LATER_S = 0.05
"""How long what is to be written may wait; a crash loses no more than that."""


class Later:
    """Begins some work soon after it is first asked for; who asks meanwhile is served by the same.

    Args:
        work: What to do.
        spawn: Does it beside requests.
        after_s: How soon.
    """

    def __init__(self, work: Callable[[], Coroutine[object, object, None]], *, spawn: Spawn, after_s: float) -> None:
        self._work = work
        self._spawn = spawn
        self._after_s = after_s
        self._timer: asyncio.TimerHandle | None = None

    def ask(self, *, after_s: float | None = None) -> None:
        """Have it done soon, or after so many seconds."""
        if self._timer is None:
            soon = self._after_s if after_s is None else after_s
            self._timer = asyncio.get_running_loop().call_later(soon, self._begin)

    def cancel(self) -> None:
        """Let it be, as it is done by other means."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self) -> None:
        self._timer = None
        self._spawn(self._work())
