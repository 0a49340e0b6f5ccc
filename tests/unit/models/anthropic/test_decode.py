"""Is an answer of Anthropic read as it is, and its refusals as ours?"""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.errors import (
    Forbidden,
    Incomplete,
    NotFound,
    QuorateError,
    RateLimited,
    TooLarge,
    Unauthenticated,
    UnknownName,
    UpstreamError,
)
from quorate.messages import Text, Thinking, ToolCall, Usage
from quorate.models.providers import anthropic
from quorate.models.providers.anthropic import listing
from quorate.models.target import find_target

TARGET = find_target("anthropic:claude-opus-5-5", credentials={}.get, base_urls={})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from([
            "type", "content", "text", "thinking", "id", "name", "input", "stop_reason", "usage", "index", "delta",
            "content_block", "message", "error", "partial_json", "signature", "data", "input_tokens", "output_tokens",
        ]),
        inner,
        max_size=5,
    ),
    max_leaves=25,
)  # fmt: skip


def read(*blocks: dict, stop: str | None = "end_turn", **body: object) -> object:
    found = {"id": "msg_1", "type": "message", "model": "claude-opus-5-5-x", "content": blocks, "stop_reason": stop}
    return anthropic.decode(json.dumps(found | body).encode(), TARGET)


def test_every_piece_is_read_in_its_order() -> None:
    reply = read(
        {"type": "thinking", "thinking": "Hm.", "signature": "s1"},
        {"type": "redacted_thinking", "data": "s2"},
        {"type": "text", "text": "So.", "citations": None},
        {"type": "text", "text": ""},
        {"type": "server_tool_use", "id": "x", "name": "web_search", "input": {}},
        {"type": "tool_use", "id": "c1", "name": "look", "input": {"at": [1, "ü"]}},
        {"type": "tool_use", "id": "c2", "name": "look", "input": {}},
        stop="tool_use",
    )
    assert reply.message.parts == (
        Thinking(text="Hm.", signature="s1", provider="anthropic"),
        Thinking(text="", signature="s2", provider="anthropic", redacted=True),
        Text(text="So."),
        ToolCall(id="c1", name="look", arguments='{"at": [1, "\\u00fc"]}'),
        ToolCall(id="c2", name="look", arguments="{}"),
    )
    assert (reply.stop, reply.id, reply.model) == ("tool_calls", "msg_1", "claude-opus-5-5-x")


def test_what_was_left_out_of_the_request_is_noted() -> None:
    changes = [
        {"type": "thinking_dropped", "path": "messages.1.content.0", "reason": "prefix_binding_mismatch"},
        {"type": "thinking_dropped", "path": "messages.3.content.0", "reason": "prefix_binding_mismatch"},
        {"type": "thinking_dropped", "reason": "Canary-1"},
        {"type": "Canary-2"},
    ]
    notes = ("thinking_dropped: prefix_binding_mismatch", "thinking_dropped: no reason given")
    assert read(input_transformations=changes).notes == notes
    assert read(input_transformations=[]).notes == ()


def test_cached_input_is_part_of_the_input() -> None:
    usage = {
        "input_tokens": 10,
        "cache_read_input_tokens": 20,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 25, "ephemeral_1h_input_tokens": 5},
        "output_tokens": 7,
        "output_tokens_details": {"thinking_tokens": 4},
    }
    assert read(usage=usage).usage == Usage(
        input_tokens=60,
        cached_tokens=20,
        cache_write_tokens=30,
        cache_write_long_tokens=5,
        output_tokens=7,
        reasoning_tokens=4,
        requests=1,
    )


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("end_turn", "end"),
        ("stop_sequence", "end"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "length"),
        ("refusal", "filtered"),
    ],
)
def test_why_it_stopped_is_in_our_words(reason: str, stop: str) -> None:
    assert read({"type": "text", "text": "x"}, stop=reason).stop == stop


