"""How is a log kept in memory, for scripts and tests?"""

from __future__ import annotations

from collections.abc import Sequence

from quorate.errors import Conflict
from quorate.events import AnyEvent, RunSummary, Status, summarize


class MemoryLog:
    """A `Log` that lasts as long as the process, or as whoever holds it."""

    __slots__ = ("_runs",)

    def __init__(self) -> None:
        self._runs: dict[str, list[AnyEvent]] = {}

    async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
        """Add events; see `quorate.ports.Log`."""
        stored = self._runs.get(run)
        if stored is None:
            stored = self._runs[run] = []
        if len(stored) != expected:
            raise Conflict(f"run {run!r} has {len(stored)} events, not {expected}: somebody else wrote first.", run=run)
        stored += events

    async def read(self, run: str, *, after: int = 0, limit: int | None = None) -> list[AnyEvent]:
        """Return events after a position; see `quorate.ports.Log`."""
        return self._runs.get(run, [])[after : None if limit is None else after + limit]

    async def last(self, run: str) -> int:
        """Return the last position; see `quorate.ports.Log`."""
        return len(self._runs.get(run, ()))

    async def list_runs(
        self,
        *,
        status: Status | None = None,
        agent: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> list[RunSummary]:
        """List runs, newest first; see `quorate.ports.Log`."""
        summaries = (summarize(None, self._runs[run]) for run in sorted(self._runs, reverse=True))
        chosen = [
            summary
            for summary in summaries
            if summary is not None
            and (status is None or summary.status == status)
            and (agent is None or summary.agent == agent)
            and (before is None or summary.run < before)
        ]
        return chosen[:limit]
