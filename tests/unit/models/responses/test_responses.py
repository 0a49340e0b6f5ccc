"""Are Responses written and read as OpenAI wants them, and keeps nothing?"""

import json
from base64 import b64encode

import pytest

from quorate.errors import BlockedByPolicy, Incomplete, InvalidInput, RateLimited, UpstreamError
from quorate.messages import (
    Audio,
    File,
    Image,
    Message,
    ReplyDone,
    StreamItem,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    Usage,
    build_user_message,
)
from quorate.models.providers.responses.reply import decode
from quorate.models.providers.responses.request import encode
from quorate.models.providers.responses.stream import StreamDecoder
from quorate.models.target import Target, find_target
from quorate.specs import ModelSettings, OutputSpec, Request, ToolSpec

TOOL = ToolSpec(name="look", description="Looks.", parameters={"type": "object", "properties": {}})
WORDS = {"type": "message", "id": "m1", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]}
CALL = {"type": "function_call", "id": "fc1", "call_id": "c1", "name": "look", "arguments": '{"at":1}'}
THOUGHT = {
    "type": "reasoning",
    "id": "rs1",
    "summary": [{"type": "summary_text", "text": "First."}, {"type": "summary_text", "text": "Then."}],
    "encrypted_content": "sealed",
}


def find(name: str = "openai-responses:gpt-5.2") -> Target:
    return find_target(name, credentials={}.get, base_urls={})


def write(*history: Message, to: str = "openai-responses:gpt-5.2", **request: object) -> dict:
    messages = history or (build_user_message("Hi"),)
    return json.loads(encode(Request(messages=messages, **request), find(to)))


def build(*output: dict, status: str | None = "completed", **rest: object) -> bytes:
    return json.dumps({"id": "r1", "model": "gpt-x", "status": status, "output": list(output), **rest}).encode()


def feed(*events: dict) -> list[StreamItem]:
    decoder, items = StreamDecoder(provider="openai"), []
    for event in events:
        items += decoder.feed(json.dumps(event).encode())
    return [*items, decoder.finish()]


def end(*output: dict, status: str = "completed", **rest: object) -> dict:
    return {"type": f"response.{status}", "response": {"id": "r1", "status": status, "output": list(output), **rest}}


def test_a_plain_question_is_not_kept_there() -> None:
    """The whole conversation is sent each time, and reasoning comes back sealed."""
    assert write() == {
        "model": "gpt-5.2",
        "input": [{"role": "user", "content": "Hi"}],
        "store": False,
        "include": ["reasoning.encrypted_content"],
    }
    assert "include" not in write(to="openai-responses:gpt-4.1")


def test_settings_have_their_names() -> None:
    settings = ModelSettings(temperature=0.5, top_p=0.5, max_tokens=9, reasoning="low", prompt_cache="long")
    body = write(instructions="Be kind.", settings=settings)
    assert (body["instructions"], body["temperature"], body["top_p"]) == ("Be kind.", 0.5, 0.5)
    assert (body["max_output_tokens"], body["reasoning"]) == (9, {"effort": "low"})
    assert body["prompt_cache_retention"] == "24h"


@pytest.mark.parametrize(
    "setting", [{"seed": 1}, {"stop": ("a",)}, {"frequency_penalty": 1.0}, {"presence_penalty": 1.0}, {"top_k": 3}]
)
def test_what_has_no_place_is_refused(setting: dict) -> None:
    with pytest.raises(InvalidInput, match=f"does not know `{next(iter(setting))}`"):
        write(settings=ModelSettings(**setting))


def test_tools_are_functions_that_are_not_strict() -> None:
    """Unless told otherwise they would be, and their schemas need not fit."""
    body = write(tools=(TOOL,), settings=ModelSettings(tool="look", parallel_tool_calls=False))
    assert body["tools"] == [
        {"type": "function", "name": "look", "description": "Looks.", "parameters": TOOL.parameters, "strict": False}
    ]
    assert body["tool_choice"] == {"type": "function", "name": "look"}
    assert body["parallel_tool_calls"] is False


def test_an_answer_schema_is_a_format() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    sent = write(output=OutputSpec(name="A", json_schema=schema))["text"]["format"]
    assert (sent["type"], sent["name"], sent["strict"]) == ("json_schema", "A", True)
    assert sent["schema"]["required"] == ["a"]


def test_a_turn_goes_back_in_its_order() -> None:
    """A call follows the reasoning that led to it, and its result follows the call."""
    said = (
        Thinking(text="Hm.", signature="sealed", id="rs1", provider="openai"),
        Text(text="I look.", signature="openai-phase:commentary"),
        ToolCall(id="c1", name="look", arguments='{"at": '),
    )
    results = (ToolResult(call_id="c1", name="look", content="seen"),)
    history = (build_user_message("Hi"), Message(role="assistant", parts=said), Message(role="tool", parts=results))
    assert write(*history)["input"][1:] == [
        {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "Hm."}],
            "encrypted_content": "sealed",
            "id": "rs1",
        },
        {"role": "assistant", "content": "I look.", "phase": "commentary"},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"at": '},
        {"type": "function_call_output", "call_id": "c1", "output": "seen"},
    ]


