"""What does a voter say, and is it something that can be counted?"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

from msgspec import Struct

from quorate.errors import InvalidInput, mend_text

UNIT = 1_000_000
"""What a weight of 1 counts as: weights are whole millionths, so that sums do not depend on their order."""
MAX_REASON, MAX_EVIDENCE = 8_000, 100
FIELDS = ("choice", "approved", "ranking", "scores", "vetoes")
"""What a rule may read of a ballot."""


class Ballot(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a voter says: one thing of the kind that the rule reads, or that it abstains.

    Whoever has no opinion abstains: an empty ballot is a mistake, and never counts as a vote.
    """

    choice: str = ""
    """The one option it is for."""
    approved: tuple[str, ...] = ()
    """Each option that it could live with."""
    ranking: tuple[str, ...] = ()
    """Options, the best first; those left out share the last place."""
    scores: dict[str, float] = {}
    """How good each option is; one left out has the lowest score."""
    vetoes: tuple[str, ...] = ()
    """Options that must not be."""
    abstains: bool = False
    """Present, and for none of them."""
    reason: str = ""
    confidence: float | None = None
    """How sure the voter is to be right, 0 to 1."""
    evidence: tuple[str, ...] = ()
    """What it goes by: names of records, measurements, sources."""


class Vote(Struct, frozen=True, kw_only=True):
    """A ballot, whose it is, and what it weighs."""

    voter: str
    ballot: Ballot
    weight: int = UNIT
    """In millionths."""


def weigh(weight: float) -> int:
    """Write a weight in whole millionths."""
    return round(weight * UNIT)


def check_ballot(ballot: Ballot, options: Collection[str], form: tuple[str, ...]) -> None:
    """Check what every rule asks of a ballot; all faults are told at once.

    Args:
        ballot: What was cast.
        options: What there is to choose from.
        form: The fields that the rule reads; one of them must be there, and no other.

    Raises:
        InvalidInput: It cannot be counted; the message says why, and can be shown to who cast it.
    """
    if faults := [*_find_faults(ballot, options, form)]:
        raise InvalidInput(f"The ballot cannot be counted: {'; '.join(faults)}.", faults=tuple(faults))


def _find_faults(ballot: Ballot, options: Collection[str], form: tuple[str, ...]) -> Iterable[str]:
    given = [field for field in FIELDS if getattr(ballot, field)]
    if ballot.abstains and given:
        yield f"it abstains and has `{'`, `'.join(given)}` too: do the one or the other"
    elif stray := [field for field in given if field not in form]:
        yield f"this rule does not read `{'`, `'.join(stray)}`: give `{'` or `'.join(form)}`"
    elif not given and not ballot.abstains:
        yield f"it is empty: give `{'` or `'.join(form)}`, or set `abstains`"
    named = [ballot.choice] if ballot.choice else []
    known = frozenset(options)
    for field, names in (
        ("choice", named),
        ("approved", ballot.approved),
        ("ranking", ballot.ranking),
        ("scores", ballot.scores),
        ("vetoes", ballot.vetoes),
    ):
        if len(names) > len(known.intersection(names)):
            yield from _find_strays(field, names, options)
    if ballot.choice and ballot.choice in ballot.vetoes:
        yield f"it chooses {ballot.choice!r:.80} and vetoes it"
    for option, score in ballot.scores.items():
        if not math.isfinite(score):
            yield f"the score of {option!r:.80} is {score!r}: give a number"
    if ballot.confidence is not None and not 0 <= ballot.confidence <= 1:
        yield f"`confidence` is {ballot.confidence!r}: give 0 to 1"
    if len(ballot.reason) > MAX_REASON:
        yield f"`reason` has {len(ballot.reason)} characters: give {MAX_REASON} at most"
    if any(mend_text(text) != text for text in (ballot.reason, *ballot.evidence)):
        yield "`reason` or `evidence` has characters that no text may have: lone surrogates"
    if len(ballot.evidence) > MAX_EVIDENCE or any(len(one) > MAX_REASON for one in ballot.evidence):
        yield f"`evidence` is too long: give {MAX_EVIDENCE} at most, of {MAX_REASON} characters each"


def _find_strays(field: str, names: Collection[str], options: Collection[str]) -> Iterable[str]:
    strays = [name for name in names if name not in options]
    if strays:
        shown = ", ".join(f"{name!r:.80}" for name in strays[:3])
        more = f" and {len(strays) - 3} more" if len(strays) > 3 else ""
        known = ", ".join(f"{option!r:.80}" for option in [*options][:12])
        yield f"`{field}` names {shown}{more}, and the options are {known}"
    elif len(set(names)) < len(names):
        double = next(name for place, name in enumerate(names) if name in [*names][:place])
        yield f"`{field}` names {double!r:.80} twice"
