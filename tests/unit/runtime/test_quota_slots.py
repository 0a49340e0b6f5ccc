"""Do runs have places exactly while they are under way, whoever else looks at the same moment?"""

from __future__ import annotations

import msgspec
import pytest

from quorate.agent.run import PAYER
from quorate.errors import RateLimited
from quorate.events import RunCompleted, RunCreated, RunResumed, RunStarted, RunWaiting
from quorate.messages import build_user_message
from quorate.ports import Store
from quorate.runtime.quota_facts import TenantFacts
from quorate.runtime.quota_slots import GRACE_S, SPARE, RunSlots, SlotRow
from quorate.security.quotas import Quota, QuotaTable
from quorate.state.backends.memory import open_memory_store
from quorate.testing.clock import ManualClock


def build_facts(**most: int) -> TenantFacts:
    """Bound the tenant (`tenant`), or projects by their names."""
    subjects = {"" if name == "tenant" else f"project/{name}": count for name, count in most.items()}
    quotas = {subject: (Quota(kind="runs", most=count, per="now"),) for subject, count in subjects.items()}
    return TenantFacts("acme", tenant=None, table=QuotaTable(subjects=quotas))


ONE = build_facts(tenant=1)


def build_created(run: str, *, payer: str = "") -> RunCreated:
    asked = (build_user_message("why?"),)
    return RunCreated(run=run, seq=1, time=0.0, agent="clerk", messages=asked, tenant="acme", labels={PAYER: payer})


async def rest(store: Store, run: str) -> int:
    """Record a run that rests, and return its last event."""
    await store.log.append(
        run,
        (
            build_created(run),
            RunStarted(run=run, seq=2, time=0.0, attempt="try-1", owner="owner-1"),
            RunWaiting(run=run, seq=3, time=0.0, reason="approval"),
        ),
        expected=0,
    )
    return 3


async def test_a_place_of_a_run_that_is_about_to_go_on_is_nobody_elses() -> None:
    """Its log still says that it rests, as it is recorded only after the place is taken."""
    clock = ManualClock()
    async with open_memory_store(clock=clock) as store:
        first, second = (RunSlots(store.values, store.log, clock=clock) for _ in range(2))
        seq = await rest(store, "run-1")
        await first.take(ONE, "run-1", payer="", seq=seq)
        with pytest.raises(RateLimited):
            await second.take(ONE, "run-2", payer="")
        clock.advance(GRACE_S + 1)  # it never went on
        await second.take(ONE, "run-2", payer="")


async def test_a_run_that_went_on_and_rests_again_frees_its_place() -> None:
    clock = ManualClock()
    async with open_memory_store(clock=clock) as store:
        slots = RunSlots(store.values, store.log, clock=clock)
        seq = await rest(store, "run-1")
        await slots.take(ONE, "run-1", payer="", seq=seq)
        started = RunResumed(run="run-1", seq=4, time=0.0, attempt="try-2", owner="owner-1")
        await store.log.append("run-1", (started,), expected=3)
        with pytest.raises(RateLimited):
            await slots.take(ONE, "run-2", payer="")
        clock.advance(0.1)
        await store.log.append("run-1", (RunWaiting(run="run-1", seq=5, time=0.0, reason="approval"),), expected=4)
        await slots.take(ONE, "run-2", payer="")


async def test_runs_that_ended_are_not_carried_along() -> None:
    """Where quotas are never reached, nobody is ever refused a place, and what ended goes all the same."""
    clock, facts = ManualClock(), build_facts(web=5_000)
    async with open_memory_store(clock=clock) as store:
        slots = RunSlots(store.values, store.log, clock=clock)
        for number in range(3 * SPARE):
            run = f"run-{number}"
            await slots.take(facts, run, payer="web/")
            completed = RunCompleted(run=run, seq=2, time=0.0, output="done")
            await store.log.append(run, (build_created(run, payer="web/"), completed), expected=0)
            (entry,) = await store.values.scan("quotas/runs/acme")
            assert len(msgspec.msgpack.decode(entry.value, type=SlotRow).slots) <= SPARE


async def test_runs_that_nothing_bounds_take_no_place() -> None:
    """Those of other projects are looked at, and not written down: there may be very many."""
    clock, facts = ManualClock(), build_facts(web=1)
    async with open_memory_store(clock=clock) as store:
        slots = RunSlots(store.values, store.log, clock=clock)
        for number in range(20):
            run = f"run-{number}"
            await store.log.append(run, (build_created(run, payer="api/"),), expected=0)
        await slots.take(facts, "run-web", payer="web/")
        with pytest.raises(RateLimited):
            await slots.take(facts, "run-more", payer="web/")
        (entry,) = await store.values.scan("quotas/runs/acme")
        assert list(msgspec.msgpack.decode(entry.value, type=SlotRow).slots) == ["run-web"]


async def test_a_place_that_somebody_else_took_too_is_not_given_up() -> None:
    """Of two who submit the same under one key, one is refused; the other one is about to record the run."""
    clock = ManualClock()
    async with open_memory_store(clock=clock) as store:
        first, second = (RunSlots(store.values, store.log, clock=clock) for _ in range(2))
        mine = await first.take(ONE, "run-1", payer="")
        theirs = await second.take(ONE, "run-1", payer="")
        await second.free("acme", "run-1", theirs)
        await first.free("acme", "run-1", mine)
        with pytest.raises(RateLimited):
            await first.take(ONE, "run-2", payer="")
        clock.advance(GRACE_S + 1)
        mine = await first.take(ONE, "run-2", payer="")
        await first.free("acme", "run-2", mine)
        await first.take(ONE, "run-3", payer="")
