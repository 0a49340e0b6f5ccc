"""Is an answer of Gemini read as it is, whole and in pieces, and its refusals as ours?"""

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
from quorate.messages import (
    Audio,
    Image,
    Reply,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from quorate.models.providers import gemini
from quorate.models.providers.gemini import embed, listing
from quorate.models.sse import EventParser
from quorate.models.target import find_target
from quorate.specs import EmbedRequest
from quorate.testing.provider_server import Answer, Sent
from quorate.testing.provider_server import gemini as wire

TARGET = find_target("gemini:gemini-3.8-flash", credentials={}.get, base_urls={})
SENT = Sent(path="/v1beta/models/gemini-3.8-flash:streamGenerateContent", headers={}, body={}, query="alt=sse")
FULL = Answer(
    text="Grüße, world 🌍!",
    thinking="Let me see.",
    signature="signed",
    calls=(ToolCall(id="a", name="f", arguments='{"x":[1,2]}'), ToolCall(id="b", name="g", arguments="{}")),
    usage=Usage(input_tokens=100, output_tokens=9, cached_tokens=40, reasoning_tokens=3),
    piece=5,
)
NAMES = [
    "candidates", "content", "parts", "text", "thought", "thoughtSignature", "functionCall", "name", "args", "id",
    "finishReason", "index", "usageMetadata", "promptTokenCount", "promptFeedback", "blockReason", "error", "details",
    "embeddings", "values", "models", "status", "code", "message",
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=25,
)


def build(*parts: dict, finish: str | None = "STOP", **body: object) -> dict:
    return {"candidates": [{"content": {"parts": parts, "role": "model"}, "finishReason": finish}]} | body


def read(*parts: dict, finish: str | None = "STOP", **body: object) -> Reply:
    return gemini.decode(json.dumps(build(*parts, finish=finish, **body)).encode(), TARGET)


def feed(*pieces: object) -> list:
    decoder, items = gemini.build_decoder(TARGET), []
    for piece in pieces:
        items += decoder.feed(piece if isinstance(piece, bytes) else json.dumps(piece).encode())
    return [*items, decoder.finish()]


def test_every_part_is_read_in_its_order() -> None:
    reply = read(
        {"text": "Hm.", "thought": True},
        {"text": "So.", "thoughtSignature": "s1"},
        {"executableCode": {"code": "1"}},
        {"functionCall": {"name": "look", "args": {"at": [1]}, "id": "g"}, "thoughtSignature": "s2"},
        {"functionCall": {"name": "wait"}},
        modelVersion="gemini-3.8-flash-001",
        responseId="r",
    )
    assert reply.message.parts == (
        Thinking(text="Hm.", provider="gcp.gemini"),
        Text(text="So.", signature="gcp.gemini:s1"),
        ToolCall(id="g", name="look", arguments='{"at": [1]}', signature="gcp.gemini:s2"),
        ToolCall(id="call-1", name="wait", arguments="{}"),
    )
    assert (reply.stop, reply.model, reply.id) == ("tool_calls", "gemini-3.8-flash-001", "r")


def test_a_stream_ends_in_the_same_reply_as_the_whole() -> None:
    decoder, items = gemini.build_decoder(TARGET), []
    for event in EventParser().feed(b"".join(wire.build_frames(FULL, SENT))):
        items += decoder.feed(event)
    reply = decoder.finish().reply
    assert reply == gemini.decode(wire.build_body(FULL, SENT), TARGET)
    assert reply.usage == FULL.usage + Usage(requests=1)
    assert "".join(i.text for i in items if isinstance(i, TextDelta)) == FULL.text == decoder.partial
    assert "".join(i.text for i in items if isinstance(i, ThinkingDelta)) == FULL.thinking
    assert next(i for i in items if isinstance(i, ToolCallDelta)).arguments == '{"x":[1,2]}'


def test_events_end_as_google_ends_them() -> None:
    data = json.dumps(build({"text": "Hi"})).encode()
    (event,) = EventParser().feed(b"data: " + data + b"\r\n\r\n")
    assert feed(event)[-1].reply.message.text == "Hi"


def test_signed_words_stay_apart_and_the_rest_is_joined() -> None:
    """A signature belongs to its very words, which may be none."""
    done = feed(
        build({"text": "a"}, finish=None),
        build({"text": "b"}, finish=None),
        build({"text": "c", "thoughtSignature": "s1"}, finish=None),
        build({"text": "d"}, finish=None),
        build({"text": ""}, finish=None),
        build({"text": "", "thoughtSignature": "s2"}),
    )[-1]
    assert done.reply.message.parts == (
        Text(text="ab"),
        Text(text="c", signature="gcp.gemini:s1"),
        Text(text="d"),
        Text(text="", signature="gcp.gemini:s2"),
    )


def test_reasoning_counts_as_output() -> None:
    usage = {
        "promptTokenCount": 10,
        "toolUsePromptTokenCount": 5,
        "cachedContentTokenCount": 4,
        "candidatesTokenCount": 7,
        "thoughtsTokenCount": 3,
    }
    assert read({"text": "x"}, usageMetadata=usage).usage == Usage(
        input_tokens=15, cached_tokens=4, output_tokens=10, reasoning_tokens=3, requests=1
    )


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("STOP", "end"),
        ("MAX_TOKENS", "length"),
        *((reason, "filtered") for reason in ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII")),
    ],
)
def test_why_it_stopped_is_in_our_words(reason: str, stop: str) -> None:
    assert read({"text": "x"}, finish=reason).stop == stop


