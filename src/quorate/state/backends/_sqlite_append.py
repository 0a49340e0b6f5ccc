"""How do events get ready for the disk, each known to be readable again?"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

from quorate.events import SCHEMA_VERSION, AnyEvent, get_kind
from quorate.state.backends._lane import Job
from quorate.state.backends._rows import CHANGING, encode_event

EventRow = tuple[str, int, str, str, str, str, float, int, bytes]
"""A row of `events`, in the order of its columns."""


class Append(Job[None]):
    """Events of one run on their way to the disk, encoded already, and known to be readable again."""

    __slots__ = ("changes", "expected", "rows", "run")

    def __init__(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
        self.run = run
        self.expected = expected
        self.rows: list[EventRow] = []
        self.changes: list[AnyEvent] = []
        """Those of the events that change more of the run's line than position and time."""
        size = 0
        for seq, given in enumerate(events, expected + 1):
            event, body = encode_event(run, seq, given)
            kind = get_kind(event)
            size += len(body)
            if type(event) in CHANGING:
                self.changes.append(event)
            self.rows.append((run, seq, event.key, kind, SCHEMA_VERSION, event.attempt, event.time, crc32(body), body))
        super().__init__(size=size)
