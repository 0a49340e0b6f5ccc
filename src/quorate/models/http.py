"""How does a model call go over the network, and stay within its bounds?

The one place of this room that touches the network. Names are resolved once per connection, every address is checked
and the connection goes to a checked address; redirects are refused, proxies of the environment ignored, certificates
verified, sizes counted after inflating, and every wait has a deadline.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from io import BytesIO
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from quorate.errors import DeadlineExceeded, Forbidden, Incomplete, InvalidInput, QuorateError, TooLarge, UpstreamError
from quorate.models.addresses import PUBLIC, Guard, check_base_url, find_literal
from quorate.models.deadlines import TIMEOUTS, Timeouts

MAX_BYTES = 16 << 20
MAX_CONNECTIONS = 512
READ_BUFFER_BYTES = 16 << 10
PIECEWISE_BYTES = 512 << 10
DRAIN_S = 0.05
SUBJECT = "The model's provider"

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a host and port."""
Held = tuple[AsyncGenerator[aiohttp.ClientSession], aiohttp.ClientSession]
Failure = (aiohttp.ClientError, TimeoutError, OSError, ValueError)


class HttpClient:
    """Sends requests; its connections belong to the event loop that uses it, and close with that loop at the latest."""

    def __init__(
        self,
        *,
        guard: Guard = PUBLIC,
        timeouts: Timeouts = TIMEOUTS,
        max_bytes: int = MAX_BYTES,
        resolve: Resolve | None = None,
    ) -> None:
        self.guard = guard
        self.timeouts = timeouts
        self.max_bytes = max_bytes
        self._resolve = resolve or resolve_name
        self._open: dict[asyncio.AbstractEventLoop, Held] = {}

    @asynccontextmanager
    async def send(
        self, url: str, body: bytes, *, headers: Mapping[str, str], first_s: float | None = None
    ) -> AsyncGenerator[Received]:
        """Post a request and give what comes back, once its head is here; leaving the block ends the call at once.

        Args:
            url: Where to, in full.
            body: What to send.
            headers: What to say beside it.
            first_s: How long the head may take; `timeouts.total_s` when nothing else is said.

        Raises:
            Forbidden: The address may not be reached.
            UpstreamError: It cannot be reached, or does not speak HTTP.
            DeadlineExceeded: It took too long; the message says which part.
        """
        self._check_url(url)
        started = time.monotonic()
        waited = self.timeouts.total_s if first_s is None else first_s
        session = await self._get_session()
        try:
            async with asyncio.timeout(waited):
                # A large body is sent in pieces, so that other work goes on between them.
                data = body if len(body) <= PIECEWISE_BYTES else BytesIO(body)
                response = await session.post(url, data=data, headers=headers, allow_redirects=False)
        except Failure as error:
            raise build_head_error(error, self.timeouts, waited_s=waited) from hide_secrets(error)
        try:
            yield Received(response, self.timeouts, max_bytes=self.max_bytes, started=started)
        finally:
            response.close()

    async def aclose(self) -> None:
        """Close this event loop's connections; they open again when the client is used again."""
        held = self._open.pop(asyncio.get_running_loop(), None)
        if held is not None:
            await held[0].aclose()

    def _check_url(self, url: str) -> None:
        scheme = check_base_url(url, what="The address of a model call")
        if scheme != self.guard.scheme:
            raise Forbidden(f"This client speaks `{self.guard.scheme}` alone, not `{scheme}`.")
        host = urlsplit(url).hostname or ""
        literal = find_literal(host)
        if literal is not None:
            self.guard.check(literal, host)

    async def _get_session(self) -> aiohttp.ClientSession:
        """Get this loop's session; a generator holds it open, and a loop that ends closes its generators."""
        loop = asyncio.get_running_loop()
        held = self._open.get(loop)
        if held is not None and not held[1].closed:
            return held[1]
        for other in [one for one in self._open if one.is_closed()]:
            del self._open[other]
        holder = self._hold_session()
        session = await anext(holder)
        self._open[loop] = (holder, session)
        return session

    async def _hold_session(self) -> AsyncGenerator[aiohttp.ClientSession]:
        connector = aiohttp.TCPConnector(
            resolver=GuardedResolver(self.guard, self._resolve),
            use_dns_cache=False,
            limit=MAX_CONNECTIONS,
            socket_factory=self._build_socket,
        )
        connect_s = self.timeouts.connect_s
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(connect=connect_s, sock_connect=connect_s, ceil_threshold=1e9),
            headers={"User-Agent": "quorate"},
            trust_env=False,
            read_bufsize=READ_BUFFER_BYTES,
        ) as session:
            yield session

    def _build_socket(
        self, info: tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[object, ...]]
    ) -> socket.socket:
        """Build the socket of a connection: the last place where an address is known, and the last check."""
        address = str(info[4][0])
        self.guard.check(address, address)
        made = socket.socket(info[0], info[1], info[2])
        made.setblocking(False)
        return made


