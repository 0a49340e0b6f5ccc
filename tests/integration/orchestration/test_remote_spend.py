"""Does what a remote agent uses count for the run that asked it, and does what is left there bound it?"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec import structs
from tests.integration.orchestration.conftest import OpenBus

from quorate import Agent, Limits, Runtime, ScriptedModel, Settings, tool
from quorate.agent.agent import AnyAgent
from quorate.agent.errand import build_task_rules
from quorate.agent.remote import RemoteAgent
from quorate.agent.replay import replay_exactly
from quorate.agent.run import RunOptions
from quorate.assembly import open_runtime
from quorate.events import (
    AnyEvent,
    HandoffDone,
    HandoffRequested,
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunIncomplete,
    TaskDelegated,
    TaskFinished,
    ToolFailed,
    get_kind,
)
from quorate.messages import Message, Reply, Text, ToolCall, Usage
from quorate.models.scripted import After, call
from quorate.ports import Store
from quorate.ports.bus import Bus
from quorate.runtime import RunHandle
from quorate.runtime.serving import serve_agents
from quorate.state.backends.memory import open_memory_store

RULES = build_task_rules(["net"], tenant="acme", ack_wait_s=5.0)
CHEAP, DEAR = Usage(input_tokens=8, output_tokens=2, requests=1), Usage(input_tokens=60, output_tokens=40, requests=1)


def say(answer: str | Sequence[ToolCall], *, usage: Usage = CHEAP, cost_usd: float | None = 0.01) -> Reply:
    if isinstance(answer, str):
        parts: tuple[Text | ToolCall, ...] = (Text(text=answer),)
    else:
        named = enumerate(answer, 1)
        parts = tuple(ToolCall(id=f"c{place}", name=one.name, arguments=one.arguments) for place, one in named)
    stop = "end" if isinstance(answer, str) else "tool_calls"
    return Reply(message=Message(role="assistant", parts=parts), usage=usage, cost_usd=cost_usd, stop=stop)


def dear(answer: str | Sequence[ToolCall]) -> Reply:
    return say(answer, usage=DEAR, cost_usd=0.25)


@pytest.fixture
async def bus(open_bus: OpenBus) -> AsyncGenerator[Bus]:
    async with open_bus(RULES) as opened:
        yield opened


@asynccontextmanager
async def serving(
    bus: Bus, store: Store, script: Sequence[object], *, tools: Sequence[object] = ()
) -> AsyncGenerator[Runtime]:
    agent = Agent("net", model=ScriptedModel(script), tools=tools)  # type: ignore[arg-type]
    async with open_runtime(Settings(database=":memory:"), agents=[agent], store=store) as opened:
        runtime = opened.for_tenant("acme")
        async with asyncio.TaskGroup() as group:
            task = group.create_task(serve_agents(runtime, bus, agents=["net"], ack_wait_s=5.0))
            yield runtime
            task.cancel()


def build_lead(bus: Bus, *, calls: int = 1, limits: Limits | None = None) -> AnyAgent:
    script = [say([call("net", task=f"look {number}") for number in range(calls)]), say("it is open")]
    remote = RemoteAgent("net", bus=bus, tenant="acme", patience_s=60)
    return Agent("lead", model=ScriptedModel(script), tools=[remote], limits=limits or Limits())


def find(events: Sequence[AnyEvent], kind: type[AnyEvent]) -> list[AnyEvent]:
    return [event for event in events if isinstance(event, kind)]


async def test_what_a_remote_run_uses_counts_for_its_caller(bus: Bus, store: Store) -> None:
    """Its log names the task and its run, has its cost once, and plays again to the very same end."""
    async with serving(bus, store, [dear("port 80 is open")]) as runtime:
        lead = build_lead(bus)
        result = await lead.run("find out")
        ran = (await runtime.list_runs())[0]
    assert result.cost_usd == pytest.approx(0.27)
    assert (result.usage.total_tokens, result.usage.requests, result.usage.tool_calls) == (120, 3, 1)
    told = [event for event in result.events if isinstance(event, (TaskDelegated, TaskFinished))]
    assert [get_kind(event) for event in told] == ["task.delegated", "task.finished"]
    assert {(event.agent, event.task_run) for event in told} == {("net", ran.run)}
    assert isinstance(told[1], TaskFinished)
    assert (told[1].status, told[1].usage, told[1].cost_usd) == ("completed", DEAR, 0.25)
    played = await replay_exactly(lead, result.events)
    assert played.is_identical, played.divergence
    assert played.result is not None
    assert (played.result.usage, played.result.cost_usd) == (result.usage, result.cost_usd)


async def test_a_price_that_nobody_knows_is_not_taken_for_nothing(bus: Bus, store: Store) -> None:
    """The caller's cost is not known either."""
    async with serving(bus, store, [say("open", cost_usd=None)]):
        result = await build_lead(bus).run("find out")
    assert (result.output, result.cost_usd) == ("it is open", None)


