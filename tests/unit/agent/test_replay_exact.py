"""Does a recorded run, played again offline, write the very same log, and is the first difference named?"""

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence

import pytest
from msgspec import Struct, structs
from tests.unit.agent.doubles import reply

from quorate import (
    Agent,
    Approved,
    InvalidInput,
    Limits,
    MemoryLog,
    NotFound,
    QuorateError,
    RunContext,
    RunOptions,
    ScriptedModel,
    TimeBoxed,
    ToolError,
    UpstreamError,
    tool,
)
from quorate.agent.attempt import attempt
from quorate.agent.replay import Replay, replay, replay_exactly
from quorate.codec.json import encode
from quorate.errors import Nondeterministic, Unavailable
from quorate.events import (
    AnyEvent,
    ApprovalDecided,
    ApprovalRequested,
    ModelRequested,
    RunCancelled,
    RunFailed,
    RunIncomplete,
    RunResumed,
    RunWaiting,
    StepFinished,
    ToolFinished,
    ToolStarted,
    get_kind,
)
from quorate.messages import Message, Text, ToolCall
from quorate.models.scripted import call
from quorate.specs import ModelProfile
from quorate.testing.clock import ManualClock

RUN = "run-1"
NAMED = RunOptions(run_id=RUN)


@tool(effect="idempotent")
async def look(name: str) -> str:
    """Look."""
    return f"{name} is fine"


@tool(effect="idempotent")
async def hang() -> str:
    """Never answer."""
    await asyncio.Event().wait()
    return ""


async def leave_when_it_hangs(work: Coroutine[object, object, object], log: MemoryLog) -> None:
    """Cancel a run from outside once its call of `hang` has begun."""
    task = asyncio.ensure_future(work)
    while not any(isinstance(event, ToolStarted) and event.call.name == "hang" for event in await log.read(RUN)):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()


class Crash(RuntimeError):
    """What nobody foresaw."""


def forbid(agent: Agent) -> Agent:
    """The same agent, and a model that fails the test when it is asked."""

    def ask(request: object) -> str:
        raise AssertionError("a replay asked a model")

    return Agent(
        agent.name,
        instructions=agent.instructions,
        model=ScriptedModel(ask),
        tools=agent.tools,
        output_type=agent.output_type,
        limits=agent.limits,
    )


async def check(agent: Agent, events: Sequence[AnyEvent], **options) -> Replay:
    """Play it again; every byte must be the same."""
    done = await replay_exactly(forbid(agent), events, **options)
    assert done.divergence is None, done.divergence.describe()
    assert [encode(event) for event in done.events] == [encode(event) for event in events]
    assert done.is_identical
    return done


async def record(agent: Agent, *, options: RunOptions = NAMED) -> list[AnyEvent]:
    """Let it work, whatever comes of it, and return what it recorded."""
    log = MemoryLog()
    with contextlib.suppress(QuorateError, Crash):
        await agent.run("go", options=structs.replace(options, log=log))
    return await log.read(RUN)


async def test_a_completed_run_is_the_same_to_the_byte() -> None:
    """Two turns, parallel calls; nothing is asked or called. row: C14 E13"""
    script = [[call("look", name="a"), call("look", name="b")], call("look", name="c"), "all fine"]
    agent = Agent("looker", model=ScriptedModel(script), tools=[look])
    done = await check(agent, await record(agent))
    assert done.result is not None
    assert done.result.output == "all fine"


@pytest.mark.parametrize(
    "error", [UpstreamError("it is down", status=503), Unavailable("gone"), Crash("boom: it"), ValueError("")]
)
async def test_a_model_that_failed_fails_again(error: Exception) -> None:
    """With the same code and the same words, whoever's error it was."""

    def answer(request: object) -> str:
        raise error

    agent = Agent("a", model=ScriptedModel(answer))
    log = MemoryLog()
    with pytest.raises(type(error)):
        await agent.run("go", log=log, options=NAMED)
    events = await log.read(RUN)
    assert isinstance(events[-1], RunFailed)
    done = await check(agent, events)
    assert str(error) in done.error
    assert done.result is None


@pytest.mark.parametrize("error", [ToolError("no such host"), Crash("boom"), Unavailable("store"), NotFound("none")])
async def test_a_call_that_failed_fails_again(error: Exception) -> None:
    """Whether it went back to the model or ended the run."""

    @tool(effect="idempotent")
    async def fail() -> str:
        """Fail."""
        raise error

    class Raw:
        """A toolset that lets everything through."""

        def specs(self):
            return fail.specs()

        async def call(self, call: ToolCall, context: RunContext[object]):
            raise error

    for tools in ([fail], [Raw()]):
        agent = Agent("a", model=ScriptedModel([call("fail"), "done"]), tools=tools)
        await check(agent, await record(agent))


