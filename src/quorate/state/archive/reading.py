"""How are the runs of a store read piece by piece, however many and however long?"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from quorate.events import AnyEvent, RunSummary
from quorate.ports import Log

PAGE = 500
"""How many runs are listed, and events of a long run read, at once."""
TOGETHER = 256
"""How many events of short runs are read at once."""


async def scan_runs(log: Log, *, tenant: str | None = None) -> AsyncGenerator[list[RunSummary]]:
    """Yield all runs by their ids, a page at a time; those that begin meanwhile come at the end."""
    before: str | None = None
    while True:
        page = await log.list_runs(tenant=tenant, order="oldest", before=before, limit=PAGE)
        if page:
            yield page
        if len(page) < PAGE:
            return
        before = page[-1].run


async def read_whole(log: Log, run: str, *, upto: int | None = None) -> AsyncGenerator[AnyEvent]:
    """Yield a run's events, up to a position if one is given."""
    after = 0
    while upto is None or after < upto:
        events = await log.read(run, after=after, limit=PAGE if upto is None else min(PAGE, upto - after))
        for event in events:
            yield event
        if not events or (upto is None and len(events) < PAGE):
            return
        after = events[-1].seq


def split_runs(runs: Sequence[RunSummary]) -> list[list[RunSummary]]:
    """Put short runs together that are worth reading at once; a long one stands alone."""
    groups: list[list[RunSummary]] = []
    size = TOGETHER
    for summary in runs:
        if size + summary.events > TOGETHER:
            groups.append([])
            size = 0
        groups[-1].append(summary)
        size += summary.events
    return groups


async def read_groups(log: Log, runs: Sequence[RunSummary]) -> AsyncGenerator[tuple[RunSummary, list[AnyEvent] | None]]:
    """Yield runs with their events; `None` instead of those of a run that is too long to be read at once."""
    for group in split_runs(runs):
        if len(group) == 1 and group[0].events > TOGETHER:
            yield group[0], None
            continue
        events = await log.read_many([summary.run for summary in group])
        for summary in group:
            if summary.run in events:
                yield summary, events[summary.run]
