"""Which ballots, votes and terms do the tests of the council draw?"""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import strategies as st

from quorate.council.ballot import UNIT, Ballot, Vote
from quorate.council.rules.count import Rule
from quorate.council.rules.table import list_rules, read_rule
from quorate.council.terms import Seat, Terms

NAMES = (*list_rules(), "supermajority:2/3", "weighted:0.6", "veto:0.5", "score:1..5")
"""Every rule, and those that have bounds with other ones."""
OPTIONS = ("A", "B", "C", "D", "E")
CHANCES = st.integers(0, 1 << 32).map(random.Random)
"""Chance by a drawn seed: quicker than to draw each of its numbers."""
Profile = tuple[Rule, tuple[str, ...], list[Vote]]


def draw_ballot(rule: Rule, options: Sequence[str], chance: random.Random) -> Ballot:
    """Draw what a voter says; short rankings and equal scores are common."""
    some = chance.sample(options, chance.randint(1, len(options)))
    if rule.form == ("choice", "vetoes"):
        vetoes = tuple(option for option in some[1:] if chance.random() < 0.3)
        return Ballot(choice=some[0], vetoes=vetoes)
    if rule.form == ("approved",):
        return Ballot(approved=tuple(some))
    if rule.form == ("ranking",):
        return Ballot(ranking=tuple(some))
    if rule.form == ("scores",):
        return Ballot(scores={option: float(chance.randint(1, 5)) for option in some})
    return Ballot(choice=some[0])


@st.composite
def profiles(draw: st.DrawFn, names: Sequence[str] = NAMES) -> Profile:
    """Draw a rule, 2 to 5 options, and up to 9 votes, of which many weigh the same and some nothing."""
    rule = read_rule(draw(st.sampled_from(names)))
    chance = random.Random(draw(st.integers(0, 1 << 32)))
    options = OPTIONS[: chance.randint(2, len(OPTIONS))]
    weights = chance.choice(((1,), (0, 1, 2, 3), (1, 7, 30)))
    votes = [
        Vote(voter=f"v{place}", ballot=draw_ballot(rule, options, chance), weight=chance.choice(weights) * UNIT)
        for place in range(chance.randint(1, 9))
    ]
    return rule, options, votes


def rename(ballot: Ballot, names: dict[str, str]) -> Ballot:
    """Say the same with other names of the options."""
    return Ballot(
        choice=names.get(ballot.choice, ""),
        approved=tuple(names[option] for option in ballot.approved),
        ranking=tuple(names[option] for option in ballot.ranking),
        scores={names[option]: score for option, score in ballot.scores.items()},
        vetoes=tuple(names[option] for option in ballot.vetoes),
        abstains=ballot.abstains,
    )


def rank_votes(*rankings: tuple[int, str]) -> list[Vote]:
    """Write rankings as books do: how many voters, and the options from the best on, `(5, "ABC")`."""
    lines = [ranking for number, ranking in rankings for _ in range(number)]
    return [Vote(voter=f"v{place}", ballot=Ballot(ranking=tuple(line))) for place, line in enumerate(lines)]


def choose_votes(choices: str) -> list[Vote]:
    """Write choices as a word, `"AAB"`; `-` abstains."""
    ballots = [Ballot(abstains=True) if choice == "-" else Ballot(choice=choice) for choice in choices]
    return [Vote(voter=f"v{place}", ballot=ballot) for place, ballot in enumerate(ballots)]


def build_terms(seats: int = 5, **given: object) -> Terms:
    """Declare a vote of some seats, `v0` and on, on A, B and C."""
    roll = tuple(Seat(voter=f"v{place}") for place in range(seats))
    return Terms(**{"question": "Which?", "options": ("A", "B", "C"), "roll": roll, **given})  # type: ignore[arg-type]
