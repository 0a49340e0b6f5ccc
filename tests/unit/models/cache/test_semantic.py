"""Is a question that is alike answered alike, and one that is not, anew?"""

import math

import pytest
from tests.unit.models.cache.samples import Counting, Time, ask

from quorate.errors import UpstreamError
from quorate.messages import Embeddings, Image, Message, ReplyDone, Text, TextDelta, Usage
from quorate.models.cache.key import CacheKey, Scope, new_secret
from quorate.models.cache.rule import CacheRule, Invalidation
from quorate.models.cached import Cached
from quorate.models.semantic import Semantic, SemanticRule, normalize
from quorate.specs import EmbedRequest, Request

RULE = SemanticRule()


class Angles:
    """Turns a text into a direction: its first word is the angle in degrees, at a tenth of a cent."""

    name = "angles"

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.error: UpstreamError | None = None

    async def embed(self, request: EmbedRequest) -> Embeddings:
        if self.error is not None:
            raise self.error
        self.texts += request.texts
        angle = math.radians(float(request.texts[0].split()[0].replace("d", "")))
        usage = Usage(input_tokens=3, requests=1)
        return Embeddings(vectors=((2 * math.cos(angle), 2 * math.sin(angle)),), usage=usage, cost_usd=0.001)


def build(rule: SemanticRule = RULE, **given: object) -> tuple[Semantic, Counting, Angles]:
    inner, embedder = Counting(), Angles()
    return Semantic(inner, embedder=embedder, rule=rule, **given), inner, embedder  # type: ignore[arg-type]


async def test_a_question_that_is_alike_has_the_same_answer() -> None:
    """The reply says so, with how alike it is, and costs what its vector cost."""
    model, inner, _ = build(SemanticRule(threshold=0.9))
    first = await model.complete(ask("0 why is it slow"))
    second = await model.complete(ask("0 why so slow?"))
    assert inner.calls == 1
    assert first.cost_usd == pytest.approx(0.251)
    assert (first.cached, first.notes) == (False, ())
    assert (second.cached, second.message) == (True, first.message)
    assert second.notes == ("cache: the answer to a question that is alike (1.000)",)
    assert (second.cost_usd, second.usage) == (0.001, Usage(input_tokens=3, requests=1))


@pytest.mark.parametrize(
    "other",
    [
        ask("d20 why"),
        ask("d0 why 7"),
        ask("d0 why", tenant="other"),
        ask("d0 why", principal="bob"),
        ask("d0 why", top_p=0.5),
        Request(
            messages=(*ask("before").messages, *ask("d0 why").messages), settings=ask().settings, caller=ask().caller
        ),
    ],
)
async def test_whatever_else_differs_is_answered_anew(other: Request) -> None:
    """Another direction, other numbers, another tenant or user, other settings, another conversation."""
    model, inner, _ = build()
    await model.complete(ask("d0 why"))
    assert not (await model.complete(other)).cached
    assert inner.calls == 2


@pytest.mark.parametrize(
    ("rule", "request_"),
    [
        (RULE, ask("d0 why", temperature=0.5)),
        (SemanticRule(models=("anthropic:*",)), ask("d0 why")),
        (SemanticRule(max_chars=3), ask("d0 why")),
        (
            RULE,
            Request(
                messages=(Message(role="user", parts=(Text(text="d0"), Image(data=b"x"))),), settings=ask().settings
            ),
        ),
        (RULE, ask("d0 why", extra={"a": object()})),
        (RULE, Request(messages=(), settings=ask().settings)),
    ],
)
async def test_what_cannot_be_compared_is_not(rule: SemanticRule, request_: Request) -> None:
    """No vector is even asked for."""
    model, inner, embedder = build(rule)
    await model.complete(request_)
    await model.complete(request_)
    assert (inner.calls, embedder.texts, model.counts.passed) == (2, [], 2)


