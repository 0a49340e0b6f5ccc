"""Is a request written as chat completions want it?"""

import json
from base64 import b64encode

import pytest

from quorate.errors import InvalidInput
from quorate.messages import Audio, File, Image, Message, Text, Thinking, ToolCall, ToolResult, build_user_message
from quorate.models.providers.openai import build_headers, build_url, encode
from quorate.specs import ModelSettings, OutputSpec, Request, ToolSpec

TOOL = ToolSpec(name="look", description="Looks.", parameters={"type": "object", "properties": {}})


def write(*parts: object, **request: object) -> dict:
    message = Message(role="user", parts=parts) if parts else build_user_message("Hi")
    return json.loads(encode(Request(messages=(message,), **request), "gpt-5.2"))


def test_a_plain_question_is_as_short_as_it_can_be() -> None:
    """Nothing that was not asked for is sent."""
    assert write() == {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Hi"}]}


def test_instructions_come_first_as_the_system() -> None:
    assert write(instructions="Be kind.")["messages"][0] == {"role": "system", "content": "Be kind."}


def test_a_stream_asks_for_its_usage() -> None:
    body = json.loads(encode(Request(messages=(build_user_message("Hi"),)), "m", stream=True))
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True}


def test_settings_have_their_names_on_the_wire() -> None:
    settings = ModelSettings(temperature=0.0, top_p=0.5, max_tokens=9, seed=0, stop=("a",), reasoning="low")
    body = write(settings=settings)
    del body["messages"], body["model"]
    assert body == {
        "temperature": 0.0,
        "top_p": 0.5,
        "max_completion_tokens": 9,
        "seed": 0,
        "stop": ["a"],
        "reasoning_effort": "low",
    }


def test_a_provider_may_call_the_token_limit_otherwise() -> None:
    request = Request(messages=(build_user_message("Hi"),), settings=ModelSettings(max_tokens=9))
    assert json.loads(encode(request, "m", max_tokens_field="max_tokens"))["max_tokens"] == 9


def test_tools_are_functions() -> None:
    body = write(tools=(TOOL,), settings=ModelSettings(tool_choice="required", parallel_tool_calls=False))
    assert body["tools"][0]["function"] == {
        "name": "look",
        "description": "Looks.",
        "parameters": {"type": "object", "properties": {}},
    }
    assert (body["tool_choice"], body["parallel_tool_calls"]) == ("required", False)


def test_no_tool_may_be_forbidden() -> None:
    assert write(tools=(TOOL,), settings=ModelSettings(tool_choice="none"))["tool_choice"] == "none"


def test_tool_settings_without_tools_are_left_out() -> None:
    assert "parallel_tool_calls" not in write(settings=ModelSettings(parallel_tool_calls=True))


def test_a_call_cannot_be_required_without_tools() -> None:
    with pytest.raises(InvalidInput, match="no tools"):
        write(settings=ModelSettings(tool_choice="required"))


def test_calls_and_their_results_keep_ids_and_malformed_arguments() -> None:
    """What the model wrote goes back to it as it was."""
    call = ToolCall(id="c1", name="look", arguments='{"at": ')
    history = (
        build_user_message("Look"),
        Message(role="assistant", parts=(Thinking(text="hm"), call)),
        Message(role="tool", parts=(ToolResult(call_id="c1", name="look", content="bad JSON", is_error=True),)),
    )
    body = json.loads(encode(Request(messages=history), "m"))
    assert body["messages"][1:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": '}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "bad JSON"},
    ]


def test_what_a_tool_shows_follows_all_results() -> None:
    """A tool's message holds text alone, and nothing may stand between results."""
    shown = ToolResult(call_id="c1", name="draw", content=(Text(text="drawn"), Image(data=b"png")))
    body = write(shown, ToolResult(call_id="c2", name="look", content="ok"))
    assert [m["role"] for m in body["messages"]] == ["tool", "tool", "user"]
    assert body["messages"][0]["content"] == "drawn\n(1 attached below)"
    assert [c["type"] for c in body["messages"][2]["content"]] == ["text", "image_url"]


