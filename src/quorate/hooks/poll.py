"""Do the votes of several hooks let a call pass?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

from msgspec import Struct

from quorate.errors import InvalidInput, UnknownName

Cast = Literal["allow", "deny", "abstain", "absent"]
"""What one hook's vote is; `absent` where it failed."""
Tie = Literal["deny", "allow", "first"]
"""What holds where the votes decide nothing: a fixed word, or that of the first hook that voted."""
TIES: tuple[Tie, ...] = ("deny", "allow", "first")
_SHARE = re.compile(r"\d{1,9}(?:/0*[1-9]\d{0,8}|\.\d{1,9})?", re.ASCII)


class PollRule(Struct, frozen=True, kw_only=True):
    """How votes are counted, in exact shares."""

    threshold: Fraction
    """Which share of the votes cast a side needs."""
    quorum: Fraction
    """Which share of the hooks asked must have answered; one that abstains has, one that failed has not."""
    tie: Tie


class Count(Struct, frozen=True, kw_only=True):
    """What votes came to."""

    decision: Literal["allow", "deny", "none"]
    """`none` where there was no quorum or no vote: what that means is not for a count to say."""
    why: str


def read_share(text: object, what: str, *, least: Fraction) -> Fraction:
    """Read a share such as `2/3`, `0.6` or `1`, exactly.

    Args:
        text: The share.
        what: What it is called.
        least: The smallest that it may be.

    Raises:
        InvalidInput: It is none, or not between `least` and 1.
    """
    if not isinstance(text, str) or _SHARE.fullmatch(text) is None:
        raise InvalidInput(f"{what} {text!r} is no share: write it exactly, such as '2/3', '0.6' or '1'.")
    share = Fraction(text)
    if not least <= share <= 1:
        raise InvalidInput(f"{what} {text!r} is out of bounds: give {least} to 1.")
    return share


def build_rule(*, threshold: str, tie: Tie, quorum: str) -> PollRule:
    """Read and check how votes are to be counted.

    Raises:
        InvalidInput: A share or the tie rule is none.
    """
    if tie not in TIES:
        raise UnknownName("tie rule", str(tie), TIES)
    return PollRule(
        threshold=read_share(threshold, "threshold", least=Fraction(1, 10**9)),
        quorum=read_share(quorum, "quorum", least=Fraction(0)),
        tie=tie,
    )


def count_votes(votes: Sequence[Cast], rule: PollRule) -> Count:
    """Count votes: a side wins that has the threshold while the other has not; else it is a tie.

    Both have it with 2 to 2 at 1/2, neither with 3 to 2 at 2/3. The order of the votes matters to the tie rule `first`
    and to nothing else; no votes decide nothing.
    """
    allows, denies = votes.count("allow"), votes.count("deny")
    present, cast = len(votes) - votes.count("absent"), allows + denies
    said = f"{allows} allow, {denies} deny, {present - cast} abstain, {len(votes) - present} absent"
    if present < rule.quorum * len(votes):
        return Count(decision="none", why=f"no quorum of {rule.quorum}: {said}")
    if not cast:
        return Count(decision="none", why=f"nobody voted: {said}")
    need = rule.threshold * cast
    if (allows >= need) != (denies >= need):
        return Count(decision="allow" if allows >= need else "deny", why=f"{said}; {rule.threshold} needed")
    first = next(vote for vote in votes if vote in ("allow", "deny"))
    decision = first if rule.tie == "first" else rule.tie
    return Count(
        decision="allow" if decision == "allow" else "deny",
        why=f"{said}; {rule.threshold} decides nothing, and the tie rule is `{rule.tie}`",
    )
