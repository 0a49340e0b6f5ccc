"""Microsoft Agent Framework: `Agent.run`, `Agent.as_tool`, its function-calling layer around a scripted client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from agent_framework import (
    Agent,
    BaseChatClient,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    FunctionInvocationLayer,
    Message,
)
from agent_framework import tool as as_tool

from benchmarks.script import MANY, PIECE, TASK, Player, Script

PACKAGE = "agent-framework-core"
IMPORT = "from agent_framework import Agent, tool"
AGENT_PER_RUN = False


class Model(FunctionInvocationLayer, BaseChatClient):
    def __init__(self, script: Script) -> None:
        super().__init__(function_invocation_configuration={"max_iterations": MANY, "max_function_calls": None})
        turns = [[(c.id, c.name, json.dumps(c.arguments)) for c in calls] for calls in script.plan()]
        self.player = Player(script, [*turns, None])

    def _inner_get_response(self, *, messages: object, stream: bool, options: object, **more: object) -> Any:
        return self._build_response_stream(self._stream()) if stream else self._complete()

    async def _complete(self) -> ChatResponse:
        if self.player.script.delay_s:
            await self.player.wait()
        calls = self.player.take()
        # The framework writes into the response, so that each run needs its own.
        if calls is None:
            contents = [Content.from_text(self.player.script.answer)]
        else:
            contents = [Content.from_function_call(key, name, arguments=given) for key, name, given in calls]
        usage = {"input_token_count": 10, "output_token_count": 5, "total_token_count": 15}
        return ChatResponse(messages=[Message("assistant", contents)], response_id="r1", usage_details=usage)

    async def _stream(self) -> AsyncIterator[ChatResponseUpdate]:
        self.player.take()
        for _ in range(self.player.script.pieces):
            yield ChatResponseUpdate(contents=[Content.from_text(PIECE)], role="assistant", response_id="r1")


def build_model(script: Script) -> Model:
    return Model(script)


def build_agent(model: Model, tool: Callable[..., object] | None) -> Agent:
    return Agent(client=model, name="bench", tools=[as_tool(tool)] if tool else [])


def build_lead(model: Model, sub: Model) -> Agent:
    delegate = Agent(client=sub, name="sub", description="Delegate a task.").as_tool()
    return Agent(client=model, name="lead", tools=[delegate])


def build_history(count: int) -> list[Message]:
    return [Message(("user", "assistant")[place % 2], ["word"]) for place in range(count)]


async def run(agent: Agent, history: list[Message] | None = None) -> str:
    return (await agent.run([*(history or ()), Message("user", [TASK])])).text


async def stream(agent: Agent) -> AsyncIterator[str]:
    async for update in agent.run(TASK, stream=True):
        if update.text:
            yield update.text
