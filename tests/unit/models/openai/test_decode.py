"""Is a reply read for what it says, and never for more?"""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.errors import Incomplete, QuorateError, RateLimited, TooLarge, UpstreamError
from quorate.messages import Text, Thinking, ToolCall, Usage
from quorate.models.providers.openai.reply import decode
from quorate.testing.provider_server import Answer, build_completion


def build(message: dict, finish: object = "stop", **rest: object) -> bytes:
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": finish}], **rest}).encode()


def test_text_usage_and_names_are_read() -> None:
    usage = Usage(input_tokens=10, output_tokens=5, cached_tokens=4, reasoning_tokens=3)
    reply = decode(build_completion(Answer(text="Hello", usage=usage), model="gpt-x"))
    assert (reply.message.text, reply.model, reply.id, reply.stop) == ("Hello", "gpt-x", "chatcmpl-1", "end")
    assert reply.usage == Usage(input_tokens=10, output_tokens=5, cached_tokens=4, reasoning_tokens=3, requests=1)


def test_parallel_calls_keep_their_order_and_malformed_arguments_stay_text() -> None:
    calls = (ToolCall(id="a", name="f", arguments='{"x": 1'), ToolCall(id="b", name="g", arguments="{}"))
    reply = decode(build_completion(Answer(calls=calls)))
    assert reply.message.tool_calls == calls
    assert reply.stop == "tool_calls"


def test_a_call_without_id_or_arguments_gets_them() -> None:
    reply = decode(build({"tool_calls": [{"function": {"name": "f", "arguments": ""}}]}))
    assert reply.message.tool_calls == (ToolCall(id="call-0", name="f", arguments="{}"),)


def test_calls_count_even_when_the_reason_is_stop() -> None:
    """A forced call ends with `stop` at some servers."""
    assert decode(build({"tool_calls": [{"id": "a", "function": {"name": "f"}}]})).stop == "tool_calls"


def test_a_refusal_is_filtered() -> None:
    reply = decode(build({"content": None, "refusal": "I cannot."}))
    assert (reply.stop, reply.message.text) == ("filtered", "I cannot.")


def test_reasoning_is_kept_apart() -> None:
    reply = decode(build({"content": "4", "reasoning": "2+2"}))
    assert reply.message.parts[0] == Thinking(text="2+2")
    assert reply.message.text == "4"


@pytest.mark.parametrize(
    ("finish", "stop"), [("stop", "end"), ("length", "length"), ("content_filter", "filtered"), ("tool_calls", "end")]
)
def test_stop_reasons_have_our_names(finish: str, stop: str) -> None:
    assert decode(build({"content": "x"}, finish)).stop == stop


def test_an_unknown_stop_reason_is_an_error_that_names_it() -> None:
    with pytest.raises(UpstreamError, match="unknown reason 'vanished'; known: `stop`") as caught:
        decode(build({"content": "half"}, "vanished"))
    assert caught.value.context["partial"] == "half"


def test_a_reply_without_an_end_is_incomplete() -> None:
    with pytest.raises(Incomplete, match="no end") as caught:
        decode(build({"content": "half"}, None))
    assert caught.value.context["partial"] == "half"


def test_calls_that_are_announced_and_missing_are_an_error() -> None:
    with pytest.raises(UpstreamError, match="named none"):
        decode(build({"content": None}, "tool_calls"))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"null",
        b'{"choices": []}',
        b'{"choices": [{"message": {"content": 7}}]}',
        b'{"choices": [{}]}',
        b'{"choices": [{"message": {"tool_calls": [{}]}, "finish_reason": "stop"}]}',
        b'{"x": ' + b"[" * 100_000,
    ],
)
def test_garbage_is_an_upstream_error(body: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        decode(body)
    assert caught.value.retryable


def test_negative_counts_are_nothing() -> None:
    assert decode(build({"content": "x"}, usage={"prompt_tokens": -5, "completion_tokens": None})).usage == Usage(
        requests=1
    )


@pytest.mark.parametrize(
    ("error", "type_"),
    [
        ({"message": "secret words", "code": "rate_limit_exceeded"}, RateLimited),
        ({"code": "context_length_exceeded"}, TooLarge),
        ({"message": "secret words", "type": "server_error"}, UpstreamError),
        ("secret words", UpstreamError),
        ({"code": 502}, UpstreamError),
    ],
)
def test_an_error_in_the_place_of_a_reply_is_typed(error: object, type_: type) -> None:
    with pytest.raises(type_) as caught:
        decode(json.dumps({"error": error}).encode())
    assert "secret" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3)
    | st.dictionaries(
        st.sampled_from([
            "choices", "message", "delta", "content", "tool_calls", "function", "name", "arguments", "index",
            "finish_reason", "usage", "error", "id", "model", "refusal", "prompt_tokens", "code", "type",
        ]),
        children,
        max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=250)
@given(JSON)
def test_any_json_gives_a_reply_or_one_of_our_errors(value: object) -> None:
    with suppress(QuorateError):
        decode(json.dumps(value).encode())


@settings(max_examples=500)
@given(st.binary(max_size=200))
def test_any_bytes_give_one_of_our_errors(body: bytes) -> None:
    with pytest.raises(QuorateError):
        decode(body)


def test_content_in_pieces_is_read() -> None:
    """As Mistral gives it: what was thought beside what was said."""
    pieces = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "2+"}, {"type": "text", "text": "2"}]},
        {"type": "text", "text": "4"},
        {"type": "text", "text": "."},
    ]
    reply = decode(build({"content": pieces}), provider="mistral_ai")
    assert reply.message.parts == (Thinking(text="2+2", provider="mistral_ai"), Text(text="4."))


def test_signed_reasoning_is_kept_part_by_part() -> None:
    """As OpenRouter gives it; fields that nobody knows are not kept."""
    details = [
        {"type": "reasoning.text", "text": "Hm", "signature": "abc", "index": 0, "new": 1},
        {"type": "reasoning.encrypted", "data": "xyz", "id": "r1", "index": 1},
    ]
    text, closed = decode(build({"content": "4", "reasoning": "Hm", "reasoning_details": details})).message.parts[:2]
    assert isinstance(text, Thinking)
    assert isinstance(closed, Thinking)
    assert (text.text, text.redacted, closed.text, closed.redacted, closed.id) == ("Hm", False, "", True, "r1")
    assert json.loads(text.signature or "") == {"type": "reasoning.text", "text": "Hm", "signature": "abc", "index": 0}


@pytest.mark.parametrize("finish", ["error", "abort", "insufficient_system_resource"])
def test_a_server_that_gave_up_may_be_asked_again(finish: str) -> None:
    with pytest.raises(UpstreamError, match=f"failed in the middle \\({finish}\\)") as caught:
        decode(build({"content": "half"}, finish))
    assert caught.value.retryable
    assert caught.value.context["partial"] == "half"


@pytest.mark.parametrize(("finish", "stop"), [("eos", "end"), ("model_length", "length"), ("function_call", "end")])
def test_stop_reasons_of_others_have_our_names(finish: str, stop: str) -> None:
    assert decode(build({"content": "x"}, finish)).stop == stop


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 5}},
        {"prompt_tokens": 9, "cached_tokens": 5},
        {"prompt_tokens": 9, "prompt_cache_hit_tokens": 5, "prompt_cache_miss_tokens": 4},
    ],
)
def test_cached_tokens_are_found_where_each_server_puts_them(usage: dict) -> None:
    assert decode(build({"content": "x"}, usage=usage)).usage.cached_tokens == 5
