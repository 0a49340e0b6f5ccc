"""What does a place promise that keeps the counts of limits?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from quorate.models.limits.rules import Claim


class Ticket(Struct, frozen=True):
    """That a call was let through; what it really used is told with it."""

    claims: Sequence[Claim]
    ids: Sequence[int]
    """The entry in each claim's window."""
    tokens: int
    """What was set aside."""


class Refusal(Struct, frozen=True):
    """That there is no room now."""

    claim: Claim
    """The one that has to wait longest."""
    wait_s: float
    """In how many seconds there will be, as far as is known."""


class LimitStore(Protocol):
    """Counts what passes; exact, whoever else counts in the same windows at the same time."""

    is_shared: bool
    """Whether other processes count in the same windows."""

    async def admit(self, claims: Sequence[Claim], tokens: int) -> Ticket | Refusal:
        """Let a call through all of its windows, or through none; they come with the narrowest scope first.

        Raises:
            Unavailable: The counts cannot be reached, so nothing may pass.
        """
        ...

    async def settle(self, ticket: Ticket, tokens: int, *, requests: int = 1) -> None:
        """Replace what was set aside by what was used; `requests` 0 when there was no call in the end.

        Raises:
            Unavailable: The counts cannot be reached; what was set aside stays until its window has passed.
        """
        ...
