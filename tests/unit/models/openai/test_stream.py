"""Is a streamed reply the same as a whole one, and a cut one never?"""

import json
import sys
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.models.openai.test_decode import JSON

from quorate.errors import Incomplete, QuorateError, RateLimited, UpstreamError
from quorate.messages import ReplyDone, StreamItem, TextDelta, ThinkingDelta, ToolCall, ToolCallDelta, Usage
from quorate.models.providers.openai.reply import decode
from quorate.models.providers.openai.stream import StreamDecoder
from quorate.models.sse import EventParser
from quorate.testing.provider_server import Answer, build_completion, build_events

FULL = Answer(
    text="Grüße, world 🌍!",
    thinking="Let me see.",
    calls=(ToolCall(id="a", name="f", arguments='{"x": [1, 2]}'), ToolCall(id="b", name="g", arguments='{"y": ')),
    usage=Usage(input_tokens=10, output_tokens=5, cached_tokens=4, reasoning_tokens=3),
    piece=5,
)


def read(body: bytes) -> list[StreamItem]:
    decoder, items = StreamDecoder(), []
    for event in EventParser().feed(body):
        items += decoder.feed(event)
    return [*items, decoder.finish()]


def feed(*events: object) -> list[StreamItem]:
    decoder, items = StreamDecoder(), []
    for event in events:
        items += decoder.feed(event if isinstance(event, bytes) else json.dumps(event).encode())
    return [*items, decoder.finish()]


