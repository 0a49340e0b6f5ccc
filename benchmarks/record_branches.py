"""Does every branch get its own results when parallel branches of the same steps are killed and go on?

Each run has four branches at once, each calling the same three steps one after another, every call taking a random
time. The process kills itself in the middle; another one goes on with every run that has not ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Sequence

from benchmarks.record_store import MANY, USAGE, open_bench
from benchmarks.sides_durable.branches import BRANCHES, EXPECTED, STEPS, TRIALS, Killer, do_step
from quorate import Agent, Limits, Message, Reply, Request, Text, ToolCall, tool
from quorate.messages import ReplyDone, StreamItem
from quorate.specs import ModelProfile

Values = dict[str, float]


class Model:
    """A model that is asked by everybody: a lead asks for all branches at once, a branch for one step at a time."""

    def __init__(self, *, is_lead: bool) -> None:
        self.profile = ModelProfile(name="scripted")
        self._is_lead = is_lead

    async def complete(self, request: Request) -> Reply:
        results = [message for message in request.messages if message.role == "tool"]
        if self._is_lead:
            calls = [_build_call(branch, "branch", {"task": branch}) for branch in BRANCHES]
            return _build_reply(("|".join(_read(results)),) if results else calls)
        branch = request.messages[0].text
        if len(results) == STEPS:
            return _build_reply((" ".join(_read(results)),))
        number = len(results)
        return _build_reply([_build_call(f"call-{number}", "step", {"branch": branch, "number": number})])

    async def stream(self, request: Request) -> AsyncIterator[StreamItem]:
        yield ReplyDone(await self.complete(request))


def _build_call(id: str, name: str, arguments: dict[str, object]) -> ToolCall:
    return ToolCall(id=id, name=name, arguments=json.dumps(arguments))


def _build_reply(parts: Sequence[ToolCall | str]) -> Reply:
    spoken = tuple(Text(text=part) if isinstance(part, str) else part for part in parts)
    return Reply(message=Message(role="assistant", parts=spoken), usage=USAGE)


def _read(messages: Sequence[Message]) -> list[str]:
    return [part.content for message in messages for part in message.parts if hasattr(part, "content")]


def build_agents(killer: Killer) -> list[Agent[None, str]]:
    async def step(branch: str, number: int) -> str:
        """Do a step of a branch.

        Args:
            branch: Which branch.
            number: Which step of it.
        """
        return await do_step(killer, branch, number)

    limits = Limits(steps=MANY, tool_calls=MANY, repeated_calls=MANY)
    calls = tool(effect="idempotent")(step)
    branch = Agent("branch", model=Model(is_lead=False), tools=[calls], limits=limits)
    return [Agent("bench", model=Model(is_lead=True), tools=[branch], limits=limits), branch]


async def run_part(side: str, place: str, size: float, *, part: str) -> Values:
    """Begin the trials and die, or go on with them and say how many came out right."""
    trials = max(1, int(TRIALS * size))
    random.seed(os.getpid())
    killer = Killer()
    async with open_bench(side, place, build_agents(killer)) as runtime:
        if part == "begin":
            killer.arm(trials)
            handles = await asyncio.gather(*[runtime.submit("go", agent="bench") for _ in range(trials)])
            await asyncio.gather(*[handle.wait() for handle in handles])
            raise RuntimeError("all trials ended before the process died")
        left = [run.run for run in await runtime.list_runs(status="running", limit=trials)]
        handles = [await runtime.resume(run) for run in left]
        found = await asyncio.gather(*[handle.wait() for handle in handles], return_exceptions=True)
    outputs = [getattr(result, "output", None) for result in found]
    return {
        "branches_right": sum(output == EXPECTED for output in outputs),
        "branches_wrong": sum(isinstance(output, str) and output != EXPECTED for output in outputs),
        "branches_none": sum(output is None for output in outputs),
    }


async def measure_branches(side: str, place: str, size: float) -> Values:
    for part in ("begin", "resume"):
        argv = [sys.executable, "-m", "benchmarks.record_worker", f"branches-{part}", side, place, str(size)]
        process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
        died = process.returncode == -signal.SIGKILL
        if died != (part == "begin"):
            raise RuntimeError(f"the process that should {part} ended with {process.returncode}")
    return json.loads(out.splitlines()[-1])["values"]
