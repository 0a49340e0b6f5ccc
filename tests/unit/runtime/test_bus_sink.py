"""Is everything told over a bus that can be, whatever stands in a log?"""

from collections.abc import AsyncGenerator

import msgspec
import pytest

from quorate.bus.backends.local import open_local_bus
from quorate.cli.events import render_happening
from quorate.events import RunCompleted, RunCreated, RunWaiting
from quorate.messages import build_user_message
from quorate.ports import Notice, Store
from quorate.ports.bus import Bus
from quorate.ports.happening import Happening
from quorate.runtime.relay.bus_sink import LONGEST_NOTE, BusSink, build_relay_rules
from quorate.runtime.relay.facts import LONGEST, MOST_KEYS, Beginning, build_facts
from quorate.state.backends.memory import open_memory_store

HUGE = "x" * 300_000


@pytest.fixture
async def store() -> AsyncGenerator[Store]:
    async with open_memory_store(outbox=True) as opened:
        yield opened


@pytest.fixture
async def bus() -> AsyncGenerator[Bus]:
    async with open_local_bus("acme", streams=build_relay_rules("acme")) as opened:
        yield opened


async def test_a_run_that_no_subject_can_name_keeps_nobody_waiting(store: Store, bus: Bus) -> None:
    """It is passed over, and the next one is told."""
    for run in ("r" * 600, "run-1"):
        created = RunCreated(run=run, seq=1, time=1.0, agent="net", messages=(build_user_message("?"),), tenant="acme")
        await store.log.append(run, [created], expected=0)
    sink = BusSink(bus, store.log, tenant="acme")
    await sink.take([*await store.outbox.pending(), Notice(id=9, run="run-1", seq=1, kind="a b", tenant="acme")])
    assert sink.passed_over == 2
    async with bus.subscribe("ai.events.kept.acme.>", after=0) as told:
        assert (await anext(aiter(told))).subject == "ai.events.kept.acme.acme.run.created.run-1"


async def test_what_is_told_fits_into_a_message(store: Store, bus: Bus) -> None:
    """Keys and notes have no bound of their own in a log; a broker has one."""
    created = RunCreated(
        run="run-1", seq=1, time=1.0, agent="net", messages=(build_user_message("?"),), tenant="acme", session="s"
    )
    parked = RunWaiting(run="run-1", seq=2, time=2.0, reason="parked", keys=(HUGE,) * 40, note=HUGE)
    facts = build_facts(parked, Beginning(agent=HUGE, session=HUGE))
    assert facts.keys == ("x" * LONGEST,) * MOST_KEYS
    assert len(msgspec.json.encode(facts)) < 20_000
    await store.log.append("run-1", [created, parked], expected=0)
    sink = BusSink(bus, store.log, tenant="acme")
    await sink.take(await store.outbox.pending())
    async with bus.subscribe("ai.dead.runs.acme", after=0) as letters:
        letter = await anext(aiter(letters))
    assert len(letter.data) < LONGEST_NOTE + 20_000


@pytest.mark.parametrize("seconds", [1e300, -1e300])
def test_what_is_shown_of_an_event_moves_no_cursor(seconds: float) -> None:
    """Who may publish chooses tenant, kind, key and time."""
    event = Happening(id="1", kind="a\x1b[2J", tenant="b\x1b[2J", time=seconds, key="c\x1b[2J")
    assert "\x1b" not in render_happening(event)


async def test_an_end_is_told(store: Store, bus: Bus) -> None:
    """With what its run began as, whichever was read first."""
    created = RunCreated(run="run-1", seq=1, time=1.0, agent="net", messages=(build_user_message("?"),), tenant="acme")
    await store.log.append("run-1", [created, RunCompleted(run="run-1", seq=2, time=2.0, output="!")], expected=0)
    await BusSink(bus, store.log, tenant="acme").take((await store.outbox.pending())[1:])
    async with bus.subscribe("ai.events.kept.acme.acme.run.completed.*", after=0) as told:
        assert b'"agent":"net"' in (await anext(aiter(told))).data
