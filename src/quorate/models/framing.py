"""How is a streamed body cut into events: server-sent events, lines of JSON, or frames of AWS?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from quorate.errors import TooLarge
from quorate.models.bounds import check_document
from quorate.models.sse import MAX_EVENT_BYTES, EventParser

Framing = Literal["events", "lines", "frames"]


class Parser(Protocol):
    """Cuts a stream; what it holds back is bounded."""

    def feed(self, piece: bytes) -> Sequence[bytes]:
        """Take some bytes and return the data of every event that is now whole.

        Raises:
            TooLarge: An event is over the bound.
            UpstreamError: The framing is broken.
        """
        ...


class LineParser:
    """Cuts a stream at its line ends; empty lines are skipped, a last line without its end is held back."""

    __slots__ = ("_held", "_size")

    def __init__(self) -> None:
        self._held: list[bytes] = []
        """Pieces of the line under way; they are joined once, at its end."""
        self._size = 0

    def feed(self, piece: bytes) -> Sequence[bytes]:
        """Take some bytes and return every line that is now whole; raises what the protocol says."""
        first, *rest = piece.split(b"\n")
        self._size += len(first)
        if self._size > MAX_EVENT_BYTES or (rest and max(map(len, rest)) > MAX_EVENT_BYTES):
            raise TooLarge(f"The stream holds a line of more than {MAX_EVENT_BYTES} bytes.", limit=MAX_EVENT_BYTES)
        self._held.append(first)
        if not rest:
            return ()
        last = rest.pop()
        lines = (b"".join(self._held), *rest)
        self._held, self._size = [last], len(last)
        for line in lines:
            check_document(line)
        return [line for line in (line.strip() for line in lines) if line]


def build_parser(framing: Framing) -> Parser:
    """Build the parser of one stream."""
    if framing == "events":
        return EventParser()
    if framing == "lines":
        return LineParser()
    from quorate.models.frames import FrameParser  # one provider alone speaks it

    return FrameParser()
