"""How does a PostgreSQL database tell who is alive, and which runs nobody works on?"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from quorate.errors import CorruptState, Fenced
from quorate.events import RunSummary
from quorate.ports import Lease
from quorate.state.backends._postgres_lines import Lines
from quorate.state.backends._postgres_rows import SummaryRow, decode_summaries, escape, unescape

LeaseRow = tuple[int, float, float]
"""Epoch, since, and expires."""


class PostgresLeases:
    """A `Leases` in a PostgreSQL database, by its clock."""

    __slots__ = ("_lines",)

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    async def beat(self, owner: str, *, ttl_s: float, epoch: int = 0) -> Lease:
        """Begin or prolong a lease; see `quorate.ports.Leases`."""
        if epoch:
            rows = await self._lines.write(LeaseRow, "prolong_lease", escape(owner), ttl_s, epoch)
        else:
            rows = await self._lines.write(LeaseRow, "begin_lease", escape(owner), ttl_s)
        if not rows:
            raise Fenced(f"Owner {owner!r} was declared dead: its runs may be others' now.", owner=owner)
        ((number, since, expires),) = rows
        return Lease(owner=owner, epoch=number, since=since, expires=expires)

    async def drop(self, owner: str) -> None:
        """End a lease; see `quorate.ports.Leases`."""
        await self._lines.write(tuple[()], "drop_lease", escape(owner))

    async def find_work(
        self, lease: Lease, *, ttl_s: float, limit: int = 10, agents: Sequence[str] | None = None
    ) -> list[RunSummary]:
        """Find runs to take; see `quorate.ports.Leases`."""
        # Statements of their own, so that those without agents keep their plans.
        of, names = ("", ()) if agents is None else ("_of", ([escape(agent) for agent in agents],))
        rows = await self._lines.read(SummaryRow, f"find_ready{of}", limit, *names)
        owners = [owner for (owner,) in await self._lines.read(tuple[str], f"find_owners{of}", *names)]
        if owners:
            values = (owners, escape(lease.owner), lease.epoch, ttl_s)
            dead = [owner for (owner,) in await self._lines.write(tuple[str], "declare_dead", *values)]
            if dead:
                rows += await self._lines.read(SummaryRow, f"find_abandoned{of}", dead, limit, *names)
        return _decode_sound(sorted(rows, key=lambda row: row[0])[:limit])

    async def list_leases(self) -> list[Lease]:
        """List the leases there are; see `quorate.ports.Leases`."""
        rows = await self._lines.read(tuple[str, int, float, float], "list_leases")
        return [
            Lease(owner=unescape(owner), epoch=epoch, since=since, expires=expires)
            for owner, epoch, since, expires in rows
        ]


def _decode_sound(rows: Sequence[SummaryRow]) -> list[RunSummary]:
    """Leave out a run whose line does not verify: whoever looks at it is told, and the others are worked on."""
    found: list[RunSummary] = []
    for row in rows:
        with suppress(CorruptState):
            found += decode_summaries([row])
    return found