@pytest.mark.parametrize(
    ("limits", "limit"),
    [(Limits(steps=2), "steps"), (Limits(tokens=15), "tokens"), (Limits(repeated_calls=2), "repeated_calls")],
)
async def test_a_limit_is_met_again(limits: Limits, limit: str) -> None:
    """At the same step, with the same words."""
    asked = ToolCall(id="c", name="look", arguments='{"name":"a"}')
    agent = Agent("a", model=ScriptedModel([reply("so far", asked, tokens=10)] * 9), tools=[look], limits=limits)
    events = await record(agent)
    assert isinstance(events[-1], RunIncomplete)
    assert events[-1].limit == limit
    done = await check(agent, events)
    assert done.result is not None
    assert done.result.text == "so far"


async def test_a_deadline_that_passed_passes_again() -> None:
    """Although no time goes by in a replay; a delegate's own deadline costs its answer only."""
    agent = Agent("a", model=ScriptedModel([call("hang")] * 50), tools=[hang], limits=Limits(seconds=0.05))
    events = await record(agent)
    assert isinstance(events[-1], RunIncomplete)
    await check(agent, events)

    inner = Agent("inner", model=ScriptedModel([call("hang")] * 50), tools=[hang], limits=Limits(seconds=0.05))
    outer = Agent("outer", model=ScriptedModel([[call("inner", task="x"), call("look", name="a")], "done"]))
    outer.tools = [inner, look]
    events = await record(outer)
    assert any(isinstance(event, StepFinished) and event.status == "incomplete" for event in events)
    await check(outer, events)


async def test_a_delegate_that_a_wrapper_cut_off_is_cut_off_again() -> None:
    """The call's result came from the wrapper, and the delegate never ended."""
    inner = Agent("inner", model=ScriptedModel([call("hang")] * 3), tools=[hang])
    boxed = TimeBoxed(inner.as_tool(), 0.05)
    outer = Agent("outer", model=ScriptedModel([[call("inner", task="x"), call("look", name="a")], "done"]))
    outer.tools = [boxed, look]
    events = await record(outer)
    assert not any(isinstance(event, StepFinished) for event in events)
    await check(outer, events)


async def test_a_run_that_was_cancelled_is_cancelled_again() -> None:
    """From outside and by a tool, in the middle of calls."""

    @tool(effect="idempotent")
    async def stop(context: RunContext[None]) -> str:
        """Stop the run."""
        context.cancel("enough")
        return ""

    for turn in ([call("stop")], [call("hang"), call("look", name="a"), call("stop")]):
        agent = Agent("a", model=ScriptedModel([turn]), tools=[stop, hang, look])
        events = await record(agent)
        assert isinstance(events[-1], RunCancelled)
        await check(agent, events)


async def test_a_run_that_was_left_and_gone_on_with_has_the_same_attempts() -> None:
    """Every attempt is played: what the first one recorded is not done again by the second."""
    log = MemoryLog()
    agent = Agent("a", model=ScriptedModel([[call("look", name="a"), call("hang")]]), tools=[look, hang])
    await leave_when_it_hangs(agent.run("go", log=log, options=NAMED), log)
    rested = await log.read(RUN)
    assert isinstance(rested[-1], RunWaiting)
    await check(agent, rested)

    @tool(name="hang", effect="idempotent")
    async def answer() -> str:
        """Never answer."""
        return "here"

    later = Agent("a", model=ScriptedModel(["done"]), tools=[look, answer])
    await later.resume(RUN, log=log)
    events = await log.read(RUN)
    assert any(isinstance(event, RunResumed) for event in events)
    await check(later, events)


async def test_a_run_that_was_handed_over_says_so_again() -> None:
    """When a worker drains, what it leaves may be taken at once; the moment is in the record."""
    log = MemoryLog()
    agent = Agent("a", model=ScriptedModel([call("hang")]), tools=[hang])
    run = agent.open_run("go", options=structs.replace(NAMED, log=log))
    run.handed_over = True

    async def drain() -> None:
        async for _ in attempt(run):
            pass

    await leave_when_it_hangs(drain(), log)
    events = await log.read(RUN)
    assert isinstance(events[-1], RunWaiting)
    assert events[-1].wakes is not None
    await check(agent, events)


async def test_every_beginning_of_a_log_replays() -> None:
    """A process may have been killed behind any event: so far the replay is the same, and no further."""
    inner = Agent("inner", model=ScriptedModel([call("look", name="b"), "inner done"]), tools=[look])
    outer = Agent("outer", model=ScriptedModel([[call("inner", task="x"), call("look", name="a")], "done"]))
    outer.tools = [inner, look]
    events = await record(outer)
    for place in range(1, len(events) + 1):
        await check(outer, events[:place])


