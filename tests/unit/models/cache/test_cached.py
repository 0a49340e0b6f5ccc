"""Is an answer given again to whoever may see it, and to nobody else?"""

import pytest
from msgspec import structs
from tests.unit.models.cache.samples import Broken, Counting, Time, ask

from quorate.errors import InvalidInput, Unavailable, UpstreamError
from quorate.messages import AnyPart, Reply, ReplyDone, Text, TextDelta, Thinking, ToolCall, ToolCallDelta, Usage
from quorate.models.cache.key import CacheKey
from quorate.models.cache.memory import MemoryCache
from quorate.models.cache.rule import CacheRule, Invalidation, Stored
from quorate.models.cached import Cached, replay
from quorate.specs import Request

RULE = CacheRule()


async def test_the_second_time_is_free() -> None:
    """The same answer, marked as cached, without usage, cost or a provider's id for a call that was not made."""
    inner = Counting()
    model = Cached(inner, rule=RULE)
    first, second = await model.complete(ask()), await model.complete(ask())
    assert inner.calls == 1
    assert (first.cached, first.cost_usd, first.usage.requests) == (False, 0.25, 1)
    assert second == structs.replace(first, cached=True, usage=Usage(), cost_usd=0.0, request_id="", attempts=0)
    assert (model.counts.hits, model.counts.misses, model.counts.kept) == (1, 1, 1)


async def test_another_tenant_is_answered_anew() -> None:
    """Nobody is given what another tenant, or another user, was told. row: A11"""
    inner = Counting()
    model = Cached(inner, rule=RULE)
    await model.complete(ask())
    for request in (ask(tenant="other"), ask(principal="bob")):
        assert not (await model.complete(request)).cached
    assert inner.calls == 3


async def test_a_stream_is_kept_and_replayed() -> None:
    """What was streamed is given whole, and what was given whole is streamed."""
    inner = Counting(Thinking(text="hm"), Text(text="x" * 600), ToolCall(id="1", name="f", arguments='{"a":1}'))
    model = Cached(inner, rule=RULE)
    fresh = [item async for item in model.stream(ask())]
    again = [item async for item in model.stream(ask())]
    assert inner.calls == 1
    assert "".join(item.text for item in again if isinstance(item, TextDelta)) == "x" * 600
    assert len([item for item in again if isinstance(item, TextDelta)]) == 3
    assert ToolCallDelta("1", "f", '{"a":1}') in again
    assert isinstance(fresh[-1], ReplyDone)
    assert isinstance(again[-1], ReplyDone)
    assert again[-1].reply.cached
    assert (await model.complete(ask())).message == fresh[-1].reply.message


async def test_a_stream_that_was_left_is_not_kept() -> None:
    """Only an answer that came to its end is one."""
    inner = Counting()
    model = Cached(inner, rule=RULE)
    items = model.stream(ask())
    await anext(items)
    await items.aclose()
    assert not (await model.complete(ask())).cached


@pytest.mark.parametrize(
    ("parts", "stop"),
    [
        ((Text(text="half an ans"),), "length"),
        ((Text(text="I can't"),), "filtered"),
        ((Text(text=""),), "end"),
        ((ToolCall(id="1", name="f", arguments='{"a":'),), "tool_calls"),
        ((ToolCall(id="1", name="f", arguments="[1]"),), "tool_calls"),
    ],
)
async def test_what_is_not_whole_is_not_kept(parts: tuple[AnyPart, ...], stop: str) -> None:
    """Cut, filtered, empty and malformed answers are asked for anew."""
    inner = Counting(*parts, stop=stop)
    model = Cached(inner, rule=RULE)
    await model.complete(ask())
    await model.complete(ask())
    assert inner.calls == 2
    assert model.counts.refused == 2


async def test_errors_are_not_kept() -> None:
    """The next one asks again."""
    inner = Counting(error=UpstreamError("down"))
    model = Cached(inner, rule=RULE)
    with pytest.raises(UpstreamError):
        await model.complete(ask())
    inner.error = None
    assert (await model.complete(ask())).message.text == "answer 2"


@pytest.mark.parametrize(
    ("rule", "request_", "calls"),
    [
        (CacheRule(), ask(temperature=None), 2),
        (CacheRule(), ask(temperature=0.7), 2),
        (CacheRule(answers="all"), ask(temperature=0.7), 1),
        (CacheRule(models=("anthropic:*",)), ask(), 2),
        (CacheRule(models=("anthropic:*", "openai:gpt-*")), ask(), 1),
        (CacheRule(models=()), ask(), 2),
    ],
)
async def test_a_rule_says_what_is_kept(rule: CacheRule, request_: Request, calls: int) -> None:
    """By model, and only what a model was asked to repeat unless the rule says otherwise."""
    inner = Counting()
    model = Cached(inner, rule=rule)
    await model.complete(request_)
    await model.complete(request_)
    assert inner.calls == calls


async def test_a_scope_says_who_shares() -> None:
    """A tenant's users share where the rule says so."""
    inner = Counting()
    model = Cached(inner, rule=CacheRule(scope="tenant"))
    await model.complete(ask())
    assert (await model.complete(ask(principal="bob"))).cached
    assert not (await model.complete(ask(tenant="other"))).cached


