"""How many prefer each option to each other one?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from quorate.council.ballot import Vote

Matrix = list[list[int]]
"""In row i and column j, the weight of those who prefer the option i to j, in millionths."""


def gather_rankings(votes: Sequence[Vote], options: Sequence[str]) -> dict[tuple[int, ...], int]:
    """Add up the weights of equal rankings; a ranking is written as places of options, the best first."""
    places = {option: place for place, option in enumerate(options)}
    weights: Counter[tuple[str, ...]] = Counter()
    for vote in votes:
        if vote.weight and not vote.ballot.abstains:
            weights[vote.ballot.ranking] += vote.weight
    return {tuple(places[option] for option in ranking): weight for ranking, weight in weights.items()}


def compare_pairs(rankings: dict[tuple[int, ...], int], number: int) -> Matrix:
    """Compare each of `number` options with each other one; one ranked is preferred to all left out.

    A row is kept as one whole number while it is added up, with a lane of bits for each column, wide enough for all
    weights: one addition does for a row what a loop over its columns does else.
    """
    lane = sum(rankings.values()).bit_length() + 1
    bits = [1 << lane * place for place in range(number)]
    all_bits = sum(bits)
    rows = [0] * number
    for ranking, weight in rankings.items():
        below = all_bits
        for place in ranking:
            below ^= bits[place]
            rows[place] += weight * below
    mask = (1 << lane) - 1
    return [[row >> lane * place & mask for place in range(number)] for row in rows]


def find_closest(matrix: Matrix, winner: int) -> int:
    """Find the least lead that an option has over another in direct comparison; below 0 when it is beaten."""
    others = (place for place in range(len(matrix)) if place != winner)
    return min(matrix[winner][place] - matrix[place][winner] for place in others)
