"""Is a request written as Gemini wants it?"""

import json
from base64 import b64encode

import pytest

from quorate.errors import InvalidInput, Unauthenticated
from quorate.messages import Audio, File, Image, Message, Text, Thinking, ToolCall, ToolResult, build_user_message
from quorate.models.providers import gemini
from quorate.models.target import Target, find_target
from quorate.specs import ModelSettings, OutputSpec, Request, ToolSpec

LOOK = ToolSpec(name="look", description="Looks.", parameters={"type": "object", "properties": {}})
WAIT = ToolSpec(name="wait")
NEW, OLD = "gemini-3.8-flash", "gemini-2.5-flash"
UNSIGNED = b64encode(b"skip_thought_signature_validator").decode()


def find(name: str = NEW) -> Target:
    return find_target(f"gemini:{name}", credentials={}.get, base_urls={})


def write(*parts: object, model: str = NEW, **request: object) -> dict:
    messages = request.pop("messages", None) or (
        Message(role="user", parts=parts) if parts else build_user_message("Hi"),
    )
    return json.loads(gemini.encode(Request(messages=messages, **request), find(model)).body)


def talk(*messages: Message, model: str = NEW) -> list[dict]:
    return write(messages=messages, model=model)["contents"]


def test_a_plain_question_is_as_short_as_it_can_be() -> None:
    assert write() == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


def test_it_goes_to_the_models_own_address_with_the_key() -> None:
    asked = Request(messages=(build_user_message("Hi"),))
    sending = gemini.sign(gemini.encode(asked, find()), find(), credentials={"GEMINI_API_KEY": "k"}.get, now=0)
    base = "https://generativelanguage.googleapis.com/v1beta/models/gemini-3.8-flash"
    assert sending.url == f"{base}:generateContent"
    assert sending.headers == {"Content-Type": "application/json", "x-goog-api-key": "k"}
    assert gemini.encode(asked, find(), stream=True).url == f"{base}:streamGenerateContent?alt=sse"
    with pytest.raises(Unauthenticated, match="set `GEMINI_API_KEY`"):
        gemini.sign(sending, find(), credentials={}.get, now=0)


def test_a_models_name_is_no_path() -> None:
    asked = Request(messages=(build_user_message("Hi"),))
    assert "/models/a%2F..%2Fb%3Fc:generateContent" in gemini.encode(asked, find("a/../b?c")).url


def test_settings_have_their_names_on_the_wire() -> None:
    settings = ModelSettings(
        temperature=0.0, top_p=0.5, top_k=7, max_tokens=9, seed=0, stop=("a",), frequency_penalty=0.5,
        presence_penalty=0.25, prompt_cache="short",
    )  # fmt: skip
    body = write(settings=settings, instructions="Be kind.")
    assert body["systemInstruction"] == {"parts": [{"text": "Be kind."}]}
    assert body["generationConfig"] == {
        "temperature": 0.0,
        "topP": 0.5,
        "topK": 7,
        "maxOutputTokens": 9,
        "seed": 0,
        "stopSequences": ["a"],
        "frequencyPenalty": 0.5,
        "presencePenalty": 0.25,
    }


@pytest.mark.parametrize(
    ("model", "word", "thinking"),
    [
        ("gemini-4-argon", "low", {"thinkingLevel": "LOW", "includeThoughts": True}),
        ("gemini-3.6-flash", "minimal", {"thinkingLevel": "MINIMAL", "includeThoughts": True}),
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
        ("gemini-2.5-pro", "high", {"thinkingBudget": 24576, "includeThoughts": True}),
        ("gemini-tomorrow", "minimal", {"thinkingLevel": "MINIMAL", "includeThoughts": True}),
    ],
)
def test_how_hard_to_think_is_a_level_or_a_number(model: str, word: str, thinking: dict) -> None:
    config = write(model=model, settings=ModelSettings(reasoning=word))["generationConfig"]
    assert config == {"thinkingConfig": thinking}


