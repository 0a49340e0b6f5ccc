"""How does one agent work for another, inside the same run and log?"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import Protocol, get_args

import msgspec
from msgspec import Struct, structs

from quorate.agent.attempt import get_partial, name_limit
from quorate.agent.compile import Compiled
from quorate.agent.loop import steps
from quorate.agent.run import Run
from quorate.agent.scope import Scope
from quorate.errors import (
    Cancelled,
    CorruptState,
    Fenced,
    Incompatible,
    InvalidInput,
    Nondeterministic,
    QuorateError,
    StorageFull,
    Unavailable,
    UnknownName,
    Waiting,
)
from quorate.events import StepFinished, StepStarted
from quorate.messages import (
    Message,
    Progress,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    build_user_message,
)
from quorate.ports import Model, RunContext, Sharing
from quorate.specs import Limits, ToolSpec
from quorate.tools.define import fail

STOPS = (Waiting, Cancelled, Fenced, StorageFull, Unavailable, CorruptState, Incompatible, Nondeterministic)
"""What ends or rests the whole run, not just the delegate's part."""
_DELTAS = (TextDelta, ThinkingDelta, ToolCallDelta, Progress)


class Delegate(Protocol):
    """What is needed of an agent to work for another."""

    name: str
    description: str
    limits: Limits

    @property
    def compiled(self) -> Compiled:
        """What follows from its definition."""
        ...

    def find_model(self, default: Model | None = None) -> Model:
        """Find the model to use."""
        ...


class AgentTask(Struct, frozen=True, forbid_unknown_fields=True):
    """What an agent that is used as a tool is given."""

    task: str
    """What to do, with all that is needed to do it: the agent sees nothing else."""


_PARAMETERS: dict[str, object] = {
    "type": "object",
    "properties": {"task": {"type": "string", "description": "What to do, with all the facts needed to do it."}},
    "required": ["task"],
    "additionalProperties": False,
}
_decode = msgspec.json.Decoder(AgentTask).decode


class AgentTool:
    """An agent as a toolset of one tool.

    The delegate's steps are recorded in the same log under the call's key, so they are resumed, bounded and counted
    with the run they belong to; its effect is `idempotent` for that reason.
    """

    def __init__(self, agent: Delegate, *, name: str | None = None, sharing: Sharing = "inherit") -> None:
        """Make a tool of an agent.

        Args:
            agent: Who does the work.
            name: What the tool is called; the agent's own name when not given.
            sharing: What it sees of the run-scoped values of the agent that calls it.

        Raises:
            InvalidInput: There is no such way to share.
        """
        if sharing not in get_args(Sharing):
            raise UnknownName("way to share state", sharing, get_args(Sharing))
        self.agent = agent
        self._sharing: Sharing = sharing
        self._spec = ToolSpec(
            name=name or agent.name.replace("-", "_"),
            description=agent.description or f"Ask the agent `{agent.name}`.",
            parameters=_PARAMETERS,
            effect="idempotent",
            timeout_s=agent.limits.seconds,
        )

    def specs(self) -> Sequence[ToolSpec]:
        """List the one tool there is."""
        return (self._spec,)

    async def call(self, call: ToolCall, context: RunContext[object]) -> ToolResult:
        """Let the agent do the task, and return its answer or why there is none.

        Raises:
            InvalidInput: The call did not come from an agent's run.
            Waiting: Somebody must answer first.
        """
        parent = context.owner
        if not isinstance(parent, Run):
            raise InvalidInput(f"Agent {self.agent.name!r} can be a tool only inside an agent's run.")
        try:
            task = _decode(call.arguments)
        except (msgspec.DecodeError, ValueError) as error:
            return fail(call, f"the arguments are not valid: {error}")
        if context.info.depth + 1 > parent.budget.limits.depth:
            return fail(call, f"agents may delegate {parent.budget.limits.depth} deep, and no deeper", "incomplete")
        messages = [build_user_message(task.task)]
        return await work_for(parent, self.agent, messages, call=call, context=context, sharing=self._sharing)


async def work_for(
    parent: Run,
    agent: Delegate,
    messages: list[Message],
    *,
    call: ToolCall,
    context: RunContext[object],
    sharing: Sharing = "inherit",
) -> ToolResult:
    """Have an agent work for another and return its answer, or why there is none.

    What it does is recorded in the same log, below the key of the call.

    Args:
        parent: The run of the agent that it works for.
        agent: Who works.
        messages: The conversation that it goes on with, the task last.
        call: The call that it is.
        context: What that call may know.
        sharing: What it sees of the run-scoped values of the agent that calls it.

    Raises:
        Waiting: Somebody must answer first.
    """
    child = _open_child(parent, agent, messages, context, sharing=sharing)
    journal, path = parent.journal, child.path
    if journal.find(path) is None:
        journal.write(StepStarted, path, name=agent.name)
    try:
        if sharing == "copy" and child.services is not None:
            # A copy is taken when somebody first looks at it: here, so that it is of how things stand now.
            await child.services.open_state(context).names()
        async with aclosing(steps(child)) as items:
            async for item in items:
                if isinstance(item, _DELTAS):
                    journal.emit(item)
    except STOPS:
        raise
    except QuorateError as error:
        return _tell_failure(child, call, error)
    finally:
        child.scope.close()
    answer = child.compiled.output.write(child.value)
    journal.write(StepFinished, path, name=agent.name, output=answer[:200])
    return ToolResult(call_id=call.id, name=call.name, content=answer)


def _tell_failure(child: Run, call: ToolCall, error: QuorateError) -> ToolResult:
    """A delegate that fails or meets a limit costs its own answer only: the agent above is told."""
    limit = name_limit(error)
    status = "incomplete" if limit else "failed"
    child.journal.write(StepFinished, child.path, name=child.info.agent, status=status)
    said = get_partial(child)
    reason = f"the agent met its limit ({limit}): {error}" if limit else f"the agent failed: {error}"
    return fail(call, f"{reason}{f' It last said: {said}' if said else ''}", error.code)


def _open_child(
    parent: Run, agent: Delegate, messages: list[Message], context: RunContext[object], *, sharing: Sharing
) -> Run:
    now = parent.clock.monotonic()
    seconds = min(agent.limits.seconds, max(0.0, parent.info.deadline - now))
    info = structs.replace(
        parent.info,
        agent=agent.name,
        limits=agent.limits,
        depth=parent.info.depth + 1,
        deadline=min(parent.info.deadline, now + seconds),
    )
    child = Run(
        agent.compiled if parent.wrap is None else agent.compiled.wrap(parent.wrap),
        info,
        model=_find_model(parent, agent),
        deps=parent.deps,
        messages=messages,
        journal=parent.journal,
        budget=parent.budget,
        scope=Scope(agent.limits.seconds, parent.scope),  # what is left of the run is for the run's own timer
        clock=parent.clock,
        path=f"{context.key}/",
    )
    child.wrap, child.wrap_model = parent.wrap, parent.wrap_model
    child.services = parent.services.open_child(sharing, context.key) if parent.services is not None else None
    return child


def _find_model(parent: Run, agent: Delegate) -> Model:
    """Find a delegate's own model, or its parent's, which has around it what belongs there."""
    model = agent.find_model(parent.model)
    return model if parent.wrap_model is None or model is parent.model else parent.wrap_model(model)
