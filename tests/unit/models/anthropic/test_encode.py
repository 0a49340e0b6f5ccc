"""Is a request written as Anthropic wants it?"""

import json
from base64 import b64encode

import pytest

from quorate.errors import InvalidInput, Unauthenticated
from quorate.messages import Audio, File, Image, Message, Text, Thinking, ToolCall, ToolResult, build_user_message
from quorate.models.providers import anthropic
from quorate.models.providers.anthropic import listing
from quorate.models.providers.anthropic.messages import fit_id
from quorate.models.target import Target, find_target
from quorate.specs import ModelSettings, OutputSpec, Request, ToolSpec

LOOK = ToolSpec(name="look", description="Looks.", parameters={"type": "object", "properties": {}})
WAIT = ToolSpec(name="wait")
OLD = "claude-haiku-4-5"
"""A model with all settings."""


def find(name: str = OLD) -> Target:
    return find_target(f"anthropic:{name}", credentials={}.get, base_urls={})


def write(*parts: object, model: str = OLD, stream: bool = False, **request: object) -> dict:
    messages = request.pop("messages", None) or (
        Message(role="user", parts=parts) if parts else build_user_message("Hi"),
    )
    sending = anthropic.encode(Request(messages=messages, **request), find(model), stream=stream)
    return json.loads(sending.body)


def talk(*messages: Message) -> list[dict]:
    return write(messages=messages)["messages"]


def test_a_plain_question_is_as_short_as_it_can_be() -> None:
    """The bound must be said: it is the model's own."""
    assert write() == {
        "model": OLD,
        "max_tokens": 64_000,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
    }


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("https://x.test", "https://x.test/v1"),
        ("https://x.test/", "https://x.test/v1"),
        ("https://x.test/v1/", "https://x.test/v1"),
        ("https://x.test/anthropic", "https://x.test/anthropic/v1"),
    ],
)
def test_an_address_may_leave_out_the_version(url: str, wanted: str) -> None:
    """`ANTHROPIC_BASE_URL` has none where it is set for other programs."""
    target = find_target(f"anthropic:{OLD}", credentials={"ANTHROPIC_BASE_URL": url}.get, base_urls={})
    sending = anthropic.encode(Request(messages=(build_user_message("Hi"),)), target)
    assert sending.url == f"{wanted}/messages"
    assert listing.encode(target).url.startswith(f"{wanted}/models?")


def test_a_dated_or_unknown_model_has_a_bound_too() -> None:
    assert write(model="claude-haiku-4-5-20251001")["max_tokens"] == 64_000
    assert write(model="claude-tomorrow")["max_tokens"] == 8192


def test_it_goes_to_the_messages_with_key_and_version() -> None:
    sending = anthropic.encode(Request(messages=(build_user_message("Hi"),)), find())
    signed = anthropic.sign(sending, find(), credentials={"ANTHROPIC_API_KEY": "k"}.get, now=0)
    assert signed.url == "https://api.anthropic.com/v1/messages"
    assert signed.headers == {"Content-Type": "application/json", "anthropic-version": "2023-06-01", "x-api-key": "k"}
    borne = anthropic.sign(sending, find(), credentials={"ANTHROPIC_AUTH_TOKEN": "t"}.get, now=0)
    assert borne.headers["Authorization"] == "Bearer t"
    assert "x-api-key" not in borne.headers
    with pytest.raises(Unauthenticated, match="set `ANTHROPIC_API_KEY` or `ANTHROPIC_AUTH_TOKEN`"):
        anthropic.sign(sending, find(), credentials={}.get, now=0)


def test_a_stream_is_asked_for() -> None:
    assert write(stream=True)["stream"] is True


def test_settings_have_their_names_on_the_wire() -> None:
    body = write(settings=ModelSettings(temperature=0.0, top_k=0, max_tokens=9, stop=("a",)), instructions="Be kind.")
    assert {name: body[name] for name in body.keys() - {"model", "messages"}} == {
        "system": "Be kind.",
        "temperature": 0.0,
        "top_k": 0,
        "max_tokens": 9,
        "stop_sequences": ["a"],
    }


