"""A server of an agent whose one step kills the process that takes it: `poisoned.py URL DATABASE`."""

import asyncio
import os
import signal
import sys

from quorate import Agent, ScriptedModel, Settings, open_runtime, tool
from quorate.agent.errand import build_task_rules
from quorate.bus.backends.nats import open_nats_bus
from quorate.models.scripted import call
from quorate.runtime.serving import serve_agents
from quorate.settings.values import WorkerSettings

URL, DATABASE = sys.argv[1:]
ACK_WAIT_S = 1.0


@tool(effect="idempotent")
async def bite() -> str:
    """Kill whoever does it."""
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


async def main() -> None:
    rules = build_task_rules(["net"], tenant="acme", ack_wait_s=ACK_WAIT_S)
    settings = Settings(database=DATABASE, worker=WorkerSettings(lease_s=1.5, max_crashes=2))
    agent = Agent("net", model=ScriptedModel(lambda request: call("bite")), tools=[bite])
    async with (
        open_nats_bus(URL, tenant="acme", streams=rules) as bus,
        open_runtime(settings, agents=[agent]) as runtime,
    ):
        await serve_agents(runtime.for_tenant("acme"), bus, agents=["net"], ack_wait_s=ACK_WAIT_S)


asyncio.run(main())