def test_a_call_of_what_was_not_shown_is_a_call() -> None:
    """The loop tells the model that there is no such tool."""
    reply = read({"functionCall": {"name": "never"}}, finish="UNEXPECTED_TOOL_CALL")
    assert (reply.stop, reply.message.tool_calls[0].name) == ("tool_calls", "never")


def test_what_a_model_draws_and_says_aloud_is_kept() -> None:
    reply = read(
        {"text": "Here:"},
        {"inlineData": {"mimeType": "image/jpeg", "data": "eA=="}},
        {"inlineData": {"mimeType": "audio/pcm", "data": "eQ=="}},
        {"inlineData": {"mimeType": "image/png", "data": "eA=="}, "thought": True},
    )
    assert reply.message.parts[1:] == (
        Image(media_type="image/jpeg", data=b"x"),
        Audio(media_type="audio/pcm", data=b"y"),
    )
    with pytest.raises(UpstreamError, match="garbled"):
        read({"inlineData": {"mimeType": "image/jpeg", "data": "no base64"}})


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "OTHER", "MALFORMED_RESPONSE"])
def test_a_model_that_went_wrong_may_be_asked_again(reason: str) -> None:
    with pytest.raises(UpstreamError, match=f"went wrong, the provider says \\(`{reason}`\\)") as caught:
        read({"text": "half"}, finish=reason)
    assert caught.value.retryable
    assert caught.value.context["partial"] == "half"


def test_a_stop_nobody_knows_is_an_error_with_the_words_so_far() -> None:
    with pytest.raises(UpstreamError, match="unknown reason 'TOMORROW'; known: `STOP`") as caught:
        read({"text": "half"}, finish="TOMORROW")
    assert (caught.value.retryable, caught.value.context["partial"]) == (False, "half")


def test_no_stop_is_incomplete() -> None:
    with pytest.raises(Incomplete) as caught:
        feed(build({"text": "half"}, finish=None))
    assert caught.value.context["partial"] == "half"


def test_a_question_that_was_blocked_is_filtered() -> None:
    """Whole and streamed: there is no candidate then."""
    blocked = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 5}}
    for reply in (gemini.decode(json.dumps(blocked).encode(), TARGET), feed(blocked)[-1].reply):
        assert (reply.stop, reply.message.parts, reply.usage.input_tokens) == ("filtered", (), 5)


def test_only_the_first_of_several_answers_is_read() -> None:
    other = {"index": 1, "content": {"parts": [{"text": "no"}]}, "finishReason": "STOP"}
    assert feed(build({"text": "yes"}), {"candidates": [other]})[-1].reply.message.text == "yes"


def test_calls_and_parts_are_bounded() -> None:
    with pytest.raises(UpstreamError, match="more than 128 calls"):
        read(*[{"functionCall": {"name": "f"}}] * 129)
    with pytest.raises(UpstreamError, match="more than 4096 pieces"):
        read(*[{"text": "x", "thoughtSignature": "s"}] * 4097)
    with pytest.raises(UpstreamError, match="no usable name"):
        read({"functionCall": {"args": {}}})


