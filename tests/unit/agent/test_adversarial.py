"""Does a run hold its promises when models, tools, listeners, stores and callers behave as badly as they can?"""

import asyncio
import functools
import gc
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec import Struct, structs
from tests.unit.agent.doubles import reply

from quorate import (
    Agent,
    Approved,
    Limits,
    MemoryLog,
    RunContext,
    RunOptions,
    Runtime,
    ScriptedModel,
    Settings,
    TimeBoxed,
    open_sqlite_log,
    tool,
)
from quorate.agent.lifecycle import open_agent
from quorate.agent.replay import replay
from quorate.agent.scope import Scope
from quorate.clock import SYSTEM_CLOCK
from quorate.errors import (
    BlockedByPolicy,
    Cancelled,
    Conflict,
    DeadlineExceeded,
    Fenced,
    QuorateError,
    Unavailable,
    UpstreamError,
)
from quorate.events import (
    ENDINGS,
    AnyEvent,
    ApprovalDecided,
    ApprovalRequested,
    CancelRequested,
    ModelReplied,
    RunCompleted,
    RunFailed,
    RunResumed,
    RunStarted,
    RunWaiting,
    ToolFailed,
    ToolFinished,
    ToolStarted,
    get_kind,
)
from quorate.messages import Message, Progress, Reply, StreamItem, TextDelta, ToolCall, ToolResult
from quorate.models.planner import PlannerModel
from quorate.models.scripted import After, call
from quorate.ports import Log
from quorate.specs import ModelProfile, Request, ToolSpec
from quorate.state.backends.memory import open_memory_store
from quorate.tools.edits import get_edit_digest
from quorate.tools.toolsets import Toolbox

NAMED = RunOptions(run_id="run-1")


@tool(effect="idempotent")
async def look(name: str) -> str:
    """Look at something."""
    return f"{name} is fine"


def by_turn(*turns: object) -> ScriptedModel:
    """A model that answers by how far the conversation is, so that it can be asked by any attempt."""
    return ScriptedModel(
        lambda request: turns[sum(message.role == "assistant" for message in request.messages)]  # type: ignore[arg-type, return-value]
    )


def kinds(events: Sequence[AnyEvent]) -> list[str]:
    return [get_kind(event) for event in events]


def ends(events: Sequence[AnyEvent]) -> list[str]:
    return [get_kind(event) for event in events if isinstance(event, ENDINGS)]


def check_log(events: Sequence[AnyEvent]) -> None:
    """Gap-free, one end at most, and nothing behind it."""
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert len(ends(events)) <= 1
    assert not ends(events) or isinstance(events[-1], ENDINGS)


async def decide(log: Log, event: ApprovalRequested, **facts: Any) -> None:
    """Answer as a person would."""
    place = await log.last(event.run)
    if "arguments" in facts:
        facts["covers"] = get_edit_digest(event.digest, facts["arguments"])
    answer = ApprovalDecided(
        run=event.run,
        seq=place + 1,
        time=0.0,
        key=event.key,
        digest=event.digest,
        by="ann",
        **{"approved": True, **facts},
    )
    await log.append(event.run, (answer,), expected=place)


async def ask_to_cancel(log: Log, run: str) -> None:
    """What another process does to stop a run."""
    place = await log.last(run)
    event = CancelRequested(run=run, seq=place + 1, time=0.0, key="cancel", reason="enough", by="ann")
    await log.append(run, (event,), expected=place)


async def take_over(log: Log, run: str) -> None:
    """What another process does first when it resumes a run."""
    place = await log.last(run)
    event = RunResumed(run=run, seq=place + 1, time=0.0, attempt="try-other", number=2)
    await log.append(run, (event,), expected=place)


Before = Callable[["Meddled", Sequence[AnyEvent]], Awaitable[None]]


class Meddled(MemoryLog):
    """A log at which something happens just before an append."""

    def __init__(self, before: Before) -> None:
        super().__init__()
        self.before = before
        self.inside = False

    async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
        if not self.inside:
            self.inside = True
            try:
                await self.before(self, events)
            finally:
                self.inside = False
        await super().append(run, events, expected=expected)


def has(events: Sequence[AnyEvent], kind: type, key: str | None = None) -> bool:
    return any(isinstance(event, kind) and key in (None, event.key) for event in events)


# --- Ends: whatever goes wrong, the log says how a run ended.


async def test_a_refusal_is_recorded_as_the_end() -> None:
    """A model's refusal fails the run, and the log says so: the run is not left open to be paid for again."""
    log = MemoryLog()
    agent = Agent("a", model=ScriptedModel([reply("no", stop="filtered")]))
    with pytest.raises(BlockedByPolicy):
        await agent.run("x", log=log, options=NAMED)
    assert ends(await log.read("run-1")) == ["run.failed"]


async def test_an_unpriced_model_under_a_cost_limit_fails_in_the_log() -> None:
    """The second turn finds that its cost cannot be bounded: the run fails, and says so."""
    log = MemoryLog()
    agent = Agent("a", model=ScriptedModel([reply("", call("look", name="x"), cost_usd=None), "done"]), tools=[look])
    with pytest.raises(QuorateError, match="No price"):
        await agent.run("x", log=log, limits=Limits(cost_usd=1.0), options=NAMED)
    assert ends(await log.read("run-1")) == ["run.failed"]


async def test_a_crash_beside_a_commit_under_way_is_recorded() -> None:
    """One toolset crashes while another call's result is being recorded: the run fails in the log."""
    committing = asyncio.Event()

    async def slow(log: Meddled, events: Sequence[AnyEvent]) -> None:
        if has(events, ToolFinished):
            committing.set()
            await asyncio.sleep(0.01)

    class Crashing:
        def specs(self) -> Sequence[ToolSpec]:
            return (ToolSpec(name="crash", effect="idempotent"),)

        async def call(self, call: ToolCall, context: RunContext[object]) -> ToolResult:
            await committing.wait()
            raise RuntimeError("boom")

    log = Meddled(slow)
    agent = Agent("a", model=by_turn([call("look", name="x"), call("crash")], "done"), tools=[look, Crashing()])
    with pytest.raises(Exception, match="boom"):
        await agent.run("x", log=log, options=NAMED)
    assert ends(await log.read("run-1")) == ["run.failed"]


