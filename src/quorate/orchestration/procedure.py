"""How does a fixed procedure run as an agent: every step recorded, resumed, bounded and cancelled like any other?

The loop asks the procedure's model once, which wants one call; that call is the procedure. What it does are calls of
the agent's own tools, recorded in the same log below the key of that call, so a procedure that is begun again is
given what was recorded and goes on behind it. It must therefore do the same things when it is told the same things.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence, Sized
from typing import Literal, TypeVar, cast

import msgspec
from msgspec import Struct

from quorate.agent.agent import Agent, AnyAgent
from quorate.agent.call import make_call
from quorate.agent.run import Run
from quorate.codec.json import check_depth
from quorate.errors import (
    Cancelled,
    CorruptState,
    DeadlineExceeded,
    Fenced,
    Incompatible,
    Incomplete,
    InvalidInput,
    Nondeterministic,
    QuorateError,
    StorageFull,
    TooLarge,
    Unavailable,
    UnknownName,
    Waiting,
    describe_error,
    mend_text,
)
from quorate.events import AnyEvent, StepFinished, StepSkipped, StepStarted, ToolFailed, ToolFinished, ToolStarted
from quorate.messages import Message, Progress, Reply, ReplyDone, StreamItem, Text, TextDelta, ToolCall, ToolResult
from quorate.ports import RunContext
from quorate.specs import Limits, ModelProfile, Request, ToolSpec
from quorate.tools.define import CRASHED, fail

TOOL = "run_procedure"
"""The tool that is the procedure."""
MODEL = "procedure"
"""The model that wants it."""
AT_ONCE = 16
"""How many steps are made side by side, unless told otherwise."""
LATE_CHARS = 16_384
"""How long a step's output may be that is recorded with what comes next, and not by itself."""
GATHER_TURNS = 2
"""For how many turns of the event loop steps that end or begin together are gathered into one append."""
NOWHERE = "\0"
"""A branch of which nothing is: what was refused is told to whoever wrote it."""
MAX_OUTPUT = 1 << 20
"""How many characters of a step's output are handed on."""
MAX_GIVEN = 4 * MAX_OUTPUT
"""How many bytes of arguments a step may be given."""
STOPS = (Waiting, Cancelled, Fenced, StorageFull, Unavailable, CorruptState, Incompatible, Nondeterministic)
"""What ends or rests the whole run, not just a step of it."""
T = TypeVar("T")

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


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of a step."""

    step: str
    status: Literal["completed", "failed", "incomplete"]
    text: str
    """What it gave, or why it gave nothing."""
    code: str = ""
    """The code of the error, where it failed."""

    @property
    def is_good(self) -> bool:
        """Whether it did what it was to do."""
        return self.status == "completed"

    @property
    def value(self) -> object:
        """What it gave: decoded where it is a JSON object or list, else the text."""
        if self.text[:1] in ("{", "["):
            try:
                check_depth(self.text)
                return cast("object", msgspec.json.decode(self.text))
            except (msgspec.DecodeError, InvalidInput):
                return self.text
        return self.text


class Work:
    """What a procedure may do: make steps with the tools and agents of its agent.

    Args:
        run: The run it is part of.
        context: The call that it is.
        group: What its tasks belong to.
    """

    def __init__(self, run: Run, context: RunContext[object], group: asyncio.TaskGroup) -> None:
        self._run = run
        self._group = group
        self._path = f"{context.key}/"
        self.names = frozenset(run.compiled.effects) - {TOOL}
        """The tools and agents that it may call."""
        self._keeping: asyncio.Task[None] | None = None
        """What records the outcomes that were only written."""
        self._kept = False
        """Whether it has begun to."""
        self._made = set[str]()
        """The keys of all steps until now."""
        self._open: dict[str, tuple[str, str]] = {}
        """Calls under way by key: their step and tool."""
        self.definition = ""
        """The data that the procedure went by when it began, where it goes by data."""
        self.is_resumed = run.journal.loaded > 0
        """Whether something was recorded before this attempt at the run."""
        self.info = context.info
        """The facts of the run."""
        self.clock = context.clock
        """Where time comes from; what depends on it must be recorded, as a timer is."""

    async def ask(
        self, step: str, agent: str, task: str, *, attempt: int = 1, timeout_s: float | None = None
    ) -> Outcome:
        """Have an agent do a task; takes and raises what `call` does."""
        name = agent if agent in self.names else agent.replace("-", "_")
        return await self.call(step, name, {"task": task}, attempt=attempt, timeout_s=timeout_s)

    async def call(
        self,
        step: str,
        tool: str,
        arguments: Mapping[str, object],
        *,
        attempt: int = 1,
        timeout_s: float | None = None,
    ) -> Outcome:
        """Make a step, or return what was recorded of it.

        What it gave is on disk before another step begins, and soon where others are at work.

        Args:
            step: What it is called; no other step of the procedure is called so.
            tool: The tool to call, or the agent to ask.
            arguments: What it is given.
            attempt: Which try this is: each is recorded by itself.
            timeout_s: After how many seconds it is cut, and has failed.

        Raises:
            UnknownName: There is no such tool.
            InvalidInput: The step has no name, or that of another one.
            Incomplete: The agent's limits allow no more steps: they are its tool calls.
            Waiting: Somebody must answer first.
            QuorateError: The run itself cannot go on.
        """
        if tool not in self.names:
            raise UnknownName("tool or agent", tool, self.names)
        key = self.build_key(step, attempt=attempt)
        if key in self._made or not step:
            raise InvalidInput(f"There is a step {step!r} already: call each step of a procedure by its own name.")
        self._made.add(key)
        if len(self._made) > self._run.info.limits.tool_calls:
            most = self._run.info.limits.tool_calls
            raise Incomplete(f"{self._run.info.agent!r} made {most} steps.", limit="tool_calls")
        self._open[key] = step, tool
        if self._run.journal.find(key) is None:
            await self._run.journal.approach(key)
        given, fault = _write_arguments(arguments)
        if fault:
            return _read_result(step, await self._give_up(key, fault, code=TooLarge.code))
        call = ToolCall(id=step, name=tool, arguments=given)
        result = await (self._make(key, call) if timeout_s is None else self._make_within(key, call, timeout_s))
        self._open.pop(key, None)
        if self._open and (self._keeping is None or self._keeping.done()):  # nothing may come next for long
            self._keeping, self._kept = self._group.create_task(self._keep()), False
        return _read_result(step, result)

    def close(self) -> None:
        """Leave what steps gave to be recorded with what comes behind the procedure."""
        if self._keeping is not None and not self._kept:
            self._keeping.cancel()

    async def _keep(self) -> None:
        """Record what steps gave, unless whatever comes next has done so already."""
        self._kept = True
        with contextlib.suppress(QuorateError):  # the record is broken then, and whoever commits next is told
            await self._run.journal.commit(NOWHERE, joins=True)

    async def _make_within(self, key: str, call: ToolCall, timeout_s: float) -> ToolResult:
        box = self._run.scope.limit(timeout_s)
        try:
            async with box:
                return await self._make(key, call)
        except TimeoutError:
            if not box.expired():
                raise
            return await self._give_up(key, f"it took more than {timeout_s:g} s", code=DeadlineExceeded.code)

    async def _make(self, key: str, call: ToolCall) -> ToolResult:
        journal = self._run.journal
        try:
            return await make_call(self._run, key, call, late_chars=LATE_CHARS)
        except STOPS:
            raise
        except Exception as error:  # a tool is anybody's code; what it broke is this step
            if error is self._run.scope.cause or journal.broken is not None:
                raise
            failed = fail(call, describe_error(error), error.code if isinstance(error, QuorateError) else CRASHED)
        if not isinstance(journal.find_written(key), ToolFailed):  # it was not even begun
            journal.write(ToolFailed, key, result=failed)
            await journal.commit(key)
        return failed

    async def abandon(self, step: str, reason: str) -> Outcome | None:
        """Record that a step which was cut is not gone on with, nor what belongs to it, so that it is not made again.

        What belongs to a step is what is called like it up to a dot.

        Returns:
            What the step gave, where it had ended after all when it was cut.
        """
        ended: Outcome | None = None
        for key, (name, _) in list(self._open.items()):
            if name == step or name.startswith(f"{step}."):
                outcome = _read_result(name, await self._give_up(key, reason, code=Cancelled.code))
                if name == step and outcome.code != Cancelled.code:
                    ended = outcome
        return ended

    async def drop(self, step: str, agent: str, reason: str) -> None:
        """Record that a step which an earlier attempt began is not gone on with."""
        key = self.build_key(step)
        known = self._run.journal.find(key)
        if known is not None and not isinstance(known, (ToolFinished, ToolFailed)):
            await self._run.journal.approach(key)
            self._open[key] = step, agent
            await self._give_up(key, reason, code=Cancelled.code)

    def is_open(self, step: str) -> bool:
        """Whether a step was begun, and has not ended."""
        return any(name == step for name, _ in self._open.values())

    async def _give_up(self, key: str, reason: str, *, code: str) -> ToolResult:
        step, tool = self._open.pop(key)
        written = self._run.journal.find_written(key)
        if isinstance(written, (ToolFinished, ToolFailed)):
            return written.result  # it had ended, and was cut while that was recorded
        result = fail(ToolCall(id=step, name=tool, arguments="{}"), reason, code)
        self._run.journal.write(ToolFailed, key, result=result)
        await self._run.journal.commit(key)
        return result

    async def skip(self, step: str, reason: str) -> None:
        """Note that a step is not made, and why."""
        key = f"{self._path}1/skip/{step}"
        if self._run.journal.find(key) is None:
            await self._run.journal.approach(key)
            self._run.journal.write(StepSkipped, key, name=step, reason=reason)

    async def note(self, step: str, kind: Callable[..., AnyEvent], **facts: object) -> None:
        """Note an event of the procedure's own, once."""
        key = f"{self._path}1/note/{step}"
        if self._run.journal.find(key) is None:
            await self._run.journal.approach(key)
            self._run.journal.write(kind, key, **facts)

    def read_events(self, step: str, *, attempt: int = 1) -> dict[str, AnyEvent]:
        """Return what was recorded last for each step of an agent that was asked, by its key below the agent's path."""
        key = self.build_key(step, attempt=attempt)
        is_fresh, prefix = self._run.journal.find(key) is None, f"{key}/"
        size, found = len(prefix), dict[str, AnyEvent]()
        for event in self._run.journal.look_back(whole=not is_fresh):
            below = event.key[size:]
            if event.key[:size] == prefix:
                if below not in found:
                    found[below] = event
            elif is_fresh and event.key == key and type(event) is ToolStarted:
                break  # it was begun by this attempt, so that there is nothing before
        return found

    def show(self, message: str, *, fraction: float | None = None) -> None:
        """Show whoever watches how far things are; it is not recorded."""
        self._run.emit(Progress(message, fraction=fraction, path=self._path.removesuffix("/")))

    def find_place(self, step: str, *, attempt: int = 1) -> int | None:
        """Find where in the log a step was settled by an earlier attempt at the run; `None` where it was not.

        What came first then is first again: whoever takes the first of several goes by it.
        """
        known = self._run.journal.find(self.build_key(step, attempt=attempt))
        return known.seq if isinstance(known, (ToolFinished, ToolFailed)) else None

    def find_result(self, step: str, *, attempt: int = 1) -> ToolResult | None:
        """Find what an earlier attempt at the run recorded of a step that had ended; `None` where it had not."""
        known = self._run.journal.find(self.build_key(step, attempt=attempt))
        return known.result if isinstance(known, (ToolFinished, ToolFailed)) else None

    def build_key(self, step: str, *, attempt: int = 1) -> str:
        """Build the key of a step: what it is in the log, whenever it is made."""
        return f"{self._path}{attempt}/tool/{step.replace('/', '|')}"


