"""Are events of runs told over a real NATS whatever dies, kept over its restarts, and read again from any place?"""

import asyncio
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from msgspec import structs
from tests.forks import Process, fork
from tests.integration.bus.relay_process import RULE

from quorate import Agent, ScriptedModel, Settings, open_runtime
from quorate.bus.backends.nats import open_nats_bus
from quorate.bus.event_subjects import read_data
from quorate.bus.events import Events, EventSubscription, build_event_rules
from quorate.errors import InvalidInput, QuorateError
from quorate.events import RunCompleted, RunCreated, RunWaiting
from quorate.messages import Usage, build_user_message
from quorate.ports import Store
from quorate.ports.happening import Happening
from quorate.runtime.relay import Relay
from quorate.runtime.relay.bus_sink import BusSink, build_relay_rules
from quorate.runtime.relay.facts import RunFacts
from quorate.runtime.relay.opening import open_events, open_relay
from quorate.settings.values import BusSettings
from quorate.state.backends.sqlite import open_sqlite_store
from quorate.testing.nats_server import NatsServer

ROOT = Path(__file__).resolve().parents[3]
PATIENCE_S = 100.0


async def record(store: Store, number: int) -> list[str]:
    """Record a whole run, and return the ids of its events that others hear of."""
    run = f"run-{number}"
    task = (build_user_message("why?"),)
    created = RunCreated(run=run, seq=1, time=1.0, agent="net", messages=task, tenant="acme", session="s-1")
    completed = RunCompleted(run=run, seq=2, time=2.0, output="a cable", usage=Usage(input_tokens=3, output_tokens=4))
    await store.log.append(run, [created], expected=0)
    await store.log.append(run, [completed], expected=1)
    return [f"{run}/1", f"{run}/2"]


async def take(subscription: EventSubscription, count: int) -> list[Happening]:
    """Take so many events."""
    taken: list[Happening] = []
    async with asyncio.timeout(PATIENCE_S):
        async for event in subscription:
            taken.append(event)
            if len(taken) == count:
                break
    return taken


def check_in_order(found: list[Happening], recorded: list[str]) -> None:
    """Check that everything is there once, and what belongs to one run in its order."""
    assert sorted(event.id for event in found) == sorted(recorded)
    assert all(event.seq == 1 or event.run in {other.run for other in found[:at]} for at, event in enumerate(found))


async def wait_told(store: Store) -> None:
    """Wait until the outbox is empty."""
    async with asyncio.timeout(PATIENCE_S):
        while await store.outbox.pending(limit=1):
            await asyncio.sleep(0.02)


def start(server: NatsServer, database: Path, mode: str) -> Process:
    """Start a process that tells."""
    command = ["-m", "tests.integration.bus.relay_process", server.url, database, mode]
    return fork(command, cwd=ROOT, stdout=subprocess.PIPE)


def test_a_relay_that_is_killed_loses_nothing_and_doubles_nothing(server: NatsServer, tmp_path: Path) -> None:
    """Three processes are killed between the broker and the mark, each in its own batch; the fourth tells the rest.
    Whoever remembers ids hears of each event once, and those of one run in order."""
    database = tmp_path / "q.db"

    async def prepare() -> list[str]:
        async with open_sqlite_store(database, outbox=True) as store:
            return [name for number in range(15) for name in await record(store, number)]

    async def finish() -> list[Happening]:
        async with (
            open_sqlite_store(database, outbox=True) as store,
            open_nats_bus(server.url, tenant="acme", streams=build_relay_rules("acme")) as bus,
            Events(bus, tenant="acme").subscribe("run.**", after=0) as told,
        ):
            await wait_told(store)
            await Events(bus, tenant="acme").publish("run.end", kept=True)
            found: list[Happening] = []
            async with asyncio.timeout(PATIENCE_S):
                async for event in told:
                    if event.kind == "run.end":
                        break
                    found.append(event)
            return found

    recorded = asyncio.run(prepare())
    for _ in range(3):
        with start(server, database, "die") as dying:
            try:
                dying.wait(PATIENCE_S)
            finally:
                dying.kill()
        assert dying.returncode == -9
    working = start(server, database, "work")
    try:
        found = asyncio.run(finish())
    finally:
        working.kill()
        working.communicate()
    assert Counter(event.id for event in found) == Counter(recorded)  # the stream remembers ids itself, for a while
    for number in range(15):
        own = [event for event in found if event.run == f"run-{number}"]
        assert [(event.seq, event.kind) for event in own] == [(1, "run.created"), (2, "run.completed")]
    assert {(event.tenant, event.key == event.run) for event in found} == {("acme", True)}
    facts = [read_data(event, RunFacts) for event in found if event.kind == "run.completed"]
    assert set(facts) == {RunFacts(agent="net", session="s-1", status="completed", tokens=7, cost_usd=0.0)}