@pytest.mark.parametrize(
    "thought",
    [Thinking(text="x", signature="sealed", provider="anthropic"), Thinking(text="x", provider="openai")],
)
def test_reasoning_that_is_not_its_own_stays_here(thought: Thinking) -> None:
    """As does what was not sealed: nothing is kept there that an id would lead to."""
    history = (build_user_message("Hi"), Message(role="assistant", parts=(thought, Text(text="So."))))
    assert write(*history)["input"][1:] == [{"role": "assistant", "content": "So."}]


def test_tools_may_return_pictures_and_files() -> None:
    shown = (Text(text="drawn"), Image(data=b"png"), File(data=b"pdf", media_type="application/pdf", name="a.pdf"))
    result = ToolResult(call_id="c1", name="draw", content=shown)
    output = write(build_user_message("Hi"), Message(role="tool", parts=(result,)))["input"][1]["output"]
    assert [one["type"] for one in output] == ["input_text", "input_image", "input_file"]
    assert output[2]["file_data"] == f"data:application/pdf;base64,{b64encode(b'pdf').decode()}"


def test_what_a_person_shows() -> None:
    parts = (
        Text(text="See"),
        Image(url="https://x.test/a.png"),
        File(url="https://x.test/a.pdf", media_type="application/pdf"),
        File(data=b"four", media_type="text/plain", name="a.txt"),
    )
    text, image, paper, note = write(Message(role="user", parts=parts))["input"][0]["content"]
    assert text == {"type": "input_text", "text": "See"}
    assert image["image_url"] == "https://x.test/a.png"
    assert paper == {"type": "input_file", "file_url": "https://x.test/a.pdf"}
    assert note == {"type": "input_text", "text": "File a.txt:\nfour"}


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (Audio(data=b""), "cannot carry Audio"),
        (Image(), "neither data nor a URL"),
        (File(media_type="application/pdf", name="a"), "'a' has neither"),
        (Thinking(text="x"), "cannot carry Thinking"),
    ],
)
def test_what_it_cannot_carry_is_refused(part: object, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        write(Message(role="user", parts=(part,)))


def test_every_item_is_read() -> None:
    """And what is not ours, such as a search the provider made, is passed over."""
    usage = {
        "input_tokens": 10,
        "output_tokens": 5,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
        "output_tokens_details": {"reasoning_tokens": 3},
    }
    reply = decode(build(THOUGHT, {"type": "web_search_call", "id": "w"}, WORDS, CALL, usage=usage), provider="openai")
    assert reply.message.parts == (
        Thinking(text="First.\n\nThen.", signature="sealed", id="rs1", provider="openai"),
        Text(text="Hello"),
        ToolCall(id="c1", name="look", arguments='{"at":1}'),
    )
    assert (reply.stop, reply.id, reply.model) == ("tool_calls", "r1", "gpt-x")
    assert reply.usage == Usage(
        input_tokens=10, output_tokens=5, cached_tokens=4, cache_write_tokens=2, reasoning_tokens=3, requests=1
    )


def test_a_phase_is_kept_with_its_words() -> None:
    """Newer models want it back."""
    reply = decode(build({**WORDS, "phase": "final_answer"}))
    assert reply.message.parts == (Text(text="Hello", signature="openai-phase:final_answer"),)


def test_sealed_reasoning_without_words_is_kept() -> None:
    reply = decode(build({"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "sealed"}, WORDS))
    assert reply.message.parts[0] == Thinking(text="", signature="sealed", id="r", redacted=True)


@pytest.mark.parametrize(("reason", "stop"), [("max_output_tokens", "length"), ("content_filter", "filtered")])
def test_what_is_incomplete_says_why(reason: str, stop: str) -> None:
    assert decode(build(WORDS, status="incomplete", incomplete_details={"reason": reason})).stop == stop


@pytest.mark.parametrize("status", [None, "in_progress", "queued"])
def test_what_is_under_way_is_no_answer(status: str | None) -> None:
    with pytest.raises(Incomplete, match="no end") as caught:
        decode(build(WORDS, status=status))
    assert caught.value.context["partial"] == "Hello"


@pytest.mark.parametrize(
    ("code", "kind"),
    [("rate_limit_exceeded", RateLimited), ("server_error", UpstreamError), ("invalid_prompt", BlockedByPolicy)],
)
def test_what_failed_is_typed(code: str, kind: type) -> None:
    with pytest.raises(kind) as caught:
        decode(build(status="failed", error={"code": code, "message": "secret words"}))
    assert "secret" not in str(caught.value)


def test_an_unknown_end_is_named() -> None:
    with pytest.raises(UpstreamError, match="unknown reason 'bored'; known: `completed`, `max_output_tokens`"):
        decode(build(WORDS, status="incomplete", incomplete_details={"reason": "bored"}))


def test_a_stream_is_read_by_its_events() -> None:
    items = feed(
        {"type": "response.created", "response": {"id": "r1", "status": "in_progress"}},
        {"type": "response.reasoning_summary_text.delta", "delta": "First.", "summary_index": 0},
        {"type": "response.reasoning_summary_part.added", "summary_index": 1},
        {"type": "response.reasoning_summary_text.delta", "delta": "Then.", "summary_index": 1},
        {"type": "response.output_text.delta", "output_index": 1, "delta": "Hel"},
        {"type": "response.output_text.delta", "output_index": 1, "delta": "lo"},
        {"type": "response.output_item.added", "output_index": 2, "item": {**CALL, "arguments": ""}},
        {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": '{"at"'},
        {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": ":1}"},
        {"type": "response.output_item.done", "output_index": 2, "item": CALL},
        {"type": "response.something.new", "what": [1]},
        end(THOUGHT, WORDS, CALL),
    )
    done = items.pop()
    assert isinstance(done, ReplyDone)
    assert items == [
        ThinkingDelta("First."),
        ThinkingDelta("\n\n"),
        ThinkingDelta("Then."),
        TextDelta("Hel"),
        TextDelta("lo"),
        ToolCallDelta("c1", "look", ""),
        ToolCallDelta("c1", "look", '{"at"'),
        ToolCallDelta("c1", "look", ":1}"),
    ]
    assert done.reply == decode(build(THOUGHT, WORDS, CALL, model=None), provider="openai")


def test_a_stream_whose_end_names_no_items_has_those_that_came() -> None:
    items = feed(
        {"type": "response.output_text.delta", "output_index": 0, "delta": "Hello"},
        {"type": "response.output_item.done", "output_index": 0, "item": WORDS},
        {"type": "response.output_item.added", "output_index": 1, "item": {**CALL, "arguments": ""}},
        {"type": "response.output_item.done", "output_index": 1, "item": CALL},
        end(),
    )
    assert items[-2] == ToolCallDelta("c1", "look", '{"at":1}')
    assert items[-1].reply.message.parts == (Text(text="Hello"), ToolCall(id="c1", name="look", arguments='{"at":1}'))


@pytest.mark.parametrize("pieces", [["Hel"], ["Hel", "lo", "lo"], []])
def test_pieces_that_do_not_add_up_are_incomplete(pieces: list[str]) -> None:
    """An event was lost, or came twice."""
    with pytest.raises(Incomplete, match="not what it says at its end") as caught:
        feed(*({"type": "response.output_text.delta", "delta": piece} for piece in pieces), end(WORDS))
    assert caught.value.context["partial"] == "".join(pieces)


def test_arguments_that_do_not_add_up_are_incomplete() -> None:
    with pytest.raises(Incomplete, match="not what it says"):
        feed(
            {"type": "response.output_item.added", "output_index": 0, "item": {**CALL, "arguments": ""}},
            {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": '{"at"'},
            end(CALL),
        )


def test_a_stream_without_its_end_is_incomplete() -> None:
    with pytest.raises(Incomplete, match="its last event never came"):
        feed({"type": "response.output_text.delta", "delta": "Hello"})


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "code": "rate_limit_exceeded", "message": "secret"},
        {"type": "error", "error": {"code": "rate_limit_exceeded", "message": "secret"}},
        end(status="failed", error={"code": "rate_limit_exceeded", "message": "secret"}),
    ],
)
def test_an_error_in_the_middle_is_typed(event: dict) -> None:
    """In all three places where it may stand."""
    with pytest.raises(RateLimited) as caught:
        feed({"type": "response.output_text.delta", "delta": "Hel"}, event)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.function_call_arguments.delta", "output_index": 3, "delta": "{"},
        {"type": "response.completed"},
        {"type": "response.output_text.delta", "delta": 7},
        {"type": 7},
    ],
)
def test_events_that_make_no_sense_are_garbled(event: dict) -> None:
    with pytest.raises(UpstreamError, match="garbled"):
        feed(event)


def test_what_is_held_is_bounded() -> None:
    item = {"type": "function_call", "call_id": "c", "name": "f", "arguments": ""}
    events = [{"type": "response.output_item.added", "output_index": place, "item": item} for place in range(200)]
    with pytest.raises(UpstreamError, match="more than 128 calls"):
        feed(*events)
    items = [{"type": "response.output_item.done", "output_index": place, "item": WORDS} for place in range(2000)]
    with pytest.raises(UpstreamError, match="more than 1024 items"):
        feed(*items)
