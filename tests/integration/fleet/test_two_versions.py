"""Do two versions of an agent that share a database go on with each other's runs, or say what is incompatible?"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from tests.unit.agent.waiting import by_turn

from quorate import Agent, Runtime, Settings, tool
from quorate.assembly import open_runtime, open_store
from quorate.events import ENDINGS, RunWaiting, ToolFinished
from quorate.models.scripted import call
from quorate.runtime.worker import Worker
from quorate.tools.define import AnyTool


class Work:
    """Calls that were made, and a gate before the second one."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.entered = asyncio.Event()
        self.may_end = asyncio.Event()

    def fetch(self, name: str = "fetch", *, held: str = "b") -> AnyTool:
        """Build the tool under a name; it stays in the call for one page."""

        @tool(name=name, effect="idempotent")
        async def fetch(page: str) -> str:
            """Fetch a page."""
            self.made.append(page)
            if page == held:
                self.entered.set()
                await self.may_end.wait()
            return f"content of {page}"

        return fetch


OLD_TURNS = (call("fetch", page="a"), call("fetch", page="b"), "done")


@asynccontextmanager
async def worker(database: str, agents: Sequence[Agent[None, object]]) -> AsyncIterator[tuple[Runtime, Worker]]:
    """Open the database as one process of a fleet does, and work."""
    async with (
        open_store(Settings(database=database)) as store,
        open_runtime(Settings(), store=store, agents=agents) as runtime,
    ):
        one = Worker(runtime, poll_s=0.01)
        async with asyncio.TaskGroup() as group:
            group.create_task(one.run())
            try:
                yield runtime, one
            finally:
                one.stop()


async def leave_in_the_second_call(database: str, work: Work, **options: object) -> str:
    """Let the old version begin a run and be stopped in its second call; return the run."""
    old = Agent("clerk", model=by_turn(*OLD_TURNS), tools=[work.fetch()], **options)  # type: ignore[arg-type]
    async with worker(database, [old]) as (runtime, _):
        run = (await runtime.submit("x", agent="clerk", start=False)).id
        await work.entered.wait()
    return run


async def read_rest(runtime: Runtime, run: str) -> object:
    """Wait until a run has ended or is put aside; return its last event."""
    deadline = time.monotonic() + 60
    while True:
        events = await runtime.log.read(run)
        last = events[-1]
        if isinstance(last, ENDINGS) or (isinstance(last, RunWaiting) and last.reason == "parked"):
            return last
        assert time.monotonic() < deadline, f"{run} stands still: {events[-4:]}"
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("tools", ["renamed", "removed"])
async def test_a_tool_that_the_new_version_has_not(database: str, tools: str) -> None:
    """The new version puts the run aside and says which tool is missing; the old one beside it goes on and ends it."""
    work = Work()
    run = await leave_in_the_second_call(database, work)
    work.may_end.set()
    mine = [work.fetch("get_page")] if tools == "renamed" else []
    new = Agent("clerk", model=by_turn("all done", "all done", "all done"), tools=mine)
    async with worker(database, [new]) as (runtime, _):
        last = await read_rest(runtime, run)
        fresh = (await runtime.submit("y", agent="clerk", start=False)).id
        assert (await read_rest(runtime, fresh)).output == "all done"  # type: ignore[attr-defined]
    assert isinstance(last, RunWaiting)
    assert "'fetch'" in last.note
    old = Agent("clerk", model=by_turn(*OLD_TURNS), tools=[work.fetch()])
    async with worker(database, [old]) as (runtime, _):
        result = await (await runtime.resume(run)).wait()
        assert result.output == "done"
        events = await runtime.log.read(run)
    assert work.made == ["a", "b", "b"], "a recorded call was made again"
    assert sum(isinstance(event, ToolFinished) for event in events) == 2


async def test_a_step_that_the_new_version_makes_before(database: str) -> None:
    """A step inserted before the one that was under way: what is recorded stays, what is new is made, and it ends."""
    work = Work()
    run = await leave_in_the_second_call(database, work)
    work.may_end.set()
    turns = (call("fetch", page="a"), call("fetch", page="between"), call("fetch", page="c"), "done anew")
    new = Agent("clerk", model=by_turn(*turns), tools=[work.fetch()])
    async with worker(database, [new]) as (runtime, _):
        last = await read_rest(runtime, run)
    assert last.output == "done anew"  # type: ignore[attr-defined]
    # The call that was under way was recorded as asked for, so it is made; only then the new version decides.
    assert work.made == ["a", "b", "b", "c"]


@dataclass
class Old:
    name: str


@dataclass
class New:
    name: str
    size: int


async def test_an_answer_of_another_type_is_never_converted(database: str) -> None:
    """The version that takes a run over has another type of answer: it gives its own, and what the old one ended is
    told as incompatible."""
    work = Work()
    work.may_end.set()
    turns = (call("fetch", page="a"), '{"name": "parcel"}')
    old = Agent("clerk", model=by_turn(*turns), tools=[work.fetch(held="")], output_type=Old)
    async with worker(database, [old]) as (runtime, _):
        ended = (await runtime.submit("x", agent="clerk", start=False)).id
        await read_rest(runtime, ended)
    new = Agent("clerk", model=by_turn(*turns), tools=[work.fetch(held="")], output_type=New)
    async with worker(database, [new]) as (runtime, _):
        before = await runtime.log.read(ended)
        with pytest.raises(Exception, match="does not fit the output type") as told:
            await (await runtime.attach(ended)).wait()
        assert type(told.value).__name__ == "Incompatible"
        assert await runtime.log.read(ended) == before


async def test_two_versions_work_side_by_side(database: str) -> None:
    """Thirty runs, workers of two versions that differ in their words and in a step, all the time: each run ends once,
    and no recorded call is made again."""
    work = Work()
    work.may_end.set()
    old = Agent("clerk", model=by_turn(*OLD_TURNS), tools=[work.fetch()])
    more = (call("fetch", page="a"), call("fetch", page="b"), call("fetch", page="c"), "done anew")
    new = Agent("clerk", model=by_turn(*more), tools=[work.fetch()])
    async with worker(database, [old]) as (one, first), worker(database, [new]) as (two, _):
        runs = [(await (one, two)[n % 2].submit(f"{n}", agent="clerk", start=False)).id for n in range(30)]
        first.stop()  # what it has under way is handed over to the other version
        ends = [await read_rest(two, run) for run in runs]
        logs = await two.log.read_many(runs)
    assert {end.output for end in ends} <= {"done", "done anew"}  # type: ignore[attr-defined]
    for events in logs.values():
        assert sum(isinstance(event, ENDINGS) for event in events) == 1
        keys = [event.key for event in events if isinstance(event, ToolFinished)]
        assert len(keys) == len(set(keys)) <= 3
