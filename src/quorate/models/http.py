"""How does a model call go over the network, and stay within its bounds?

The one place of this room that touches the network. Names are resolved once per connection, every address is checked
and the connection goes to a checked address; redirects are refused, proxies of the environment ignored, certificates
verified, sizes counted after inflating, and every wait has a deadline.
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from io import BytesIO
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from quorate.errors import DeadlineExceeded, Forbidden, Incomplete, InvalidInput, QuorateError, TooLarge, UpstreamError
from quorate.models.addresses import PUBLIC, Guard, check_base_url, find_literal
from quorate.models.deadlines import TIMEOUTS, Timeouts, Watch

MAX_BYTES = 16 << 20
MAX_CONNECTIONS = 4096
MAX_CONNECTIONS_PER_HOST = 512
"""So that one slow host does not take the connections of all."""
READ_BUFFER_BYTES = 16 << 10
PIECEWISE_BYTES = 512 << 10
DRAIN_S = 0.05
MAX_URLS = 256
"""How many checked addresses are remembered."""
PROXY_GUARD = Guard(scheme="https", private=True)
"""What an operator's own proxy may be."""
SUBJECT = "The model's provider"

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a host and port."""
Held = tuple[AsyncGenerator[aiohttp.ClientSession], aiohttp.ClientSession]
Failure = (aiohttp.ClientError, TimeoutError, OSError, ValueError)
_UNFIT = re.compile(r"[^!-~]|#")


class HttpClient:
    """Sends requests; its connections belong to the event loop that uses it, and close with that loop at the latest.

    Args:
        guard: What may be reached.
        timeouts: The deadlines of each call.
        max_bytes: How long an answer may be, after inflating.
        resolve: Gives the addresses of a name; the machine's own resolver when nothing is said.
        proxy: The operator's own proxy, such as `http://proxy.example:3128`; those of the environment are ignored. It
            may be at a private address. Names are still checked as far as this machine knows them; which address a
            name means is the proxy's word then.
        trace: Gives the W3C `traceparent` that goes with each request; empty for none.
    """

    def __init__(
        self,
        *,
        guard: Guard = PUBLIC,
        timeouts: Timeouts = TIMEOUTS,
        max_bytes: int = MAX_BYTES,
        resolve: Resolve | None = None,
        proxy: str | None = None,
        trace: Callable[[], str] | None = None,
    ) -> None:
        if proxy is not None:
            check_base_url(proxy, what="The address of the proxy")
        self.guard = guard
        self.timeouts = timeouts
        self.max_bytes = max_bytes
        self.proxy = proxy
        self.trace = trace
        self._resolve = resolve or resolve_name
        self._open: dict[asyncio.AbstractEventLoop, Held] = {}
        self._urls: dict[str, URL] = {}

    def send(
        self, url: str, body: bytes, *, headers: Mapping[str, str], method: str = "POST", first_s: float | None = None
    ) -> Exchange:
        """Prepare a call: `async with client.send(…) as received` makes it, and leaving the block ends it at once.

        Args:
            url: Where to, in full and as it is to be sent.
            body: What to send.
            headers: What to say beside it.
            method: How.
            first_s: How long the head may take; `timeouts.total_s` when nothing else is said.

        Raises:
            Forbidden: The address may not be reached.
            UpstreamError: It cannot be reached, or does not speak HTTP.
            DeadlineExceeded: It took too long; the message says which part.
        """
        return Exchange(self, method, url, body, headers=headers, first_s=first_s)

    async def aclose(self) -> None:
        """Close this event loop's connections; they open again when the client is used again."""
        held = self._open.pop(asyncio.get_running_loop(), None)
        if held is not None:
            await held[0].aclose()

    async def prepare(self, url: str) -> tuple[aiohttp.ClientSession, URL]:
        """Give what a call to `url` is made with, once that was checked; raises what `send` raises."""
        known = self._urls.get(url)
        if known is None:
            known = await self._check_url(url)
            if len(self._urls) >= MAX_URLS:
                self._urls.clear()
            if self.proxy is None:  # what was only looked up here is looked up again for the next call
                self._urls[url] = known
        held = self._open.get(asyncio.get_running_loop())
        if held is not None and not held[1].closed:
            return held[1], known
        return await self._open_session(), known

    async def _check_url(self, url: str) -> URL:
        address, _, query = url.partition("?")
        if _UNFIT.search(query):
            raise InvalidInput("The address of a model call holds a space, a fragment or a character no address has.")
        scheme = check_base_url(address, what="The address of a model call")
        if scheme != self.guard.scheme:
            raise Forbidden(f"This client speaks `{self.guard.scheme}` alone, not `{scheme}`.")
        # What was signed is what is sent: nothing is quoted anew.
        known = URL(url, encoded=True)
        host = urlsplit(address).hostname or ""
        literal = find_literal(host)
        if literal is not None:
            self.guard.check(literal, host)
        elif self.proxy is not None:
            await self._check_name(host, known.port or 443)
        return known

    async def _check_name(self, host: str, port: int) -> None:
        try:
            async with asyncio.timeout(self.timeouts.connect_s):
                addresses = await self._resolve(host, port)
        except (OSError, TimeoutError):  # behind a proxy, a machine need not know the names outside
            return
        for address in addresses:
            self.guard.check(address, host)

    async def _open_session(self) -> aiohttp.ClientSession:
        """Open this loop's session; a generator holds it, and a loop that ends closes its generators."""
        loop = asyncio.get_running_loop()
        for other in [one for one in self._open if one.is_closed()]:
            del self._open[other]
        holder = self._hold_session()
        session = await anext(holder)
        self._open[loop] = (holder, session)
        return session

    async def _hold_session(self) -> AsyncGenerator[aiohttp.ClientSession]:
        # With a proxy, it is what is connected to, and the operator named it; metadata addresses stay out of reach.
        near = self.guard if self.proxy is None else PROXY_GUARD
        connector = aiohttp.TCPConnector(
            resolver=GuardedResolver(near, self._resolve),
            use_dns_cache=False,
            limit=MAX_CONNECTIONS,
            limit_per_host=MAX_CONNECTIONS_PER_HOST,
            socket_factory=SocketFactory(near),
        )
        connect_s = self.timeouts.connect_s
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(connect=connect_s, sock_connect=connect_s, ceil_threshold=1e9),
            headers={"User-Agent": "quorate"},
            trust_env=False,
            proxy=self.proxy,
            read_bufsize=READ_BUFFER_BYTES,
        ) as session:
            yield session


