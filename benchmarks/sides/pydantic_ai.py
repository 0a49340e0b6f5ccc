"""Pydantic AI: `Agent.run`, `Agent.run_stream`; delegation as its documentation shows it, a tool that runs an agent."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic_ai import Agent
from pydantic_ai import models as pydantic_models
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ModelResponseStreamEvent,
    TextPart,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.usage import RequestUsage, UsageLimits

from benchmarks.script import PIECE, TASK, Player, Script

PACKAGE = "pydantic-ai-slim"
IMPORT = "from pydantic_ai import Agent"
AGENT_PER_RUN = False

LIMITS = UsageLimits(request_limit=None)
USAGE = RequestUsage(input_tokens=10, output_tokens=5)


class Model(pydantic_models.Model):
    def __init__(self, script: Script) -> None:
        super().__init__()
        parts = [
            [ToolCallPart(c.name, json.dumps(c.arguments), tool_call_id=c.id) for c in calls] for calls in script.plan()
        ]
        self.player = Player(script, [*parts, [TextPart(script.answer)]])

    @property
    def model_name(self) -> str:
        return "scripted"

    @property
    def system(self) -> str:
        return "bench"

    @property
    def provider(self) -> None:
        return None

    async def request(
        self, messages: object, model_settings: object, model_request_parameters: object
    ) -> ModelResponse:
        if self.player.script.delay_s:
            await self.player.wait()
        # The framework writes into the response, so that each run needs its own.
        return ModelResponse(self.player.take(), usage=USAGE, model_name="scripted")

    @asynccontextmanager
    async def request_stream(
        self, messages: object, model_settings: object, model_request_parameters: object, run_context: object = None
    ) -> AsyncIterator[pydantic_models.StreamedResponse]:
        self.player.take()
        yield Streamed(model_request_parameters, self.player.script.pieces)


@dataclass
class Streamed(pydantic_models.StreamedResponse):
    pieces: int

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        for _ in range(self.pieces):
            for event in self._parts_manager.handle_text_delta(vendor_part_id=0, content=PIECE):
                yield event
        self._usage = USAGE

    model_name = "scripted"
    provider_name = "bench"
    provider_url = None
    timestamp = datetime(2026, 1, 1, tzinfo=UTC)

    async def close_stream(self) -> None:
        pass


def build_model(script: Script) -> Model:
    return Model(script)


def build_agent(model: Model, tool: Callable[..., object] | None) -> Agent:
    return Agent(model, tools=[tool] if tool else [])


def build_lead(model: Model, sub: Model) -> Agent:
    agent = Agent(sub)

    async def delegate(task: str) -> str:
        """Delegate a task."""
        return (await agent.run(task)).output

    delegate.__name__ = "sub"
    return Agent(model, tools=[delegate])


def build_history(count: int) -> list[ModelMessage]:
    said: tuple[Callable[[], ModelMessage], ...] = (
        lambda: ModelRequest(parts=[UserPromptPart("word")]),
        lambda: ModelResponse(parts=[TextPart("word")]),
    )
    return [said[place % 2]() for place in range(count)]


async def run(agent: Agent, history: list[ModelMessage] | None = None) -> str:
    return (await agent.run(TASK, message_history=history, usage_limits=LIMITS)).output


async def stream(agent: Agent) -> AsyncIterator[str]:
    async with agent.run_stream(TASK) as result:
        async for piece in result.stream_text(delta=True, debounce_by=None):
            yield piece
