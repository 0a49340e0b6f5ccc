"""Does a conversation that one provider began go on with any other?"""

import json

import pytest

from quorate.errors import InvalidInput
from quorate.messages import Message, Text, ToolCall, ToolResult, build_user_message
from quorate.models.providers import find_dialect
from quorate.models.providers.calls import CallIds, fit_name
from quorate.models.target import Target, find_target
from quorate.specs import Request, ToolSpec

PLACES = {"AZURE_OPENAI_RESOURCE": "acme", "AWS_REGION": "eu-central-1", "GOOGLE_CLOUD_PROJECT": "p"}
VALUES = {**PLACES, "GOOGLE_CLOUD_LOCATION": "eu"}
ALL = (
    "openai:gpt-5.2", "openai-responses:gpt-5.2", "azure:gpt-5.2", "anthropic:claude-haiku-4-5",
    "bedrock:us.amazon.nova-2-lite-v1:0", "gemini:gemini-3.8-flash", "vertex:gemini-3.8-flash", "ollama:qwen3:8b",
    "mistral:mistral-small-2603", "groq:openai/gpt-oss-20b",
)  # fmt: skip
STRICT = tuple(name for name in ALL if not name.startswith(("ollama", "groq")))
LOOK = ToolSpec(name="look", description="Looks.")


def find(name: str) -> Target:
    return find_target(name, credentials=VALUES.get, base_urls={})


def write(name: str, *messages: Message, tools: tuple[ToolSpec, ...] = (LOOK,)) -> dict:
    target = find(name)
    sending = find_dialect(target.provider).encode(Request(messages=messages, tools=tools), target)
    return json.loads(sending.body)


def find_values(node: object, *names: str) -> list[object]:
    """Find what stands under these names anywhere, in order."""
    if isinstance(node, list):
        return [found for child in node for found in find_values(child, *names)]
    if not isinstance(node, dict):
        return []
    return [
        found
        for key, value in node.items()
        for found in ([value] if key in names and not isinstance(value, dict) else find_values(value, *names))
    ]


def talk(*calls: ToolCall) -> list[Message]:
    """Turns of one call each, answered."""
    built = [build_user_message("Hi")]
    for call in calls:
        built.append(Message(role="assistant", parts=(call,)))
        built.append(Message(role="tool", parts=(ToolResult(call_id=call.id, name=call.name, content=call.arguments),)))
    return built


@pytest.mark.parametrize("name", [name for name in ALL if not name.startswith(("gemini", "vertex", "ollama"))])
def test_no_two_calls_have_one_id(name: str) -> None:
    """A server that gives no ids counts anew in each reply; Anthropic refuses a conversation with two of one id."""
    calls = [ToolCall(id="call-0", name="look", arguments=json.dumps({"at": at})) for at in range(3)]
    body = write(name, *talk(*calls))
    said = body.get("messages") or body["input"]
    asked = find_values(said, "toolUseId", "tool_use_id", "call_id", "tool_call_id", "id")
    assert len(asked) == 6
    assert asked[0::2] == asked[1::2]
    assert len(set(asked)) == 3


def test_results_find_the_calls_they_are_for() -> None:
    ids = CallIds(lambda id_: id_[:8])
    assert [ids.write_call(id_) for id_ in ("a", "a", "b")] == ["a", "a_2", "b"]
    assert [ids.write_result(id_) for id_ in ("b", "a", "a", "a")] == ["b", "a", "a_2", "a_2"]
    assert ids.write_call("a_2") == "a_2_2"
    assert ids.write_result("never-called") == "never-ca"


@pytest.mark.parametrize(("name", "most"), [("openai:gpt-5.2", 40), ("azure:gpt-5.2", 40), ("openai-responses:m", 64)])
def test_a_long_id_is_written_shorter(name: str, most: int) -> None:
    """OpenAI refuses one of more than 40 characters in chat completions, and of more than 64 in Responses."""
    long = "functions.look_up_the_weather_of_a_place_in_the_world:0" * 2
    body = write(name, *talk(ToolCall(id=long, name="look"), ToolCall(id=long + "1", name="look")))
    asked = [str(one) for one in find_values(body.get("messages") or body["input"], "call_id", "tool_call_id", "id")]
    assert asked[0::2] == asked[1::2]
    assert len(set(asked)) == 2
    assert all(len(one) <= most for one in asked)


