"""How long does it take to count a thousand ballots on twenty options?"""

from __future__ import annotations

import random
import time

from quorate.council.ballot import Ballot, Vote
from quorate.council.rules.table import list_rules, read_rule
from quorate.council.tally import tally
from quorate.council.terms import Seat, Terms, check_terms

BALLOTS, OPTIONS = 1_000, 20
PROMISED_MS = {"schulze": 250.0, "ranked_pairs": 250.0}
"""What a rule may take; 50 ms where nothing else is said."""
USUAL_MS = 50.0


def build_votes(name: str, *, ballots: int = BALLOTS, options: int = OPTIONS) -> tuple[Terms, list[Vote]]:
    """Draw votes, no two rankings alike, of voters with weights; the seed is fixed."""
    chance = random.Random(f"{name} {ballots} {options}")
    listed = tuple(f"option {place}" for place in range(options))
    form = read_rule(name).form[0]

    def cast() -> Ballot:
        if form == "choice":
            return Ballot(choice=chance.choice(listed))
        if form == "approved":
            return Ballot(approved=tuple(chance.sample(listed, options // 2)))
        if form == "ranking":
            return Ballot(ranking=tuple(chance.sample(listed, options)))
        return Ballot(scores={option: chance.randint(0, 100) / 10 for option in listed})

    roll = tuple(Seat(voter=f"voter {place}", weight=chance.randint(1, 500) / 100) for place in range(ballots))
    terms = Terms(question="Which?", options=listed, roll=roll, rule=name)
    check_terms(terms)
    return terms, [Vote(voter=seat.voter, ballot=cast()) for seat in roll]


def measure_tallies() -> dict[str, float]:
    """Measure how many milliseconds each rule takes to check and count all ballots: the quickest of three goes."""
    found: dict[str, float] = {}
    for name in list_rules():
        terms, votes = build_votes(name)
        goes: list[float] = []
        for _ in range(3):
            began = time.perf_counter()
            tally(terms, votes)
            goes.append((time.perf_counter() - began) * 1_000)
        found[name] = min(goes)
    return found
