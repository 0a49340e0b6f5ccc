"""What becomes of a tie?

Nothing here asks who voted in which order: a tie is broken by what was declared before the vote, or not at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from quorate.council.rules.count import show_leaders
from quorate.council.terms import Terms


def break_tie(terms: Terms, tied: Sequence[str]) -> tuple[str | None, str]:
    """Choose between tied options as the terms say; return which, or `None`, and why.

    Args:
        terms: What was declared.
        tied: Two options or more.
    """
    if terms.tie == "priority":
        order = terms.priority or terms.options
        winner = min(tied, key=order.index)
        return winner, f"{winner!r:.80} comes first in the declared order"
    if terms.tie == "random":
        winner = min(tied, key=lambda option: _draw(terms.seed, option))
        return winner, f"chance fell on {winner!r:.80} by the seed {terms.seed}"
    if terms.tie == "revote":
        return None, f"there is to be another vote between {show_leaders(tied)}"
    return None, "ties are refused"


def _draw(seed: int, option: str) -> bytes:
    """Draw a lot for an option: the same in every version and on every machine, whatever the others are."""
    return hashlib.sha256(f"{seed}:{option}".encode("utf-8", "surrogatepass")).digest()