@pytest.mark.parametrize(
    ("model", "settings", "said"),
    [
        (OLD, {"seed": 0}, "does not know `seed`"),
        (OLD, {"frequency_penalty": 0.5}, "`frequency_penalty`"),
        (OLD, {"presence_penalty": 0.5}, "`presence_penalty`"),
        (OLD, {"temperature": 1.5}, "0 to 1, not 1.5"),
        (OLD, {"temperature": 0.5, "top_p": 0.5}, "not both"),
        ("claude-opus-5-5", {"temperature": 0.5}, "takes no `temperature`"),
        ("claude-opus-5-5", {"top_p": 0.5}, "takes no `top_p`"),
        ("claude-haiku-5-5", {"top_k": 5}, "takes no `top_k`"),
    ],
)
def test_what_a_model_cannot_be_told_is_refused(model: str, settings: dict, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        write(model=model, settings=ModelSettings(**settings))


def test_tools_are_shown_with_their_schemas() -> None:
    assert write(tools=(LOOK,))["tools"] == [
        {"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {}}}
    ]


@pytest.mark.parametrize(
    ("settings", "choice"),
    [
        ({}, None),
        ({"parallel_tool_calls": True}, None),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool": "wait", "parallel_tool_calls": False}, {"type": "tool", "name": "wait", "disable_parallel_tool_use": True}),
    ],
)  # fmt: skip
def test_how_a_tool_is_chosen_is_said(settings: dict, choice: dict | None) -> None:
    assert write(tools=(LOOK, WAIT), settings=ModelSettings(**settings)).get("tool_choice") == choice


@pytest.mark.parametrize("wish", [{"tool": "look"}, {"tool_choice": "required"}])
def test_a_model_that_cannot_be_made_to_call_says_so(wish: dict) -> None:
    with pytest.raises(InvalidInput, match="cannot be made to call a tool"):
        write(model="claude-opus-5-5", tools=(LOOK,), settings=ModelSettings(**wish))


def test_turns_of_one_side_are_joined_and_empty_ones_left_out() -> None:
    built = talk(
        build_user_message("One"),
        Message(role="assistant", parts=()),
        build_user_message(""),
        build_user_message("Two"),
    )
    assert built == [{"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "Two"}]}]


def test_calls_and_results_are_paired_and_results_come_first() -> None:
    call = ToolCall(id="c1", name="look", arguments='{"at": [1, {"x": null}]}')
    fine = ToolResult(call_id="c1", name="look", content="seen")
    bad = ToolResult(call_id="c2", name="look", content="", is_error=True)
    built = talk(
        build_user_message("Hi"),
        Message(role="assistant", parts=(Text(text="So."), call)),
        Message(role="tool", parts=(Text(text="And"), fine, bad)),
    )
    assert built[1]["content"] == [
        {"type": "text", "text": "So."},
        {"type": "tool_use", "id": "c1", "name": "look", "input": {"at": [1, {"x": None}]}},
    ]
    assert built[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "c1", "content": "seen"},
        {"type": "tool_result", "tool_use_id": "c2", "is_error": True},
        {"type": "text", "text": "And"},
    ]


@pytest.mark.parametrize("arguments", ['{"at": ', "[1]", "7", '"text"', "[" * 100_000])
def test_arguments_that_are_no_object_go_back_as_the_model_wrote_them(arguments: str) -> None:
    call = ToolCall(id="c1", name="look", arguments=arguments)
    built = talk(build_user_message("Hi"), Message(role="assistant", parts=(call,)))
    assert built[1]["content"][0]["input"] == {"INVALID_JSON": arguments}


def test_results_may_show_pictures_and_papers() -> None:
    content = (Text(text="Look:"), Image(data=b"x"), File(media_type="application/pdf", data=b"y", name="a.pdf"))
    result = ToolResult(call_id="c1", name="look", content=content)
    (block,) = talk(Message(role="tool", parts=(result,)))[0]["content"]
    source = {"type": "base64", "media_type": "image/png", "data": b64encode(b"x").decode()}
    assert block["content"][:2] == [{"type": "text", "text": "Look:"}, {"type": "image", "source": source}]
    assert block["content"][2]["title"] == "a.pdf"


def test_pictures_and_papers_are_carried_as_bytes_or_addresses() -> None:
    url = {"type": "url", "url": "https://x.test/a"}
    parts = (
        Image(url="https://x.test/a"),
        File(media_type="application/pdf", url="https://x.test/a"),
        File(media_type="text/csv", data=b"a,b", name="t.csv"),
    )
    assert write(*parts)["messages"][0]["content"] == [
        {"type": "image", "source": url},
        {"type": "document", "source": url},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a,b"}, "title": "t.csv"},
    ]


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (Audio(data=b"x"), "cannot carry Audio in a user's message"),
        (Thinking(text="x"), "cannot carry Thinking in a user's message"),
        (ToolCall(id="c", name="f"), "cannot carry ToolCall"),
        (Image(data=b"x", media_type="image/tiff"), "'image/tiff' cannot be sent; known: image/gif"),
        (Image(), "neither data nor a URL"),
        (File(media_type="application/zip", data=b"x", name="a.zip"), "'a.zip' of type 'application/zip'"),
        (File(media_type="text/plain", url="https://x.test/a"), "sent as bytes"),
        (File(media_type="text/plain", data=b"\xff"), "not UTF-8"),
    ],
)
def test_what_has_no_place_is_refused(part: object, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        write(part)


def test_a_picture_of_the_models_own_is_refused() -> None:
    with pytest.raises(InvalidInput, match="cannot carry Image in a model's own message"):
        talk(build_user_message("Hi"), Message(role="assistant", parts=(Image(data=b"x"),)))


def test_reasoning_goes_back_in_its_place_and_unchanged() -> None:
    """Signed and redacted, before the call that came of it; another provider's and what is not signed stay here."""
    parts = (
        Thinking(text="Hm.", signature="s1", provider="anthropic"),
        Thinking(text="", signature="s2", provider="anthropic", redacted=True),
        Thinking(text="", signature="s3", provider="anthropic"),
        Thinking(text="never", provider="anthropic"),
        Thinking(text="never", signature="never", provider="gcp.gemini"),
        ToolCall(id="c1", name="look", signature="gcp.gemini:never"),
    )
    built = talk(build_user_message("Hi"), Message(role="assistant", parts=parts))
    assert built[1]["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": "s1"},
        {"type": "redacted_thinking", "data": "s2"},
        {"type": "thinking", "thinking": "", "signature": "s3"},
        {"type": "tool_use", "id": "c1", "name": "look", "input": {}},
    ]


def test_reasoning_that_is_bound_may_be_dropped_and_never_stops_a_conversation() -> None:
    """It is invalid once the beginning was shortened; only models that bind it are told so."""
    thought = Message(role="assistant", parts=(Thinking(text="", signature="s", provider="anthropic"), Text(text="A")))
    history = (build_user_message("Hi"), thought, build_user_message("And?"))
    binding = {"block_binding": {"prefix_mismatch_behavior": "drop_block"}}

    def send(name: str, messages: tuple[Message, ...], **settings: object) -> tuple[object, dict]:
        asked = Request(messages=messages, settings=ModelSettings(**settings))
        sending = anthropic.encode(asked, find(name))
        return json.loads(sending.body).get("thinking"), sending.headers

    beta = {"anthropic-beta": "thinking-binding-controls-2026-08-01"}
    assert send("claude-opus-5-5", history) == ({"type": "adaptive", **binding}, beta)
    shown = {"type": "adaptive", "display": "summarized"}
    assert send("claude-opus-5-5", history, reasoning="low") == ({**shown, **binding}, beta)
    assert send("claude-opus-5-5", history[:1]) == (None, {})
    assert send("claude-opus-5", history) == (None, {})
    assert send("claude-haiku-5-5", history, reasoning="none") == ({"type": "disabled"}, {})
    signed = anthropic.sign(
        anthropic.encode(Request(messages=history), find("claude-opus-5-5")),
        find(),
        credentials={"ANTHROPIC_API_KEY": "k"}.get,
        now=0,
    )
    assert signed.headers["anthropic-beta"] == beta["anthropic-beta"]


def test_ids_of_others_are_fitted_and_stay_apart() -> None:
    assert fit_id("toolu_01-A") == "toolu_01-A"
    fitted = {fit_id(one) for one in ("a/b", "a|b", "a.b", "", "x" * 65, "x" * 66)}
    assert len(fitted) == 6
    assert all(len(one) <= 64 and one.replace("_", "").isalnum() for one in fitted)


def test_messages_that_say_nothing_are_refused() -> None:
    with pytest.raises(InvalidInput, match="say nothing"):
        write(messages=(build_user_message(""),))


def test_the_cache_is_marked_at_tools_instructions_and_the_last_two_turns() -> None:
    """Four marks, as many as there may be."""
    messages = (
        build_user_message("One"),
        Message(role="assistant", parts=(Text(text="A"),)),
        build_user_message("Two"),
        Message(role="assistant", parts=(ToolCall(id="c", name="look"),)),
        Message(role="tool", parts=(ToolResult(call_id="c", name="look", content="x"),)),
    )
    settings = ModelSettings(prompt_cache="long")
    body = write(messages=messages, tools=(WAIT, LOOK), instructions="Be kind.", settings=settings)
    mark = {"type": "ephemeral", "ttl": "1h"}
    assert [tool.get("cache_control") for tool in body["tools"]] == [None, mark]
    assert body["system"] == [{"type": "text", "text": "Be kind.", "cache_control": mark}]
    assert [turn["content"][-1].get("cache_control") for turn in body["messages"]] == [None, None, mark, None, mark]


def test_the_cache_for_minutes_is_the_usual_one() -> None:
    body = write(settings=ModelSettings(prompt_cache="short"))
    assert body["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral"}


def test_an_answer_is_held_to_a_closed_schema() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}
    body = write(output=OutputSpec(name="Answer", json_schema=schema), settings=ModelSettings(reasoning="high"),
                 model="claude-opus-5-5")  # fmt: skip
    assert body["output_config"] == {
        "effort": "high",
        "format": {
            "type": "json_schema",
            "schema": {
                "type": "object",
                "properties": {"n": {"type": "integer"}},
                "required": ["n"],
                "additionalProperties": False,
            },
        },
    }


def test_fields_of_ones_own_are_added_and_join_tables() -> None:
    extra = {"service_tier": "auto", "output_config": {"task_budget": 5}}
    settings = ModelSettings(extra=extra, reasoning="low")
    body = write(settings=settings, model="claude-opus-5-5")
    assert body["service_tier"] == "auto"
    assert body["output_config"] == {"effort": "low", "task_budget": 5}


@pytest.mark.parametrize("extra", [{"max_tokens": 5}, {"stream": True}, {"output_config": {"effort": "max"}}])
def test_fields_that_are_said_otherwise_are_refused(extra: dict) -> None:
    with pytest.raises(InvalidInput, match="cannot be set by `extra`"):
        write(settings=ModelSettings(extra=extra, reasoning="low"), model="claude-opus-5-5")
