"""Are runs that wait for a person or a time found, answered once and gone on with, whoever looks and whatever dies?"""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec import structs
from tests.forks import Process, fork
from tests.unit.agent.waiting import by_turn

from quorate import Agent, Approved, Runtime, Settings, tool
from quorate.assembly import open_runtime, open_store
from quorate.errors import Conflict, Forbidden, NotFound, QuorateError
from quorate.events import ApprovalDecided, ApprovalRequested, InputGiven, RunWaiting, ToolStarted
from quorate.models.scripted import call
from quorate.ports import Store
from quorate.runtime.questions import OpenQuestion, list_open
from quorate.runtime.worker import Worker
from quorate.state.backends.memory import open_memory_store
from quorate.testing.clock import ManualClock
from quorate.tools.waits import AskPerson, Timers

Open = Callable[[], AbstractAsyncContextManager[Store]]
OWN_TIME = ["memory", "sqlite"]
"""Stores whose time a test can move."""
STORES = [*OWN_TIME, *([] if "WITHOUT_EXTRAS" in os.environ else ["postgres"])]
PROGRAM = Path(__file__).with_name("waiter.py")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=STORES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where runs are kept; nowhere but in memory when empty."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres_dsn")
    return str(tmp_path / "runs.db") if request.param == "sqlite" else ""


@pytest.fixture
async def open_again(place: str, clock: ManualClock) -> AsyncIterator[Open]:
    """Open the same store as another process would; the one in memory is only handed on."""
    if place:
        yield lambda: open_store(Settings(database=place), clock=clock)
        return
    async with open_memory_store(clock=clock) as kept:

        @asynccontextmanager
        async def hand_on() -> AsyncIterator[Store]:
            yield kept

        yield hand_on


@asynccontextmanager
async def running(open_again: Open, clock: ManualClock) -> AsyncIterator[Runtime]:
    async with open_again() as store, open_runtime(Settings(), store=store, clock=clock) as runtime:
        yield runtime


def build(done: list[str], *turns: object, **options: Any) -> Any:
    """An agent that pays when it may, asks, and lets time go by."""

    @tool(effect="unsafe")
    async def pay(amount: int) -> str:
        """Pay."""
        done.append(f"pay {amount}")
        return f"paid {amount}"

    guarded = Approved(pay, editable=["amount"], **options)
    return cast("Any", Agent("payer", model=by_turn(*turns, "done"), tools=[guarded, AskPerson(), Timers()]))


async def read(runtime: Runtime, tenant: str | None = None) -> list[OpenQuestion]:
    return await (runtime.for_tenant(tenant) if tenant else runtime).questions()


async def test_an_answer_is_given_in_another_process(open_again: Open, clock: ManualClock) -> None:
    """One process asks, the next one lists and answers, a third one goes on: the edited call happens once. row: B6"""
    done: list[str] = []
    agent = build(done, call("pay", amount=5))
    async with running(open_again, clock) as runtime:
        run = await runtime.submit("pay", agent=agent, principal="pat")
        assert (await run.wait()).status == "waiting"
    async with running(open_again, clock) as runtime:
        (asked,) = await read(runtime)
        assert (asked.run, asked.agent, asked.principal, asked.kind) == (run.id, "payer", "pat", "approval")
        await runtime.decide(run.id, asked.key, approved=True, by="ann", arguments='{"amount": 4}')
        assert await read(runtime) == []
        with pytest.raises(Conflict, match="answered already by 'ann'"):
            await runtime.decide(run.id, asked.key, approved=False, by="bob")
    async with running(open_again, clock) as runtime:
        result = await (await runtime.resume(run.id, agent=agent)).wait()
        assert (result.output, done) == ("done", ["pay 4"])
        decided = next(event for event in result.events if isinstance(event, ApprovalDecided))
        assert (decided.by, decided.time) == ("ann", clock.now())


