"""Is an agent behind a bus used like a local one: asked, streamed, stopped, given as a tool?"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

import pytest
from tests.integration.orchestration.conftest import OpenBus

from quorate import Agent, Limits, Runtime, ScriptedModel, Settings, TextDelta, UnknownName, tool
from quorate.agent.errand import (
    Happened,
    Refused,
    build_news_subject,
    build_task_rules,
    build_task_subject,
    name_task_queue,
    read_news,
    write_task,
)
from quorate.agent.remote import RemoteAgent
from quorate.agent.replay import replay
from quorate.agent.run import RunOptions
from quorate.assembly import open_runtime
from quorate.bus.subjects import build_dead_subject
from quorate.codec.formats import find_codec
from quorate.codec.schemas.agents import AgentTask
from quorate.errors import Conflict, DeadlineExceeded, InvalidInput
from quorate.events import Event, RunCreated, TaskDelegated, TaskFinished, get_kind
from quorate.messages import StreamItem, build_user_message
from quorate.models.scripted import After, Answer, call
from quorate.ports import Store
from quorate.ports.bus import Bus, Subscription
from quorate.runtime.serving import serve_agents
from quorate.settings.values import WorkerSettings
from quorate.specs import Request
from quorate.telemetry.describe import Describer
from quorate.telemetry.names import load_names
from quorate.telemetry.spans import build_spans

ACK_WAIT_S = 30.0
"""Nothing here comes again because nobody said a word for so long."""
RULES = build_task_rules(["net", "ghost"], tenant="acme", ack_wait_s=ACK_WAIT_S)


@pytest.fixture
async def bus(open_bus: OpenBus) -> AsyncGenerator[Bus]:
    async with open_bus(RULES) as opened:
        yield opened


@asynccontextmanager
async def serving(
    bus: Bus,
    store: Store,
    script: object = ("port 80 is open",),
    *,
    tools: Sequence[object] = (),
) -> AsyncGenerator[Runtime]:
    model = script if isinstance(script, ScriptedModel) else ScriptedModel(script)  # type: ignore[arg-type]
    agent = Agent("net", model=model, tools=tools)  # type: ignore[arg-type]
    settings = Settings(database=":memory:")
    async with open_runtime(settings, agents=[agent], store=store) as opened:
        runtime, stopping = opened.for_tenant("acme"), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(serve_agents(runtime, bus, agents=["net"], ack_wait_s=ACK_WAIT_S, stopping=stopping))
            yield runtime
            stopping.set()


def remote(bus: Bus, **how: object) -> RemoteAgent[str]:
    return RemoteAgent("net", bus=bus, tenant="acme", **{"patience_s": 30, **how})  # type: ignore[arg-type]


class Talker(ScriptedModel):
    """A model that says the next piece once the one before was heard: text that comes too late gives way."""

    def __init__(self, script: Sequence[Answer]) -> None:
        super().__init__(script)
        self.said = ""
        self.heard = ""
        self.hears = asyncio.Event()

    async def stream(self, request: Request) -> AsyncIterator[StreamItem]:
        """Give the next answer, a few characters at a time."""
        async for item in super().stream(request):
            yield item
            self.said += item.text if isinstance(item, TextDelta) else ""
            while len(self.heard) < len(self.said):
                self.hears.clear()
                await self.hears.wait()

    def hear(self, item: object) -> None:
        """Note what came."""
        self.heard += item.text if isinstance(item, TextDelta) else ""
        self.hears.set()


async def test_a_remote_agent_answers_like_a_local_one(bus: Bus, store: Store) -> None:
    """The run is recorded where it was done, and what is told of it is its log."""
    async with serving(bus, store) as runtime:
        result = await remote(bus).run("is port 80 open?", limits=Limits(seconds=20))
        recorded = await runtime.log.read(result.run_id)
    assert (result.output, result.status) == ("port 80 is open", "completed")
    assert list(result.events) == recorded
    assert [message.text for message in result.messages] == ["is port 80 open?", "port 80 is open"]
    created = recorded[0]
    assert isinstance(created, RunCreated)
    assert (created.tenant, created.principal) == ("acme", "bus")
    assert 10 < created.limits.seconds <= 20


async def test_events_come_in_order_and_text_as_it_is_said(bus: Bus, store: Store) -> None:
    """Watching a remote agent is watching a local one."""

    @tool(effect="idempotent")
    async def probe(port: int) -> str:
        """Try to connect."""
        return f"port {port} is open"

    model, items = Talker([call("probe", port=80), "it is open, as far as I see"]), list[object]()
    async with serving(bus, store, model, tools=[probe]), asyncio.timeout(30):
        async for item in remote(bus).run_stream("is port 80 open?"):
            items.append(item)
            model.hear(item)
    events = [item for item in items if isinstance(item, Event)]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert get_kind(events[-1]) == "run.completed"
    assert items[-1] is events[-1]
    assert model.heard == "it is open, as far as I see"
    assert sum(isinstance(item, TextDelta) for item in items) > 1


@pytest.mark.parametrize(("name", "answers"), [("msgpack", "msgpack"), ("protobuf", "json")])
async def test_a_task_may_be_written_in_any_format(bus: Bus, store: Store, name: str, answers: str) -> None:
    """Whoever serves it reads what it says of itself, and answers in the format that is read."""
    heard: list[str] = []
    async with (
        serving(bus, store, [call("probe"), "it is open"], tools=[open_probe]),
        bus.subscribe("ai.agent.news.acme.*") as news,
        asyncio.TaskGroup() as group,
    ):

        async def listen() -> None:
            async for message in news:
                heard.append(message.headers["Content-Type"])

        listening = group.create_task(listen())
        items = [item async for item in remote(bus, codec=find_codec(name)).run_stream("is port 80 open?")]
        async with asyncio.timeout(30):
            while len(heard) < len(items):
                await asyncio.sleep(0.005)
        listening.cancel()
    events = [item for item in items if isinstance(item, Event)]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert get_kind(events[-1]) == "run.completed"
    assert set(heard) == {find_codec(answers).content_type}


async def test_a_format_that_answers_cannot_be_written_in_is_refused(bus: Bus, store: Store) -> None:
    """The task never begins, and whoever asked is told so."""
    async with serving(bus, store) as runtime:
        task = remote(bus).build_task("hello")
        data = write_task(task, tenant="acme", time=0.0, watch=False)
        async with bus.subscribe(build_news_subject(task.id, "acme")) as news:
            await bus.enqueue(build_task_subject("net", "acme"), data, id=task.id, headers={"Accept": "image/png"})
            async with asyncio.timeout(30):
                heard = read_news(await anext(aiter(news)))
        assert isinstance(heard, Refused)
        assert "None of the formats 'image/png' can be written" in heard.message
        assert await runtime.list_runs() == []


@tool(effect="idempotent", name="probe")
async def open_probe() -> str:
    """Try to connect."""
    return "open"


async def test_nobody_serves_an_agent_of_that_name(bus: Bus, store: Store) -> None:
    """Delegating to an unknown agent is an error, known at once. row: A14"""
    async with serving(bus, store):
        with pytest.raises(UnknownName, match=r"There is no remote agent 'ghost'\..*start `serve_agents`"):
            await RemoteAgent("ghost", bus=bus, tenant="acme", patience_s=0.05).run("hello")


async def wait_for_run(runtime: Runtime, status: str) -> str:
    async with asyncio.timeout(30):
        while not (runs := [run for run in await runtime.list_runs() if run.status == status]):
            await asyncio.sleep(0.005)
    return runs[0].run


async def test_whoever_stops_waiting_stops_the_run(bus: Bus, store: Store) -> None:
    """Cancelled while it waits, or by leaving the loop: the other side hears of it at once."""
    script = [After(30, "slow"), After(30, "slow")]
    async with serving(bus, store, script) as runtime:
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(remote(bus).run("take your time"))
            first = await wait_for_run(runtime, "running")
            asking.cancel()
        assert await wait_for_run(runtime, "cancelled") == first
        async with aclosing(remote(bus).run_stream("and again")) as items:  # type: ignore[type-var]
            async for item in items:
                if isinstance(item, RunCreated):
                    break
        async with asyncio.timeout(30):
            while len(await runtime.list_runs(status="cancelled")) < 2:
                await asyncio.sleep(0.005)


async def test_a_task_that_was_stopped_before_it_began_never_begins(bus: Bus, store: Store) -> None:
    """The stop is noted, whoever takes the task later."""
    async with serving(bus, store) as runtime:
        asked = remote(bus)
        task = asked.build_task("do it")
        assert await asked.stop(task.id, reason="not needed")
        with pytest.raises(Exception, match="stopped before it began: not needed") as caught:
            async for _ in asked.drive(task):
                pass
        assert getattr(caught.value, "code", "") == "cancelled"
        assert await runtime.list_runs() == []


async def test_the_deadline_travels_with_the_task(bus: Bus, store: Store) -> None:
    """The run has only what is left of it; what came too late is refused; nobody waits beyond it."""
    async with serving(bus, store, [After(30, "slow")]) as runtime:
        result = await remote(bus).run("quick", limits=Limits(seconds=2))
        assert result.status == "incomplete"
        summary = (await runtime.list_runs())[0]
        created = (await runtime.log.read(summary.run))[0]
        assert isinstance(created, RunCreated)
        assert created.limits.seconds < 2
        asked = remote(bus)
        task = asked.build_task("too late", deadline=asked.clock.now() + 0.01)
        await asyncio.sleep(0.02)
        with pytest.raises(DeadlineExceeded, match="after its deadline; it was not begun"):
            async for _ in asked.drive(task):
                pass
        with pytest.raises(DeadlineExceeded):
            asked.build_task("far too late", deadline=asked.clock.now() - 1)


async def test_the_same_task_is_the_same_run(bus: Bus, store: Store) -> None:
    """Sent twice, or given out twice by the bus; the same key for another task is a conflict."""
    async with serving(bus, store, ["one", "two", "three"]) as runtime:
        options = RunOptions(idempotency_key="order-7")
        first = await remote(bus).run("do it", options=options)
        again = await remote(bus).run("do it", options=options)
        task = remote(bus).build_task("do it", options=options)
        async with bus.subscribe(build_news_subject(task.id, "acme")) as news:
            data = write_task(task, tenant="acme", time=0.0, watch=False)
            await bus.enqueue(build_task_subject("net", "acme"), data, id="a-copy")
            async for message in news:
                heard = read_news(message)
                if isinstance(heard, Happened) and get_kind(heard.event) == "run.completed":
                    assert heard.event.run == first.run_id
                    break
        with pytest.raises(Conflict):
            await remote(bus).run("do something else", options=options)
        assert len(await runtime.list_runs()) == 1
    assert (first.run_id, first.output) == (again.run_id, "one")
    assert again.events == first.events


async def test_a_remote_agent_is_a_tool_of_a_local_one(bus: Bus, store: Store) -> None:
    """Its run's id is in the caller's log, and a caller that is driven again finds the same run."""
    async with serving(bus, store, ["port 80 is open", "another answer"]) as runtime:
        script = [call("net", task="is port 80 open?"), "it is open"]
        lead = Agent("lead", tools=[remote(bus)], model=ScriptedModel(script))
        result = await lead.run("find out")
        runs = await runtime.list_runs()
        assert (result.output, len(runs)) == ("it is open", 1)
        handed = [event for event in result.events if isinstance(event, (TaskDelegated, TaskFinished))]
        assert [get_kind(event) for event in handed] == ["task.delegated", "task.finished"]
        assert all(event.key.endswith(f"/{runs[0].run}") for event in handed)
        finished = [str(e.result.content) for e in result.events if get_kind(e) == "tool.finished"]  # type: ignore[union-attr]
        assert finished == ["port 80 is open"]
        assert (await replay(lead, result.events)).output == "it is open"
        again = Agent("lead", tools=[remote(bus)], model=ScriptedModel(script))
        same = await again.run("find out", options=RunOptions(run_id=result.run_id))
        assert same.output == "it is open"
        assert len(await runtime.list_runs()) == 1


async def test_a_remote_run_is_in_the_trace_of_the_call_that_asked_for_it(bus: Bus, store: Store) -> None:
    """One trace, whichever process recorded what: its root stands below the caller's tool call. Part of row A8."""
    async with serving(bus, store) as runtime:
        lead = Agent("lead", tools=[remote(bus)], model=ScriptedModel([call("net", task="look"), "it is open"]))
        result = await lead.run("find out")
        below = await runtime.log.read((await runtime.list_runs())[0].run)
    describer = Describer(load_names(), content=False)
    above = build_spans(result.events, describer)
    asked = next(span for span in above if span.kind == "tool")
    root = next(span for span in build_spans(below, describer) if span.kind == "run")
    assert root.parent is not None
    assert root.parent.span_id == asked.context.span_id
    spans = [*above, *build_spans(below, describer)]
    assert len({span.context.trace_id for span in spans}) == 1


