"""Does a model asked through LiteLLM answer as every other one? It runs where the extra `litellm` is installed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager

import msgspec
import pytest

from quorate.errors import (
    DeadlineExceeded,
    Incomplete,
    InvalidInput,
    QuorateError,
    RateLimited,
    Unauthenticated,
    UnknownName,
    UpstreamError,
)
from quorate.messages import Message, ReplyDone, StreamItem, TextDelta, ToolCall, ToolResult, Usage, build_user_message
from quorate.models.deadlines import Timeouts
from quorate.models.gateway import build_model
from quorate.models.providers.litellm.model import LiteLLMModel
from quorate.models.target import find_target
from quorate.specs import ModelSettings, Request, ToolSpec
from quorate.testing.provider_server import Answer, ProviderServer, Script, provider_server

pytest.importorskip("litellm")
pytestmark = [pytest.mark.blocking, pytest.mark.filterwarnings("ignore")]  # both are LiteLLM's own

HI = (build_user_message("Hi"),)
LOOK = ToolSpec(name="look", parameters={"type": "object", "properties": {"place": {"type": "string"}}})
CALL = ToolCall(id="call-a", name="look", arguments='{"place":"here"}')
TIMEOUTS = Timeouts(connect_s=5.0, first_s=10.0, idle_s=10.0, total_s=30.0)


@asynccontextmanager
async def connect(
    script: Script,
    *,
    name: str = "litellm:openai/test-model",
    credentials: Mapping[str, str] | None = None,
    timeouts: Timeouts = TIMEOUTS,
) -> AsyncIterator[tuple[LiteLLMModel, ProviderServer]]:
    async with provider_server(script) as server:
        given = {"OPENAI_API_KEY": "canary-key"} if credentials is None else credentials
        target = find_target(name, credentials=given.get, base_urls={"litellm": server.url})
        yield LiteLLMModel(target, credentials=given.get, timeouts=timeouts), server


async def watch(model: LiteLLMModel, request: Request) -> list[StreamItem]:
    async with aclosing(model.stream(request)) as stream:
        return [item async for item in stream]


def ask(**settings: object) -> Request:
    return Request(messages=HI, tools=(LOOK,), settings=ModelSettings(**settings))


async def test_it_answers() -> None:
    """With words, calls, counts, a price where LiteLLM has one, and the key that our credentials give."""
    usage = Usage(input_tokens=1_000_000, output_tokens=7, cached_tokens=4, reasoning_tokens=5, requests=1)
    answer = Answer(text="Hello.", calls=(CALL,), usage=usage)
    async with connect([answer, answer], name="litellm:openai/gpt-4o-mini") as (model, server):
        reply = await model.complete(ask(max_tokens=9, temperature=0.5))
        items = await watch(model, ask())
    assert reply.message.text == "Hello."
    assert reply.message.tool_calls == (CALL,)
    assert (reply.stop, reply.usage, reply.estimated) == ("tool_calls", usage, False)
    assert reply.cost_usd == pytest.approx(0.15, rel=0.01)
    assert isinstance(items[-1], ReplyDone)
    assert items[-1].reply.message == reply.message
    assert items[-1].reply.usage == usage
    assert server.requests[0].headers["authorization"] == "Bearer canary-key"
    assert server.requests[0].body["max_tokens"] == 9


async def test_the_gateway_asks_again() -> None:
    """As with every other model; LiteLLM itself does not."""
    script = [Answer(status=500), "Hello.", Answer(status=401), "never"]
    credentials = {"OPENAI_API_KEY": "canary-key"}
    async with provider_server(script) as server:
        base_urls = {"litellm": server.url}
        async with build_model("litellm:openai/test-model", credentials=credentials.get, base_urls=base_urls) as model:
            assert (await model.complete(ask())).message.text == "Hello."
            with pytest.raises(Unauthenticated):
                await model.complete(ask())
    assert len(server.requests) == 3


async def test_words_come_in_pieces() -> None:
    """As the provider sends them."""
    async with connect([Answer(text="Grüße, dear world.", piece=4)]) as (model, _):
        items = await watch(model, ask())
    words = [item.text for item in items if isinstance(item, TextDelta)]
    assert len(words) > 3
    assert "".join(words) == "Grüße, dear world."


async def test_results_are_given_back() -> None:
    """To their calls."""
    history = (
        *HI,
        Message(role="assistant", parts=(CALL,)),
        Message(role="tool", parts=(ToolResult(call_id="call-a", name="look", content="a cat"),)),
    )
    async with connect(["A cat."]) as (model, server):
        await model.complete(Request(messages=history, tools=(LOOK,)))
    sent = msgspec.json.encode(server.requests[0].body)
    assert sent.count(b"call-a") == 2
    assert b"a cat" in sent


async def test_a_cut_stream_is_incomplete() -> None:
    """Though LiteLLM makes up a reason why it stopped: wherever it is cut before the provider gave one."""
    answer = Answer(text="Hello, dear world.", piece=4)
    async with connect([answer]) as (model, server):
        await watch(model, ask())
        size = server.sizes[0]
    ends = range(0, int(size * 0.7), 97)
    async with connect([msgspec.structs.replace(answer, cut_at=end) for end in ends]) as (model, _):
        for end in ends:
            with pytest.raises((Incomplete, UpstreamError)) as caught:
                await watch(model, ask())
            assert isinstance(caught.value, Incomplete) or end < 400, (end, caught.value)


async def test_whoever_leaves_ends_the_call() -> None:
    """The server sees it go."""
    async with connect([Answer(text="Hello, dear world." * 1000, piece=1, pause_s=0.05)]) as (model, server):
        stream = model.stream(ask())
        assert isinstance(await anext(stream), TextDelta)
        await stream.aclose()
        async with asyncio.timeout(30):
            await server.wait_dropped()


async def test_what_takes_too_long_is_said_to() -> None:
    """Before the first piece, and between two."""
    slow = Timeouts(connect_s=60.0, first_s=0.5, idle_s=0.5, total_s=90.0)
    script = [Answer(text="Hello.", delay_s=60), Answer(text="Hello.", piece=1, pause_s=60)]
    async with connect(script, timeouts=slow) as (model, _):
        with pytest.raises(DeadlineExceeded, match=r"0\.5 s"):
            await watch(model, ask())
        with pytest.raises((DeadlineExceeded, Incomplete), match=r"0\.5 s"):
            await watch(model, ask())


async def test_refusals_are_read() -> None:
    """By their status; the provider's words are not repeated."""
    wanted: tuple[tuple[int, type[QuorateError], bool], ...] = (
        (401, Unauthenticated, False),
        (404, QuorateError, False),
        (429, RateLimited, True),
        (500, UpstreamError, True),
        (503, UpstreamError, True),
    )
    for status, kind, retryable in wanted:
        async with connect([Answer(status=status, code="canary_words")] * 2) as (model, _):
            with pytest.raises(kind) as caught:
                await model.complete(ask())
            assert caught.value.retryable == retryable, (status, caught.value)
            assert "test server" not in f"{caught.value} {caught.value.__cause__}"
            with pytest.raises(kind):
                await watch(model, ask())


async def test_what_is_no_name_of_theirs_is_said() -> None:
    """With how to write one."""
    async with connect(["never"], name="litellm:nonsense") as (model, server):
        with pytest.raises((InvalidInput, UnknownName), match="nonsense"):
            await model.complete(ask())
    assert not server.requests