async def test_of_fifty_answers_at_once_one_counts(open_again: Open, clock: ManualClock) -> None:
    """Yes and no from fifty people, in two processes: one is taken, the others are told whose it was. row: B6"""
    done: list[str] = []
    agent = build(done, [call("pay", amount=5), call("ask", question="Which?")])
    async with running(open_again, clock) as runtime, running(open_again, clock) as other:
        run = await runtime.submit("pay", agent=agent)
        await run.wait()
        keys = {one.kind: one.key for one in await read(runtime)}
        outcomes: list[QuorateError | str] = []

        async def decide(place: int) -> None:
            chosen = (runtime, other)[place % 2]
            try:
                if place < 50:
                    yes = place % 3 > 0
                    await chosen.decide(run.id, keys["approval"], approved=yes, by=f"person-{place}")
                else:
                    await chosen.answer(run.id, keys["input"], text=str(place), by=f"person-{place}")
            except QuorateError as error:
                outcomes.append(error)
            else:
                outcomes.append("approval" if place < 50 else "input")

        async with asyncio.TaskGroup() as group:
            for place in range(100):
                group.create_task(decide(place))
        assert sorted(one for one in outcomes if isinstance(one, str)) == ["approval", "input"]
        refused = [one for one in outcomes if not isinstance(one, str)]
        assert all(isinstance(one, Conflict) and "answered already by 'person-" in one.message for one in refused)
        events = await runtime.log.read(run.id)
        decided = [event for event in events if isinstance(event, ApprovalDecided)]
        assert (len(decided), sum(isinstance(event, InputGiven) for event in events)) == (1, 1)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        result = await (await runtime.resume(run.id, agent=agent)).wait()
        assert (result.output, done) == ("done", ["pay 5"] if decided[0].approved else [])


async def test_an_answer_races_the_run_that_asks(open_again: Open, clock: ManualClock) -> None:
    """Answered at whatever moment, also while the run comes to rest: it is done or wakes by itself, once. row: B6"""
    for delay in range(12):
        done: list[str] = []
        agent = build(done, [call("pay", amount=5), call("ask", question="Which?")])
        async with running(open_again, clock) as runtime:
            run = await runtime.submit("pay", agent=agent)
            answered: list[str] = []

            async def answer(kind: str) -> None:
                while not (keys := await find(runtime, run.id, kind)):
                    await asyncio.sleep(0)
                for _ in range(delay):
                    await asyncio.sleep(0)
                if kind == "approval":
                    await runtime.decide(run.id, keys, approved=True, by="ann")
                else:
                    await runtime.answer(run.id, keys, text="this", by="ann")
                answered.append(kind)

            async with asyncio.TaskGroup() as group:
                group.create_task(answer("approval"))
                group.create_task(answer("input"))
            await run.wait()
            summary = await runtime.show(run.id)
            assert summary.status == "queued" or (summary.wakes or clock.now() + 1) <= clock.now(), (
                "nobody would wake it"
            )
            result = await (await runtime.resume(run.id, agent=agent)).wait()
            assert (result.output, done) == ("done", ["pay 5"])


async def find(runtime: Runtime, run: str, kind: str) -> str:
    return next((one.key for one in list_open(await runtime.log.read(run)) if one.kind == kind), "")