async def side_by_side(jobs: Iterable[Coroutine[object, object, T]], *, at_once: int = AT_ONCE) -> list[T]:
    """Do several things at a time, and return what came of them in their order.

    A thing that waits for somebody does not stop the others; the rest is only then waited for.

    Raises:
        Waiting: At least one waits; its `keys` are those of all that do.
        Exception: What the first one raised that raised anything else; the others are cancelled.
    """
    held, found = dict[int, Waiting](), dict[int, T]()
    rest = enumerate(jobs)

    async def work() -> None:
        for place, job in rest:
            try:
                found[place] = await job
            except Waiting as waiting:
                held[place] = waiting
            finally:
                job.close()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(at_once, len(jobs)) if isinstance(jobs, Sized) else at_once):
                group.create_task(work())
    except BaseExceptionGroup as several:
        raise find_cause(several) from None
    finally:
        for _, job in rest:
            job.close()
    if held:
        raise build_waiting([held[place] for place in sorted(held)])
    return [found[place] for place in range(len(found))]


def find_cause(several: BaseExceptionGroup[BaseException]) -> BaseException:
    """Find what of several things that went wrong is to be told: what ends or rests the whole run, or the first."""
    found: list[BaseException] = []
    waiting: list[BaseException] = [several]
    while waiting:
        error = waiting.pop(0)
        if isinstance(error, BaseExceptionGroup):
            waiting += cast("BaseExceptionGroup[BaseException]", error).exceptions
        else:
            found.append(error)
    return next((error for error in found if isinstance(error, STOPS)), found[0])


