"""Hear of what happens by pattern, read it again from any place, and tell what runs do over a bus.

Prints:

    *.error      heard: disk.error of host-7, net.error of host-9
    **.error     heard: disk.error of host-7, net.error of host-9, net.dns.error of host-9
    a slow one   heard: step 8, step 9 (8 gave way)
    kept         read again from 1 on: agent.failed, agent.net.failed
    of a run     told: run.created, run.completed (clerk, completed)
"""

import asyncio

from quorate import Agent, ScriptedModel, Settings, open_runtime
from quorate.bus.backends.local import open_local_bus
from quorate.bus.event_subjects import read_data
from quorate.bus.events import Events, EventSubscription
from quorate.ports.bus import Bus, Room
from quorate.ports.happening import Happening
from quorate.runtime.relay import Relay
from quorate.runtime.relay.bus_sink import BusSink, build_relay_rules
from quorate.runtime.relay.facts import RunFacts
from quorate.state.backends.memory import open_memory_store


async def take(subscription: EventSubscription, count: int) -> list[Happening]:
    """Take so many events."""
    taken: list[Happening] = []
    async for event in subscription:
        taken.append(event)
        if len(taken) == count:
            break
    return taken


async def hear(bus: Bus) -> None:
    """Listen by pattern: `*` is one word, `**` any number of them."""
    events = Events(bus)
    async with events.subscribe("*.error") as near, events.subscribe("**.error") as all_of_them:
        await events.publish("disk.error", {"free": 0}, key="host-7")
        await events.publish("disk.fine", key="host-8")
        await events.publish("net.error", key="host-9")
        await events.publish("net.dns.error", key="host-9")
        for pattern, found in (("*.error", await take(near, 2)), ("**.error", await take(all_of_them, 3))):
            print(f"{pattern:<12} heard: {', '.join(f'{event.kind} of {event.key}' for event in found)}")


async def be_slow(bus: Bus) -> None:
    """Let what is oldest give way; what gave way is counted."""
    events = Events(bus)
    async with events.subscribe("step.done", room=Room(max_messages=2, overflow="oldest")) as slow:
        for number in range(10):
            await events.publish("step.done", number)
        found = ", ".join(f"step {read_data(event, int)}" for event in await take(slow, 2))
        print(f"{'a slow one':<12} heard: {found} ({slow.dropped} gave way)")


async def read_again(bus: Bus) -> None:
    """Keep events, and read them from a number on."""
    events = Events(bus)
    for kind in ("agent.started", "agent.failed", "disk.fine", "agent.net.failed"):
        await events.publish(kind, kept=True)
    async with events.subscribe("agent.**", after=1) as kept:
        found = ", ".join(event.kind for event in await take(kept, 2))
        print(f"{'kept':<12} read again from 1 on: {found}")


async def tell(bus: Bus) -> None:
    """Tell what is recorded of runs; a worker does so where `bus.events` is set."""
    clerk = Agent("clerk", model=ScriptedModel(["On shelf 3."]))
    async with (
        open_memory_store(outbox=True) as store,
        open_runtime(Settings(), agents=[clerk], store=store) as runtime,
        Relay(store, [BusSink(bus, store.log)]).running(),
        Events(bus).subscribe("run.*", after=0) as told,
    ):
        await (await runtime.submit("Where is parcel 7?", agent="clerk")).wait()
        found = await take(told, 2)
        facts = read_data(found[-1], RunFacts)
        kinds = ", ".join(event.kind for event in found)
        print(f"{'of a run':<12} told: {kinds} ({facts.agent}, {facts.status})")


async def main() -> None:
    """Do all of it over one bus."""
    async with open_local_bus(streams=build_relay_rules()) as bus:
        await hear(bus)
        await be_slow(bus)
        await read_again(bus)
        await tell(bus)


asyncio.run(main())
