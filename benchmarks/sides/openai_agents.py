"""OpenAI Agents SDK: `Runner.run`, `Runner.run_streamed`, `Agent.as_tool`; tracing off, as it would send data."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable

import agents
from agents import Agent, ModelResponse, RunConfig, Runner, Usage, function_tool
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseTextDeltaEvent,
)

from benchmarks.script import MANY, PIECE, TASK, Player, Script

PACKAGE = "openai-agents"
IMPORT = "from agents import Agent, Runner, function_tool"
AGENT_PER_RUN = False

CONFIG = RunConfig(tracing_disabled=True)

agents.set_tracing_disabled(True)


def build_words(text: str) -> ResponseOutputMessage:
    words = ResponseOutputText(type="output_text", text=text, annotations=[])
    return ResponseOutputMessage(id="m1", type="message", role="assistant", status="completed", content=[words])


class Model(agents.Model):
    def __init__(self, script: Script) -> None:
        turns = [
            [
                ResponseFunctionToolCall(
                    type="function_call", id=c.id, call_id=c.id, name=c.name, arguments=json.dumps(c.arguments)
                )
                for c in calls
            ]
            for calls in script.plan("input")
        ]
        self.player = Player(script, [*turns, [build_words(script.answer)]])

    async def get_response(self, *args: object, **options: object) -> ModelResponse:
        if self.player.script.delay_s:
            await self.player.wait()
        usage = Usage(requests=1, input_tokens=10, output_tokens=5, total_tokens=15)
        return ModelResponse(output=self.player.take(), usage=usage, response_id=None)

    async def stream_response(self, *args: object, **options: object) -> AsyncIterator[object]:
        output = self.player.take()
        for number in range(self.player.script.pieces):
            yield ResponseTextDeltaEvent(
                type="response.output_text.delta",
                delta=PIECE,
                item_id="m1",
                output_index=0,
                content_index=0,
                sequence_number=number,
                logprobs=[],
            )
        response = Response(
            id="r1",
            created_at=0,
            model="scripted",
            object="response",
            output=output,
            parallel_tool_calls=True,
            tool_choice="auto",
            tools=[],
        )
        yield ResponseCompletedEvent(type="response.completed", response=response, sequence_number=MANY)


def build_model(script: Script) -> Model:
    return Model(script)


def build_agent(model: Model, tool: Callable[..., object] | None) -> Agent:
    return Agent("bench", model=model, tools=[function_tool(tool)] if tool else [])


def build_lead(model: Model, sub: Model) -> Agent:
    delegate = Agent("sub", model=sub).as_tool("sub", "Delegate a task.", run_config=CONFIG)
    return Agent("lead", model=model, tools=[delegate])


def build_history(count: int) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[place % 2], "content": "word"} for place in range(count)]


async def run(agent: Agent, history: list[dict[str, str]] | None = None) -> str:
    task = TASK if history is None else [*history, {"role": "user", "content": TASK}]
    return (await Runner.run(agent, task, max_turns=MANY, run_config=CONFIG)).final_output


async def stream(agent: Agent) -> AsyncIterator[str]:
    async for event in Runner.run_streamed(agent, TASK, run_config=CONFIG).stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            yield event.data.delta
