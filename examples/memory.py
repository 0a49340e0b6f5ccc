"""Agents that remember for each other: what one found out, another recalls; what three say, the hive agreed.

Prints:

    net remembers: kept
    db recalls: The pool is exhausted at 100 connections. (said by net)
    disk, asked about disks, recalls: nothing
    the third to say it makes it collective: 3 contributors said it
    after two years in which nobody asked: still 1 collective memory, and 0 semantic ones
"""

import asyncio
import json
from typing import Any

from quorate import Agent, ScriptedModel, Settings, open_runtime
from quorate.context.memory.keeping import TenantMemory
from quorate.council.memory_tools import HiveMemory
from quorate.events import ToolFinished
from quorate.models.scripted import call
from quorate.runtime import Runtime
from quorate.state.backends.memory import open_memory_store
from quorate.testing import ManualClock

FACT = "The pool is exhausted at 100 connections."
YEAR_S = 365 * 86_400


async def use(runtime: Runtime, agent: str, tool: str, **arguments: object) -> Any:
    """Have an agent make one call, and return what the tool gave it."""
    one = Agent(agent, model=ScriptedModel([call(tool, **arguments), "Done."]), tools=[HiveMemory("incidents")])
    result = await (await runtime.submit("Work on the incident.", agent=one)).wait()
    (done,) = [event for event in result.events if isinstance(event, ToolFinished)]
    return json.loads(str(done.result.content))


async def main() -> None:
    """Remember, recall, agree, and let two years go by."""
    clock = ManualClock()
    async with open_memory_store(clock=clock) as store, open_runtime(Settings(), store=store, clock=clock) as runtime:
        kept = await use(runtime, "net", "remember", text=FACT)
        print(f"net remembers: {kept['outcome']}")
        (memory,) = (await use(runtime, "db", "recall", query="why is the pool slow?"))["memories"]
        print(f"db recalls: {memory['text']} (said by {', '.join(memory['agents'])})")
        found = (await use(runtime, "disk", "recall", query="which disk is full?"))["memories"]
        print(f"disk, asked about disks, recalls: {found or 'nothing'}")

        for agent in ("db", "web"):
            await use(runtime, agent, "remember", text=FACT)
        (memory,) = (await use(runtime, "app", "recall", query="pool", kind="collective"))["memories"]
        print(f"the third to say it makes it collective: {memory['agreed']}")

        clock.advance(2 * YEAR_S)
        tenant = TenantMemory(store.values, prefix="memory/default/", clock=clock)
        kinds = [one.entry.kind for one in await tenant.list_memories()]
        print(
            f"after two years in which nobody asked: still {kinds.count('collective')} collective memory, "
            f"and {kinds.count('semantic')} semantic ones"
        )


asyncio.run(main())
