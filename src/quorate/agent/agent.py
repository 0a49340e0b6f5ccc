"""What is an agent, and how is it asked to do something?"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, cast

from msgspec import structs

from quorate.agent.attempt import attempt, get_active_seconds
from quorate.agent.compile import Compiled
from quorate.agent.delegate import AgentTool
from quorate.agent.journal import Journal
from quorate.agent.limits import Budget
from quorate.agent.result import RunResult
from quorate.agent.run import DEFAULTS, PAYER, Run, RunOptions
from quorate.agent.scope import Scope
from quorate.errors import Fenced, Incompatible, InvalidInput, NotFound, QuorateError
from quorate.events import (
    ATTEMPTS,
    ENDINGS,
    AnyEvent,
    RunCompleted,
    RunCreated,
    RunIncomplete,
    RunResumed,
    RunStarted,
)
from quorate.ids import check_id, new_id
from quorate.messages import AnyPart, Delta, Message, build_user_message
from quorate.ports import Log, Model, RunInfo, Sharing
from quorate.specs import Limits, ModelSettings

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    Deps = TypeVar("Deps", default=None)
    Output = TypeVar("Output", default=str)
else:
    from typing import TypeVar

    Deps = TypeVar("Deps")
    Output = TypeVar("Output")

Task = str | Message | tuple[AnyPart, ...]


class Agent(Generic[Deps, Output]):
    """A name, instructions, a model, tools, and what the answer must be.

    It holds no state of its runs: one agent serves any number of them at once.
    """

    __slots__ = (
        "_compiled", "_resolved", "description", "instructions", "limits", "model", "name", "output_type", "settings",
        "tools", "version",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        *,
        instructions: str | Callable[[Deps], str] = "",
        model: Model | str | None = None,
        tools: Sequence[object] = (),
        output_type: type[Output] = cast("type[Output]", str),
        description: str = "",
        limits: Limits = Limits(),
        settings: ModelSettings = ModelSettings(),
        version: str = "1",
    ) -> None:
        """Define an agent; cheap, and without I/O.

        Args:
            name: 1 to 63 of `a-z`, `0-9` and `-`.
            instructions: What it is for and how it works, or a function that builds this from `deps`.
            model: A model, or a name such as `openai:gpt-5.2`. A delegate without one uses its caller's.
            tools: Functions, tools, toolsets and other agents.
            output_type: What the answer must be: `str`, a `Struct`, dataclass, TypedDict, pydantic model, or a union.
            description: What it is for, in a sentence: what other agents and people choose it by.
            limits: The bounds of each of its runs.
            settings: How its model is asked to answer.
            version: Which version of the agent this is.

        Raises:
            InvalidInput: The name is not an identifier.
        """
        self.name = check_id(name, "agent name")
        self.instructions = instructions
        self.model = model
        self.tools = tools
        self.output_type = output_type
        self.description = description
        self.limits = limits
        self.settings = settings
        self.version = version
        self._compiled: Compiled | None = None
        self._resolved: Model | None = None

    def __repr__(self) -> str:
        return f"<Agent {self.name}>"

    @property
    def compiled(self) -> Compiled:
        """What follows from the definition, worked out on first use.

        Raises:
            InvalidInput: A tool or the output type cannot be used; the message says why.
        """
        if self._compiled is None:
            self._compiled = Compiled(
                self.name,
                instructions=cast("str | Callable[[object], str]", self.instructions),
                tools=self.tools,
                output_type=self.output_type,
                settings=self.settings,
            )
        return self._compiled

    async def run(
        self,
        task: Task,
        *,
        deps: Deps = cast("Deps", None),
        history: Sequence[Message] = (),
        limits: Limits | None = None,
        log: Log | None = None,
        options: RunOptions = DEFAULTS,
    ) -> RunResult[Output]:
        """Do a task and return how it went.

        Args:
            task: What to do: text, parts such as images, or a message.
            deps: Whatever the agent's tools need; they find it in `context.deps`.
            history: The conversation before, such as an earlier result's `messages`.
            limits: Instead of the agent's own.
            log: Where to record it durably.
            options: All the rest.

        Raises:
            QuorateError: The run failed; `error.context["run"]` is its id. A limit that is met is no failure: the
                result says `incomplete`.
        """
        run = self.open_run(
            task, deps=deps, history=history, options=_choose(options, limits, log) if limits or log else options
        )
        async for _ in attempt(run):
            pass
        return build_result(run, self.output_type)

    async def run_stream(
        self,
        task: Task,
        *,
        deps: Deps = cast("Deps", None),
        history: Sequence[Message] = (),
        limits: Limits | None = None,
        log: Log | None = None,
        options: RunOptions = DEFAULTS,
    ) -> AsyncIterator[AnyEvent | Delta]:
        """Do a task and yield every event as it is recorded and every piece of text as it comes.

        The last item is the event that ends or rests the run. Takes and raises what `run` does; leaving the loop
        early stops the work.
        """
        run = self.open_run(
            task,
            deps=deps,
            history=history,
            options=_choose(options, limits, log) if limits or log else options,
            live=True,
        )
        async with aclosing(attempt(run)) as items:
            async for item in items:
                yield item

    def run_sync(self, task: Task, **options: Any) -> RunResult[Output]:
        """Do a task from code that is not asynchronous; takes what `run` takes.

        Raises:
            InvalidInput: An event loop is running already: `await agent.run(…)` there.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(self.run(task, **options))
        raise InvalidInput("An event loop is running: write `await agent.run(…)` instead of `run_sync`.")

    async def resume(
        self, run_id: str, *, log: Log, deps: Deps = cast("Deps", None), options: RunOptions = DEFAULTS
    ) -> RunResult[Output]:
        """Go on with a run that rests or whose process died; no recorded step is made again.

        Raises:
            NotFound: The log has no such run.
            QuorateError: What `run` raises.
        """
        run = await self.open_resumed(run_id, deps=deps, options=_choose(options, None, log))
        if not isinstance(run.journal.events[-1], ENDINGS):
            try:
                await run.journal.commit()
            except BaseException:
                run.scope.close()
                raise
            async for _ in attempt(run):
                pass
        return build_result(run, self.output_type)

    def as_tool(self, *, name: str | None = None, sharing: Sharing = "inherit") -> AgentTool:
        """Make a tool of the agent, for another agent to delegate to.

        Args:
            name: What the tool is called; the agent's own name when not given.
            sharing: What it sees of the run-scoped values of the agent that calls it.
        """
        return AgentTool(self, name=name, sharing=sharing)

    def find_model(self, default: Model | None = None) -> Model:
        """Find the model to use: an override, the agent's own, or `default`.

        Raises:
            InvalidInput: There is none.
        """
        chosen = _overrides.get().get(self.name, self.model)
        if chosen is None:
            if default is None:
                raise InvalidInput(
                    f'Agent {self.name!r} has no model: pass `model="openai:…"`, or a `ScriptedModel` in tests.'
                )
            return default
        if not isinstance(chosen, str):
            return chosen
        from quorate.models.gateway import build_model  # a model that is given as an object needs no gateway

        if self._resolved is None or self._resolved.profile.name != chosen:
            self._resolved = build_model(chosen, credentials=os.environ.get)
        return self._resolved

    def open_run(
        self,
        task: Task,
        *,
        deps: object = None,
        history: Sequence[Message] = (),
        options: RunOptions = DEFAULTS,
        live: bool = False,
        queued: bool = False,
    ) -> Run:
        """Open a new run without driving it: what `run`, `run_stream` and a runtime do first.

        A conversation that is in the log already is referred to (`options.previous`), not recorded again; a run that
        is only to be queued begins no attempt.
        """
        messages = (*history, build_user_message(task))
        limits, run_id = options.limits or self.limits, options.run_id or new_id("run")
        run = self._build_run(run_id, limits, deps, list(messages), options, live=live)
        run.journal.write(
            RunCreated,
            agent=self.name,
            messages=messages[-1:] if options.previous else messages,
            limits=limits,
            tenant=options.tenant,
            principal=options.principal,
            session=options.session,
            labels=options.labels,
            previous=options.previous,
            previous_seq=options.previous_seq,
            idempotency_key=options.idempotency_key,
            request=options.request,
            trace=options.trace,
        )
        if not queued:
            run.journal.write(RunStarted, owner=options.owner)
        return run

    async def open_resumed(
        self,
        run_id: str,
        *,
        deps: object = None,
        options: RunOptions = DEFAULTS,
        live: bool = False,
        expected: int | None = None,
    ) -> Run:
        """Open a recorded run for another attempt; a run that has ended is only loaded.

        The attempt's beginning is written; the first `commit` records it, and fences every older attempt.

        Raises:
            NotFound: The log has no such run.
            Fenced: The log's last `seq` is not the `expected` one: somebody else was quicker.
        """
        events = await options.log.read(run_id) if options.log is not None else []
        if expected is not None and len(events) != expected:
            raise Fenced(f"Run {run_id!r} has {len(events)} events, not {expected}: somebody else has it.", run=run_id)
        if not events or not isinstance(events[0], RunCreated):
            raise NotFound(f"There is no run {run_id!r}.", run=run_id)
        created, history = events[0], list[Message]()
        if created.previous and options.log is not None:
            from quorate.agent.history import load_history  # only conversations need it

            history = await load_history(options.log, created)
        run = self.open_recorded(created, events, history=history, deps=deps, options=options, live=live)
        if isinstance(events[-1], ENDINGS):
            run.scope.close()
            return run
        earlier = sum(isinstance(event, ATTEMPTS) for event in events)
        if earlier:
            run.journal.write(RunResumed, number=earlier + 1, owner=options.owner)
        else:
            run.journal.write(RunStarted, owner=options.owner)
        return run

    def open_recorded(
        self,
        created: RunCreated,
        events: Sequence[AnyEvent],
        *,
        history: Sequence[Message] = (),
        deps: object = None,
        options: RunOptions = DEFAULTS,
        live: bool = False,
    ) -> Run:
        """Open a run on what was recorded of it, without a new attempt; `history` is what its `previous` stands for."""
        asked = {name: getattr(created, name) for name in ("tenant", "principal", "session", "trace", "labels")}
        options = structs.replace(options, **asked)
        limits, active_s = options.limits or created.limits, get_active_seconds(events)
        messages = [*history, *created.messages]
        run = self._build_run(created.run, limits, deps, messages, options, live=live, active_s=active_s)
        try:
            run.journal.load(events)
        except QuorateError:
            run.scope.close()
            raise
        for event in events:
            run.budget.note(event)
        return run

    def _build_run(
        self,
        run_id: str,
        limits: Limits,
        deps: object,
        messages: list[Message],
        options: RunOptions,
        *,
        live: bool,
        active_s: float = 0.0,
    ) -> Run:
        clock, seconds = options.clock, max(0.0, limits.seconds - active_s)
        info = RunInfo(
            run=run_id,
            agent=self.name,
            limits=limits,
            deadline=clock.monotonic() + seconds,
            tenant=options.tenant,
            principal=options.principal,
            session=options.session,
            trace=options.trace,
            payer=options.labels.get(PAYER, ""),
        )
        journal = Journal(
            run_id, options.log, clock=clock, attempt=new_id("try"), listeners=options.listeners, live=live
        )
        compiled, model, scope = self.compiled, self.find_model(), Scope(seconds)
        if options.wrap is not None:
            compiled = compiled.wrap(options.wrap)
        if options.wrap_model is not None:
            model = options.wrap_model(model)
        journal.on_cancel = scope.stop
        try:
            run = Run(
                compiled,
                info,
                model=model,
                deps=deps,
                messages=messages,
                journal=journal,
                budget=Budget(limits=limits),
                scope=scope,
                clock=clock,
            )
        except BaseException:
            scope.close()
            raise
        run.services, run.wrap, run.wrap_model = options.services, options.wrap, options.wrap_model
        return run


