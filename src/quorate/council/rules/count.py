"""What is a rule, and what comes of counting by one?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import ClassVar, Protocol

from msgspec import Struct

from quorate.council.ballot import UNIT, Ballot, Vote

MAX_NAMED = 6
"""How many options a sentence names."""


class Count(Struct, frozen=True, kw_only=True):
    """What ballots come to by a rule, before quorum and ties are looked at."""

    points: dict[str, float]
    """Of each option, in the order of the options; what they are is the rule's to say."""
    leaders: tuple[str, ...]
    """Who wins; several when they are tied, none when nobody reached what the rule asks for."""
    why: str
    margin: float | None = None
    """By how much the one leader is ahead of the next, in what the rule counts; 0 in a tie."""


class Rule(Protocol):
    """A way to count, which depends on the ballots and the options alone, and never on the order of the ballots.

    A ballot that abstains is among the votes only where it counts against every option; rules that ask for no share
    leave it out. A rule is a value: one of the same bounds counts the same.
    """

    form: ClassVar[tuple[str, ...]]
    """The fields that it reads of a ballot."""
    needs_weights: ClassVar[bool]
    """Whether it has no meaning where nobody declared weights."""

    def check(self, ballot: Ballot, options: Sequence[str]) -> None:
        """Check that a ballot can be counted.

        Raises:
            InvalidInput: It cannot; the message can be shown to who cast it.
        """
        ...

    def count(self, votes: Sequence[Vote], options: Sequence[str]) -> Count:
        """Count ballots, each of which was checked."""
        ...


def sum_weights(votes: Iterable[Vote]) -> int:
    """Add up what votes weigh, in millionths."""
    return sum(vote.weight for vote in votes)


def choose_most(points: Mapping[str, int]) -> tuple[str, ...]:
    """Name the options that have the most points; none when none has any."""
    most = max(points.values(), default=0)
    return tuple(option for option, number in points.items() if number == most) if most > 0 else ()


def find_lead(points: Iterable[int]) -> int:
    """Subtract the second highest number of points from the highest."""
    first, second, *_ = [*sorted(points, reverse=True), 0, 0]
    return first - second


def show_points(points: Mapping[str, int], unit: int = UNIT) -> dict[str, float]:
    """Write whole numbers of millionths as numbers to read."""
    return {option: number / unit for option, number in points.items()}


def show_number(number: float | Fraction) -> str:
    """Write a number as short as it can be read."""
    return f"{float(number):.6g}"


def show_leaders(leaders: Sequence[str]) -> str:
    """Name options for a sentence; long ones are cut."""
    named = [f"{name!r:.80}" for name in leaders[:MAX_NAMED]]
    if len(leaders) > MAX_NAMED:
        named.append(f"{len(leaders) - MAX_NAMED} more")
    return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"


def lead_by_points(points: Mapping[str, int], what: str, *, unit: int = UNIT) -> Count:
    """Let the option with the most points win.

    Args:
        points: Of each option, whole numbers.
        what: What they are, for the sentence that says why.
        unit: How many of them are shown as one.
    """
    leaders = choose_most(points)
    if not leaders:
        return Count(points=show_points(points, unit), leaders=(), why=f"no option has any {what}")
    number = show_number(points[leaders[0]] / unit)
    why = f"{show_leaders(leaders)} {'has' if len(leaders) == 1 else 'have each'} {number} {what}, the most"
    return Count(points=show_points(points, unit), leaders=leaders, why=why, margin=find_lead(points.values()) / unit)
