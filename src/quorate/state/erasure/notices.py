"""How do notices go of runs that are gone, so that an outbox to which nobody listens is no larger than its log?"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from quorate.ports import Outbox

PAGE = 10_000


async def drop_notices(outbox: Outbox, runs: AbstractSet[str]) -> int:
    """Mark what is pending about runs that are gone as told, the oldest first; return how many notices that were.

    Where many are pending, it ends at the first page that holds nothing of these runs.

    Raises:
        Unavailable: The store cannot be reached.
    """
    dropped = 0
    while runs:
        pending = await outbox.pending(limit=PAGE)
        own = [notice.id for notice in pending if notice.run in runs]
        await outbox.done(own)
        dropped += len(own)
        if not own or len(pending) < PAGE:
            break
    return dropped
