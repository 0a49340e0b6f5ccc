"""What do judges' preferences between two answers at a time make of all of them together?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

from quorate.council.pairs import PairResult, count_copeland, find_cycles, find_sure_winner, fit_strengths
from quorate.council.panel import MAX_TOLD, Absent

MAX_CYCLES = 10
MAX_SHOWN = 200
"""How many characters of a reason are kept in the report; the record has all of it."""
SAME = 1e-6
"""By how much strengths must differ to be different."""
OnTie = Literal["refuse", "strength"]
"""Nobody wins; or the stronger one by the Bradley-Terry model does, where one is."""


class Contest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is compared."""

    question: str
    answers: dict[str, str]
    """By whatever name they have in the report; judges do not see it."""


class Preference(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a judge answers."""

    reason: str
    better: Literal["first", "second", "tie"]


class Ranked(Struct, frozen=True, kw_only=True):
    """Where one answer stands."""

    name: str
    place: int
    """1 is the best; equals share a place."""
    wins: int
    losses: int
    ties: int
    copeland: int
    """How many it beats, less how many beat it."""
    strength: float
    """By the Bradley-Terry model; all add up to 1."""


class CompareReport(Struct, frozen=True, kw_only=True):
    """How several answers compare."""

    winner: str | None
    answer: str
    """What the winner says."""
    ranking: tuple[Ranked, ...]
    matrix: dict[str, dict[str, float]]
    """For each the share of judges that prefer it to each other one it was compared with, a tie as a half."""
    pairs: tuple[PairResult, ...]
    cycles: tuple[tuple[str, str, str], ...]
    """Threes of which each is preferred to the next one; ten at most are told."""
    missing: dict[str, str]
    """Members who gave no answer, and why."""
    method: Literal["all pairs", "swiss"]
    swayed: float
    """The share of all comparisons in which a judge went by the place of the answers."""
    longer_won: float | None
    """The share of won pairs that the longer answer won; `None` where there are none."""
    why: str


def count_preferences(
    one: str, other: str, views: Sequence[tuple[Preference | Absent, Preference | Absent]], *, needed: int
) -> PairResult:
    """Count what judges prefer of two answers.

    Args:
        one: Who stood first when they were first asked.
        other: Who stood second.
        views: What each judge said first, and what it said when they stood the other way round.
        needed: How many must have said something both times.
    """
    heard = [(there, back) for there, back in views if isinstance(there, Preference) and isinstance(back, Preference)]
    said = Counter((there.better, back.better) for there, back in heard)
    reasons = tuple(there.reason[:MAX_SHOWN] for there, _ in heard[:2])
    for_one, for_other = said["first", "second"], said["second", "first"]
    return PairResult(
        one=one,
        other=other,
        for_one=for_one,
        for_other=for_other,
        ties=len(heard) - for_one - for_other,
        swayed=said["first", "first"] + said["second", "second"],
        absent=len(views) - len(heard),
        is_judged=len(heard) >= needed,
        reasons=reasons,
    )


def sum_up(
    contest: Contest,
    results: Sequence[PairResult],
    *,
    missing: dict[str, str],
    is_swiss: bool,
    tie: OnTie,
) -> CompareReport:
    """Make one report of how pairs compare; it says the same whatever their order.

    Args:
        contest: What was compared.
        results: How.
        missing: Who gave no answer, and why.
        is_swiss: Whether not all pairs were compared.
        tie: What becomes of several who are equal.
    """
    names = [*contest.answers]
    ranking = _rank(names, results, fit_strengths(names, results), is_swiss=is_swiss, tie=tie)
    winner, why = _find_winner(ranking, results, is_swiss=is_swiss, tie=tie)
    cycles = find_cycles(results, most=MAX_CYCLES)
    asked = sum(one.for_one + one.for_other + one.ties for one in results if one.reasons)
    matrix: dict[str, dict[str, float]] = {name: {} for name in names}
    for one in results:
        if one.is_judged:
            share = (one.for_one + one.ties / 2) / max(1, one.for_one + one.for_other + one.ties)
            matrix[one.one][one.other], matrix[one.other][one.one] = share, 1 - share
    if cycles:
        why += f"; there is no order among {', '.join(cycles[0])}, each is preferred to the next"
    return CompareReport(
        winner=winner or None,
        answer=contest.answers[winner] if winner else "",
        ranking=tuple(ranking),
        matrix=matrix,
        pairs=tuple(results),
        cycles=cycles,
        missing=missing,
        method="swiss" if is_swiss else "all pairs",
        swayed=sum(one.swayed for one in results) / asked if asked else 0.0,
        longer_won=_count_longer(contest, results),
        why=why,
    )


def _rank(
    names: Sequence[str], results: Sequence[PairResult], strengths: Mapping[str, float], *, is_swiss: bool, tie: OnTie
) -> list[Ranked]:
    """Order answers: by Copeland's points, where all pairs were compared, else by strength; equals share a place."""
    copeland = count_copeland(names, results)
    points = dict.fromkeys(names, 0) if is_swiss else copeland
    order = sorted(names, key=lambda name: (-points[name], -strengths[name], name))
    ranking: list[Ranked] = []
    for number, name in enumerate(order, 1):
        before = ranking[-1] if ranking else None
        is_equal = (
            before is not None
            and points[before.name] == points[name]
            and (not (is_swiss or tie == "strength") or before.strength - strengths[name] <= SAME)
        )
        own = [one for one in results if name in one.pair and one.is_judged]
        wins = sum(one.winner == name for one in own)
        ties = sum(not one.winner for one in own)
        ranking.append(
            Ranked(
                name=name,
                place=before.place if before is not None and is_equal else number,
                wins=wins,
                losses=len(own) - wins - ties,
                ties=ties,
                copeland=copeland[name],
                strength=strengths[name],
            )
        )
    return ranking


def _find_winner(
    ranking: Sequence[Ranked], results: Sequence[PairResult], *, is_swiss: bool, tie: OnTie
) -> tuple[str, str]:
    """Find who wins, empty where nobody does, and say why."""
    unjudged = [one.pair for one in results if not one.is_judged]
    best, second = ranking[0], ranking[1]
    told = f"{best.name!r:.80} is preferred to {best.wins} others, {best.losses} to it"
    if second.place == best.place:
        equals = [one.name for one in ranking if one.place == best.place]
        return "", f"{len(equals)} are equally good: {', '.join(equals)}"[:MAX_TOLD]
    if is_swiss:
        is_sure = not any(best.name in pair for pair in unjudged)
    elif unjudged:
        is_sure = find_sure_winner({one.name: one.copeland for one in ranking}, unjudged) == best.name
    else:
        is_sure = True
    if not is_sure:
        return "", f"{told}, but {len(unjudged)} of {len(results)} pairs were not judged, and might change it"
    return best.name, told


def _count_longer(contest: Contest, results: Sequence[PairResult]) -> float | None:
    sizes = {name: len(text) for name, text in contest.answers.items()}
    won = [
        sizes[one.winner] == max(sizes[one.one], sizes[one.other])
        for one in results
        if one.winner and sizes[one.one] != sizes[one.other]
    ]
    return sum(won) / len(won) if won else None


def tell_too_few(contest: Contest, missing: dict[str, str]) -> CompareReport:
    """Report that there were not two answers to compare."""
    return CompareReport(
        winner=None,
        answer="",
        ranking=(),
        matrix={},
        pairs=(),
        cycles=(),
        missing=missing,
        method="all pairs",
        swayed=0.0,
        longer_won=None,
        why=f"{len(contest.answers)} of {len(contest.answers) + len(missing)} members answered: there is no comparison",
    )
