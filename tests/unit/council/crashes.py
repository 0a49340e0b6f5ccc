"""Does an agent come to the same end wherever it was cut off before?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from quorate import MemoryLog
from quorate.agent.agent import AnyAgent
from quorate.agent.replay.exact import replay_exactly
from quorate.events import AnyEvent, ModelReplied


async def end_everywhere(build: Callable[[], AnyAgent], task: str, *, every: int = 1) -> object:
    """Run a task, then resume it from each beginning of its record, and return what it always gives.

    Args:
        build: Builds the agent; its models must answer alike whenever they are asked alike.
        task: What to do.
        every: Of how many places one is tried.
    """
    agent = build()
    whole = await agent.run(task)
    assert (await replay_exactly(agent, whole.events)).divergence is None
    for cut in range(2, len(whole.events) - 1, every):
        found = await resume_from(build(), whole.events[:cut])
        assert found.output == whole.output, f"cut behind event {cut}"
        asked, known = count_replies(found.events), count_replies(whole.events)
        assert asked == known, f"cut behind event {cut}: asked {asked} times, not {known}"
    return whole.output


async def resume_from(agent: AnyAgent, events: Sequence[AnyEvent]):  # type: ignore[no-untyped-def]
    """Resume a run of which only this was recorded."""
    log = MemoryLog()
    await log.append(events[0].run, list(events), expected=0)
    return await agent.resume(events[0].run, log=log)


def count_replies(events: Sequence[AnyEvent]) -> int:
    """Count how often models answered."""
    return sum(isinstance(event, ModelReplied) for event in events)
