"""The floor: what the same work costs in a hand-written asyncio loop over plain dicts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

from benchmarks.script import PIECE, TASK, Player, Script

PACKAGE = ""
IMPORT = "import asyncio, json"
AGENT_PER_RUN = False

Message = dict[str, object]


class Model:
    def __init__(self, script: Script) -> None:
        replies: list[Message] = []
        for calls in script.plan():
            asked = [{"id": c.id, "name": c.name, "arguments": json.dumps(c.arguments)} for c in calls]
            replies.append({"role": "assistant", "content": "", "tool_calls": asked})
        replies.append({"role": "assistant", "content": script.answer})
        self.player = Player(script, replies)

    async def complete(self, messages: list[Message]) -> Message:
        if self.player.script.delay_s:
            await self.player.wait()
        return self.player.take()

    async def stream(self, messages: list[Message]) -> AsyncIterator[str]:
        self.player.take()
        for _ in range(self.player.script.pieces):
            yield PIECE


def build_model(script: Script) -> Model:
    return Model(script)


def build_agent(model: Model, tool: Callable[..., object] | None) -> Message:
    tools = {}
    if tool is not None:
        code = tool.__code__
        schema = {name: {"type": tool.__annotations__[name]} for name in code.co_varnames[: code.co_argcount]}
        tools[tool.__name__] = {"function": tool, "description": tool.__doc__, "properties": schema}
    return {"model": model, "tools": tools}


def build_lead(model: Model, sub: Model) -> Message:
    agent = build_agent(sub, None)

    async def delegate(task: str) -> str:
        return await run(agent)

    return {"model": model, "tools": {"sub": {"function": delegate, "description": "", "properties": {}}}}


def build_history(count: int) -> list[Message]:
    return [{"role": ("user", "assistant")[place % 2], "content": "word"} for place in range(count)]


async def run(agent: Message, history: list[Message] | None = None) -> str:
    messages = [*(history or ()), {"role": "user", "content": TASK}]
    model, tools = agent["model"], agent["tools"]
    while True:
        reply = await model.complete(messages)
        messages.append(reply)
        calls = reply.get("tool_calls")
        if not calls:
            return reply["content"]
        work = [tools[call["name"]]["function"](**json.loads(call["arguments"])) for call in calls]
        results = [await work[0]] if len(work) == 1 else await asyncio.gather(*work)
        for call, result in zip(calls, results, strict=True):
            messages.append({"role": "tool", "call_id": call["id"], "content": json.dumps(result)})


async def stream(agent: Message) -> AsyncIterator[str]:
    async for piece in agent["model"].stream([{"role": "user", "content": TASK}]):
        yield piece
