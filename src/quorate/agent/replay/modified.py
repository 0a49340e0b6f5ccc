"""What would a recorded run have come to with another model, other instructions, tools, output type or limits?

It is a new run that is never recorded durably: its model is really asked, while calls that the recorded run made too
get the results they got then.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, Literal, TypeVar, cast

from msgspec import Struct, structs

from quorate.agent.agent import Agent, AnyAgent, RunOptions, build_result
from quorate.agent.attempt import attempt
from quorate.agent.compile import build_toolset
from quorate.agent.replay.compare import Comparison, compare_runs, normalize_arguments
from quorate.agent.replay.exact import check_recorded
from quorate.agent.result import RunResult
from quorate.agent.run import PAYER
from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import Nondeterministic, UnknownName
from quorate.events import AnyEvent, ToolFailed, ToolFinished, ToolStarted
from quorate.messages import Message, ToolCall, ToolResult
from quorate.ports import Model, RunContext, Toolset
from quorate.specs import Caller, Limits, ModelSettings, ToolSpec
from quorate.tools.define import fail
from quorate.tools.outcomes import Found
from quorate.tools.toolsets import Filtered

Output = TypeVar("Output")


class Changes(Struct, frozen=True, kw_only=True):
    """What is different from the agent as it is; what is not given stays."""

    model: Model | str | None = None
    instructions: str | Callable[[Any], str] | None = None
    tools: Sequence[object] | None = None
    """All tools it has."""
    without: tuple[str, ...] = ()
    """Names of tools that it has not."""
    output_type: object = None
    limits: Limits | None = None
    settings: ModelSettings | None = None


class Policy(Struct, frozen=True, kw_only=True):
    """What becomes of calls whose very like was not recorded."""

    tools: Literal["recorded", "live"] = "recorded"
    """`live`: they are really made, where a second time does no harm."""
    missing: Literal["stop", "refuse"] = "stop"
    """What becomes of those that are not made: the replay stops, or the model is told and goes on."""
    allow_unsafe: bool = False
    """Whether calls may be really made whatever they do."""


UNCHANGED = Changes()
OFFLINE = Policy()


class ModifiedReplay(Struct, Generic[Output], frozen=True, kw_only=True):
    """What a modified replay gave, beside what was recorded."""

    comparison: Comparison
    events: Sequence[AnyEvent]
    result: RunResult[Output] | None = None
    """How it went; `None` when it failed or stopped."""
    error: str = ""
    """Why it failed or stopped, where it did."""
    live: tuple[str, ...] = ()
    """The keys of the calls that were really made."""
    refused: tuple[str, ...] = ()
    """The keys of the calls that were not made, as their like was not recorded."""


class RecordedResults:
    """A toolset whose calls get the results that their very like got in a recorded run.

    Two calls are alike when their tool and their arguments are, whatever the order of the fields; the second such call
    gets the second result, and when there are no more, the last one.
    """

    def __init__(self, inner: Toolset, results: Results, policy: Policy, *, agents: frozenset[str]) -> None:
        self.inner = inner
        self._results = results
        self._policy = policy
        self._agents = agents
        self._effects = {spec.name: spec.effect for spec in inner.specs()}

    def specs(self) -> Sequence[ToolSpec]:
        """List the tools."""
        return self.inner.specs()

    async def call(self, call: ToolCall, context: RunContext[object]) -> ToolResult:
        """Give the recorded result, or do as the policy says.

        Raises:
            Nondeterministic: Nothing like it was recorded, and the policy is to stop then.
        """
        known = self._results.take(call)
        if known is not None:
            return structs.replace(known, call_id=call.id)
        effect = self._effects.get(call.name)
        if effect is None or call.name in self._agents:
            return await self.inner.call(call, context)  # no such tool, or an agent whose own tools are bound as well
        if self._policy.tools == "live" and (effect == "idempotent" or self._policy.allow_unsafe):
            self._results.live.append(context.key)
            return await self.inner.call(call, context)
        self._results.refused.append(context.key)
        why = "it is not made again, since a second time may do harm" if self._policy.tools == "live" else ""
        why = why or "a replay makes no calls"
        if self._policy.missing == "refuse":
            return fail(call, f"no such call was recorded, and {why}", Nondeterministic.code)
        raise Nondeterministic(
            f"The replay came to a call of `{call.name}` with {normalize_arguments(call.arguments)} that was not "
            f'recorded, and {why}: let the model be told (`missing="refuse"`) or make such calls (`tools="live"`).',
            key=context.key,
        )

    async def find_outcome(self, call: ToolCall, context: RunContext[object]) -> Found:
        """Tell nothing: a replay resumes no calls."""
        return None


class Results:
    """The recorded results of a run, by call, and which calls were not among them."""

    def __init__(self, events: Sequence[AnyEvent]) -> None:
        self.live: list[str] = []
        self.refused: list[str] = []
        self._known: dict[str, list[ToolResult]] = {}
        calls: dict[str, ToolCall] = {}
        for event in events:
            if isinstance(event, ToolStarted):
                calls[event.key] = event.call
            elif isinstance(event, (ToolFinished, ToolFailed)) and event.key in calls:
                self._known.setdefault(get_digest(calls[event.key]), []).append(event.result)

    def take(self, call: ToolCall) -> ToolResult | None:
        """Take the next result of a call like this one."""
        known = self._known.get(get_digest(call))
        if not known:
            return None
        return known.pop(0) if len(known) > 1 else known[0]


def get_digest(call: ToolCall) -> str:
    """Return SHA-256 over a call's tool and arguments, whatever the order and spaces these came in."""
    return hashlib.sha256(f"{call.name}\0{normalize_arguments(call.arguments)}".encode()).hexdigest()


