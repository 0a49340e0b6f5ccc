"""Does what people tell a run have exactly one effect, whatever it races and however often it comes, on both databases?"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

import pytest
from tests.unit.agent.waiting import by_turn

from quorate import Agent, Approved, Limits, Runtime, Settings, tool
from quorate.assembly import open_runtime, open_store
from quorate.errors import Conflict, QuorateError
from quorate.events import ENDINGS, AnyEvent, ApprovalDecided, CancelRequested, InputGiven, RunCancelled, ToolFinished
from quorate.models.scripted import call
from quorate.runtime.worker import Worker
from quorate.tools.waits import AskPerson

LIMITS = Limits(steps=200, repeated_calls=500, seconds=60)
PROCESSES = 3


class World:
    """What runs do outside, and how long it takes them."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.entered = asyncio.Event()
        self.may_end = asyncio.Event()

    def build(self) -> list[Agent[None, str]]:
        """One that does much side by side, one that stays in a call, and one that needs a person."""

        @tool(effect="idempotent")
        async def step(name: str) -> str:
            """Do something short."""
            await asyncio.sleep(0.005)
            self.done.append(name)
            return name

        @tool(effect="idempotent")
        async def stay() -> str:
            """Do something long."""
            self.entered.set()
            await self.may_end.wait()
            return "stayed"

        @tool(effect="unsafe")
        async def pay(amount: int) -> str:
            """Pay."""
            self.done.append(f"paid {amount}")
            return f"paid {amount}"

        busy = [[call("step", name=f"{turn}-{n}") for n in range(6)] for turn in range(30)]
        asking = [call("pay", amount=5), call("ask", question="Which?")]
        return [
            Agent("busy", model=by_turn(*busy, "done"), tools=[step], limits=LIMITS),
            Agent("staying", model=by_turn(call("stay"), "done"), tools=[stay], limits=LIMITS),
            Agent("asking", model=by_turn(asking, "done"), tools=[Approved(pay), AskPerson()], limits=LIMITS),
        ]


@asynccontextmanager
async def running(database: str, world: World, *, count: int = PROCESSES) -> AsyncIterator[list[Runtime]]:
    """Open the same database as several processes do."""
    async with AsyncExitStack() as stack:
        opened: list[Runtime] = []
        for _ in range(count):
            store = await stack.enter_async_context(open_store(Settings(database=database)))
            opened.append(await stack.enter_async_context(open_runtime(Settings(), store=store, agents=world.build())))
        yield opened


def check_end(events: list[AnyEvent], *kinds: type[AnyEvent]) -> None:
    """No gap, and one end, which is the last thing that happened."""
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    ends = [event for event in events if isinstance(event, ENDINGS)]
    assert [type(end) for end in ends] == list(kinds)
    assert not kinds or not isinstance(events[-1], ENDINGS) or events[-1] is ends[-1]


async def try_all(*calls: object) -> list[QuorateError | None]:
    """Make calls at once; return what each of them was refused with."""
    outcomes = await asyncio.gather(*calls, return_exceptions=True)  # type: ignore[call-overload]
    for outcome in outcomes:
        assert outcome is None or isinstance(outcome, QuorateError), repr(outcome)
    return outcomes


async def test_a_cancel_races_the_appends_of_a_busy_run(database: str) -> None:
    """Twenty runs are told to stop from another process, some twice, at any moment: one end each, and it is the last."""
    random, world = Random(61), World()
    async with running(database, world, count=2) as (owner, other):

        async def one() -> str:
            handle = await owner.submit("x", agent="busy")
            await asyncio.sleep(random.uniform(0, 0.3))
            refused = await try_all(*(other.cancel(handle.id, by="ann") for _ in range(random.randint(1, 2))))
            assert all(error is None or isinstance(error, Conflict) for error in refused)
            result = await handle.wait()
            events = await other.log.read(handle.id)
            check_end(events, type(events[-1]))
            asked = sum(isinstance(event, CancelRequested) for event in events)
            assert asked == sum(error is None for error in refused)
            assert isinstance(events[-1], RunCancelled) or result.status == "completed"
            return result.status

        statuses = await asyncio.gather(*(one() for _ in range(20)))
    assert "cancelled" in statuses


