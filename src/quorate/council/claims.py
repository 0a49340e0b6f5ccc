"""Which of the things that several members say are the same, and which contradict each other?"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from msgspec import Struct

from quorate.council.exhibits import normalize_text
from quorate.council.sameness import read_number, write_canonical
from quorate.errors import InvalidInput

MAX_CLAIMS = 50
"""How many things one member may say."""
MAX_TEXT, MAX_EVIDENCE = 2_000, 10
MAX_SAID = 30_000
"""How many characters one member may say in all."""
Value = str | int | float | bool | None


class Claim(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that a member says."""

    text: str
    about: str = ""
    """What has the value, such as `port of the database`."""
    value: Value = None
    evidence: tuple[str, ...] = ()


class Claims(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a member answers."""

    items: tuple[Claim, ...]


class Relations(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a judge answers of numbered items."""

    same: tuple[tuple[int, ...], ...] = ()
    conflicts: tuple[tuple[int, int], ...] = ()


NOTHING = Relations()
"""No judge was asked."""


class Evidence(Struct, frozen=True, kw_only=True):
    """What shows an item, and who says so."""

    by: str
    text: str


class MergedItem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that one or more members say."""

    number: int
    text: str
    """In the words of the first who says it."""
    about: str = ""
    value: Value = None
    by: tuple[str, ...]
    """Who says it, each once."""
    evidence: tuple[Evidence, ...] = ()
    wordings: tuple[str, ...] = ()
    """Other words for it."""
    conflicts: tuple[int, ...] = ()
    """The numbers of those that contradict it."""


class _Group:
    """Claims that say the same."""

    def __init__(self) -> None:
        self.claims: list[tuple[str, Claim]] = []
        self.about = ""
        self.value: Value = None

    def add(self, member: str, claim: Claim) -> None:
        """Take a claim in."""
        self.claims.append((member, claim))
        if not self.about and _find_subject(claim):
            self.about, self.value = claim.about, claim.value


def check_claims(found: Claims) -> None:
    """Check what a member says.

    Raises:
        InvalidInput: It is too much, or a part of it says nothing; all faults are told.
    """
    if faults := [*_find_faults(found)]:
        raise InvalidInput("; ".join(faults)[:4_000], faults=tuple(faults))


def join_claims(
    said: Sequence[tuple[str, tuple[Claim, ...]]], relations: Relations = NOTHING
) -> tuple[MergedItem, ...]:
    """Join what is the same, and mark what contradicts each other.

    The same words are the same, and so is the same value for the same thing, case and white space aside; different
    values for the same thing are a conflict. Items are numbered by who says them first.

    Args:
        said: Who says what.
        relations: What a judge adds, by the numbers that the items have without it.

    Raises:
        InvalidInput: The judge names items that there are not, or joins what contradicts each other; all is told.
    """
    groups = _group(said)
    conflicts = _find_conflicts(groups)
    if relations.same or relations.conflicts:
        groups, conflicts = _relate(groups, conflicts, relations)
    return tuple(_build_item(place, group, conflicts) for place, group in enumerate(groups, 1))


def _group(said: Sequence[tuple[str, tuple[Claim, ...]]]) -> list[_Group]:
    groups: list[_Group] = []
    by_value: dict[str, _Group] = {}
    by_text: dict[str, _Group] = {}
    for member, claims in said:
        for claim in claims:
            subject, text = _find_subject(claim), normalize_text(claim.text).rstrip(".! ")
            typed = f"{subject}\0{_find_value(claim.value)}" if subject else ""
            group = by_value.get(typed) if typed else None
            if group is None:
                alike = by_text.get(text)
                if alike is not None and not (
                    typed and alike.about
                ):  # the same words for other values are not the same
                    group = alike
            if group is None:
                group = _Group()
                groups.append(group)
            group.add(member, claim)
            by_text.setdefault(text, group)
            if typed:
                by_value.setdefault(typed, group)
    return groups


def _find_conflicts(groups: Sequence[_Group]) -> set[frozenset[int]]:
    """Find the pairs of places that have different values for the same thing."""
    subjects: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        if group.about:
            subjects.setdefault(normalize_text(group.about), []).append(place)
    return {
        frozenset(pair)
        for places in subjects.values()
        for pair in itertools.combinations(places, 2)
        if _find_value(groups[pair[0]].value) != _find_value(groups[pair[1]].value)
    }


def _relate(
    groups: Sequence[_Group], conflicts: set[frozenset[int]], relations: Relations
) -> tuple[list[_Group], set[frozenset[int]]]:
    """Add what a judge says."""
    named = {number for one in (*relations.same, *relations.conflicts) for number in one}
    if strays := sorted(number for number in named if not 1 <= number <= len(groups)):
        raise InvalidInput(f"there is no item {', '.join(map(str, strays[:10]))}: there are 1 to {len(groups)}")
    roots = list(range(len(groups)))

    def find(place: int) -> int:
        while roots[place] != place:
            place = roots[place]
        return place

    for same in relations.same:
        for first, second in itertools.pairwise(same):
            low, high = sorted((find(first - 1), find(second - 1)))
            roots[high] = low
    pairs = conflicts | {frozenset((first - 1, second - 1)) for first, second in relations.conflicts}
    torn = sorted(sorted(place + 1 for place in pair) for pair in pairs if len({find(place) for place in pair}) == 1)
    if torn:
        shown = ", ".join(" and ".join(map(str, pair)) for pair in torn[:10])
        raise InvalidInput(f"these contradict each other and cannot be the same: {shown}")
    joined: dict[int, _Group] = {}
    for place, group in enumerate(groups):
        target = joined.setdefault(find(place), _Group())
        for member, claim in group.claims:
            target.add(member, claim)
    numbers = {root: place for place, root in enumerate(joined)}
    return list(joined.values()), {frozenset(numbers[find(place)] for place in pair) for pair in pairs}


def _build_item(number: int, group: _Group, conflicts: set[frozenset[int]]) -> MergedItem:
    texts = list(dict.fromkeys(claim.text.strip() for _, claim in group.claims))
    given = dict.fromkeys((member, text) for member, claim in group.claims for text in claim.evidence)
    rivals = sorted(place + 1 for pair in conflicts if number - 1 in pair for place in pair if place != number - 1)
    return MergedItem(
        number=number,
        text=texts[0],
        about=group.about,
        value=group.value,
        by=tuple(dict.fromkeys(member for member, _ in group.claims)),
        evidence=tuple(Evidence(by=member, text=text) for member, text in given),
        wordings=tuple(texts[1:]),
        conflicts=tuple(rivals),
    )


def _find_subject(claim: Claim) -> str:
    """Find what a claim has a value for; empty where it has none."""
    return normalize_text(claim.about) if claim.value is not None else ""


def _find_value(value: Value) -> str:
    """Write a value so that equal ones are written alike, also a number that one member gives as text."""
    if isinstance(value, str):
        try:
            value = read_number(value)
        except InvalidInput:
            value = normalize_text(value)
    return write_canonical(value)


def _find_faults(found: Claims) -> Iterator[str]:
    if len(found.items) > MAX_CLAIMS:
        yield f"it has {len(found.items)} items: give {MAX_CLAIMS} at most"
    total = 0
    for place, one in enumerate(found.items, 1):
        total += len(one.text) + len(one.about) + sum(map(len, one.evidence))
        total += len(one.value) if isinstance(one.value, str) else 0
        if not one.text.strip() or len(one.text) > MAX_TEXT:
            yield f"item {place} has a text of {len(one.text)} characters: give 1 to {MAX_TEXT}"
        if len(one.evidence) > MAX_EVIDENCE:
            yield f"item {place} has {len(one.evidence)} pieces of evidence: give {MAX_EVIDENCE} at most"
        if one.value is not None and not one.about.strip():
            yield f"item {place} has a value: say in `about` what has it"
    if total > MAX_SAID:
        yield f"it has {total} characters in all: give {MAX_SAID} at most"
