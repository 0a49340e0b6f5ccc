"""Does a recorded run, driven again from its log alone, come to the same end?"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

from quorate.agent.agent import Agent, build_result
from quorate.agent.attempt import attempt
from quorate.agent.result import RunResult
from quorate.errors import InvalidInput, Nondeterministic, NotFound
from quorate.events import ENDINGS, AnyEvent, RunCompleted, RunCreated
from quorate.messages import Reply, StreamItem, ToolCall, ToolResult
from quorate.ports import RunContext
from quorate.specs import ModelProfile, Request, ToolSpec

Deps = TypeVar("Deps")
Output = TypeVar("Output")


class RecordedModel:
    """A model that must never be asked: everything it said is in the log."""

    def __init__(self, profile: ModelProfile) -> None:
        self.profile = profile

    async def complete(self, request: Request) -> Reply:
        """Refuse.

        Raises:
            Nondeterministic: Always.
        """
        raise Nondeterministic(
            f"The replay came to step {request.key!r}, which the log does not have.", key=request.key
        )

    async def stream(self, request: Request) -> AsyncIterator[StreamItem]:
        """Refuse, as `complete` does."""
        await self.complete(request)
        for nothing in ():
            yield nothing


class RecordedTools:
    """Tools that must never be called: everything they returned is in the log."""

    def __init__(self, specs: Sequence[ToolSpec]) -> None:
        self._specs = specs

    def specs(self) -> Sequence[ToolSpec]:
        """List the tools."""
        return self._specs

    async def call(self, call: ToolCall, context: RunContext[object]) -> ToolResult:
        """Refuse.

        Raises:
            Nondeterministic: Always.
        """
        raise Nondeterministic(
            f"The replay came to call {context.key!r}, which the log does not have.", key=context.key
        )


async def replay(agent: Agent[Deps, Output], events: Sequence[AnyEvent]) -> RunResult[Output]:
    """Drive a recorded run again without asking a model or calling a tool, and return what it gives.

    You would use it to look at an old run as if it happened now, or to see whether a change of the agent's output type
    or limits still reads its record. Agents that are tools of `agent` keep their own tools, but never reach them
    either, since their steps are in the same log.

    Raises:
        NotFound: There are no events.
        InvalidInput: The run has not ended.
        Nondeterministic: A step is missing, or the end is another one than was recorded.
    """
    if not events or not isinstance(events[0], RunCreated):
        raise NotFound("There is nothing to replay: the run has no events.")
    created, ending = events[0], events[-1]
    if not isinstance(ending, ENDINGS):
        raise InvalidInput(f"Run {created.run!r} has not ended: resume it instead.", run=created.run)
    run = agent.open_recorded(created, events)
    run.model = RecordedModel(run.profile)
    run.compiled = copy.copy(run.compiled)
    run.compiled.toolbox = RecordedTools(run.compiled.specs)
    if isinstance(ending, RunCompleted):
        async for _ in attempt(run):
            pass
        written = run.compiled.output.write(run.value)
        if written != ending.output:
            raise Nondeterministic(f"The replay of run {created.run!r} gave another answer than was recorded.")
    else:
        run.scope.close()
    run.journal.events = list(events)
    return build_result(run, agent.output_type)
