"""Is a streamed answer of Anthropic the same as a whole one, and a broken one never?"""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.models.anthropic.test_decode import JSON, TARGET

from quorate.errors import Incomplete, QuorateError, RateLimited, TooLarge, UpstreamError
from quorate.messages import ReplyDone, TextDelta, Thinking, ThinkingDelta, ToolCall, ToolCallDelta, Usage
from quorate.models.providers import anthropic
from quorate.models.sse import EventParser
from quorate.testing.provider_server import Answer, Sent
from quorate.testing.provider_server import anthropic as wire

FULL = Answer(
    text="Grüße, world 🌍!",
    thinking="Let me see.",
    signature="signed",
    calls=(ToolCall(id="a", name="f", arguments='{"x":[1,2]}'), ToolCall(id="b", name="g", arguments="{}")),
    usage=Usage(input_tokens=100, output_tokens=5, cached_tokens=40, cache_write_tokens=30, cache_write_long_tokens=8,
                reasoning_tokens=3),
    piece=5,
)  # fmt: skip
SENT = Sent(path="/v1/messages", headers={}, body={"model": "claude-opus-5-5"})
START = {"type": "message_start", "message": {"id": "m", "content": [], "usage": {"input_tokens": 9}}}
END = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}}
STOP = {"type": "message_stop"}


def begin(block: dict, index: int = 0) -> dict:
    return {"type": "content_block_start", "index": index, "content_block": block}


def add(delta: dict, index: int = 0) -> dict:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def feed(*events: object) -> list:
    decoder, items = anthropic.build_decoder(TARGET), []
    for event in events:
        items += decoder.feed(event if isinstance(event, bytes) else json.dumps(event).encode())
    return [*items, decoder.finish()]


def test_a_stream_ends_in_the_same_reply_as_the_whole() -> None:
    """Reasoning with its signature, text, parallel calls, and every count."""
    decoder, items = anthropic.build_decoder(TARGET), []
    for event in EventParser().feed(b"".join(wire.build_frames(FULL, SENT))):
        items += decoder.feed(event)
    assert decoder.is_done
    reply = decoder.finish().reply
    assert reply == anthropic.decode(wire.build_body(FULL, SENT), TARGET)
    assert reply.usage.cache_write_long_tokens == 8
    assert "".join(i.text for i in items if isinstance(i, TextDelta)) == FULL.text == decoder.partial
    assert "".join(i.text for i in items if isinstance(i, ThinkingDelta)) == FULL.thinking
    assert "".join(i.arguments for i in items if isinstance(i, ToolCallDelta) and i.call_id == "a") == '{"x":[1,2]}'


def test_pings_and_what_is_not_known_are_skipped() -> None:
    done = feed(
        START,
        {"type": "ping"},
        {"type": "tomorrow", "index": 3, "more": [1]},
        begin({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}),
        add({"type": "input_json_delta", "partial_json": '{"q": 1}'}),
        begin({"type": "text", "text": ""}, 1),
        add({"type": "citations_delta", "citation": {}}, 1),
        add({"type": "text_delta", "text": "Hi"}, 1),
        END,
        STOP,
    )[-1]
    assert isinstance(done, ReplyDone)
    assert done.reply.message.text == "Hi"
    assert len(done.reply.message.parts) == 1
    assert (done.reply.usage.input_tokens, done.reply.usage.output_tokens) == (9, 3)


def test_what_was_left_out_of_the_request_is_noted() -> None:
    """At the beginning, or at the end where another model took over."""
    dropped = {"input_transformations": [{"type": "thinking_dropped", "reason": "model_binding_mismatch"}]}
    start = {"type": "message_start", "message": START["message"] | dropped}
    for events in ((start, END, STOP), (START, END | dropped, STOP)):
        assert feed(*events)[-1].reply.notes == ("thinking_dropped: model_binding_mismatch",)


