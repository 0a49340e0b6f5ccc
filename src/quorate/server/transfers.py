"""How do bytes of any kind and number come in and go out, never all of them in memory?"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import AbstractContextManager, aclosing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from litestar import Litestar, Request, Response
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from quorate.errors import DeadlineExceeded, Forbidden, InvalidInput, QuorateError, RateLimited, Unauthenticated
from quorate.server.access import Doorkeeper
from quorate.server.asked import Asked, find_id
from quorate.server.doors import Gone, while_there

BYTES = "application/octet-stream"
SLICE = 64 << 10
"""How many bytes are handed on at once, so that those behind them wait until they are read."""
EACH, ALL = 16, 64
LONGEST_S = 3600.0
"""How long one transfer may take."""
CHECK_S = 15.0
"""How often it is looked whether the credential of a transfer is still good."""
_logger = logging.getLogger("quorate.server")


class Transfers:
    """Counts the transfers under way: each takes some memory, however slowly its other end moves.

    Args:
        each: How many one tenant may have at once, however many keys it has.
        all: How many all of them together may have.
    """

    def __init__(self, *, each: int = EACH, all: int = ALL) -> None:
        self._each = each
        self._all = all
        self._taken = Counter[str]()

    def __len__(self) -> int:
        return self._taken.total()

    @contextmanager
    def take(self, tenant: str) -> Generator[None]:
        """Transfer something while a block lasts.

        Raises:
            RateLimited: Too many are under way.
        """
        if self._taken[tenant] >= self._each:
            raise RateLimited(
                f"There are {self._each} uploads and downloads under way already: end some of them first."
            )
        if len(self) >= self._all:
            raise RateLimited("There are too many uploads and downloads under way: come again in a moment.")
        self._taken[tenant] += 1
        try:
            yield
        finally:
            self._taken[tenant] -= 1
            if not self._taken[tenant]:
                del self._taken[tenant]


def take_transfer(request: Asked) -> AbstractContextManager[None]:
    """Count a transfer of whoever asks while a block lasts.

    Raises:
        RateLimited: Too many are under way.
    """
    transfers: Transfers = request.app.state.transfers
    return transfers.take(request.user.tenant)


class Checked:
    """Whether the credential of a transfer is still good, looked at now and then.

    Args:
        identify: Raises when it is not.
        every_s: How often it is looked at.
    """

    def __init__(self, identify: Callable[[], Awaitable[object]], *, every_s: float = CHECK_S) -> None:
        self._identify = identify
        self._every_s = every_s
        self._time = asyncio.get_running_loop().time
        self._due = self._time() + every_s

    async def check(self) -> None:
        """Return if it is.

        Raises:
            Unauthenticated: It is not, any more.
            Forbidden: The tenant may do nothing, any more.
        """
        if self._time() < self._due:
            return
        try:
            await self._identify()
        except (Unauthenticated, Forbidden):
            raise
        except QuorateError:
            pass  # nobody can be asked: whoever was let in stays for now
        self._due = self._time() + self._every_s


def begin_checks(request: Asked) -> Checked:
    """Begin to look now and then whether whoever asks is still let in."""
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    return Checked(partial(doorkeeper.identify, request.headers))


async def read_upload(request: Asked) -> AsyncGenerator[bytes]:
    """Yield the body of a request as it comes; it is bounded before.

    Raises:
        InvalidInput: Whoever sent it left before its end.
        DeadlineExceeded: Its end is too long in coming.
        Unauthenticated: Whoever sends it is nobody any more.
    """
    checked = begin_checks(request)
    until = asyncio.get_running_loop().time() + LONGEST_S
    while True:
        try:
            async with asyncio.timeout_at(until):
                message = await request.receive()
        except TimeoutError:
            raise DeadlineExceeded(f"The body took more than {LONGEST_S:g} seconds.") from None
        if message["type"] != "http.request":
            raise InvalidInput("The body broke off before its end: send all of it again.")
        await checked.check()
        piece = message.get("body", b"")
        if piece:
            yield piece
        if not message.get("more_body"):
            return


class Download(Response[bytes]):
    """An answer whose bytes are sent as they are found, and whose source is closed with its reader.

    What goes wrong before the first bytes are there is answered as what it is. Later, the answer breaks off, so that
    nobody takes it for whole.

    Args:
        pieces: The bytes.
        request: What is answered.
        size: How many bytes there are, where that is known.
        status_code: The status of the answer.
        headers: Its headers, with what kind of bytes they are.
        media_type: What kind of bytes they are.
    """

    def __init__(
        self,
        pieces: AsyncGenerator[bytes],
        request: Asked,
        *,
        size: int | None = None,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str = BYTES,
    ) -> None:
        super().__init__(b"", status_code=status_code, headers=dict(headers or {}), media_type=media_type)
        self.pieces = pieces
        self.asked = request
        self.size = size

    def to_asgi_response(
        self, app: Litestar | None, request: Request[Any, Any, Any], **options: Any
    ) -> ASGIResponse:  # fmt: skip
        """Build what answers."""
        build = cast("Any", super().to_asgi_response)  # what it takes is the framework's matter
        head: ASGIResponse = build(app, request, **options)
        sent = [pair for pair in head.encode_headers() if pair[0].lower() not in (b"content-length", b"content-type")]
        sent.append((b"content-type", str(self.media_type).encode("latin-1")))
        if self.size is not None:
            sent.append((b"content-length", str(self.size).encode()))
        return _Sending(self, sent)


class _Sending(ASGIResponse):
    def __init__(self, download: Download, sent: list[tuple[bytes, bytes]]) -> None:
        super().__init__()
        self._download = download
        self._sent = sent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        download = self._download
        is_head = scope["type"] == "http" and scope["method"] == "HEAD"
        with nullcontext() if is_head else take_transfer(download.asked), suppress(Gone):
            async with aclosing(download.pieces):
                if is_head:
                    await self._begin(send)
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                else:
                    await while_there(receive, self._send(send))

    async def _begin(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self._download.status_code or 200, "headers": self._sent})

    async def _send(self, send: Send) -> None:
        pieces, checked = self._download.pieces, begin_checks(self._download.asked)
        piece = await anext(pieces, b"")
        await self._begin(send)
        try:
            async with asyncio.timeout(LONGEST_S):
                while piece:
                    for begin in range(0, len(piece), SLICE):
                        body = piece[begin : begin + SLICE]
                        await send({"type": "http.response.body", "body": body, "more_body": True})
                    await checked.check()
                    piece = await anext(pieces, b"")
        except Exception as error:  # the head is sent: whatever breaks now is told by an end that is missing
            _logger.error("Request %s broke off.", find_id(self._download.asked), exc_info=error)
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@dataclass
class UploadOperation(Operation):
    """How a route is described that takes bytes of any kind."""

    def __post_init__(self) -> None:
        """Say so."""
        schema = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
        self.request_body = RequestBody(
            content={"*/*": OpenAPIMediaType(schema=schema)}, description="The bytes, as they are.", required=True
        )
