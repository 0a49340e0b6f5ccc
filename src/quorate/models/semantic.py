"""Was something alike asked before? A cache for questions that say the same in other words; off unless asked for.

Whoever turns it on accepts that now and then an answer is that to another question. It therefore compares only the last
question: whatever else makes up a request, and who may see the answer, must be the same to the byte, and so must the
numbers in the question. The reply says what happened.
"""

from __future__ import annotations

import math
import re
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from operator import mul
from typing import Annotated, Literal, cast

from msgspec import Meta, Struct, structs

from quorate.errors import QuorateError
from quorate.messages import Embeddings, Message, Reply, ReplyDone, StreamItem, Text
from quorate.models.cache.key import CacheKey, Scope, new_secret
from quorate.models.cache.rule import (
    Invalidation,
    Recent,
    Stored,
    build_model_test,
    build_stored,
    is_asked_to_repeat,
    is_whole,
)
from quorate.models.cached import CacheCounts, replay
from quorate.models.layer import Layer
from quorate.ports import Embedder, Model
from quorate.specs import EmbedRequest, Request

_NUMBER = re.compile(r"\d+")


class SemanticRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When two questions are alike, and what is kept."""

    threshold: Annotated[float, Meta(ge=0.8, le=1.0)] = 0.95
    """The least cosine of two questions' vectors."""
    ttl_s: Annotated[float, Meta(gt=0, le=30 * 86_400)] = 3600.0
    max_entries: Annotated[int, Meta(gt=0, le=100_000)] = 1000
    max_candidates: Annotated[int, Meta(gt=0, le=1000)] = 50
    """Questions that one is compared with; each costs about 50 µs."""
    max_chars: Annotated[int, Meta(gt=0)] = 2000
    """A longer question is not compared."""
    scope: Scope = "user"
    models: tuple[str, ...] = ("*",)
    answers: Literal["deterministic", "all"] = "deterministic"
    tags: tuple[str, ...] = ()


class _Known(Struct, frozen=True):
    """A question that was answered."""

    vector: tuple[float, ...]
    """Of length 1."""
    numbers: tuple[str, ...]
    stored: Stored
    expires: float


