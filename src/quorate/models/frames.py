"""How is a stream of AWS's binary frames cut into events?

A frame is two lengths with their checksum, headers that say what it is, a payload, and a checksum of it all. The
payload comes out wrapped in its event's name, `{"messageStop":{...}}`, so that a decoder needs nothing but JSON.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from struct import Struct
from zlib import crc32

import msgspec

from quorate.errors import TooLarge, UpstreamError
from quorate.models.bounds import check_document
from quorate.models.sse import MAX_EVENT_BYTES

PRELUDE_BYTES = 12
CHECK_BYTES = 4
MAX_NAMES = 32
MAX_HEADERS_BYTES = 16 << 10
"""A few hundred bytes are usual."""
FIXED_BYTES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""How long the values of each type of header are; types 6 and 7 say their length themselves."""
ERROR_HEADER = "x-amzn-errortype"
_BYTES, _TEXT = 6, 7

_read_prelude = Struct("!III").unpack_from
_read_check = Struct("!I").unpack_from
_encode = msgspec.json.Encoder().encode
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


class FrameParser:
    """Cuts a stream into the events of whole frames; what it holds back is bounded."""

    __slots__ = ("_held", "_names", "_wanted")

    def __init__(self) -> None:
        self._held = bytearray()
        self._names: dict[bytes, bytes] = {}
        """What an event begins with, by its headers: nearly all frames of a stream have the same ones."""
        self._wanted = 0
        """How long the frame under way is; 0 while nobody knows."""

    def feed(self, piece: bytes) -> Sequence[bytes]:
        """Take some bytes and return the event of every frame that is now whole.

        Raises:
            TooLarge: A frame is over the bound.
            UpstreamError: A checksum is wrong, or a frame is none.
        """
        held = self._held
        held += piece
        events: list[bytes] = []
        start, size = 0, len(held)
        while True:
            if not self._wanted:
                if size - start < PRELUDE_BYTES:
                    break
                self._wanted = check_prelude(held, start)
            if size - start < self._wanted:
                break
            events.append(self._read(bytes(held[start : start + self._wanted])))
            start += self._wanted
            self._wanted = 0
        del held[:start]
        return events

    def _read(self, frame: bytes) -> bytes:
        end = check_frame(frame)
        check_document(frame)
        head = frame[PRELUDE_BYTES:end]
        name = self._names.get(head)
        if name is None:
            name = read_name(head)
            if len(self._names) < MAX_NAMES:
                self._names[head] = name
        return name + (frame[end:-CHECK_BYTES] or b"{}") + b"}"


def name_error(headers: Mapping[str, str], body: bytes) -> bytes:
    """Put an error's name around its body, where a header alone says it; another body stays as it is.

    Args:
        headers: Those of the answer, their names in lower case.
        body: What came with them.
    """
    name = headers.get(ERROR_HEADER, "").rpartition("#")[2].partition(":")[0]
    if not _NAME.fullmatch(name):
        return body
    return b'{"' + name.encode() + b'":' + (body.strip() or b"{}") + b"}"


def check_prelude(data: bytes | bytearray, start: int) -> int:
    """Check a frame's first bytes and return how long it is; raises what `feed` raises."""
    total, headers, check = _read_prelude(data, start)
    if crc32(data[start : start + 8]) != check:
        raise _garbled("the checksum of a frame's lengths is wrong")
    if total > MAX_EVENT_BYTES or headers > MAX_HEADERS_BYTES:
        raise TooLarge(
            f"The stream holds a frame of more than {MAX_EVENT_BYTES} bytes, or {MAX_HEADERS_BYTES} of headers.",
            limit=MAX_EVENT_BYTES,
        )
    if total < PRELUDE_BYTES + headers + CHECK_BYTES:
        raise _garbled("a frame is shorter than its headers")
    return total


def check_frame(frame: bytes) -> int:
    """Check a whole frame and return where its headers end; raises what `feed` raises."""
    if crc32(frame[:-CHECK_BYTES]) != _read_check(frame, len(frame) - CHECK_BYTES)[0]:
        raise _garbled("the checksum of a frame is wrong")
    return PRELUDE_BYTES + _read_prelude(frame, 0)[1]


def read_name(head: bytes) -> bytes:
    """Read from a frame's headers what its event begins with: `{"messageStop":`; raises what `feed` raises."""
    headers = read_headers(head)
    kind = headers.get(":message-type")
    if kind == "error":  # one without a payload
        said = {"code": headers.get(":error-code", ""), "message": headers.get(":error-message", "")}
        return b'{"error":' + _encode(said) + b',"payload":'
    name = headers.get(":event-type" if kind == "event" else ":exception-type", "")
    if kind not in ("event", "exception") or not _NAME.fullmatch(name):
        raise _garbled("a frame does not say what it is")
    return b'{"' + name.encode() + b'":'


def read_headers(data: bytes) -> Mapping[str, str]:
    """Read a frame's headers, the texts alone; raises what `feed` raises."""
    found: dict[str, str] = {}
    place, end = 0, len(data)
    try:
        while place < end:
            name_end = place + 1 + data[place]
            name, kind = data[place + 1 : name_end], data[name_end]
            place = name_end + 1
            if kind in (_BYTES, _TEXT):
                length = int.from_bytes(data[place : place + 2], "big")
                place += 2
            else:
                length = FIXED_BYTES[kind]
            value = data[place : place + length]
            place += length
            if kind == _TEXT:
                found[name.decode()] = value.decode()
    except (LookupError, UnicodeDecodeError) as error:
        raise _garbled("a frame's headers are none") from error
    if place != end:
        raise _garbled("a frame's headers are none")
    return found


def _garbled(why: str) -> UpstreamError:
    return UpstreamError(f"The model's stream is garbled: {why}.", retryable=True)
