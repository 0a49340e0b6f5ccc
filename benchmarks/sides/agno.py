"""Agno: `Agent.arun`; delegation by a tool that runs an agent; no database, no telemetry, as that would send data."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from agno.agent import Agent
from agno.models import base
from agno.models.message import Message
from agno.models.response import ModelResponse

from benchmarks.script import PIECE, TASK, Player, Script

PACKAGE = "agno"
IMPORT = "from agno.agent import Agent"
AGENT_PER_RUN = False


@dataclass
class Model(base.Model):
    player: Any = None

    async def ainvoke(self, *args: object, **options: object) -> ModelResponse:
        if self.player.script.delay_s:
            await self.player.wait()
        content, calls = self.player.take()
        # The framework writes into the response, so that each run needs its own.
        return ModelResponse(role="assistant", content=content, tool_calls=[{**call} for call in calls])

    async def ainvoke_stream(self, *args: object, **options: object) -> AsyncIterator[ModelResponse]:
        self.player.take()
        for _ in range(self.player.script.pieces):
            yield ModelResponse(content=PIECE)

    def invoke(self, *args: object, **options: object) -> ModelResponse:
        raise TypeError("only asynchronous runs are measured")

    invoke_stream = _parse_provider_response = _parse_provider_response_delta = invoke


def build_model(script: Script) -> Model:
    turns = [
        (
            None,
            [
                {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": json.dumps(c.arguments)}}
                for c in calls
            ],
        )
        for calls in script.plan()
    ]
    return Model(id="scripted", player=Player(script, [*turns, (script.answer, [])]))


def build_agent(model: Model, tool: Callable[..., object] | None) -> Agent:
    return Agent(model=model, tools=[tool] if tool else None, telemetry=False)


def build_lead(model: Model, sub: Model) -> Agent:
    agent = build_agent(sub, None)

    async def delegate(task: str) -> str:
        """Delegate a task."""
        return (await agent.arun(task)).content

    delegate.__name__ = "sub"
    return build_agent(model, delegate)


def build_history(count: int) -> list[Message]:
    return [Message(role=("user", "assistant")[place % 2], content="word") for place in range(count)]


async def run(agent: Agent, history: list[Message] | None = None) -> str:
    task = TASK if history is None else [*history, Message(role="user", content=TASK)]
    return (await agent.arun(task)).content


async def stream(agent: Agent) -> AsyncIterator[str]:
    async for event in agent.arun(TASK, stream=True):
        if event.event == "RunContent" and event.content:
            yield event.content
