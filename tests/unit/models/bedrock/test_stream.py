"""What did the model on Bedrock answer, piece by piece?"""

from __future__ import annotations

import msgspec
import pytest
from tests.unit.models.bedrock.cases import build_target

from quorate.errors import Incomplete, QuorateError, RateLimited, TooLarge, UpstreamError
from quorate.messages import (
    Image,
    ReplyDone,
    StreamItem,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from quorate.models.providers import bedrock

Json = dict[str, object]
STOP: Json = {"messageStop": {"stopReason": "end_turn"}}
LAST: Json = {"metadata": {"usage": {"inputTokens": 3, "outputTokens": 4}}}


def delta(place: int, **piece: object) -> Json:
    return {"contentBlockDelta": {"contentBlockIndex": place, "delta": piece, "p": "padding"}}


def start(place: int, **what: object) -> Json:
    return {"contentBlockStart": {"contentBlockIndex": place, "start": what}}


def stop(place: int) -> Json:
    return {"contentBlockStop": {"contentBlockIndex": place}}


def read(*events: Json) -> list[StreamItem]:
    decoder = bedrock.build_decoder(build_target())
    items: list[StreamItem] = []
    for event in events:
        items += decoder.feed(msgspec.json.encode(event))
    return [*items, decoder.finish()]


def test_every_kind_of_piece() -> None:
    """In the order in which they begin; the reply says all that was given out."""
    items = read(
        {"messageStart": {"role": "assistant"}},
        delta(0, reasoningContent={"text": "H"}),
        delta(0, reasoningContent={"text": "m."}),
        delta(0, reasoningContent={"signature": "c2ln"}),
        stop(0),
        delta(1, reasoningContent={"redactedContent": "cmVk"}),
        stop(1),
        delta(2, text="Grü"),
        delta(2, text="ße"),
        stop(2),
        start(3, toolUse={"toolUseId": "s", "name": "search", "type": "server_tool_use"}),
        delta(3, toolUse={"input": "{}"}),
        stop(3),
        start(4, image={"format": "jpeg"}),
        delta(4, image={"source": {"bytes": "eA=="}}),
        stop(4),
        start(5, toolUse={"toolUseId": "a", "name": "look"}),
        delta(5, toolUse={"input": '{"pla'}),
        delta(5, toolUse={"input": 'ce":1}'}),
        stop(5),
        {"messageStop": {"stopReason": "tool_use"}},
        {"somethingNew": {"a": 1}},
        LAST,
    )
    assert items[:-1] == [
        ThinkingDelta("H"),
        ThinkingDelta("m."),
        TextDelta("Grü"),
        TextDelta("ße"),
        ToolCallDelta("a", "look", ""),
        ToolCallDelta("a", "look", '{"pla'),
        ToolCallDelta("a", "look", 'ce":1}'),
    ]
    done = items[-1]
    assert isinstance(done, ReplyDone)
    assert done.reply.message.parts == (
        Thinking(text="Hm.", signature="c2ln", provider="aws.bedrock"),
        Thinking(text="", signature="cmVk", provider="aws.bedrock", redacted=True),
        Text(text="Grüße"),
        Image(media_type="image/jpeg", data=b"x"),
        ToolCall(id="a", name="look", arguments='{"place":1}'),
    )
    assert done.reply.usage == Usage(input_tokens=3, output_tokens=4, requests=1)
    assert done.reply.stop == "tool_calls"


def test_pieces_may_come_by_turns() -> None:
    """Each is told by its number."""
    items = read(
        start(0, toolUse={"toolUseId": "a", "name": "look"}),
        start(1, toolUse={"toolUseId": "b", "name": "look"}),
        delta(1, toolUse={"input": "[2]"}),
        delta(0, toolUse={"input": "[1]"}),
        stop(1),
        stop(0),
        STOP,
        LAST,
    )
    done = items[-1]
    assert isinstance(done, ReplyDone)
    assert [(call.id, call.arguments) for call in done.reply.message.tool_calls] == [("a", "[1]"), ("b", "[2]")]


@pytest.mark.parametrize(
    "events",
    [
        (),
        (delta(0, text="x"),),
        (delta(0, text="x"), stop(0), STOP),
        (delta(0, text="x"), stop(0), LAST),
        (start(0, toolUse={"toolUseId": "a", "name": "look"}), STOP, LAST),
    ],
)
def test_what_has_no_end_is_incomplete(events: tuple[Json, ...]) -> None:
    """The reason and the counts both come last; a call must have ended before."""
    with pytest.raises(Incomplete) as caught:
        read(*events)
    assert caught.value.context["partial"] in ("x", "")


@pytest.mark.parametrize(
    "events",
    [
        (delta(0, toolUse={"input": "x"}),),
        (delta(0, text="x"), delta(0, toolUse={"input": "x"})),
        (start(0, toolUse={"toolUseId": "a", "name": "look"}), delta(0, text="x")),
        (delta(0, text="x"), delta(0, reasoningContent={"text": "x"})),
        (delta(0, text="x"), start(0, toolUse={"toolUseId": "a", "name": "look"})),
        (delta(0, text="x"), stop(0), stop(0)),
        (start(0, toolUse={"toolUseId": "a", "name": "look"}), stop(0), delta(0, toolUse={"input": "x"})),
        (STOP, STOP),
        (STOP, delta(0, text="x")),
        (start(0, toolUse={"toolUseId": "a"}), stop(0), STOP, LAST),
        (start(0, image={"format": "png"}), delta(0, image={"source": {"bytes": "!"}}), STOP, LAST),
        ({"contentBlockDelta": {"contentBlockIndex": "0"}},),
    ],
)
def test_what_makes_no_sense_is_garbled(events: tuple[Json, ...]) -> None:
    with pytest.raises(UpstreamError, match="garbled"):
        read(*events)


def test_the_number_of_pieces_is_bounded() -> None:
    with pytest.raises(UpstreamError, match="1024 pieces"):
        read(*[delta(place, text="x") for place in range(1_025)])
    with pytest.raises(UpstreamError, match="128 calls"):
        read(*[start(place, toolUse={"toolUseId": "a", "name": "look"}) for place in range(129)])


@pytest.mark.parametrize(
    ("event", "kind", "retryable"),
    [
        ({"throttlingException": {"message": "slow canary"}}, RateLimited, True),
        ({"modelStreamErrorException": {"message": "canary", "originalStatusCode": 500}}, UpstreamError, True),
        ({"internalServerException": {}}, UpstreamError, True),
        ({"serviceUnavailableException": None}, UpstreamError, True),
        ({"validationException": {"message": "Input is too long for requested model canary"}}, TooLarge, False),
        ({"error": {"code": "InternalFailure", "message": "canary"}}, UpstreamError, True),
    ],
)  # fmt: skip
def test_an_exception_is_raised_by_its_name(event: Json, kind: type[QuorateError], retryable: bool) -> None:
    """Its sentence is not repeated."""
    with pytest.raises(kind) as caught:
        read(delta(0, text="x"), event)
    assert caught.value.retryable == retryable
    assert "canary" not in f"{caught.value} {caught.value.context}"
