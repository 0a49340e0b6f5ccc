"""How does a procedure become an agent?

The loop asks the procedure's model once, which wants one call; that call is the procedure, and its steps are recorded
below it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import msgspec
from msgspec import Struct

from quorate.agent.agent import Agent, AnyAgent
from quorate.agent.artifacts import ARTIFACTS_TAG
from quorate.agent.delegate import STOPS
from quorate.agent.procedure.outcome import read_text
from quorate.agent.procedure.together import find_cause
from quorate.agent.procedure.work import TOOL, Work
from quorate.agent.run import Run
from quorate.errors import InvalidInput, QuorateError
from quorate.events import StepFinished, StepStarted
from quorate.messages import Message, Reply, ReplyDone, StreamItem, Text, TextDelta, ToolCall, ToolResult
from quorate.ports import RunContext
from quorate.specs import Limits, ModelProfile, Request, ToolSpec

MODEL = "procedure"
"""The model that wants it."""
GATHER_TURNS = 2
"""For how many turns of the event loop steps that end or begin together are gathered into one append."""
Procedure = Callable[[Work, str], Awaitable[str]]
"""What is done with a task; the text is the answer."""

_PARAMETERS: dict[str, object] = {
    "type": "object",
    "properties": {"task": {"type": "string"}, "definition": {"type": "string"}},
    "required": ["task"],
    "additionalProperties": False,
}
_encode = msgspec.json.Encoder().encode


class _Task(Struct, frozen=True, forbid_unknown_fields=True):
    task: str
    definition: str = ""


class ProcedureTool:
    """A procedure as a toolset of one tool.

    Args:
        procedure: What is done.
        timeout_s: How long it may take.
    """

    def __init__(self, procedure: Procedure, *, timeout_s: float) -> None:
        self.procedure = procedure
        self._spec = ToolSpec(
            name=TOOL,
            description="Do the task by its fixed procedure.",
            parameters=_PARAMETERS,
            effect="idempotent",
            timeout_s=timeout_s,
            tags=(ARTIFACTS_TAG,),  # what it gives is the answer, which is shown whole
        )

    def specs(self) -> Sequence[ToolSpec]:
        """List the one tool there is."""
        return (self._spec,)

    async def call(self, call: ToolCall, context: RunContext[object]) -> ToolResult:
        """Go through the procedure, behind what is recorded of it.

        Raises:
            Waiting: Somebody must answer first.
            QuorateError: It failed.
        """
        run = context.owner
        if not isinstance(run, Run):
            raise InvalidInput("A procedure runs only inside an agent's run.")
        journal, path = run.journal, f"{context.key}/"
        if journal.find(path) is None:
            journal.write(StepStarted, path, name=run.info.agent)
        try:
            answer = await self._work(run, _read_task(call), context)
        except STOPS:
            raise
        except QuorateError:
            await journal.approach(path)
            journal.write(StepFinished, path, name=run.info.agent, status="failed")
            raise
        await journal.approach(path)
        journal.write(StepFinished, path, name=run.info.agent, output=answer[:200])
        return ToolResult(call_id=call.id, name=call.name, content=answer)

    async def _work(self, run: Run, asked: _Task, context: RunContext[object]) -> str:
        run.journal.gather = GATHER_TURNS
        try:
            async with asyncio.TaskGroup() as group:
                work = Work(run, context, group)
                work.definition = asked.definition
                answer = await self.procedure(work, asked.task)
                work.close()
                return answer
        except BaseExceptionGroup as several:
            raise find_cause(several) from None


class ProcedureModel:
    """A `Model` that wants one call, of the procedure, and whose answer is what came of it; it costs nothing.

    Args:
        definition: The data that the procedure goes by, if any: it is recorded with the call, so that a run ends by
            what it began with.
    """

    def __init__(self, definition: str = "") -> None:
        self._definition = definition

    profile = ModelProfile(name=MODEL, provider="quorate")

    async def complete(self, request: Request) -> Reply:
        """Want the procedure, or answer with what it gave.

        Raises:
            InvalidInput: Whoever asks has no procedure.
        """
        if all(tool.name != TOOL for tool in request.tools):
            raise InvalidInput("This agent has no model of its own, and whoever asks it is a procedure: give it one.")
        last = request.messages[-1]
        given = [part for part in last.parts if isinstance(part, ToolResult) and part.name == TOOL]
        if given:
            return Reply(message=Message(role="assistant", parts=(Text(read_text(given[-1])),)), model=MODEL)
        task = next((message.text for message in reversed(request.messages) if message.role == "user"), "")
        asked = {"task": task, "definition": self._definition} if self._definition else {"task": task}
        call = ToolCall(id="work", name=TOOL, arguments=_encode(asked).decode())
        message = Message(role="assistant", parts=(call,))
        return Reply(message=message, stop="tool_calls", model=MODEL)

    async def stream(self, request: Request) -> AsyncIterator[StreamItem]:
        """Do as `complete` does, in one piece."""
        reply = await self.complete(request)
        if reply.message.text:
            yield TextDelta(reply.message.text)
        yield ReplyDone(reply)


def build_agent(
    name: str,
    procedure: Procedure,
    *,
    tools: Sequence[object] = (),
    definition: str = "",
    output_type: type[object] = str,
    description: str = "",
    limits: Limits = Limits(),
    version: str = "1",
) -> AnyAgent:
    """Build an agent that does its tasks by a fixed procedure; to whoever asks it, it is one like any other.

    Args:
        name: Its name.
        procedure: What it does with a task.
        tools: What the procedure calls: tools, toolsets and agents.
        definition: The data that it goes by, which runs keep (`Work.definition`).
        output_type: What its answer must be; it is then written as JSON.
        description: What it is for.
        limits: The bounds of each of its runs.
        version: Which version of the procedure this is.

    Raises:
        InvalidInput: Two tools have one name, or the name is none.
    """
    return Agent(
        name,
        model=ProcedureModel(definition),
        tools=[*tools, ProcedureTool(procedure, timeout_s=limits.seconds)],
        output_type=output_type,
        description=description,
        limits=limits,
        version=version,
    )


def _read_task(call: ToolCall) -> _Task:
    try:
        return msgspec.json.decode(call.arguments, type=_Task)
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidInput(f"The procedure was called with what is no task: {error}") from error
