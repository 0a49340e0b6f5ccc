"""How is a request written for Converse?"""

from __future__ import annotations

from base64 import b64encode
from typing import cast

import pytest
from tests.unit.models.bedrock.cases import ADAPTIVE, CLAUDE, LOOK, NOVA, ask, build_target, write

from quorate.errors import InvalidInput
from quorate.messages import Audio, File, Image, Message, Text, Thinking, ToolCall, ToolResult, build_user_message
from quorate.models.providers import bedrock
from quorate.specs import ModelSettings, OutputSpec, Request

HI = build_user_message("Hi")
CALL = ToolCall(id="call-a", name="look", arguments='{"place":"here"}')
SEEN = ToolResult(call_id="call-a", name="look", content="a cat")
POINT = {"cachePoint": {"type": "default"}}


def test_a_request_is_addressed_by_its_model() -> None:
    """In the region's own host; the slash of an ARN is told from those of the path."""
    target = build_target(region="eu-central-1")
    plain = bedrock.encode(ask(), target)
    assert plain.url == f"https://bedrock-runtime.eu-central-1.amazonaws.com/model/{CLAUDE}/converse"
    assert bedrock.encode(ask(), target, stream=True).url.endswith(f"/model/{CLAUDE}/converse-stream")
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
    assert bedrock.encode(ask(), build_target(arn)).url.endswith("application-inference-profile%2Fabc/converse")


def test_a_region_must_be_named() -> None:
    """By either of the names that AWS has for it."""
    with pytest.raises(InvalidInput, match="`AWS_REGION` is not set"):
        build_target(region="")


@pytest.mark.parametrize("name", ["a?b", "../x", "a%2F", "a#b", "|"])
def test_what_is_no_model_is_not_put_into_an_address(name: str) -> None:
    with pytest.raises(InvalidInput, match="no id of a model"):
        bedrock.encode(ask(), build_target(name))


def test_words_instructions_and_limits() -> None:
    """Each in its place."""
    settings = ModelSettings(
        max_tokens=9, temperature=0.5, top_p=0.25, stop=("END",), extra={"requestMetadata": {"a": "b"}}
    )
    body = write(Request(messages=(HI,), instructions="Be brief.", settings=settings))
    assert body == {
        "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
        "system": [{"text": "Be brief."}],
        "inferenceConfig": {"maxTokens": 9, "temperature": 0.5, "topP": 0.25, "stopSequences": ["END"]},
        "requestMetadata": {"a": "b"},
    }


def test_a_conversation_with_tools() -> None:
    """Turns alternate, results come first, and failures are said to be ones."""
    failed = ToolResult(call_id="call-b", name="look", content="", is_error=True)
    history = (
        HI,
        Message(
            role="assistant", parts=(Text(text="I look."), CALL, ToolCall(id="call-b", name="look", arguments="oops"))
        ),
        Message(role="tool", parts=(SEEN,)),
        Message(role="tool", parts=(failed,)),
        build_user_message("And now?"),
    )
    body = write(Request(messages=history, tools=(LOOK,)))
    assert body["messages"] == [
        {"role": "user", "content": [{"text": "Hi"}]},
        {
            "role": "assistant",
            "content": [
                {"text": "I look."},
                {"toolUse": {"toolUseId": "call-a", "name": "look", "input": {"place": "here"}}},
                {"toolUse": {"toolUseId": "call-b", "name": "look", "input": {"malformed_arguments": "oops"}}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "call-a", "content": [{"text": "a cat"}], "status": "success"}},
                {"toolResult": {"toolUseId": "call-b", "content": [{"text": "(nothing)"}], "status": "error"}},
                {"text": "And now?"},
            ],
        },
    ]
    assert body["toolConfig"] == {
        "tools": [
            {"toolSpec": {"name": "look", "description": "Looks.", "inputSchema": {"json": LOOK.parameters}}},
        ]
    }


def test_ids_of_other_providers_are_made_fit() -> None:
    """Alike at the call and at its result, and told apart."""
    ids = ("toolu/1|x", "toolu_1|x", "x" * 70, "x" * 71, "")
    calls = tuple(ToolCall(id=id_, name="look") for id_ in ids)
    results = tuple(ToolResult(call_id=id_, name="look", content="y") for id_ in ids)
    history = (HI, Message(role="assistant", parts=calls), Message(role="tool", parts=results))
    turns = cast(
        "list[dict[str, list[dict[str, dict[str, str]]]]]", write(Request(messages=history, tools=(LOOK,)))["messages"]
    )
    asked = [block["toolUse"]["toolUseId"] for block in turns[1]["content"]]
    given = [block["toolResult"]["toolUseId"] for block in turns[2]["content"]]
    assert asked == given
    assert len(set(asked)) == len(ids)
    assert all(0 < len(id_) <= 64 and id_.replace("-", "").replace("_", "").isalnum() for id_ in asked)


