"""Is Ollama asked and read in its own words?"""

import json
from base64 import b64encode

import pytest

from quorate.errors import Incomplete, InvalidInput, TooLarge, UnknownName, UpstreamError
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
from quorate.models.providers import ollama
from quorate.models.providers.ollama.listing import decode as decode_list
from quorate.models.providers.ollama.reply import decode
from quorate.models.providers.ollama.request import build_url, encode
from quorate.models.providers.ollama.stream import StreamDecoder
from quorate.models.target import find_target
from quorate.specs import ModelSettings, OutputSpec, Request, ToolSpec

TOOL = ToolSpec(name="look", description="Looks.", parameters={"type": "object", "properties": {}})
TARGET = find_target("ollama:qwen3:8b", credentials={}.get, base_urls={})
CALL = {"id": "c1", "function": {"index": 0, "name": "look", "arguments": {"at": 1}}}
LAST = {"done": True, "done_reason": "stop", "prompt_eval_count": 10, "eval_count": 5}


def write(*history: Message, **request: object) -> dict:
    messages = history or (build_user_message("Hi"),)
    return json.loads(encode(Request(messages=messages, **request), TARGET))


def build(message: dict, **rest: object) -> bytes:
    return json.dumps({"model": "qwen3:8b", "message": {"role": "assistant", **message}, **LAST, **rest}).encode()


def feed(*lines: dict) -> list[StreamItem]:
    decoder, items = StreamDecoder(provider="ollama"), []
    for line in lines:
        items += decoder.feed(json.dumps(line).encode())
    return [*items, decoder.finish()]


def test_a_plain_question_is_never_shortened_in_silence() -> None:
    assert write(instructions="Be kind.") == {
        "model": "qwen3:8b",
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}],
        "stream": False,
        "truncate": False,
    }
    asked = Request(messages=(build_user_message("Hi"),))
    assert json.loads(encode(asked, TARGET, stream=True))["stream"] is True


@pytest.mark.parametrize("base", ["http://x.test", "http://x.test/", "http://x.test/v1", "http://x.test/api/"])
def test_any_of_its_addresses_will_do(base: str) -> None:
    """Also that of its imitation of OpenAI."""
    assert build_url(base, "chat") == "http://x.test/api/chat"


def test_settings_are_options() -> None:
    settings = ModelSettings(temperature=0.0, top_p=0.5, top_k=4, max_tokens=9, seed=0, stop=("a",), reasoning="low")
    body = write(settings=settings)
    assert body["options"] == {
        "temperature": 0.0,
        "top_p": 0.5,
        "top_k": 4,
        "num_predict": 9,
        "seed": 0,
        "stop": ["a"],
    }
    assert body["think"] == "low"
    assert write(settings=ModelSettings(reasoning="none"))["think"] is False
    assert write(settings=ModelSettings(prompt_cache="long"))["keep_alive"] == "1h"
    assert write(settings=ModelSettings(extra={"truncate": True}))["truncate"] is True


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"tool": "look"}, "does not know `tool`"),
        ({"tool_choice": "required"}, "cannot be made to call"),
        ({"parallel_tool_calls": True}, "does not know `parallel_tool_calls`"),
        ({"reasoning": "minimal"}, "does not know `minimal`"),
    ],
)
def test_what_it_cannot_do_is_refused(setting: dict, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        write(tools=(TOOL,), settings=ModelSettings(**setting))


def test_tools_that_are_not_to_be_called_are_not_shown() -> None:
    assert write(tools=(TOOL,))["tools"][0]["function"]["name"] == "look"
    assert "tools" not in write(tools=(TOOL,), settings=ModelSettings(tool_choice="none"))


def test_an_answer_schema_is_a_format() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "minLength": 1}}}
    assert write(output=OutputSpec(name="A", json_schema=schema))["format"] == schema


def test_a_turn_goes_back_as_it_was() -> None:
    """Arguments are objects here; what is none is kept as words."""
    said = (
        Thinking(text="Hm.", provider="ollama"),
        Thinking(text="no", provider="elsewhere"),
        Text(text="I look."),
        ToolCall(id="c1", name="look", arguments='{"at": 1}'),
        ToolCall(id="c2", name="look", arguments='{"at": '),
    )
    results = (
        ToolResult(call_id="c1", name="look", content=(Text(text="seen"), Image(data=b"png"))),
        ToolResult(call_id="c2", name="look", content="bad JSON", is_error=True),
    )
    history = (build_user_message("Hi"), Message(role="assistant", parts=said), Message(role="tool", parts=results))
    assert write(*history)["messages"][1:] == [
        {
            "role": "assistant",
            "content": "I look.",
            "thinking": "Hm.",
            "tool_calls": [
                {"id": "c1", "function": {"name": "look", "arguments": {"at": 1}}},
                {"id": "c2", "function": {"name": "look", "arguments": {"arguments": '{"at": '}}},
            ],
        },
        {"role": "tool", "content": "seen\n(1 attached below)", "tool_name": "look", "tool_call_id": "c1"},
        {"role": "tool", "content": "bad JSON", "tool_name": "look", "tool_call_id": "c2"},
        {
            "role": "user",
            "content": "Attached by the tool look, call c1.\n",
            "images": [b64encode(b"png").decode()],
        },
    ]


