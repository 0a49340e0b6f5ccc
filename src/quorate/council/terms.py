"""What is a vote about, who may vote, and by which rule is it decided?

All of it is fixed before the first ballot is cast, so that nobody can fit the rule to the ballots.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from msgspec import Struct

from quorate.council.ballot import UNIT, weigh
from quorate.council.rules.table import read_rule
from quorate.errors import InvalidInput, mend_text

Tie = Literal["refuse", "priority", "random", "revote"]
"""What becomes of a tie: no decision; the first in a declared order; chance by a recorded seed; another vote."""
Abstentions = Literal["present", "against"]
"""Who abstains is present and left out of the count, or counts against every option where a rule asks for a share."""
Silence = Literal["absent", "against"]
"""Who says nothing is absent, or counts against every option where a rule asks for a share; present it is never."""
MAX_OPTIONS, MAX_SEATS, MAX_NAME, MAX_QUESTION, MAX_WEIGHT = 50, 10_000, 2_000, 100_000, 1_000_000


class Seat(Struct, frozen=True, kw_only=True):
    """Somebody who may vote."""

    voter: str
    weight: float = 1.0
    """What its vote counts; one of 0 is heard, present, and counts nothing."""
    group: str = ""
    """Who it is likely to err with: a model, a provider, a prompt."""
    key: str = ""
    """The Ed25519 key that its ballots must be signed by, in base64; empty where the chair vouches for it."""


class Terms(Struct, frozen=True, kw_only=True):
    """Everything that a result depends on beside the ballots."""

    question: str
    options: tuple[str, ...]
    roll: tuple[Seat, ...]
    rule: str = "majority"
    """Its name, or another that it is known by, and what it is bounded by: `supermajority:0.75`."""
    quorum: float = 0.5
    """Which share of those on the roll must be present, by head, 0 to 1."""
    tie: Tie = "refuse"
    priority: tuple[str, ...] = ()
    """In which order `priority` prefers options; the order they are listed in, when not given."""
    seed: int = 0
    """What chance goes by; recorded, and known to no voter before all have voted."""
    abstentions: Abstentions = "present"
    silence: Silence = "absent"
    secret: bool = False
    """Whether nobody sees a ballot before all are cast."""


def check_terms(terms: Terms) -> None:
    """Check that a vote can be held on these terms.

    Raises:
        InvalidInput: It cannot; all that is wrong is told at once, and listed in `context["faults"]`.
    """
    faults = [*_find_faults(terms)]
    if faults:
        count = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}"
        raise InvalidInput(f"The terms of the vote have {count}: {'; '.join(faults)}.", faults=tuple(faults))


def _find_faults(terms: Terms) -> Iterable[str]:
    if mend_text(terms.question) != terms.question:
        yield "`question` has lone surrogates: give text without them"
    if not terms.question.strip() or len(terms.question) > MAX_QUESTION:
        yield f"`question` has {len(terms.question)} characters: ask something, in {MAX_QUESTION} at most"
    yield from _check_names("options", terms.options, least=2, most=MAX_OPTIONS)
    yield from _check_names("roll", [seat.voter for seat in terms.roll], least=1, most=MAX_SEATS)
    yield from _check_weights(terms.roll)
    yield from _check_rule(terms)
    if not 0 <= terms.quorum <= 1:
        yield f"`quorum` is {terms.quorum!r}: give a share of the roll, 0 to 1"
    for field, value, known in (
        ("tie", terms.tie, get_args(Tie)),
        ("abstentions", terms.abstentions, get_args(Abstentions)),
        ("silence", terms.silence, get_args(Silence)),
    ):
        if value not in known:
            yield f"`{field}` is {value!r:.80}: give `{'`, `'.join(known)}`"
    if terms.priority and sorted(terms.priority) != sorted(terms.options):
        yield "`priority` does not name each option once: it must say which of any two comes first"


def _check_names(field: str, names: Sequence[str], *, least: int, most: int) -> Iterable[str]:
    if not least <= len(names) <= most:
        yield f"`{field}` has {len(names)} entries: give {least} to {most}"
    if double := [name for name, number in Counter(names).items() if number > 1]:
        yield f"`{field}` names {double[0]!r:.80} more than once"
    for name in names:
        if not name or name != name.strip() or len(name) > MAX_NAME:
            yield f"`{field}` has {name!r:.80}: give 1 to {MAX_NAME} characters without spaces around them"
        elif mend_text(name) != name:
            yield f"`{field}` has {name!r:.80}: give text without lone surrogates"


def _check_weights(roll: Sequence[Seat]) -> Iterable[str]:
    for seat in roll:
        if not math.isfinite(seat.weight) or not 0 <= seat.weight <= MAX_WEIGHT:
            yield f"the weight of {seat.voter!r:.80} is {seat.weight!r}: give 0 to {MAX_WEIGHT}"
        elif seat.weight > 0 and not weigh(seat.weight):
            yield f"the weight of {seat.voter!r:.80} is {seat.weight!r}: a millionth is the least above 0"
    if roll and all(seat.weight == 0 for seat in roll):
        yield "all weights on the roll are 0: no vote would count"


def _check_rule(terms: Terms) -> Iterable[str]:
    try:
        rule = read_rule(terms.rule)
    except InvalidInput as error:
        yield f"`rule`: {error.message.rstrip('.')}"
        return
    if rule.needs_weights and all(math.isfinite(seat.weight) and weigh(seat.weight) == UNIT for seat in terms.roll):
        yield f"the rule {terms.rule!r:.80} goes by weights, and the roll declares none: give `weight` to its seats"