def test_how_tools_are_chosen() -> None:
    """Freely, always, a certain one; never, by not showing any."""

    def choose(**settings: object) -> object:
        body = write(Request(messages=(HI,), tools=(LOOK,), settings=ModelSettings(**settings)))  # type: ignore[arg-type]
        config = body.get("toolConfig")
        return None if config is None else cast("dict[str, object]", config).get("toolChoice", "auto")

    assert choose() == "auto"
    assert choose(tool_choice="required") == {"any": {}}
    assert choose(tool="look") == {"tool": {"name": "look"}}
    assert choose(tool_choice="none") is None


def test_calls_without_tools_are_refused() -> None:
    """Bedrock takes no such conversation; it would answer 400."""
    history = (HI, Message(role="assistant", parts=(CALL,)), Message(role="tool", parts=(SEEN,)))
    with pytest.raises(InvalidInput, match="The request has no tools"):
        write(Request(messages=history))
    with pytest.raises(InvalidInput, match="`tool_choice` is `none`"):
        write(Request(messages=history, tools=(LOOK,), settings=ModelSettings(tool_choice="none")))


def test_pictures_sound_and_files() -> None:
    """As bytes or from S3; documents have names of their own, and words beside them."""
    data = b64encode(b"x").decode()
    body = write(
        ask(
            Image(data=b"x", media_type="image/jpeg"),
            Audio(data=b"x", media_type="audio/mpeg"),
            File(url="s3://bucket/a.pdf", media_type="application/pdf", name="q3/../{report}.pdf"),
            File(data=b"x", media_type="text/csv; charset=utf-8"),
        )
    )
    assert body["messages"] == [
        {
            "role": "user",
            "content": [
                {"text": "The documents:"},
                {"image": {"format": "jpeg", "source": {"bytes": data}}},
                {"audio": {"format": "mp3", "source": {"bytes": data}}},
                {
                    "document": {
                        "format": "pdf",
                        "name": "q3 report 1",
                        "source": {"s3Location": {"uri": "s3://bucket/a.pdf"}},
                    }
                },
                {"document": {"format": "csv", "name": "document 2", "source": {"bytes": data}}},
            ],
        }
    ]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (Image(url="https://a.test/a.png"), "not from another URL"),
        (Image(data=b""), "is empty"),
        (Image(data=b"x", media_type="image/bmp"), "'image/bmp' cannot be sent"),
        (Audio(data=b"x", media_type="audio/midi"), "'audio/midi' cannot be sent"),
        (File(data=b"x", media_type="application/zip", name="a.zip"), "'a.zip' of type 'application/zip'"),
        (Thinking(text="x"), "Thinking"),
    ],
)
def test_what_cannot_be_carried_is_refused(part: Image, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        write(ask(part))


def test_a_tool_may_show_pictures_and_no_sound() -> None:
    def give(part: Image | Audio) -> object:
        result = ToolResult(call_id="call-a", name="look", content=(Text(text="see"), part))
        history = (HI, Message(role="assistant", parts=(CALL,)), Message(role="tool", parts=(result,)))
        return write(Request(messages=history, tools=(LOOK,)))["messages"]

    assert "image" in str(give(Image(data=b"x")))
    with pytest.raises(InvalidInput, match="sound in a tool's result"):
        give(Audio(data=b"x"))


def test_reasoning_goes_back_to_whom_it_came_from() -> None:
    """With its signature, or as the bytes that nobody else can read; nobody else's is sent."""
    parts = (
        Thinking(text="Hm.", signature="c2ln", provider="aws.bedrock"),
        Thinking(text="", signature="cmVk", provider="aws.bedrock", redacted=True),
        Thinking(text="mine", signature="x", provider="anthropic"),
        Thinking(text="unsigned", provider="aws.bedrock"),
        Text(text="Four."),
    )
    body = write(Request(messages=(HI, Message(role="assistant", parts=parts), build_user_message("Why?"))))
    assert cast("list[dict[str, object]]", body["messages"])[1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}},
        {"reasoningContent": {"redactedContent": "cmVk"}},
        {"text": "Four."},
    ]


def test_what_is_kept_in_the_cache_is_marked() -> None:
    """Instructions, tools and the conversation so far; a Nova keeps no tools."""
    settings = ModelSettings(prompt_cache="short")
    request = Request(messages=(HI,), instructions="Be brief.", tools=(LOOK,), settings=settings)
    body = write(request)
    assert cast("list[object]", body["system"])[-1] == POINT
    assert cast("dict[str, list[object]]", body["toolConfig"])["tools"][-1] == POINT
    assert cast("list[dict[str, list[object]]]", body["messages"])[-1]["content"][-1] == POINT
    nova = write(request, NOVA)
    assert cast("dict[str, list[object]]", nova["toolConfig"])["tools"][-1] != POINT
    assert "'ttl': '1h'" in str(write(ask(prompt_cache="long")))


