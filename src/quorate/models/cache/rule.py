"""Which answers may be kept, for how long, for whom, and what makes them forgotten?"""

from __future__ import annotations

import re
from collections import deque
from fnmatch import translate
from typing import Annotated, Literal, Protocol

import msgspec
from msgspec import Meta, Struct, structs

from quorate.messages import Reply, Usage
from quorate.models.cache.key import Scope
from quorate.specs import ModelSettings, Request

REMEMBERED = 64
"""Invalidations that a question under way is checked against."""

_encode = msgspec.msgpack.Encoder().encode


class CacheRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept of the answers of a model."""

    ttl_s: Annotated[float, Meta(gt=0, le=30 * 86_400)] = 3600.0
    """How long an answer may be given again."""
    max_entries: Annotated[int, Meta(gt=0, le=10_000_000)] = 10_000
    max_bytes: Annotated[int, Meta(gt=0)] = 64 << 20
    """What all answers kept in memory may come to; the longest unused ones go first."""
    max_entry_bytes: Annotated[int, Meta(gt=0, le=1 << 20)] = 256 << 10
    """What one answer may come to; a longer one is not kept."""
    scope: Scope = "user"
    """Who shares an answer. `tenant` only where every user of a tenant may see what any other was told."""
    models: tuple[str, ...] = ("*",)
    """Whose answers are kept, as names or patterns with `*`, such as `openai:*`."""
    answers: Literal["deterministic", "all"] = "deterministic"
    """Keep only what was asked for at temperature 0, or whatever was said."""
    tags: tuple[str, ...] = ()
    """Words by which what this rule kept can be forgotten together."""


class Stored(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An answer that is kept, and what it can be forgotten by."""

    reply: Reply
    """As it will be given: marked as cached, with a usage and a cost of nothing."""
    tenant: str
    models: tuple[str, ...] = ()
    """The name it was asked under and the model that answered."""
    agent: str = ""
    tags: tuple[str, ...] = ()


class Invalidation(Struct, frozen=True, kw_only=True, tag_field="kind", tag="cache.invalidated", omit_defaults=True):
    """That kept answers are to be forgotten: those that meet all that is said, and all of them when nothing is.

    It is what processes tell each other, so it is data that can go over any bus.
    """

    tenant: str = ""
    model: str = ""
    """A model's name, or how names begin: `openai:*`."""
    agent: str = ""
    tag: str = ""

    def meets(self, stored: Stored) -> bool:
        """Whether an answer is to be forgotten."""
        return (
            (not self.tenant or self.tenant == stored.tenant)
            and (not self.model or self.model in stored.models or self._is_begun(stored.models))
            and (not self.agent or self.agent == stored.agent)
            and (not self.tag or self.tag in stored.tags)
        )

    def _is_begun(self, models: tuple[str, ...]) -> bool:
        begins = self.model[:-1]
        return self.model.endswith("*") and any(model.startswith(begins) for model in models)


class Recent:
    """The last invalidations, which an answer that was under way meanwhile is checked against."""

    def __init__(self) -> None:
        self.count = 0
        """How many there were."""
        self._last: deque[Invalidation] = deque(maxlen=REMEMBERED)

    def note(self, which: Invalidation) -> None:
        """Remember one."""
        self.count += 1
        self._last.append(which)

    def meets(self, stored: Stored, before: int) -> bool:
        """Whether an answer was to be forgotten since there were so many."""
        since = self.count - before
        if since > len(self._last):  # too many to have been remembered
            return True
        return since > 0 and any(which.meets(stored) for which in list(self._last)[-since:])


class CacheStore(Protocol):
    """Where answers are kept; it may forget any of them at any time."""

    async def find(self, key: bytes) -> Stored | None:
        """Find what is kept under a key and has not expired.

        Raises:
            Unavailable: The store cannot be reached in time.
        """
        ...

    async def keep(self, key: bytes, stored: Stored, *, ttl_s: float) -> bool:
        """Keep an answer and say so, or leave it when it is too large; raises what `find` raises."""
        ...

    async def forget(self, which: Invalidation) -> int:
        """Forget answers and say how many; raises what `find` raises."""
        ...


def build_stored(request: Request, reply: Reply, *, model: str, tags: tuple[str, ...]) -> Stored:
    """Build what is kept of an answer: it costs nothing when it is given again.

    Args:
        request: What was asked.
        reply: What was answered.
        model: The name it was asked under.
        tags: The rule's.
    """
    models = {model, reply.model}
    if reply.route is not None:
        models |= {reply.route.model, reply.route.asked}
    return Stored(
        reply=structs.replace(
            reply, usage=Usage(), cost_usd=0.0, estimated=False, cached=True, request_id="", notes=(), attempts=0
        ),
        tenant=request.caller.tenant,
        models=tuple(sorted(models - {""})),
        agent=request.caller.agent,
        tags=tags,
    )


def build_model_test(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """Build what tells whether a model is named by a pattern; whoever runs the gateway writes them."""
    return re.compile("|".join(map(translate, patterns)) if patterns else r"(?!)")


def is_asked_to_repeat(settings: ModelSettings) -> bool:
    """Whether a model was asked to answer the same way each time."""
    return settings.temperature == 0


def write_stored(stored: Stored) -> bytes | None:
    """Write an answer down, or return `None` where that cannot be, as with half of a character in it."""
    try:
        return _encode(stored)
    except (ValueError, OverflowError):
        return None


def is_whole(reply: Reply, request: Request) -> bool:
    """Whether an answer may be given again: it is at its end, says something, and what must be JSON is."""
    if reply.stop not in ("end", "tool_calls") or not reply.message.parts:
        return False
    calls = reply.message.tool_calls
    text = reply.message.text
    if not calls and (request.output is None or not text):
        return bool(text)
    try:
        if not calls:
            msgspec.json.decode(text, type=msgspec.Raw)
        for call in calls:
            msgspec.json.decode(call.arguments, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeError):
        return False
    return True
