"""Which messages are in the bytes that came from a NATS server?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nats.errors import ProtocolError
from nats.protocol.parser import Parser

if TYPE_CHECKING:
    from quorate.bus.backends._nats_connection import Connection, Sink

MAX_LINE = 8192
"""How long the line before a message may be; a server's own bound is half of that."""
MAX_MESSAGE = 64 << 20
_MSG, _HMSG = 77, 72  # the letters they begin with
_END = b"\r\n"


class MessageParser(Parser):
    """Finds messages and hands them to their sinks; leaves everything else to the parser of `nats-py`.

    That one matches each message against several patterns and moves what is left of its buffer, which costs more than
    all the rest of what is done with a small message.
    """

    def __init__(self, connection: Connection, sinks: Mapping[bytes, Sink]) -> None:
        super().__init__(connection)  # pyright: ignore[reportUnknownMemberType]
        self._connection = connection
        self._sinks = sinks

    def reset(self) -> None:
        """Forget what came over another connection."""
        super().reset()
        self._chunks: list[bytes] = []
        self._size = 0
        self._needed = 0

    async def parse(self, data: bytes = b"") -> None:
        """Hand on the messages in some more bytes.

        Raises:
            ProtocolError: They are not what a NATS server sends.
        """
        if self._chunks:
            self._chunks.append(data)
            self._size += len(data)
            if self._size < self._needed:
                return  # a large message comes in many pieces, which are joined once
            data = b"".join(self._chunks)
            self._chunks.clear()
        place, size, needed = 0, len(data), 0
        while place < size:
            end = data.find(_END, place)
            if end < 0:
                if size - place > MAX_LINE and data[place] in (_MSG, _HMSG):
                    raise ProtocolError
                break
            if data[place] in (_MSG, _HMSG):
                stop = await self._read_message(data, place, end)
                if stop > size:
                    needed = stop - place
                    break
                place = stop
            else:
                await super().parse(data[place : end + 2])
                place = end + 2
        if place < size:
            self._chunks.append(data[place:])
            self._size, self._needed = size - place, needed

    async def _read_message(self, data: bytes, place: int, end: int) -> int:
        """Hand on the message whose line ends at `end`; return where it ends, beyond the data when it is not whole."""
        words = data[place:end].split()
        begin, count = end + 2, len(words)
        is_headed = data[place] == _HMSG
        try:
            size = int(words[-1])
            head = int(words[-2]) if is_headed else 0
            number = int(words[2])
        except (ValueError, IndexError):
            raise ProtocolError from None
        if count - is_headed not in (4, 5) or not 0 <= head <= size <= MAX_MESSAGE:
            raise ProtocolError
        stop = begin + size
        if stop + 2 > len(data):
            return stop + 2
        headers = data[begin : begin + head] if is_headed else None
        body = data[begin + head : stop]
        reply = words[3] if count - is_headed == 5 else b""
        sink = self._sinks.get(words[2])
        if sink is not None:
            sink(words[1], reply, body, headers)
        else:
            await self._connection.pass_on(number, words[1], reply, body, headers or b"")
        return stop + 2
