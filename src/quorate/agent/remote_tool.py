"""How does an agent delegate to one in another process?"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Protocol

import msgspec
from msgspec import structs

from quorate.agent.delegate import AgentTask as Delegation
from quorate.agent.result import RunResult
from quorate.agent.run import DEFAULTS, Run, RunOptions
from quorate.clock import Clock
from quorate.codec.schemas.agents import AgentTask
from quorate.errors import Cancelled, DeadlineExceeded, InvalidInput, QuorateError
from quorate.events import AnyEvent, Event, HandoffDone, HandoffRequested, RunCompleted
from quorate.messages import Delta, ToolCall, ToolResult
from quorate.ports import RunContext
from quorate.specs import Limits, ToolSpec
from quorate.tools.define import fail

_PARAMETERS: dict[str, object] = {
    "type": "object",
    "properties": {"task": {"type": "string", "description": "What to do, with all the facts needed to do it."}},
    "required": ["task"],
    "additionalProperties": False,
}
_decode = msgspec.json.Decoder(Delegation).decode


class RemoteDelegate(Protocol):
    """What is needed of an agent behind a bus to work for another."""

    name: str
    description: str
    limits: Limits
    clock: Clock

    def build_task(
        self, task: str, *, limits: Limits | None = None, options: RunOptions = DEFAULTS, deadline: float | None = None
    ) -> AgentTask:
        """Build what is sent."""
        ...

    def drive(
        self, task: AgentTask, *, watch: bool = False, may_stop: Callable[[], bool] = ...
    ) -> AsyncGenerator[AnyEvent | Delta]:
        """Send a task and yield what happens."""
        ...

    def build_result(self, events: Sequence[AnyEvent]) -> RunResult[object]:
        """Build what came of a run."""
        ...


class RemoteTool:
    """An agent behind a bus as a toolset of one tool.

    Its run is one of its own, recorded by whoever serves it; the caller's log keeps that run's id, in
    `handoff.requested`. The task's id follows from the caller's run and call, so that a caller that was resumed finds
    the same run again: its effect is `keyed`. The caller's deadline and depth bound it, and a caller that is stopped
    stops it.
    """

    def __init__(self, agent: RemoteDelegate, *, name: str | None = None) -> None:
        """Make a tool of a remote agent.

        Args:
            agent: Who does the work.
            name: What the tool is called; the agent's own name when not given.
        """
        self.agent = agent
        self._spec = ToolSpec(
            name=name or agent.name.replace("-", "_"),
            description=agent.description or f"Ask the agent `{agent.name}`.",
            parameters=_PARAMETERS,
            effect="keyed",
            timeout_s=agent.limits.seconds,
        )

    def specs(self) -> Sequence[ToolSpec]:
        """List the one tool there is."""
        return (self._spec,)

    async def call(self, call: ToolCall, context: RunContext[object]) -> ToolResult:
        """Let the agent do the task, and return its answer or why there is none.

        Raises:
            InvalidInput: The call did not come from an agent's run.
        """
        parent = context.owner
        if not isinstance(parent, Run):
            raise InvalidInput(f"Agent {self.agent.name!r} can be a tool only inside an agent's run.")
        try:
            words = _decode(call.arguments).task
        except (msgspec.DecodeError, ValueError) as error:
            return fail(call, f"the arguments are not valid: {error}")
        depth = parent.budget.limits.depth - context.info.depth - 1
        if depth < 0:
            return fail(call, f"agents may delegate {parent.budget.limits.depth} deep, and no deeper", "incomplete")
        try:
            return await self._delegate(parent, self._build(parent, words, context, depth=depth), call, context)
        except QuorateError as error:
            if parent.scope.cause is not None:
                raise
            return fail(call, f"the agent could not do it: {error}", error.code)

    def _build(self, parent: Run, words: str, context: RunContext[object], *, depth: int) -> AgentTask:
        limits, shared, info = self.agent.limits, parent.budget.limits, context.info
        most = [limit for limit in (limits.cost_usd, shared.cost_usd) if limit is not None]
        bounds: Limits = structs.replace(limits, depth=min(limits.depth, depth), cost_usd=min(most) if most else None)
        options = RunOptions(
            principal=info.principal, idempotency_key=hashlib.sha256(f"{info.run}\0{context.key}".encode()).hexdigest()
        )
        left = info.deadline - context.clock.monotonic()
        deadline = self.agent.clock.now() + left
        return self.agent.build_task(words, limits=bounds, options=options, deadline=deadline)

    async def _delegate(self, parent: Run, task: AgentTask, call: ToolCall, context: RunContext[object]) -> ToolResult:
        def may_stop() -> bool:
            # Whoever lets go of a run goes on with it elsewhere, and wants the answer there.
            return isinstance(parent.scope.cause, (Cancelled, DeadlineExceeded))

        info, name, step = context.info, self.agent.name, ""
        events: list[AnyEvent] = []
        async with aclosing(self.agent.drive(task, watch=parent.live, may_stop=may_stop)) as items:
            async for item in items:
                if not isinstance(item, Event):
                    parent.journal.emit(item)
                    continue
                events.append(item)
                if not step:
                    # Not a step of this run: what is recorded of it is elsewhere, and a replay does not do it again.
                    step = f"{context.key}/{item.run}"
                    if parent.find(step) is None:
                        parent.record(HandoffRequested, step, source=info.agent, target=name, reason=f"run {item.run}")
        parent.record(HandoffDone, step, source=name, target=info.agent)
        return self._tell(call, events)

    def _tell(self, call: ToolCall, events: Sequence[AnyEvent]) -> ToolResult:
        """Tell the model how it went."""
        last = events[-1]
        if isinstance(last, RunCompleted):
            return ToolResult(call_id=call.id, name=call.name, content=last.output)
        try:
            result = self.agent.build_result(events)
        except QuorateError as error:
            return fail(call, f"the agent failed: {error}", error.code)
        said = f" It last said: {result.text}" if result.text else ""
        return fail(call, f"the agent's run {last.run!r} is {result.status}: {result.reason}{said}", result.status)
