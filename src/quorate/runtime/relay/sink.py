"""Who is told of what was recorded, and what does taking it mean?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from quorate.ports import Notice


class Sink(Protocol):
    """Somebody who is told of everything that an outbox notes, at least once: a bus, or webhooks.

    A notice may come again after a crash; `(notice.run, notice.seq)` is the same each time. Notices of one run come in
    the order of their `seq`.
    """

    @property
    def name(self) -> str:
        """What it is called, as an id: what it has not taken is kept under that name."""
        ...

    async def take(self, notices: Sequence[Notice]) -> None:
        """Return once all of them are durable elsewhere, or need not be.

        Raising anything means that none of them was taken: they are kept, and all of them come again, also to whoever
        takes over. So what can never be taken is for the sink to put aside, by not raising.

        Raises:
            RateLimited: There is no room; they come again after its `retry_after_s`.
            Unavailable: Where they go cannot be reached; they come again after a while.
        """
        ...
