"""Is a run that dies at any boundary of its record finished with the right results, and nothing recorded done again?"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence

import pytest

from quorate import Agent, Limits, Request, RunContext, RunOptions, ScriptedModel, tool
from quorate.errors import Unavailable
from quorate.events import ENDINGS, AnyEvent, ModelReplied, RunCompleted, ToolFinished
from quorate.messages import ToolResult
from quorate.models.scripted import call
from quorate.ports import Log, Store

LIMITS = Limits(steps=50, repeated_calls=100, seconds=600)
BRANCHES = 4
STEPS = 3


class Mortal:
    """A log whose process dies at one append: before it is written, or after it is and before anybody knows."""

    def __init__(self, inner: Log, *, at: int, after: bool) -> None:
        self.inner = inner
        self.at = at
        self.after = after
        self.appends = 0

    async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
        self.appends += 1
        if self.appends < self.at or (self.appends == self.at and self.after):
            await self.inner.append(run, events, expected=expected)
        if self.appends >= self.at:
            raise Unavailable("the process is dead")

    async def read(self, run: str, *, after: int = 0, limit: int | None = None) -> list[AnyEvent]:
        return await self.inner.read(run, after=after, limit=limit)


class World:
    """What the agents do outside: each effect is counted by run and key."""

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.done: Counter[tuple[str, str]] = Counter()
        self.asked: Counter[tuple[str, str]] = Counter()

    def build(self, shape: str) -> Agent[None, str]:
        """Build the agent of a shape: one branch, several side by side, or several below several."""

        @tool(effect="idempotent")
        async def step(context: RunContext[None], branch: str, number: int) -> str:
            """Do a step; every branch makes the very same ones."""
            self.done[context.run, context.key] += 1
            for _ in range(self.random.randrange(6)):  # branches do not keep step
                await asyncio.sleep(0)
            return f"{branch}{number}"

        def collect(request: Request) -> str:
            found = [p.content for m in request.messages for p in m.parts if isinstance(p, ToolResult)]
            return " ".join(str(text) for text in found)

        def branch_turn(request: Request) -> object:
            turn = sum(message.role == "assistant" for message in request.messages)
            name = request.messages[0].text
            return call("step", branch=name, number=turn) if turn < STEPS else collect(request)

        def lead_turn(request: Request) -> object:
            if any(message.role == "assistant" for message in request.messages):
                return collect(request)
            prefix = request.messages[0].text
            return [call(below, task=f"{prefix}{'abcd'[n]}") for n in range(BRANCHES)]

        branch = Agent("branch", model=ScriptedModel(branch_turn), tools=[step], limits=LIMITS)
        below = "branch"
        if shape == "sequence":
            return branch
        lead = Agent("lead", model=ScriptedModel(lead_turn), tools=[branch], limits=LIMITS)
        if shape == "parallel":
            return lead

        def top_turn(request: Request) -> object:
            if any(message.role == "assistant" for message in request.messages):
                return collect(request)
            return [call("lead", task=f"{n}") for n in range(2)]

        return Agent("top", model=ScriptedModel(top_turn), tools=[lead], limits=LIMITS)


def find_settled(events: Sequence[AnyEvent]) -> set[str]:
    return {event.key for event in events if isinstance(event, ToolFinished)}


async def run_until_death(store: Store, shape: str, run: str, world: World, *, at: int, after: bool) -> bool:
    """Run until the process dies; say whether it did."""
    log = Mortal(store.log, at=at, after=after)
    try:
        await world.build(shape).run("x", options=RunOptions(log=log, run_id=run))  # type: ignore[arg-type]
    except Unavailable:
        return True
    return False


@pytest.mark.parametrize(
    ("shape", "open_branches"), [("sequence", 1), ("parallel", BRANCHES), ("nested", 2 * BRANCHES)]
)
async def test_death_at_every_boundary(store: Store, shape: str, open_branches: int) -> None:
    """Before and after every append: the result is the faultless one, what is recorded is not done again, and what is
    done again is at most one step of each branch that was open. row: E13"""
    faultless = (await World().build(shape).run("x")).output
    trials = right = 0
    for at in range(1, 1000):
        died = False
        for after in (False, True):
            run, world = f"{shape}-{at}-{int(after)}", World(at)
            died = await run_until_death(store, shape, run, world, at=at, after=after)
            if not died:
                continue
            trials += 1
            before, done = await store.log.read(run), world.done.copy()
            if not before:
                continue_from = world.build(shape).run("x", options=RunOptions(log=store.log, run_id=run))
            else:
                continue_from = world.build(shape).resume(run, log=store.log)
            result = await continue_from
            settled = find_settled(before)
            again = {key for (_, key), times in world.done.items() if times > 1}
            assert not again & settled, "a recorded step was made again"
            assert len(again) <= open_branches, f"{again} were made again"
            assert all(world.done[run, key] == done[run, key] for key in settled if (run, key) in done)
            right += result.output == faultless
            check_log(await store.log.read(run))
        if not died:
            break
    assert (trials, right) == (trials, trials)
    assert trials >= 14


def check_log(events: Sequence[AnyEvent]) -> None:
    """The log has no gap, one end, and one result for each step."""
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert sum(isinstance(event, ENDINGS) for event in events) == 1
    assert isinstance(events[-1], RunCompleted)
    settled = Counter(event.key for event in events if isinstance(event, (ToolFinished, ModelReplied)))
    assert set(settled.values()) == {1}


async def test_two_hundred_crashes_of_parallel_branches(store: Store, database: str) -> None:
    """Four branches that make the very same three steps die somewhere and go on, 200 times, each branch of which gets
    its own results each time; on a server, which takes longer, every place of death a few times. row: E13"""
    await crash_and_go_on(store, times=42 if "://" in database else 200)


@pytest.mark.chaos
async def test_two_hundred_crashes_on_any_database(store: Store) -> None:
    """The same at length wherever the record is. part of row E13"""
    await crash_and_go_on(store, times=200)


async def crash_and_go_on(store: Store, *, times: int) -> None:
    faultless = (await World().build("parallel").run("x")).output
    assert faultless == " ".join(f"x{branch}{number}" for branch in "abcd" for number in range(STEPS))
    right = 0
    for trial in range(times):
        run, world = f"run-{trial}", World(trial)
        assert await run_until_death(store, "parallel", run, world, at=2 + trial % 7, after=trial % 2 == 0)
        # A second death on the way.
        log = Mortal(store.log, at=2 + trial % 3, after=trial % 2 == 1)
        try:
            result = await world.build("parallel").resume(run, log=log)  # type: ignore[arg-type]
        except Unavailable:
            result = await world.build("parallel").resume(run, log=store.log)
        right += result.output == faultless
        check_log(await store.log.read(run))
    assert right == times