def test_a_stop_nobody_knows_is_an_error_with_the_words_so_far() -> None:
    with pytest.raises(UpstreamError, match="unknown reason 'compaction'; known: `end_turn`") as caught:
        read({"type": "text", "text": "half"}, stop="compaction")
    assert caught.value.context["partial"] == "half"


def test_no_stop_is_incomplete() -> None:
    with pytest.raises(Incomplete):
        read({"type": "text", "text": "half"}, stop=None)


def test_calls_are_bounded() -> None:
    call = {"type": "tool_use", "id": "c", "name": "look", "input": {}}
    with pytest.raises(UpstreamError, match="more than 128 calls"):
        read(*[call] * 129, stop="tool_use")
    with pytest.raises(UpstreamError, match="more than 4096 pieces"):
        read(*[{"type": "text", "text": "x"}] * 4097)
    with pytest.raises(UpstreamError, match="no usable name"):
        read({"type": "tool_use", "id": "c", "name": "", "input": {}}, stop="tool_use")


@pytest.mark.parametrize(
    ("status", "kind", "message", "error", "retryable"),
    [
        (400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum", TooLarge, False),
        (400, "invalid_request_error", "Your credit balance is too low", RateLimited, False),
        (400, "invalid_request_error", "bad", UpstreamError, False),
        (401, "authentication_error", "invalid x-api-key", Unauthenticated, False),
        (402, "billing_error", "pay", RateLimited, False),
        (403, "permission_error", "never you", Forbidden, False),
        (404, "not_found_error", "model: claude-x", UnknownName, False),
        (404, "not_found_error", "no such path", NotFound, False),
        (413, "request_too_large", "big", TooLarge, False),
        (429, "rate_limit_error", "slow", RateLimited, True),
        (500, "api_error", "oops", UpstreamError, True),
        (504, "timeout_error", "late", UpstreamError, True),
        (529, "overloaded_error", "Overloaded", UpstreamError, True),
    ],
)
def test_refusals_have_our_names(
    status: int, kind: str, message: str, error: type[QuorateError], retryable: bool
) -> None:
    body = json.dumps({"type": "error", "error": {"type": kind, "message": message}, "request_id": "r"}).encode()
    got = anthropic.decode_error(status, body, TARGET, retry_after_s=3)
    assert type(got) is error
    assert got.retryable == retryable
    assert message not in str(got)
    if error is UpstreamError:
        assert f"HTTP {status}, code `{kind}`" in str(got)
        assert got.context["retry_after_s"] == 3


def test_a_page_of_models_and_the_way_to_the_next() -> None:
    rows = [{"id": "a", "created_at": "1970-01-01T00:00:10Z", "max_input_tokens": 5}, {"id": "b", "created_at": "?"}]
    page = listing.decode(json.dumps({"data": rows, "has_more": True, "last_id": "b c"}).encode())
    assert [(one.name, one.created, one.context_tokens) for one in page.models] == [("a", 10.0, 5), ("b", None, None)]
    sending = listing.encode(TARGET, page=page.next)
    assert (sending.method, sending.url) == ("GET", "https://api.anthropic.com/v1/models?limit=1000&after_id=b%20c")
    assert listing.decode(b'{"data": [], "has_more": true}').next == ""
    with pytest.raises(UpstreamError):
        listing.decode(b"[]")


@settings(max_examples=300, deadline=None)
@given(JSON)
def test_no_answer_raises_anything_else(value: object) -> None:
    body = json.dumps(value).encode()
    for read_one in (lambda: anthropic.decode(body, TARGET), lambda: listing.decode(body)):
        with suppress(QuorateError):
            read_one()
    assert isinstance(anthropic.decode_error(400, body, TARGET), QuorateError)


@pytest.mark.parametrize("body", [b"", b"\xff", b'{"content": ' + b"[" * 200_000, b'{"content": [{"type": "tool_use"'])
def test_garbage_is_an_error_of_ours(body: bytes) -> None:
    with pytest.raises(UpstreamError, match="garbled"):
        anthropic.decode(body, TARGET)
