"""What is kept of a memory, by whom, and how do several who say the same make one memory?"""

from __future__ import annotations

import hashlib
import unicodedata

from msgspec import Struct

from quorate.context.memory.kinds import Kind
from quorate.context.memory.places import Place
from quorate.errors import InvalidInput, TooLarge, mend_text

MAX_TEXT = 4000
"""The most characters of one memory; more than that is an artifact."""
MAX_MARKS = 32
MARK_LENGTH = 16


class Contributor(Struct, frozen=True, order=True):
    """Who said something: taken from the run, never from words."""

    principal: str
    agent: str


class Provenance(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why something counts as agreed: a decision was recorded, or so many contributors had said it."""

    decision: str = ""
    """The decision's id."""
    contributors: int = 0


class Note(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one contributor keeps of a memory: one stored row."""

    text: str
    importance: float
    level: float
    """How strong it was at `at`."""
    at: float
    """When it was last said or recalled."""
    said: float
    """When its contributor last said it."""
    made: float
    times: int = 1
    """How often its contributor said it; a note of 0 only counts what was tried and failed."""
    recalls: int = 0
    successes: int = 0
    failures: int = 0
    run: str = ""
    """The run it was last said in."""
    provenance: Provenance | None = None
    vector: bytes = b""
    """The text as an embedder saw it: little-endian floats of 32 bits."""
    embedder: str = ""
    """Which embedder; vectors of two are never compared."""
    marks: tuple[str, ...] = ()
    """The calls that changed it last, so that one made again after a crash changes nothing."""


class MemoryEntry(Struct, frozen=True, kw_only=True):
    """A memory as it is shown: what all its contributors' notes make together."""

    id: str
    kind: Kind
    space: str
    place: Place
    """Whose it is: the hive's, a contributor's own, a run's or a session's."""
    text: str
    contributors: tuple[Contributor, ...]
    importance: float
    level: float
    """How strong it is now."""
    made: float
    said: float
    at: float
    """When it was last said or recalled."""
    expires: float
    """From when on it is forgotten unless somebody says or recalls it."""
    times: int = 1
    recalls: int = 0
    successes: int = 0
    failures: int = 0
    runs: tuple[str, ...] = ()
    """In which runs it was said last, one for each contributor."""
    provenance: Provenance | None = None


def check_text(text: str) -> str:
    """Return a text as it is kept, or refuse it.

    Raises:
        InvalidInput: It says nothing.
        TooLarge: It is too long for a memory.
    """
    clean = unicodedata.normalize("NFC", mend_text(text)).replace("\0", "").strip()
    if not clean:
        raise InvalidInput("There is nothing to remember: give a text of a sentence or two.")
    if len(clean) > MAX_TEXT:
        raise TooLarge(
            f"A memory has at most {MAX_TEXT} characters and this one has {len(clean)}: remember what matters of it, "
            "or save the whole as an artifact and remember its handle."
        )
    return clean


def build_id(text: str) -> str:
    """Build a memory's id from what it says, so that the same thing said twice is one memory.

    White space, the full stop at the end and the case of the first letter make no difference; anything else may.
    """
    plain = " ".join(text.split()).removesuffix(".").rstrip()
    if plain[1:2].islower():
        plain = plain[0].lower() + plain[1:]
    return f"mem-{hashlib.sha256(plain.encode()).hexdigest()[:32]}"


def build_mark(verb: str, key: str) -> str:
    """Build what a call leaves in what it changed; nothing where the call has no key."""
    return hashlib.sha256(f"{verb}\0{key}".encode()).hexdigest()[:MARK_LENGTH] if key else ""


def add_mark(marks: tuple[str, ...], mark: str) -> tuple[str, ...]:
    """Add a call's mark; the oldest go."""
    return (*marks, mark)[-MAX_MARKS:] if mark else marks
