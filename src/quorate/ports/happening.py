"""What does one learn of something that happened elsewhere?"""

from __future__ import annotations

import msgspec
from msgspec import Struct


class Happening(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """That something happened, told over a bus to whoever wants to know."""

    id: str
    """The same each time it is told: who must not count twice remembers it."""
    kind: str
    """What happened, as words joined by dots, such as `run.completed`."""
    tenant: str
    """Whose it is."""
    time: float
    """When it happened, in wall time."""
    key: str = ""
    """What it happened to; events of one key come in order."""
    run: str = ""
    """In which run it happened, if in one."""
    seq: int = 0
    """Which event of that run's log it is."""
    data: msgspec.Raw = msgspec.Raw(b"null")
    """What there is to tell, as JSON; `quorate.bus.event_subjects.read_data` reads it."""
    place: int = 0
    """Its number in the stream that keeps it, where it was read from one: what to read on `after`."""
