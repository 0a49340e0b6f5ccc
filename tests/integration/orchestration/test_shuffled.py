"""Does the same come of tasks and messages when the bus gives them out late, out of order and twice?"""

import asyncio
from collections import Counter
from itertools import count
from random import Random
from typing import Any

import pytest
from tests.chaos.shuffled import Shuffling, open_shuffling_bus
from tests.integration.orchestration.conftest import OpenBus

from quorate import Agent, RunOptions, ScriptedModel, Settings, tool
from quorate.agent.errand import build_task_rules
from quorate.agent.remote import RemoteAgent
from quorate.assembly import open_runtime
from quorate.codec.schemas.agents import AgentMessage
from quorate.errors import Unavailable
from quorate.events import RunCompleted
from quorate.models.scripted import After, Answer, call
from quorate.orchestration.letters import build_inbox_rules, build_mark, get_text
from quorate.orchestration.mailbox import open_mailbox
from quorate.ports import Entry, KeyValue, Store
from quorate.ports.bus import Receipt
from quorate.runtime.serving import serve_agents
from quorate.settings.values import WorkerSettings
from quorate.specs import Request

TASKS, STEPS = 12, 3
ACK_WAIT_S = 0.6
WITHIN_S = 100


async def test_tasks_are_done_once_whatever_comes_twice(open_bus: OpenBus, store: Store) -> None:
    """Two servers over a bus at its worst: one run for each task, each step once, and who asked saw the whole log."""
    done: Counter[str] = Counter()

    @tool(effect="idempotent")
    async def step(name: str) -> str:
        """Do a step."""
        done[name] += 1
        await asyncio.sleep(0.005)
        return name

    def answer(request: Request) -> Answer:
        name, turns = request.messages[0].text, sum(message.role == "assistant" for message in request.messages)
        return call("step", name=f"{name}-{turns}") if turns < STEPS else f"{name} is done"

    agent = Agent("net", model=ScriptedModel(answer), tools=[step])
    rules = build_task_rules(["net"], tenant="acme", ack_wait_s=ACK_WAIT_S)
    settings = Settings(database=":memory:", worker=WorkerSettings(lease_s=60))  # nobody is declared dead here
    async with (
        open_bus(rules) as inner,
        open_shuffling_bus(inner, seed=61) as bus,
        open_runtime(settings, agents=[agent], store=store) as one,
        open_runtime(settings, agents=[agent], store=store) as other,
        asyncio.timeout(WITHIN_S),
    ):
        async with asyncio.TaskGroup() as serving:
            tasks = [
                serving.create_task(
                    serve_agents(runtime.for_tenant("acme"), bus, agents=["net"], ack_wait_s=ACK_WAIT_S)
                )
                for runtime in (one, other)
            ]
            remote = RemoteAgent("net", bus=bus, tenant="acme", patience_s=WITHIN_S)
            results = await asyncio.gather(*(remote.run(f"task{number}") for number in range(TASKS)))
            while bus.again < 2:  # what was done comes once more, as nobody heard that it was
                await asyncio.sleep(0.01)
            for task in tasks:
                task.cancel()
        assert [result.output for result in results] == [f"task{number} is done" for number in range(TASKS)]
        assert len(await one.for_tenant("acme").list_runs(limit=100)) == TASKS
        for result in results:
            assert isinstance(result.events[-1], RunCompleted)
            assert list(result.events) == await one.log.read(result.run_id)
    assert done == {f"task{number}-{turn}": 1 for number in range(TASKS) for turn in range(STEPS)}
    assert min(bus.repeated, bus.late, bus.lost) > 0, "nothing was shuffled, so nothing was tested"


class Forgetful(Shuffling):
    """A bus over which work is kept, and the first time nobody hears that it is."""

    async def enqueue(self, *work: Any, **how: Any) -> Receipt:
        """Keep work."""
        receipt = await self.inner.enqueue(*work, **how)
        self.lost += 1
        if self.lost == 1:
            raise Unavailable("the connection was lost.")
        return receipt


async def test_a_task_whose_receipt_was_lost_can_be_sent_again(open_bus: OpenBus, store: Store) -> None:
    """Under its key it is the same task: it was not stopped when the first sender heard that it may be lost."""
    agent = Agent("net", model=ScriptedModel([After(0.2, "done")]))
    options = RunOptions(idempotency_key="order-7")
    async with (
        open_bus(build_task_rules(["net"], tenant="acme")) as inner,
        open_runtime(Settings(database=":memory:"), agents=[agent], store=store) as opened,
        asyncio.TaskGroup() as group,
        asyncio.timeout(WITHIN_S),
    ):
        runtime = opened.for_tenant("acme")
        bus = Forgetful(inner, group, chance=Random(1), longest_s=0)
        serving = group.create_task(serve_agents(runtime, inner, agents=["net"]))
        remote = RemoteAgent("net", bus=bus, tenant="acme", patience_s=WITHIN_S)
        with pytest.raises(Unavailable):
            await remote.run("do it", options=options)
        assert (await remote.run("do it", options=options)).output == "done"
        assert len(await runtime.list_runs()) == 1
        serving.cancel()


