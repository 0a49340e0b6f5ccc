"""How does an agent delegate to one in another process?"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Protocol

import msgspec
from msgspec import structs

from quorate.agent.delegate import AgentTask as Delegation
from quorate.agent.errand import is_over
from quorate.agent.limits import Budget
from quorate.agent.result import RunResult
from quorate.agent.run import DEFAULTS, Run, RunOptions
from quorate.clock import Clock
from quorate.codec.schemas.agents import AgentTask
from quorate.errors import Cancelled, DeadlineExceeded, InvalidInput, QuorateError
from quorate.events import (
    ENDINGS,
    AnyEvent,
    Event,
    ModelRequested,
    RunCompleted,
    RunWaiting,
    TaskDelegated,
    TaskFinished,
    get_status,
)
from quorate.messages import Delta, ToolCall, ToolResult
from quorate.ports import RunContext
from quorate.specs import Limits, ToolSpec
from quorate.telemetry.place import enter_place, find_place
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
    `task.delegated`, and what it used, in `task.finished`. The task's id follows from the caller's run and call, so
    that a caller that was resumed finds the same run again: its effect is `keyed`. What is left of the caller's time,
    money, tokens and depth bounds it, and a caller that is stopped stops it.
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
        delegated = Delegated(parent, self.agent.name, context.key)
        if (passed := parent.budget.find_passed()) and not delegated.is_known():
            return fail(call, f"nothing is left to delegate with: {passed}", "incomplete")
        try:
            task = self._build(parent, words, context, depth=depth)
            with enter_place(find_place(context.info, context.key)):  # so that its run is below this very call
                return await self._delegate(parent, task, call, delegated)
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
        task = self.agent.build_task(words, limits=bounds, options=options, deadline=deadline)
        # The id names the task as it was first built: what is left may be another sum when a caller is resumed.
        return structs.replace(task, limits=parent.budget.cap(bounds))

    async def _delegate(self, parent: Run, task: AgentTask, call: ToolCall, delegated: Delegated) -> ToolResult:
        events: list[AnyEvent] = []
        passed = ""

        def may_stop() -> bool:
            # Whoever lets go of a run goes on with it elsewhere, and wants the answer there.
            return bool(passed) or isinstance(parent.scope.cause, (Cancelled, DeadlineExceeded))

        try:
            async with aclosing(self.agent.drive(task, watch=parent.live, may_stop=may_stop)) as items:
                async for item in items:
                    if not isinstance(item, Event):
                        parent.journal.emit(item)
                        continue
                    events.append(item)
                    await delegated.hear(item, task=task.id)
                    if isinstance(item, ModelRequested) and (passed := delegated.find_passed()):
                        break
        except QuorateError:
            delegated.settle(events)
            raise
        finally:
            if may_stop():
                delegated.settle(events)
            delegated.close()
        if passed:
            return fail(call, f"the agent was stopped: {passed}", "incomplete")
        delegated.settle(events)
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


class Delegated:
    """A task of a run that another process works on: what the caller's log tells of it, and what it uses."""

    def __init__(self, parent: Run, agent: str, key: str) -> None:
        self._parent = parent
        self._agent = agent
        self._task = ""
        self._key = key
        self._run = ""
        self._is_counted = False
        """Whether an earlier attempt has recorded what it used."""
        self._used = Budget(limits=parent.budget.limits)

    def is_known(self) -> bool:
        """Whether an earlier attempt delegated it: it is then only waited for."""
        kinds = (TaskDelegated, TaskFinished)
        return any(isinstance(e, kinds) and e.key.startswith(f"{self._key}/") for e in self._parent.journal.events)

    async def hear(self, event: AnyEvent, *, task: str) -> None:
        """Take note of what happens there; its beginning is recorded here at once."""
        if not self._run:
            self._run, self._task, parent = event.run, task, self._parent
            known = parent.find(self._step)
            self._is_counted = isinstance(known, TaskFinished)
            if not self._is_counted:
                parent.budget.elsewhere = {**(parent.budget.elsewhere or {}), self._key: self._used}
            # Not a step of this run: what is recorded of it is elsewhere, and a replay does not do it again.
            if known is None:
                parent.record(TaskDelegated, self._step, agent=self._agent, task=task, task_run=self._run)
                await parent.journal.commit(self._step)
        self._used.note(event)

    def find_passed(self) -> str:
        """Say which of the caller's limits is met; empty where none is, or this was counted before."""
        return "" if self._is_counted else self._parent.budget.find_passed()

    def settle(self, events: Sequence[AnyEvent]) -> None:
        """Record what it came to and what it used, once, and count that for the caller."""
        parent = self._parent
        self.close()
        if not self._run or self._is_counted:
            return
        last = events[-1]
        usage, cost_usd, status = self._used.usage, self._used.cost_usd, "cancelled"
        if isinstance(last, (*ENDINGS, RunWaiting)) and is_over(last):
            usage, cost_usd, status = last.usage, last.cost_usd, get_status(last)
        facts = {"agent": self._agent, "task": self._task, "task_run": self._run, "status": status}
        parent.record(TaskFinished, self._step, usage=usage, cost_usd=cost_usd, **facts)
        parent.budget.add(usage, cost_usd)
        self._is_counted = True

    def close(self) -> None:
        """Count it no more as under way."""
        if self._parent.budget.elsewhere is not None:
            self._parent.budget.elsewhere.pop(self._key, None)

    @property
    def _step(self) -> str:
        return f"{self._key}/{self._run}"
