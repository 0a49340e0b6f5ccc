"""How do the promises stand, by what is recorded?"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from msgspec import Struct

from quorate.errors import CorruptState
from quorate.events import AnyEvent, RunSummary
from quorate.ports import Log
from quorate.telemetry.facts import read_facts
from quorate.telemetry.objectives import AgentFigures, Budget, Objectives, Score

PAGE = 200
"""How many runs are read at a time."""
MOST = 100_000
"""How many runs are read at most when nothing else is said."""


class Standing(Struct, frozen=True, kw_only=True):
    """How the promises stand."""

    since: float
    """Wall time."""
    until: float
    runs: int
    """How many were looked at."""
    is_cut: bool
    """Whether there were more than could be looked at: the newest ones count."""
    unread: int
    """How many could not be read."""
    budgets: Sequence[Budget]
    agents: Sequence[AgentFigures]

    @property
    def spent(self) -> list[str]:
        """The objectives of which no budget is left."""
        return [one.objective for one in self.budgets if one.is_spent]


async def measure(
    log: Log,
    objectives: Objectives,
    *,
    since: float,
    until: float,
    tenant: str | None = None,
    agent: str | None = None,
    most: int = MOST,
) -> Standing:
    """Measure how the promises were kept for runs that were accepted in some time; runs under way do not count yet.

    Memory does not grow with the number of runs.

    Args:
        log: The record.
        objectives: What is promised.
        since: From which wall time on.
        until: Up to which.
        tenant: Whose runs; everybody's when not given.
        agent: Of which agent; of all when not given.
        most: How many runs are looked at, the newest first.
    """
    score, runs, unread, is_cut = Score(objectives), 0, 0, False
    async for page in _list_pages(log, since=since, until=until, tenant=tenant, agent=agent):
        chosen = page[: most - runs]
        is_cut = len(chosen) < len(page)
        for events in await _read(log, chosen):
            unread += not events
            score.add(read_facts(events, now=until))
        runs += len(chosen)
        if is_cut:
            break
    return Standing(
        since=since,
        until=until,
        runs=runs,
        is_cut=is_cut,
        unread=unread,
        budgets=score.list_budgets(),
        agents=score.list_agents(),
    )


async def _list_pages(
    log: Log, *, since: float, until: float, tenant: str | None, agent: str | None
) -> AsyncGenerator[list[RunSummary]]:
    before: str | None = None
    while True:
        page = await log.list_runs(tenant=tenant, agent=agent, before=before, limit=PAGE)
        chosen = [run for run in page if since <= run.created <= until]
        if chosen:
            yield chosen
        if len(page) < PAGE or page[-1].created < since:
            return
        before = page[-1].run


async def _read(log: Log, runs: Sequence[RunSummary]) -> list[Sequence[AnyEvent]]:
    """Read the logs of runs; what cannot be read is empty, and costs the others nothing."""
    names = [run.run for run in runs]
    try:
        found = await log.read_many(names)
    except CorruptState:
        return [await _read_one(log, name) for name in names]
    return [found.get(name, ()) for name in names]


async def _read_one(log: Log, run: str) -> Sequence[AnyEvent]:
    try:
        return await log.read(run)
    except CorruptState:
        return ()
