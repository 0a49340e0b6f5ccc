"""LangGraph: a compiled `StateGraph`, one node each; durable with its SQLite checkpointer and `durability="sync"`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from itertools import count as count_up
from operator import or_
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AnyMessage, HumanMessage
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph

from benchmarks.script import PROGRESS, Progress, Script
from benchmarks.sides.langgraph import build_model
from benchmarks.workflow_graphs import TASK, Go, Graph

MANY = 10_000


class State(TypedDict):
    given: Annotated[dict[str, int], or_]


def build_node(graph: Graph, name: str) -> Callable[[State], Any]:
    async def make(state: State) -> State:
        return {"given": {name: graph.make(name, max((state["given"][one] for one in graph.nodes[name]), default=0))}}

    return make


@asynccontextmanager
async def open_graph(graph: Graph, place: str = "") -> AsyncGenerator[Go]:
    built: Any = StateGraph(State)
    for name, before in graph.nodes.items():
        built.add_node(name, build_node(graph, name))
        built.add_edge([*before] if before else START, name)
    built.add_edge(graph.last, END)
    if not place:
        compiled = built.compile()

        async def go() -> int:
            graph.begin()
            found = await compiled.ainvoke({"given": {}}, {"recursion_limit": MANY})
            return found["given"][graph.last]

        yield go
        return
    async with AsyncSqliteSaver.from_conn_string(str(Path(place, "langgraph.db"))) as saver:
        await saver.setup()
        durable, numbers = built.compile(checkpointer=saver), count_up()

        async def go_durably() -> int:
            graph.begin()
            config = {"recursion_limit": MANY, "configurable": {"thread_id": str(next(numbers))}}
            return (await durable.ainvoke({"given": {}}, config, durability="sync"))["given"][graph.last]

        yield go_durably


@asynccontextmanager
async def open_agents(count: int) -> AsyncGenerator[Go]:
    model = build_model(Script())

    async def ask(state: MessagesState) -> dict[str, list[AnyMessage]]:
        return {"messages": [await model.ainvoke(state["messages"][-1:])]}

    built: Any = StateGraph(MessagesState)
    for place in range(count):
        built.add_node(f"a{place}", ask)
        built.add_edge(f"a{place - 1}" if place else START, f"a{place}")
    compiled = built.compile()

    async def go() -> int:
        progress = Progress()
        PROGRESS.set(progress)
        await compiled.ainvoke({"messages": [HumanMessage(TASK)]}, {"recursion_limit": MANY})
        return progress.model_calls

    yield go