@pytest.mark.parametrize("place", OWN_TIME, indirect=True)
async def test_a_worker_wakes_what_may_go_on(open_again: Open, clock: ManualClock) -> None:
    """A timer that is due, a question that expired and one that was answered are gone on with by any worker."""
    done: list[str] = []
    agent = build(
        done,
        [call("pay", amount=5), call("wait", seconds=600)],
        expires_s=900,
    )
    async with running(open_again, clock) as runtime:
        runtime.find_agent = lambda name, model: agent
        first = await runtime.submit("pay", agent=agent)
        second = await runtime.submit("pay", agent=agent)
        await first.wait()
        await second.wait()
        await work(runtime)
        assert [one.attempts for one in await runtime.list_runs()] == [1, 1], "nothing is due"
        await runtime.decide(first.id, "1/tool/call-1-1/approval", approved=True, by="ann")
        await work(runtime)
        assert (done, (await runtime.show(first.id)).attempts, (await runtime.show(second.id)).attempts) == (
            ["pay 5"],
            2,
            1,
        )
        clock.advance(600)
        await work(runtime)
        assert ((await runtime.show(first.id)).status, (await runtime.show(second.id)).status) == (
            "completed",
            "waiting",
        )
        clock.advance(300)
        await work(runtime)
        events = await runtime.log.read(second.id)
        assert (await runtime.show(second.id)).status == "completed"
        assert done == ["pay 5"]
        assert sum(isinstance(event, RunWaiting) for event in events) == 2


async def work(runtime: Runtime) -> None:
    await Worker(runtime).run(until_idle=True)


async def test_what_others_run_is_absent(open_again: Open, clock: ManualClock) -> None:
    """Another tenant's questions are not listed, and answering one is like answering nothing. row: B6"""
    agent = build([], call("pay", amount=5))
    async with running(open_again, clock) as runtime:
        run = await runtime.for_tenant("acme").submit("pay", agent=agent)
        await run.wait()
        assert await read(runtime) == []
        (asked,) = await read(runtime, "acme")
        with pytest.raises(NotFound) as theirs:
            await runtime.decide(run.id, asked.key, approved=True, by="ann")
        with pytest.raises(NotFound) as nothing:
            await runtime.decide("run-nothing", asked.key, approved=True, by="ann")
        assert theirs.value.message.replace(run.id, "X") == nothing.value.message.replace("run-nothing", "X")


async def test_whoever_asked_may_not_answer(open_again: Open, clock: ManualClock) -> None:
    """The principal of the run is refused, and nothing is recorded. row: B6"""
    done: list[str] = []
    agent = build(done, call("pay", amount=5), by_other=True)
    async with running(open_again, clock) as runtime:
        run = await runtime.submit("pay", agent=agent, principal="pat")
        await run.wait()
        (asked,) = await read(runtime)
        before = await runtime.log.last(run.id)
        with pytest.raises(Forbidden):
            await runtime.decide(run.id, asked.key, approved=True, by="pat")
        assert await runtime.log.last(run.id) == before
        await runtime.decide(run.id, asked.key, approved=True, by="ann")
        assert (await (await runtime.resume(run.id, agent=agent)).wait()).output == "done"


async def test_many_questions_are_listed_in_order(open_again: Open, clock: ManualClock) -> None:
    """Over pages of runs, the oldest first; a limit cuts the list and not the search."""
    agent = build([], call("pay", amount=5))
    async with running(open_again, clock) as runtime:
        ids: list[str] = []
        for _ in range(120):
            run = await runtime.submit("pay", agent=agent)
            await run.wait()
            ids.append(run.id)
            clock.advance(1)
        first = [one.run for one in await read(runtime)]
        assert (len(first), first) == (100, sorted(first, key=ids.index))
        assert [one.run for one in await runtime.questions(limit=500)] == ids
        await runtime.cancel(ids[0])
        assert [one.run for one in await runtime.questions(limit=500)] == ids[1:]


