"""Agents that write to each other, and one that works behind a bus and is asked like any other.

Prints:

    the inbox of net: "host 7 is slow" from lead
    net says: host 7 answers in 812 ms
    to nobody: There is no agent with an inbox 'nett'. Did you mean `net`? …
    from the other side of the bus: port 8080 is closed
    lead concludes: the service is down
    in the log of lead: task.delegated, task.finished
"""

import asyncio

from quorate import Agent, ScriptedModel, Settings, UnknownName, open_runtime
from quorate.agent.errand import build_task_rules
from quorate.agent.remote import RemoteAgent
from quorate.bus.backends.local import open_local_bus
from quorate.codec.schemas.agents import AgentMessage
from quorate.events import TaskDelegated, TaskFinished, get_kind
from quorate.models.scripted import call
from quorate.orchestration.letters import build_inbox_rules, get_text
from quorate.orchestration.mailbox import open_mailbox
from quorate.ports import Store
from quorate.ports.bus import Bus
from quorate.runtime.serving import serve_agents
from quorate.state.backends.memory import open_memory_store


async def write(bus: Bus, store: Store) -> None:
    """Send a message, ask a question, and write to an agent that there is not."""

    async def do(message: AgentMessage) -> str | None:
        if message.kind == "request":
            return "host 7 answers in 812 ms"
        print(f'the inbox of net: "{get_text(message)}" from {message.sender}')
        return None

    async with (
        open_mailbox("lead", bus=bus, values=store.values) as lead,
        open_mailbox("net", bus=bus, values=store.values) as net,
    ):
        async with net.listen():
            pass  # from now on others can write to it, whether it reads or not
        await lead.send("net", "host 7 is slow", conversation="case-12")
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(net.serve(do, stopping=stopping))
            reply = await lead.request("net", "how slow is it?", conversation="case-12")
            print(f"{reply.sender} says: {get_text(reply)}")
            stopping.set()
        try:
            await lead.send("nett", "hello")
        except UnknownName as error:
            print(f"to nobody: {error.message.partition(' Known:')[0]} …")


async def ask(bus: Bus, store: Store) -> None:
    """Use an agent that another process could serve: directly, and as a tool."""
    net = Agent("net", model=ScriptedModel(["port 8080 is closed", "port 8080 is closed"]))
    stopping = asyncio.Event()
    async with open_runtime(Settings(), agents=[net], store=store) as runtime, asyncio.TaskGroup() as group:
        group.create_task(serve_agents(runtime, bus, agents=["net"], stopping=stopping))
        remote = RemoteAgent("net", bus=bus, description="Diagnoses networks.")
        result = await remote.run("Is port 8080 open?")
        print(f"from the other side of the bus: {result.output}")
        script = [call("net", task="Is port 8080 open?"), "the service is down"]
        lead = Agent("lead", model=ScriptedModel(script), tools=[remote])
        found = await lead.run("Why is the shop gone?")
        print(f"lead concludes: {found.output}")
        told = [get_kind(event) for event in found.events if isinstance(event, (TaskDelegated, TaskFinished))]
        print(f"in the log of lead: {', '.join(told)}")
        stopping.set()


async def main() -> None:
    """Do both over one bus."""
    streams = (*build_inbox_rules(["lead", "net"]), *build_task_rules(["net"]))
    async with open_memory_store() as store, open_local_bus(streams=streams) as bus:
        await write(bus, store)
        await ask(bus, store)


asyncio.run(main())