@pytest.mark.parametrize("live", [False, True])
async def test_a_crash_in_one_of_several_calls_is_raised_as_itself(live: bool) -> None:
    """What a parallel call raises is that error, not a group of one."""

    class Crashing:
        def specs(self) -> Sequence[ToolSpec]:
            return (ToolSpec(name="crash", effect="idempotent"),)

        async def call(self, call: ToolCall, context: RunContext[object]) -> ToolResult:
            raise RuntimeError("boom")

    agent = Agent("a", model=by_turn([call("look", name="x"), call("crash")], "done"), tools=[look, Crashing()])
    with pytest.raises(RuntimeError, match="boom"):
        await drive(agent, live)


async def drive(agent: Agent[Any, Any], live: bool, log: Log | None = None) -> None:
    if live:
        async for _ in agent.run_stream("x", log=log, options=NAMED):
            pass
    else:
        await agent.run("x", log=log, options=NAMED)


@pytest.mark.parametrize("live", [False, True])
async def test_a_fence_met_by_parallel_calls_is_a_fence(live: bool) -> None:
    """An attempt that lost its run to another one stops with `Fenced`, in parallel calls too, and writes nothing."""

    async def lose(log: Meddled, events: Sequence[AnyEvent]) -> None:
        if has(events, ToolFinished):
            await take_over(log, "run-1")

    log = Meddled(lose)
    agent = Agent("a", model=by_turn([call("look", name="x"), call("look", name="y")], "done"), tools=[look])
    with pytest.raises(Fenced):
        await drive(agent, live, log)
    assert isinstance((await log.read("run-1"))[-1], RunResumed)


async def test_a_fence_met_inside_a_delegate_is_a_fence() -> None:
    """The delegate of an attempt that lost its run stops with `Fenced`, and nothing is written."""

    async def lose(log: Meddled, events: Sequence[AnyEvent]) -> None:
        if has(events, ToolFinished, "1/tool/d/1/tool/call-1-1"):
            await take_over(log, "run-1")

    child = Agent("child", model=by_turn(call("look", name="x"), "done"), tools=[look])
    log = Meddled(lose)
    agent = Agent("a", model=by_turn(ToolCall(id="d", name="child", arguments='{"task":"t"}'), "ok"), tools=[child])
    with pytest.raises(Fenced):
        await agent.run("x", log=log, options=NAMED)
    assert isinstance((await log.read("run-1"))[-1], RunResumed)


@pytest.mark.parametrize("delegated", [False, True])
@pytest.mark.parametrize("parallel", [False, True])
async def test_a_storage_outage_blocks_a_run_and_does_not_fail_it(delegated: bool, parallel: bool) -> None:
    """The store is away for one append: the run can be resumed, whoever's step was being recorded."""
    failed: list[str] = []

    async def refuse(log: Meddled, events: Sequence[AnyEvent]) -> None:
        if has(events, ToolFinished) and not failed:
            failed.append("once")
            raise Unavailable("the store is away")

    child = Agent("child", model=by_turn(call("look", name="x"), "done"), tools=[look])
    first = ToolCall(id="d", name="child", arguments='{"task":"t"}') if delegated else call("look", name="z")
    turn = [first, call("look", name="y")] if parallel else [first]
    log = Meddled(refuse)
    agent = Agent("a", model=by_turn(turn, "ok"), tools=[child, look])
    with pytest.raises(Unavailable):
        await agent.run("x", log=log, options=NAMED)
    assert ends(await log.read("run-1")) == []
    assert (await agent.resume("run-1", log=log)).output == "ok"
    check_log(await log.read("run-1"))


async def test_a_decision_after_the_end_is_refused() -> None:
    """Nothing is written behind the end of a run: a question that was never answered died with it."""
    log = MemoryLog()
    agent = Agent("a", model=by_turn(call("look", name="x"), "done"), tools=[Approved(Toolbox([look]))])
    waiting = await agent.run("x", log=log, options=NAMED)
    asked = next(event for event in waiting.events if isinstance(event, ApprovalRequested))
    await ask_to_cancel(log, "run-1")
    assert (await agent.resume("run-1", log=log)).status == "cancelled"
    async with open_test_runtime(log) as runtime:
        with pytest.raises(Conflict):
            await runtime.decide("run-1", asked.key, approved=True, by="ann")
    check_log(await log.read("run-1"))


class open_test_runtime:
    """A runtime without a catalog, for agents that are given as objects."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.group = asyncio.TaskGroup()
        self.stack = AsyncExitStack()

    async def __aenter__(self) -> Runtime:
        await self.group.__aenter__()
        kept = await self.stack.enter_async_context(open_memory_store())
        self.runtime = Runtime(
            settings=Settings(),
            catalog=cast("Any", None),
            tools={},
            find_agent=cast("Any", None),
            store=structs.replace(kept, log=self.log),
            clock=SYSTEM_CLOCK,
            group=self.group,
        )
        return self.runtime

    async def __aexit__(self, *args: Any) -> None:
        self.runtime.release()
        await self.group.__aexit__(*args)
        await self.stack.aclose()


# --- What cannot be written as it is.


HOSTILE = {
    "a lone surrogate": "a\ud800b",
    "a file name that is not UTF-8": b"caf\xe9".decode("utf-8", "surrogateescape"),
    "control characters": "\x00\x1b[31m\u2028",
    "a megabyte": "é" * (1 << 20),
    "a surrogate pair in two halves": "\ud83d\ude00",
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("how", ["returned", "raised"])
@pytest.mark.parametrize("parallel", [False, True])
async def test_any_text_of_a_tool_can_be_recorded(what: str, how: str, parallel: bool, tmp_path: Path) -> None:
    """Whatever text a tool gives or raises, the run goes on, and its log can be read."""

    @tool(effect="idempotent")
    async def say() -> str:
        """Say it."""
        if how == "raised":
            raise OSError(HOSTILE[what])
        return HOSTILE[what]

    turn = [call("say"), call("look", name="x")] if parallel else [call("say")]
    async with open_sqlite_log(tmp_path / "log.db") as log:
        result = await Agent("a", model=by_turn(turn, "done"), tools=[say, look]).run("x", log=log, options=NAMED)
        assert result.status == "completed"
        check_log(await log.read("run-1"))


async def test_any_words_of_an_error_can_be_recorded(tmp_path: Path) -> None:
    """A model fails with words that JSON does not have: the log says that the run failed, the caller gets the error."""
    async with open_sqlite_log(tmp_path / "log.db") as log:
        agent = Agent("a", model=ScriptedModel([UpstreamError("bad \udcff byte")]))
        try:
            await agent.run("x", log=log, options=NAMED)
        except QuorateError as error:
            raised = type(error)
        assert raised is UpstreamError
        assert ends(await log.read("run-1")) == ["run.failed"]


async def test_not_a_number_is_a_typed_result(tmp_path: Path) -> None:
    """NaN and infinity, which JSON does not have, do not lose the run."""

    @tool(effect="idempotent")
    async def measure() -> dict[str, float]:
        """Measure."""
        return {"a": float("nan"), "b": float("inf")}

    async with open_sqlite_log(tmp_path / "log.db") as log:
        result = await Agent("a", model=by_turn(call("measure"), "done"), tools=[measure]).run("x", log=log)
        assert result.status == "completed"


async def test_a_result_over_the_bound_goes_back_whatever_its_type() -> None:
    """A text over the bound is refused as a list over it is: a model cannot read it, a log should not hold it."""

    @tool(effect="idempotent")
    async def dump() -> str:
        """Give far too much."""
        return "x" * (3 << 20)

    result = await Agent("a", model=by_turn(call("dump"), "done"), tools=[dump]).run("x")
    given = next(event for event in result.events if isinstance(event, (ToolFinished, ToolFailed)))
    assert given.result.is_error
    assert len(str(given.result.content)) < 1000


class Holder(Struct):
    """Something that may hold itself."""

    inner: Any = None


async def test_a_result_that_holds_itself_is_a_typed_fault() -> None:
    """A result without end is the author's fault, said as such; no bare `RecursionError`."""

    @tool(effect="idempotent")
    async def loop() -> Any:
        """Give something that holds itself."""
        given: list[object] = []
        given.append(given)
        return given

    with pytest.raises(QuorateError):
        await Agent("a", model=by_turn(call("loop"), "done"), tools=[loop]).run("x")


