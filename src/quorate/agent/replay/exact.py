"""Does a recorded run, played again offline, write the very same log?

Models and tools are asked nothing: what they gave is in the recording, and they give it again when it is their turn.
Everything the agent does itself (prompts, checks, limits, repairs, delegation, what is written and when) is done anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar, cast

from msgspec import Struct, structs

from quorate.agent.agent import Agent, AnyAgent, RunOptions, build_result, override
from quorate.agent.attempt import attempt
from quorate.agent.replay.divergence import Divergence, compare_events
from quorate.agent.replay.journal import ReplayJournal, Watch
from quorate.agent.replay.recording import Stretch, split_attempts
from quorate.agent.replay.stage import Endless, Stage
from quorate.agent.replay.standins import StageModel, StageTools
from quorate.agent.result import RunResult
from quorate.agent.run import Run
from quorate.errors import InvalidInput, Nondeterministic, NotFound, QuorateError
from quorate.events import (
    ENDINGS,
    AnyEvent,
    ModelReplied,
    ModelRequested,
    RunCancelled,
    RunCreated,
    RunResumed,
    RunStarted,
    RunWaiting,
    StepStarted,
    summarize,
)
from quorate.messages import Message
from quorate.ports import Toolset
from quorate.specs import FINAL_TOOL, ModelProfile

Deps = TypeVar("Deps")
Output = TypeVar("Output")

_OPENED_AND_ENDED = ("run.resumed", "run.cancelled")
IDLE_TURNS = 64
"""After how many turns of the event loop without any move a replay counts as standing still."""
GRACE_S = 0.01
GRACES = 20
"""How long, and how often, a replay that stands still is waited for before it counts as diverged."""


class Replay(Struct, Generic[Output], frozen=True, kw_only=True):
    """What an exact replay gave."""

    recorded: Sequence[AnyEvent]
    events: Sequence[AnyEvent]
    """What the replay wrote."""
    divergence: Divergence | None = None
    result: RunResult[Output] | None = None
    """What the caller of the run got; `None` when it failed, never began, or the replay has left the recording."""
    error: str = ""
    """What the run failed with, where it did."""

    @property
    def is_identical(self) -> bool:
        """Whether both logs are the same, byte for byte."""
        return self.divergence is None and len(self.events) == len(self.recorded)


class RecordedClock:
    """The clock of a replay: it shows when things happened, and no time goes by."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def now(self) -> float:
        """Return the recorded time of what comes next."""
        return self._stage.get_now()

    def monotonic(self) -> float:
        """Return 0: deadlines that passed are in the recording."""
        return 0.0


async def replay_exactly(
    agent: Agent[Deps, Output],
    events: Sequence[AnyEvent],
    *,
    history: Sequence[Message] = (),
    deps: object = None,
    strict: bool = False,
    watch: Watch | None = None,
) -> Replay[Output]:
    """Play a recorded run again, offline, and compare what it writes with what was recorded.

    Args:
        agent: The agent as it is now.
        events: The run's log, whole or cut off anywhere.
        history: The conversation before it, where the log only refers to it.
        deps: What instructions that are a function need; tools are not called.
        strict: Whether the first difference is an error.
        watch: Called with every event once it was written; the replay goes on when it returns.

    Raises:
        NotFound: There are no events.
        Nondeterministic: There is a difference, and `strict` was asked for.
    """
    created = check_recorded(events)
    written: list[AnyEvent] = list(events[:1])
    stretches = split_attempts(events)
    written += events[1 : stretches[0].start if stretches else len(events)]
    last: _Played | None = None
    for stretch in stretches:
        last = await _play(agent, created, written, events, stretch, history=history, deps=deps, watch=watch)
        written = list(last.run.journal.events)
        if last.divergence is not None:
            break
    divergence = last.divergence if last is not None else None
    if divergence is not None and strict:
        raise Nondeterministic(divergence.describe(), run=created.run, seq=divergence.seq)
    is_over = last is not None and last.error is None and divergence is None
    return Replay(
        recorded=events,
        events=written,
        divergence=divergence,
        result=build_result(last.run, agent.output_type) if last is not None and is_over else None,
        error=str(last.error) if last is not None and last.error is not None and divergence is None else "",
    )


