"""What is an answer judged by, and what is enough?"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from quorate.errors import InvalidInput

MAX_CRITERIA = 20
MAX_WORDS = 4_000
"""How many characters a question, a level or a guidance has."""


class Criterion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that an answer is judged by."""

    name: str
    question: str
    """What the judge asks itself of the answer."""
    weight: float = 1.0
    scale: tuple[int, int] = (1, 5)
    """The worst and the best score."""
    levels: tuple[str, ...] = ()
    """What each score means, the worst first; all of them or none. Judges agree more where it is written."""
    least: int | None = None
    """The score without which nothing passes, however good the rest is."""


class Rubric(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an answer is judged by, and what is enough."""

    criteria: tuple[Criterion, ...]
    passing: float = 0.6
    """The weighted score that passes, 0 to 1."""
    guidance: str = ""
    """What judges are told beside the criteria."""


def check_rubric(rubric: Rubric) -> None:
    """Check a rubric.

    Raises:
        InvalidInput: It does not hold; all faults are told.
    """
    if faults := [*_find_faults(rubric)]:
        raise InvalidInput(f"The rubric does not hold: {'; '.join(faults)}.", faults=tuple(faults))


def _find_faults(rubric: Rubric) -> Iterator[str]:
    names = [one.name for one in rubric.criteria]
    if not 1 <= len(names) <= MAX_CRITERIA or len(set(names)) < len(names):
        yield f"it has {len(names)} criteria: give 1 to {MAX_CRITERIA}, each name once"
    if not 0 <= rubric.passing <= 1:
        yield f"`passing` is {rubric.passing!r}: give a share, 0 to 1"
    if len(rubric.guidance) > MAX_WORDS:
        yield f"`guidance` has {len(rubric.guidance)} characters: give {MAX_WORDS} at most"
    for one in rubric.criteria:
        yield from (f"criterion {one.name!r:.80}: {fault}" for fault in _find_criterion_faults(one))


def _find_criterion_faults(one: Criterion) -> Iterator[str]:
    worst, best = one.scale
    if not one.name.strip() or len(one.name) > 80 or not one.name.isprintable() or '"' in one.name:
        yield "give it a name of 1 to 80 characters on one line, without quotation marks"
    if not one.question.strip() or len(one.question) > MAX_WORDS:
        yield f"its question has {len(one.question)} characters: give 1 to {MAX_WORDS}"
    if not 0 < one.weight <= 1e6:
        yield f"`weight` is {one.weight!r}: give more than 0, and 1,000,000 at most"
    if not -1_000 <= worst < best <= 1_000:
        yield f"`scale` is {one.scale!r}: give the worst and the best score, whole numbers from -1,000 to 1,000"
    elif one.levels and len(one.levels) != best - worst + 1:
        yield f"it has {len(one.levels)} levels for {best - worst + 1} scores: describe each, or none"
    if any(len(level) > MAX_WORDS for level in one.levels):
        yield f"a level has more than {MAX_WORDS} characters"
    if one.least is not None and not worst <= one.least <= best:
        yield f"`least` is {one.least}, and the scale is {worst} to {best}"
