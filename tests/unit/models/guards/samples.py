"""What do the tests of guards share? A model that says what it is told to, in the pieces it is told to."""

from collections.abc import AsyncGenerator, Sequence

from quorate.messages import (
    AnyPart,
    Message,
    Reply,
    ReplyDone,
    StreamItem,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    build_user_message,
)
from quorate.specs import Caller, ModelProfile, OutputSpec, Request


class Talker:
    """Says the same parts each time, its streams cut into pieces of a size."""

    def __init__(self, *parts: AnyPart | str, size: int = 3) -> None:
        self.profile = ModelProfile(name="talker")
        self.parts = tuple(Text(text=part) if isinstance(part, str) else part for part in parts)
        self.size = size
        self.requests: list[Request] = []
        self.given = 0

    def reply(self) -> Reply:
        calls = any(isinstance(part, ToolCall) for part in self.parts)
        return Reply(message=Message(role="assistant", parts=self.parts), stop="tool_calls" if calls else "end")

    async def complete(self, request: Request) -> Reply:
        self.requests.append(request)
        return self.reply()

    async def stream(self, request: Request) -> AsyncGenerator[StreamItem]:
        self.requests.append(request)
        for part in self.parts:
            for item in self.cut(part):
                self.given += 1
                yield item
        yield ReplyDone(self.reply())

    def cut(self, part: AnyPart) -> Sequence[StreamItem]:
        if isinstance(part, ToolCall):
            return [ToolCallDelta(part.id, part.name, piece) for piece in self.pieces(part.arguments)]
        assert isinstance(part, Text | Thinking)
        kind = TextDelta if isinstance(part, Text) else ThinkingDelta
        return [kind(piece) for piece in self.pieces(part.text)]

    def pieces(self, text: str) -> list[str]:
        return [text[at : at + self.size] for at in range(0, len(text), self.size)]


def ask(*texts: str, tenant: str = "acme", json: bool = False) -> Request:
    output = OutputSpec(name="answer", json_schema={"type": "object"}) if json else None
    messages = tuple(build_user_message(text) for text in texts)
    return Request(messages=messages, output=output, caller=Caller(tenant=tenant, run="run-1"), key="1/model")


def said(request: Request) -> str:
    """All words of a request."""
    return "\n".join(message.text for message in request.messages)
