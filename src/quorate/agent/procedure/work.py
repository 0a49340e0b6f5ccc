"""What may a procedure do, so that a run which goes on after a crash makes no step twice?

What it does are calls of the agent's own tools, recorded in the run's log below the key of the call that the procedure
is, so a procedure that is begun again is given what was recorded and goes on behind it. It must therefore do the same
things when it is told the same things.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

import msgspec

from quorate.agent.call import make_call
from quorate.agent.delegate import STOPS
from quorate.agent.procedure.outcome import Outcome, read_result
from quorate.agent.run import Run
from quorate.errors import (
    Cancelled,
    DeadlineExceeded,
    Incomplete,
    InvalidInput,
    QuorateError,
    TooLarge,
    UnknownName,
    describe_error,
)
from quorate.events import AnyEvent, StepSkipped, ToolFailed, ToolFinished, ToolStarted
from quorate.messages import Progress, ToolCall, ToolResult
from quorate.ports import RunContext
from quorate.tools.define import CRASHED, fail

TOOL = "run_procedure"
"""The tool that is the procedure."""
MEMBER = "ask_member"
"""The tool by which a procedure asks an agent that it was not built with."""
LATE_CHARS = 16_384
"""How long a step's output may be that is recorded with what comes next, and not by itself."""
NOWHERE = "\0"
"""A branch of which nothing is: what was refused is told to whoever wrote it."""
MAX_GIVEN = 4 << 20
"""How many bytes of arguments a step may be given."""

_encode = msgspec.json.Encoder().encode


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

    def has_agent(self, name: str) -> bool:
        """Whether an agent can be asked."""
        return not self.names.isdisjoint((name, name.replace("-", "_"), MEMBER))

    async def ask(
        self, step: str, agent: str, task: str, *, attempt: int = 1, timeout_s: float | None = None
    ) -> Outcome:
        """Have an agent do a task; takes and raises what `call` does."""
        name = agent if agent in self.names else agent.replace("-", "_")
        if name not in self.names and MEMBER in self.names:
            asked = {"agent": agent, "task": task}
            return await self.call(step, MEMBER, asked, attempt=attempt, timeout_s=timeout_s)
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
            return read_result(step, await self._give_up(key, fault, code=TooLarge.code))
        call = ToolCall(id=step, name=tool, arguments=given)
        result = await (self._make(key, call) if timeout_s is None else self._make_within(key, call, timeout_s))
        self._open.pop(key, None)
        if self._open and (self._keeping is None or self._keeping.done()):  # nothing may come next for long
            self._keeping, self._kept = self._group.create_task(self._keep()), False
        return read_result(step, result)

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
                outcome = read_result(name, await self._give_up(key, reason, code=Cancelled.code))
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

    def find_note(self, step: str) -> AnyEvent | None:
        """Find what an earlier attempt at the run noted under a name; `None` where it did not."""
        return self._run.journal.find(self._build_note_key(step))

    async def note(self, step: str, kind: Callable[..., AnyEvent], **facts: object) -> AnyEvent:
        """Note an event of the procedure's own, once, and return it as it was noted first."""
        noted = self.find_note(step)
        if noted is not None:
            return noted
        key = self._build_note_key(step)
        await self._run.journal.approach(key)
        return self._run.journal.write(kind, key, **facts)

    def _build_note_key(self, step: str) -> str:
        return f"{self._path}1/note/{step}"

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

    def find_settled(self, step: str, *, attempt: int = 1) -> ToolFinished | ToolFailed | None:
        """Find how an earlier attempt at the run settled a step; `None` where it did not.

        What came first in the log then is first again: whoever takes the first of several goes by its `seq`.
        """
        known = self._run.journal.find(self.build_key(step, attempt=attempt))
        return known if isinstance(known, (ToolFinished, ToolFailed)) else None

    def find_end(self, step: str, *, attempt: int = 1) -> float | None:
        """Find when a step was settled, by this attempt at the run or an earlier one, as wall time; `None` if never."""
        key = self.build_key(step, attempt=attempt)
        known = self._run.journal.find(key)
        if not isinstance(known, (ToolFinished, ToolFailed)):
            known = self._run.journal.find_written(key)
        return known.time if isinstance(known, (ToolFinished, ToolFailed)) else None

    def build_key(self, step: str, *, attempt: int = 1) -> str:
        """Build the key of a step: what it is in the log, whenever it is made."""
        return f"{self._path}{attempt}/tool/{step.replace('/', '|')}"


def _write_arguments(arguments: Mapping[str, object]) -> tuple[str, str]:
    """Write what a step is given, or say why it cannot be."""
    try:
        given = _encode(arguments)
    except (TypeError, ValueError, RecursionError) as error:
        return "", f"what it is given cannot be written as JSON: {describe_error(error)}"
    if len(given) > MAX_GIVEN:
        return "", f"it is given {len(given)} bytes; at most {MAX_GIVEN} are: save more as an artifact"
    return given.decode(), ""
