"""How is one request of HTTP/1.1 written, and its answer read within bounds?

The phases of a request can only be told apart by who holds the socket, so this speaks the few lines itself.
"""

from __future__ import annotations

import asyncio
import re
from typing import Literal

from msgspec import Struct

from quorate.tools.targets import WebTarget

MAX_HEAD_BYTES = 65_536
MAX_HEADERS = 100
MAX_VALUE_CHARS = 300
MAX_INTERIM = 5
SAMPLE_BYTES = 300
KEPT_HEADERS = frozenset(
    (
        *("cache-control", "connection", "content-encoding", "content-length", "content-type", "date", "location"),
        *("retry-after", "server", "transfer-encoding", "via", "www-authenticate", "x-request-id"),
    )
)
Method = Literal["GET", "HEAD"]
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: ([^\r\n]*))?")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n\0]*?)[ \t]*")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r\n")


class Malformed(Exception):
    """What came back is not HTTP/1.1, or is over a bound."""


class Head(Struct, frozen=True, kw_only=True):
    """The first part of an answer."""

    status_code: int
    reason: str
    headers: dict[str, str]
    """By lower-case name; values of one name joined by commas."""


class Body(Struct, frozen=True, kw_only=True):
    """What is known of a body without keeping it."""

    size_bytes: int = 0
    truncated: bool = False
    """Whether reading stopped at the bound."""
    is_complete: bool = True
    """False when the server closed before it had sent what it announced."""
    sample: str = ""
    """Its first characters, for a person to recognise; never an instruction."""


def build_request(target: WebTarget, method: Method, trace: str = "", *, encodings: str = "identity") -> bytes:
    """Write the request; `target` has passed the grammar, so nothing in it can end a line.

    Args:
        target: Where it goes.
        method: How it asks.
        trace: The `traceparent` that goes with it; ours, never anybody's words.
        encodings: Which packings of the body are accepted; ours as well.
    """
    lines = (
        f"{method} {target.path} HTTP/1.1",
        f"Host: {target.authority}",
        "User-Agent: quorate-probe",
        "Accept: */*",
        f"Accept-Encoding: {encodings}",
        "Connection: close",
        *((f"traceparent: {trace}",) if trace else ()),
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


async def read_head(reader: asyncio.StreamReader, first: bytes) -> Head:
    """Read up to the empty line; `first` are bytes that were read already. Interim answers are passed over.

    Raises:
        Malformed: It is no head of HTTP/1.1, or too large.
    """
    for _ in range(MAX_INTERIM):
        try:
            head = parse_head(first + await reader.readuntil(b"\r\n\r\n"))
        except asyncio.LimitOverrunError as error:
            raise Malformed(f"the head of the answer is larger than {MAX_HEAD_BYTES} bytes") from error
        except asyncio.IncompleteReadError as error:
            said = (first + error.partial)[:80]
            raise Malformed(f"the connection was closed inside the head of the answer, after {said!r}") from error
        if head.status_code >= 200:
            return head
        first = b""
    raise Malformed(f"more than {MAX_INTERIM} interim answers")


def parse_head(data: bytes) -> Head:
    """Read the bytes of a head.

    Raises:
        Malformed: They are none.
    """
    lines = data.removesuffix(b"\r\n\r\n").split(b"\r\n")
    status = _STATUS.fullmatch(lines[0])
    if status is None:
        raise Malformed(f"the answer is not HTTP/1.1: it begins {lines[0][:80]!r}")
    if len(lines) > MAX_HEADERS + 1:
        raise Malformed(f"the answer has more than {MAX_HEADERS} headers")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise Malformed(f"{line[:80]!r} is no header")
        name, value = field[1].decode("ascii").lower(), field[2].decode("latin-1")
        # A cookie's date holds a comma, so cookies are kept apart by lines.
        between = "\n" if name == "set-cookie" else ", "
        headers[name] = f"{headers[name]}{between}{value}" if name in headers else value
    return Head(status_code=int(status[1]), reason=(status[2] or b"").decode("latin-1")[:100], headers=headers)


def keep_headers(head: Head) -> dict[str, str]:
    """Choose the headers that help to explain an answer; cookies and the like stay out of reports."""
    return {name: value[:MAX_VALUE_CHARS] for name, value in head.headers.items() if name in KEPT_HEADERS}


class BodyCounter:
    """Counts what a body has, up to a bound, and keeps its first bytes."""

    def __init__(self, reader: asyncio.StreamReader, max_bytes: int, *, keep_bytes: int = SAMPLE_BYTES) -> None:
        self._reader = reader
        self._left: int = max_bytes
        self._keep = max(keep_bytes, SAMPLE_BYTES)
        self._size = 0
        self.kept = bytearray()
        """The first bytes, as many as were asked for."""

    async def read(self, head: Head, method: Method) -> Body:
        """Read the body that this head announces.

        Raises:
            Malformed: Its framing is broken.
        """
        length = head.headers.get("content-length", "")
        if method == "HEAD" or head.status_code in (204, 304):
            return Body()
        if "chunked" in head.headers.get("transfer-encoding", "").lower():
            complete = await self._read_chunks()
        elif length:
            if not (length.isascii() and length.isdigit() and len(length) < 19):
                raise Malformed(f"{length[:80]!r} is no content-length")
            complete = await self._take(int(length))
        else:
            complete = await self._take(None)
        text = self.kept[:SAMPLE_BYTES].decode("utf-8", "replace")
        return Body(
            size_bytes=self._size,
            truncated=self._left <= 0 and not complete,
            is_complete=complete,
            sample="".join(char if char.isprintable() else " " for char in text),
        )

    async def _take(self, wanted: int | None) -> bool:
        """Count so many bytes, or all there are; tell whether they came."""
        while wanted is None or wanted > 0:
            if self._left <= 0:
                return False
            data = await self._reader.read(min(65_536, self._left, wanted or 65_536))
            if not data:
                return wanted is None
            self._left -= len(data)
            self._size += len(data)
            self.kept += data[: self._keep - len(self.kept)]
            wanted = None if wanted is None else wanted - len(data)
        return True

    async def _read_chunks(self) -> bool:
        while True:
            try:
                match = _CHUNK.fullmatch(await self._reader.readuntil(b"\r\n"))
                if match is None:
                    raise Malformed("a chunk of the body does not begin with its size")
                size = int(match[1], 16)
                if size == 0:
                    return True  # trailers, if any, tell nothing that is reported
                if not await self._take(size):
                    return False
                if await self._reader.readexactly(2) != b"\r\n":
                    raise Malformed("a chunk of the body is longer than its size")
            except asyncio.IncompleteReadError:
                return False
            except asyncio.LimitOverrunError as error:
                raise Malformed("the size of a chunk is over-long") from error