async def replay_modified(
    agent: Agent[Any, Output],
    events: Sequence[AnyEvent],
    *,
    changes: Changes = UNCHANGED,
    policy: Policy = OFFLINE,
    history: Sequence[Message] = (),
    deps: object = None,
    clock: Clock = SYSTEM_CLOCK,
    caller: Caller | None = None,
) -> ModifiedReplay[Output]:
    """Do a recorded run's task anew with something changed, and set both runs side by side.

    Args:
        agent: The agent as it is now.
        events: The recorded run.
        changes: What is different.
        policy: What becomes of calls whose very like was not recorded.
        history: The conversation before it, where the log only refers to it.
        deps: Whatever the agent's tools and instructions need.
        clock: Where time comes from.
        caller: Who asks for it, and pays; whoever asked for the recorded run when not given.

    Raises:
        NotFound: There are no events.
        InvalidInput: The changes do not fit the agent.
    """
    created = check_recorded(events)
    changed = change_agent(agent, changes)
    results = Results(events)
    agents = frozenset(find_agent_tools(changed.tools))

    def wrap(inner: Toolset) -> Toolset:
        return RecordedResults(inner, results, policy, agents=agents)

    options = RunOptions(
        limits=changes.limits or created.limits,
        tenant=created.tenant,
        principal=caller.principal if caller is not None else created.principal,
        labels={"replay.run": created.run, **({PAYER: caller.payer} if caller is not None and caller.payer else {})},
        clock=clock,
        wrap=wrap,
    )
    said = [*history, *created.messages]
    run = changed.open_run(said[-1], deps=deps, history=said[:-1], options=options)
    error = ""
    try:
        async for _ in attempt(run):
            pass
    except Exception as failure:  # a model is anybody's code; how the run ended is in its events
        error = str(failure)
    written = run.journal.events
    return ModifiedReplay(
        # To align long runs takes longer than an event loop may be held up.
        comparison=await asyncio.to_thread(compare_runs, events, written),
        events=written,
        result=None if error else build_result(run, changed.output_type),
        error=error,
        live=tuple(results.live),
        refused=tuple(results.refused),
    )


def change_agent(agent: Agent[Any, Output], changes: Changes) -> Agent[Any, Output]:
    """Build an agent that differs in some ways from another.

    Raises:
        UnknownName: A tool that is to be left out is not there.
    """
    tools = agent.tools if changes.tools is None else changes.tools
    if changes.without:
        tools = _leave_out(tools, changes.without)
    return Agent(
        agent.name,
        instructions=agent.instructions if changes.instructions is None else changes.instructions,
        model=agent.model if changes.model is None else changes.model,
        tools=tools,
        output_type=agent.output_type if changes.output_type is None else cast("type[Output]", changes.output_type),
        description=agent.description,
        limits=changes.limits or agent.limits,
        settings=changes.settings or agent.settings,
        version=agent.version,
    )


def _leave_out(tools: Sequence[object], names: Sequence[str]) -> list[Toolset]:
    toolsets = [build_toolset(item) for item in tools]
    known = {spec.name for toolset in toolsets for spec in toolset.specs()}
    for name in names:
        if name not in known:
            raise UnknownName("tool", name, known)
    return [Filtered(toolset, lambda spec: spec.name not in names) for toolset in toolsets]


def find_agent_tools(tools: Sequence[object]) -> Iterator[str]:
    """Find the names of the tools that are other agents, and those of these agents' tools, however deep."""
    for item in tools:
        toolset = build_toolset(item)
        inner: object = toolset
        while not isinstance(getattr(inner, "agent", None), Agent) and hasattr(inner, "inner"):
            inner = cast("Any", inner).inner
        agent: object = getattr(inner, "agent", None)
        if isinstance(agent, Agent):
            yield from (spec.name for spec in toolset.specs())
            yield from find_agent_tools(cast("AnyAgent", agent).tools)
