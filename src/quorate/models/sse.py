"""Which events are in these bytes, however they were cut on their way?

Server-sent events: lines end with CR, LF or CRLF, an empty line ends an event, an event without its empty line is
not one. Only the data is kept; comments, the other fields and events without data are skipped.
"""

from __future__ import annotations

from quorate.errors import TooLarge
from quorate.models.bounds import SMALL_BYTES, check_document

MAX_EVENT_BYTES = 16 << 20
"""As long as an answer may be at all: a picture comes in one event."""
BOM = b"\xef\xbb\xbf"


class EventParser:
    """Splits a stream into the data of its events; what it holds back is bounded."""

    __slots__ = ("_after_cr", "_at_start", "_data", "_held", "_max", "_parts", "_size")

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._parts: list[bytes] = []
        """Pieces of the line under way."""
        self._held = 0
        self._data: list[bytes] = []
        """The data lines of the event under way."""
        self._size = 0
        self._after_cr = False
        self._at_start = True

    def feed(self, piece: bytes) -> list[bytes]:
        """Take some bytes and return the data of every event that is now whole.

        Raises:
            TooLarge: A line or an event is over the bound, or holds too much.
        """
        if self._after_cr and piece:
            self._after_cr = False
            if piece[0] == 10:  # the LF of a CRLF that was cut in two
                piece = piece[1:]
        if not piece:
            return []
        self._after_cr = piece[-1] == 13
        if b"\n" not in piece and b"\r" not in piece:
            self._hold(piece)
            return []
        if self._parts:
            self._parts.append(piece)
            piece = b"".join(self._parts)
            self._parts = []
            self._held = 0
        lines = piece.splitlines()
        if piece[-1] not in b"\r\n":
            self._hold(lines.pop())
        return self._take(lines)

    def _hold(self, piece: bytes) -> None:
        self._held += len(piece)
        if self._held > self._max:
            self._refuse()
        self._parts.append(piece)

    def _take(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        data = self._data
        if self._at_start and lines:
            self._at_start = False
            lines[0] = lines[0].removeprefix(BOM)
        for line in lines:
            if not line:
                if data:
                    event = data[0] if len(data) == 1 else b"\n".join(data)
                    if event:  # one without data keeps a connection alive, and says nothing
                        if len(event) > SMALL_BYTES:
                            check_document(event)
                        events.append(event)
                    data.clear()
                    self._size = 0
            elif line.startswith(b"data:") or line == b"data":
                value = line[6:] if line[5:6] == b" " else line[5:]
                self._size += len(value) + 1
                if self._size > self._max:
                    self._refuse()
                data.append(value)
        return events

    def _refuse(self) -> None:
        raise TooLarge(f"The stream holds an event of more than {self._max} bytes.", limit=self._max)
