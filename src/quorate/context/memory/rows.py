"""How are notes read and changed, so that of many who write at once nobody undoes another, and caps hold?

Each contributor's note is a row of its own, which only its contributor's words and other members' recalls change, over
the very revision that was read. After each write the shelf is looked at, and what is over its caps goes, the weakest
first. All who write at once agree on what that is, since the order of strengths does not change while nobody touches
anything: what is among the strongest of all is among the strongest of whatever part one of them saw. So nobody deletes
what should stay, and whoever looks last leaves no more than the caps allow; a writer that dies before it has looked
leaves its own row too many until the next write. What is said again while it goes stays with whoever says it then.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from itertools import groupby

from msgspec import Struct

from quorate.clock import Clock
from quorate.codec.json import decode, encode
from quorate.context.memory.decay import fade, find_expiry
from quorate.context.memory.kinds import MemoryRules, Retention
from quorate.context.memory.notes import Contributor, MemoryEntry, Note
from quorate.context.memory.places import Shelf, Spot, read_key
from quorate.errors import Conflict, InvalidInput, TooLarge
from quorate.ports import Entry, KeyValue

PAGE = 200
MAX_TRIES = 64
FIRST_WAIT_S, LONGEST_WAIT_S = 0.002, 0.25
LEAST_TTL_S = 0.001
FAIR = 4
"""A shelf has this many shares."""
MAX_NOTE_BYTES = 200_000


class Row(Struct, frozen=True, kw_only=True, gc=False):
    """A note where it stands."""

    spot: Spot
    note: Note
    size: int
    """Bytes as it is stored."""
    revision: int


class Looked(Struct, frozen=True):
    """What stands on a shelf."""

    rows: tuple[Row, ...] = ()
    unreadable: int = 0
    """How many rows do not verify; they are left as they are."""


class Trimmed(Struct, frozen=True):
    """What is left on a shelf, and how many notes went."""

    rows: tuple[Row, ...]
    gone: int


Change = Callable[[Note | None], Note | None]
"""Makes of the note that is there the one that shall be; the same one, or `None`, changes nothing."""


class Rows:
    """The notes of one tenant.

    Args:
        values: Where they are kept.
        prefix: What all keys begin with, such as `memory/acme/`; empty where `values` are the tenant's own already.
        rules: How long they last.
        clock: Where time comes from.
        sleep: Waits between tries.
        chance: Spreads the waits.
    """

    def __init__(
        self,
        values: KeyValue,
        *,
        prefix: str,
        rules: MemoryRules,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.rules = rules
        self.clock = clock
        self._values = values
        self._prefix = prefix
        self._sleep = sleep
        self._chance = chance

    async def look(self, shelf: Shelf, *, id: str = "") -> Looked:
        """Read a shelf, or what stands on it of one memory; what is forgotten is not seen."""
        rows, unreadable = list[Row](), 0
        async for row in self.scan(f"{shelf.prefix}{id}/" if id else shelf.prefix):
            if row is None:
                unreadable += 1
            elif self.is_alive(row):
                rows.append(row)
        return Looked(tuple(rows), unreadable)

    async def scan(self, prefix: str = "", *, after: str = "") -> AsyncGenerator[Row | None]:
        """Yield the notes whose keys begin so, forgotten ones too; `None` for a row that does not verify."""
        after = self._prefix + after if after else ""
        while True:
            entries = await self._values.scan(self._prefix + prefix, after=after, limit=PAGE)
            for entry in entries:
                yield self._read(entry)
            if len(entries) < PAGE:
                return
            after = entries[-1].key
            await asyncio.sleep(0)  # a large shelf is read without holding up everybody else

    async def scan_spots(self) -> AsyncGenerator[Spot]:
        """Yield where all notes stand, those that do not verify among them."""
        after = ""
        while entries := await self._values.scan(self._prefix, after=after, limit=PAGE):
            for entry in entries:
                spot = read_key(entry.key.removeprefix(self._prefix))
                if spot is not None:
                    yield spot
            after = entries[-1].key

    def is_alive(self, row: Row) -> bool:
        """Whether a note is not forgotten, by our own clock."""
        return self.clock.now() < find_expiry(row.note, self.rules.get(row.spot.shelf.kind))

    async def change(self, spot: Spot, change: Change) -> Note | None:
        """Store what `change` makes of a note, and return what stands there now; it is asked again when others wrote.

        A forgotten note counts as none.

        Raises:
            Conflict: Others were quicker too often.
        """
        key, retention = self._prefix + spot.key, self.rules.get(spot.shelf.kind)
        for attempt in range(MAX_TRIES):
            entry = await self._values.get(key)
            row = self._read(entry) if entry is not None else None
            before = row.note if row is not None and self.is_alive(row) else None
            after = change(before)
            if after is None or after is before:
                return before
            data = encode(after)
            if len(data) > MAX_NOTE_BYTES:
                raise TooLarge(f"A memory takes {len(data)} bytes with all that is kept of it: make its text shorter.")
            left_s = max(LEAST_TTL_S, find_expiry(after, retention) - self.clock.now())
            revision = entry.revision if entry is not None else 0
            try:
                await self._values.put(key, data, if_revision=revision, ttl_s=left_s)
            except Conflict:
                await self._sleep(self._chance() * min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**attempt))
            else:
                return after
        raise Conflict(f"Memory {spot.id} was changed by others {MAX_TRIES} times meanwhile: try again later.")

    async def delete(self, spot: Spot) -> bool:
        """Delete a note with its bytes, and say whether it was there."""
        return await self._values.delete(self._prefix + spot.key)

    async def trim(self, shelf: Shelf) -> Trimmed:
        """Delete what is forgotten on a shelf, and the weakest that is over its caps."""
        retention, alive, faded = self.rules.get(shelf.kind), list[Row](), list[Row]()
        async for row in self.scan(shelf.prefix):
            if row is not None:
                (alive if self.is_alive(row) else faded).append(row)
        surplus, gone = find_surplus(alive, retention), set[Spot]()
        for row in (*faded, *surplus):
            # What somebody has changed meanwhile stays: they look at the caps next.
            with suppress(Conflict):
                if await self._values.delete(self._prefix + row.spot.key, if_revision=row.revision):
                    gone.add(row.spot)
        return Trimmed(tuple([row for row in alive if row.spot not in gone]), len(gone))

    def _read(self, entry: Entry) -> Row | None:
        spot = read_key(entry.key.removeprefix(self._prefix))
        try:
            note = decode(entry.value, Note, what="a memory")
        except (InvalidInput, TooLarge):
            return None
        return Row(spot=spot, note=note, size=len(entry.value), revision=entry.revision) if spot is not None else None


def group(rows: Iterable[Row]) -> list[list[Row]]:
    """Put the notes of each memory together; rows come in the order of their keys, in which they are neighbours."""
    return [list(same) for _, same in groupby(rows, key=lambda row: (row.spot.shelf, row.spot.id))]


def find_lead(rows: Sequence[Row]) -> Row | None:
    """Find the oldest note that says a memory, which recalling makes stronger; `None` where nobody says it."""
    if len(rows) == 1:  # as most are
        return rows[0] if rows[0].note.times else None
    return min((row for row in rows if row.note.times), key=_age, default=None)


def _age(row: Row) -> tuple[float, str]:
    return row.note.made, row.spot.key


def find_surplus(rows: Sequence[Row], retention: Retention) -> list[Row]:
    """Find which notes on one shelf are over its caps: those of the weakest memories.

    What one contributor alone says beyond its share of a shelf goes before anybody else's: who says a thousand things
    does not make others be forgotten. Where there is room, it stays.
    """
    ordered = sorted(group(rows), key=lambda same: (-_weigh(same, retention.half_life_s), same[0].spot.id))
    share, sole = max(1, retention.max_entries // FAIR), Counter[tuple[str, str]]()
    fair, beyond = list[list[Row]](), list[list[Row]]()
    for same in ordered:
        said = {(row.spot.principal, row.spot.agent) for row in same if row.note.times}
        if len(said) == 1:
            sole.update(said)
        (beyond if len(said) == 1 and sole[said.pop()] > share else fair).append(same)
    left, gone = retention.max_kb * 1000, list[Row]()
    for place, same in enumerate((*fair, *beyond)):
        left -= sum(row.size for row in same)
        if place >= retention.max_entries or left < 0 or not any(row.note.times for row in same):
            gone += same
    return gone


def _weigh(rows: Sequence[Row], half_life_s: float) -> float:
    """Return how strong a memory is as a number that stays the same while nobody touches it."""
    last = max(row.note.at for row in rows)
    level = math.fsum(fade(row.note.level, last - row.note.at, half_life_s) for row in rows if row.note.times)
    return math.log2(level) + last / half_life_s if level > 0 else -math.inf


def build_entry(rows: Sequence[Row], *, now: float, rules: MemoryRules) -> MemoryEntry | None:
    """Make one memory of what its contributors keep of it; `None` where nobody says it any more."""
    said = sorted([row for row in rows if row.note.times], key=_age)
    if not said:
        return None
    spot, notes = said[0].spot, [row.note for row in said]
    retention = rules.get(spot.shelf.kind)
    level = math.fsum(fade(note.level, now - note.at, retention.half_life_s) for note in notes)
    return MemoryEntry(
        id=spot.id,
        kind=spot.shelf.kind,
        space=spot.shelf.space,
        place=spot.shelf.place,
        text=notes[0].text,
        contributors=tuple(sorted(Contributor(row.spot.principal, row.spot.agent) for row in said)),
        importance=max(note.importance for note in notes),
        level=level,
        made=notes[0].made,
        said=max(note.said for note in notes),
        at=max(note.at for note in notes),
        expires=max(find_expiry(note, retention) for note in notes),
        times=sum(note.times for note in notes),
        recalls=sum(note.recalls for note in notes),
        successes=sum(row.note.successes for row in rows),
        failures=sum(row.note.failures for row in rows),
        runs=tuple(dict.fromkeys(note.run for note in notes if note.run)),
        provenance=next((note.provenance for note in notes if note.provenance is not None), None),
    )