@pytest.mark.parametrize(
    ("status", "word", "message", "error", "retryable"),
    [
        (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", Unauthenticated, False),
        (400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of tokens", TooLarge, False),
        (400, "FAILED_PRECONDITION", "billing", UpstreamError, False),
        (401, "UNAUTHENTICATED", "who", Unauthenticated, False),
        (403, "PERMISSION_DENIED", "never you", Forbidden, False),
        (404, "NOT_FOUND", "models/x is not found for API version v1beta", UnknownName, False),
        (404, "NOT_FOUND", "elsewhere", NotFound, False),
        (429, "RESOURCE_EXHAUSTED", "quota", RateLimited, True),
        (500, "INTERNAL", "oops", UpstreamError, True),
        (503, "UNAVAILABLE", "The model is overloaded.", UpstreamError, True),
        (504, "DEADLINE_EXCEEDED", "late", UpstreamError, True),
    ],
)
def test_refusals_have_our_names(
    status: int, word: str, message: str, error: type[QuorateError], retryable: bool
) -> None:
    body = json.dumps({"error": {"code": status, "message": message, "status": word}}).encode()
    for sent in (body, b"[" + body + b"]"):
        got = gemini.decode_error(status, sent, TARGET)
        assert type(got) is error
        assert got.retryable == retryable
        assert message not in str(got)


def test_how_long_to_wait_is_read_from_the_details() -> None:
    """Unless a header says it."""
    details = [
        {"@type": "type.googleapis.com/google.rpc.Help", "links": []},
        7,
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.07s"},
    ]
    fault = {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED", "details": details}
    body = json.dumps({"error": fault}).encode()
    assert gemini.decode_error(429, body, TARGET).context["retry_after_s"] == 34.07
    assert gemini.decode_error(429, body, TARGET, retry_after_s=2).context["retry_after_s"] == 2
    with pytest.raises(RateLimited) as caught:
        feed({"error": fault})
    assert caught.value.retry_after_s == 34.07


@pytest.mark.parametrize(
    ("fault", "error", "retryable"),
    [
        ({"code": 503, "status": "UNAVAILABLE", "message": "x"}, UpstreamError, True),
        ({"code": 500, "status": "INTERNAL", "message": "x"}, UpstreamError, True),
        ({"code": 400, "status": "INVALID_ARGUMENT", "message": "exceeds the maximum number of tokens"}, TooLarge, False),
        ({}, UpstreamError, True),
    ],
)  # fmt: skip
def test_an_error_in_the_middle_is_raised(fault: object, error: type[QuorateError], retryable: bool) -> None:
    with pytest.raises(error) as caught:
        feed(build({"text": "half"}, finish=None), {"error": fault})
    assert caught.value.retryable == retryable


def test_texts_are_asked_for_vectors_together() -> None:
    target = find_target("gemini:gemini-embedding-2", credentials={}.get, base_urls={})
    sending = embed.encode(EmbedRequest(texts=("a", "b"), dimensions=3, purpose="query"), target)
    assert sending.url.endswith("/v1beta/models/gemini-embedding-2:batchEmbedContents")
    assert json.loads(sending.body)["requests"][1] == {
        "model": "models/gemini-embedding-2",
        "content": {"parts": [{"text": "task: search result | query: b"}]},
        "outputDimensionality": 3,
    }
    body = b'{"embeddings": [{"values": [1, 2]}, {"values": [3, 4]}], "usageMetadata": {"promptTokenCount": 5}}'
    got = embed.decode(body, target)
    assert got.vectors == ((1.0, 2.0), (3.0, 4.0))
    assert (got.usage.input_tokens, got.model) == (5, "gemini-embedding-2")


def test_older_models_are_told_by_a_field_what_texts_are_for() -> None:
    target = find_target("gemini:gemini-embedding-001", credentials={}.get, base_urls={})
    (asked,) = json.loads(embed.encode(EmbedRequest(texts=("a",), purpose="document"), target).body)["requests"]
    assert (asked["content"], asked["taskType"]) == ({"parts": [{"text": "a"}]}, "RETRIEVAL_DOCUMENT")
    plain = embed.encode(EmbedRequest(texts=("a",)), TARGET)
    assert json.loads(plain.body)["requests"][0]["content"] == {"parts": [{"text": "a"}]}


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"embeddings": [{"values": [1]}, {"values": []}]}', b"\xff"])
def test_vectors_that_are_none_are_garbled(body: bytes) -> None:
    with pytest.raises(UpstreamError, match="garbled"):
        embed.decode(body, TARGET)


def test_a_page_of_models_and_the_way_to_the_next() -> None:
    page = listing.decode(b'{"models": [{"name": "models/a", "inputTokenLimit": 5}], "nextPageToken": "x y"}')
    assert [(one.name, one.context_tokens) for one in page.models] == [("a", 5)]
    assert listing.encode(TARGET, page=page.next).url.endswith("/v1beta/models?pageSize=1000&pageToken=x%20y")
    assert listing.decode(b"{}").models == ()


@settings(max_examples=300, deadline=None)
@given(JSON)
def test_no_answer_raises_anything_else(value: object) -> None:
    body = json.dumps(value).encode()
    for read_one in (
        lambda: gemini.decode(body, TARGET),
        lambda: feed(build({"text": "x"}, finish=None), body),
        lambda: embed.decode(body, TARGET),
        lambda: listing.decode(body),
    ):
        with suppress(QuorateError):
            read_one()
    assert isinstance(gemini.decode_error(400, body, TARGET), QuorateError)


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b'{"candidates": ' + b"[" * 200_000])
def test_garbage_is_an_error_of_ours(body: bytes) -> None:
    with pytest.raises(UpstreamError, match="garbled"):
        gemini.decode(body, TARGET)
