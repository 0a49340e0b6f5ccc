"""What becomes of messages and tasks when the broker dies under them?"""

import asyncio

from quorate import Agent, ScriptedModel, Settings
from quorate.agent.errand import build_task_rules
from quorate.agent.remote import RemoteAgent
from quorate.assembly import open_runtime
from quorate.bus.backends.nats import open_nats_bus
from quorate.models.scripted import After
from quorate.orchestration.letters import build_inbox_rules
from quorate.orchestration.mailbox import open_mailbox
from quorate.ports import Store
from quorate.runtime.serving import serve_agents
from quorate.testing.nats_server import open_nats_server

RULES = (*build_inbox_rules(["lead", "net"], tenant="acme"), *build_task_rules(["net"], tenant="acme"))


async def test_messages_and_runs_outlive_the_broker(store: Store) -> None:
    """What was sent is on its disk; whoever waits for a remote run goes on waiting, and hears its end."""
    agent = Agent("net", model=ScriptedModel([After(2, "it is open")]))
    with open_nats_server() as server:
        async with (
            open_nats_bus(server.url, tenant="acme", streams=RULES) as bus,
            open_mailbox("lead", bus=bus, values=store.values, tenant="acme") as lead,
            open_mailbox("net", bus=bus, values=store.values, tenant="acme") as net,
            open_runtime(Settings(database=":memory:"), agents=[agent], store=store) as opened,
            asyncio.TaskGroup() as group,
        ):
            runtime = opened.for_tenant("acme")
            serving = group.create_task(serve_agents(runtime, bus, agents=["net"]))
            async with net.listen():
                pass
            sent = await lead.send("net", "look at host 7")
            asking = group.create_task(RemoteAgent("net", bus=bus, tenant="acme").run("is port 80 open?"))
            async with asyncio.timeout(30):
                while not await runtime.list_runs(status="running"):
                    await asyncio.sleep(0.005)
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            async with asyncio.timeout(30), net.listen() as inbox:
                received = await anext(inbox)
                assert received.message == sent
                await received.ack()
            async with asyncio.timeout(30):
                result = await asking
            serving.cancel()
    assert result.output == "it is open"
