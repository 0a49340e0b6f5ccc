"""How does a member of the hive remember, recall, confirm and forget?"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Literal

from msgspec import Struct, structs

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.context.memory.consolidate import Consolidated, Consolidator
from quorate.context.memory.kinds import KINDS, Kind, MemoryRules, read_kind
from quorate.context.memory.likeness import Likeness
from quorate.context.memory.notes import MemoryEntry, Note, Provenance, build_id, build_mark, check_text
from quorate.context.memory.places import Member, Shelf, Spot, Visibility, find_shelf, list_shelves
from quorate.context.memory.rank import (
    MOST_CHARS,
    MOST_FOUND,
    WEIGHTS,
    Candidate,
    Recollection,
    Weights,
    cut,
    pack,
    rank,
)
from quorate.context.memory.rows import Rows, build_entry, find_lead, group
from quorate.context.memory.saying import Outcome, Saying, check_importance, touch
from quorate.context.memory.words import WordIndex
from quorate.errors import Conflict, InvalidInput, NotFound
from quorate.ids import check_id
from quorate.ports import Embedder, KeyValue
from quorate.specs import Caller

SPACE = "common"
"""The space of those who name none."""
BATCH = 200
"""How many texts are cut into words before others have their turn."""
_RULES = MemoryRules()


class Remembered(Struct, frozen=True, kw_only=True):
    """What became of something that was said."""

    id: str
    outcome: Literal["kept", "reinforced", "unchanged", "full"]
    """It is new; it was known and is stronger; this very call was made before; or all on its shelf is stronger."""
    entry: MemoryEntry | None = None
    """The memory as it is now; none when there was no room."""
    became: tuple[Kind, ...] = ()
    """What else it became: it was repeated, or important, or enough contributors say the same."""
    notes: tuple[str, ...] = ()
    """What did not go as usual."""


class Forgotten(Struct, frozen=True, kw_only=True):
    """What is gone, and what stays since others keep it."""

    gone: int
    others: int = 0


class Memories:
    """The memories of one tenant, as far as a member may reach: its own, its run's, and the hive's.

    What a member says is a row of its own, so that nobody can change or delete what another says; several who say the
    same have one memory together. Every method takes the member, which is built from a run's facts.
    """

    def __init__(
        self,
        values: KeyValue,
        *,
        prefix: str = "",
        rules: MemoryRules = _RULES,
        clock: Clock = SYSTEM_CLOCK,
        embedder: Embedder | None = None,
        caller: Caller | None = None,
        is_secret: Callable[[str], bool] = lambda text: False,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Build it over the values of one tenant; cheap, and without I/O.

        Args:
            values: Where they are kept.
            prefix: What their keys begin with, such as `memory/acme/`; empty where `values` are the tenant's alone.
            rules: How long each kind lasts.
            clock: Where time comes from.
            embedder: What turns texts into vectors, so that what is alike is found without a shared word.
            caller: For whom the embedder is asked.
            is_secret: Whether a text holds what may not be kept, such as a key.
            sleep: Waits between tries when others are quicker.
            chance: Spreads those waits.
        """
        self._rows = Rows(values, prefix=prefix, rules=rules, clock=clock, sleep=sleep, chance=chance)
        self._consolidator = Consolidator(self._rows)
        self._likeness = Likeness(embedder, caller or Caller())
        self._is_secret = is_secret

    @property
    def rules(self) -> MemoryRules:
        """How long each kind lasts."""
        return self._rows.rules

    async def remember(
        self,
        text: str,
        by: Member,
        *,
        kind: str = "semantic",
        space: str = SPACE,
        visibility: Visibility = "private",
        importance: float = 0.5,
        key: str = "",
    ) -> Remembered:
        """Keep something, or make it stronger where it is known already.

        Args:
            text: What to remember: a sentence or two.
            by: Who says it.
            kind: `working`, `episodic`, `semantic` or `procedural`.
            space: Which part of the tenant's hive.
            visibility: Whether others find it.
            importance: From 0 to 1.
            key: Names this very call: made again, it changes nothing.

        Raises:
            InvalidInput: The text says nothing or holds a secret, the kind is collective or none, a number is none.
            TooLarge: The text is too long.
            Conflict: Others were quicker too often.
        """
        chosen = read_kind(kind)
        if chosen == "collective":
            raise InvalidInput(
                "What the hive agreed is not said by one of it: say it as `semantic` and shared, and it is collective "
                f"once {self.rules.consolidation.contributors} contributors have said the same, or after a decision."
            )
        text, importance = self._check(text), check_importance(importance)
        shelf = find_shelf(by, kind=chosen, space=space, visibility=visibility)
        return await self._say_new(shelf, text, by, importance=importance, mark=build_mark("remember", key))

    async def agree(
        self, text: str, by: Member, *, decision: str, space: str = SPACE, importance: float = 0.8, key: str = ""
    ) -> Remembered:
        """Keep what the hive decided; for code that has the decision's record, never for words of a model.

        Args:
            text: What was decided.
            by: Who recorded it.
            decision: The id of its record.
            space: Which part of the tenant's hive.
            importance: From 0 to 1.
            key: Names this very call: made again, it changes nothing.

        Raises:
            InvalidInput: There is no decision, or the text says nothing.
        """
        provenance = Provenance(decision=check_id(decision, "decision"))
        text, importance = self._check(text), check_importance(importance)
        shelf = find_shelf(by, kind="collective", space=space, visibility="shared")
        mark = build_mark("agree", key or decision)
        return await self._say_new(shelf, text, by, importance=importance, mark=mark, provenance=provenance)

    async def find(
        self,
        query: str,
        by: Member,
        *,
        kinds: Sequence[str] = KINDS,
        space: str = SPACE,
        limit: int = 8,
        max_chars: int = 4000,
        weights: Weights = WEIGHTS,
    ) -> Recollection:
        """Find what a member may know, best first, and leave it as it is; without a question, the strongest and newest.

        Args:
            query: The question, in words.
            by: Who asks.
            kinds: Which kinds to look at.
            space: Which part of the tenant's hive.
            limit: The most memories.
            max_chars: The most characters of all their texts together.
            weights: How much each part of the score counts.

        Raises:
            InvalidInput: A kind is none, or a bound is out of bounds.
        """
        if not (1 <= limit <= MOST_FOUND and 1 <= max_chars <= MOST_CHARS):
            raise InvalidInput(
                f"`limit` is {limit!r} and `max_chars` {max_chars!r}: give 1 to {MOST_FOUND} and 1 to {MOST_CHARS}."
            )
        chosen: list[Kind] = [read_kind(kind) for kind in kinds]
        vector, notes = await self._likeness.embed(query, purpose="query")
        index, candidates, unreadable = WordIndex(query), list[Candidate](), 0
        for shelf in list_shelves(by, kinds=chosen, space=space):
            looked = await self._rows.look(shelf)
            unreadable += looked.unreadable
            for same in group(looked.rows):
                lead = find_lead(same)
                if lead is not None:
                    likeness = self._likeness.compare(vector, same) if vector else None
                    candidates.append(Candidate(same, lead, likeness))
                    index.add(lead.note.text)
                    if len(candidates) % BATCH == 0:
                        await asyncio.sleep(0)
        ranked = rank(candidates, index, now=self._rows.clock.now(), rules=self.rules, weights=weights)
        if unreadable:
            notes = (*notes, f"{unreadable} rows cannot be read and were left out.")
        return structs.replace(cut(ranked, limit=limit, max_chars=max_chars), looked_at=len(candidates), notes=notes)

    async def recall(
        self,
        query: str,
        by: Member,
        *,
        kinds: Sequence[str] = KINDS,
        space: str = SPACE,
        limit: int = 8,
        max_chars: int = 4000,
        key: str = "",
    ) -> Recollection:
        """Find what a member may know, as `find` does, and make what was found stronger; raises what `find` raises.

        Args:
            query: The question, in words.
            by: Who asks.
            kinds: Which kinds to look at.
            space: Which part of the tenant's hive.
            limit: The most memories.
            max_chars: The most characters of all their texts together.
            key: Names this very call: made again, it makes nothing stronger.
        """
        found = await self.find(query, by, kinds=kinds, space=space, limit=limit, max_chars=max_chars)
        mark = build_mark("recall", key)
        for one in found.found:
            half_life_s, now = self.rules.get(one.entry.kind).half_life_s, self._rows.clock.now()
            try:
                await self._rows.change(one.lead, partial(touch, now=now, half_life_s=half_life_s, mark=mark))
            except Conflict:  # it is asked for so often that it is strong already
                found = structs.replace(found, notes=(*found.notes, f"{one.entry.id} could not be made stronger."))
        return found

    async def reinforce(
        self, id: str, by: Member, *, outcome: Outcome = "confirmed", space: str = SPACE, key: str = ""
    ) -> Remembered:
        """Say that a memory is so, that what it tells worked, or that it did not; whoever confirms says it, too.

        Args:
            id: Which memory.
            by: Who says so.
            outcome: What they say.
            space: Which part of the tenant's hive.
            key: Names this very call: made again, it changes nothing.

        Raises:
            NotFound: There is no such memory for this member.
        """
        check_id(id, "memory")
        mark, done = build_mark(f"reinforce/{outcome}", key), list[Remembered]()
        for shelf in list_shelves(by, kinds=KINDS, space=space):
            looked = await self._rows.look(shelf, id=id)
            entry = build_entry(looked.rows, now=self._rows.clock.now(), rules=self.rules)
            if entry is not None:
                said = Saying(
                    text=entry.text,
                    importance=entry.importance,
                    mark=mark,
                    run=by.run,
                    provenance=entry.provenance,
                    outcome=outcome,
                )
                done.append(await self._say(shelf, id, by, said=said))
        if not done:
            raise NotFound(f"There is no memory {id!r} that this member may reach: recall it first.")
        return done[0]

    async def forget(self, id: str, by: Member, *, space: str = SPACE) -> Forgotten:
        """Delete what a member said of a memory, its bytes too; what others say of it stays.

        Raises:
            InvalidInput: The id is none.
        """
        check_id(id, "memory")
        gone = others = 0
        for shelf in list_shelves(by, kinds=KINDS, space=space):
            gone += await self._rows.delete(Spot(shelf=shelf, id=id, principal=by.principal, agent=by.agent))
            others += len((await self._rows.look(shelf, id=id)).rows)
        return Forgotten(gone=gone, others=others)

    async def consolidate(self, by: Member, *, space: str = SPACE) -> Consolidated:
        """Make lasting what a member has at hand and said often or holds important, and collective what many say.

        Each part can be cut off and done again; nothing is made stronger twice.
        """
        return await self._consolidator.consolidate(by, space=space)

    def _check(self, text: str) -> str:
        text = check_text(text)
        if self._is_secret(text):
            raise InvalidInput("The text holds what looks like a key or a token: secrets are not remembered.")
        return text

    async def _say_new(
        self,
        shelf: Shelf,
        text: str,
        by: Member,
        *,
        importance: float,
        mark: str,
        provenance: Provenance | None = None,
    ) -> Remembered:
        vector, notes = await self._likeness.embed(text, purpose="document")
        said = Saying(
            text=text,
            importance=importance,
            mark=mark,
            run=by.run,
            provenance=provenance,
            vector=pack(vector),
            embedder=self._likeness.name if vector else "",
        )
        return structs.replace(await self._say(shelf, build_id(text), by, said=said), notes=notes)

    async def _say(self, shelf: Shelf, id: str, by: Member, *, said: Saying) -> Remembered:
        spot = Spot(shelf=shelf, id=id, principal=by.principal, agent=by.agent)
        half_life_s, became = self.rules.get(shelf.kind).half_life_s, list[Kind]()
        seen = list[Note | None]()

        def change(note: Note | None) -> Note | None:
            seen[:] = [note]
            return said.apply(note, now=self._rows.clock.now(), half_life_s=half_life_s)

        note = await self._rows.change(spot, change)
        left = [row for row in (await self._rows.trim(shelf)).rows if row.spot.id == spot.id]
        is_here = any(row.spot == spot for row in left)
        if is_here:
            became += await self._consolidator.promote(left, spot)
        before = seen[0]
        return Remembered(
            id=spot.id,
            outcome="full" if not is_here else "kept" if before is None else _compare(before, note),
            entry=build_entry(left, now=self._rows.clock.now(), rules=self.rules),
            became=tuple(became),
        )


def _compare(before: Note, after: Note | None) -> Literal["reinforced", "unchanged"]:
    return "unchanged" if after is before else "reinforced"
