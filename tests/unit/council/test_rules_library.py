"""Do our rules find the same winners as an independent library (votelib) on ten thousand random profiles?"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import votelib.convert as convert
from votelib.component.rankscore import Borda
from votelib.evaluate.cardinal import ScoreVoting
from votelib.evaluate.condorcet import RankedPairs, Schulze
from votelib.evaluate.core import Plurality, Tie
from votelib.evaluate.sequential import TransferableVoteSelector

from quorate.council.ballot import UNIT, Ballot, Vote
from quorate.council.rules.table import read_rule

PROFILES = 10_000
OPTIONS = ("A", "B", "C", "D", "E", "F")
CONDORCET = convert.RankedToCondorcetVotes()
POSITIONS = convert.RankedToPositionalVotes(Borda(base=0))
APPROVALS = convert.ApprovalToSimpleVotes()
MOST, SCHULZE, PAIRS = Plurality(), Schulze(), RankedPairs("margins")
SCORES, RUNOFF = ScoreVoting(unscored_value=0), TransferableVoteSelector(quota_function="droop")
Profile = list[tuple[Ballot, int]]


def rank(chance: random.Random, options: Sequence[str]) -> Ballot:
    return Ballot(ranking=tuple(chance.sample(options, len(options))))


def choose(chance: random.Random, options: Sequence[str]) -> Ballot:
    return Ballot(choice=chance.choice(options))


def approve(chance: random.Random, options: Sequence[str]) -> Ballot:
    return Ballot(approved=tuple(chance.sample(options, chance.randint(1, len(options)))))


def score(chance: random.Random, options: Sequence[str]) -> Ballot:
    return Ballot(scores={option: float(chance.randint(0, 10)) for option in options})


def group(profile: Profile, write: Callable[[Ballot], object]) -> dict[Any, int]:
    """Write ballots as the library wants them, equal ones together."""
    counted: Counter[object] = Counter()
    for ballot, weight in profile:
        counted[write(ballot)] += weight
    return dict(counted)


def read_winners(elected: Sequence[object]) -> set[str] | None:
    """Read whom the library elects; when nobody wins any pair it elects nobody, and says nothing."""
    if not elected:
        return None
    return set(elected[0]) if isinstance(elected[0], Tie) else {str(elected[0])}


def ask_plurality(profile: Profile) -> set[str] | None:
    return read_winners(MOST.evaluate(group(profile, lambda ballot: ballot.choice), 1))


def ask_approval(profile: Profile) -> set[str] | None:
    votes = group(profile, lambda ballot: frozenset(ballot.approved))
    return read_winners(MOST.evaluate(APPROVALS.convert(votes), 1))


def ask_score(profile: Profile) -> set[str] | None:
    return read_winners(SCORES.evaluate(group(profile, lambda ballot: frozenset(ballot.scores.items())), 1))


def ask_borda(profile: Profile) -> set[str] | None:
    return read_winners(MOST.evaluate(POSITIONS.convert(group(profile, lambda ballot: ballot.ranking)), 1))


def ask_schulze(profile: Profile) -> set[str] | None:
    return read_winners(SCHULZE.evaluate(CONDORCET.convert(group(profile, lambda ballot: ballot.ranking)), 1))


def ask_pairs(profile: Profile) -> set[str] | None:
    pairs = CONDORCET.convert(group(profile, lambda ballot: ballot.ranking))
    majorities = [number - pairs.get((other, one), 0) for (one, other), number in pairs.items() if one < other]
    if 0 in majorities or len({abs(majority) for majority in majorities}) < len(majorities):
        return None  # it takes equal wins in the order that ballots name them
    return read_winners(PAIRS.evaluate(pairs, 1))


def ask_runoff(profile: Profile) -> set[str] | None:
    try:
        return read_winners(RUNOFF.evaluate(group(profile, lambda ballot: ballot.ranking), 1))
    except NotImplementedError:  # it breaks no ties
        return None


ASKED: dict[str, tuple[Callable[[random.Random, Sequence[str]], Ballot], Callable[[Profile], set[str] | None]]] = {
    "plurality": (choose, ask_plurality),
    "approval": (approve, ask_approval),
    "score": (score, ask_score),
    "borda": (rank, ask_borda),
    "schulze": (rank, ask_schulze),
    "ranked_pairs": (rank, ask_pairs),
    "instant_runoff": (rank, ask_runoff),
}


def build_profile(chance: random.Random, cast: Callable[[random.Random, Sequence[str]], Ballot]) -> Profile:
    """Draw ballots of 2 to 15 voters on 2 to 6 options; in half of the profiles with weights, so that ties are rare."""
    options = OPTIONS[: chance.randint(2, len(OPTIONS))]
    most = chance.choice((1, 1_000))
    return [(cast(chance, options), chance.randint(1, most)) for _ in range(chance.randint(2, 15))]


@pytest.mark.parametrize("name", ASKED)
def test_an_independent_library_elects_the_same(name: str) -> None:
    """part of row D6"""
    cast, ask = ASKED[name]
    rule, chance, compared = read_rule(name), random.Random(f"2026 {name}"), 0
    while compared < PROFILES / len(ASKED):
        profile = build_profile(chance, cast)
        theirs = ask(profile)
        if theirs is None:
            continue
        compared += 1
        votes = [
            Vote(voter=f"v{place}", ballot=ballot, weight=weight * UNIT)
            for place, (ballot, weight) in enumerate(profile)
        ]
        ours = {*rule.count(votes, OPTIONS).leaders}
        # Of several that no path beats, the library names those that beat the most others.
        assert theirs <= ours if name == "schulze" else theirs == ours, (name, profile)
        assert len(theirs) == 1 or len(ours) > 1