@pytest.mark.parametrize("name", STRICT)
def test_a_name_a_model_made_up_does_not_end_the_conversation(name: str) -> None:
    """Providers refuse a conversation with a call whose name is none, though the model itself wrote it."""
    made = ToolCall(id="a", name="multi_tool_use.parallel")
    body = write(name, *talk(made, ToolCall(id="b", name="look")))
    said = body.get("messages") or body.get("input") or body["contents"]
    names = [one for one in find_values(said, "name") if one]
    assert "look" in names
    assert set(names) <= {"look", "multi_tool_use_parallel"} or name.startswith(("gemini", "vertex"))


def test_names_are_written_with_letters_that_all_take() -> None:
    assert fit_name("a.b", {"a.b"}) == "a.b"
    assert fit_name("a.b/c", ()) == "a_b_c"
    assert fit_name("", ()) == "_"
    assert fit_name("1st", ()) == "_1st"
    assert fit_name("größe", ()) == "gr__e"
    assert len(fit_name("x" * 200, ())) == 64
    assert len(fit_name("1" * 200, ())) == 64


@pytest.mark.parametrize("name", [name for name in STRICT if not name.startswith(("gemini", "vertex"))])
@pytest.mark.parametrize("tool", ["files.read", "grün", "two words", "x" * 129])
def test_a_tool_whose_name_is_not_taken_is_refused_before_anything_is_sent(name: str, tool: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be named to") as caught:
        write(name, build_user_message("Hi"), tools=(ToolSpec(name=tool),))
    assert repr(tool) in str(caught.value)


def test_google_takes_dots_in_names() -> None:
    assert write("gemini:gemini-3.8-flash", build_user_message("Hi"), tools=(ToolSpec(name="files.read"),))
    with pytest.raises(InvalidInput, match="cannot be named to `gemini`"):
        write("gemini:gemini-3.8-flash", build_user_message("Hi"), tools=(ToolSpec(name="1st"),))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("parameters", [{}, {"type": "object"}, {"properties": {}}])
def test_a_tool_that_takes_nothing_has_a_whole_schema(name: str, parameters: dict) -> None:
    """OpenAI refuses an object without properties, Anthropic and Bedrock one that does not say that it is an object."""
    body = write(name, build_user_message("Hi"), tools=(ToolSpec(name="look", parameters=parameters),))
    text = json.dumps(body["toolConfig"] if "toolConfig" in body else body["tools"], separators=(",", ":"))
    assert '{"type":"object","properties":{}}' in text or '{"properties":{},"type":"object"}' in text


def test_mistral_hears_something_between_results_and_a_person() -> None:
    """It refuses a person's words right behind a result."""
    history = [*talk(ToolCall(id="abcdefghi", name="look")), build_user_message("Thanks.")]
    roles = [message["role"] for message in write("mistral:mistral-small-2603", *history)["messages"]]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]
    shown = Message(role="tool", parts=(ToolResult(call_id="abcdefghi", name="look"), Text(text="And?")))
    roles = [message["role"] for message in write("mistral:m", *history[:2], shown)["messages"]]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]
    assert [message["role"] for message in write("openai:gpt-5.2", *history)["messages"]][-2:] == ["tool", "user"]


@pytest.mark.parametrize("name", [name for name in ALL if not name.startswith(("ollama",))])
def test_a_message_that_says_nothing_is_left_out(name: str) -> None:
    """A reply that was cut before its first word is kept in the conversation, and refused by most."""
    body = write(name, build_user_message("Hi"), Message(role="assistant", parts=()), build_user_message("Well?"))
    said = body.get("messages") or body.get("input") or body["contents"]
    assert all(turn["role"] == "user" for turn in said)
