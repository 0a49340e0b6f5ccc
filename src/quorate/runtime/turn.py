"""Which process of all that share a database does something that one of them should do at a time?"""

from __future__ import annotations

import asyncio

from quorate.clock import Clock
from quorate.errors import Conflict
from quorate.ids import new_id
from quorate.ports import KeyValue

BEATS = 3
"""How many times a turn is prolonged in its time: two beats may fail."""


class Turn:
    """A turn that one process has for as long as it says so, by the store's own time.

    It keeps two from doing the same work side by side; it is no fence. Whoever stalls for longer than `ttl_s` in the
    middle of something may end it beside the next one, so what is done in a turn must bear to be done twice.
    """

    def __init__(self, values: KeyValue, key: str, *, ttl_s: float, clock: Clock) -> None:
        self.ttl_s = ttl_s
        self.beat_s = ttl_s / BEATS
        """How often to call `keep`."""
        self.number = 0
        """Grows whenever the turn was somebody else's, or nobody's, before."""
        self._values = values
        self._key = key
        self._clock = clock
        self._me = new_id("turn").encode()
        self._revision = 0
        self._until = 0.0
        self._seen = (0, 0.0)
        """The revision under which somebody else had it, and since when by our own seconds."""
        self._lock = asyncio.Lock()

    @property
    def is_ours(self) -> bool:
        """Whether nobody else can have the turn."""
        return self._clock.monotonic() < self._until

    async def keep(self) -> bool:
        """Take the turn if it is free, or prolong it; say whether it is ours.

        Raises:
            Unavailable: The store cannot be reached; the turn runs out by itself.
        """
        async with self._lock:
            # Its age is counted from before the question, so that it is never older than we think.
            now = self._clock.monotonic()
            if now < self._until - self.ttl_s + self.beat_s / 2:
                return True
            revision, self._revision = self._revision, 0
            if not revision:
                entry = await self._values.get(self._key)
                is_new = entry is None or entry.value != self._me
                if entry is not None and is_new and not self._is_stale(entry.revision, now):
                    self._until = 0.0
                    return False
                revision = entry.revision if entry is not None else 0
                self.number += is_new
            try:
                entry = await self._values.put(self._key, self._me, if_revision=revision, ttl_s=self.ttl_s)
            except Conflict:
                self._until = 0.0
                return False
            self._revision, self._until = entry.revision, now + self.ttl_s
            return True

    def _is_stale(self, revision: int, now: float) -> bool:
        """Whether whoever has the turn was silent for longer than it lasts: the store's clock may go backwards."""
        if revision != self._seen[0]:
            self._seen = revision, now
        return now - self._seen[1] >= self.ttl_s + self.beat_s

    async def end(self) -> None:
        """Give the turn up, so that another process need not wait until it runs out.

        Raises:
            Unavailable: The store cannot be reached; the turn runs out by itself.
        """
        async with self._lock:
            revision, self._revision, self._until = self._revision, 0, 0.0
            if revision:
                try:
                    await self._values.delete(self._key, if_revision=revision)
                except Conflict:
                    return