async def test_a_caller_that_is_stopped_stops_what_it_asked_for(bus: Bus, store: Store) -> None:
    """Stopping the run above stops the remote one; letting go of it does not."""
    async with (
        serving(bus, store, [After(30, "slow")] * 2) as runtime,
        open_runtime(Settings(database=":memory:"), store=store) as above,
    ):
        lead = Agent("lead", tools=[remote(bus)], model=ScriptedModel([call("net", task="dig")] * 2))
        handle = await above.submit("find out", agent=lead)
        first = await wait_for_run(runtime, "running")
        handle.release()
        await asyncio.sleep(0.1)
        assert (await runtime.show(first)).status == "running"
        other = await above.submit("find out again", agent=lead)
        async with asyncio.timeout(30):
            while len(running := await runtime.list_runs(status="running")) < 2:
                await asyncio.sleep(0.005)
        other.cancel("enough")
        await other.wait()
        async with asyncio.timeout(30):
            while (await runtime.list_runs(status="cancelled")) == []:
                await asyncio.sleep(0.005)
        stopped = (await runtime.list_runs(status="cancelled"))[0].run
        assert stopped in {run.run for run in running} - {first}
        await runtime.cancel(first)


async def test_a_failed_run_raises_what_it_failed_with(bus: Bus, store: Store) -> None:
    """As a local agent would."""
    async with serving(bus, store, [InvalidInput("the model wants no such thing")]):
        with pytest.raises(InvalidInput, match="the model wants no such thing"):
            await remote(bus).run("hello")