@pytest.mark.parametrize(
    ("limits", "name", "left"), [(Limits(cost_usd=0.2), "cost_usd", 0.19), (Limits(tokens=100), "tokens", 90)]
)
async def test_the_callers_limits_hold_across(bus: Bus, store: Store, limits: Limits, name: str, left: float) -> None:
    """What is left travels with the task, and what it used ends the caller, in money as in tokens."""
    async with serving(bus, store, [dear("port 80 is open")]) as runtime:
        result = await build_lead(bus, limits=limits).run("find out")
        ran = (await runtime.list_runs())[0]
        created = (await runtime.log.read(ran.run))[0]
    assert isinstance(created, RunCreated)
    assert getattr(created.limits, name) == pytest.approx(left)
    end = result.events[-1]
    assert isinstance(end, RunIncomplete)
    assert (end.limit, result.usage.total_tokens) == (name, 110)
    assert end.cost_usd == pytest.approx(0.26)


async def test_nothing_is_delegated_once_a_limit_is_met(bus: Bus, store: Store) -> None:
    """A reply may go over the limit and want to delegate: nobody is asked."""
    async with serving(bus, store, []) as runtime:
        result = await build_lead(bus, limits=Limits(tokens=10)).run("find out")
        assert await runtime.list_runs() == []
    failed = find(result.events, ToolFailed)[0]
    assert isinstance(failed, ToolFailed)
    assert "nothing is left to delegate with: The run used 10 tokens; its limit is 10." in str(failed.result.content)


async def test_tasks_side_by_side_share_what_is_left(bus: Bus, store: Store) -> None:
    """Each alone is within the limit; together they are not, so neither is asked again, and both are counted."""
    handles: list[RunHandle] = []

    @tool(effect="idempotent")
    async def look() -> str:
        """Wait until the caller has heard what both have cost."""
        while (handles[0].run is None) or (handles[0].run.budget.count_all()[0] or 0.0) < 0.5:
            await asyncio.sleep(0.005)
        return "open"

    script = [dear([call("look")]), dear([call("look")]), After(90, "never"), After(90, "never")]
    async with (
        serving(bus, store, script, tools=[look]) as runtime,
        open_runtime(Settings(database=":memory:"), store=store) as above,
    ):
        lead = build_lead(bus, calls=2, limits=Limits(cost_usd=0.3))
        handles.append(await above.submit("find out", agent=lead))
        async with asyncio.timeout(45):
            result = await handles[0].wait()
            while len(await runtime.list_runs(status="cancelled")) < 2:
                await asyncio.sleep(0.005)
    end = result.events[-1]
    assert isinstance(end, RunIncomplete)
    assert end.cost_usd == pytest.approx(0.51)
    words = [str(event.result.content) for event in find(result.events, ToolFailed)]  # type: ignore[union-attr]
    assert len(words) == 2
    assert all("the agent was stopped: The run cost $0.5100; its limit is $0.3." in text for text in words)