class Semantic(Layer):
    """A `Model` that answers a question as it answered one that is alike; it stands below the exact cache."""

    def __init__(
        self,
        inner: Model,
        *,
        embedder: Embedder,
        rule: SemanticRule,
        key: CacheKey | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Build it.

        Args:
            inner: The model whose answers are kept.
            embedder: What turns questions into vectors; its cost is part of each reply's.
            rule: When questions are alike.
            key: What tells apart all but the question, and for whom; its scope becomes the rule's.
            monotonic: The clock for expiry.
        """
        super().__init__(inner)
        self.rule = rule
        self.counts = CacheCounts()
        self._embedder = embedder
        key = key or CacheKey(new_secret(), model=inner.profile.name, scope=rule.scope)
        self._key = key.for_scope(rule.scope)
        self._monotonic = monotonic
        self._applies = build_model_test(rule.models).fullmatch(inner.profile.name) is not None
        self._known: OrderedDict[bytes, list[_Known]] = OrderedDict()
        self._size = 0
        self._recent = Recent()

    async def complete(self, request: Request) -> Reply:
        """Answer in one piece; raises what the inner model raises."""
        asked = await self._ask(request)
        if asked is None:
            return await self.inner.complete(request)
        reply = self._find(asked)
        if reply is None:
            before = self._recent.count
            reply = await self.inner.complete(request)
            self._keep(asked, request, reply, before)
        return _add_cost(reply, asked.embeddings)

    async def stream(self, request: Request) -> AsyncGenerator[StreamItem]:
        """Answer piece by piece; raises what the inner model raises."""
        asked = await self._ask(request)
        reply = None if asked is None else self._find(asked)
        if asked is not None and reply is not None:
            for item in replay(_add_cost(reply, asked.embeddings)):
                yield item
            return
        before = self._recent.count
        # Every stream of the house is an async generator; the port says less, so that others may differ.
        async with aclosing(cast("AsyncGenerator[StreamItem]", self.inner.stream(request))) as items:
            async for item in items:
                if asked is None or type(item) is not ReplyDone:
                    yield item
                else:
                    self._keep(asked, request, item.reply, before)
                    yield ReplyDone(_add_cost(item.reply, asked.embeddings))

    def invalidate(self, which: Invalidation) -> int:
        """Forget answers, and say how many there were; one under way that `which` meets will not be kept."""
        self._recent.note(which)
        before = self._size
        for key in list(self._known):
            self._replace(key, [known for known in self._known[key] if not which.meets(known.stored)])
        self.counts.forgotten += before - self._size
        return before - self._size

    def note_invalidation(self, which: Invalidation) -> int:
        """Do the same: its answers are in no store."""
        return self.invalidate(which)

    def get_store(self) -> None:
        """Return that there is no store."""

    async def _ask(self, request: Request) -> _Asked | None:
        """Turn a request's question into a vector, or return `None` where it is not compared."""
        question = find_question(request)
        rule = self.rule
        if not (self._applies and question and len(question) <= rule.max_chars) or not (
            rule.answers == "all" or is_asked_to_repeat(request.settings)
        ):
            self.counts.passed += 1
            return None
        rest = structs.replace(request, messages=(*request.messages[:-1], Message(role="user", parts=())))
        key = self._key(rest)
        if key is None:
            self.counts.passed += 1
            return None
        try:
            embeddings = await self._embedder.embed(
                EmbedRequest(texts=(question,), purpose="query", caller=request.caller)
            )
        except QuorateError:  # a cache fails open
            self.counts.failures += 1
            return None
        vector = normalize(embeddings.vectors[0]) if embeddings.vectors else ()
        return _Asked(key, vector, tuple(_NUMBER.findall(question)), embeddings)

    def _find(self, asked: _Asked) -> Reply | None:
        now = self._monotonic()
        known = self._known.get(asked.key)
        if known is not None:
            known = self._replace(asked.key, [one for one in known if one.expires > now])
        if known:
            self._known.move_to_end(asked.key)
        best, found = self.rule.threshold, None
        for one in known or ():
            if one.numbers == asked.numbers and len(one.vector) == len(asked.vector):
                likeness = sum(map(mul, one.vector, asked.vector))
                if likeness >= best:
                    best, found = likeness, one
        if found is None:
            self.counts.misses += 1
            return None
        self.counts.hits += 1
        reply = found.stored.reply
        note = f"cache: the answer to a question that is alike ({min(best, 1.0):.3f})"
        return structs.replace(reply, notes=(*reply.notes, note))

    def _keep(self, asked: _Asked, request: Request, reply: Reply, before: int) -> None:
        stored = build_stored(request, reply, model=self.inner.profile.name, tags=self.rule.tags)
        is_answer = not reply.cached and reply.stop == "end" and is_whole(reply, request)
        if not is_answer or not asked.vector or self._recent.meets(stored, before):
            self.counts.refused += 1
            return
        one = _Known(asked.vector, asked.numbers, stored, self._monotonic() + self.rule.ttl_s)
        self._replace(asked.key, [*self._known.get(asked.key, ()), one][-self.rule.max_candidates :])
        self._known.move_to_end(asked.key)
        self.counts.kept += 1
        while self._size > self.rule.max_entries:
            oldest = next(iter(self._known))
            self._replace(oldest, self._known[oldest][1:])

    def _replace(self, key: bytes, known: list[_Known]) -> list[_Known]:
        self._size += len(known) - len(self._known.get(key, ()))
        if known:
            self._known[key] = known
        else:
            self._known.pop(key, None)
        return known


class _Asked(Struct, frozen=True):
    """A question as it is compared."""

    key: bytes
    vector: tuple[float, ...]
    numbers: tuple[str, ...]
    embeddings: Embeddings


def find_question(request: Request) -> str:
    """Return the words of the last message, if a person said nothing but words in it; else nothing."""
    last = request.messages[-1] if request.messages else None
    if last is None or last.role != "user" or not all(type(part) is Text for part in last.parts):
        return ""
    return last.text.strip()


def normalize(vector: Sequence[float]) -> tuple[float, ...]:
    """Scale a vector to length 1; one of no length is compared with nothing."""
    length = math.sqrt(sum(map(mul, vector, vector)))
    return tuple([value / length for value in vector]) if length and math.isfinite(length) else ()


def _add_cost(reply: Reply, embeddings: Embeddings) -> Reply:
    """Add what the question's vector cost: the answer came at that price."""
    cost = None if reply.cost_usd is None or embeddings.cost_usd is None else reply.cost_usd + embeddings.cost_usd
    return structs.replace(reply, usage=reply.usage + embeddings.usage, cost_usd=cost)