class SocketFactory:
    """Builds the socket of a connection: the last place where an address is known, and the last check."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def __call__(
        self, info: tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[object, ...]]
    ) -> socket.socket:
        """Build a socket, or raise `Forbidden`."""
        address = str(info[4][0])
        self._guard.check(address, address)
        made = socket.socket(info[0], info[1], info[2])
        made.setblocking(False)
        return made


class Exchange:
    """One call, as an `async with` block; see `HttpClient.send`."""

    __slots__ = ("_body", "_client", "_first_s", "_headers", "_method", "_received", "_url")

    def __init__(
        self,
        client: HttpClient,
        method: str,
        url: str,
        body: bytes,
        *,
        headers: Mapping[str, str],
        first_s: float | None,
    ) -> None:
        self._client = client
        self._method = method
        self._url = url
        self._body = body
        self._headers = headers
        self._first_s = first_s
        self._received: Received | None = None

    async def __aenter__(self) -> Received:
        client, body = self._client, self._body
        timeouts = client.timeouts
        waited = timeouts.total_s if self._first_s is None else self._first_s
        started = time.monotonic()
        session, url = await client.prepare(self._url)
        watch = Watch()
        # A large body is sent in pieces, so that other work goes on between them.
        data = BytesIO(body) if len(body) > PIECEWISE_BYTES else aiohttp.BytesPayload(body) if body else None
        headers = self._headers
        if client.trace is not None and (trace := client.trace()):
            headers = {**headers, "traceparent": trace}
        try:
            sent = session.request(self._method, url, data=data, headers=headers, allow_redirects=False)
            response = await watch.wait(sent, started + waited)
        except Failure as error:
            watch.close()
            raise build_head_error(error, timeouts, waited_s=waited) from hide_secrets(error)
        except BaseException:
            watch.close()
            raise
        self._received = received = Received(
            response, timeouts, max_bytes=client.max_bytes, started=started, watch=watch
        )
        return received

    async def __aexit__(self, *_: object) -> None:
        if self._received is not None:
            self._received.close()


class Received:
    """What came back: a status, headers, and a body that is read within bounds."""

    __slots__ = ("_max_bytes", "_response", "_size", "_started", "_timeouts", "_watch", "headers", "status")

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        timeouts: Timeouts,
        *,
        max_bytes: int,
        started: float,
        watch: Watch,
    ) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        """The headers, found by names in any case; of one that comes twice, the first."""
        self._response = response
        self._timeouts = timeouts
        self._max_bytes = max_bytes
        self._started = started
        self._watch = watch
        self._size = 0

    async def read_chunk(self, *, has_begun: bool) -> bytes:
        """Read what is there next; nothing at the end. `has_begun` says which deadline holds.

        Raises:
            TooLarge: The body is over its bound.
            Incomplete: It was cut.
            DeadlineExceeded: It took too long; the message says which part.
        """
        times = self._timeouts
        ends = time.monotonic() + times.idle_s if has_begun else self._started + times.first_s
        whole = self._started + times.total_s
        try:
            piece = await self._watch.wait(self._response.content.readany(), ends if ends < whole else whole)
        except (*Failure, RuntimeError) as error:  # aiohttp says so when a connection ended between two reads
            raise build_body_error(error, self._name_part(ends, whole, has_begun=has_begun)) from hide_secrets(error)
        self._size += len(piece)
        if self._size > self._max_bytes:
            raise TooLarge(f"{SUBJECT} sent more than {self._max_bytes} bytes.", limit=self._max_bytes)
        return piece

    async def read(self, *, most: int | None = None) -> bytes:
        """Read the whole body, or a beginning of at least `most` bytes; raises what `read_chunk` raises."""
        content = self._response.content
        piece = await self.read_chunk(has_begun=True)
        if content.at_eof():
            return piece
        pieces = [piece]
        while piece and (most is None or self._size < most):
            piece = await self.read_chunk(has_begun=True)
            pieces.append(piece)
        return b"".join(pieces)

    async def drain(self) -> None:
        """Wait a moment for the body's end, so that the connection can serve again; without it, it is closed."""
        content = self._response.content
        if not content.at_eof():
            with suppress(*Failure, RuntimeError):
                await self._watch.wait(content.readany(), time.monotonic() + DRAIN_S)

    def close(self) -> None:
        """End the call: a connection whose answer was not read to its end is closed."""
        self._watch.close()
        self._response.close()

    def _name_part(self, ends: float, whole: float, *, has_begun: bool) -> str:
        times = self._timeouts
        if whole <= ends:
            return f"end ({times.total_s:g} s)"
        return f"next piece ({times.idle_s:g} s)" if has_begun else f"first piece ({times.first_s:g} s)"


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
    proxy: str | None = None,
) -> AsyncGenerator[HttpClient]:
    """Open a client that is closed at the end of the block."""
    client = HttpClient(guard=guard, timeouts=timeouts, max_bytes=max_bytes, resolve=resolve, proxy=proxy)
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