@pytest.mark.parametrize("approved", [True, False])
async def test_an_approval_is_asked_for_and_answered_again(approved: bool) -> None:
    """The question, the rest, the answer from outside, and what followed from it."""
    agent = Agent("a", model=ScriptedModel([call("look", name="a"), "done"]), tools=[Approved(look, expires_s=60)])
    log, clock = MemoryLog(), ManualClock()
    await agent.run("go", log=log, options=structs.replace(NAMED, clock=clock))
    events = await log.read(RUN)
    asked = next(event for event in events if isinstance(event, ApprovalRequested))
    await check(agent, events)
    decided = ApprovalDecided(
        run=RUN, seq=len(events) + 1, time=clock.now() + 1, key=asked.key, approved=approved, digest=asked.digest,
        by="ann",
    )  # fmt: skip
    await log.append(RUN, (decided,), expected=len(events))
    await check(agent, await log.read(RUN))
    clock.advance(2)
    await agent.resume(RUN, log=log, options=RunOptions(clock=clock))
    done = await check(agent, await log.read(RUN))
    assert done.result is not None
    assert done.result.output == "done"


async def test_a_typed_answer_with_a_repair_is_the_same() -> None:
    """Repairs are the agent's own work, so they are done anew; models that answer by a tool are played too."""

    class Answer(Struct):
        n: int

    for profile in (
        None,
        ModelProfile(name="m", native_output=False),
        ModelProfile(name="m", native_output=False, tools=False),
    ):
        final = ScriptedModel(
            [call("final_result", n="x"), call("final_result", n=2)]
            if profile and profile.tools
            else ["{}", '{"n":2}'],
            profile=profile,
        )
        agent = Agent("a", model=final, output_type=Answer)
        events = await record(agent)
        again = Agent("a", model=ScriptedModel([], profile=profile), output_type=Answer)
        done = await replay_exactly(again, events)
        assert done.is_identical, done.divergence
        assert done.result is not None
        assert done.result.output == Answer(n=2)


async def test_a_streamed_run_replays() -> None:
    """What was shown on the way is in no log, and nothing else differs."""
    log = MemoryLog()
    agent = Agent("a", model=ScriptedModel([[call("look", name="a"), call("look", name="b")], "done"]), tools=[look])
    async for _ in agent.run_stream("go", log=log, options=NAMED):
        pass
    await check(agent, await log.read(RUN))


async def test_the_conversation_before_is_given() -> None:
    """A run that only refers to an earlier one is played with what was said there."""
    log = MemoryLog()
    agent = Agent("a", model=ScriptedModel([call("look", name="a"), "done"]), tools=[look])
    history = [Message(role="user", parts=(Text(text="before"),)), Message(role="assistant", parts=(Text(text="yes"),))]
    await agent.run("go", history=history, log=log, options=structs.replace(NAMED, previous="run-0"))
    events = await log.read(RUN)
    await check(agent, events, history=history)
    other = await replay_exactly(forbid(agent), events)
    assert other.divergence is not None
    assert (other.divergence.key, other.divergence.path) == ("1/model", "messages")


async def test_a_changed_prompt_shows_where_it_diverged() -> None:
    """The first question that differs is named, with the part of it that does. row: C14 E13"""
    agent = Agent("a", instructions="Be brief.", model=ScriptedModel([call("look", name="a"), "done"]), tools=[look])
    events = await record(agent)
    for changes, part in (
        ({"instructions": "Be long."}, "the instructions"),
        ({"tools": [look, hang]}, "the tools"),
        ({"output_type": int}, "the output type or the model's settings"),
    ):
        facts = {"instructions": "Be brief.", "tools": [look], **changes}
        done = await replay_exactly(Agent("a", model=ScriptedModel([]), **facts), events)
        assert done.divergence is not None
        assert (done.divergence.seq, done.divergence.key, done.divergence.path) == (3, "1/model", "digest")
        assert part in done.divergence.note
        assert not done.is_identical
    with pytest.raises(Nondeterministic, match="What the model is asked has changed: the instructions"):
        await replay_exactly(Agent("a", instructions="x", model=ScriptedModel([]), tools=[look]), events, strict=True)


async def test_another_model_is_noticed() -> None:
    """Its name is in the record."""
    agent = Agent("a", model=ScriptedModel(["done"]))
    done = await replay_exactly(Agent("a", model=ScriptedModel([], name="other")), await record(agent))
    assert done.divergence is not None
    assert (done.divergence.path, done.divergence.recorded, done.divergence.replayed) == (
        "model",
        '"scripted"',
        '"other"',
    )


