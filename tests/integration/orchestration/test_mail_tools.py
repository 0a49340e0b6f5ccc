"""Does a model write to other agents and ask them, once each, whatever dies in between?"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import pytest
from tests.integration.orchestration.conftest import OpenBus

from quorate import Agent, ScriptedModel
from quorate.agent.agent import AnyAgent
from quorate.agent.run import RunOptions
from quorate.codec.schemas.agents import AgentMessage
from quorate.events import AnyEvent, ToolFailed, ToolFinished, get_kind
from quorate.models.scripted import call
from quorate.orchestration.letters import build_inbox_rules, get_text
from quorate.orchestration.mail_tools import mail_tools
from quorate.orchestration.mailbox import Mailbox, open_mailbox
from quorate.ports import Store
from quorate.ports.bus import Bus
from quorate.state.backends.memory import open_memory_store

RULES = build_inbox_rules(["lead", "net", "scout"], tenant="acme", ack_wait_s=20.0)


@pytest.fixture
async def bus(open_bus: OpenBus) -> AsyncGenerator[Bus]:
    async with open_bus(RULES) as opened:
        yield opened


@asynccontextmanager
async def open_box(agent: str, bus: Bus, store: Store) -> AsyncGenerator[Mailbox]:
    async with open_mailbox(agent, bus=bus, values=store.values, tenant="acme", ack_wait_s=20.0) as mailbox:
        yield mailbox


@asynccontextmanager
async def serving(agent: str, bus: Bus, store: Store) -> AsyncGenerator[list[AgentMessage]]:
    """An agent that answers, and what it was told."""
    told: list[AgentMessage] = []

    async def do(message: AgentMessage) -> str:
        told.append(message)
        return f"{agent} heard: {get_text(message)}"

    async with open_box(agent, bus, store) as mailbox, mailbox.listen():
        pass  # it is known from now on
    stopping = asyncio.Event()
    async with open_box(agent, bus, store) as mailbox, asyncio.TaskGroup() as group:
        group.create_task(mailbox.serve(do, stopping=stopping))
        yield told
        stopping.set()


def build_lead(mailbox: Mailbox, script: Sequence[object]) -> AnyAgent:
    return Agent("lead", model=ScriptedModel(script), tools=mail_tools(mailbox, timeout_s=30))  # type: ignore[arg-type]


def read_results(events: Sequence[AnyEvent]) -> list[str]:
    return [str(event.result.content) for event in events if isinstance(event, (ToolFinished, ToolFailed))]


async def test_a_model_writes_to_others_and_asks_them(bus: Bus, store: Store) -> None:
    """Its messages are in their inboxes, in order, in a conversation of the run; an answer bears its question's id."""
    async with (
        serving("net", bus, store) as net,
        serving("scout", bus, store) as scout,
        open_box("lead", bus, store) as lead,
    ):
        script = [
            call("list_agents"),
            call("send_message", to="net", text="host 7 is slow"),
            call("broadcast_message", text="we begin"),
            call("ask_agent", to="net", question="how slow?"),
            "it is slow",
        ]
        result = await build_lead(lead, script).run("find out")
        known, sent, spread, asked = read_results(result.events)
        async with asyncio.timeout(30):
            while len(scout) < 1:
                await asyncio.sleep(0.005)
    assert result.output == "it is slow"
    assert known == '[{"agent":"net","is_awake":true},{"agent":"scout","is_awake":true}]'
    assert [get_text(message) for message in net] == ["host 7 is slow", "we begin", "how slow?"]
    assert {message.conversation for message in net} == {result.run_id}
    assert net[0].id in sent
    assert scout[0].id in spread
    assert "net heard: how slow?" in asked
    assert net[2].id in asked


async def test_a_model_is_told_that_there_is_no_such_agent(bus: Bus, store: Store) -> None:
    """With the nearest name, so that it can mend the call. row: A14"""
    async with serving("net", bus, store) as net, open_box("lead", bus, store) as lead:
        script = [call("ask_agent", to="nett", question="hello?"), call("ask_agent", to="net", question="hello?"), "ok"]
        result = await build_lead(lead, script).run("find out")
    wrong, right = read_results(result.events)
    assert "There is no agent with an inbox 'nett'. Did you mean `net`?" in wrong
    assert "net heard: hello?" in right
    assert len(net) == 1


async def test_a_call_that_is_made_again_is_the_same_message(bus: Bus, store: Store) -> None:
    """A run that died between the call and its record goes on: the other agent does nothing twice."""
    script = [call("send_message", to="net", text="begin"), call("ask_agent", to="net", question="done?"), "fine"]
    async with serving("net", bus, store) as net, open_box("lead", bus, store) as lead:
        first = await build_lead(lead, script).run("find out", options=RunOptions(run_id="run-1"))
        for place, event in enumerate(first.events, 1):
            if get_kind(event) != "tool.started":
                continue
            turn = 1 if "send_message" in str(event) else 2
            async with open_memory_store() as other:
                await other.log.append("run-1", first.events[:place], expected=0)
                again = await build_lead(lead, script[turn:]).resume("run-1", log=other.log)
            assert read_results(again.events)[-1] == read_results(first.events)[-1]
    assert [get_text(message) for message in net] == ["begin", "done?"]
