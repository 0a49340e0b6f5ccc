"""Is what a step gave recorded under its own name, soon, and whatever its neighbours do?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from quorate import MemoryLog, tool
from quorate.agent.procedure.build import build_agent
from quorate.agent.procedure.outcome import Outcome
from quorate.agent.procedure.together import side_by_side
from quorate.agent.procedure.work import Work
from quorate.agent.replay.exact import replay_exactly
from quorate.errors import TooLarge
from quorate.events import AnyEvent, ToolFailed, ToolFinished, ToolStarted

MOST = 50_000


class SmallLog(MemoryLog):
    """A log that takes a moment for everything, and no large event."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[str]] = []

    async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
        await asyncio.sleep(0)
        for event in events:
            if isinstance(event, ToolStarted) and len(event.call.arguments) > MOST:
                raise TooLarge("an event is too large")
            if isinstance(event, ToolFinished) and len(str(event.result.content)) > MOST:
                raise TooLarge("an event is too large")
        self.batches.append([f"{type(event).__name__} {event.key}" for event in events])
        await super().append(run, events, expected=expected)


@tool(effect="idempotent")
async def echo(text: str, times: int = 1) -> str:
    """Echo.

    Args:
        text: What.
        times: How often.
    """
    return text * times


def show(outcomes: Sequence[Outcome]) -> str:
    return " ".join(f"{one.step}={one.status}" for one in outcomes)


async def test_what_cannot_be_recorded_of_one_step_is_that_steps_matter() -> None:
    """`s1` gives too much; its neighbour `s10`, whose name begins like it, is recorded as what it was."""
    log = SmallLog()

    async def procedure(work: Work, task: str) -> str:
        jobs = [work.call(f"s{n}", "echo", {"text": "x", "times": 90_000 if n == 1 else 1}) for n in (1, 10, 2)]
        return show(await side_by_side(jobs))

    result = await build_agent("team", procedure, tools=[echo]).run("go", log=log)
    assert result.text == "s1=failed s10=completed s2=completed"
    events = await log.read(result.run_id)
    settled = {
        e.call.id if isinstance(e, ToolStarted) else e.key.rpartition("/")[2]
        for e in events
        if isinstance(e, ToolFinished)
    }
    assert {"s10", "s2"} <= settled
    assert [e.key.rpartition("/")[2] for e in events if isinstance(e, ToolFailed)] == ["s1"]


async def test_a_step_that_cannot_even_be_begun_harms_no_other() -> None:
    log = SmallLog()

    async def procedure(work: Work, task: str) -> str:
        jobs = [work.call(f"s{n}", "echo", {"text": "x" * (90_000 if n == 1 else 1)}) for n in (0, 1, 10)]
        return show(await side_by_side(jobs))

    result = await build_agent("team", procedure, tools=[echo]).run("go", log=log)
    assert result.text == "s0=completed s1=failed s10=completed"
    events = await log.read(result.run_id)
    begun = [e.call.id for e in events if isinstance(e, ToolStarted)]
    assert begun == ["work", "s0", "s10"]
    assert [e.key.rpartition("/")[2] for e in events if isinstance(e, ToolFailed)] == ["s1"]


async def test_what_a_step_cannot_be_given_is_that_steps_matter() -> None:
    async def procedure(work: Work, task: str) -> str:
        jobs = [work.call(f"s{n}", "echo", {"text": given}) for n, given in enumerate(("x", "x" * (5 << 20), "\ud800"))]
        return show(await side_by_side(jobs))

    team = build_agent("team", procedure, tools=[echo])
    result = await team.run("go")
    assert result.text == "s0=completed s1=failed s2=failed"
    assert (await replay_exactly(team, result.events)).divergence is None