def test_an_answer_is_held_to_a_schema() -> None:
    """Written as text, closed and without bounds; one that cannot be enforced is asked for in words."""
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}
    body = write(Request(messages=(HI,), output=OutputSpec(name="An answer", json_schema=schema)))
    narrowed = '{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"],"additionalProperties":false}'
    assert body["outputConfig"] == {
        "textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"name": "An_answer", "schema": narrowed}}}
    }
    free = {"type": "object", "additionalProperties": {"type": "integer"}}
    body = write(Request(messages=(HI,), output=OutputSpec(name="a", json_schema=free)))
    assert "outputConfig" not in body
    assert '"additionalProperties":{"type":"integer"}' in str(body["system"])
    with pytest.raises(InvalidInput, match="not held to a schema"):
        write(Request(messages=(HI,), output=OutputSpec(name="a", json_schema=schema)), NOVA)


@pytest.mark.parametrize(
    ("name", "settings", "wanted"),
    [
        (CLAUDE, {"reasoning": "none"}, {}),
        (CLAUDE, {"reasoning": "high"}, {"thinking": {"type": "enabled", "budget_tokens": 16_384}}),
        (ADAPTIVE, {"reasoning": "low"}, {"thinking": {"type": "adaptive"}, "effort": "low"}),
        (ADAPTIVE, {"reasoning": "none"}, {}),
        ("us.anthropic.claude-opus-5", {"reasoning": "none"}, {"thinking": {"type": "disabled"}}),
        ("us.anthropic.claude-sonnet-5-5", {"reasoning": "none"}, {"thinking": {"type": "between_tools"}}),
        ("anthropic.claude-3-7-sonnet-20250219-v1:0", {"reasoning": "low"}, {"thinking": {"type": "enabled", "budget_tokens": 2_048}}),
        ("anthropic.claude-opus-9-v1:0", {"reasoning": "high"}, {"thinking": {"type": "adaptive", "display": "summarized"}, "effort": "high"}),
        ("us.amazon.nova-2-lite-v1:0", {"reasoning": "low"}, {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}),
        ("us.amazon.nova-2-lite-v1:0", {"reasoning": "none"}, {"reasoningConfig": {"type": "disabled"}}),
        ("openai.gpt-oss-20b-1:0", {"reasoning": "medium"}, {"reasoning_effort": "medium"}),
        (CLAUDE, {"top_k": 7}, {"top_k": 7}),
        (NOVA, {"top_k": 7}, {"inferenceConfig": {"topK": 7}}),
        (CLAUDE, {"top_k": 7, "extra": {"additionalModelRequestFields": {"a": 1}}}, {"top_k": 7, "a": 1}),
    ],
)  # fmt: skip
def test_each_family_has_words_of_its_own(name: str, settings: dict[str, object], wanted: dict[str, object]) -> None:
    """For how hard to think, and from how many words to choose."""
    body = write(ask(**settings), name)
    got = dict(cast("dict[str, object]", body.get("additionalModelRequestFields", {})))
    got |= cast("dict[str, object]", body.get("outputConfig", {}))
    assert got == wanted


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        (CLAUDE, {"seed": 1}, "`seed`"),
        (CLAUDE, {"frequency_penalty": 0.5}, "`frequency_penalty`"),
        (CLAUDE, {"presence_penalty": 0.5}, "`presence_penalty`"),
        (CLAUDE, {"parallel_tool_calls": False}, "parallel_tool_calls"),
        (CLAUDE, {"reasoning": "high", "max_tokens": 1_000}, "takes 16384 tokens, and `max_tokens` is 1000"),
        (CLAUDE, {"reasoning": "high", "temperature": 0.5}, "no `temperature`: it is asked to think"),
        (ADAPTIVE, {"reasoning": "minimal"}, "'minimal' as `reasoning`"),
        ("us.anthropic.claude-opus-5-5", {"reasoning": "none"}, "'none' as `reasoning`"),
        ("us.anthropic.claude-opus-5", {"temperature": 0.5}, "no `temperature`: it chooses its words"),
        (CLAUDE, {"extra": {"messages": []}}, "`messages` cannot be set"),
        ("meta.llama3-3-70b-instruct-v1:0", {"reasoning": "low"}, "`reasoning='low'` cannot be sent"),
        ("openai.gpt-oss-20b-1:0", {"reasoning": "none"}, "`reasoning='none'` cannot be sent"),
        ("meta.llama3-3-70b-instruct-v1:0", {"top_k": 7}, "`top_k` cannot be sent"),
    ],
)
def test_what_would_be_ignored_is_refused(name: str, settings: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        write(ask(**settings), name)
