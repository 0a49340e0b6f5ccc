"""Microsoft Agent Framework: `WorkflowBuilder` with function executors; durable with its `FileCheckpointStorage`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from agent_framework import Agent, Executor, FileCheckpointStorage, WorkflowBuilder, WorkflowContext, handler

from benchmarks.script import PROGRESS, Progress, Script
from benchmarks.sides.agent_framework import build_model
from benchmarks.workflow_graphs import TASK, Go, Graph

MANY = 10_000


class Node(Executor):
    """A node with one or no node before it."""

    def __init__(self, graph: Graph, name: str) -> None:
        super().__init__(id=name)
        self._graph, self._name = graph, name

    @handler
    async def make(self, given: int, context: WorkflowContext[int, int]) -> None:
        await hand_on(self._graph, self._name, given, context)


class Join(Executor):
    """A node with several before it."""

    def __init__(self, graph: Graph, name: str) -> None:
        super().__init__(id=name)
        self._graph, self._name = graph, name

    @handler
    async def make(self, given: list[int], context: WorkflowContext[int, int]) -> None:
        await hand_on(self._graph, self._name, max(given), context)


async def hand_on(graph: Graph, name: str, given: int, context: Any) -> None:
    found = graph.make(name, given)
    await (context.yield_output(found) if name == graph.last else context.send_message(found))


@asynccontextmanager
async def open_graph(graph: Graph, place: str = "") -> AsyncGenerator[Go]:
    storage = FileCheckpointStorage(place) if place else None

    def build() -> Any:
        """A workflow does one run at a time, and none again."""
        nodes = {name: (Join if len(before) > 1 else Node)(graph, name) for name, before in graph.nodes.items()}
        first, *_ = nodes.values()
        builder = WorkflowBuilder(start_executor=first, max_iterations=MANY, checkpoint_storage=storage)
        after: dict[str, list[Any]] = {}
        for name, before in graph.nodes.items():
            if len(before) > 1:
                builder.add_fan_in_edges([nodes[one] for one in before], nodes[name])
            elif before:
                after.setdefault(before[0], []).append(nodes[name])
        for name, targets in after.items():
            if len(targets) > 1:
                builder.add_fan_out_edges(nodes[name], targets)
            else:
                builder.add_edge(nodes[name], targets[0])
        return builder.build()

    workflow = build()

    async def go() -> int:
        graph.begin()
        return (await workflow.run(0)).get_outputs()[-1]

    yield go


@asynccontextmanager
async def open_agents(count: int) -> AsyncGenerator[Go]:
    model = build_model(Script())
    agents = [Agent(client=model, name=f"a{place}", id=f"a{place}") for place in range(count)]
    builder = WorkflowBuilder(start_executor=agents[0], max_iterations=MANY)
    if count > 1:
        builder.add_chain(agents)
    workflow = builder.build()

    async def go() -> int:
        progress = Progress()
        PROGRESS.set(progress)
        await workflow.run(TASK)
        return progress.model_calls

    yield go
