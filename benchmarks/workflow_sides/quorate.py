"""Quorate: a workflow of tool steps and of agent steps, a pipeline, and a conversation that is handed on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.workflow_graphs import ANSWER, TASK, Go, Graph
from quorate import Agent, Limits, Log, Message, Reply, Request, Text, ToolCall, tool
from quorate.agent.agent import AnyAgent
from quorate.messages import ReplyDone, StreamItem
from quorate.orchestration.handoff import PREFIX, Transfer, handoff
from quorate.orchestration.patterns.pipeline import pipeline
from quorate.orchestration.workflow.build import build_workflow
from quorate.orchestration.workflow.spec import Input, Step, Workflow
from quorate.specs import ModelProfile
from quorate.state.backends.sqlite import open_sqlite_store

MANY = 1_000_000
LIMITS = Limits(seconds=3600, steps=MANY, tool_calls=MANY)


class Model:
    """A model that says the same each time, its replies ready made, and counts how often it is asked."""

    def __init__(self, *replies: Reply) -> None:
        self.profile = ModelProfile(name="scripted")
        self.asked = 0
        self._replies = replies

    async def complete(self, request: Request) -> Reply:
        self.asked += 1
        return self._replies[(self.asked - 1) % len(self._replies)]

    async def stream(self, request: Request) -> AsyncIterator[StreamItem]:
        yield ReplyDone(await self.complete(request))


def build_reply(part: Text | ToolCall) -> Reply:
    stop = "tool_calls" if isinstance(part, ToolCall) else "stop"
    return Reply(message=Message(role="assistant", parts=(part,)), stop=stop)


def build_flow(graph: Graph) -> AnyAgent:
    @tool(effect="idempotent")
    async def make(name: str, given: list[int]) -> int:
        """Make a node.

        Args:
            name: Which one.
            given: What those before it gave.
        """
        return graph.make(name, max(given, default=0))

    steps = [
        Step(
            id=name,
            tool="make",
            arguments={"name": name, "given": [f"=steps.{one}.output" for one in before]},
        )
        for name, before in graph.nodes.items()
    ]
    workflow = Workflow(name="graph", steps=tuple(steps), at_once=1_000, output=f"=steps.{graph.last}.output")
    return build_workflow(workflow, tools={"make": make})


@asynccontextmanager
async def open_graph(graph: Graph, place: str = "") -> AsyncGenerator[Go]:
    flow = build_flow(graph)

    async def go(log: Log | None = None) -> int:
        graph.begin()
        return (await flow.run("", log=log)).output.output

    if not place:
        yield go
        return
    async with open_sqlite_store(str(Path(place, "quorate.db"))) as store:

        async def go_durably() -> int:
            return await go(store.log)

        yield go_durably


def build_go(team: AnyAgent, models: Sequence[Model], *, task: str = TASK) -> Go:
    async def go() -> int:
        before = sum(model.asked for model in models)
        await team.run(task)
        return sum(model.asked for model in models) - before

    return go


@asynccontextmanager
async def open_agents(count: int) -> AsyncGenerator[Go]:
    """Agent steps of a workflow, each told what the one before said."""
    model = Model(build_reply(Text(ANSWER)))
    agents = {f"a{place}": Agent(f"a{place}", model=model, limits=LIMITS) for place in range(count)}
    steps = [
        Step(id=name, agent=name, task=f"{{steps.a{place - 1}.output}}" if place else TASK)
        for place, name in enumerate(agents)
    ]
    yield build_go(build_workflow(Workflow(name="agents", steps=tuple(steps)), agents=agents), [model], task="")


@asynccontextmanager
async def open_pipeline(count: int) -> AsyncGenerator[Go]:
    """The same agents as the stages of a pipeline, each told what all before it said."""
    model = Model(build_reply(Text(ANSWER)))
    stages = [Agent(f"a{place}", model=model, limits=LIMITS) for place in range(count)]
    yield build_go(pipeline("bench", stages, limits=LIMITS), [model])


@asynccontextmanager
async def open_handoff(count: int) -> AsyncGenerator[Go]:
    """One conversation that each agent hands to the next, and the last one answers."""
    models = [
        Model(build_reply(ToolCall(id="c", name=f"{PREFIX}a{place + 1}", arguments='{"reason":"next"}')))
        for place in range(count - 1)
    ]
    models.append(Model(build_reply(Text(ANSWER))))
    members = [Agent(f"a{place}", model=model, limits=LIMITS) for place, model in enumerate(models)]
    rules = [Transfer(source=f"a{place}", target=f"a{place + 1}") for place in range(count - 1)]
    yield build_go(handoff("bench", members, rules, hops=count, limits=LIMITS), models)


@asynccontextmanager
async def open_map(count: int) -> AsyncGenerator[Go]:
    """One step that is made for each item of a list."""

    @tool(effect="idempotent")
    async def double(number: int) -> int:
        """Double a number.

        Args:
            number: It.
        """
        return 2 * number

    step = Step(id="each", tool="double", arguments={"number": "=item"}, for_each="inputs.items", limit=10_000)
    workflow = Workflow(
        name="map", inputs={"items": Input(type="list")}, steps=(step,), output={"count": "=size(steps.each.output)"}
    )
    flow, task = build_workflow(workflow, tools={"double": double}), f'{{"items":{[*range(count)]}}}'

    async def go() -> int:
        return (await flow.run(task)).output.output["count"]

    yield go
