"""When does what is at hand become lasting, and what several say become what the hive agreed?"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, structs

from quorate.context.memory.decay import SAID, begin_level, fade, raise_level
from quorate.context.memory.kinds import Consolidation, Kind
from quorate.context.memory.notes import Note, Provenance, add_mark, build_mark
from quorate.context.memory.places import Member, Shelf, Spot, list_shelves
from quorate.context.memory.rows import Row, Rows, group

PASSING: tuple[Kind, ...] = ("working", "episodic")
"""What becomes something else when it is repeated."""
AGREED: tuple[Kind, ...] = ("episodic", "semantic", "procedural")
"""What becomes collective when enough contributors say it to the hive."""


class Consolidated(Struct, frozen=True, kw_only=True):
    """What was done."""

    lasting: int = 0
    """How many working or episodic memories became lasting ones."""
    agreed: int = 0
    """How many memories became collective."""
    gone: int = 0
    """How many notes were forgotten, or were over a cap."""


class Consolidator:
    """Copies notes to where they last: first the copy is there, under a mark, so that all of it can be done again."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def consolidate(self, by: Member, *, space: str) -> Consolidated:
        """Go through all that a member may reach."""
        lasting = agreed = gone = 0
        kinds: tuple[Kind, ...] = (*PASSING, "semantic", "procedural", "collective")
        for shelf in list_shelves(by, kinds=kinds, space=space):
            trimmed = await self._rows.trim(shelf)
            gone += trimmed.gone
            for same in group(trimmed.rows):
                mine = Spot(shelf=shelf, id=same[0].spot.id, principal=by.principal, agent=by.agent)
                became = await self.promote(same, mine)
                agreed += "collective" in became
                lasting += any(kind != "collective" for kind in became)
        return Consolidated(lasting=lasting, agreed=agreed, gone=gone)

    async def promote(self, rows: Sequence[Row], mine: Spot) -> list[Kind]:
        """Make of one memory what it is to become, and say what that is; nothing where it became so before.

        Args:
            rows: All notes of the memory.
            mine: Where the note of the member is who acts.
        """
        became, rules = list[Shelf](), self._rows.rules.consolidation
        for row in rows:
            kind = find_lasting(row, rules)
            # Only its contributor's own shelf: what was said within a run is not told to everybody.
            if row.spot == mine and kind is not None:
                owner = f"{mine.principal}.{mine.agent}"
                target = structs.replace(mine.shelf, place="own", owner=owner, kind=kind)
                if await self._copy(row, target):
                    became.append(target)
        said, shelf = [row for row in rows if row.note.times], mine.shelf
        if shelf.place == "hive" and shelf.kind in AGREED and len(said) >= rules.contributors:
            target = structs.replace(shelf, kind="collective")
            if await self._agree(said, mine, target):
                became.append(target)
        for target in became:
            await self._rows.trim(target)
        return [target.kind for target in became]

    async def _agree(self, said: Sequence[Row], mine: Spot, shelf: Shelf) -> bool:
        """Copy what enough contributors say; where it is collective already, only what the one who acts says."""
        is_known = bool((await self._rows.look(shelf, id=mine.id)).rows)
        provenance, done = Provenance(contributors=len(said)), False
        for row in said:
            if not is_known or row.spot == mine:
                done = await self._copy(row, shelf, provenance) or done
        return done

    async def _copy(self, row: Row, shelf: Shelf, provenance: Provenance | None = None) -> bool:
        """Copy a note to another shelf under its own contributor, unless that was done before."""
        mark, done = build_mark("became", row.spot.key), False
        half_life_s, now = self._rows.rules.get(shelf.kind).half_life_s, self._rows.clock.now()

        def change(note: Note | None) -> Note:
            nonlocal done
            done = note is None or mark not in note.marks
            if note is None:
                left = fade(row.note.level, now - row.note.at, self._rows.rules.get(row.spot.shelf.kind).half_life_s)
                kept = structs.replace(row.note, marks=(mark,), at=now, said=now, recalls=0)
                level = max(left, begin_level(row.note.importance))
                return structs.replace(kept, level=level, provenance=provenance or row.note.provenance)
            if not done:
                return note
            level = raise_level(note.level, now - note.at, half_life_s, by=SAID)
            return structs.replace(
                note, level=level, at=max(now, note.at), said=max(now, note.said), marks=add_mark(note.marks, mark)
            )

        await self._rows.change(structs.replace(row.spot, shelf=shelf), change)
        return done


def find_lasting(row: Row, rules: Consolidation) -> Kind | None:
    """Find what a note becomes: what is repeated is a fact, what is important is what happened."""
    note, kind = row.note, row.spot.shelf.kind
    if kind not in PASSING or not note.times:
        return None
    if note.times + note.recalls >= rules.times:
        return "semantic"
    return "episodic" if kind == "working" and note.importance >= rules.importance else None
