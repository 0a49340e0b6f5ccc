"""What do all logs around another log have in common?"""

from __future__ import annotations

from collections.abc import Sequence

from quorate.events import AnyEvent, RunSummary, Status
from quorate.ports import Log, RunOrder


class LogAround:
    """A `Log` around another one, which it is like in everything that it does not change; see `quorate.ports.Log`."""

    def __init__(self, inner: Log) -> None:
        self.inner = inner

    async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
        """Add events."""
        await self.inner.append(run, events, expected=expected)

    async def read(self, run: str, *, after: int = 0, limit: int | None = None) -> list[AnyEvent]:
        """Return events after a position."""
        return await self.inner.read(run, after=after, limit=limit)

    async def read_many(self, runs: Sequence[str]) -> dict[str, list[AnyEvent]]:
        """Return the whole logs of several runs."""
        return await self.inner.read_many(runs)

    async def last(self, run: str) -> int:
        """Return the last position."""
        return await self.inner.last(run)

    async def list_runs(
        self,
        *,
        status: Status | None = None,
        agent: str | None = None,
        session: str | None = None,
        tenant: str | None = None,
        order: RunOrder = "newest",
        before: str | None = None,
        limit: int = 50,
    ) -> list[RunSummary]:
        """List runs."""
        return await self.inner.list_runs(
            status=status, agent=agent, session=session, tenant=tenant, order=order, before=before, limit=limit
        )

    async def delete(self, run: str) -> bool:
        """Forget a run."""
        return await self.inner.delete(run)
