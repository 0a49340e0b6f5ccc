"""How does an agent behave when its model says exactly this? A model for tests, examples and offline work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import msgspec
from msgspec import Struct

from quorate.errors import QuorateError, UpstreamError
from quorate.messages import (
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
    Usage,
)
from quorate.specs import ModelProfile, Request

PIECE = 8


class After(Struct, frozen=True):
    """An answer that takes its time."""

    seconds: float
    answer: Answer


Answer = str | ToolCall | Message | Reply | QuorateError | After | Sequence[ToolCall]
Script = Sequence[Answer] | Callable[[Request], Answer]

_encode = msgspec.json.Encoder().encode


def call(name: str, /, **arguments: object) -> ToolCall:
    """Build a tool call for a script; its id becomes unique when the script is played."""
    return ToolCall(id="", name=name, arguments=_encode(arguments).decode())


class ScriptedModel:
    """A `Model` that plays a list of answers, or asks a function for each.

    An answer is text, a tool call or several (made in parallel), a message, a whole reply, an error to raise, or
    `After(seconds, answer)`. Running off the end of the list is an error, so a loop that asks too often is found.
    """

    def __init__(self, script: Script, *, name: str = "scripted", profile: ModelProfile | None = None) -> None:
        self.profile = profile or ModelProfile(name=name, provider="scripted")
        self.requests: list[Request] = []
        """Every request that was made, to look at in tests."""
        self._next: Callable[[Request], Answer] = script if callable(script) else self._play(iter(script))

    def _play(self, answers: Iterator[Answer]) -> Callable[[Request], Answer]:
        def take(request: Request) -> Answer:
            for answer in answers:
                return answer
            raise UpstreamError(
                f"The script of model {self.profile.name!r} is at its end: the agent asked "
                f"{len(self.requests)} times. Add an answer."
            )

        return take

    async def complete(self, request: Request) -> Reply:
        """Give the next answer in one piece."""
        self.requests.append(request)
        answer = self._next(request)
        while isinstance(answer, After):
            await asyncio.sleep(answer.seconds)
            answer = answer.answer
        return _build_reply(answer, request)

    async def stream(self, request: Request) -> AsyncIterator[StreamItem]:
        """Give the next answer a few characters at a time."""
        reply = await self.complete(request)
        for part in reply.message.parts:
            if isinstance(part, Text):
                for start in range(0, len(part.text), PIECE):
                    yield TextDelta(part.text[start : start + PIECE])
            elif isinstance(part, Thinking):
                yield ThinkingDelta(part.text)
            elif isinstance(part, ToolCall):
                yield ToolCallDelta(part.id, part.name, part.arguments)
        yield ReplyDone(reply)


def _build_reply(answer: Answer, request: Request) -> Reply:
    if isinstance(answer, QuorateError):
        raise answer
    if isinstance(answer, Reply):
        return answer
    if isinstance(answer, str):
        message = Message(role="assistant", parts=(Text(text=answer),))
    elif isinstance(answer, Message):
        message = answer
    else:
        assert not isinstance(answer, After)
        calls: Sequence[ToolCall] = (answer,) if isinstance(answer, ToolCall) else answer
        turn = len(request.messages)
        message = Message(
            role="assistant",
            parts=tuple(
                one if one.id else ToolCall(id=f"call-{turn}-{place}", name=one.name, arguments=one.arguments)
                for place, one in enumerate(calls, 1)
            ),
        )
    stop = "tool_calls" if message.tool_calls else "end"
    return Reply(message=message, usage=Usage(requests=1), model="scripted", stop=stop)