@pytest.mark.parametrize(
    ("model", "settings", "said"),
    [
        (
            "gemini-4-argon",
            {"reasoning": "none"},
            "does not know 'none' as `reasoning`; it knows `low`, `medium`, `high`",
        ),
        ("gemini-3.8-flash", {"reasoning": "minimal"}, "does not know 'minimal' as `reasoning`"),
        ("gemini-2.5-pro", {"reasoning": "none"}, "does not know 'none' as `reasoning`"),
        ("gemini-4-argon", {"temperature": 0.5}, "takes no `temperature`"),
        (NEW, {"prompt_cache": "long"}, "ask for `short`"),
        (NEW, {"parallel_tool_calls": False}, "one call at a time"),
    ],
)
def test_what_a_model_cannot_be_told_is_refused(model: str, settings: dict, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        write(model=model, tools=(LOOK,), settings=ModelSettings(**settings))


def test_tools_are_functions_with_schemas() -> None:
    kind = {"type": "object", "properties": {"const": {"const": 3}, "x": {"anyOf": [{"const": "a"}]}}, "$schema": "s"}
    body = write(tools=(ToolSpec(name="look", description="Looks.", parameters=kind),))
    assert body["tools"] == [
        {
            "functionDeclarations": [
                {
                    "name": "look",
                    "description": "Looks.",
                    "parametersJsonSchema": {
                        "type": "object",
                        "properties": {"const": {"enum": [3]}, "x": {"anyOf": [{"enum": ["a"]}]}},
                    },
                }
            ]
        }
    ]
    assert "toolConfig" not in body


@pytest.mark.parametrize(
    ("settings", "choice"),
    [
        ({"tool_choice": "none"}, {"mode": "NONE"}),
        ({"tool_choice": "required"}, {"mode": "ANY"}),
        ({"tool": "wait"}, {"mode": "ANY", "allowedFunctionNames": ["wait"]}),
    ],
)
def test_how_a_tool_is_chosen_is_said(settings: dict, choice: dict) -> None:
    body = write(tools=(LOOK, WAIT), settings=ModelSettings(**settings))
    assert body["toolConfig"] == {"functionCallingConfig": choice}


def test_an_answer_is_held_to_its_schema() -> None:
    spec = OutputSpec(name="Answer", json_schema={"type": "object", "properties": {"n": {"type": "integer"}}})
    assert write(output=spec, tools=(LOOK,))["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": spec.json_schema,
    }
    with pytest.raises(InvalidInput, match="not held to a schema"):
        write(output=spec, tools=(LOOK,), model=OLD)


def test_schemas_are_bounded_in_depth() -> None:
    schema: dict = {"const": "a"}
    for _ in range(100):
        schema = {"type": "array", "items": schema}
    with pytest.raises(InvalidInput, match="deeper than 64"):
        write(output=OutputSpec(name="Answer", json_schema=schema))


def test_calls_and_results_go_by_id_where_gemini_gave_one() -> None:
    calls = (ToolCall(id="g1", name="look", arguments='{"at": 1}'), ToolCall(id="call-1", name="wait"))
    results = (
        ToolResult(call_id="g1", name="look", content='{"seen": [1]}'),
        ToolResult(call_id="call-1", name="wait", content="[1]", is_error=True),
        ToolResult(call_id="x", name="wait", content="words"),
    )
    built = talk(
        build_user_message("Hi"),
        Message(role="assistant", parts=calls),
        Message(role="tool", parts=(*results, Text(text="And?"))),
    )
    assert built[1] == {
        "role": "model",
        "parts": [
            {"functionCall": {"name": "look", "args": {"at": 1}, "id": "g1"}, "thoughtSignature": UNSIGNED},
            {"functionCall": {"name": "wait", "args": {}}},
        ],
    }
    assert built[2]["parts"] == [
        {"functionResponse": {"name": "look", "response": {"seen": [1]}, "id": "g1"}},
        {"functionResponse": {"name": "wait", "response": {"error": "[1]"}}},
        {"functionResponse": {"name": "wait", "response": {"output": "words"}, "id": "x"}},
    ]
    assert built[3] == {"role": "user", "parts": [{"text": "And?"}]}


@pytest.mark.parametrize("arguments", ['{"at": ', "[1]", "[" * 100_000])
def test_arguments_that_are_no_object_go_back_as_the_model_wrote_them(arguments: str) -> None:
    call = ToolCall(id="c1", name="look", arguments=arguments)
    built = talk(build_user_message("Hi"), Message(role="assistant", parts=(call,)))
    assert built[1]["parts"][0]["functionCall"]["args"] == {"malformed": arguments}


def test_signatures_go_back_to_where_they_were() -> None:
    """On the call, the words, the thought; another provider's stay here, and older models need none."""
    parts = (
        Thinking(text="Hm.", signature="s1", provider="gcp.gemini"),
        Thinking(text="never", provider="gcp.gemini"),
        Thinking(text="never", signature="never", provider="anthropic"),
        Text(text="So.", signature="gcp.gemini:s2"),
        Text(text="", signature="gcp.gemini:s3"),
        Text(text="Plain.", signature="never"),
        Text(text="", signature="gcp.vertex_ai:never"),
        ToolCall(id="a", name="look", signature="gcp.gemini:s4"),
        ToolCall(id="b", name="look", signature="never"),
    )
    assert talk(build_user_message("Hi"), Message(role="assistant", parts=parts))[1]["parts"] == [
        {"text": "Hm.", "thought": True, "thoughtSignature": "s1"},
        {"text": "So.", "thoughtSignature": "s2"},
        {"text": "", "thoughtSignature": "s3"},
        {"text": "Plain."},
        {"functionCall": {"name": "look", "args": {}, "id": "a"}, "thoughtSignature": "s4"},
        {"functionCall": {"name": "look", "args": {}, "id": "b"}},
    ]
    bare = Message(role="assistant", parts=(ToolCall(id="a", name="look"),))
    assert "thoughtSignature" not in talk(build_user_message("Hi"), bare, model=OLD)[1]["parts"][0]


def test_what_a_tool_shows_stands_in_its_result_or_beside_it() -> None:
    shown = {"inlineData": {"mimeType": "image/png", "data": b64encode(b"x").decode()}}
    result = ToolResult(call_id="c", name="look", content=(Text(text="Here:"), Image(data=b"x")))
    message = Message(role="tool", parts=(result,))
    (new,) = talk(message)
    assert new["parts"][0]["functionResponse"] == {
        "name": "look",
        "response": {"output": "Here:"},
        "id": "c",
        "parts": [shown],
    }
    answered, beside = talk(message, model=OLD)
    assert "parts" not in answered["parts"][0]["functionResponse"]
    assert beside["parts"] == [{"text": "Shown by the tool look, call c:"}, shown]


def test_pictures_sound_and_files_are_carried_as_bytes_or_addresses() -> None:
    parts = (
        Image(url="https://x.test/a"),
        Audio(data=b"x"),
        File(media_type="application/pdf", data=b"y"),
        File(media_type="text/plain", url="gs://b/c"),
    )
    assert write(*parts)["contents"][0]["parts"] == [
        {"fileData": {"mimeType": "image/png", "fileUri": "https://x.test/a"}},
        {"inlineData": {"mimeType": "audio/wav", "data": b64encode(b"x").decode()}},
        {"inlineData": {"mimeType": "application/pdf", "data": b64encode(b"y").decode()}},
        {"fileData": {"mimeType": "text/plain", "fileUri": "gs://b/c"}},
    ]


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (Thinking(text="x"), "cannot carry Thinking in a user's message"),
        (ToolCall(id="c", name="f"), "cannot carry ToolCall"),
        (Image(), "Image of type 'image/png' has neither data nor a URL"),
    ],
)
def test_what_has_no_place_is_refused(part: object, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        write(part)


def test_a_picture_of_the_models_own_goes_back() -> None:
    built = talk(build_user_message("Hi"), Message(role="assistant", parts=(Image(data=b"x"),)))
    assert built[1]["parts"][0]["inlineData"]["mimeType"] == "image/png"
    with pytest.raises(InvalidInput, match="cannot carry ToolResult in a model's own message"):
        talk(build_user_message("Hi"), Message(role="assistant", parts=(ToolResult(call_id="c", name="f"),)))


def test_turns_without_anything_are_left_out() -> None:
    assert len(talk(build_user_message("Hi"), Message(role="assistant", parts=()))) == 1
    with pytest.raises(InvalidInput, match="say nothing"):
        talk(Message(role="user", parts=()))


def test_fields_of_ones_own_join_what_is_there() -> None:
    extra = {"safetySettings": [], "generationConfig": {"mediaResolution": "LOW"}}
    body = write(settings=ModelSettings(extra=extra, seed=1))
    assert body["generationConfig"] == {"seed": 1, "mediaResolution": "LOW"}
    assert body["safetySettings"] == []
    with pytest.raises(InvalidInput, match="`seed` cannot be set by `extra`"):
        write(settings=ModelSettings(extra={"generationConfig": {"seed": 2}}, seed=1))
