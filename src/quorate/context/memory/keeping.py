"""What can the operator of a tenant see of all its memories, and take out or delete?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from msgspec import Struct

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.context.memory.kinds import Kind, MemoryRules
from quorate.context.memory.notes import MemoryEntry, Note
from quorate.context.memory.places import Place, Shelf, Spot
from quorate.context.memory.rank import MOST_CHARS, MOST_FOUND, Candidate, Recollection, cut, rank
from quorate.context.memory.rows import Row, Rows, build_entry, find_lead
from quorate.context.memory.words import WordIndex
from quorate.errors import InvalidInput
from quorate.ids import check_id
from quorate.ports import KeyValue

ROUNDS = 3
"""How often it is looked whether anything was written while it was deleted."""
BATCH = 200
_RULES = MemoryRules()


class Listed(Struct, frozen=True, kw_only=True):
    """A memory, and where a list goes on behind it."""

    entry: MemoryEntry
    owner: str
    """Whose it is: `principal.agent`, a run, a session, or `all`."""
    after: str
    """What to give as `after` for what comes next."""


class Exported(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one contributor keeps of a memory, as it is handed out."""

    place: Place
    owner: str
    space: str
    kind: Kind
    id: str
    principal: str
    agent: str
    note: Note


class TenantMemory:
    """All memories of one tenant, for whoever operates it; members use `Memories`."""

    def __init__(
        self, values: KeyValue, *, prefix: str = "", rules: MemoryRules = _RULES, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        """Build it over the values of one tenant; cheap, and without I/O.

        Args:
            values: Where memories are kept.
            prefix: What their keys begin with, such as `memory/acme/`.
            rules: How long each kind lasts.
            clock: Where time comes from.
        """
        self._rows = Rows(values, prefix=prefix, rules=rules, clock=clock)

    async def list_memories(
        self,
        *,
        space: str = "",
        kind: Kind | None = None,
        principal: str = "",
        agent: str = "",
        after: str = "",
        limit: int = 100,
    ) -> list[Listed]:
        """List memories in the order of their keys; forgotten ones are not among them.

        Args:
            space: Only those of a space.
            kind: Only those of a kind.
            principal: Only what a principal contributed to.
            agent: Only what an agent contributed to.
            after: Only those behind the one that had this `after`.
            limit: The most of them.
        """
        found = list[Listed]()
        async with aclosing(self._scan(_fit(space, kind, principal, agent), after=after)) as memories:
            async for rows, entry in memories:
                found.append(Listed(entry=entry, owner=rows[0].spot.shelf.owner, after=rows[-1].spot.key))
                if len(found) >= limit:
                    break
        return found

    async def show(self, id: str) -> list[Listed]:
        """Show a memory wherever it stands; nothing when it is nowhere."""
        check_id(id, "memory")
        found = list[Listed]()
        async with aclosing(self._scan(lambda rows: rows[0].spot.id == id)) as memories:
            async for rows, entry in memories:
                found.append(Listed(entry=entry, owner=rows[0].spot.shelf.owner, after=rows[-1].spot.key))
        return found

    async def find(
        self,
        query: str,
        *,
        space: str = "",
        kind: Kind | None = None,
        principal: str = "",
        agent: str = "",
        limit: int = 8,
        max_chars: int = MOST_CHARS,
    ) -> Recollection:
        """Find memories by a question, best first, whoever they belong to; nothing becomes stronger by it.

        Args:
            query: The question, in words.
            space: Only those of a space.
            kind: Only those of a kind.
            principal: Only what a principal contributed to.
            agent: Only what an agent contributed to.
            limit: The most memories.
            max_chars: The most characters of all their texts together.

        Raises:
            InvalidInput: A bound is out of bounds.
        """
        if not (1 <= limit <= MOST_FOUND and 1 <= max_chars <= MOST_CHARS):
            raise InvalidInput(
                f"`limit` is {limit!r} and `max_chars` {max_chars!r}: give 1 to {MOST_FOUND} and 1 to {MOST_CHARS}."
            )
        index, candidates = WordIndex(query), list[Candidate]()
        async with aclosing(self._scan(_fit(space, kind, principal, agent))) as memories:
            async for rows, entry in memories:
                lead = find_lead(rows)
                if lead is None:
                    continue
                candidates.append(Candidate(rows, lead))
                index.add(entry.text)
                if len(candidates) % BATCH == 0:
                    await asyncio.sleep(0)
        ranked = rank(candidates, index, now=self._rows.clock.now(), rules=self._rows.rules)
        kept = cut(ranked, limit=limit, max_chars=max_chars)
        return Recollection(found=kept.found, left_off=kept.left_off, looked_at=len(candidates))

    async def forget(self, id: str) -> int:
        """Delete a memory wherever it stands, whoever said it; return how many notes that were."""
        check_id(id, "memory")
        return await self._delete(lambda spot: spot.id == id)

    async def erase(self, principal: str = "") -> int:
        """Delete all that a principal contributed, or everything; return how many notes that were."""
        if principal:
            check_id(principal, "principal")
        return await self._delete(lambda spot: not principal or spot.principal == principal)

    async def export(self, principal: str = "") -> AsyncGenerator[Exported]:
        """Yield what a principal contributed, or everything, also what is forgotten and not yet deleted."""
        if principal:
            check_id(principal, "principal")
        async with aclosing(self._rows.scan()) as rows:
            async for row in rows:
                if row is not None and (not principal or row.spot.principal == principal):
                    yield _export(row)

    async def tidy(self) -> int:
        """Delete what is forgotten, and what is over the caps; return how many notes that were."""
        shelves = dict[Shelf, None]()
        async with aclosing(self._rows.scan()) as rows:
            async for row in rows:
                if row is not None:
                    shelves[row.spot.shelf] = None
        gone = 0
        for shelf in shelves:
            gone += (await self._rows.trim(shelf)).gone
        return gone

    async def _delete(self, fits: Callable[[Spot], bool]) -> int:
        gone = 0
        for _ in range(ROUNDS):
            left = [spot async for spot in self._rows.scan_spots() if fits(spot)]
            for spot in left:
                gone += await self._rows.delete(spot)
            if not left:
                break
        return gone

    async def _scan(
        self, fits: Callable[[list[Row]], bool], *, after: str = ""
    ) -> AsyncGenerator[tuple[list[Row], MemoryEntry]]:
        """Yield memories with their notes; the notes of one are neighbours."""
        same = list[Row]()
        async with aclosing(self._rows.scan(after=after)) as rows:
            async for row in rows:
                if row is None or not self._rows.is_alive(row):
                    continue
                if same and (row.spot.shelf, row.spot.id) != (same[0].spot.shelf, same[0].spot.id):
                    built = self._build(same, fits)
                    same = []
                    if built is not None:
                        yield built
                same.append(row)
        built = self._build(same, fits) if same else None
        if built is not None:
            yield built

    def _build(self, rows: list[Row], fits: Callable[[list[Row]], bool]) -> tuple[list[Row], MemoryEntry] | None:
        entry = build_entry(rows, now=self._rows.clock.now(), rules=self._rows.rules) if fits(rows) else None
        return None if entry is None else (list(rows), entry)


def _fit(space: str, kind: Kind | None, principal: str, agent: str) -> Callable[[list[Row]], bool]:
    def fits(rows: list[Row]) -> bool:
        shelf = rows[0].spot.shelf
        return (
            (not space or shelf.space == space)
            and (kind is None or shelf.kind == kind)
            and any(
                (not principal or row.spot.principal == principal) and (not agent or row.spot.agent == agent)
                for row in rows
            )
        )

    return fits


def _export(row: Row) -> Exported:
    spot, shelf = row.spot, row.spot.shelf
    return Exported(
        place=shelf.place,
        owner=shelf.owner,
        space=shelf.space,
        kind=shelf.kind,
        id=spot.id,
        principal=spot.principal,
        agent=spot.agent,
        note=row.note,
    )