def _choose(options: RunOptions, limits: Limits | None, log: Log | None) -> RunOptions:
    return structs.replace(options, limits=limits or options.limits, log=log or options.log)


AnyAgent = Agent[Any, Any]
"""Any agent, whatever it needs and answers."""

_NONE: Mapping[str, Model | str] = MappingProxyType({})
_overrides: ContextVar[Mapping[str, Model | str]] = ContextVar("quorate_overrides", default=_NONE)


@contextmanager
def override(models: Mapping[str, Model | str]) -> Generator[None]:
    """Give the named agents other models inside a `with` block, however deep they are used; for tests."""
    token = _overrides.set({**_overrides.get(), **models})
    try:
        yield
    finally:
        _overrides.reset(token)


def build_result(run: Run, _: type[Output]) -> RunResult[Output]:
    """Build what the caller gets from a run that has ended or rests."""
    last = run.journal.events[-1]
    value = run.value
    if value is None and isinstance(last, RunCompleted):
        try:
            value = run.compiled.output.read(last.output)
        except InvalidInput as error:
            raise Incompatible(
                f"What run {run.info.run!r} recorded as its answer does not fit the output type that agent "
                f"{run.info.agent!r} has now: {error.message}",
                run=run.info.run,
            ) from error
    text = last.output if isinstance(last, RunCompleted) else last.partial if isinstance(last, RunIncomplete) else ""
    for message in () if text else reversed(run.messages):
        if message.role == "assistant":
            text = message.text
            break
    usage, cost_usd = run.budget.usage, run.budget.cost_usd
    if isinstance(last, ENDINGS):
        usage, cost_usd = last.usage, last.cost_usd
    return RunResult(
        run_id=run.info.run,
        value=cast("Output", value),
        text=text,
        messages=run.messages,
        events=run.journal.events,
        usage=usage,
        cost_usd=cost_usd,
    )