async def test_a_cancel_during_a_call_ends_it(database: str) -> None:
    """The owner learns of it from the log at its next append, and from its own process at once; both end once."""
    world = World()
    async with running(database, world, count=2) as (owner, other):
        handle = await owner.submit("x", agent="staying")
        await world.entered.wait()
        await other.cancel(handle.id, reason="enough", by="ann")
        await other.cancel(handle.id, reason="enough", by="bob")
        world.may_end.set()
        assert (await handle.wait()).status == "cancelled"
        events = await other.log.read(handle.id)
        check_end(events, RunCancelled)
        with pytest.raises(Conflict, match="has ended already"):
            await other.cancel(handle.id)
        assert await other.log.read(handle.id) == events


async def test_many_cancel_a_waiting_run(database: str) -> None:
    """Thirty people in three processes stop a run that rests, at once: it ends once, and nothing comes after its end."""
    world = World()
    async with running(database, world) as runtimes:
        for _ in range(5):
            handle = await runtimes[0].submit("x", agent="asking")
            assert (await handle.wait()).status == "waiting"
            cancels = (runtimes[n % PROCESSES].cancel(handle.id, by=f"person-{n}") for n in range(30))
            refused = await try_all(*cancels)
            assert any(error is None for error in refused)
            events = await runtimes[1].log.read(handle.id)
            check_end(events, RunCancelled)
            assert isinstance(events[-1], RunCancelled)
    assert world.done == []


async def test_a_cancel_races_the_workers_for_a_queued_run(database: str) -> None:
    """Runs are stopped while three workers take them: each ends once, cancelled or done."""
    random, world = Random(62), World()
    async with running(database, world) as runtimes:
        workers = [Worker(runtime, poll_s=0.005) for runtime in runtimes]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(worker.run()) for worker in workers]

            async def one() -> None:
                handle = await runtimes[0].submit("x", agent="busy", start=False)
                await asyncio.sleep(random.uniform(0, 0.05))
                await try_all(*(runtime.cancel(handle.id) for runtime in runtimes[1:]))
                async with asyncio.timeout(30):
                    while not isinstance((events := await runtimes[0].log.read(handle.id))[-1], ENDINGS):
                        await asyncio.sleep(0.02)
                await asyncio.sleep(0.1)  # whoever else believes to have it has written by now
                assert await runtimes[0].log.read(handle.id) == events
                check_end(events, type(events[-1]))

            await asyncio.gather(*(one() for _ in range(12)))
            for worker in workers:
                worker.stop()
            await asyncio.gather(*tasks)


async def test_answers_and_a_cancel_race_on_a_waiting_run(database: str) -> None:
    """Many decide, answer and stop at once, while workers wait to go on: each question is answered at most once, the
    call is made at most once, and there is one end."""
    world = World()
    async with running(database, world) as runtimes:
        workers = [Worker(runtime, poll_s=0.005) for runtime in runtimes]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(worker.run()) for worker in workers]
            for trial in range(6):
                world.done.clear()
                handle = await runtimes[0].submit("x", agent="asking")
                assert (await handle.wait()).status == "waiting"
                keys = {one.kind: one.key for one in await runtimes[0].questions() if one.run == handle.id}
                calls = [
                    runtimes[n % PROCESSES].decide(handle.id, keys["approval"], approved=n % 2 > 0, by=f"person-{n}")
                    for n in range(10)
                ]
                calls += [
                    runtimes[n % PROCESSES].answer(handle.id, keys["input"], text=str(n), by=f"person-{n}")
                    for n in range(10)
                ]
                if trial % 2:
                    calls.insert(Random(trial).randrange(20), runtimes[trial % PROCESSES].cancel(handle.id))
                await try_all(*calls)
                async with asyncio.timeout(30):
                    while not isinstance((events := await runtimes[0].log.read(handle.id))[-1], ENDINGS):
                        await asyncio.sleep(0.02)
                check_end(events, type(events[-1]))
                decided = [event for event in events if isinstance(event, ApprovalDecided)]
                assert len(decided) <= 1
                assert sum(isinstance(event, InputGiven) for event in events) <= 1
                assert isinstance(events[-1], RunCancelled) or len(decided) == 1
                paid = [e for e in events if isinstance(e, ToolFinished) and "paid" in str(e.result.content)]
                assert len(world.done) == len(paid) <= 1
                assert not paid or decided[0].approved
            for worker in workers:
                worker.stop()
            await asyncio.gather(*tasks)
