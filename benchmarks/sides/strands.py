"""Strands Agents: `Agent.invoke_async`, `Agent.stream_async`, `Agent.as_tool`.

An agent holds its conversation and refuses a second run at once, so each of many runs gets its own agent, and the
conversation is put back before each run.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from strands import Agent
from strands import tool as as_tool
from strands.agent.conversation_manager import NullConversationManager
from strands.models import Model as StrandsModel

from benchmarks.script import PIECE, TASK, Player, Script

PACKAGE = "strands-agents"
IMPORT = "from strands import Agent, tool"
AGENT_PER_RUN = True

Event = dict[str, Any]
USAGE: Event = {
    "metadata": {
        "usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15},
        "metrics": {"latencyMs": 0},
    }
}


class Model(StrandsModel):
    def __init__(self, script: Script) -> None:
        turns = [self._build_calls(calls) for calls in script.plan("input")]
        pieces = [PIECE] * script.pieces or [script.answer]
        words: list[Event] = [{"contentBlockDelta": {"delta": {"text": piece}}} for piece in pieces]
        answer = [{"contentBlockStart": {"start": {}}}, *words, {"contentBlockStop": {}}]
        self.player = Player(script, [*turns, [*answer, {"messageStop": {"stopReason": "end_turn"}}]])

    @staticmethod
    def _build_calls(calls: list[Any]) -> list[Event]:
        events: list[Event] = []
        for call in calls:
            events += [
                {"contentBlockStart": {"start": {"toolUse": {"toolUseId": call.id, "name": call.name}}}},
                {"contentBlockDelta": {"delta": {"toolUse": {"input": json.dumps(call.arguments)}}}},
                {"contentBlockStop": {}},
            ]
        return [*events, {"messageStop": {"stopReason": "tool_use"}}]

    def update_config(self, **options: object) -> None:
        pass

    def get_config(self) -> Event:
        return {"model_id": "scripted", "context_window_limit": 200_000}

    def structured_output(self, *args: object, **options: object) -> Any:
        raise TypeError("no structured output is measured")

    async def stream(self, *args: object, **options: object) -> AsyncIterator[Event]:
        if self.player.script.delay_s:
            await self.player.wait()
        yield {"messageStart": {"role": "assistant"}}
        for event in self.player.take():
            yield event
        yield USAGE


def build_model(script: Script) -> Model:
    return Model(script)


def build(model: Model, tools: list[Any], name: str = "bench") -> Agent:
    return Agent(
        model,
        tools=tools,
        name=name,
        callback_handler=None,
        conversation_manager=NullConversationManager(),
    )


def build_agent(model: Model, tool: Callable[..., object] | None) -> Agent:
    return build(model, [as_tool(tool)] if tool else [])


def build_lead(model: Model, sub: Model) -> Agent:
    return build(model, [build(sub, [], "sub").as_tool(name="sub", description="Delegate a task.")])


def build_history(count: int) -> list[Event]:
    return [{"role": ("user", "assistant")[place % 2], "content": [{"text": "word"}]} for place in range(count)]


async def run(agent: Agent, history: list[Event] | None = None) -> str:
    agent.messages[:] = history or ()
    result = await agent.invoke_async(TASK)
    return "".join(block["text"] for block in result.message["content"])


async def stream(agent: Agent) -> AsyncIterator[str]:
    agent.messages.clear()
    async for event in agent.stream_async(TASK):
        if "data" in event:
            yield event["data"]
