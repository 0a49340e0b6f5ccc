"""Google ADK: `InMemoryRunner.run_async` on a new session for each run, `AgentTool` for delegation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from google.adk.agents import LlmAgent
from google.adk.agents.run_config import RunConfig, StreamingMode
from google.adk.events import Event
from google.adk.models import BaseLlm, LlmResponse
from google.adk.runners import InMemoryRunner
from google.adk.sessions import Session
from google.adk.tools.agent_tool import AgentTool
from google.genai import types

from benchmarks.script import PIECE, TASK, Player, Script

PACKAGE = "google-adk"
IMPORT = "from google.adk.agents import LlmAgent; from google.adk.runners import InMemoryRunner"
AGENT_PER_RUN = False

CONFIG = RunConfig(max_llm_calls=0)
STREAM = RunConfig(streaming_mode=StreamingMode.SSE)
USAGE = types.GenerateContentResponseUsageMetadata(
    prompt_token_count=10, candidates_token_count=5, total_token_count=15
)


class Model(BaseLlm):
    player: Any

    async def generate_content_async(self, llm_request: object, stream: bool = False) -> AsyncIterator[LlmResponse]:
        if self.player.script.delay_s:
            await self.player.wait()
        parts = self.player.take()
        for _ in range(self.player.script.pieces if stream else 0):
            piece = types.Content(role="model", parts=[types.Part(text=PIECE)])
            yield LlmResponse(content=piece, partial=True)
        # The framework writes into the response, so that each run needs its own.
        yield LlmResponse(content=types.Content(role="model", parts=[*parts]), usage_metadata=USAGE, partial=False)


def build_model(script: Script) -> Model:
    turns = [
        [types.Part(function_call=types.FunctionCall(id=c.id, name=c.name, args=c.arguments)) for c in calls]
        for calls in script.plan("request")
    ]
    return Model(model="scripted", player=Player(script, [*turns, [types.Part(text=script.answer)]]))


def build_runner(model: Model, tools: list[Any], name: str = "bench") -> InMemoryRunner:
    return InMemoryRunner(LlmAgent(name=name, model=model, tools=tools), app_name="bench")


def build_agent(model: Model, tool: Callable[..., object] | None) -> InMemoryRunner:
    return build_runner(model, [tool] if tool else [])


def build_lead(model: Model, sub: Model) -> InMemoryRunner:
    return build_runner(model, [AgentTool(LlmAgent(name="sub", model=sub, description="Delegate a task."))])


def build_history(count: int) -> list[Event]:
    authors = (("user", "user"), ("bench", "model"))
    return [
        Event(
            author=authors[place % 2][0],
            invocation_id="before",
            content=types.Content(role=authors[place % 2][1], parts=[types.Part(text="word")]),
        )
        for place in range(count)
    ]


async def open_session(runner: InMemoryRunner, history: list[Event] | None) -> Session:
    session = await runner.session_service.create_session(app_name="bench", user_id="me")
    if history:
        # Appending each anew would be measured as part of the run; this is where the service keeps them.
        runner.session_service.sessions["bench"]["me"][session.id].events.extend(history)
    return session


async def run(runner: InMemoryRunner, history: list[Event] | None = None) -> str:
    session = await open_session(runner, history)
    task, answer = types.Content(role="user", parts=[types.Part(text=TASK)]), ""
    async for event in runner.run_async(user_id="me", session_id=session.id, new_message=task, run_config=CONFIG):
        if event.is_final_response() and event.content:
            answer = "".join(part.text or "" for part in event.content.parts)
    await runner.session_service.delete_session(app_name="bench", user_id="me", session_id=session.id)
    return answer


async def stream(runner: InMemoryRunner) -> AsyncIterator[str]:
    session = await open_session(runner, None)
    task = types.Content(role="user", parts=[types.Part(text=TASK)])
    async for event in runner.run_async(user_id="me", session_id=session.id, new_message=task, run_config=STREAM):
        if event.partial:
            yield event.content.parts[0].text
    await runner.session_service.delete_session(app_name="bench", user_id="me", session_id=session.id)