def test_redacted_and_silent_reasoning_is_kept_for_its_signature() -> None:
    done = feed(
        START,
        begin({"type": "redacted_thinking", "data": "r"}),
        begin({"type": "thinking", "thinking": "", "signature": ""}, 1),
        add({"type": "signature_delta", "signature": "s"}, 1),
        END,
        STOP,
    )[-1]
    assert done.reply.message.parts == (
        Thinking(text="", signature="r", provider="anthropic", redacted=True),
        Thinking(text="", signature="s", provider="anthropic"),
    )


def test_arguments_that_come_at_once_are_read_too() -> None:
    items = feed(
        START,
        begin({"type": "tool_use", "id": "c", "name": "look", "input": {"at": 1}}),
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
        STOP,
    )
    assert items[0] == ToolCallDelta("c", "look", '{"at": 1}')
    assert items[-1].reply.message.tool_calls == (ToolCall(id="c", name="look", arguments='{"at": 1}'),)


def test_arguments_that_were_cut_stay_as_they_are() -> None:
    """The model met its bound: the answer is `length`, and the tool sees what there is."""
    items = feed(
        START,
        begin({"type": "tool_use", "id": "c", "name": "look", "input": {}}),
        add({"type": "input_json_delta", "partial_json": '{"at": "'}),
        {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}},
        STOP,
    )
    assert items[-1].reply.stop == "length"
    assert items[-1].reply.message.tool_calls[0].arguments == '{"at": "'


@pytest.mark.parametrize(
    ("fault", "error", "retryable"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, UpstreamError, True),
        ({"type": "api_error", "message": "x"}, UpstreamError, True),
        ({"type": "rate_limit_error", "message": "x"}, RateLimited, True),
        ({"type": "invalid_request_error", "message": "prompt is too long"}, TooLarge, False),
        (None, UpstreamError, True),
    ],
)
def test_an_error_in_the_middle_is_raised(fault: object, error: type[QuorateError], retryable: bool) -> None:
    with pytest.raises(error) as caught:
        feed(START, {"type": "error", "error": fault})
    assert caught.value.retryable == retryable
    assert "Overloaded" not in str(caught.value)


@pytest.mark.parametrize(
    "events",
    [
        (START, START),
        (END,),
        (begin({"type": "text"}),),
        (START, add({"type": "text_delta", "text": "x"})),
        (START, begin({"type": "text"}), begin({"type": "text"})),
        (START, begin({"type": "tool_use", "id": "c", "name": "f"}), add({"type": "text_delta", "text": "x"})),
        (START, b"not json"),
        (START, b"[1]"),
        (START, b'{"type": "content_block_delta", "index": "x"}'),
        (START, b'{"type": ' + b"[" * 200_000),
    ],
)
def test_events_that_make_no_sense_are_garbled(events: tuple[object, ...]) -> None:
    with pytest.raises(UpstreamError, match="garbled"):
        feed(*events)


@pytest.mark.parametrize(
    ("events", "missing"),
    [
        ((), "the reason why it ended"),
        ((START,), "the reason why it ended"),
        ((START, STOP), "the reason why it ended"),
        ((START, END), "its last event"),
    ],
)
def test_a_stream_without_its_end_is_incomplete(events: tuple[object, ...], missing: str) -> None:
    with pytest.raises(Incomplete, match=missing) as caught:
        feed(*events)
    assert caught.value.context["partial"] == ""


def test_calls_and_pieces_are_bounded() -> None:
    calls = [begin({"type": "tool_use", "id": f"c{i}", "name": "f", "input": {}}, i) for i in range(129)]
    with pytest.raises(UpstreamError, match="more than 128 calls"):
        feed(START, *calls)
    with pytest.raises(UpstreamError, match="more than 4096 pieces"):
        feed(START, *[begin({"type": "text"}, i) for i in range(4097)])


@settings(max_examples=300, deadline=None)
@given(st.lists(JSON | st.just(START) | st.just(begin({"type": "text"})) | st.just(STOP), max_size=6))
def test_no_stream_raises_anything_else(events: list[object]) -> None:
    with suppress(QuorateError):
        feed(*events)
