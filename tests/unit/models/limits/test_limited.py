"""Does a limited model ask as often as it may, and count what calls really use?"""

import asyncio
from collections.abc import AsyncGenerator
from typing import cast

import pytest
from tests.unit.models.limits.times import Times

from quorate.errors import RateLimited, Unavailable, UpstreamError
from quorate.messages import Message, Reply, Text, TextDelta, Usage, build_user_message
from quorate.models.limited import Limited, LimitRule
from quorate.models.limits.limiter import Limiter
from quorate.models.limits.memory import MemoryLimits
from quorate.models.scripted import After, Script, ScriptedModel
from quorate.specs import ModelProfile, ModelSettings, Request

REPLY = Reply(
    message=Message(role="assistant", parts=(Text(text="x" * 40),)),
    usage=Usage(input_tokens=100, output_tokens=20, requests=1),
)
REQUEST = Request(messages=(build_user_message("x"),), settings=ModelSettings(max_tokens=400))


def build(times: Times, *rules: LimitRule, script: Script | None = None) -> tuple[Limited, ScriptedModel, Limiter]:
    model = ScriptedModel(script or (lambda request: REPLY), profile=ModelProfile(name="openai:gpt-5.2"))
    limiter = Limiter(
        rules, store=MemoryLimits(monotonic=times.monotonic), monotonic=times.monotonic, pause=times.pause
    )
    return Limited(model, limiter=limiter, credential="k", count=lambda request, name: 100), model, limiter


def get_tokens(limiter: Limiter) -> int:
    ((window, _),) = cast("MemoryLimits", limiter._store)._windows.values()
    return window.tokens


async def test_a_call_without_a_rule_passes_as_it_is() -> None:
    limited, model, _ = build(Times(), LimitRule(scope="tenant", match="other", requests=1))
    for _ in range(5):
        await limited.complete(REQUEST)
    assert model.requests[0] is REQUEST
    assert [item async for item in limited.stream(REQUEST)]


@pytest.mark.parametrize("scope", ["credential", "model", "global"])
async def test_the_model_is_asked_as_often_as_it_may(scope: str) -> None:
    """part of row C4"""
    limited, model, _ = build(Times(), LimitRule(scope=scope, requests=2, policy="refuse"))  # type: ignore[arg-type]
    await limited.complete(REQUEST)
    assert [item async for item in limited.stream(REQUEST)]
    with pytest.raises(RateLimited):
        await limited.complete(REQUEST)
    with pytest.raises(RateLimited):
        await anext(aiter(limited.stream(REQUEST)))
    assert len(model.requests) == 2


async def test_what_was_set_aside_is_settled_with_the_real_usage() -> None:
    """500 tokens while it is under way, 120 when it has replied; the same for a stream. part of row C4"""
    limited, _, limiter = build(Times(), LimitRule(tokens=10_000))
    await limited.complete(REQUEST)
    assert get_tokens(limiter) == 120
    items = cast("AsyncGenerator[object]", limited.stream(REQUEST))
    await anext(items)
    assert get_tokens(limiter) == 120 + 500
    async for _ in items:
        pass
    assert get_tokens(limiter) == 240


async def test_a_refused_call_uses_no_tokens() -> None:
    """It is one of the calls all the same: the provider counts it."""
    limited, _, limiter = build(Times(), LimitRule(tokens=10_000), script=[UpstreamError("no", status=500)])
    with pytest.raises(UpstreamError):
        await limited.complete(REQUEST)
    assert get_tokens(limiter) == 0


async def test_a_cancelled_call_and_a_cut_stream_count_what_we_saw() -> None:
    """The input; and of a stream, four characters for a token of what was given out."""
    limited, model, limiter = build(Times(), LimitRule(tokens=10_000), script=[After(60, REPLY), REPLY])
    call = asyncio.ensure_future(limited.complete(REQUEST))
    for _ in range(5):
        await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert get_tokens(limiter) == 100
    items = cast("AsyncGenerator[object]", limited.stream(REQUEST))
    await anext(items)
    await anext(items)
    await items.aclose()
    assert get_tokens(limiter) == 200 + 4

    async def cut(request):  # type: ignore[no-untyped-def]
        yield TextDelta("x" * 80)

    model.stream = cut  # type: ignore[method-assign]
    assert len([item async for item in limited.stream(REQUEST)]) == 1
    assert get_tokens(limiter) == 204 + 120


async def test_waiters_pass_when_their_turn_comes() -> None:
    """And their calls are made then, in order. row: A11"""
    times = Times()
    limited, model, _ = build(times, LimitRule(requests=60, max_wait_s=600))
    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(limited.complete(REQUEST))
        await times.settle()
        assert len(model.requests) == 60
        await times.advance(60)
        assert len(model.requests) == 100


async def test_what_cannot_be_counted_is_not_called() -> None:
    """When the counts are lost no call passes: there is no weaker path behind a limit."""

    class Lost(MemoryLimits):
        async def admit(self, claims, tokens):  # type: ignore[no-untyped-def]
            raise Unavailable("The counts are gone.")

    model = ScriptedModel(["never"])
    limited = Limited(model, limiter=Limiter([LimitRule(requests=1)], store=Lost()))
    with pytest.raises(Unavailable):
        await limited.complete(REQUEST)
    assert not model.requests


async def test_a_reply_is_given_though_it_cannot_be_settled() -> None:
    """It is paid for; what was set aside passes with its window."""

    class Forgetful(MemoryLimits):
        async def settle(self, ticket, tokens, *, requests=1):  # type: ignore[no-untyped-def]
            raise Unavailable("The counts are gone.")

    limited = Limited(ScriptedModel(["yes"]), limiter=Limiter([LimitRule(tokens=9999)], store=Forgetful()))
    assert (await limited.complete(REQUEST)).message.text == "yes"
