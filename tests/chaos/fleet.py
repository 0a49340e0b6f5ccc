"""A process of a fleet: it queues runs, or works on what nobody works on, over one database of either kind.

`python fleet.py submit DATABASE FIRST COUNT [BUS]`: queue runs from number FIRST on, each under its own idempotency key.
`python fleet.py send BUS FIRST COUNT`: send them as tasks to whoever serves the agents on a bus, and say how they end.
`python fleet.py poison DATABASE`: queue one run that kills whoever works on it.
`python fleet.py work DATABASE JOURNAL GATE LEASE_S MAX_CRASHES CONCURRENCY UNTIL [BUS]`: work until SIGTERM, or where
UNTIL is `until-idle` until nothing is left; while the file GATE is empty (`-` is no file), tool calls wait before they
have an effect. With a bus it is told over it what is queued, and serves its agents to those who ask over it.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress

from tests.chaos.worker import LIMITS, Journal, build_agents, choose, say

from quorate import Agent, QuorateError, RunOptions, ScriptedModel, Settings, open_runtime, tool
from quorate.agent.errand import build_task_rules
from quorate.agent.remote import RemoteAgent
from quorate.bus.backends.nats import NatsPatience, open_nats_bus
from quorate.errors import DeadlineExceeded, Unavailable
from quorate.events import ENDINGS, RunCreated, RunSummary, get_kind
from quorate.models.scripted import call
from quorate.ports.bus import Bus, StreamRule
from quorate.runtime import RunHandle
from quorate.runtime.serving import serve_agents
from quorate.runtime.worker import Worker
from quorate.settings.values import BusSettings, WorkerSettings

ACK_WAIT_S = 3.0
"""After how long a task is given to another worker when the one that had it says nothing."""
AWAY_S = 0.1
"""How soon a bus that is away is looked for again."""


@tool(effect="idempotent")
def explode() -> str:
    """End the process at once, as a crash of an extension module does."""
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


def build_poison() -> Agent[None, str]:
    """Build an agent that kills every process that works for it."""
    return Agent("poison", model=ScriptedModel(lambda request: call("explode")), tools=[explode])


async def submit_poison(database: str) -> None:
    """Queue one run that kills its workers."""
    async with open_runtime(Settings(database=database), agents=[build_poison()]) as runtime:
        handle = await runtime.submit("explode", agent="poison", start=False)
        say("accepted", "poison", handle.id)


async def submit(database: str, first: str, count: str, bus: str = "") -> None:
    """Queue runs; what is said here was accepted."""
    agents = build_agents(Journal("-", "-"))
    async with open_runtime(Settings(database=database, bus=BusSettings(url=bus)), agents=agents) as runtime:
        for number in range(int(first), int(first) + int(count)):
            name = f"run-{number}"
            handle = await runtime.submit(
                f"work for {name}", agent=choose(agents, number), idempotency_key=name, start=False
            )
            say("accepted", name, handle.id)


async def send(url: str, first: str, count: str) -> None:
    """Send tasks, all of them at once, and wait for their ends; whatever fails for now is sent again."""
    names = [agent.name for agent in build_agents(Journal("-", "-"))]
    async with open_task_bus(url, build_task_rules(names, ack_wait_s=ACK_WAIT_S)) as bus:
        remotes = [RemoteAgent(name, bus=bus, limits=LIMITS, patience_s=60) for name in names]
        async with asyncio.TaskGroup() as group:
            for number in range(int(first), int(first) + int(count)):
                group.create_task(send_one(remotes[number % len(remotes)], f"run-{number}"))


async def send_one(remote: RemoteAgent[str], name: str) -> None:
    """Send one task until it has ended, and say as which run and how."""
    while True:
        with suppress(Unavailable, DeadlineExceeded):  # under the same key it is the same task
            async for item in remote.run_stream(f"work for {name}", options=RunOptions(idempotency_key=name)):
                if isinstance(item, RunCreated):
                    say("accepted", name, item.run)
                elif isinstance(item, ENDINGS):
                    say("ended", name, item.run, get_kind(item))
                    return
        await asyncio.sleep(AWAY_S)


@asynccontextmanager
async def open_task_bus(url: str, rules: Sequence[StreamRule]) -> AsyncGenerator[Bus]:
    """Open a bus with the queues of agents, as soon as it is there; that it is away at the end is no harm."""
    patience = NatsPatience(wait_s=0.05, longest_wait_s=0.3, regroup_s=0.3, ping_s=0.5, drain_s=1)
    while True:
        opening = open_nats_bus(url, streams=rules, patience=patience)
        try:
            bus = await opening.__aenter__()
            break
        except (Unavailable, DeadlineExceeded):
            await asyncio.sleep(AWAY_S)
    try:
        yield bus
    finally:
        with suppress(Unavailable, DeadlineExceeded):
            await opening.__aexit__(None, None, None)


async def serve(worker: Worker, url: str, agents: list[str]) -> None:
    """Have a worker do the tasks that come over a bus, too."""
    async with open_task_bus(url, build_task_rules(agents, ack_wait_s=ACK_WAIT_S)) as bus:
        await serve_agents(worker.runtime, bus, agents=agents, ack_wait_s=ACK_WAIT_S, worker=worker)


async def work(
    database: str,
    journal: str,
    gate: str,
    lease_s: str,
    max_crashes: str,
    concurrency: str,
    until: str = "",
    bus: str = "",
) -> None:
    """Work on everything that nobody works on."""
    settings = Settings(
        database=database,
        worker=WorkerSettings(lease_s=float(lease_s), max_crashes=int(max_crashes), patience_s=120),
        bus=BusSettings(url=bus),
    )

    def tell(what: str, run: RunHandle | RunSummary, why: QuorateError | None) -> None:
        say(what, run.id if isinstance(run, RunHandle) else run.run, why.code if why else "-", os.getpid())

    agents = build_agents(Journal(journal, gate))
    async with open_runtime(settings, agents=[*agents, build_poison()]) as runtime, asyncio.TaskGroup() as group:
        courier = runtime.courier
        worker = Worker(
            runtime,
            concurrency=int(concurrency),
            tell=tell if courier is None else courier.watching(tell),
            sleep=asyncio.sleep if courier is None else courier.wait,
            poll_s=0.02,
        )
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
        serving = group.create_task(serve(worker, bus, [agent.name for agent in agents])) if bus else None
        say("open", runtime.store.name, os.getpid())
        await worker.run(until_idle=until == "until-idle")
        if serving is not None:
            serving.cancel()
    say("closed")


PARTS = {"submit": submit, "send": send, "poison": submit_poison, "work": work}

if __name__ == "__main__":
    asyncio.run(PARTS[sys.argv[1]](*sys.argv[2:]))
