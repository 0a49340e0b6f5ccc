"""What did the model on Bedrock answer?"""

from __future__ import annotations

import msgspec
import pytest
from tests.unit.models.bedrock.cases import CLAUDE, build_target

from quorate.errors import Incomplete, UpstreamError
from quorate.messages import Image, Reply, Text, Thinking, ToolCall, Usage
from quorate.models.providers import bedrock


def read(*content: dict[str, object], stop: str | None = "end_turn", **more: object) -> Reply:
    body: dict[str, object] = {"output": {"message": {"role": "assistant", "content": list(content)}}, **more}
    if stop is not None:
        body["stopReason"] = stop
    return bedrock.decode(msgspec.json.encode(body), build_target())


def test_every_kind_of_content() -> None:
    """In its order; what the provider did by itself is its own business."""
    reply = read(
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}},
        {"reasoningContent": {"redactedContent": "cmVk"}},
        {"text": "See "},
        {"citationsContent": {"content": [{"text": "this"}, {"text": "."}], "citations": [{"title": "x"}]}},
        {"image": {"format": "webp", "source": {"bytes": "eA=="}}},
        {"toolUse": {"toolUseId": "s", "name": "search", "input": {}, "type": "server_tool_use"}},
        {"toolUse": {"toolUseId": "a", "name": "look", "input": {"place": "hère", "n": 1.50}}},
        {"somethingNew": {}},
        stop="tool_use",
    )
    assert reply.message.parts == (
        Thinking(text="Hm.", signature="c2ln", provider="aws.bedrock"),
        Thinking(text="", signature="cmVk", provider="aws.bedrock", redacted=True),
        Text(text="See "),
        Text(text="this."),
        Image(media_type="image/webp", data=b"x"),
        ToolCall(id="a", name="look", arguments='{"place":"hère","n":1.5}'),
    )
    assert (reply.stop, reply.model) == ("tool_calls", CLAUDE)


def test_what_the_cache_gave_and_took_is_input() -> None:
    """Bedrock counts it beside the input."""
    counts = {"inputTokens": 10, "outputTokens": 5, "cacheReadInputTokens": 100, "cacheWriteInputTokens": 7}
    usage = Usage(input_tokens=117, output_tokens=5, cached_tokens=100, cache_write_tokens=7, requests=1)
    assert read({"text": "x"}, usage=counts).usage == usage
    kept = [{"ttl": "1h", "inputTokens": 4}, {"ttl": "5m", "inputTokens": 3}]
    long = read({"text": "x"}, usage={**counts, "cacheDetails": kept}).usage
    assert (long.cache_write_tokens, long.cache_write_long_tokens) == (7, 4)
    odd = {"inputTokens": -3, "outputTokens": 10**30}
    assert read({"text": "x"}, usage=odd).usage == Usage(output_tokens=2**53, requests=1)
    assert read({"text": "x"}).usage == Usage(requests=1)


@pytest.mark.parametrize(
    ("stop", "wanted"),
    [
        ("end_turn", "end"),
        ("stop_sequence", "end"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "filtered"),
        ("content_filtered", "filtered"),
        ("tool_use", "end"),
    ],
)
def test_why_it_stopped(stop: str, wanted: str) -> None:
    assert read({"text": "x"}, stop=stop).stop == wanted


def test_calls_are_why_it_stopped() -> None:
    """Whatever it says."""
    assert read({"toolUse": {"toolUseId": "a", "name": "look", "input": {}}}).stop == "tool_calls"


def test_what_is_no_end_is_said() -> None:
    """By kind: none, one nobody knows, calls that are not there, what the model garbled."""
    with pytest.raises(Incomplete, match="no end"):
        read({"text": "x"}, stop=None)
    with pytest.raises(UpstreamError, match="unknown reason 'canary'"):
        read({"text": "x"}, stop="canary")
    with pytest.raises(UpstreamError, match="named none"):
        read(stop="tool_use")
    with pytest.raises(UpstreamError, match="`malformed_tool_use`") as caught:
        read({"text": "x"}, stop="malformed_tool_use")
    assert caught.value.retryable
    with pytest.raises(UpstreamError, match="holds no message"):
        bedrock.decode(b'{"stopReason":"end_turn"}', build_target())
    with pytest.raises(UpstreamError, match="128 calls"):
        read(*[{"toolUse": {"toolUseId": str(place), "name": "look", "input": {}}} for place in range(129)])
    with pytest.raises(UpstreamError, match="garbled"):
        read({"image": {"format": "png", "source": {"bytes": "not base64!"}}})
