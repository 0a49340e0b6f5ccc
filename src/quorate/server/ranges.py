"""Which bytes of a whole does somebody want (RFC 9110, section 14)?"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from urllib.parse import quote

from msgspec import Struct

from quorate.errors import InvalidInput

MAX_DIGITS = 18
"""Of a position in a header; a longer one is behind every end."""
_RANGE = re.compile(r"bytes=[ \t]*(\d*)-(\d*)[ \t]*", re.ASCII | re.IGNORECASE)
_UNQUOTED = re.compile(r"[^A-Za-z0-9!#$&+.^_`|~-]", re.ASCII)


class Span(Struct, frozen=True):
    """Bytes from `begin` up to `end`, which is not among them."""

    begin: int
    end: int

    @property
    def size(self) -> int:
        """How many they are."""
        return self.end - self.begin


class Unsatisfiable(InvalidInput):
    """Bytes are wanted that are not there."""


def read_range(header: str | None, *, size: int) -> Span | None:
    """Read a `Range`; `None` where all bytes are to be sent.

    That is also where several ranges are wanted, another unit, or what is no range: a server may answer all of these
    with the whole.

    Args:
        header: What the request says.
        size: How many bytes there are.

    Raises:
        Unsatisfiable: None of the wanted bytes is there.
    """
    found = _RANGE.fullmatch(header) if header is not None else None
    if found is None or not (found[1] or found[2]):
        return None
    first, last = (_read_place(text) for text in found.groups())
    if first is None:
        assert last is not None
        if last and not size:
            return None  # the last bytes of nothing are all of it, which no answer in part can say
        begin, end = max(0, size - last), size
    elif last is not None and last < first:
        return None
    else:
        begin, end = first, size if last is None else min(last + 1, size)
    if begin >= end:
        raise Unsatisfiable(f"There are {size} bytes, and none of those that are wanted.")
    return Span(begin, end)


async def cut(pieces: AsyncGenerator[bytes], span: Span) -> AsyncGenerator[bytes]:
    """Give out the bytes of a span, the last piece of them only once the source has come to its end.

    A source that verifies at its end what it gave has then done so: whoever has all bytes of a span has good ones.
    """
    at, held = 0, b""
    async with aclosing(pieces):
        async for piece in pieces:
            part = piece[max(span.begin - at, 0) : max(span.end - at, 0)]
            at += len(piece)
            if part:
                if held:
                    yield held
                held = part
    if held:
        yield held


def build_disposition(name: str) -> str:
    """Build the `Content-Disposition` of a download (RFC 6266): always one, under a name that leads nowhere."""
    last = name.rpartition("/")[2] or "download"
    plain = _UNQUOTED.sub("_", last)
    exact = f"; filename*=UTF-8''{quote(last, safe='')}" if plain != last else ""
    return f'attachment; filename="{plain}"{exact}'


def _read_place(text: str) -> int | None:
    digits = text.lstrip("0") or text[:1]
    return (int(digits) if len(digits) <= MAX_DIGITS else 10**MAX_DIGITS) if digits else None
