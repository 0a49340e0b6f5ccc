"""Does what a provider wants back with a call survive the way through a client?"""

from __future__ import annotations

from typing import Any

import msgspec

from quorate.messages import Message, Reply, Text, ToolCall
from quorate.server.openai.ask import read_chat, read_messages
from quorate.server.openai.say import Chunks, build_completion
from quorate.server.speech import replay_reply

CALL = ToolCall(id="a", name="see", arguments='{"x":1}', signature="sig")
REPLY = Reply(message=Message(role="assistant", parts=(Text(text="I look."), CALL)), stop="tool_calls")


def give_back(message: object) -> tuple[Message, ...]:
    """Send a message as clients do: as it came, with the call's result."""
    result = {"role": "tool", "tool_call_id": "a", "content": "1"}
    body = {"model": "m", "messages": [{"role": "user", "content": "See."}, message, result]}
    return read_messages(read_chat(msgspec.json.encode(body)).messages)[1]


def test_whole() -> None:
    answer = msgspec.json.decode(build_completion(REPLY, id="x", model="m", created=0))
    assert give_back(answer["choices"][0]["message"])[1] == REPLY.message


async def test_streamed() -> None:
    """The pieces are put together as clients do: texts are joined, all else is set."""
    call: dict[str, Any] = {}
    async for frame in Chunks(id="x", model="m", created=0, with_usage=False).write(replay_reply(REPLY)):
        data = frame.removeprefix(b"data: ").strip()
        if data == b"[DONE]":
            break
        for piece in msgspec.json.decode(data)["choices"][0]["delta"].get("tool_calls", ()):
            arguments = call.get("function", {}).get("arguments", "") + piece.get("function", {}).get("arguments", "")
            call = {**call, **piece, "function": {**call.get("function", {}), **piece.get("function", {})}}
            call["function"]["arguments"] = arguments
    assert give_back({"role": "assistant", "content": "I look.", "tool_calls": [call]})[1] == REPLY.message