def build_waiting(held: Iterable[Waiting]) -> Waiting:
    """Build the error that says that several things wait, and for what."""
    keys = [key for one in held for key in cast("tuple[str, ...]", one.context.get("keys", ()))]
    return Waiting("The run rests until somebody answers.", keys=tuple(keys))


class Candidate(Struct, frozen=True, kw_only=True):
    """One of several who try the same."""

    step: str
    agent: str
    task: str


async def race(
    work: Work, candidates: Sequence[Candidate], accept: Callable[[Outcome], Awaitable[bool]]
) -> tuple[Outcome | None, list[Outcome]]:
    """Have several try the same at once, take the first whose outcome is acceptable, and stop the others.

    Whoever came first in the record is first again when the procedure is begun again.

    Args:
        work: Makes the steps.
        candidates: Who tries.
        accept: Whether an outcome will do; it must say the same each time, or ask by a step of its own.

    Returns:
        The outcome that was taken, if any, and all there are, in the order in which they came.

    Raises:
        Waiting: Nobody is acceptable yet, and at least one waits for somebody.
    """
    came: list[Outcome] = []
    places = {one.step: place for one in candidates if (place := work.find_place(one.step)) is not None}
    for one in sorted((one for one in candidates if one.step in places), key=lambda one: places[one.step]):
        came.append(await work.ask(one.step, one.agent, one.task))
        if await accept(came[-1]):
            for other in candidates:
                await work.drop(other.step, other.agent, LATE)
            return came[-1], came
    finished: asyncio.Queue[Outcome | Waiting | Exception] = asyncio.Queue(len(candidates) + 1)
    fresh, held = [one for one in candidates if one.step not in places], list[Waiting]()
    winner: Outcome | None = None
    try:
        async with asyncio.TaskGroup() as group:
            tasks = {one.step: group.create_task(_try(work, one, finished)) for one in fresh}
            for _ in fresh:
                outcome = await finished.get()
                if isinstance(outcome, Waiting):
                    held.append(outcome)
                    continue
                if isinstance(outcome, Exception):
                    raise outcome
                came.append(outcome)
                if await accept(outcome):
                    winner = outcome
                    break
            if winner is not None:
                came += await _stop_others(work, tasks, came, finished)
    except BaseExceptionGroup as several:
        raise find_cause(several) from None
    if winner is None and held:
        raise build_waiting(held)
    return winner, came


