"""What came of a call: why did the model stop, and how much did it use?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from quorate.errors import Incomplete, UpstreamError

Stop = Literal["end", "tool_calls", "length", "filtered"]
MAX_COUNT = 2**53
"""More tokens than there will ever be, and few enough for arithmetic and every database."""


def read_stop(reason: str | None, stops: Mapping[str, Stop], *, has_calls: bool, partial: str) -> Stop:
    """Say in our words why a model stopped.

    Args:
        reason: What the provider said.
        stops: What its words mean.
        has_calls: Whether the reply asks for calls.
        partial: Its text.

    Raises:
        Incomplete: It did not say so.
        UpstreamError: It gave a reason nobody knows, or stopped for calls it did not make.
    """
    if not reason:
        raise Incomplete("The model's reply has no end: it was cut.", limit="stream", partial=partial)
    stop = stops.get(reason)
    if stop is None:
        known = ", ".join(f"`{name}`" for name in stops)
        raise UpstreamError(
            f"The model stopped for an unknown reason {reason[:40]!r}; known: {known}.", partial=partial
        )
    if stop == "end" and has_calls:
        return "tool_calls"
    if stop == "tool_calls" and not has_calls:
        if not partial:
            raise UpstreamError("The model stopped to call tools and named none.", retryable=True)
        return "end"
    return stop


def read_count(given: int | None) -> int:
    """Read a count: one that is missing or below nothing is 0, one beyond all sense is cut."""
    return min(max(0, given or 0), MAX_COUNT)