async def replay(
    agent: Agent[Deps, Output], events: Sequence[AnyEvent], *, history: Sequence[Message] = (), deps: object = None
) -> RunResult[Output]:
    """Play a run that has ended again, offline and strictly, and return what its caller got.

    You would use it to look at an old run as if it happened now, or to see whether a change of the agent still reads
    its record.

    Raises:
        NotFound: There are no events.
        InvalidInput: The run has not ended.
        Nondeterministic: A step is missing, or something else was written than was recorded.
    """
    created = check_recorded(events)
    if not isinstance(events[-1], ENDINGS):
        raise InvalidInput(f"Run {created.run!r} has not ended: resume it instead.", run=created.run)
    done = await replay_exactly(agent, events, history=history, deps=deps, strict=True)
    if done.result is not None:
        return done.result
    run = _load(agent, created, events, history=history, deps=deps, models={})
    run.scope.close()
    return build_result(run, agent.output_type)


def check_recorded(events: Sequence[AnyEvent]) -> RunCreated:
    """Return the first event of a recording.

    Raises:
        NotFound: There is none, or it is not the beginning of a run.
    """
    if not events or not isinstance(events[0], RunCreated):
        raise NotFound("There is nothing to replay: the run has no events.")
    return events[0]


class _Played(Struct, kw_only=True):
    run: Run
    divergence: Divergence | None
    error: Exception | None


async def _play(
    agent: AnyAgent,
    created: RunCreated,
    before: Sequence[AnyEvent],
    events: Sequence[AnyEvent],
    stretch: Stretch,
    *,
    history: Sequence[Message],
    deps: object,
    watch: Watch | None,
) -> _Played:
    """Play one attempt again."""
    stage = Stage(events, stretch)
    models = build_models(agent, stage)
    run = _load(agent, created, before, history=history, deps=deps, models=models, stage=stage)
    journal = ReplayJournal(created.run, stage, clock=run.clock, watch=watch)
    journal.load(before)
    stage.scope = Endless(run.scope.cause)
    run.scope.close()
    run.scope, run.journal = stage.scope, journal
    stage.note = run.budget.note
    journal.begin()
    opening = stage.next
    if isinstance(opening, RunResumed):
        earlier = sum(isinstance(event, (RunStarted, RunResumed)) for event in before)
        journal.write(RunResumed, number=earlier + 1, owner=opening.owner)
    elif isinstance(opening, RunStarted):
        journal.write(RunStarted, owner=opening.owner)
    error = None
    if not _write_idle(journal, stage):
        with override(models):
            error = await _drive(run, journal, stage)
    if stage.divergence is None:
        journal.take_given()
    return _Played(run=run, divergence=stage.divergence, error=error)


def _write_idle(journal: ReplayJournal, stage: Stage) -> bool:
    """Write the one event of an attempt that did nothing but end or park a run that rested; say whether it was one."""
    only = stage.next
    if sum(bool(event.attempt) for event in stage.script.mine) != len(_OPENED_AND_ENDED):
        return False
    summary = summarize(None, journal.events)
    assert summary is not None
    if not isinstance(only, RunCancelled) and not (isinstance(only, RunWaiting) and only.reason == "parked"):
        return False
    spent = {"usage": summary.usage, "cost_usd": summary.cost_usd}
    if compare_events(only, structs.replace(only, **spent)) is not None:
        return False  # an attempt of the agent's own that was stopped before it did anything
    if isinstance(only, RunWaiting):
        journal.write(RunWaiting, "", reason="parked", note=only.note, **spent)
    else:
        journal.write(RunCancelled, "", reason=only.reason, **spent)
    return True


