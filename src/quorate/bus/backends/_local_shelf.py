"""How does a stream in memory keep messages: in order, bounded, once for an id, and not beyond their time?"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Mapping

from msgspec import Struct

from quorate.bus.streams import is_lossless
from quorate.clock import Clock
from quorate.errors import RateLimited
from quorate.ports.bus import Message, Receipt, StreamRule

RETRY_S = 1.0
"""When whoever met a full stream may look again."""


class Kept(Struct, frozen=True, kw_only=True, gc=False):
    """A message on the shelf."""

    message: Message
    size: int


class Shelf:
    """The messages of one stream by number."""

    def __init__(self, rule: StreamRule, *, clock: Clock) -> None:
        self.rule = rule
        self.last = 0
        """The number of the last message that was ever kept."""
        self.first = 1
        """The smallest number that may still be there."""
        self._clock = clock
        self._kept: dict[int, Kept] = {}
        self._bytes = 0
        self._ids: dict[str, tuple[int, float]] = {}
        """By id the number it was kept under, and until when that is known; the first to be forgotten comes first."""
        self._ends: list[tuple[float, int]] = []

    def __len__(self) -> int:
        """Return how many messages there are."""
        return len(self._kept)

    def get(self, seq: int) -> Message | None:
        """Return a message that is still there."""
        kept = self._kept.get(seq)
        return kept.message if kept is not None else None

    def append(
        self, subject: str, data: bytes, *, headers: Mapping[str, str], id: str | None, ttl_s: float | None
    ) -> Receipt:
        """Keep a message, unless its id is known.

        Raises:
            RateLimited: There is no room, and what is there may not give way.
        """
        now = self._clock.monotonic()
        self.expire(now)
        if id is not None:
            known = self._ids.get(id)
            if known is not None:
                return Receipt(stream=self.rule.name, seq=known[0], duplicate=True)
        size = len(data) + len(subject) + sum(len(name) + len(value) for name, value in headers.items())
        self._make_room(size)
        self.last += 1
        message = Message(subject=subject, data=data, headers=headers, seq=self.last, time=self._clock.now())
        self._kept[self.last] = Kept(message=message, size=size)
        self._bytes += size
        if id is not None:
            self._ids[id] = (self.last, now + self.rule.dedupe_s)
        lives = min((s for s in (ttl_s, self.rule.max_age_s) if s is not None), default=None)
        if lives is not None:
            heapq.heappush(self._ends, (now + lives, self.last))
        return Receipt(stream=self.rule.name, seq=self.last)

    def remove(self, seq: int) -> bool:
        """Forget a message; say whether it was there."""
        kept = self._kept.pop(seq, None)
        if kept is None:
            return False
        self._bytes -= kept.size
        if seq == self.first:
            while self.first <= self.last and self.first not in self._kept:
                self.first += 1
        return True

    def read(self, *, after: int, since: float, limit: int) -> tuple[list[Message], int]:
        """Return up to `limit` messages behind a number and not before a wall time, and how far that looked."""
        self.expire(self._clock.monotonic())
        found: list[Message] = []
        place = max(after, self.first - 1)
        while place < self.last and len(found) < limit:
            place += 1
            kept = self._kept.get(place)
            if kept is not None and kept.message.time >= since:
                found.append(kept.message)
        return found, place

    def expire(self, now: float) -> None:
        """Forget messages whose time has come, and ids that need not be known any more."""
        while self._ends and self._ends[0][0] <= now:
            self.remove(heapq.heappop(self._ends)[1])
        for name in list(itertools.takewhile(lambda name: self._ids[name][1] <= now, self._ids)):
            del self._ids[name]

    def _make_room(self, size: int) -> None:
        rule = self.rule
        while len(self._kept) >= rule.max_messages or self._bytes + size > rule.max_bytes:
            if is_lossless(rule) or not self._kept:
                raise RateLimited(
                    f"stream {rule.name!r} is full: it keeps {len(self._kept)} of {rule.max_messages} messages and "
                    f"{self._bytes} of {rule.max_bytes} bytes. Send it again when some are done.",
                    retry_after_s=RETRY_S,
                    stream=rule.name,
                )
            self.remove(self.first)