async def test_tasks_that_are_none_are_put_aside(bus: Bus, store: Store) -> None:
    """Of another tenant, for another agent, or garbage: nothing runs."""
    message = build_user_message("hello")
    good, other = AgentTask(id="t-1", message=message, agent="net"), AgentTask(id="t-2", message=message, agent="ghost")
    subject = build_task_subject("net", "acme")
    async with serving(bus, store) as runtime:
        async with bus.subscribe(build_dead_subject(name_task_queue("net"), "acme"), after=0) as dead:
            await bus.enqueue(subject, write_task(good, tenant="evil", time=0.0, watch=False))
            await bus.enqueue(subject, write_task(other, tenant="acme", time=0.0, watch=False))
            await bus.enqueue(subject, b"\x00garbage")
            async with asyncio.timeout(30):
                reasons = [(await anext(aiter(dead))).headers["Quorate-Reason"] for _ in range(3)]
        assert await runtime.list_runs() == []
    assert sum("another tenant" in reason for reason in reasons) == 1
    assert sum("is for agent 'ghost', and came to 'net'" in reason for reason in reasons) == 1


async def test_another_server_goes_on_when_one_is_replaced(bus: Bus, store: Store) -> None:
    """What was recorded is not done again, and who asked hears the end."""
    calls: list[int] = []

    @tool(effect="idempotent")
    async def probe(port: int) -> str:
        """Try to connect."""
        calls.append(port)
        return "open"

    script = [call("probe", port=80), After(0.3, "it is open")]
    async with asyncio.TaskGroup() as group:
        async with serving(bus, store, script, tools=[probe]) as runtime:
            asking = group.create_task(remote(bus, patience_s=30).run("is port 80 open?"))
            run = await wait_for_run(runtime, "running")
            async with asyncio.timeout(30):
                while not any(get_kind(event) == "tool.finished" for event in await runtime.log.read(run)):
                    await asyncio.sleep(0.005)
            runtime.release()
        async with serving(bus, store, script[1:], tools=[probe]):
            result = await asking
    assert result.output == "it is open"
    assert calls == [80]


