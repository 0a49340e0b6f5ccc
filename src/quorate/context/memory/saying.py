"""What becomes of a note when its contributor says the same again, or somebody recalls it?"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, structs

from quorate.context.memory.decay import RECALLED, SAID, begin_level, raise_level
from quorate.context.memory.notes import Note, Provenance, add_mark
from quorate.errors import InvalidInput

Outcome = Literal["confirmed", "success", "failure"]
"""What somebody says of a memory: that it is so, that what it tells worked, or that it did not."""


class Saying(Struct, frozen=True, kw_only=True):
    """Something that is said now, and what it makes of the note that is there."""

    text: str
    importance: float
    mark: str
    run: str
    provenance: Provenance | None
    outcome: Outcome = "confirmed"
    vector: bytes = b""
    embedder: str = ""

    def apply(self, note: Note | None, *, now: float, half_life_s: float) -> Note:
        """Make the note that shall be there; the same one when this very call was noted before."""
        failed = self.outcome == "failure"
        counts = {"successes": int(self.outcome == "success"), "failures": int(failed)}
        if note is None:
            return Note(
                text=self.text,
                importance=self.importance,
                level=begin_level(self.importance),
                at=now,
                said=now,
                made=now,
                times=int(not failed),
                run=self.run,
                provenance=self.provenance,
                vector=self.vector,
                embedder=self.embedder,
                marks=add_mark((), self.mark),
                **counts,
            )
        if self.mark and self.mark in note.marks:
            return note
        level = raise_level(note.level, now - note.at, half_life_s, by=0.0 if failed else SAID)
        return structs.replace(
            note,
            importance=max(note.importance, self.importance),
            level=level,
            at=max(note.at, now),
            said=note.said if failed else max(note.said, now),
            times=note.times + (not failed),
            run=self.run or note.run,
            provenance=self.provenance or note.provenance,
            vector=self.vector or note.vector,
            embedder=self.embedder or note.embedder,
            marks=add_mark(note.marks, self.mark),
            successes=note.successes + counts["successes"],
            failures=note.failures + counts["failures"],
        )


def check_importance(importance: float) -> float:
    """Return an importance, or raise `InvalidInput` where it is not from 0 to 1."""
    if not 0 <= importance <= 1:  # of what is no number, neither holds
        raise InvalidInput(f"`importance` is {importance!r}: give a number from 0 to 1.")
    return importance


def touch(note: Note | None, *, now: float, half_life_s: float, mark: str) -> Note | None:
    """Make of a note what it is once somebody recalled it; the same one when this very call was noted before."""
    if note is None or (mark and mark in note.marks):
        return note
    return structs.replace(
        note,
        level=raise_level(note.level, now - note.at, half_life_s, by=RECALLED),
        at=max(now, note.at),
        recalls=note.recalls + 1,
        marks=add_mark(note.marks, mark),
    )
