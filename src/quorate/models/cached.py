"""Was this asked before, by someone who may see the answer? Then it is given again, at once and for nothing."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import cast

from msgspec import Struct

from quorate.errors import InvalidInput, QuorateError
from quorate.messages import (
    Reply,
    ReplyDone,
    StreamItem,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
)
from quorate.models.cache.key import CacheKey, new_secret
from quorate.models.cache.memory import MemoryCache
from quorate.models.cache.rule import (
    CacheRule,
    CacheStore,
    Invalidation,
    Recent,
    build_model_test,
    build_stored,
    is_asked_to_repeat,
    is_whole,
)
from quorate.models.layer import Layer
from quorate.ports import Model
from quorate.specs import Request

PIECE = 256
"""Characters of a replayed answer in one delta."""
PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


class CacheCounts(Struct, kw_only=True):
    """What a cache did since it was built."""

    hits: int = 0
    misses: int = 0
    passed: int = 0
    """Requests that no rule lets be kept."""
    kept: int = 0
    refused: int = 0
    """Answers that were not kept: cut, filtered, empty, malformed, too large, or from a cache already."""
    forgotten: int = 0
    failures: int = 0
    """Times that the store failed; the model was asked instead."""


class Cached(Layer):
    """A `Model` that remembers answers.

    The store is a convenience: when it is down, the model is asked, and the store is left alone for a moment that
    doubles up to half a minute. Errors and answers that are not whole are never kept.
    """

    def __init__(
        self,
        inner: Model,
        *,
        rule: CacheRule,
        store: CacheStore | None = None,
        key: CacheKey | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Build it.

        Args:
            inner: The model whose answers are kept.
            rule: Which of them, for how long, for whom.
            store: Where; in this process when it is not given.
            key: What gives requests their keys: made with the operator's secret where processes share a store, with
                the version of the rules in force, and of the rule's scope.
            monotonic: The clock for pauses.

        Raises:
            InvalidInput: The key is of another scope than the rule.
        """
        super().__init__(inner)
        self.rule = rule
        self.counts = CacheCounts()
        if store is None:
            store = MemoryCache(
                max_entries=rule.max_entries, max_bytes=rule.max_bytes, max_entry_bytes=rule.max_entry_bytes
            )
        self._store: CacheStore = store
        self._key = key or CacheKey(new_secret(), model=inner.profile.name, scope=rule.scope)
        if self._key.scope != rule.scope:
            raise InvalidInput(f"The cache's rule is for a {rule.scope!r}, and its keys are for a {self._key.scope!r}.")
        self._monotonic = monotonic
        self._applies = build_model_test(rule.models).fullmatch(inner.profile.name) is not None
        self._recent = Recent()
        self._pause_s = PAUSE_S
        self._paused_until = 0.0

    async def complete(self, request: Request) -> Reply:
        """Answer in one piece, from memory where that is allowed; raises what the inner model raises."""
        key = self._choose_key(request)
        if key is None:
            return await self.inner.complete(request)
        reply = await self._find(key)
        if reply is not None:
            return reply
        before = self._recent.count
        reply = await self.inner.complete(request)
        await self._keep(key, request, reply, before)
        return reply

    async def stream(self, request: Request) -> AsyncGenerator[StreamItem]:
        """Answer piece by piece; an answer from memory comes in pieces too."""
        key = self._choose_key(request)
        reply = None if key is None else await self._find(key)
        if reply is not None:
            for item in replay(reply):
                yield item
            return
        before = self._recent.count
        # Every stream of the house is an async generator; the port says less, so that others may differ.
        async with aclosing(cast("AsyncGenerator[StreamItem]", self.inner.stream(request))) as items:
            async for item in items:
                if key is not None and type(item) is ReplyDone:
                    await self._keep(key, request, item.reply, before)
                yield item

    async def invalidate(self, which: Invalidation) -> int:
        """Forget answers, and say how many there were; one under way that `which` meets will not be kept.

        Call it for an `Invalidation` that came from another process, too: forgetting twice does no harm.

        Raises:
            Unavailable: The store cannot be reached, so what it holds is still there; nothing is pretended.
        """
        self.note_invalidation(which)
        gone = await self._store.forget(which)
        self.counts.forgotten += gone
        return gone

    def note_invalidation(self, which: Invalidation) -> int:
        """Keep no answer that is under way now and that `which` meets: for whoever empties a shared store at once."""
        self._recent.note(which)
        return 0

    def get_store(self) -> CacheStore:
        """Return where answers are kept."""
        return self._store

    def _choose_key(self, request: Request) -> bytes | None:
        """The key under which the answer may be kept, or `None` where it may not."""
        rule = self.rule
        if self._applies and (rule.answers == "all" or is_asked_to_repeat(request.settings)):
            key = self._key(request)
            if key is not None:
                return key
        self.counts.passed += 1
        return None

    async def _find(self, key: bytes) -> Reply | None:
        if self._paused_until and self._monotonic() < self._paused_until:
            self.counts.misses += 1
            return None
        try:
            found = await self._store.find(key)
        except QuorateError:  # a plain cache fails open
            self._pause()
            return None
        self._pause_s, self._paused_until = PAUSE_S, 0.0
        if found is None:
            self.counts.misses += 1
            return None
        self.counts.hits += 1
        return found.reply

    async def _keep(self, key: bytes, request: Request, reply: Reply, before: int) -> None:
        if not is_whole(reply, request) or reply.cached:  # what a cache below gave is kept there
            self.counts.refused += 1
            return
        if self._paused_until and self._monotonic() < self._paused_until:
            return
        stored = build_stored(request, reply, model=self.inner.profile.name, tags=self.rule.tags)
        if self._recent.meets(stored, before):
            self.counts.refused += 1
            return
        before = self._recent.count
        try:
            kept = await self._store.keep(key, stored, ttl_s=self.rule.ttl_s)
            if kept and self._recent.meets(stored, before):  # while it was written
                await self._store.forget(Invalidation(tenant=stored.tenant, agent=stored.agent))
        except QuorateError:  # a plain cache fails open
            self._pause()
            return
        self._pause_s, self._paused_until = PAUSE_S, 0.0
        if kept:
            self.counts.kept += 1
        else:
            self.counts.refused += 1

    def _pause(self) -> None:
        self.counts.failures += 1
        self._paused_until = self._monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)


def replay(reply: Reply) -> list[StreamItem]:
    """Give a whole reply as a stream would have: its pieces, then itself."""
    items: list[StreamItem] = []
    for part in reply.message.parts:
        if isinstance(part, Text):
            items += [TextDelta(part.text[at : at + PIECE]) for at in range(0, len(part.text), PIECE)]
        elif isinstance(part, Thinking):
            if part.text:
                items.append(ThinkingDelta(part.text))
        elif isinstance(part, ToolCall):
            items.append(ToolCallDelta(part.id, part.name, part.arguments))
    items.append(ReplyDone(reply))
    return items