@pytest.mark.parametrize("length", [400, 1010, 5000, 200_000])
async def test_arguments_of_any_depth_go_back(length: int) -> None:
    """Arguments that nest deeper than the decoder can follow are the model's to mend, however short they are."""

    @tool(effect="idempotent")
    async def keep(value: Any) -> str:
        """Keep it."""
        return "kept"

    deep = ToolCall(id="d", name="keep", arguments='{"value":' + "[" * length)
    result = await Agent("a", model=by_turn(deep, "done"), tools=[keep]).run("x")
    assert result.output == "done"


class Answer(Struct):
    """A final answer."""

    text: str


async def test_an_answer_of_any_depth_is_repaired() -> None:
    """A final answer that nests too deep is repaired like any other that does not fit."""
    deep = '{"text":"x","more":' + "[" * 100_000
    agent = Agent("a", model=ScriptedModel([deep, '{"text":"fine"}']), output_type=Answer)
    assert (await agent.run("x")).output == Answer("fine")


# --- Tools that misbehave.


async def test_a_blocking_tool_that_raises_stop_iteration_fails_at_once() -> None:
    """`next()` on nothing in a blocking tool is a crash of the tool, not a wait until its time is over."""

    @tool(effect="idempotent", timeout_s=60)
    def first() -> str:
        """Take the first of nothing."""
        return next(iter([]))

    began = time.monotonic()
    result = await Agent("a", model=by_turn(call("first"), "done"), tools=[first]).run("x")
    failed = next(event for event in result.events if isinstance(event, ToolFailed))
    assert (failed.result.code, time.monotonic() - began < 30) == ("tool_crashed", True)


@pytest.mark.parametrize("blocking", [False, True])
async def test_a_tool_that_exits_does_not_end_the_program(blocking: bool) -> None:
    """`sys.exit()` in a tool, as argument parsers do, fails the call and not the process."""

    @tool(effect="idempotent")
    async def leave() -> str:
        """Exit."""
        sys.exit(2)

    @tool(effect="idempotent", name="leave")
    def leave_blocking() -> str:
        """Exit."""
        sys.exit(2)

    agent = Agent("a", model=by_turn(call("leave"), "done"), tools=[leave_blocking if blocking else leave])
    work = asyncio.ensure_future(agent.run("x"))
    try:
        assert (await work).output == "done"
    except SystemExit:
        pytest.fail("the tool's exit reached the program")


async def test_a_tool_whose_own_work_was_cancelled_fails_alone() -> None:
    """A `CancelledError` that nobody asked for is a fault of the tool: the caller was not cancelled."""

    @tool(effect="idempotent")
    async def confused() -> str:
        """Wait for a task that somebody cancelled."""
        task = asyncio.ensure_future(asyncio.sleep(10))
        task.cancel()
        await task
        return ""

    agent = Agent("a", model=by_turn(call("confused"), "done"), tools=[confused])
    try:
        result = await agent.run("x")
    except asyncio.CancelledError:
        pytest.fail("the caller was told that it was cancelled")
    assert result.output == "done"


async def test_a_tool_that_swallows_the_deadline_leaves_no_trace_in_the_callers_task() -> None:
    """The count of cancellations of the caller's task is as before, so that its own time limits still work."""

    @tool(effect="idempotent")
    async def stubborn() -> str:
        """Ignore a cancellation once."""
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            return "never mind"
        return ""

    agent = Agent("a", model=by_turn(call("stubborn"), "done"), tools=[stubborn])
    task = asyncio.current_task()
    assert task is not None

    async def work() -> int:
        run = agent.open_run("x", options=NAMED)
        asyncio.get_running_loop().call_later(0.02, run.cancel, "enough")
        from quorate.agent.attempt import attempt

        async for _ in attempt(run):
            pass
        here = asyncio.current_task()
        assert here is not None
        return here.cancelling()

    assert await asyncio.create_task(work()) == 0


async def test_a_stop_that_was_swallowed_does_not_break_the_next_run() -> None:
    """After a tool swallowed the stop of one run, the deadline of the next one in the same task is a deadline."""

    @tool(effect="idempotent")
    async def stubborn() -> str:
        """Ignore a cancellation once."""
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            return "never mind"
        return ""

    async def work() -> str:
        scope = Scope(0.01)
        assert await scope.wait(stubborn()) == "never mind"  # type: ignore[arg-type]
        slow = Agent("b", model=ScriptedModel([After(5, "late")]), limits=Limits(seconds=0.02))
        return (await slow.run("x")).status

    task = asyncio.create_task(work())
    await asyncio.wait((task,))
    assert not task.cancelled()
    assert task.result() == "incomplete"