def test_a_key_of_another_scope_is_refused() -> None:
    """The rule's word must be what the keys do."""
    with pytest.raises(InvalidInput, match="The cache's rule is for a 'user', and its keys are for a 'tenant'"):
        Cached(Counting(), rule=RULE, key=CacheKey(b"x" * 32, model="m", scope="tenant"))


@pytest.mark.parametrize(
    ("which", "gone"),
    [
        (Invalidation(), True),
        (Invalidation(tenant="acme"), True),
        (Invalidation(tenant="other"), False),
        (Invalidation(model="openai:gpt-5.2"), True),
        (Invalidation(model="gpt-5.2-2026-01-01"), True),
        (Invalidation(model="fast"), True),
        (Invalidation(model="slow"), False),
        (Invalidation(agent="net"), True),
        (Invalidation(tag="docs"), True),
        (Invalidation(tag="prices"), False),
        (Invalidation(tenant="acme", tag="prices"), False),
    ],
)
async def test_answers_are_forgotten(which: Invalidation, gone: bool) -> None:
    """By tenant, model, agent or tag: whatever meets all that is said."""
    inner = Counting()
    model = Cached(inner, rule=CacheRule(tags=("docs",)))
    await model.complete(ask())
    assert await model.invalidate(which) == int(gone)
    assert (await model.complete(ask())).cached is not gone


async def test_what_is_forgotten_while_it_is_asked_for_is_not_kept() -> None:
    """An answer from before the change does not come back after it."""

    class Slow(Counting):
        async def complete(self, request: Request) -> Reply:
            reply = self.answer()
            if self.calls == 1:
                await model.invalidate(Invalidation(tag="docs"))
            return reply

    inner = Slow()
    model = Cached(inner, rule=CacheRule(tags=("docs",)))
    assert (await model.complete(ask())).message.text == "answer 1"
    assert (await model.complete(ask())).message.text == "answer 2"
    assert (await model.complete(ask())).cached


async def test_what_is_forgotten_while_it_is_written_is_gone() -> None:
    """The store may have been emptied before the answer came to it."""

    class Late(MemoryCache):
        async def keep(self, key: bytes, stored: Stored, *, ttl_s: float) -> bool:
            model.note_invalidation(Invalidation(tag="docs"))
            return await super().keep(key, stored, ttl_s=ttl_s)

    store = Late()
    model = Cached(Counting(), rule=CacheRule(tags=("docs",)), store=store)
    await model.complete(ask())
    assert len(store) == 0


async def test_too_many_invalidations_at_once_are_all_kept_to() -> None:
    """Those that are no longer remembered are taken to meet everything."""

    class Slow(Counting):
        async def complete(self, request: Request) -> Reply:
            for number in range(200):
                await model.invalidate(Invalidation(tag=f"t{number}"))
            return self.answer()

    model = Cached(Slow(), rule=CacheRule(tags=("t0",)))
    await model.complete(ask())
    assert model.counts.kept == 0


async def test_a_store_that_is_down_is_gone_without() -> None:
    """The model answers, the store is left alone for a while that doubles, and is used again when it is back."""
    inner, store, time = Counting(), Broken(), Time()
    model = Cached(inner, rule=RULE, store=store, monotonic=time.read)
    for _ in range(5):
        assert not (await model.complete(ask())).cached
    assert (store.asked, model.counts.failures, inner.calls) == (1, 1, 5)
    time.now += 1.0
    await model.complete(ask())
    assert store.asked == 2
    time.now += 1.9
    await model.complete(ask())
    assert store.asked == 2
    time.now += 0.1
    store.down = False
    await model.complete(ask())
    assert (await model.complete(ask())).cached


async def test_what_cannot_be_forgotten_is_said() -> None:
    """Forgetting does not fail in silence: old answers would be given out."""
    with pytest.raises(Unavailable):
        await Cached(Counting(), rule=RULE, store=Broken()).invalidate(Invalidation())


async def test_memory_is_bounded_in_number_bytes_and_age() -> None:
    """The longest unused one goes first; what is too large is not kept."""
    time = Time()
    store = MemoryCache(max_entries=2, monotonic=time.read)
    model = Cached(Counting(), rule=CacheRule(ttl_s=60), store=store)
    for text in ("a", "b", "a", "c"):
        await model.complete(ask(text))
    assert len(store) == 2
    assert (await model.complete(ask("a"))).cached
    assert not (await model.complete(ask("b"))).cached
    time.now += 60
    assert not (await model.complete(ask("a"))).cached
    await model.invalidate(Invalidation())
    assert (len(store), store.bytes) == (0, 0)
    small = Cached(Counting(Text(text="x" * 500)), rule=CacheRule(max_entry_bytes=400))
    await small.complete(ask())
    assert (small.counts.kept, small.counts.refused) == (0, 1)
    tight = MemoryCache(max_bytes=3000)
    full = Cached(Counting(), rule=RULE, store=tight)
    for number in range(50):
        await full.complete(ask(str(number)))
    assert tight.bytes <= 3000
    assert 1 <= len(tight) < 50


def test_a_replay_says_what_the_reply_says() -> None:
    """Reasoning whose words a provider keeps to itself has none to show."""
    reply = Reply(message=Counting(Thinking(text="", redacted=True), Text(text="hi")).answer().message)
    assert replay(reply) == [TextDelta("hi"), ReplyDone(reply)]