def test_pictures_sound_and_files_are_sent_inside() -> None:
    body = write(
        Text(text="See"),
        Image(data=b"1", media_type="image/jpeg"),
        Image(url="https://x.test/a.png"),
        Audio(data=b"2", media_type="audio/mpeg"),
        File(data=b"3", media_type="application/pdf", name="a.pdf"),
        File(data=b"four", media_type="text/plain", name="a.txt"),
    )
    text, jpeg, linked, sound, pdf, note = body["messages"][0]["content"]
    assert text == {"type": "text", "text": "See"}
    assert jpeg["image_url"]["url"] == f"data:image/jpeg;base64,{b64encode(b'1').decode()}"
    assert linked["image_url"]["url"] == "https://x.test/a.png"
    assert sound["input_audio"] == {"data": b64encode(b"2").decode(), "format": "mp3"}
    assert pdf["file"]["filename"] == "a.pdf"
    assert note["text"] == "File a.txt:\nfour"


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (Audio(data=b"", media_type="audio/ogg"), "audio/ogg"),
        (Audio(url="https://x.test/a"), "not as a URL"),
        (File(url="https://x.test/a", media_type="application/pdf"), "not as a URL"),
        (File(data=b"\xff", media_type="text/plain", name="a"), "not UTF-8"),
        (Image(), "neither data nor a URL"),
        (Thinking(text="x"), "cannot carry Thinking"),
    ],
)
def test_what_the_format_cannot_carry_is_refused(part: object, said: str) -> None:
    """Nothing is left out in silence."""
    with pytest.raises(InvalidInput, match=said):
        write(part)


def test_a_picture_by_the_model_is_refused() -> None:
    with pytest.raises(InvalidInput, match="own message"):
        encode(Request(messages=(Message(role="assistant", parts=(Image(data=b""),)),)), "m")


def test_an_answer_schema_is_enforced_strictly_where_it_can_be() -> None:
    """A default is narrowed away: every property is required, so the answer fits the original too."""
    schema = {
        "type": "object",
        "title": "Answer",
        "properties": {"a": {"type": "string", "minLength": 1}, "b": {"$ref": "#/$defs/B"}},
        "required": ["a"],
        "$defs": {"B": {"type": "object", "properties": {"c": {"type": "integer", "default": 1}}}},
    }
    sent = write(output=OutputSpec(name="My Answer[int]", json_schema=schema))["response_format"]["json_schema"]
    assert sent == {
        "name": "My_Answer_int_",
        "strict": True,
        "schema": {
            "type": "object",
            "title": "Answer",
            "properties": {"a": {"type": "string"}, "b": {"$ref": "#/$defs/B"}},
            "$defs": {
                "B": {
                    "type": "object",
                    "properties": {"c": {"type": "integer"}},
                    "required": ["c"],
                    "additionalProperties": False,
                }
            },
            "required": ["a", "b"],
            "additionalProperties": False,
        },
    }


@pytest.mark.parametrize(
    "property_",
    [
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object", "additionalProperties": True},
        {"allOf": [{"type": "string"}]},
        {"type": "array"},
        {},
    ],
)
def test_a_schema_that_cannot_be_strict_is_sent_as_it_is(property_: dict) -> None:
    schema = {"type": "object", "properties": {"a": property_}}
    sent = write(output=OutputSpec(name="A", json_schema=schema))["response_format"]["json_schema"]
    assert (sent["strict"], sent["schema"]) == (False, schema)


def test_lists_choices_and_known_formats_stay_when_strict() -> None:
    choice = [{"type": "null"}, {"type": "string", "format": "date", "default": "x"}]
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "array", "items": {"anyOf": choice}},
            "b": {"type": "string", "format": "binary"},
        },
    }
    sent = write(output=OutputSpec(name="A", json_schema=schema))["response_format"]["json_schema"]["schema"]
    assert sent["properties"] == {
        "a": {"type": "array", "items": {"anyOf": [{"type": "null"}, {"type": "string", "format": "date"}]}},
        "b": {"type": "string"},
    }


def test_a_schema_that_is_no_object_is_not_strict() -> None:
    schema: dict = {"anyOf": [{"type": "object", "properties": {}}]}
    assert write(output=OutputSpec(name="A", json_schema=schema))["response_format"]["json_schema"]["strict"] is False


def test_a_schema_that_is_too_deep_is_not_strict() -> None:
    schema: dict = {"type": "string"}
    for _ in range(200):
        schema = {"type": "object", "properties": {"a": schema}}
    assert write(output=OutputSpec(name="A", json_schema=schema))["response_format"]["json_schema"]["strict"] is False


def test_the_address_and_the_key() -> None:
    assert build_url("https://x.test/v1/") == "https://x.test/v1/chat/completions"
    assert build_headers("k")["Authorization"] == "Bearer k"
    assert "Authorization" not in build_headers(None)
