"""Is what is nothing but space never sent to Anthropic, which refuses it?"""

import json

import pytest

from quorate.messages import Message, Text, ToolCall, ToolResult, build_user_message
from quorate.models.providers import anthropic
from quorate.models.target import find_target
from quorate.specs import Request

TARGET = find_target("anthropic:claude-haiku-4-5", credentials={}.get, base_urls={})


def write(*messages: Message, instructions: str = "") -> dict:
    return json.loads(anthropic.encode(Request(messages=messages, instructions=instructions), TARGET).body)


@pytest.mark.parametrize("space", [" ", "\n", "\t \n", ""])
@pytest.mark.parametrize("kind", ["words", "parts"])
def test_a_result_that_is_nothing_but_space_has_no_content(space: str, kind: str) -> None:
    content = space if kind == "words" else (Text(text=space), Text(text=space))
    body = write(
        build_user_message("Hi"),
        Message(role="assistant", parts=(ToolCall(id="a", name="look"),)),
        Message(role="tool", parts=(ToolResult(call_id="a", name="look", content=content), Text(text=space))),
    )
    assert body["messages"][-1]["content"] == [{"type": "tool_result", "tool_use_id": "a"}]


def test_words_beside_space_stay() -> None:
    body = write(Message(role="user", parts=(Text(text=" "), Text(text=" Hi "))), instructions=" \n")
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": " Hi "}]}]
    assert "system" not in body