async def test_a_call_that_was_not_recorded_fails_a_strict_replay() -> None:
    """Without `strict` it is the first difference. row: C14"""
    agent = Agent("a", model=ScriptedModel([[call("look", name="a"), call("look", name="b")], "done"]), tools=[look])
    events = await record(agent)
    kept = [
        event for event in events if not (event.key.endswith("-2") and isinstance(event, (ToolStarted, ToolFinished)))
    ]
    cut = [structs.replace(event, seq=place) for place, event in enumerate(kept, 1)]
    done = await replay_exactly(forbid(agent), cut)
    assert done.divergence is not None
    assert "`tool.started` of 1/tool/call-1-2" in done.divergence.replayed
    with pytest.raises(Nondeterministic, match="1/tool/call-1-2"):
        await replay_exactly(forbid(agent), cut, strict=True)
    with pytest.raises(Nondeterministic):
        await replay(forbid(agent), cut)


async def test_every_changed_event_is_found() -> None:
    """Whatever is changed in a recording, the replay does not call it the same, and names no later event."""
    inner = Agent("inner", model=ScriptedModel([call("look", name="b"), "inner done"]), tools=[look])
    agent = Agent("a", model=ScriptedModel([[call("inner", task="x"), call("look", name="a")], "done"]))
    agent.tools = [inner, look]
    events = await record(agent)
    for place, event in enumerate(events[2:], 2):
        for changed in (
            structs.replace(event, key=event.key + "x"),
            *([structs.replace(event, messages=9)] if isinstance(event, ModelRequested) else []),
            *([structs.replace(event, effect="unsafe")] if isinstance(event, ToolStarted) else []),
            *([structs.replace(event, output="other")] if isinstance(event, StepFinished) else []),
        ):
            done = await replay_exactly(forbid(agent), [*events[:place], changed, *events[place + 1 :]])
            assert done.divergence is not None, get_kind(event)
            assert done.divergence.seq <= event.seq


async def test_a_changed_result_is_noticed_where_it_is_read() -> None:
    """What came from outside is given as it is recorded; the next question shows that it is another."""
    agent = Agent("a", model=ScriptedModel([call("look", name="a"), "done"]), tools=[look])
    events = await record(agent)
    place = next(place for place, event in enumerate(events) if isinstance(event, ToolFinished))
    old = events[place]
    assert isinstance(old, ToolFinished)
    events[place] = structs.replace(old, result=structs.replace(old.result, content="other"))
    done = await replay_exactly(forbid(agent), events)
    assert done.divergence is not None
    assert done.divergence.key == "2/model"
    assert done.divergence.note == "What the model is asked has changed: the messages."


async def test_a_recording_without_digests_still_replays() -> None:
    """Older versions kept none."""
    agent = Agent("a", model=ScriptedModel([call("look", name="a"), "done"]), tools=[look])
    events = [
        structs.replace(event, digest="") if isinstance(event, ModelRequested) else event
        for event in await record(agent)
    ]
    await check(agent, events)


async def test_replays_side_by_side_do_not_disturb_each_other() -> None:
    """Each has its own models and order, also where agents have the same names."""
    agents = [Agent("a", model=ScriptedModel([call("look", name=str(n)), f"done {n}"]), tools=[look]) for n in range(8)]
    recorded = [await record(agent) for agent in agents]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(check(a, e)) for a, e in zip(agents, recorded, strict=True)]
    assert [task.result().result.output for task in tasks] == [f"done {n}" for n in range(8)]  # type: ignore[union-attr]


async def test_what_a_replay_refuses() -> None:
    """Nothing to play, or a run that has not ended where its result is wanted."""
    agent = Agent("a", model=ScriptedModel(["done"]))
    events = await record(agent)
    with pytest.raises(NotFound, match="nothing to replay"):
        await replay_exactly(agent, [])
    with pytest.raises(NotFound, match="nothing to replay"):
        await replay_exactly(agent, events[1:])
    with pytest.raises(InvalidInput, match="has not ended"):
        await replay(agent, events[:-1])


async def test_a_long_run_replays_quickly() -> None:
    """Ten thousand events take seconds, not minutes."""
    script = [[call("look", name=f"{turn}-{place}") for place in range(4)] for turn in range(900)]
    agent = Agent("a", model=ScriptedModel([*script, "done"]), tools=[look], limits=Limits(steps=1000, tool_calls=9999))
    events = await record(agent)
    assert len(events) > 9000
    async with asyncio.timeout(30):
        await check(agent, events)
