"""Quorate, with its event log in memory."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence

from benchmarks.script import MANY, PIECE, TASK, Player, Script
from quorate import Agent, Limits, MemoryLog, Message, Reply, Request, Text, TextDelta, ToolCall, Usage, tool
from quorate.messages import ReplyDone, StreamItem
from quorate.specs import ModelProfile

PACKAGE = "quorate"
IMPORT = "from quorate import Agent, tool"
AGENT_PER_RUN = False

LIMITS = Limits(steps=MANY, tool_calls=MANY)
USAGE = Usage(input_tokens=10, output_tokens=5, requests=1)


class Model:
    def __init__(self, script: Script) -> None:
        self.profile = ModelProfile(name="scripted")
        spoken = [
            tuple(ToolCall(id=c.id, name=c.name, arguments=json.dumps(c.arguments)) for c in calls)
            for calls in script.plan()
        ]
        replies = [*spoken, (Text(text=script.answer),)]
        self.player = Player(
            script, [Reply(message=Message(role="assistant", parts=parts), usage=USAGE) for parts in replies]
        )

    async def complete(self, request: Request) -> Reply:
        if self.player.script.delay_s:
            await self.player.wait()
        return self.player.take()

    async def stream(self, request: Request) -> AsyncIterator[StreamItem]:
        reply = self.player.take()
        for _ in range(self.player.script.pieces):
            yield TextDelta(PIECE)
        yield ReplyDone(reply)


def build_model(script: Script) -> Model:
    return Model(script)


def build_agent(model: Model, function: Callable[..., object] | None) -> Agent:
    return Agent("bench", model=model, tools=[tool(function)] if function else [], limits=LIMITS)


def build_lead(model: Model, sub: Model) -> Agent:
    return Agent("lead", model=model, tools=[Agent("sub", model=sub)], limits=LIMITS)


def build_history(count: int) -> Sequence[Message]:
    parts = (Text(text="word"),)
    return [Message(role=("user", "assistant")[place % 2], parts=parts) for place in range(count)]


async def run(agent: Agent, history: Sequence[Message] = ()) -> str:
    return (await agent.run(TASK, history=history, log=MemoryLog())).output


async def stream(agent: Agent) -> AsyncIterator[str]:
    async for item in agent.run_stream(TASK, log=MemoryLog()):
        if type(item) is TextDelta:
            yield item.text