async def test_a_run_inside_a_cancelled_task_meets_its_own_deadline() -> None:
    """A run that cleans up in a task which was cancelled before ends by its own deadline, not as cancelled again."""

    async def work() -> str:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            slow = Agent("b", model=ScriptedModel([After(5, "late")]), limits=Limits(seconds=0.02))
            return (await slow.run("x")).status
        return ""

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task,))
    assert not task.cancelled()
    assert task.result() == "incomplete"


async def test_cancelling_the_caller_is_never_swallowed() -> None:
    """A tool asks its run to stop and works on; the caller is cancelled from outside: that is what the caller sees."""
    entered = asyncio.Event()

    @tool(effect="idempotent")
    async def stop(context: RunContext[None]) -> str:
        """Stop the run."""
        context.cancel("enough")
        entered.set()
        await asyncio.sleep(10)
        return ""

    task = asyncio.create_task(Agent("a", model=by_turn(call("stop"), "done"), tools=[stop]).run("x"))
    await entered.wait()
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()


@pytest.mark.parametrize("live", [False, True])
async def test_a_blocking_tool_can_stop_its_run(live: bool) -> None:
    """`context.cancel` from the thread of a blocking tool stops the run, the calls beside it too."""

    @tool(effect="idempotent")
    def stop(context: RunContext[None]) -> str:
        """Stop the run."""
        context.cancel("enough")
        return "stopped"

    @tool(effect="idempotent", timeout_s=90)
    async def wait() -> str:
        """Wait."""
        await asyncio.sleep(80)
        return "waited"

    log = MemoryLog()
    agent = Agent("a", model=by_turn([call("stop"), call("wait")], "done"), tools=[stop, wait])
    began = time.monotonic()
    await drive(agent, live, log)
    events = await log.read("run-1")
    assert ends(events) == ["run.cancelled"]
    assert time.monotonic() - began < 30


async def test_progress_of_a_blocking_tool_is_shown_at_once() -> None:
    """What a tool in a thread says is shown while it works, not when it ends."""

    @tool(effect="idempotent")
    def work(context: RunContext[None]) -> str:
        """Work."""
        context.emit("half", fraction=0.5)
        was_seen.append(seen.wait(30))
        return "done"

    seen, was_seen = threading.Event(), list[bool]()
    agent = Agent("a", model=by_turn(call("work"), "done"), tools=[work])
    async for item in agent.run_stream("x"):
        if isinstance(item, Progress):
            seen.set()
    assert was_seen == [True]


async def test_a_decorated_coroutine_function_is_awaited() -> None:
    """A wrapper that returns the coroutine of the function inside is a tool like any other."""

    async def inner(name: str) -> str:
        """Look at something."""
        return f"{name} is fine"

    @functools.wraps(inner)
    def wrapper(*args: Any, **kwargs: Any) -> Awaitable[str]:
        return inner(*args, **kwargs)

    result = await Agent("a", model=by_turn(call("inner", name="x"), "done"), tools=[tool(wrapper)]).run("x")
    assert result.output == "done"


async def test_max_concurrency_counts_blocking_calls_that_were_abandoned() -> None:
    """A blocking call whose time is over still works in its thread, so it still counts."""
    began, release = list[int](), threading.Event()

    @tool(effect="idempotent", max_concurrency=1, timeout_s=0.2)
    def slow(place: int) -> str:
        """Work."""
        began.append(place)
        release.wait(60)
        return ""

    try:
        agent = Agent("a", model=by_turn([call("slow", place=1)], [call("slow", place=2)], "done"), tools=[slow])
        assert (await agent.run("x")).output == "done"
        assert 2 not in began
    finally:
        release.set()


async def test_an_error_that_cannot_be_shown_is_still_a_crash_of_the_tool() -> None:
    """An exception whose text cannot be built fails the call, not the run."""

    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError("no words")

    @tool(effect="idempotent")
    async def fail() -> str:
        """Fail."""
        raise Mute

    assert (await Agent("a", model=by_turn(call("fail"), "done"), tools=[fail]).run("x")).output == "done"


async def test_the_rest_of_another_run_inside_a_tool_is_an_error_of_the_tool() -> None:
    """A tool runs an agent of its own that waits for a person: nobody can answer that here, so the call fails."""
    inner = Agent("inner", model=by_turn(call("look", name="x"), "done"), tools=[Approved(Toolbox([look]))])

    @tool(effect="idempotent")
    async def ask() -> str:
        """Ask another agent."""
        return (await inner.run("x")).output

    log = MemoryLog()
    result = await Agent("a", model=by_turn(call("ask"), "done"), tools=[ask]).run("x", log=log, options=NAMED)
    asked = {event.key for event in result.events if isinstance(event, ApprovalRequested)}
    waited = {key for event in result.events if isinstance(event, RunWaiting) for key in event.keys}
    assert waited <= asked, "the run waits for an answer that nobody was asked for"


async def test_a_stop_of_another_run_inside_a_tool_does_not_stop_this_one() -> None:
    """A tool whose inner run was cancelled fails its call; the outer run was not asked to stop."""

    @tool(effect="idempotent")
    async def ask() -> str:
        """Ask another agent, whose run somebody stopped."""
        raise Cancelled("the inner run was cancelled")

    result = await Agent("a", model=by_turn(call("ask"), "done"), tools=[ask]).run("x")
    assert result.status == "completed"


# --- Stops and deadlines reach delegates.


@pytest.mark.parametrize("live", [False, True])
async def test_a_cancel_in_the_log_stops_a_delegate(live: bool) -> None:
    """A stop that the delegate's own commit finds in the log ends it there, not after all its steps."""
    asked: list[int] = []

    def answer(request: Request) -> Any:
        asked.append(len(request.messages))
        return call("look", name=f"x{len(asked)}") if len(asked) < 5 else "done"

    async def meddle(log: Meddled, events: Sequence[AnyEvent]) -> None:
        if has(events, ToolFinished, "1/tool/d/1/tool/call-1-1") and not has(await log.read("run-1"), CancelRequested):
            await ask_to_cancel(log, "run-1")

    child = Agent("child", model=ScriptedModel(answer), tools=[look])
    log = Meddled(meddle)
    agent = Agent("a", model=by_turn(ToolCall(id="d", name="child", arguments='{"task":"t"}'), "ok"), tools=[child])
    await drive(agent, live, log)
    assert ends(await log.read("run-1")) == ["run.cancelled"]
    assert len(asked) == 1