async def _drive(run: Run, journal: ReplayJournal, stage: Stage) -> Exception | None:
    """Let the run work until it has written all that its attempt wrote; return what its caller would have got."""
    failed: list[Exception] = []

    async def work() -> None:
        try:
            async for _ in attempt(run):
                pass
        except Exception as error:  # how a run ends is what a replay compares, whatever it raises
            failed.append(error)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(work())

        def leave() -> bool:
            rest = stage.next
            run.handed_over = isinstance(rest, RunWaiting) and rest.wakes is not None
            return task.cancel()

        stage.leave = leave
        try:
            await _attend(task, journal, stage)
        except asyncio.CancelledError:
            journal.stop()  # whoever looked has left: what is cut off now is no part of the replay
            raise
    if stage.divergence is None and stage.next is not None and journal.broken is None:
        stage.diverge()
    return failed[0] if failed else None


async def _attend(task: asyncio.Task[None], journal: ReplayJournal, stage: Stage) -> None:
    """Play the part of the world around a run: whenever nobody goes on, do what was done to it then."""
    graces = 0
    while not task.done():
        await stage.running.wait()
        if await _wait_still(task, stage) or not stage.running.is_set():
            continue
        event = stage.next
        if journal.broken is not None or task.done():
            task.cancel()
        elif event is None:
            journal.stop()
            task.cancel()
        elif not stage.unstick():
            graces += 1
            if graces > GRACES:
                stage.diverge()
                journal.stop()
                task.cancel()
            else:
                await asyncio.sleep(GRACE_S)
        if task.cancelling() and not task.done():
            await asyncio.wait((task,), timeout=GRACE_S * GRACES)


async def _wait_still(task: asyncio.Task[None], stage: Stage) -> bool:
    """Give way until nothing moves any more; say whether something moved."""
    before = stage.moves
    for _ in range(IDLE_TURNS):
        await asyncio.sleep(0)
        if stage.moves != before or task.done():
            return True
    return False


def _load(
    agent: AnyAgent,
    created: RunCreated,
    events: Sequence[AnyEvent],
    *,
    history: Sequence[Message],
    deps: object,
    models: dict[str, StageModel],
    stage: Stage | None = None,
) -> Run:
    def wrap(inner: Toolset) -> Toolset:
        return StageTools(stage, inner) if stage is not None else inner

    options = RunOptions(wrap=wrap, clock=RecordedClock(stage)) if stage is not None else RunOptions()
    with override(models):
        return agent.open_recorded(created, events, history=history, deps=deps, options=options)


def build_models(agent: AnyAgent, stage: Stage) -> dict[str, StageModel]:
    """Build what stands in for the models of the agent and of all agents that worked for it, by name."""
    known = dict(find_profiles(agent, None))
    names = {agent.name: ""}
    for event in stage.script.events:
        if isinstance(event, StepStarted):
            names.setdefault(event.name, event.key)
    return {
        name: StageModel(stage, known.get(name) or guess_profile(stage.script.events, path))
        for name, path in names.items()
    }


def find_profiles(item: object, default: ModelProfile | None) -> Iterator[tuple[str, ModelProfile]]:
    """Find the profiles of an agent's model and of its delegates' models, as far as they can be built offline."""
    if isinstance(item, Agent):
        found = cast("AnyAgent", item)
        profile = _find_profile(found, default)
        if profile is not None:
            yield found.name, profile
        for one in found.tools:
            yield from find_profiles(one, profile)
        return
    for name in ("agent", "inner"):
        inner: object = getattr(item, name, None)
        if inner is not None:
            yield from find_profiles(inner, default)


def _find_profile(agent: AnyAgent, default: ModelProfile | None) -> ModelProfile | None:
    if agent.model is None and default is not None:
        return default
    try:
        return agent.find_model().profile
    except QuorateError:  # without a key or a model there is nothing to compare with: the recording tells enough
        return None


def guess_profile(events: Sequence[AnyEvent], path: str) -> ModelProfile:
    """Tell from a recording what the model of an agent could do; for a model that is not there any more."""
    asked = next((e.model for e in events if isinstance(e, ModelRequested) and e.key == f"{path}1/model"), "recorded")
    by_tool = any(
        call.name == FINAL_TOOL
        for event in events
        if isinstance(event, ModelReplied) and event.key.rpartition("/")[0].rpartition("/")[0] == path.rstrip("/")
        for call in event.reply.message.tool_calls
    )
    return ModelProfile(name=asked, native_output=not by_tool)
