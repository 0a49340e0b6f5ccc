"""With which error did a recorded run fail?"""

from __future__ import annotations

from collections.abc import Sequence

from quorate.errors import (
    BlockedByPolicy,
    BudgetExceeded,
    Conflict,
    CorruptState,
    DeadlineExceeded,
    Forbidden,
    InvalidInput,
    Nondeterministic,
    NotFound,
    QuorateError,
    RateLimited,
    StorageFull,
    TooLarge,
    ToolError,
    Unauthenticated,
    Unavailable,
    UpstreamError,
)
from quorate.events import AnyEvent, RunFailed

KINDS: Sequence[type[QuorateError]] = (
    BlockedByPolicy, BudgetExceeded, Conflict, CorruptState, DeadlineExceeded, Forbidden, InvalidInput,
    Nondeterministic, NotFound, RateLimited, StorageFull, ToolError, TooLarge, Unauthenticated, Unavailable,
    UpstreamError,
)  # fmt: skip
"""Errors that can be built again from their code and their words."""


def check_failed(events: Sequence[AnyEvent]) -> None:
    """Raise what a run failed with, as whoever worked on it was told; nothing when it did not fail.

    Raises:
        QuorateError: The run failed.
    """
    last = events[-1] if events else None
    if isinstance(last, RunFailed):
        kind = next((kind for kind in KINDS if kind.code == last.code), QuorateError)
        raise kind(last.message, run=last.run)
