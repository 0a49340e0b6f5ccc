"""Agno: a `Workflow` of steps and `Parallel` ones; with a database it keeps its session at the end of a run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from agno.agent import Agent
from agno.workflow import Parallel, Step, StepInput, StepOutput, Workflow

from benchmarks.script import PROGRESS, Progress, Script
from benchmarks.sides.agno import build_model
from benchmarks.workflow_graphs import TASK, Go, Graph, WrongWork


def build_step(graph: Graph, name: str, values: dict[str, int]) -> Step:
    async def make(given: StepInput) -> StepOutput:
        values[name] = graph.make(name, max((values[one] for one in graph.nodes[name]), default=0))
        return StepOutput(content=str(values[name]))

    return Step(name=name, executor=make)


def build_steps(graph: Graph, build: Callable[[str], Step]) -> Sequence[Any]:
    """Put nodes that come after the same ones side by side: its workflows are sequences, not graphs."""
    levels: dict[str, int] = {}
    for name, before in graph.nodes.items():
        levels[name] = 1 + max((levels[one] for one in before), default=-1)
    rows: list[list[Step]] = [[] for _ in range(1 + max(levels.values()))]
    for name, level in levels.items():
        rows[level].append(build(name))
    return [row[0] if len(row) == 1 else Parallel(*row) for row in rows]


@asynccontextmanager
async def open_graph(graph: Graph, place: str = "") -> AsyncGenerator[Go]:
    if place:
        raise WrongWork("it records nothing before a run ends")
    values: dict[str, int] = {}
    steps = build_steps(graph, lambda name: build_step(graph, name, values))
    workflow = Workflow(name="graph", steps=[*steps], telemetry=False)

    async def go() -> int:
        graph.begin()
        values.clear()
        return int((await workflow.arun(TASK)).content)

    yield go


@asynccontextmanager
async def open_agents(count: int) -> AsyncGenerator[Go]:
    model = build_model(Script())
    steps = [
        Step(name=f"a{place}", agent=Agent(name=f"a{place}", model=model, telemetry=False)) for place in range(count)
    ]
    workflow = Workflow(name="agents", steps=[*steps], telemetry=False)

    async def go() -> int:
        progress = Progress()
        PROGRESS.set(progress)
        await workflow.arun(TASK)
        return progress.model_calls

    yield go
