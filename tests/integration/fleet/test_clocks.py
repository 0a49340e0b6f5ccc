"""Do clocks that jump or are wrong strand a run, or take it from an owner that lives? The database's time rules."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from quorate import Agent, Runtime, ScriptedModel, Settings
from quorate.assembly import open_runtime
from quorate.events import RunCreated, RunStarted
from quorate.messages import build_user_message
from quorate.ports import Store
from quorate.runtime.worker import Worker
from quorate.settings.values import WorkerSettings
from quorate.testing.clock import ManualClock

HOUR = 3600.0


@asynccontextmanager
async def running(store: Store, *script: str, clock: ManualClock) -> AsyncIterator[Runtime]:
    settings = Settings(database="unused", worker=WorkerSettings(lease_s=10))
    agent = Agent("clerk", model=ScriptedModel(list(script)))
    async with open_runtime(settings, store=store, clock=clock, agents=[agent]) as runtime:
        yield runtime


async def leave_behind(store: Store, run: str, *, owner: str) -> None:
    """Record a run as a process leaves it that is killed."""
    created = RunCreated(run=run, seq=1, time=0.0, agent="clerk", messages=(build_user_message("x"),))
    started = RunStarted(run=run, seq=2, time=0.0, attempt="try-1", owner=owner)
    await store.log.append(run, (created, started), expected=0)


@pytest.mark.parametrize("off", [-HOUR, HOUR])
async def test_a_worker_whose_clock_is_wrong_takes_nothing_from_the_living(store: Store, off: float) -> None:
    """A worker an hour off sees the lease of a living owner as the database sees it, and does what is queued."""
    now = 1_800_000_000.0
    async with running(store, "never", clock=ManualClock(now)) as other:
        await other.begin()
        await leave_behind(store, "run-living", owner=other.owner.id)
        async with running(store, "done", clock=ManualClock(now + off)) as wrong:
            queued = await wrong.submit("x", agent="clerk", start=False)
            await Worker(wrong).run(until_idle=True)
            assert (await wrong.show(queued.id)).status == "completed"
            assert (await wrong.show("run-living")).attempts == 1


async def test_what_nobody_owns_is_queued_whatever_the_clock_says(store: Store) -> None:
    """A run that was accepted an hour in the future is work like any other."""
    async with running(store, clock=ManualClock(1_800_000_000.0 + HOUR)) as ahead:
        queued = await ahead.submit("x", agent="clerk", start=False)
    async with running(store, "done", clock=ManualClock(1_800_000_000.0)) as behind:
        await Worker(behind).run(until_idle=True)
        summary = await behind.show(queued.id)
    assert summary.status == "completed"
