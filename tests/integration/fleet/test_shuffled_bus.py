"""Does whoever follows a run see all of it, when what the bus tells comes late, out of order and twice?"""

import asyncio
from contextlib import AsyncExitStack

from tests.chaos.shuffled import Shuffling, open_shuffling_bus
from tests.integration.fleet.test_bus_faults import Journal, check_whole, follow, open_bus, open_told, working

from quorate.events import AnyEvent
from quorate.testing.nats_server import open_nats_server

RUNS = 6


async def test_those_who_follow_see_the_whole_log(database: str) -> None:
    """Over NATS: every run is done in one attempt, no step twice, and whoever follows sees its log as it is."""
    journal = Journal()
    agent = journal.build_agent(step_s=0.01)
    with open_nats_server(jetstream=False) as server:
        async with AsyncExitStack() as stack:
            buses: list[Shuffling] = []
            for seed, principal in ((71, "door"), (72, "worker")):
                inner = await stack.enter_async_context(open_bus(server, principal))
                buses.append(await stack.enter_async_context(open_shuffling_bus(inner, seed=seed)))
            door, courier = await stack.enter_async_context(open_told(database, buses[0], agent))
            await stack.enter_async_context(working(database, buses[1], agent))
            followed: dict[str, asyncio.Task[tuple[list[AnyEvent], str]]] = {}
            async with asyncio.TaskGroup() as tasks:
                for number in range(RUNS):
                    handle = await door.submit(f"run{number}", agent="steps", start=False)
                    followed[handle.id] = tasks.create_task(follow(courier, door, handle.id))
            await check_whole(door, journal, {run: task.result()[0] for run, task in followed.items()})
    assert min(buses[0].repeated, buses[0].late) > 0, "nothing was shuffled, so nothing was tested"