def chunk(delta: dict, finish: str | None = None) -> dict:
    return {"id": "x", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def test_a_stream_ends_in_the_same_reply_as_the_whole() -> None:
    """Text, reasoning, parallel calls, usage with cached and reasoning tokens."""
    items = read(b"".join(build_events(FULL)))
    done = items[-1]
    assert isinstance(done, ReplyDone)
    assert done.reply == decode(build_completion(FULL))


def test_the_pieces_add_up_to_the_reply() -> None:
    items = read(b"".join(build_events(FULL)))
    assert "".join(i.text for i in items if isinstance(i, TextDelta)) == FULL.text
    assert "".join(i.text for i in items if isinstance(i, ThinkingDelta)) == FULL.thinking
    for call in FULL.calls:
        pieces = [i for i in items if isinstance(i, ToolCallDelta) and i.call_id == call.id]
        assert "".join(p.arguments for p in pieces) == call.arguments
        assert {p.name for p in pieces} == {call.name}


def test_a_cut_at_any_byte_is_never_a_success() -> None:
    """Every shorter stream is `Incomplete`, and keeps the text that came."""
    body = b"".join(build_events(FULL))
    longest = ""
    for end in range(len(body)):
        with pytest.raises(Incomplete, match="was cut") as caught:
            read(body[:end])
        partial = str(caught.value.context["partial"])
        assert FULL.text.startswith(partial)
        assert len(partial) >= len(longest)
        longest = partial
    assert longest == FULL.text


def test_a_stream_without_its_reason_is_incomplete() -> None:
    with pytest.raises(Incomplete, match="the reason why it ended"):
        read(b"".join(build_events(Answer(text="x", finish=None))))


def test_an_unknown_stop_reason_is_typed() -> None:
    with pytest.raises(UpstreamError, match="unknown reason 'vanished'"):
        feed(chunk({"content": "x"}, "vanished"), b"[DONE]")


def test_a_refusal_is_filtered() -> None:
    done = read(b"".join(build_events(Answer(refusal="I cannot."))))[-1]
    assert isinstance(done, ReplyDone)
    assert (done.reply.stop, done.reply.message.text) == ("filtered", "I cannot.")


def test_calls_without_an_index_are_told_apart_by_their_ids() -> None:
    def piece(id_: str | None, arguments: str) -> dict:
        return chunk({"tool_calls": [{"id": id_, "function": {"name": "f", "arguments": arguments}}]})

    done = feed(piece("a", "{"), piece(None, "}"), piece("b", "{ }"), chunk({}, "tool_calls"), b"[DONE]")[-1]
    assert isinstance(done, ReplyDone)
    assert [(c.id, c.arguments) for c in done.reply.message.tool_calls] == [("a", "{}"), ("b", "{ }")]


def test_too_many_calls_are_refused() -> None:
    calls = [{"index": n, "id": str(n), "function": {"name": "f"}} for n in range(129)]
    with pytest.raises(UpstreamError, match="more than 128"):
        feed(chunk({"tool_calls": calls}))


def test_an_error_in_the_middle_is_typed_and_not_repeated() -> None:
    with pytest.raises(UpstreamError, match="in the middle") as caught:
        feed(chunk({"content": "x"}), {"error": {"message": "secret words", "type": "server_error"}})
    assert "secret" not in str(caught.value)
    with pytest.raises(RateLimited):
        feed({"error": {"type": "rate_limit_error"}})


@pytest.mark.parametrize(
    "event", [b"{", b"[]", b"\xff", b"", b'{"choices": [{"delta": {"content": 1}}]}', b"[" * 99999]
)
def test_a_garbled_event_is_typed(event: bytes) -> None:
    with pytest.raises(UpstreamError, match="garbled"):
        StreamDecoder().feed(event)


def test_what_is_not_the_first_choice_is_skipped() -> None:
    second = {"choices": [{"index": 1, "delta": {"content": "no"}, "finish_reason": None}]}
    done = feed(chunk({"content": "yes"}, "stop"), second, b"[DONE]")[-1]
    assert isinstance(done, ReplyDone)
    assert done.reply.message.text == "yes"


@settings(max_examples=250)
@given(st.lists(JSON, max_size=6))
def test_any_events_give_a_reply_or_one_of_our_errors(values: list[object]) -> None:
    with suppress(QuorateError):
        feed(*values, b"[DONE]")


@settings(max_examples=250)
@given(st.data())
def test_a_stream_damaged_anywhere_gives_a_reply_or_one_of_our_errors(data: st.DataObject) -> None:
    """Bytes are overwritten, dropped or doubled."""
    body = bytearray(b"".join(build_events(FULL)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        how = data.draw(st.sampled_from(["change", "drop", "double"]))
        if how == "change":
            body[at] = data.draw(st.integers(0, 255))
        elif how == "drop":
            del body[at : at + data.draw(st.integers(1, 40))]
        else:
            body[at:at] = body[at : at + 20]
        if not body:
            return
    with suppress(QuorateError):
        read(bytes(body))


def test_a_piece_of_text_costs_few_calls() -> None:
    """Counted, Python and C: what one more text event costs, from bytes to item."""

    def count(pieces: int) -> int:
        body = b"".join(build_events(Answer(text="x" * pieces, piece=1)))
        calls = 0

        def tick(_frame: object, event: str, _arg: object) -> None:
            nonlocal calls
            calls += event in ("call", "c_call")

        sys.setprofile(tick)
        try:
            read(body)
        finally:
            sys.setprofile(None)
        return calls

    assert (count(300) - count(100)) / 200 <= 12


def test_signed_reasoning_in_pieces_becomes_whole() -> None:
    """Its words come as they are thought, its signature at the end, and the parts stay apart."""
    items = feed(
        chunk({"reasoning": "Let ", "reasoning_details": [{"type": "reasoning.text", "text": "Let ", "index": 0}]}),
        chunk({"reasoning": "me.", "reasoning_details": [{"type": "reasoning.text", "text": "me.", "index": 0}]}),
        chunk({"reasoning_details": [{"type": "reasoning.text", "signature": "abc", "index": 0}]}),
        chunk({"reasoning_details": [{"type": "reasoning.encrypted", "data": "xyz", "index": 1}]}),
        chunk({"content": "4"}),
        chunk({}, "stop"),
        b"[DONE]",
    )
    done = items[-1]
    assert isinstance(done, ReplyDone)
    assert [item.text for item in items if isinstance(item, ThinkingDelta)] == ["Let ", "me."]
    first, second, _ = done.reply.message.parts
    assert json.loads(first.signature) == {"type": "reasoning.text", "text": "Let me.", "signature": "abc", "index": 0}
    assert json.loads(second.signature) == {"type": "reasoning.encrypted", "data": "xyz", "index": 1}


def test_reasoning_of_too_many_parts_is_refused() -> None:
    """What is held is bounded."""
    many = [{"type": "reasoning.text", "text": "x", "index": place} for place in range(1000)]
    with pytest.raises(UpstreamError, match="more than 128 parts"):
        feed(chunk({"reasoning_details": many}))