async def test_a_stop_that_a_delegates_tool_swallows_still_ends_the_delegate() -> None:
    """After the tool of a delegate ignored the stop, the delegate takes no further step."""
    asked: list[int] = []

    def answer(request: Request) -> Any:
        asked.append(1)
        return call("stubborn", place=len(asked)) if len(asked) < 4 else "done"

    entered = asyncio.Event()

    @tool(effect="idempotent")
    async def stubborn(place: int) -> str:
        """Ignore a cancellation once."""
        entered.set()
        try:
            await asyncio.sleep(0.2)
        except asyncio.CancelledError:
            return "never mind"
        return ""

    child = Agent("child", model=ScriptedModel(answer), tools=[stubborn])
    agent = Agent("a", model=by_turn(call("child", task="t"), "ok"), tools=[child])
    run = agent.open_run("x", options=NAMED)
    from quorate.agent.attempt import attempt

    async def stop() -> None:
        await entered.wait()
        run.cancel("enough")

    stopping = asyncio.create_task(stop())
    async for _ in attempt(run):
        pass
    await stopping
    assert len(asked) == 1


async def test_no_call_is_started_once_a_live_run_was_stopped() -> None:
    """The stop arrives with the intent of the call: the call is not made, however slow whoever watches is."""
    done: list[str] = []

    @tool(effect="unsafe")
    async def pay() -> str:
        """Pay."""
        done.append("paid")
        return "paid"

    async def meddle(log: Meddled, events: Sequence[AnyEvent]) -> None:
        if has(events, ToolStarted) and not has(await log.read("run-1"), CancelRequested):
            await ask_to_cancel(log, "run-1")

    log = Meddled(meddle)
    async for _ in Agent("a", model=by_turn(call("pay"), "ok"), tools=[pay]).run_stream("x", log=log, options=NAMED):
        await asyncio.sleep(0)
    assert ends(await log.read("run-1")) == ["run.cancelled"]
    assert done == []


async def test_a_child_never_has_more_time_than_its_parent() -> None:
    """The deadline of a run reaches the tools of its delegates."""
    left: list[float] = []

    @tool(effect="idempotent")
    async def note(context: RunContext[None]) -> str:
        """Note the time left."""
        left.append(context.deadline - context.clock.monotonic())
        return "noted"

    child = Agent("child", model=by_turn(call("note"), "done"), tools=[note], limits=Limits(seconds=100))
    agent = Agent("a", model=by_turn(call("child", task="t"), "ok"), tools=[child], limits=Limits(seconds=60))
    assert (await agent.run("x")).output == "ok"
    assert 0 < left[0] <= 60


# --- Resume.


@pytest.mark.parametrize("keep", range(3, 14))
async def test_a_resumed_run_knows_what_its_delegates_used(keep: int) -> None:
    """Tokens and money of a delegate that was done before the crash count after it: a restart does not reset a budget."""
    child = Agent("child", model=by_turn(reply("found", tokens=100, cost_usd=0.5)))
    turns = (reply("", call("child", task="t"), tokens=10, cost_usd=0.25), reply("ok", tokens=1, cost_usd=0.25))
    # A scripted reply's calls need an id of their own.
    turns = (reply("", ToolCall(id="d", name="child", arguments='{"task":"t"}'), tokens=10, cost_usd=0.25), turns[1])
    whole = MemoryLog()
    agent = Agent("a", model=by_turn(*turns), tools=[child])
    faultless = await agent.run("x", log=whole, options=NAMED)
    assert (faultless.usage.total_tokens, faultless.cost_usd) == (111, 1.0)
    kept = (await whole.read("run-1"))[:keep]
    log = MemoryLog()
    await log.append("run-1", kept, expected=0)
    resumed = await agent.resume("run-1", log=log)
    assert (resumed.usage.total_tokens, resumed.cost_usd) == (111, 1.0)


async def test_a_resumed_run_is_bounded_by_what_it_used_before() -> None:
    """A token limit that the delegate had reached before the crash is still reached after it."""
    child = Agent("child", model=by_turn(reply("found", tokens=100)))
    turns = (reply("", ToolCall(id="d", name="child", arguments='{"task":"t"}')), "ok")
    whole = MemoryLog()
    agent = Agent("a", model=by_turn(*turns), tools=[child])
    faultless = await agent.run("x", log=whole, limits=Limits(tokens=50), options=NAMED)
    assert faultless.status == "incomplete"
    log = MemoryLog()
    await log.append("run-1", (await whole.read("run-1"))[:-1], expected=0)
    assert (await agent.resume("run-1", log=log)).status == "incomplete"


async def test_limits_count_the_same_after_a_resume() -> None:
    """Steps, calls and repetitions are counted once, whichever attempt made them."""
    limits = Limits(steps=4, repeated_calls=3, tool_calls=5)
    script = by_turn(*[call("look", name="same")] * 3, "done")
    agent, whole = Agent("a", model=script, tools=[look], limits=limits), MemoryLog()
    assert (await agent.run("x", log=whole, options=NAMED)).status == "completed"
    events = await whole.read("run-1")
    for keep in range(1, len(events)):
        log = MemoryLog()
        await log.append("run-1", events[:keep], expected=0)
        for _ in range(3):  # each resume is cut once more, then finished
            await take_over(log, "run-1")
        assert (await agent.resume("run-1", log=log)).output == "done"
        check_log(await log.read("run-1"))