async def test_a_caller_that_is_stopped_keeps_what_it_heard_of(bus: Bus, store: Store) -> None:
    """Money that was spent stays spent."""

    @tool(effect="idempotent")
    async def probe() -> str:
        """Try to connect."""
        return "open"

    async with (
        serving(bus, store, [dear([call("probe")]), After(90, "never")], tools=[probe]) as runtime,
        open_runtime(Settings(database=":memory:"), store=store) as above,
    ):
        lead = build_lead(bus)
        handle = await above.submit("find out", agent=lead)
        async with asyncio.timeout(45):
            while not any(run.status == "running" and run.events >= 7 for run in await runtime.list_runs()):
                await asyncio.sleep(0.005)
            async for event in handle.events():
                if isinstance(event, TaskDelegated):
                    break
        await asyncio.sleep(0)
        async with asyncio.timeout(45):
            while handle.run is None or not handle.run.budget.elsewhere or handle.run.budget.count_all()[1] < 110:
                await asyncio.sleep(0.005)
        handle.cancel("enough")
        async with asyncio.timeout(45):
            await handle.wait()
        events = await above.log.read(handle.id)
    assert isinstance(events[-1], RunCancelled)
    assert events[-1].cost_usd == pytest.approx(0.26)
    finished = find(events, TaskFinished)
    assert [event.status for event in finished] == ["cancelled"]  # type: ignore[union-attr]
    played = await replay_exactly(build_lead(bus), events)
    assert played.is_identical, played.divergence


async def test_a_caller_that_dies_counts_it_once(bus: Bus, store: Store) -> None:
    """Wherever its log was cut: the task is found again, and what it used is recorded and counted once."""
    async with serving(bus, store, [dear("port 80 is open")]) as runtime:
        async with open_memory_store() as mine:
            first = await build_lead(bus).run("find out", options=RunOptions(log=mine.log))
        places = [
            place
            for place, event in enumerate(first.events, 1)
            if isinstance(event, (TaskDelegated, TaskFinished)) or get_kind(event) == "tool.started"
        ]
        assert len(places) == 3
        for place in places:
            async with open_memory_store() as other:
                await other.log.append(first.run_id, first.events[:place], expected=0)
                lead = build_lead(bus)
                lead.model = ScriptedModel([say("it is open")])
                again = await lead.resume(first.run_id, log=other.log)
                events = await other.log.read(first.run_id)
            assert (again.output, again.cost_usd) == ("it is open", pytest.approx(0.27))
            assert len(find(events, TaskFinished)) == len(find(events, TaskDelegated)) == 1
            assert isinstance(events[-1], RunCompleted)
            assert events[-1].cost_usd == pytest.approx(0.27)
        assert len(await runtime.list_runs()) == 1


async def test_a_caller_that_dies_at_its_limit_still_has_the_answer(bus: Bus, store: Store) -> None:
    """What was delegated before is waited for, though nothing is left for another task."""
    limits = Limits(tokens=100)
    async with serving(bus, store, [dear([call("probe")]), dear("port 80 is open")], tools=[probe]):
        async with open_memory_store() as mine:
            first = await build_lead(bus).run("find out", options=RunOptions(log=mine.log, limits=limits))
        cut = next(place for place, event in enumerate(first.events, 1) if isinstance(event, TaskFinished))
        async with open_memory_store() as other:
            await other.log.append(first.run_id, first.events[:cut], expected=0)
            again = await build_lead(bus).resume(first.run_id, log=other.log, options=RunOptions(limits=limits))
    assert [type(event) for event in again.events[cut + 1 :]] == [type(event) for event in first.events[cut:]]
    assert again.cost_usd == first.cost_usd


@tool(effect="idempotent")
async def probe() -> str:
    """Try to connect."""
    return "open"


async def test_logs_that_call_it_a_handoff_play_again(bus: Bus, store: Store) -> None:
    """Before there were events of its own it was told so, and the cost stood with the other run alone."""
    async with serving(bus, store, [dear("port 80 is open")]):
        lead = build_lead(bus)
        result = await lead.run("find out")
    old: list[AnyEvent] = []
    for event in result.events:
        facts: Any = {"run": event.run, "seq": event.seq, "time": event.time, "key": event.key}
        facts["attempt"] = event.attempt
        if isinstance(event, TaskDelegated):
            event = HandoffRequested(source="lead", target="net", reason=f"run {event.task_run}", **facts)
        elif isinstance(event, TaskFinished):
            event = HandoffDone(source="net", target="lead", **facts)
        elif isinstance(event, RunCompleted):
            usage = structs.replace(CHEAP + CHEAP, tool_calls=1)
            event = structs.replace(event, usage=usage, cost_usd=0.02)
        old.append(event)
    played = await replay_exactly(lead, old)
    assert played.is_identical, played.divergence
