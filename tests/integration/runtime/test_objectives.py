"""Do the promises stand as the record says?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from quorate.errors import CorruptState
from quorate.events import AnyEvent, RunCompleted, RunCreated, RunFailed, RunStarted
from quorate.ports import Log
from quorate.runtime.objectives import PAGE, Standing, measure
from quorate.specs import Limits
from quorate.state.around import LogAround
from quorate.state.backends.sqlite import open_sqlite_store
from quorate.telemetry.objectives import Budget, load_objectives

OBJECTIVES = load_objectives()
NOW = 1_000_000.0


async def record(
    log: Log, number: int, *, agent: str = "net", tenant: str = "default", age_s: float = 100.0, took_s: float = 1.0,
    waited_s: float = 0.5, code: str = "", is_begun: bool = True,
) -> None:  # fmt: skip
    run, born = f"run-{number:05}", NOW - age_s
    events: list[AnyEvent] = [
        RunCreated(run=run, seq=1, time=born, agent=agent, tenant=tenant, messages=(), limits=Limits())
    ]
    if is_begun:
        events.append(RunStarted(run=run, seq=2, time=born + waited_s))
        if code:
            events.append(RunFailed(run=run, seq=3, time=born + took_s, code=code, message=""))
        else:
            events.append(RunCompleted(run=run, seq=3, time=born + took_s, output="x"))
    await log.append(run, events, expected=0)


def find(standing: Standing, objective: str) -> Budget:
    return next(one for one in standing.budgets if one.objective == objective)


async def test_promises_are_measured_over_many_runs(tmp_path: Path) -> None:
    """Over several pages; by agent and tenant; only those of the time that is asked for. part of row D14"""
    async with open_sqlite_store(str(tmp_path / "q.db")) as store:
        log = store.log
        for number in range(2 * PAGE + 5):
            took_s = 30.0 if number % 100 == 0 else 0.5
            await record(log, number, age_s=900 - number, took_s=took_s, code="upstream_error" if number == 7 else "")
        await record(log, 90_001, age_s=50, agent="host", code="invalid_input")
        await record(log, 90_002, age_s=49, agent="host", is_begun=False)
        await record(log, 90_003, age_s=1, agent="host", is_begun=False)
        await record(log, 90_004, age_s=5, tenant="globex", code="unavailable")
        standing = await measure(log, OBJECTIVES, since=NOW - 3_600, until=NOW, tenant="default")
        assert (standing.runs, standing.is_cut, standing.unread) == (2 * PAGE + 8, False, 0)
        assert (find(standing, "availability").total, find(standing, "availability").bad) == (2 * PAGE + 6, 1)
        assert (find(standing, "latency").total, find(standing, "latency").bad) == (2 * PAGE + 6, 5)
        assert (find(standing, "activation").total, find(standing, "activation").bad) == (2 * PAGE + 7, 1)
        assert find(standing, "consensus").total == 0
        assert standing.spent == ["availability"], "one of 411 is more than one of a thousand"
        figures = {one.agent: one for one in standing.agents}
        assert (figures["net"].runs, figures["net"].failed) == (2 * PAGE + 5, 1)
        assert (figures["net"].p50_s, figures["net"].p99_s) == (
            pytest.approx(0.5, rel=0.02),
            pytest.approx(30, rel=0.02),
        )
        everybody = await measure(log, OBJECTIVES, since=NOW - 3_600, until=NOW)
        assert find(everybody, "availability").bad == 2
        host = await measure(log, OBJECTIVES, since=NOW - 3_600, until=NOW, agent="host")
        assert (host.runs, find(host, "availability").bad) == (3, 0)
        lately = await measure(log, OBJECTIVES, since=NOW - 60, until=NOW, tenant="default")
        assert lately.runs == 3
        few = await measure(log, OBJECTIVES, since=NOW - 3_600, until=NOW, most=PAGE + 1)
        assert (few.runs, few.is_cut) == (PAGE + 1, True)


class Broken(LogAround):
    """A log one of whose runs cannot be read."""

    async def read_many(self, runs: Sequence[str]) -> dict[str, list[AnyEvent]]:
        raise CorruptState("a row does not verify")

    async def read(self, run: str, *, after: int = 0, limit: int | None = None) -> list[AnyEvent]:
        if run == "run-00001":
            raise CorruptState("a row does not verify")
        return await self.inner.read(run, after=after, limit=limit)


async def test_a_run_that_cannot_be_read_costs_no_other(tmp_path: Path) -> None:
    async with open_sqlite_store(str(tmp_path / "q.db")) as store:
        for number in range(3):
            await record(store.log, number)
        standing = await measure(Broken(store.log), OBJECTIVES, since=0, until=NOW)
        assert (standing.runs, standing.unread, find(standing, "availability").total) == (3, 1, 2)