async def test_a_broker_that_is_away_costs_time_and_no_event(server: NatsServer, tmp_path: Path) -> None:
    """It is killed, runs go on and the outbox is emptied; once it is back everything is told, each run in order, from
    where each reader was."""
    told: list[tuple[str, bool]] = []

    def tell(sink: str, why: QuorateError | None) -> None:
        told.append((sink, why is None))

    async with (
        open_sqlite_store(tmp_path / "q.db", outbox=True) as store,
        open_nats_bus(server.url, tenant="acme", streams=build_relay_rules("acme")) as bus,
    ):
        rule = structs.replace(RULE, take_s=1.5, retry_s=0.05, longest_retry_s=0.2, lease_s=10)
        relay = Relay(store, [BusSink(bus, store.log, tenant="acme")], rule=rule, tell=tell)
        events = Events(bus, tenant="acme")
        async with relay.running():
            recorded = await record(store, 0)
            async with events.subscribe("**.completed", after=0) as completed:
                first = await take(completed, 1)
                await wait_told(store)
                await asyncio.to_thread(server.kill)
                for number in range(1, 6):
                    recorded += await record(store, number)
                await wait_told(store)
                (lane,) = relay.lanes
                assert lane.is_behind
                await asyncio.to_thread(server.start)
                rest = await take(completed, 5)
            assert sorted(event.run for event in (*first, *rest)) == [f"run-{number}" for number in range(6)]
            async with events.subscribe("run.*", after=first[0].place) as later:
                check_in_order(await take(later, 10), recorded[2:])
            async with events.subscribe("run.*", since=0.0) as everything:
                check_in_order(await take(everything, 12), recorded)
            async with asyncio.timeout(PATIENCE_S):
                while lane.is_behind:
                    await asyncio.sleep(0.01)
        assert told
        assert told == [("bus", False), ("bus", True)] * (len(told) // 2), "each time once"


async def test_a_run_is_told_to_whoever_asks_for_it(server: NatsServer, tmp_path: Path) -> None:
    """With `bus.events`, what a runtime does is told by whoever runs a relay, and by nobody else; it can be heard
    live and read again."""
    bus = BusSettings(url=server.url, events=True)
    settings = Settings(database=str(tmp_path / "q.db"), bus=bus)
    clerk = Agent("clerk", model=ScriptedModel(["On shelf 3."] * 2))
    async with open_runtime(settings, agents=[clerk]) as runtime, open_events(settings) as events:
        async with events.subscribe("run.*") as live:
            first = await runtime.submit("Where is parcel 7?", agent="clerk")
            await first.wait()
            assert [notice.kind for notice in await runtime.store.outbox.pending()] == ["run.created", "run.completed"]
            async with open_relay(settings, runtime.store):
                heard = await take(live, 2)
                assert [(event.run, event.kind) for event in heard] == [
                    (first.id, "run.created"), (first.id, "run.completed"),
                ]  # fmt: skip
                assert (read_data(heard[1], RunFacts).agent, heard[1].tenant) == ("clerk", "default")
                assert b"shelf" not in b"".join(bytes(event.data) for event in heard)
        second = await runtime.submit("And parcel 8?", agent="clerk")
        await second.wait()
        async with open_relay(settings, runtime.store), events.subscribe("run.*", key=second.id, after=0) as kept:
            assert [event.kind for event in await take(kept, 2)] == ["run.created", "run.completed"]
    with pytest.raises(InvalidInput, match=r"Events go over a bus, and the settings name none: set `bus\.url`"):
        async with open_relay(Settings(bus=BusSettings(events=True)), runtime.store):
            pass
    async with open_relay(Settings(), runtime.store) as relay:
        assert relay is None


async def test_a_run_that_was_put_aside_is_a_dead_letter(server: NatsServer, tmp_path: Path) -> None:
    """Once, however often it is told, with why."""
    async with (
        open_sqlite_store(tmp_path / "q.db", outbox=True) as store,
        open_nats_bus(server.url, tenant="acme", streams=build_relay_rules("acme")) as bus,
    ):
        await record(store, 1)
        parked = RunWaiting(run="run-1", seq=3, time=3.0, reason="parked", note="5 workers\ndied of it")
        await store.log.append("run-1", [parked], expected=2)
        sink = BusSink(bus, store.log, tenant="acme")
        notices = await store.outbox.pending()
        await sink.take(notices)
        await sink.take(notices)
        async with bus.subscribe("ai.dead.runs.acme", after=0) as letters, asyncio.timeout(PATIENCE_S):
            letter = await anext(aiter(letters))
            assert (letter.headers["Quorate-Reason"], letter.headers["Quorate-Queue"]) == (
                "5 workers died of it",
                "runs",
            )
            assert b'"run-1"' in letter.data
        last = await bus.enqueue("ai.dead.runs.acme", b"end")
        assert last.seq == 2


async def test_what_a_sink_cannot_tell_is_passed_over(server: NatsServer, tmp_path: Path) -> None:
    """A run that is gone, and one of which nobody knows whose it is, keep no other from being told."""
    async with (
        open_sqlite_store(tmp_path / "q.db", outbox=True) as store,
        open_nats_bus(server.url, tenant="acme", streams=build_relay_rules("acme")) as bus,
    ):
        await record(store, 1)
        await store.log.append("run-2", [RunCompleted(run="run-2", seq=1, time=1.0, output="?")], expected=0)
        await record(store, 3)
        await store.log.delete("run-1")
        sink = BusSink(bus, store.log, tenant="acme")
        await sink.take(await store.outbox.pending())
        async with Events(bus, tenant="acme").subscribe(after=0) as told:
            assert [event.id for event in await take(told, 2)] == ["run-3/1", "run-3/2"]
        assert sink.passed_over == 3


async def test_kept_events_are_there_after_a_restart_of_the_broker(server: NatsServer) -> None:
    """From an offset and from a time, by pattern; the numbers go on where they were."""
    async with open_nats_bus(server.url, tenant="acme", streams=build_event_rules("acme")) as bus:
        events = Events(bus, tenant="acme")
        for number in range(4):
            await events.publish("disk.error" if number % 2 else "disk.fine", number, kept=True)
    await asyncio.to_thread(server.restart)
    async with open_nats_bus(server.url, tenant="acme", streams=build_event_rules("acme")) as bus:
        events = Events(bus, tenant="acme")
        await events.publish("net.dns.error", 4, kept=True)
        async with events.subscribe("**.error", after=2) as kept:
            assert [(event.place, read_data(event, int)) for event in await take(kept, 2)] == [(4, 3), (5, 4)]
        async with events.subscribe("*.fine", since=1.0) as kept:
            assert [read_data(event, int) for event in await take(kept, 2)] == [0, 2]