class Received:
    """What came back: a status, headers, and a body that is read within bounds."""

    def __init__(self, response: aiohttp.ClientResponse, timeouts: Timeouts, *, max_bytes: int, started: float) -> None:
        self.status = response.status
        self._response = response
        self._timeouts = timeouts
        self._max_bytes = max_bytes
        self._started = started
        self._size = 0

    @property
    def headers(self) -> dict[str, str]:
        """The headers, their names in lower case; of one that comes twice, the first."""
        headers: dict[str, str] = {}
        for name, value in self._response.headers.items():
            headers.setdefault(name.lower(), value)
        return headers

    async def read_chunk(self, *, has_begun: bool) -> bytes:
        """Read what is there next; nothing at the end. `has_begun` says which deadline holds.

        Raises:
            TooLarge: The body is over its bound.
            Incomplete: It was cut.
            DeadlineExceeded: It took too long; the message says which part.
        """
        now, times = time.monotonic(), self._timeouts
        if has_begun:
            return await self._read(f"next piece ({times.idle_s:g} s)", now + times.idle_s)
        return await self._read(f"first piece ({times.first_s:g} s)", self._started + times.first_s)

    async def read(self, *, most: int | None = None) -> bytes:
        """Read the whole body, or a beginning of at least `most` bytes; raises what `read_chunk` raises."""
        pieces: list[bytes] = []
        while most is None or self._size < most:
            piece = await self.read_chunk(has_begun=True)
            if not piece:
                break
            pieces.append(piece)
        return b"".join(pieces)

    async def drain(self) -> None:
        """Wait a moment for the body's end, so that the connection can serve again; without it, it is closed."""
        with suppress(*Failure, RuntimeError):
            async with asyncio.timeout(DRAIN_S):
                await self._response.content.readany()

    async def _read(self, part: str, ends: float) -> bytes:
        whole = self._started + self._timeouts.total_s
        if whole <= ends:
            part, ends = f"end ({self._timeouts.total_s:g} s)", whole
        try:
            async with asyncio.timeout(ends - time.monotonic()):
                piece = await self._response.content.readany()
        except (*Failure, RuntimeError) as error:  # aiohttp says so when a connection ended between two reads
            raise build_body_error(error, part) from hide_secrets(error)
        self._size += len(piece)
        if self._size > self._max_bytes:
            raise TooLarge(f"{SUBJECT} sent more than {self._max_bytes} bytes.", limit=self._max_bytes)
        return piece


class GuardedResolver(AbstractResolver):
    """Resolves a name, and refuses it when one of its addresses may not be reached."""

    def __init__(self, guard: Guard, resolve: Resolve) -> None:
        self._guard = guard
        self._resolve = resolve

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Resolve a name to addresses that were checked, all of them.

        Raises:
            Forbidden: One of them may not be reached.
        """
        addresses = await self._resolve(host, port)
        if not addresses:
            raise OSError(f"no address for {host!r}")
        for address in addresses:
            self._guard.check(address, host)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Nothing is held."""


async def resolve_name(host: str, port: int) -> Sequence[str]:
    """Ask the machine's own resolver for a name's addresses."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


@asynccontextmanager
async def open_http(
    *,
    guard: Guard = PUBLIC,
    timeouts: Timeouts = TIMEOUTS,
    max_bytes: int = MAX_BYTES,
    resolve: Resolve | None = None,
) -> AsyncGenerator[HttpClient]:
    """Open a client that is closed at the end of the block."""
    client = HttpClient(guard=guard, timeouts=timeouts, max_bytes=max_bytes, resolve=resolve)
    try:
        yield client
    finally:
        await client.aclose()


def hide_secrets(error: BaseException) -> BaseException | None:
    """Return the cause to keep; an error that shows the request's headers is not kept."""
    return None if isinstance(error, aiohttp.ClientResponseError) else error


def build_head_error(error: BaseException, timeouts: Timeouts, *, waited_s: float) -> QuorateError:
    """Say in our words why no answer began; what failed before the answer may be tried again."""
    if isinstance(error, aiohttp.ServerTimeoutError):
        late = DeadlineExceeded(f"{SUBJECT} gave no connection within {timeouts.connect_s:g} s.", layer="connect")
        late.retryable = True
        return late
    if isinstance(error, TimeoutError):
        return DeadlineExceeded(f"{SUBJECT} did not answer within {waited_s:g} s.", layer="model")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return UpstreamError(f"The host {error.host!r} of the provider has no address.", retryable=True)
    if isinstance(error, aiohttp.ClientSSLError):
        return UpstreamError(
            f"The TLS connection to {error.host}:{error.port} failed, and there is no way without it: "
            "check the host's certificate and the machine's clock."
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        why = error.os_error.strerror or type(error.os_error).__name__
        return UpstreamError(f"{SUBJECT} at {error.host}:{error.port} cannot be reached: {why}.", retryable=True)
    if isinstance(error, aiohttp.InvalidURL):
        return InvalidInput("The address of the model call is not a URL that can be reached; check the base URL.")
    if isinstance(error, (aiohttp.ClientConnectionError, OSError)):
        return UpstreamError(f"{SUBJECT} closed the connection before it answered.", retryable=True)
    return UpstreamError(f"{SUBJECT} sent what is no HTTP answer.", retryable=True)


def build_body_error(error: BaseException, part: str) -> QuorateError:
    """Say in our words why an answer that had begun did not end."""
    if isinstance(error, TimeoutError):
        return DeadlineExceeded(f"{SUBJECT} was too slow: its {part} did not come in time.", layer="model")
    return Incomplete("The model's reply was cut: the connection ended before it.", limit="stream")