async def test_a_stream_is_kept_and_replayed() -> None:
    """Piece by piece, with the same note at its end."""
    model, inner, _ = build()
    fresh = [item async for item in model.stream(ask("d0 why"))]
    again = [item async for item in model.stream(ask("d0 how come"))]
    assert inner.calls == 1
    assert isinstance(fresh[-1], ReplyDone)
    assert fresh[-1].reply.cost_usd == pytest.approx(0.251)
    assert again[0] == TextDelta("answer 1")
    assert isinstance(again[-1], ReplyDone)
    assert again[-1].reply.cached
    assert [item async for item in model.stream(ask("d0 why", temperature=1.0))]


async def test_an_embedder_that_is_down_is_gone_without() -> None:
    """The model is asked."""
    model, inner, embedder = build()
    embedder.error = UpstreamError("down")
    assert (await model.complete(ask("d0 why"))).cost_usd == 0.25
    assert (inner.calls, model.counts.failures) == (1, 1)


async def test_what_is_kept_is_bounded_and_forgotten() -> None:
    """By age, by number, by candidates, and when it is told to."""
    time = Time()
    model, inner, _ = build(SemanticRule(ttl_s=10, max_entries=5, max_candidates=3, tags=("t",)), monotonic=time.read)
    for angle in range(0, 360, 40):
        await model.complete(ask(f"d{angle} x"))
    assert model.invalidate(Invalidation(tag="other")) == 0
    assert not (await model.complete(ask("d0 x"))).cached
    assert (await model.complete(ask("d320 x"))).cached
    for principal in "abcdefgh":
        await model.complete(ask("d0 x", principal=principal))
    assert model.invalidate(Invalidation(tag="t")) == 5
    calls = inner.calls
    await model.complete(ask("d0 x"))
    time.now += 10
    await model.complete(ask("d0 x"))
    assert inner.calls == calls + 2


async def test_what_is_forgotten_while_it_is_asked_for_is_not_kept() -> None:
    """What made the answer wrong came while it was on its way."""
    model, inner, _ = build()
    items = model.stream(ask("10 degrees"))
    await anext(items)
    model.invalidate(Invalidation(tenant="acme"))
    assert [item async for item in items]
    await model.complete(ask("10 degrees"))
    assert inner.calls == 2


@pytest.mark.parametrize(("scope", "shared"), [("tenant", True), ("user", False), ("session", False)])
async def test_a_key_that_others_made_does_not_widen_the_scope(scope: Scope, shared: bool) -> None:
    """The exact cache above may be for a whole tenant, and this one for a user alone."""
    key = CacheKey(new_secret(), model="openai:gpt-5.2", scope="tenant")
    model, inner, _ = build(SemanticRule(scope=scope), key=key)
    await model.complete(ask("10 degrees", principal="ann"))
    reply = await model.complete(ask("10 degrees", principal="bob", session="s2"))
    assert (reply.cached, inner.calls) == (shared, 2 - shared)


async def test_what_is_not_whole_is_not_kept() -> None:
    """As in the exact cache."""
    inner, embedder = Counting(Text(text="half"), stop="length"), Angles()
    model = Semantic(inner, embedder=embedder, rule=RULE)
    await model.complete(ask("d0 x"))
    await model.complete(ask("d0 x"))
    assert (inner.calls, model.counts.refused) == (2, 2)


async def test_the_exact_cache_above_does_not_keep_what_was_only_alike() -> None:
    """An answer to another question does not become the exact one."""
    below, inner, _ = build()
    model = Cached(below, rule=CacheRule())
    await model.complete(ask("d0 why"))
    assert (await model.complete(ask("d0 how come"))).notes
    assert model.counts.kept == 1
    assert (await model.complete(ask("d0 why"))).cost_usd == 0.0
    assert inner.calls == 1


def test_a_vector_of_no_length_is_compared_with_nothing() -> None:
    """Zero, and what is no number."""
    assert normalize((0.0, 0.0)) == ()
    assert normalize((float("inf"), 1.0)) == ()
    assert normalize((3.0, 4.0)) == (0.6, 0.8)