def test_files_of_text_are_words() -> None:
    note = File(data=b"four", media_type="text/plain", name="a.txt")
    assert write(Message(role="user", parts=(note,)))["messages"][0]["content"] == "File a.txt:\nfour"


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (Image(url="https://x.test/a.png"), "as bytes, not as a URL"),
        (File(data=b"", media_type="application/pdf", name="a.pdf"), "'a.pdf' is 'application/pdf'"),
        (Audio(data=b""), "cannot carry Audio"),
        (Thinking(text="x"), "cannot carry Thinking"),
    ],
)
def test_what_it_cannot_carry_is_refused(part: object, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        write(Message(role="user", parts=(part,)))


def test_a_reply_is_read() -> None:
    reply = decode(build({"content": "Hello", "thinking": "Hm.", "tool_calls": [CALL]}), provider="ollama")
    assert reply.message.parts == (
        Thinking(text="Hm.", provider="ollama"),
        Text(text="Hello"),
        ToolCall(id="c1", name="look", arguments='{"at": 1}'),
    )
    assert (reply.stop, reply.model) == ("tool_calls", "qwen3:8b")
    assert reply.usage == Usage(input_tokens=10, output_tokens=5, requests=1)


@pytest.mark.parametrize("arguments", [{}, {"arguments": None}])
def test_a_call_of_an_older_server_gets_what_is_missing(arguments: dict) -> None:
    call = {"function": {"name": "look", **arguments}}
    assert decode(build({"tool_calls": [call]})).message.tool_calls == (ToolCall(id="call-0", name="look"),)


@pytest.mark.parametrize(("reason", "stop"), [("stop", "end"), ("length", "length")])
def test_stop_reasons_have_our_names(reason: str, stop: str) -> None:
    assert decode(build({"content": "x"}, done_reason=reason)).stop == stop


@pytest.mark.parametrize("reason", ["load", "unload"])
def test_a_model_that_was_only_loaded_said_nothing(reason: str) -> None:
    with pytest.raises(UpstreamError, match=f"unknown reason '{reason}'; known: `stop`, `length`"):
        decode(build({"content": ""}, done_reason=reason))


@pytest.mark.parametrize("rest", [{"done": False}, {"done_reason": None}, {"done_reason": ""}])
def test_a_reply_without_its_end_is_incomplete(rest: dict) -> None:
    with pytest.raises(Incomplete, match="no end"):
        decode(build({"content": "half"}, **rest))


def test_a_stream_is_read_line_by_line() -> None:
    items = feed(
        {"message": {"content": "", "thinking": "Hm."}, "done": False},
        {"message": {"content": "Hel"}, "done": False},
        {"message": {"content": "lo"}, "done": False},
        {"message": {"content": "", "tool_calls": [CALL]}, "done": False},
        {"message": {"content": ""}, "model": "qwen3:8b", **LAST},
    )
    done = items.pop()
    assert items == [
        ThinkingDelta("Hm."),
        TextDelta("Hel"),
        TextDelta("lo"),
        ToolCallDelta("c1", "look", '{"at": 1}'),
    ]
    assert isinstance(done, ReplyDone)
    assert done.reply == decode(build({"content": "Hello", "thinking": "Hm.", "tool_calls": [CALL]}), provider="ollama")


def test_a_stream_without_its_last_line_is_incomplete() -> None:
    with pytest.raises(Incomplete, match="its last line never came") as caught:
        feed({"message": {"content": "Hel"}, "done": False})
    assert caught.value.context["partial"] == "Hel"


def test_an_error_in_the_middle_is_typed() -> None:
    with pytest.raises(UpstreamError, match="failed in the middle") as caught:
        feed({"message": {"content": "Hel"}, "done": False}, {"error": "secret words"})
    assert "secret" not in str(caught.value)


def test_refusals_are_typed_by_what_they_say() -> None:
    """It gives sentences and no codes."""

    def refuse(status: int, words: str) -> Exception:
        return ollama.decode_error(status, json.dumps({"error": words}).encode(), TARGET)

    assert isinstance(refuse(404, "model 'qwen3:8b' not found"), UnknownName)
    assert isinstance(refuse(400, "the input length exceeds the context length"), TooLarge)
    assert "it often ends with" not in str(refuse(404, "page not found"))


def test_models_are_listed_with_their_day() -> None:
    body = b'{"models": [{"name": "qwen3:8b", "modified_at": "2026-01-01T00:00:00.5Z", "size": 1}, {"name": "x"}]}'
    first, second = decode_list(body).models
    assert (first.name, first.created) == ("qwen3:8b", 1767225600.5)
    assert (second.name, second.created) == ("x", None)
