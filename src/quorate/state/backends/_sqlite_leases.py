"""How does a SQLite file tell who is alive, and which runs nobody works on?"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress

from msgspec import structs

from quorate.clock import Clock
from quorate.codec.json import encode_text
from quorate.errors import CorruptState, Fenced
from quorate.events import RunSummary
from quorate.ports import Lease
from quorate.state.backends._checks import can_judge, check_count, check_text, is_living
from quorate.state.backends._sqlite_line import Line
from quorate.state.backends._sqlite_list import build_summaries
from quorate.state.backends._sqlite_read import RunRow


class SqliteLeases:
    """A `Leases` in a SQLite file, by a clock."""

    __slots__ = ("_clock", "_line")

    def __init__(self, line: Line, clock: Clock) -> None:
        self._line = line
        self._clock = clock

    async def beat(self, owner: str, *, ttl_s: float, epoch: int = 0) -> Lease:
        """Begin or prolong a lease; see `quorate.ports.Leases`."""
        check_text(owner, "owner")

        def write(connection: sqlite3.Connection, statements: Mapping[str, str]) -> Lease:
            now, known = self._clock.now(), _find_lease(connection, statements, owner)
            if (known.epoch if known is not None else 0) != epoch:
                raise Fenced(f"Owner {owner!r} was declared dead: its runs may be others' now.", owner=owner)
            since = known.since if known is not None and is_living(known, now=now, ttl_s=ttl_s) else now
            lease = Lease(owner=owner, epoch=epoch or 1, since=since, expires=now + ttl_s)
            connection.execute(statements["save_lease"], structs.astuple(lease))
            return lease

        return await self._line.change(write)

    async def drop(self, owner: str) -> None:
        """End a lease; see `quorate.ports.Leases`."""
        check_text(owner, "owner")

        def write(connection: sqlite3.Connection, statements: Mapping[str, str]) -> None:
            connection.execute(statements["drop_lease"], (owner,))

        await self._line.change(write)

    async def find_work(
        self, lease: Lease, *, ttl_s: float, limit: int = 10, agents: Sequence[str] | None = None
    ) -> list[RunSummary]:
        """Find runs to take; see `quorate.ports.Leases`."""
        check_count(limit, "limit")
        only = None if agents is None else encode_text(agents)

        def read(connection: sqlite3.Connection, statements: Mapping[str, str]) -> tuple[list[RunRow], bool]:
            now = self._clock.now()
            rows = find_ready(connection, statements, now=now, limit=limit, agents=only)
            dead = find_dead(connection, statements, lease, now=now, ttl_s=ttl_s)
            # Who cannot take what a dead one left need not write that it is dead, again and again.
            return rows, any(only is None or _find_owned(connection, statements, o, limit=1, agents=only) for o in dead)

        def declare(connection: sqlite3.Connection, statements: Mapping[str, str]) -> list[RunRow]:
            now, rows = self._clock.now(), list[RunRow]()
            for owner in find_dead(connection, statements, lease, now=now, ttl_s=ttl_s):
                if found := _find_owned(connection, statements, owner, limit=limit, agents=only):
                    connection.execute(statements["declare_dead"], (owner,))
                    rows += found
            return rows

        rows, is_anybody_dead = await self._line.ask(read)
        if is_anybody_dead:
            rows = [*rows, *await self._line.change(declare)]
        return _build_sound(sorted(rows, key=_get_run)[:limit])

    async def list_leases(self) -> list[Lease]:
        """List the leases there are; see `quorate.ports.Leases`."""

        def read(connection: sqlite3.Connection, statements: Mapping[str, str]) -> list[Lease]:
            return [_build_lease(row) for row in connection.execute(statements["list_leases"]).fetchall()]

        return await self._line.ask(read)


def _build_sound(rows: Sequence[RunRow]) -> list[RunSummary]:
    """Build the lines about runs, without those that do not verify: nobody may take them, and others go on."""
    found: list[RunSummary] = []
    for row in rows:
        with suppress(CorruptState):
            found += build_summaries([row])
    return found


def _get_run(row: RunRow) -> str:
    return row[0]


def find_ready(
    connection: sqlite3.Connection,
    statements: Mapping[str, str],
    *,
    now: float,
    limit: int,
    agents: str | None = None,
) -> list[RunRow]:
    """Find what is queued, and what waits and whose time has come; of the agents in a JSON array, or of all."""
    if agents is not None:
        values = {"limit": limit, "agents": agents}
        queued = connection.execute(statements["find_queued_of"], values).fetchall()
        return [*queued, *connection.execute(statements["find_due_of"], {**values, "now": now}).fetchall()]
    queued = connection.execute(statements["find_queued"], {"limit": limit}).fetchall()
    return [*queued, *connection.execute(statements["find_due"], {"now": now, "limit": limit}).fetchall()]


def _find_owned(
    connection: sqlite3.Connection, statements: Mapping[str, str], owner: str, *, limit: int, agents: str | None
) -> list[RunRow]:
    values = {"owner": owner, "limit": limit}
    if agents is None:
        return connection.execute(statements["find_owned"], values).fetchall()
    return connection.execute(statements["find_owned_of"], {**values, "agents": agents}).fetchall()


def find_dead(
    connection: sqlite3.Connection, statements: Mapping[str, str], judge: Lease, *, now: float, ttl_s: float
) -> Sequence[str]:
    """Find owners of what runs that have no living lease; none where `judge` may not say so."""
    stored = _find_lease(connection, statements, judge.owner)
    if stored is None or stored.epoch != judge.epoch or not can_judge(stored, now=now, ttl_s=ttl_s):
        return ()
    dead: list[str] = []
    owner: str | None = ""
    while (owner := connection.execute(statements["find_owner"], (owner,)).fetchone()[0]) is not None:
        lease = _find_lease(connection, statements, owner)
        if lease is None or not is_living(lease, now=now, ttl_s=ttl_s):
            dead.append(owner)
    return dead


def _find_lease(connection: sqlite3.Connection, statements: Mapping[str, str], owner: str) -> Lease | None:
    row = connection.execute(statements["get_lease"], (owner,)).fetchone()
    return None if row is None else _build_lease(row)


def _build_lease(row: tuple[str, int, float, float]) -> Lease:
    owner, epoch, since, expires = row
    return Lease(owner=owner, epoch=epoch, since=since, expires=expires)
