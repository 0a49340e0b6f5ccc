"""Does a replay stop where somebody wants to look, tell how the run stands, and go on?"""

import asyncio

import pytest

from quorate import Agent, InvalidInput, MemoryLog, RunOptions, ScriptedModel, UnknownName, tool
from quorate.agent.replay.fork import Change, fork_run
from quorate.agent.replay.stepping import Breakpoints, Stop, open_replay, open_stepped, read_breakpoints
from quorate.events import AnyEvent, get_kind
from quorate.models.scripted import call
from quorate.ports import Log

done: list[str] = []


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    done.clear()


@tool(effect="idempotent")
async def look(name: str) -> str:
    """Look."""
    done.append(name)
    return f"{name} is fine"


AGENT = Agent(
    "a",
    model=ScriptedModel(
        lambda request: [[call("look", name="a"), call("look", name="b")], call("look", name="c"), "done"][
            sum(message.role == "assistant" for message in request.messages)
        ]
    ),
    tools=[look],
)


async def record() -> tuple[MemoryLog, list[AnyEvent]]:
    log = MemoryLog()
    await AGENT.run("go", log=log, options=RunOptions(run_id="run-1"))
    done.clear()
    return log, await log.read("run-1")


async def collect(events: list[AnyEvent], breakpoints: Breakpoints) -> list[Stop]:
    async with open_replay(AGENT, events, breakpoints=breakpoints) as stepper:
        stops = [stop async for stop in stepper]
        assert (await stepper.finish()).is_identical
    return stops


async def test_a_replay_stops_by_kind_key_place_and_count() -> None:
    """And is the same to the byte in the end. row: E13"""
    _, events = await record()
    kinds = [get_kind(stop.event) for stop in await collect(events, Breakpoints(kinds=("tool.started",)))]
    assert kinds == ["tool.started"] * 3
    assert {get_kind(stop.event) for stop in await collect(events, Breakpoints(kinds=("tool.*",)))} == {
        "tool.started",
        "tool.finished",
    }
    keys = [stop.event.key for stop in await collect(events, Breakpoints(keys=("2/tool/*",)))]
    assert keys == ["2/tool/call-3-1"] * 2
    assert [stop.event.seq for stop in await collect(events, Breakpoints(seqs=(4, 9)))] == [4, 9]
    counted = await collect(events, Breakpoints(every=5))
    assert [stop.reason for stop in counted] == ["5 events", "10 events"]
    assert await collect(events, Breakpoints()) == []
    assert done == []


async def test_a_stop_tells_how_the_run_stands() -> None:
    """The conversation, what was used, and which calls have no result yet."""
    _, events = await record()
    first, second, third = await collect(events, Breakpoints(kinds=("tool.started",)))
    assert (first.turn, first.status, first.usage.requests) == (1, "running", 1)
    assert first.under_way == ("1/tool/call-1-1",)
    assert second.under_way == ("1/tool/call-1-1", "1/tool/call-1-2")
    assert third.under_way == ("2/tool/call-3-1",)
    assert [message.role for message in third.messages][:3] == ["user", "assistant", "tool"]
    assert (third.turn, third.usage.requests, third.reason) == (2, 2, "kind tool.started")


async def test_one_can_go_step_by_step_and_leave() -> None:
    """`step` stops at the very next event; leaving the block in the middle leaves nothing behind."""
    _, events = await record()
    async with open_replay(AGENT, events, breakpoints=Breakpoints(seqs=(5,))) as stepper:
        stop = await stepper.resume()
        seen = []
        while stop is not None and len(seen) < 4:
            seen.append(stop.event.seq)
            stop = await stepper.step()
        assert seen == [5, 6, 7, 8]
        assert (await stepper.finish()).is_identical
        assert await stepper.resume() is None
    async with open_replay(AGENT, events, breakpoints=Breakpoints(seqs=(5,))) as stepper:
        await stepper.resume()
    async with open_replay(AGENT, events):
        pass
    assert len(asyncio.all_tasks()) == 1


async def test_a_live_fork_stops_before_what_follows() -> None:
    """At `tool.started` the tool has not been called; so one can look, and leave it uncalled. row: E13"""
    log, events = await record()
    at = next(event.seq for event in events if event.key == "2/model" and get_kind(event) == "model.requested")
    run = await fork_run(log, "run-1", at=at)

    async def resume(stepped: Log):
        return await AGENT.resume(run, log=stepped)

    async with open_stepped(log, run, resume, breakpoints=Breakpoints(kinds=("tool.started",))) as stepper:
        stop = await stepper.resume()
        assert stop is not None
        assert (stop.event.key, done) == ("2/tool/call-3-1", [])
        assert await stepper.resume() is None
        result = await stepper.finish()
    assert (result.output, done) == ("done", ["c"])
    assert await log.last(run) > at

    run = await fork_run(log, "run-1", at=at)
    done.clear()
    async with open_stepped(log, run, resume, breakpoints=Breakpoints(kinds=("tool.started",))) as stepper:
        await stepper.resume()
    assert done == []
    rested = await log.read(run)
    assert get_kind(rested[-1]) in ("tool.started", "run.waiting")
    assert (await AGENT.resume(run, log=log)).output == "done"


async def test_what_ends_the_run_is_raised_at_the_end() -> None:
    """Not while somebody looks at a stop."""
    log, _ = await record()
    run = await fork_run(log, "run-1", at=4, change=Change(reply="other"))

    async def fail(stepped: Log) -> object:
        await AGENT.resume(run, log=stepped)
        raise RuntimeError("at the end")

    async with open_stepped(log, run, fail, breakpoints=Breakpoints(kinds=("run.completed",))) as stepper:
        assert len([stop async for stop in stepper]) == 1
        with pytest.raises(RuntimeError, match="at the end"):
            await stepper.finish()


def test_breakpoints_are_read_from_words() -> None:
    """A kind, a step, a place, a count; what is none of them is refused with the nearest."""
    read = read_breakpoints(["tool.started", "run.*", "2/tool/*", "17", "every=10"])
    assert read == Breakpoints(kinds=("tool.started", "run.*"), keys=("2/tool/*",), seqs=(17,), every=10)
    with pytest.raises(UnknownName, match=r"Did you mean `tool\.started`"):
        read_breakpoints(["tool.start"])
    with pytest.raises(InvalidInput, match="every=10"):
        read_breakpoints(["every=x"])
