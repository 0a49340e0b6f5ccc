"""A process of a fleet: it queues runs, or works on what nobody works on, over one database of either kind.

`python fleet.py submit DATABASE FIRST COUNT`: queue runs from number FIRST on, each under its own idempotency key.
`python fleet.py poison DATABASE`: queue one run that kills whoever works on it.
`python fleet.py work DATABASE JOURNAL GATE LEASE_S MAX_CRASHES CONCURRENCY [until-idle]`: work until SIGTERM, or until nothing is
left; while the file GATE is empty (`-` is no file), tool calls wait before they have an effect.
"""

import asyncio
import os
import signal
import sys

from tests.chaos.worker import Journal, build_agents, choose, say

from quorate import Agent, QuorateError, ScriptedModel, Settings, open_runtime, tool
from quorate.events import RunSummary
from quorate.models.scripted import call
from quorate.runtime import RunHandle
from quorate.runtime.worker import Worker
from quorate.settings.values import WorkerSettings


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


async def submit(database: str, first: str, count: str) -> None:
    """Queue runs; what is said here was accepted."""
    agents = build_agents(Journal("-", "-"))
    async with open_runtime(Settings(database=database), agents=agents) as runtime:
        for number in range(int(first), int(first) + int(count)):
            name = f"run-{number}"
            handle = await runtime.submit(
                f"work for {name}", agent=choose(agents, number), idempotency_key=name, start=False
            )
            say("accepted", name, handle.id)


async def work(
    database: str, journal: str, gate: str, lease_s: str, max_crashes: str, concurrency: str, until: str = ""
) -> None:
    """Work on everything that nobody works on."""
    settings = Settings(
        database=database,
        worker=WorkerSettings(lease_s=float(lease_s), max_crashes=int(max_crashes), patience_s=120),
    )

    def tell(what: str, run: RunHandle | RunSummary, why: QuorateError | None) -> None:
        say(what, run.id if isinstance(run, RunHandle) else run.run, why.code if why else "")

    agents = [*build_agents(Journal(journal, gate)), build_poison()]
    async with open_runtime(settings, agents=agents) as runtime:
        worker = Worker(runtime, concurrency=int(concurrency), tell=tell, poll_s=0.02)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
        say("open", runtime.store.name)
        await worker.run(until_idle=until == "until-idle")
    say("closed")


if __name__ == "__main__":
    asyncio.run({"submit": submit, "poison": submit_poison, "work": work}[sys.argv[1]](*sys.argv[2:]))