async def test_approvals_inside_a_parallel_delegate_are_asked_and_resumed() -> None:
    """The keys of a delegate's questions reach the end of the attempt; the answer with other arguments is checked."""
    paid: list[int] = []

    @tool(effect="unsafe")
    async def pay(amount: int) -> str:
        """Pay."""
        paid.append(amount)
        return f"paid {amount}"

    guarded = Approved(Toolbox([pay]), editable=["amount"])
    child = Agent("child", model=by_turn(call("pay", amount=1), "done"), tools=[guarded])
    turn = [
        ToolCall(id="d1", name="child", arguments='{"task":"t"}'),
        ToolCall(id="d2", name="child", arguments='{"task":"u"}'),
    ]
    log = MemoryLog()
    agent = Agent("a", model=by_turn(turn, "ok"), tools=[child])
    result = await agent.run("x", log=log, options=NAMED)
    asked = [event for event in result.events if isinstance(event, ApprovalRequested)]
    last = result.events[-1]
    assert isinstance(last, RunWaiting)
    assert sorted(last.keys) == sorted(event.key for event in asked) != []
    assert len(asked) == 2
    await decide(log, asked[0], arguments='{"amount":"much"}')
    result = await agent.resume("run-1", log=log)
    assert (result.status, paid) == ("waiting", [])
    bad = next(e for e in result.events if isinstance(e, ToolFailed) and e.result.name == "pay")
    assert "not valid" in str(bad.result.content)
    await decide(log, asked[1], arguments='{"amount":2}')
    result = await agent.resume("run-1", log=log)
    assert (result.output, paid) == ("ok", [2])
    check_log(await log.read("run-1"))
    assert (await replay(agent, await log.read("run-1"))).output == "ok"


async def test_a_refused_call_is_not_recorded_as_started() -> None:
    """A call that a person refused never began: the log does not say that it did."""
    agent = Agent("a", model=by_turn(call("look", name="x"), "done"), tools=[Approved(Toolbox([look]))])
    log = MemoryLog()
    result = await agent.run("x", log=log, options=NAMED)
    asked = next(event for event in result.events if isinstance(event, ApprovalRequested))
    await decide(log, asked, approved=False)
    before = len(await log.read("run-1"))
    await agent.resume("run-1", log=log)
    assert not has((await log.read("run-1"))[before:], ToolStarted)


async def test_a_completed_run_that_was_asked_to_stop_too_late_replays() -> None:
    """The stop came behind the last step: the run completed, and its replay does too."""

    async def meddle(log: Meddled, events: Sequence[AnyEvent]) -> None:
        if has(events, RunCompleted) and not has(await log.read("run-1"), CancelRequested):
            await ask_to_cancel(log, "run-1")

    log = Meddled(meddle)
    agent = Agent("a", model=by_turn(call("look", name="x"), "done"), tools=[look])
    assert (await agent.run("x", log=log, options=NAMED)).status == "completed"
    events = await log.read("run-1")
    assert has(events, CancelRequested)
    assert (await replay(agent, events)).output == "done"


async def test_calls_whose_ids_look_like_our_keys_are_told_apart() -> None:
    """A provider may name its calls as it likes: each has its own key and its own result."""
    ids = ["a", "a", "a#2", "", "", "#2", "b/1/model", "b/approval"]
    turn = [ToolCall(id=one, name="look", arguments=f'{{"name":"n{place}"}}') for place, one in enumerate(ids)]
    log = MemoryLog()
    agent = Agent("a", model=by_turn(turn, "done"), tools=[look])
    result = await agent.run("x", log=log, options=NAMED)
    keys = [event.key for event in result.events if isinstance(event, ToolStarted)]
    assert len(set(keys)) == len(ids)
    events = await log.read("run-1")
    kept = MemoryLog()
    await kept.append("run-1", events[: len(events) - 3], expected=0)
    resumed = await agent.resume("run-1", log=kept)
    given = [part.content for part in resumed.messages[2].parts]  # type: ignore[union-attr]
    assert given == [f"n{place} is fine" for place in range(len(ids))]


async def test_a_log_that_lost_its_tail_is_not_asked_for_ever() -> None:
    """The store was put back to an older state under a running attempt: that is an error, not an endless loop."""

    async def lose(log: Meddled, events: Sequence[AnyEvent]) -> None:
        if has(events, ToolFinished):
            log._runs["run-1"].pop()  # what a restored backup looks like

    log = Meddled(lose)
    agent = Agent("a", model=by_turn(call("look", name="x"), "done"), tools=[look])
    count = 0

    async def append(*args: Any, **kwargs: Any) -> None:
        nonlocal count
        count += 1
        await asyncio.sleep(0)
        await Meddled.append(log, *args, **kwargs)

    class Counting:
        read, last, list_runs = log.read, log.last, log.list_runs

        async def append(self, *args: Any, **kwargs: Any) -> None:
            await append(*args, **kwargs)

    with pytest.raises(QuorateError):
        async with asyncio.timeout(30):
            await agent.run("x", log=Counting(), options=NAMED)
    assert count < 20


@pytest.mark.parametrize("at", range(1, 9))
@pytest.mark.parametrize("landed", [False, True])
async def test_cancelled_while_recording_at_every_append(at: int, landed: bool) -> None:
    """Cancelled while an append is under way that lands or does not: the run rests and can be resumed to the same end."""
    count = 0
    blocked = asyncio.Event()

    async def meddle(log: Meddled, events: Sequence[AnyEvent]) -> None:
        nonlocal count
        count += 1
        if count == at:
            if landed:
                await MemoryLog.append(log, "run-1", events, expected=events[0].seq - 1)
            blocked.set()
            await asyncio.sleep(10)

    child = Agent("child", model=by_turn(call("look", name="y"), "done"), tools=[look])
    log = Meddled(meddle)
    turn = [ToolCall(id="d", name="child", arguments='{"task":"t"}'), call("look", name="x")]
    agent = Agent("a", model=by_turn(turn, "ok"), tools=[child, look])
    task = asyncio.create_task(agent.run("x", log=log, options=NAMED))
    await asyncio.wait((task, waiting := asyncio.ensure_future(blocked.wait())), return_when="FIRST_COMPLETED")
    waiting.cancel()
    task.cancel()
    await asyncio.wait((task,))
    events = await log.read("run-1")
    check_log(events)
    if not ends(events):
        assert (await agent.resume("run-1", log=log)).output == "ok"
    events = await log.read("run-1")
    check_log(events)
    assert ends(events) == ["run.completed"]
    keys = [event.key for event in events if isinstance(event, (ToolFinished, ModelReplied))]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("leave_at", range(1, 16))
