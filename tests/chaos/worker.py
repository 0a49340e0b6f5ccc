"""A process that works on many runs at once on one SQLite log, and leaves a line in a file for everything it does.

`python worker.py DATABASE JOURNAL GATE FIRST COUNT`: go on with every run of the log that has not ended, accept COUNT
new ones from number FIRST on, and say `ended N fenced M` when nothing is left. While the file GATE is empty (`-` is no
file), every tool call waits before it has an effect.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from quorate import Agent, Limits, Message, Request, RunContext, RunOptions, ScriptedModel, open_sqlite_log, tool
from quorate.errors import Fenced, Unavailable
from quorate.messages import Reply, StreamItem, ToolResult
from quorate.models.scripted import call
from quorate.state.backends.sqlite import SqliteLog

LIMITS = Limits(seconds=600, repeated_calls=100)
UNFINISHED = ("queued", "running", "waiting")


def say(*words: object) -> None:
    """One line, at once."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


class Journal:
    """A file that outlives the process: one line for each effect, complete or not there."""

    def __init__(self, path: str, gate: str) -> None:
        self.path = path
        self.gate = Path(gate)
        self.held = 0

    def write(self, *words: str) -> None:
        """Append a line."""
        if self.path == "-":
            return
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            os.write(handle, (" ".join(words) + "\n").encode())
        finally:
            os.close(handle)

    async def pass_gate(self) -> None:
        """Wait until the gate is open, and say how many wait."""
        if self.gate.name == "-" or self.gate.stat().st_size:
            return
        self.held += 1
        say("held", self.held)
        while not self.gate.stat().st_size:
            await asyncio.sleep(0.005 + self.held / 5000)  # a thousand that wait must not keep the process busy


def count_turns(request: Request) -> int:
    """How often the model has answered in this conversation."""
    return sum(message.role == "assistant" for message in request.messages)


def collect(messages: tuple[Message, ...]) -> str:
    """All that the tools returned, in the order the model sees it: a wrong pairing shows in the answer."""
    return " ".join(
        f"{part.call_id}={part.content}" for m in messages for part in m.parts if isinstance(part, ToolResult)
    )


class Counted(ScriptedModel):
    """A model that answers by how far the conversation is, and leaves a line each time it is asked."""

    def __init__(self, name: str, turns: tuple[object, ...], journal: Journal) -> None:
        def answer(request: Request) -> object:
            place = count_turns(request)
            return turns[place] if place < len(turns) else collect(request.messages)

        super().__init__(answer, name=name)  # type: ignore[arg-type]
        self.journal = journal

    async def complete(self, request: Request) -> Reply:
        """Answer after a moment."""
        self.requests.clear()
        self.journal.write("ask", request.messages[0].text.split()[-1], request.key)
        await asyncio.sleep(0.001)
        return await super().complete(request)

    async def stream(self, request: Request) -> AsyncIterator[StreamItem]:
        """Answer in pieces."""
        async for item in super().stream(request):
            yield item


def build_agents(journal: Journal) -> list[Agent[None, str]]:
    """Agents that work in sequence, side by side, through delegates, and all of it."""

    @tool(effect="idempotent")
    async def fetch(context: RunContext[None], name: str) -> str:
        """Fetch something."""
        await journal.pass_gate()
        journal.write("begin", context.run, context.key)
        await asyncio.sleep(0.002)
        return f"{context.run}:{name}"

    @tool(effect="keyed")
    def compute(context: RunContext[None], name: str) -> str:
        """Compute something, in a thread."""
        journal.write("begin", context.run, context.key)
        time.sleep(0.002)
        return f"{context.run}:{name}"

    def step(*names: str) -> list[object]:
        return [call("fetch" if place % 3 else "compute", name=name) for place, name in enumerate(names, 1)]

    tools = [fetch, compute]
    clerk = Agent(
        "clerk", model=Counted("clerk", (step("g"), step("h", "i"), step("j")), journal), tools=tools, limits=LIMITS
    )
    shapes: dict[str, tuple[object, ...]] = {
        "sequence": (step("a"), step("b"), step("c"), step("d"), step("e")),
        "parallel": (step(*"abcdef"), step(*"ghijkl"), step(*"mnopqr")),
        "team": ([call("clerk", task="first for {run}"), call("clerk", task="second for {run}")], step("z")),
        "mixed": (
            [call("clerk", task="one for {run}"), *step("a", "b", "c")],
            step("d", "e"),
            [call("clerk", task="{run}")],
        ),
    }
    return [
        Agent(name, model=Delegating(name, turns, journal), tools=[*tools, clerk], limits=LIMITS)
        for name, turns in shapes.items()
    ]


class Delegating(Counted):
    """A model whose tasks for others name the run."""

    async def complete(self, request: Request) -> Reply:
        """Put the run's name into the tasks."""
        reply = await super().complete(request)
        run = request.messages[0].text.split()[-1]
        parts = tuple(
            type(part)(id=part.id, name=part.name, arguments=part.arguments.replace("{run}", run))
            for part in reply.message.tool_calls
        )
        return Reply(message=Message(role="assistant", parts=parts), stop=reply.stop) if parts else reply


def choose(agents: list[Agent[None, str]], number: int) -> Agent[None, str]:
    """Which agent does a run, by its number."""
    return agents[number % len(agents)]


async def work(log: SqliteLog, agents: list[Agent[None, str]], number: int, *, old: bool) -> str:
    """Do or go on with one run; another owner's is left to it."""
    run, agent = f"run-{number}", choose(agents, number)
    while True:
        try:
            if old:
                return (await agent.resume(run, log=log)).status
            return (await agent.run(f"work for {run}", log=log, options=RunOptions(run_id=run))).status
        except Fenced:
            return "fenced"
        except Unavailable:
            old = await log.last(run) > 0
            await asyncio.sleep(0.05)


async def main(database: str, journal: str, gate: str, first: str, count: str) -> None:
    """Work on everything at once."""
    agents = build_agents(Journal(journal, gate))
    async with open_sqlite_log(database) as log:
        open_runs = [one.run for status in UNFINISHED for one in await log.list_runs(status=status, limit=100_000)]
        say("open", len(open_runs))
        old = sorted({int(run.removeprefix("run-")) for run in open_runs})
        new = [number for number in range(int(first), int(first) + int(count)) if not await log.last(f"run-{number}")]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work(log, agents, number, old=True)) for number in old]
            tasks += [group.create_task(work(log, agents, number, old=False)) for number in new if number not in old]
        outcomes = [task.result() for task in tasks]
        say("ended", outcomes.count("completed"), "fenced", outcomes.count("fenced"))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