class Deaf:
    """A bus over which no news are heard."""

    def __init__(self, inner: Bus) -> None:
        self._inner = inner
        self.request, self.enqueue = inner.request, inner.enqueue

    @asynccontextmanager
    async def subscribe(self, pattern: str, **how: object) -> AsyncGenerator[Subscription]:
        async with self._inner.subscribe("ai.agent.news.acme.nothing") as silence:
            yield silence


async def test_what_is_not_told_is_asked_for(bus: Bus, store: Store) -> None:
    """News may be lost on the way; the log has them all."""
    async with serving(bus, store) as runtime:
        result = await RemoteAgent("net", bus=Deaf(bus), tenant="acme", patience_s=30).run("is port 80 open?")  # type: ignore[arg-type]
        assert list(result.events) == await runtime.log.read(result.run_id)
    assert result.output == "port 80 is open"


async def test_another_server_goes_on_when_one_has_died(bus: Bus, store: Store) -> None:
    """Its lease runs out, and whoever is given the task goes on with its run."""
    dies, lives = (Settings(database=":memory:", worker=WorkerSettings(lease_s=lease_s)) for lease_s in (1.5, 3.0))
    slow, quick = (Agent("net", model=ScriptedModel([answer])) for answer in (After(60, "never"), "it is open"))
    async with (
        open_runtime(dies, agents=[slow], store=store) as first,
        open_runtime(lives, agents=[quick], store=store) as second,
        asyncio.TaskGroup() as group,
    ):
        dying = group.create_task(serve_agents(first.for_tenant("acme"), bus, agents=["net"], ack_wait_s=ACK_WAIT_S))
        asking = group.create_task(remote(bus).run("is port 80 open?"))
        await wait_for_run(second.for_tenant("acme"), "running")
        first.owner.rest()  # it beats no more, and its run is stuck
        dying.cancel()
        serving = group.create_task(serve_agents(second.for_tenant("acme"), bus, agents=["net"], ack_wait_s=ACK_WAIT_S))
        async with asyncio.timeout(30):
            result = await asking
        serving.cancel()
    assert result.output == "it is open"
    assert "run.resumed" in [get_kind(event) for event in result.events]
