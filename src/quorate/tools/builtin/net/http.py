"""How long does each phase of a web request take, and what comes of it?"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Literal

from msgspec import Struct, structs

from quorate.tools.builtin.net.dial import DialFailure, Stopwatch, dial_first, find_status
from quorate.tools.builtin.net.resolve import Lookup, Unresolved, resolve_target
from quorate.tools.builtin.net.wire import (
    MAX_HEAD_BYTES,
    Body,
    BodyCounter,
    Head,
    Malformed,
    Method,
    build_request,
    keep_headers,
    read_head,
)
from quorate.tools.targets import InvalidTarget, ProbePolicy, TargetBlocked, WebTarget, parse_redirect, parse_url
from quorate.tools.threads import run_in_thread

MAX_REDIRECTS = 5
MAX_BODY_BYTES = 10_000_000
PHASES = ("dns", "connect", "tls", "send", "first_byte", "download")
_REDIRECTS = (301, 302, 303, 307, 308)
FindTrace = Callable[[], str | None]
"""Gives the W3C `traceparent` that goes with a request, if there is one."""
HttpStatus = Literal[
    "answered",
    "unresolved",
    "refused",
    "timeout",
    "reset",
    "unreachable",
    "tls_failed",
    "malformed",
    "redirect_blocked",
    "too_many_redirects",
]


def find_no_trace() -> str | None:
    """Find none: nobody traces here."""
    return None


class Phases(Struct, frozen=True, kw_only=True):
    """Where the time went; 0 for a phase that was not needed or not reached."""

    dns_ms: float = 0.0
    connect_ms: float = 0.0
    tls_ms: float = 0.0
    send_ms: float = 0.0
    first_byte_ms: float = 0.0
    """From the request sent to the first byte of the answer: what the server itself takes."""
    download_ms: float = 0.0


class Hop(Struct, frozen=True, kw_only=True):
    """One redirect on the way."""

    url: str
    status_code: int
    location: str
    elapsed_ms: float


class HttpTiming(Struct, frozen=True, kw_only=True):
    """What came of a request; the phases are those of its last hop."""

    url: str
    """The URL that answered or failed last."""
    status: HttpStatus
    total_ms: float
    phases: Phases = Phases()
    slowest_phase: str = ""
    failed_phase: str = ""
    status_code: int = 0
    """What the server answered; 0 when it did not."""
    reason: str = ""
    address: str = ""
    protocol: str = ""
    """The version of TLS, where there is one."""
    headers: dict[str, str] = {}
    body: Body = Body()
    redirects: tuple[Hop, ...] = ()
    detail: str = ""
    """Why it failed."""


class Page(Struct, frozen=True, kw_only=True):
    """An answer with what it says, for tools that look into it; never shown whole."""

    timing: HttpTiming
    headers: dict[str, str] = {}
    """All of them by lower-case name; several cookies on lines of their own."""
    data: bytes = b""
    """The first bytes of the body."""


class _Failed(Exception):
    """A hop came to nothing, for a reason that has a word."""

    def __init__(self, status: DialFailure | Literal["unresolved"], detail: str, address: str = "") -> None:
        super().__init__(detail)
        self.status: DialFailure | Literal["unresolved"] = status
        self.address = address


class _Hop:
    """One request and its answer, filled in as far as it gets."""

    def __init__(self, target: WebTarget) -> None:
        self.target = target
        self.watch = Stopwatch()
        self.address = ""
        self.protocol = ""
        self.head: Head | None = None
        self.body = Body()
        self.kept = b""

    def report(self, status: HttpStatus, detail: str = "") -> HttpTiming:
        spent = {name: self.watch.spent_ms.get(name, 0.0) for name in PHASES}
        return HttpTiming(
            url=self.target.url,
            status=status,
            total_ms=self.watch.total_ms,
            phases=Phases(**{f"{name}_ms": value for name, value in spent.items()}),
            slowest_phase=max(PHASES, key=lambda name: spent[name]),
            failed_phase="" if status == "answered" else self.watch.current,
            status_code=self.head.status_code if self.head else 0,
            reason=self.head.reason if self.head else "",
            address=self.address,
            protocol=self.protocol,
            headers=keep_headers(self.head) if self.head else {},
            body=self.body,
            detail=detail,
        )


class Prober:
    """Makes requests within one policy; nothing is kept between them, and no proxy is used."""

    def __init__(
        self,
        policy: ProbePolicy,
        *,
        timeout_s: float,
        method: Method = "GET",
        verify_tls: bool = True,
        lookup: Lookup | None = None,
        trace: FindTrace = find_no_trace,
        keep_bytes: int = 0,
        encodings: str = "identity",
    ) -> None:
        self._policy = policy
        self._keep = keep_bytes
        self._encodings = encodings
        self._trace = trace
        self._timeout_s = timeout_s
        self._method: Method = method
        self._verify_tls = verify_tls
        self._lookup = lookup

    async def measure(self, url: str, *, max_redirects: int = 0) -> HttpTiming:
        """Ask for a URL and follow its redirects, each checked by the policy like the first.

        Raises:
            InvalidTarget: The URL is not well formed.
            TargetBlocked: The policy does not allow its host; for a redirect this is a status instead.
        """
        return (await self._follow(url, max_redirects))[0]

    async def fetch(self, url: str, *, max_redirects: int = 0) -> Page:
        """Ask for a URL as `measure` does, and keep all headers and the first `keep_bytes` of the body.

        Raises:
            InvalidTarget: The URL is not well formed.
            TargetBlocked: The policy does not allow its host; for a redirect this is a status instead.
        """
        timing, hop = await self._follow(url, max_redirects)
        return Page(timing=timing, headers=hop.head.headers if hop.head else {}, data=hop.kept)

    async def _follow(self, url: str, max_redirects: int) -> tuple[HttpTiming, _Hop]:
        target = parse_url(url)
        whole = Stopwatch()
        ends = asyncio.get_running_loop().time() + self._timeout_s
        passed: list[Hop] = []
        while True:
            hop = _Hop(target)
            try:
                result = await self._make(hop, ends)
            except TargetBlocked as error:
                if not passed:
                    raise
                result = hop.report("redirect_blocked", error.message)
            following = _find_next(hop, result) if max_redirects else None
            if isinstance(following, WebTarget) and len(passed) < max_redirects:
                passed.append(_note_hop(hop, result))
                target = following
                continue
            if isinstance(following, WebTarget):
                said = f"more than {max_redirects} redirects; the next is {following.url}"
                result = structs.replace(result, status="too_many_redirects", detail=said)
            elif following:
                result = structs.replace(result, status="redirect_blocked", detail=following)
            return structs.replace(result, redirects=tuple(passed), total_ms=whole.total_ms), hop

    async def _make(self, hop: _Hop, ends: float) -> HttpTiming:
        try:
            async with asyncio.timeout_at(ends):
                await self._exchange(hop, ends)
        except _Failed as error:
            hop.address = error.address
            return hop.report(error.status, str(error))
        except Malformed as error:
            return hop.report("malformed", str(error))
        except ssl.SSLError as error:
            return hop.report("tls_failed", find_tls_reason(error))
        except TimeoutError:
            said = f"no answer within {self._timeout_s:g} s; the time ended in the phase `{hop.watch.current}`"
            return hop.report("timeout", said)
        except OSError as error:
            return hop.report(find_status(error), str(error.strerror or error))
        if not hop.body.is_complete and not hop.body.truncated:
            return hop.report("reset", "the server closed the connection before the body was complete")
        return hop.report("answered")

    async def _exchange(self, hop: _Hop, ends: float) -> None:
        async with self._connect(hop, ends) as (reader, writer):
            with hop.watch.phase("send"):
                writer.write(build_request(hop.target, self._method, self._trace() or "", encodings=self._encodings))
                await writer.drain()
            with hop.watch.phase("first_byte"):
                first = await reader.read(1)
            if not first:
                raise _Failed("reset", "the server closed the connection without an answer", hop.address)
            with hop.watch.phase("download"):
                hop.head = await read_head(reader, first)
                counter = BodyCounter(reader, MAX_BODY_BYTES, keep_bytes=self._keep)
                hop.body = await counter.read(hop.head, self._method)
                hop.kept = bytes(counter.kept)

    @asynccontextmanager
    async def _connect(
        self, hop: _Hop, ends: float
    ) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        target, left = hop.target, ends - asyncio.get_running_loop().time()
        with hop.watch.phase("dns"):
            try:
                addresses = await resolve_target(target.host, self._policy, timeout_s=left, lookup=self._lookup)
            except Unresolved as error:
                raise _Failed("unresolved", error.message) from error
        context = await run_in_thread(lambda: build_tls(verify=self._verify_tls)) if target.scheme == "https" else None
        with hop.watch.phase("connect"):
            left = ends - asyncio.get_running_loop().time()
            outcome, sock = await dial_first(addresses, target.port, timeout_s=left)
            if outcome.status != "open":
                raise _Failed(outcome.status, outcome.detail, outcome.address)
            assert sock is not None
            hop.address = outcome.address
            reader, writer = await asyncio.open_connection(sock=sock, limit=MAX_HEAD_BYTES)
        try:
            if context is not None:
                with hop.watch.phase("tls"):
                    await writer.start_tls(context, server_hostname=target.host.text)
                hop.protocol = writer.get_extra_info("ssl_object").version() or ""
            yield reader, writer
        finally:
            # Cut rather than closed: a probe owes nobody a farewell, and a silent server must not hold it up.
            with contextlib.suppress(OSError):
                writer.transport.abort()


def _find_next(hop: _Hop, result: HttpTiming) -> WebTarget | str | None:
    """Where the server sends its visitor, or why it cannot be followed; nothing when it does not send."""
    if hop.head is None or result.status != "answered" or hop.head.status_code not in _REDIRECTS:
        return None
    try:
        return parse_redirect(hop.target, hop.head.headers["location"]) if "location" in hop.head.headers else None
    except InvalidTarget as error:
        return error.message


def _note_hop(hop: _Hop, result: HttpTiming) -> Hop:
    location = result.headers.get("location", "")
    return Hop(url=hop.target.url, status_code=result.status_code, location=location, elapsed_ms=result.total_ms)


def build_tls(*, verify: bool) -> ssl.SSLContext:
    """Build what a handshake needs; reads the system's trusted certificates from disk, so run it in a thread."""
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def find_tls_reason(error: ssl.SSLError) -> str:
    """Say in words why a handshake failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return (error.reason or str(error)).replace("_", " ").lower()