async def _try(work: Work, one: Candidate, finished: asyncio.Queue[Outcome | Waiting | Exception]) -> None:
    try:
        finished.put_nowait(await work.ask(one.step, one.agent, one.task))
    except Exception as error:  # raised where it is read, as itself and not as one of a group
        finished.put_nowait(error)


async def _stop_others(
    work: Work,
    tasks: Mapping[str, asyncio.Task[None]],
    came: Sequence[Outcome],
    finished: asyncio.Queue[Outcome | Waiting | Exception],
) -> list[Outcome]:
    """Stop who is still trying or waits for somebody, and record that they were; return what came of them."""
    left = {step: task for step, task in tasks.items() if step not in {one.step for one in came}}
    for task in left.values():
        task.cancel()
    if left:
        await asyncio.wait(left.values())
    ended: dict[str, Outcome] = {}
    while not finished.empty():
        outcome = finished.get_nowait()
        if isinstance(outcome, Outcome):
            ended[outcome.step] = outcome
    for step in left:
        late = await work.abandon(step, LATE)
        ended.setdefault(step, late or Outcome(step=step, status="failed", text=LATE, code=Cancelled.code))
    return [ended[step] for step in left]


LATE = "another one was first"
"""Why those are stopped who lose a race."""
Procedure = Callable[[Work, str], Awaitable[str]]
"""What is done with a task; the text is the answer."""


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
            return Reply(message=Message(role="assistant", parts=(Text(_read_text(given[-1])),)), model=MODEL)
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


def _write_arguments(arguments: Mapping[str, object]) -> tuple[str, str]:
    """Write what a step is given, or say why it cannot be."""
    try:
        given = _encode(arguments)
    except (TypeError, ValueError, RecursionError) as error:
        return "", f"what it is given cannot be written as JSON: {describe_error(error)}"
    if len(given) > MAX_GIVEN:
        return "", f"it is given {len(given)} bytes; at most {MAX_GIVEN} are: save more as an artifact"
    return given.decode(), ""


def _read_task(call: ToolCall) -> _Task:
    try:
        return msgspec.json.decode(call.arguments, type=_Task)
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidInput(f"The procedure was called with what is no task: {error}") from error


def _read_result(step: str, result: ToolResult) -> Outcome:
    text = _read_text(result)
    text = text if text.isascii() else mend_text(text)
    if result.is_error:
        status = "incomplete" if result.code in ("incomplete", "budget_exceeded") else "failed"
        return Outcome(step=step, status=status, text=text, code=result.code)
    if len(text) > MAX_OUTPUT:
        told = f"it gave {len(text)} characters; at most {MAX_OUTPUT} are handed on: save more as an artifact"
        return Outcome(step=step, status="failed", text=told, code="too_large")
    return Outcome(step=step, status="completed", text=text)


def _read_text(result: ToolResult) -> str:
    if isinstance(result.content, str):
        return result.content
    return "".join(part.text for part in result.content if isinstance(part, Text))
