"""Is a request written as chat completions want it?"""

import json
from base64 import b64encode

import pytest

from quorate.errors import InvalidInput
from quorate.messages import Audio, File, Image, Message, Text, Thinking, ToolCall, ToolResult, build_user_message
from quorate.models.providers.openai.request import build_headers, build_url, encode
from quorate.models.target import Target, find_target
from quorate.specs import Caller, ModelSettings, OutputSpec, Request, ToolSpec

TOOL = ToolSpec(name="look", description="Looks.", parameters={"type": "object", "properties": {}})


def find(name: str = "openai:gpt-5.2") -> Target:
    return find_target(name, credentials={}.get, base_urls={})


def write(*parts: object, to: str = "openai:gpt-5.2", **request: object) -> dict:
    message = Message(role="user", parts=parts) if parts else build_user_message("Hi")
    return json.loads(encode(Request(messages=(message,), **request), find(to)))


def write_history(*messages: Message, to: str = "openai:gpt-5.2") -> list[dict]:
    return json.loads(encode(Request(messages=messages), find(to)))["messages"]


def test_a_plain_question_is_as_short_as_it_can_be() -> None:
    """Nothing that was not asked for is sent."""
    assert write() == {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Hi"}]}


def test_instructions_come_first_as_the_system() -> None:
    assert write(instructions="Be kind.")["messages"][0] == {"role": "system", "content": "Be kind."}


def test_a_stream_asks_for_its_usage() -> None:
    body = json.loads(encode(Request(messages=(build_user_message("Hi"),)), find(), stream=True))
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
    assert write(to="openrouter:m", settings=ModelSettings(max_tokens=9))["max_tokens"] == 9


def test_a_provider_may_call_the_seed_otherwise() -> None:
    assert write(to="mistral:m", settings=ModelSettings(seed=0))["random_seed"] == 0


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


def test_one_tool_may_be_forced() -> None:
    """It stands above `tool_choice`."""
    body = write(tools=(TOOL,), settings=ModelSettings(tool="look", tool_choice="none"))
    assert body["tool_choice"] == {"type": "function", "function": {"name": "look"}}


def test_a_tool_that_is_not_there_cannot_be_forced() -> None:
    with pytest.raises(InvalidInput, match="`tool` is 'swim', which the request does not have; it has `look`"):
        write(tools=(TOOL,), settings=ModelSettings(tool="swim"))


def test_what_a_provider_does_not_know_is_refused() -> None:
    """It would be ignored, and nobody would know."""
    with pytest.raises(InvalidInput, match="`openai` does not know `top_k`, which is 7: leave it out"):
        write(settings=ModelSettings(top_k=7))
    assert write(to="vllm:m", settings=ModelSettings(top_k=7))["top_k"] == 7
    with pytest.raises(InvalidInput, match=r"`deepseek` does not know `temperature`, which is 0\.0"):
        write(to="deepseek:deepseek-v4-pro", settings=ModelSettings(temperature=0.0))
    with pytest.raises(InvalidInput, match="`perplexity:sonar` calls no tools"):
        write(to="perplexity:sonar", tools=(TOOL,))
    with pytest.raises(InvalidInput, match="cannot be made to call a tool"):
        write(to="deepseek:deepseek-v4-pro", tools=(TOOL,), settings=ModelSettings(tool="look"))
    with pytest.raises(InvalidInput, match="does not know 'minimal' as `reasoning`; it knows `none`, `low`"):
        write(settings=ModelSettings(reasoning="minimal"))
    with pytest.raises(InvalidInput, match="`groq:m` is not held to a schema"):
        write(to="groq:m", output=OutputSpec(name="A", json_schema={"type": "object", "properties": {}}))


def test_how_hard_to_think_is_said_in_two_ways() -> None:
    settings = ModelSettings(reasoning="high")
    assert write(to="xai:m", settings=settings)["reasoning_effort"] == "high"
    assert write(to="openrouter:m", settings=settings)["reasoning"] == {"effort": "high"}


def test_a_cache_is_asked_for_by_a_word_that_says_nothing() -> None:
    """The same for the same beginning of the same tenant, another for every other."""

    def ask(tenant: str = "acme", instructions: str = "Be kind.", keep: str = "short") -> dict:
        settings = ModelSettings(prompt_cache=keep)
        return write(instructions=instructions, tools=(TOOL,), settings=settings, caller=Caller(tenant=tenant))

    key = ask()["prompt_cache_key"]
    assert len(key) == 32
    assert "prompt_cache_retention" not in ask()
    assert ask()["prompt_cache_key"] == key
    assert ask(keep="long")["prompt_cache_key"] == key
    assert ask(keep="long")["prompt_cache_retention"] == "24h"
    assert key not in (ask("other")["prompt_cache_key"], ask(instructions="Be brief.")["prompt_cache_key"])


def test_extra_fields_are_added_as_they_are() -> None:
    assert write(settings=ModelSettings(extra={"verbosity": "low"}))["verbosity"] == "low"


@pytest.mark.parametrize("name", ["model", "messages", "stream", "stream_options", "tools", "response_format"])
def test_extra_fields_write_nothing_over(name: str) -> None:
    with pytest.raises(InvalidInput, match=f"`{name}` cannot be set by `extra`"):
        write(settings=ModelSettings(extra={name: "x"}))


def test_reasoning_goes_back_where_its_provider_wants_it() -> None:
    """To nobody else, and in the field that one has for it."""
    thought = Thinking(text="hm", provider="deepseek")
    history = (build_user_message("Hi"), Message(role="assistant", parts=(thought, Text(text="So."))))
    assert write_history(*history, to="deepseek:m")[1] == {
        "role": "assistant",
        "content": "So.",
        "reasoning_content": "hm",
    }
    for other in ("openai:m", "moonshot:m", "openrouter:m"):
        assert write_history(*history, to=other)[1] == {"role": "assistant", "content": "So."}


def test_signed_reasoning_goes_back_as_it_came() -> None:
    detail = '{"type":"reasoning.encrypted","data":"xyz","id":"r1","format":"openai-responses-v1","index":0}'
    thought = Thinking(text="", signature=detail, provider="openrouter", redacted=True)
    history = (build_user_message("Hi"), Message(role="assistant", parts=(thought, Text(text="So."))))
    assert write_history(*history, to="openrouter:m")[1]["reasoning_details"] == [json.loads(detail)]


@pytest.mark.parametrize("signature", ['{}],"model":"other","x":[{', "[]", "x"])
def test_a_signature_that_is_none_gets_into_no_body(signature: str) -> None:
    """What is stored is read before it is written."""
    thought = Thinking(text="", signature=signature, provider="openrouter")
    with pytest.raises(InvalidInput, match="not what its provider gave"):
        write_history(build_user_message("Hi"), Message(role="assistant", parts=(thought,)), to="openrouter:m")


def test_the_ids_of_calls_are_written_as_a_provider_takes_them() -> None:
    """Mistral wants nine letters and digits; a call and its result keep together."""
    calls = (ToolCall(id="toolu_01/x", name="look"), ToolCall(id="abcDEF123", name="look"))
    results = tuple(ToolResult(call_id=call.id, name="look", content="ok") for call in calls)
    history = (Message(role="assistant", parts=calls), Message(role="tool", parts=results))
    said, first, second = write_history(*history, to="mistral:m")
    ids = [call["id"] for call in said["tool_calls"]]
    assert ids == [first["tool_call_id"], second["tool_call_id"]]
    assert len(ids[0]) == 9
    assert ids[0].isalnum()
    assert ids[1] == "abcDEF123"


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
    assert write_history(*history)[1:] == [
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
        write_history(Message(role="assistant", parts=(Image(data=b""),)))


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