async def test_a_tampered_question_in_the_store_never_executes(open_again: Open, clock: ManualClock) -> None:
    """Somebody who may write to the database shows another call: the answer to it is for nothing. row: B6"""
    done: list[str] = []
    agent = build(done, call("pay", amount=5_000))
    async with running(open_again, clock) as runtime:
        run = await runtime.submit("pay", agent=agent)
        await run.wait()
        events = await runtime.log.read(run.id)
        harmless = structs.replace(events[-2].call, arguments='{"amount":5}')  # type: ignore[union-attr]
        forged = [
            structs.replace(event, call=harmless) if isinstance(event, ApprovalRequested) else event for event in events
        ]
        await runtime.log.delete(run.id)
        other = [structs.replace(event, run="run-forged") for event in forged]
        await runtime.log.append("run-forged", other, expected=0)
        (asked,) = await read(runtime)
        await runtime.decide("run-forged", asked.key, approved=True, by="ann")
        result = await (await runtime.resume("run-forged", agent=agent)).wait()
        assert (result.status, done) == ("waiting", [])
        assert sum(isinstance(event, ToolStarted) for event in result.events) >= 1


def start(folder: Path, place: str, mode: str, *held: str) -> Process:
    return fork([PROGRAM, mode, place, folder / "journal", *held], stdout=subprocess.PIPE, cwd=folder)


def kill_when(process: Process, *wanted: str) -> None:
    """Kill -9 once all of these lines were said."""
    with process:
        assert process.stdout is not None
        missing = set(wanted)
        for line in process.stdout:
            missing -= {one for one in missing if line.startswith(one)}
            if not missing:
                break
        os.kill(process.pid, signal.SIGKILL)
    assert not missing, f"it ended before it said {missing}"


@pytest.mark.parametrize("place", STORES[1:], indirect=True)
@pytest.mark.parametrize("when", ["while a call beside the questions works", "at rest"])
async def test_questions_survive_kill_9(when: str, place: str, tmp_path: Path) -> None:
    """The process is killed; others answer and go on: what was asked is asked once and done once. row: B6"""
    if when == "at rest":
        await asyncio.to_thread(kill_when, start(tmp_path, place, "submit"), "waiting")
    else:
        await asyncio.to_thread(
            kill_when, start(tmp_path, place, "submit", "hold"), "approval.requested", "input.requested"
        )
    async with open_runtime(Settings(database=place)) as runtime:
        (summary,) = await runtime.list_runs()
        asked = {one.kind: one for one in await find_open(runtime, summary.run)}
        assert set(asked) == {"approval", "input"}
        assert summary.status == ("waiting" if when == "at rest" else "running")
    said = await asyncio.to_thread(resume, tmp_path, place)
    assert said[-1].startswith("waiting")
    async with open_runtime(Settings(database=place)) as runtime:
        asked = {one.kind: one for one in await find_open(runtime, summary.run)}
        with pytest.raises(Forbidden):
            await runtime.decide(summary.run, asked["approval"].key, approved=True, by="pat")
        await runtime.decide(summary.run, asked["approval"].key, approved=True, by="ann", arguments='{"amount":3}')
        await runtime.answer(summary.run, asked["input"].key, text="2", by="ann")
    said = await asyncio.to_thread(resume, tmp_path, place)
    assert said[-1].startswith("waiting"), "for the timer"
    async with open_runtime(Settings(database=place)) as runtime:
        events = await runtime.log.read(summary.run)
        rest = events[-1]
        assert isinstance(rest, RunWaiting)
        assert (rest.reason, rest.wakes is not None) == ("timer", True)
        assert sum(isinstance(event, ApprovalRequested) for event in events) == 1
    assert (tmp_path / "journal").read_text() == "pay 3\n"
    later = ManualClock(now=(rest.wakes or 0.0) + 1)
    async with open_runtime(Settings(database=place), clock=later) as runtime:
        agent = cast("Any", Agent("clerk-at-work", model=by_turn(*[None] * 2, "done"), tools=[Timers()]))
        result = await (await runtime.resume(summary.run, agent=agent)).wait()
        assert (result.output, (tmp_path / "journal").read_text()) == ("done", "pay 3\n")


def resume(folder: Path, place: str) -> list[str]:
    with start(folder, place, "resume") as process:
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    return said.splitlines()


async def find_open(runtime: Runtime, run: str) -> list[OpenQuestion]:
    return list_open(await runtime.log.read(run))
