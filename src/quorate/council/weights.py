"""What does a vote weigh, by how far its voter is to be relied on?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from quorate.council.terms import Seat
from quorate.errors import InvalidInput


def build_weights(trust: Mapping[str, float], roll: Iterable[Seat], *, log_odds: bool = False) -> tuple[Seat, ...]:
    """Give each seat the weight that its voter has earned; take the result into the terms when a vote is opened.

    Args:
        trust: How far each voter is trusted, 0 to 1; one who is not named keeps its weight.
        roll: Who may vote.
        log_odds: Whether a vote weighs `ln(p / (1 - p))`, which is best where `p` really is how often each is right,
            and voters err independently (Nitzan and Paroush, "Optimal Decision Rules in Uncertain Dichotomous Choice
            Situations", 1982); one who is right no more often than chance then weighs nothing, unless all are so.

    Raises:
        InvalidInput: Trust is none.
    """
    for voter, value in trust.items():
        if not 0 <= value <= 1:
            raise InvalidInput(f"Trust in {voter!r:.200} is {value!r}: give 0 to 1.")
    seats = [(seat, trust.get(seat.voter)) for seat in roll]
    if log_odds:
        seats = [(seat, None if value is None else _find_odds(value)) for seat, value in seats]
        if all(not value for _, value in seats if value is not None) and all(value is not None for _, value in seats):
            seats = [(seat, trust[seat.voter]) for seat, _ in seats]
    return tuple(
        Seat(voter=seat.voter, weight=seat.weight if value is None else round(value, 6), group=seat.group)
        for seat, value in seats
    )


def _find_odds(trust: float) -> float:
    bounded = min(max(trust, 0.5), 1 - 1e-6)
    return math.log(bounded / (1 - bounded))