class Story:
    """What became of messages, whoever read them."""

    def __init__(self) -> None:
        self.seen: dict[str, list[str]] = {"a": [], "b": [], "c": []}
        """What was said in each conversation, in the order in which it was dealt with first."""
        self.dealt: set[str] = set()
        self.answered: dict[str, int] = {}
        """The moment from which on it stood in the store that a message was dealt with."""
        self.wrong: list[str] = []
        self.moments = count()


class Reader:
    """One of those who read an inbox together, and its way to the store that they share."""

    def __init__(self, values: KeyValue, story: Story) -> None:
        self.delete, self.scan = values.delete, values.scan
        self._values = values
        self._story = story
        self._dealt: set[str] = set()
        self._looked: dict[str, int] = {}

    async def get(self, key: str) -> Entry | None:
        """Note the moment from which on something was looked for that was not there."""
        began, entry = next(self._story.moments), await self._values.get(key)
        if entry is None:
            self._looked[key] = began
        return entry

    async def put(self, key: str, value: bytes, *, if_revision: int | None = None, ttl_s: float | None = None) -> Entry:
        """Note the moment from which on something is there."""
        entry = await self._values.put(key, value, if_revision=if_revision, ttl_s=ttl_s)
        self._story.answered.setdefault(key, next(self._story.moments))
        return entry

    async def do(self, message: AgentMessage) -> str | None:
        """Deal with a message, which another reader may do at the same moment with a copy, and nobody after that."""
        words, mark, story = get_text(message), build_mark("acme", "net", message.id), self._story
        looked, answered = self._looked.get(mark), story.answered.get(mark)
        if message.id in self._dealt or looked is None or (answered is not None and looked > answered):
            story.wrong.append(f"{message.conversation} {words}")
        self._dealt.add(message.id)
        if message.kind == "request":
            return f"{words}: yes"
        if message.id not in story.dealt:
            story.dealt.add(message.id)
            story.seen[message.conversation].append(words)
        return None


async def test_messages_are_dealt_with_once_and_in_order(open_bus: OpenBus, store: Store) -> None:
    """Two readers over a bus at its worst: of each conversation every message once, in the order it was sent."""
    story = Story()
    readers, seen = (Reader(store.values, story), Reader(store.values, story)), story.seen
    rules = build_inbox_rules(["lead", "net"], tenant="acme", ack_wait_s=ACK_WAIT_S, backoff_s=(0.05,))
    async with (
        open_bus(rules) as inner,
        open_shuffling_bus(inner, seed=62) as bus,
        open_mailbox("lead", bus=bus, values=store.values, tenant="acme", ack_wait_s=ACK_WAIT_S) as lead,
        open_mailbox("net", bus=bus, values=readers[0], tenant="acme", ack_wait_s=ACK_WAIT_S) as one,
        open_mailbox("net", bus=bus, values=readers[1], tenant="acme", ack_wait_s=ACK_WAIT_S) as other,
        asyncio.timeout(WITHIN_S),
    ):
        async with one.listen():
            pass  # it is known from now on
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for mailbox, reader in zip((one, other), readers, strict=True):
                group.create_task(mailbox.serve(reader.do, stopping=stopping))
            for number in range(6):
                await asyncio.gather(*(lead.send("net", str(number), conversation=name) for name in seen))
            replies = await asyncio.gather(*(lead.request("net", str(number)) for number in range(6)))
            while any(len(texts) < 6 for texts in seen.values()):
                await asyncio.sleep(0.01)
            while bus.again < 2:  # what was dealt with comes once more, as nobody heard that it was
                await asyncio.sleep(0.01)
            stopping.set()
    assert [get_text(reply) for reply in replies] == [f"{number}: yes" for number in range(6)]
    assert all(texts == [str(number) for number in range(6)] for texts in seen.values()), seen
    assert story.wrong == [], "it was dealt with after it had been"
    assert all(build_mark("acme", "net", name) in story.answered for name in story.dealt)
    assert min(bus.repeated, bus.late) > 0, "nothing was shuffled, so nothing was tested"
