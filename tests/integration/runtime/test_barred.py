"""Do the runs of a suspended tenant wait until it is resumed, and keep no others waiting?"""

from __future__ import annotations

from pathlib import Path

from quorate import Agent, ScriptedModel, Settings
from quorate.assembly import open_runtime
from quorate.runtime.barred import AGAIN_S
from quorate.runtime.quotas import TRUSTED_S
from quorate.runtime.tenants import TenantActs
from quorate.runtime.worker import Worker
from quorate.settings.values import AgentSettings
from quorate.state.backends.memory import open_memory_store
from quorate.testing.clock import ManualClock

MANY = 30


async def test_a_worker_leaves_the_runs_of_a_suspended_tenant(tmp_path: Path) -> None:
    """However many they are: those of others behind them are done, and they are when the tenant is resumed."""
    clock, clerk = ManualClock(), Agent("clerk", model=ScriptedModel(["done"] * (MANY + 1)))
    settings = Settings(database=str(tmp_path / "unused.db"), agents=AgentSettings(directories=(str(tmp_path),)))
    async with (
        open_memory_store(clock=clock) as store,
        open_runtime(settings, agents=[clerk], store=store, clock=clock) as runtime,
    ):
        acts = TenantActs(runtime, by="boss")
        await acts.create("acme")
        acme, other = runtime.for_tenant("acme"), runtime.for_tenant("globex")
        for number in range(MANY):
            await acme.submit(f"task {number}", agent=clerk, start=False)
            clock.advance(0.01)
        run = (await other.submit("theirs", agent=clerk, start=False)).id
        await acts.suspend("acme")
        worker = Worker(runtime, concurrency=2)
        await worker.run(until_idle=True)
        assert (await other.show(run)).status == "completed"
        assert {one.status for one in await acme.list_runs()} == {"queued"}

        await acts.resume("acme")
        clock.advance(AGAIN_S + TRUSTED_S)
        await runtime.owner.beat()
        await Worker(runtime, concurrency=2).run(until_idle=True)
        assert {one.status for one in await acme.list_runs()} == {"completed"}
