"""How are answers kept in one process: bounded in number, bytes and age?"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from quorate.models.cache.rule import Invalidation, Stored, write_stored

ENTRY_BYTES = 400
"""What an entry costs beside its answer's bytes."""


class MemoryCache:
    """A `CacheStore` in this process: the longest unused answer goes first.

    Use it for one process, and in front of nothing else: it is the fastest there is, and empty after a restart.
    """

    def __init__(
        self,
        *,
        max_entries: int = 10_000,
        max_bytes: int = 64 << 20,
        max_entry_bytes: int = 256 << 10,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = max_entries
        self._most_bytes = max_bytes
        self._most_entry = max_entry_bytes
        self._monotonic = monotonic
        self._entries: OrderedDict[bytes, tuple[Stored, float, int]] = OrderedDict()
        self.bytes = 0
        """What is kept, in bytes."""

    def __len__(self) -> int:
        return len(self._entries)

    async def find(self, key: bytes) -> Stored | None:
        """Find what is kept under a key and has not expired."""
        found = self._entries.get(key)
        if found is None:
            return None
        if found[1] <= self._monotonic():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return found[0]

    async def keep(self, key: bytes, stored: Stored, *, ttl_s: float) -> bool:
        """Keep an answer and say so, or leave it when it is too large, or cannot be written down."""
        written = write_stored(stored)
        size = self._most_entry + 1 if written is None else len(written)
        if size > self._most_entry or size + ENTRY_BYTES > self._most_bytes:
            return False
        if key in self._entries:
            self._drop(key)
        self._entries[key] = (stored, self._monotonic() + ttl_s, size)
        self.bytes += size + ENTRY_BYTES
        while len(self._entries) > self._most or self.bytes > self._most_bytes:
            self._drop(next(iter(self._entries)))
        return True

    async def forget(self, which: Invalidation) -> int:
        """Forget answers and say how many."""
        chosen = [key for key, entry in self._entries.items() if which.meets(entry[0])]
        for key in chosen:
            self._drop(key)
        return len(chosen)

    def _drop(self, key: bytes) -> None:
        self.bytes -= self._entries.pop(key)[2] + ENTRY_BYTES