@pytest.mark.parametrize("how", ["close", "cancel", "abandon"])
async def test_a_stream_can_be_left_at_every_item(leave_at: int, how: str) -> None:
    """Closed, cancelled or dropped at any item, nothing is left behind and the run can be resumed."""
    child = Agent("child", model=by_turn(call("look", name="y"), "done"), tools=[look])
    log = MemoryLog()
    turn = [ToolCall(id="d", name="child", arguments='{"task":"t"}'), call("look", name="x")]
    agent = Agent("a", model=by_turn(turn, "ok"), tools=[child, look])
    before = asyncio.all_tasks()

    async def watch() -> None:
        stream = agent.run_stream("x", log=log, options=NAMED)
        seen = 0
        async for _ in stream:
            seen += 1
            if seen == leave_at:
                if how == "close":
                    await cast("Any", stream).aclose()
                elif how == "cancel":
                    here = asyncio.current_task()
                    assert here is not None
                    here.cancel()
                    await asyncio.sleep(0)
                return

    task = asyncio.create_task(watch())
    await asyncio.wait((task,))
    for _ in range(20):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    events = await log.read("run-1")
    check_log(events)
    if events and not ends(events):
        assert (await agent.resume("run-1", log=log)).output == "ok"


async def test_a_run_stopped_between_two_pieces_of_text_leaves_no_coroutine() -> None:
    """The stop comes while whoever watches holds a piece: the next one is not asked for."""
    agent = Agent("a", model=ScriptedModel(["a long answer in many pieces"]))
    run = agent.open_run("x", options=NAMED, live=True)
    from quorate.agent.attempt import attempt

    async for item in attempt(run):
        if isinstance(item, TextDelta):
            run.cancel("enough")
    assert ends(run.journal.events) == ["run.cancelled"]


async def test_a_caller_can_leave_while_the_store_hangs() -> None:
    """A time limit of the caller's around a run holds, even when the store answers nothing any more."""

    async def hang(log: Meddled, events: Sequence[AnyEvent]) -> None:
        if has(events, ToolFinished) or has(events, RunWaiting):
            await asyncio.Event().wait()

    agent = Agent("a", model=by_turn(call("look", name="x"), "done"), tools=[look])

    async def work() -> None:
        async with asyncio.timeout(0.1):
            await agent.run("x", log=Meddled(hang), options=NAMED)

    task = asyncio.create_task(work())
    _, pending = await asyncio.wait((task,), timeout=60)
    task.cancel()
    await asyncio.wait((task,))
    assert not pending


async def test_cancelling_a_fenced_attempt_is_a_cancellation() -> None:
    """The caller is cancelled after another attempt took over: it sees its own cancellation."""
    entered = asyncio.Event()

    @tool(effect="idempotent")
    async def hang() -> str:
        """Hang."""
        entered.set()
        await asyncio.Event().wait()
        return ""

    log = MemoryLog()
    task = asyncio.create_task(
        Agent("a", model=by_turn(call("hang"), "done"), tools=[hang]).run("x", log=log, options=NAMED)
    )
    await entered.wait()
    await take_over(log, "run-1")
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()


# --- Listeners.


@pytest.mark.parametrize("kind", [ToolFinished, RunCompleted, ModelReplied])
@pytest.mark.parametrize("parallel", [False, True])
async def test_a_listener_that_raises_vetoes_nothing(kind: type, parallel: bool) -> None:
    """A listener is told of events; what it raises changes neither the run nor what other listeners are told."""
    told: list[str] = []

    def broken(event: AnyEvent) -> None:
        if isinstance(event, kind):
            raise RuntimeError("a listener's fault")

    turn = [call("look", name="x"), call("look", name="y")] if parallel else [call("look", name="x")]
    agent = Agent("a", model=by_turn(turn, "done"), tools=[look])
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    options = RunOptions(listeners=(broken, lambda event: told.append(get_kind(event))), run_id="run-1")
    result = await agent.run("x", log=MemoryLog(), options=options)
    assert result.output == "done"
    assert told == kinds(result.events)


# --- The runtime.


async def test_a_handle_released_before_it_began_can_be_waited_for() -> None:
    """Released at once, a run rests, and whoever waits for it is told so."""
    async with open_test_runtime(MemoryLog()) as runtime:
        handle = await runtime.submit("x", agent=Agent("a", model=by_turn("done")))
        handle.release()
        async with asyncio.timeout(30):
            await handle.wait()


async def test_following_from_the_end_of_an_ended_run_ends() -> None:
    """Who has seen the last event of an ended run and follows from there is told that there is nothing more."""
    log = MemoryLog()
    await Agent("a", model=by_turn("done")).run("x", log=log, options=NAMED)
    async with open_test_runtime(log) as runtime, asyncio.timeout(30):
        assert [event async for event in runtime.follow("run-1", after=await log.last("run-1"))] == []


async def test_a_run_taken_over_in_this_process_can_be_stopped() -> None:
    """The old attempt's end does not make the runtime forget the new one, so that it can be cut inside a wait."""
    entered = asyncio.Queue[int]()
    gates = [asyncio.Event(), asyncio.Event()]
    count = iter(range(2))

    @tool(effect="idempotent")
    async def hang() -> str:
        """Hang."""
        place = next(count)
        entered.put_nowait(place)
        await gates[place].wait()
        return "done"

    agent = cast("Any", Agent("a", model=by_turn(call("hang"), "done"), tools=[hang]))
    async with open_test_runtime(MemoryLog()) as runtime:
        old = await runtime.submit("x", agent=agent)
        await entered.get()
        new = await runtime.resume(old.id, agent=agent)
        await entered.get()
        gates[0].set()
        with pytest.raises(Fenced):
            await old.wait()
        await asyncio.sleep(0)
        await runtime.cancel(old.id)
        try:
            async with asyncio.timeout(30):
                assert (await new.wait()).status == "cancelled"
        finally:
            gates[1].set()


async def test_a_run_that_was_answered_and_not_resumed_can_be_cancelled() -> None:
    """A resting run is ended by `cancel`, also when an answer was given to it meanwhile."""
    log = MemoryLog()
    agent = cast("Any", Agent("a", model=by_turn(call("look", name="x"), "done"), tools=[Approved(Toolbox([look]))]))
    result = await agent.run("x", log=log, options=NAMED)
    await decide(log, next(event for event in result.events if isinstance(event, ApprovalRequested)))
    async with open_test_runtime(log) as runtime:
        runtime.find_agent = lambda name, model: agent
        await runtime.cancel("run-1")
    assert ends(await log.read("run-1")) == ["run.cancelled"]


