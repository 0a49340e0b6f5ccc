"""How long may each part of a model call take?"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Seconds = Annotated[float, Meta(gt=0)]


class Timeouts(Struct, frozen=True, kw_only=True):
    """The deadlines of one call, in seconds."""

    connect_s: Seconds = 5.0
    """Waiting for a place in the pool, resolving the name, connecting and shaking hands, together."""
    first_s: Seconds = 60.0
    """From sending the request to the first piece of a streamed reply."""
    idle_s: Seconds = 30.0
    """Between two pieces."""
    total_s: Seconds = 600.0
    """The whole call."""


TIMEOUTS = Timeouts()
