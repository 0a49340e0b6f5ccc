"""LangGraph: a compiled `StateGraph` of a model node and its `ToolNode`, `ainvoke` and `astream`; a subgraph in a tool.

Its prebuilt agent is deprecated in favour of another package, so the graph its documentation draws is built here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import tool as as_tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from benchmarks.script import MANY, PIECE, TASK, Player, Script

PACKAGE = "langgraph"
IMPORT = "from langgraph.graph import StateGraph; from langgraph.prebuilt import ToolNode"
AGENT_PER_RUN = False

USAGE = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
CONFIG = {"recursion_limit": MANY}


class Model(BaseChatModel):
    player: Any

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: list[Any], **options: object) -> Any:
        return self.bind(tools=[convert_to_openai_tool(one) for one in tools])

    def _generate(self, *args: object, **options: object) -> ChatResult:
        raise TypeError("only asynchronous runs are measured")

    async def _agenerate(self, *args: object, **options: object) -> ChatResult:
        if self.player.script.delay_s:
            await self.player.wait()
        content, calls = self.player.take()
        # The graph gives a message its id, so that each run needs its own.
        message = AIMessage(content=content, tool_calls=calls, usage_metadata=USAGE)
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _astream(
        self,
        messages: object,
        stop: object = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **options: object,
    ) -> AsyncIterator[ChatGenerationChunk]:
        self.player.take()
        for _ in range(self.player.script.pieces):
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=PIECE))
            if run_manager is not None:
                await run_manager.on_llm_new_token(PIECE, chunk=chunk)
            yield chunk


def build_model(script: Script) -> Model:
    turns = [
        ("", [{"id": c.id, "name": c.name, "args": c.arguments, "type": "tool_call"} for c in calls])
        for calls in script.plan()
    ]
    return Model(player=Player(script, [*turns, (script.answer, [])]), disable_streaming=not script.pieces)


def build_graph(model: Model, tools: list[Any]) -> CompiledStateGraph:
    asked = model.bind_tools(tools) if tools else model

    async def ask(state: MessagesState) -> dict[str, list[AnyMessage]]:
        return {"messages": [await asked.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", ask)
    graph.add_edge(START, "model")
    if tools:
        graph.add_node("tools", ToolNode(tools))
        graph.add_conditional_edges("model", tools_condition)
        graph.add_edge("tools", "model")
    return graph.compile()


def build_agent(model: Model, tool: Callable[..., object] | None) -> CompiledStateGraph:
    return build_graph(model, [as_tool(tool)] if tool else [])


def build_lead(model: Model, sub: Model) -> CompiledStateGraph:
    graph = build_graph(sub, [])

    @as_tool("sub")
    async def delegate(task: str) -> str:
        """Delegate a task."""
        return (await graph.ainvoke({"messages": [HumanMessage(task)]}))["messages"][-1].content

    return build_graph(model, [delegate])


def build_history(count: int) -> list[AnyMessage]:
    return [(HumanMessage, AIMessage)[place % 2]("word", id=f"h{place}") for place in range(count)]


async def run(agent: CompiledStateGraph, history: list[AnyMessage] | None = None) -> str:
    state = await agent.ainvoke({"messages": [*(history or ()), HumanMessage(TASK)]}, CONFIG)
    return state["messages"][-1].content


async def stream(agent: CompiledStateGraph) -> AsyncIterator[str]:
    async for chunk, _ in agent.astream({"messages": [HumanMessage(TASK)]}, CONFIG, stream_mode="messages"):
        # The last chunk of a message says only that it is the last.
        if chunk.content:
            yield chunk.content