async def test_a_resting_run_of_an_agent_without_a_catalog_can_be_cancelled() -> None:
    """Cancelling a run that rests needs no agent: nothing of it is to be done any more."""
    log = MemoryLog()
    agent = Agent("a", model=by_turn(call("look", name="x"), "done"), tools=[Approved(Toolbox([look]))])
    await agent.run("x", log=log, options=NAMED)

    def refuse(name: str, model: str | None) -> Any:
        raise QuorateError(f"There is no agent {name!r}.")

    async with open_test_runtime(log) as runtime:
        runtime.find_agent = refuse
        await runtime.cancel("run-1")
    assert ends(await log.read("run-1")) == ["run.cancelled"]


async def test_looking_at_an_ended_run_gives_its_words() -> None:
    """An incomplete run that is looked at later says what it said when it ended."""
    log = MemoryLog()
    agent = Agent("a", model=by_turn(reply("half an answer", call("look", name="x")), "done"), tools=[look])
    first = await agent.run("x", log=log, limits=Limits(steps=1), options=NAMED)
    later = await agent.resume("run-1", log=log)
    assert (later.status, later.text) == (first.status, first.text) == ("incomplete", "half an answer")


# --- Conversations that a provider accepts.


@pytest.mark.parametrize("mends", [False, True])
async def test_every_call_of_a_conversation_has_its_result(mends: bool) -> None:
    """A final answer by tool call, alone or beside other calls, leaves no call without a result: providers refuse that."""
    final = ToolCall(id="f", name="final_result", arguments='{"text":"fine"}')
    wrong = ToolCall(id="w", name="final_result", arguments='{"text":7}')
    beside = ToolCall(id="l", name="look", arguments='{"name":"x"}')
    profile = ModelProfile(name="m", native_output=False)
    script: list[Any] = [[wrong, beside], final] if mends else [[final, beside]]
    agent = Agent("a", model=ScriptedModel(script, profile=profile), tools=[look], output_type=Answer)
    result = await agent.run("x")
    assert result.output == Answer("fine")
    calls = {one.id for message in result.messages for one in message.tool_calls}
    given = {part.call_id for m in result.messages for part in m.parts if isinstance(part, ToolResult)}
    assert calls - given == set()


async def test_a_planner_can_answer_through_the_final_tool() -> None:
    """With a model that gives its answer by a tool call, the last request after a plan lets it make that call."""
    plan = '{"steps":[{"id":"one","tool":"look","arguments":{"name":"x"}}]}'

    def answer(request: Request) -> Any:
        if request.output is not None:
            return plan
        assert "final_result" not in str(request.messages[-1]), "the plan is offered the final tool as a step"
        if request.settings.tool_choice == "none":
            return "I may call nothing."
        return ToolCall(id="f", name="final_result", arguments='{"text":"fine"}')

    profile = ModelProfile(name="m", native_output=False)
    agent = Agent("a", model=PlannerModel(ScriptedModel(answer, profile=profile)), tools=[look], output_type=Answer)
    assert (await agent.run("x")).output == Answer("fine")


# --- An agent's life.


async def test_resources_that_fail_to_close_in_a_recovery_can_still_be_stopped() -> None:
    """The recovery after a crash fails because a resource does not close: the block's own error is what is raised."""
    opened: list[str] = []

    class Resource:
        def specs(self) -> Sequence[ToolSpec]:
            return ()

        async def call(self, call: ToolCall, context: RunContext[object]) -> ToolResult:
            raise AssertionError

        async def __aenter__(self) -> None:
            opened.append("open")

        async def __aexit__(self, *_: object) -> None:
            opened.append("close")
            if opened.count("close") == 1:
                raise OSError("stuck")

    class Broken:
        profile = ModelProfile(name="m")

        async def complete(self, request: Request) -> Reply:
            raise RuntimeError("boom")

        def stream(self, request: Request) -> AsyncIterator[StreamItem]:
            raise RuntimeError("boom")

    states: list[str] = []
    agent = Agent("a", model=Broken(), tools=[Resource()])
    with pytest.raises((OSError, RuntimeError)):
        async with open_agent(agent, hooks=[lambda _, after: states.append(after)]) as live:
            await live.run("x")
    assert states[-1] == "stopped"


# --- Many and large.


async def test_a_stopped_run_is_let_go_of() -> None:
    """What a stopped run held is free once its result is dropped: a process that stops many runs does not grow."""

    @tool(effect="idempotent")
    async def stop(context: RunContext[None]) -> str:
        """Have the run stopped from outside while this waits."""
        asyncio.get_running_loop().call_soon(context.cancel)
        await asyncio.sleep(5)
        return ""

    def count() -> int:
        gc.collect()
        return sum(isinstance(one, Scope) for one in gc.get_objects())

    agent = Agent("a", model=by_turn(call("stop"), "done"), tools=[stop])
    assert (await agent.run("x")).status == "cancelled"
    before = count()
    for _ in range(20):
        await agent.run("x")
    assert count() - before < 5


async def test_thousands_of_parallel_calls() -> None:
    """Three thousand calls in one turn are made, recorded in order of their results, and resumed."""
    turn = [ToolCall(id=f"c{place}", name="look", arguments=f'{{"name":"n{place}"}}') for place in range(3000)]
    agent = Agent("a", model=by_turn(turn, "done"), tools=[look], limits=Limits(tool_calls=5000))
    log = MemoryLog()
    began = time.process_time()
    result = await agent.run("x", log=log, options=NAMED)
    assert result.output == "done"
    check_log(await log.read("run-1"))
    assert time.process_time() - began < 30


async def test_a_time_box_around_a_delegate_cuts_it_cleanly() -> None:
    """A delegate that is cut by a time box leaves no task and no timer, and its caller is told."""
    child = Agent("child", model=ScriptedModel([After(5, "late")]))
    agent = Agent("a", model=by_turn(call("child", task="t"), "ok"), tools=[TimeBoxed(child.as_tool(), 0.02)])
    before = asyncio.all_tasks()
    result = await agent.run("x")
    assert result.output == "ok"
    assert asyncio.all_tasks() == before


_ = (RunStarted, RunFailed, DeadlineExceeded, Message, Scope)
