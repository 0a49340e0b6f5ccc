"""What is a request checked for before anything reads it, and what does every answer bear?"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import MappingProxyType
from typing import cast

from litestar.types import (
    ASGIApp,
    HTTPReceiveMessage,
    HTTPScope,
    HTTPSendMessage,
    Message,
    Receive,
    Scope,
    Send,
    WebSocketReceiveMessage,
    WebSocketScope,
)

from quorate.codec.json import check_depth
from quorate.errors import Forbidden, InvalidInput, QuorateError, TooLarge
from quorate.server.access import STANDING
from quorate.server.denial import refuse_socket
from quorate.server.doors import Gone, answer, find_path
from quorate.server.marks import new_mark
from quorate.server.problems import MEDIA_TYPE, Problem, build_headers, build_problem, encode_problem
from quorate.server.versions import HEADER, VERSION

MAX_BODY = 1 << 20
"""How many bytes the body of a request may have, except where a route takes a stream."""
Streams = Mapping[tuple[str, str], int]
"""What takes a stream, by method and path, and how many bytes of it; there is no other way around `MAX_BODY`."""
NO_STREAMS: Streams = MappingProxyType({})
MAX_DIGITS = 15
QUICK_BYTES = 32 << 10
"""Up to which size JSON is checked at once; to check more may take longer than others should wait."""
REQUEST_ID = "x-request-id"
_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (HEADER.encode(), VERSION.encode()),
)
_PREFLIGHT = {
    "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE",
    "access-control-allow-headers": "authorization, content-type, idempotency-key, if-match, if-none-match, if-range, "
    "last-event-id, range, x-request-id, x-api-key, anthropic-version, anthropic-beta",
    "access-control-max-age": "600",
}
_ONCE = frozenset(
    {
        b"host", b"authorization", b"content-length", b"content-type", b"idempotency-key", b"origin", b"if-match",
        b"if-none-match", b"if-range", b"range", b"x-api-key",
    }
)  # fmt: skip
Fields = tuple[tuple[bytes, bytes], ...]
Refuse = Callable[[HTTPScope, Send, QuorateError, str], Awaitable[bool]]
Received = HTTPReceiveMessage | WebSocketReceiveMessage


class Unsupported(InvalidInput):
    """A body of a kind that is not read here."""

    code = "unsupported_media_type"


class Edge:
    """An ASGI application around another one: bounds what comes in, and marks what goes out.

    Args:
        inner: What answers.
        hosts: Which `Host` headers are believed; all of them when empty.
        origins: Web pages of which origins may ask (CORS); never with cookies.
        is_open: Whether somebody without a key is let in, so that other pages must be kept out here.
        streams: What takes bytes of any kind as they come, instead of JSON that is read and checked here.
        refuse: Answers a refusal in the words of another protocol, and says whether it did.
    """

    def __init__(
        self,
        inner: ASGIApp,
        *,
        hosts: Iterable[str] = (),
        origins: Iterable[str] = (),
        is_open: bool = False,
        streams: Streams = NO_STREAMS,
        refuse: Refuse | None = None,
    ) -> None:
        self._inner = inner
        self._streams = streams
        self._refuse = refuse
        self._hosts = frozenset(host.strip("[]").lower() for host in hosts)
        self._origins = frozenset(origin.encode("latin-1") for origin in origins)
        self._is_open = is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; there is nothing here for what is none."""
        if str(scope["type"]) == "lifespan":
            await self._inner(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._open_socket(cast("WebSocketScope", scope), receive, send)  # there is nothing else
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        request_id = find_request_id(headers.get(REQUEST_ID.encode(), b"").decode("latin-1"))
        scope.setdefault("state", {})["request_id"] = request_id
        origin = headers.get(b"origin", b"")
        marks = ((REQUEST_ID.encode(), request_id.encode()), *_SECURITY, *self._list_cors(origin))

        async def mark(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                standing = cast("Fields", scope["state"].get(STANDING, ()))  # pyright: ignore[reportUnknownMemberType]
                more = [(name, value) for name, value in (*marks, *standing) if name not in given]
                message = cast("HTTPSendMessage", {**message, "headers": [*message["headers"], *more]})
            await send(message)

        try:
            _check_once(scope["headers"])
            self._check_host(headers.get(b"host", b"").decode("latin-1"))
            self._check_origin(origin, headers.get(b"sec-fetch-site", b""))
            if origin in self._origins and scope["method"] == "OPTIONS":
                await answer(mark, b"", status=204, headers=_PREFLIGHT)
                return
            most = self._streams.get((scope["method"], find_path(scope))) if self._streams else None
            if most is None:
                receive = await _read_body(headers, receive)
            else:
                receive = _bound_stream(headers, receive, most=most)
        except Gone:
            return
        except QuorateError as error:
            if self._refuse is None or not await self._refuse(scope, mark, error, request_id):
                await send_problem(mark, build_problem(error, request_id=request_id), error)
            return
        await self._inner(scope, receive, mark)

    async def _open_socket(self, scope: WebSocketScope, receive: Receive, send: Send) -> None:
        """Let a WebSocket in, to which the same holds but for the body, and for its page."""
        headers = {name.lower(): value for name, value in scope["headers"]}
        request_id = find_request_id(headers.get(REQUEST_ID.encode(), b"").decode("latin-1"))
        scope.setdefault("state", {})["request_id"] = request_id  # pyright: ignore[reportUnknownMemberType]
        try:
            _check_once(scope["headers"])
            self._check_host(headers.get(b"host", b"").decode("latin-1"))
            self._check_page(headers.get(b"origin", b""))
        except QuorateError as error:
            await refuse_socket(scope, send, build_problem(error, request_id=request_id), error)
            return
        await self._inner(scope, receive, send)

    def _check_page(self, origin: bytes) -> None:
        """Keep out pages that are none of ours: a browser opens a WebSocket to anywhere without asking first."""
        if origin and origin not in self._origins:
            raise Forbidden("A web page asks whose origin is none of ours: add it to `server.origins` if it is.")

    def _list_cors(self, origin: bytes) -> list[tuple[bytes, bytes]]:
        """List the headers by which a browser lets a page read an answer (WHATWG Fetch, section 3.3)."""
        if not self._origins:
            return []
        varies = (b"vary", b"origin")
        if origin not in self._origins:
            return [varies]
        shown = (
            b"x-request-id, x-quorate-run, location, retry-after, ratelimit, ratelimit-policy, etag, accept-ranges, "
            b"content-range, content-disposition, idempotent-replayed, quorate-version, deprecation, sunset, link"
        )
        return [varies, (b"access-control-allow-origin", origin), (b"access-control-expose-headers", shown)]

    def _check_host(self, host: str) -> None:
        name = host.rpartition(":")[0] if re.search(r":\d+\Z", host) else host
        if self._hosts and name.strip("[]").lower() not in self._hosts:
            raise InvalidInput(f"the host {host[:80]!r} is not one of ours: add it to `server.hosts` if it is.")

    def _check_origin(self, origin: bytes, site: bytes) -> None:
        """Keep out pages of strangers where no key does: a browser on this machine asks whatever they tell it to."""
        is_page = bool(origin) or site not in (b"", b"none", b"same-origin")
        if self._is_open and is_page and origin not in self._origins:
            raise Forbidden(
                "A web page asks, and nobody here is asked for a key: add its origin to `server.origins`, or ask for "
                "keys by leaving out `server.open`."
            )


def _check_once(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Return if what decides about a request is said once: of two, each reader takes another one.

    Raises:
        InvalidInput: It is not.
    """
    seen: set[bytes] = set()
    for name, _ in headers:
        if name.lower() in _ONCE:
            if name.lower() in seen:
                raise InvalidInput(f"the header {name.decode('latin-1')!r} comes twice: send it once.")
            seen.add(name.lower())


async def _read_body(headers: dict[bytes, bytes], receive: Receive) -> Receive:
    """Read a body to its end, within its bounds, and return what gives it out again.

    Raises:
        TooLarge: It has too many bytes.
        InvalidInput: It is JSON that is too deep, names something twice, or is none.
        Unsupported: It is not said to be JSON.
        Gone: Whoever sent it left before its end.
    """
    _check_length(headers, most=MAX_BODY)
    body, messages = bytearray(), list[Received]()
    while True:
        message = await receive()
        messages.append(message)
        if message["type"] != "http.request":
            raise Gone
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            raise TooLarge(f"The body has more than {MAX_BODY} bytes.")
        if not message.get("more_body"):
            break
    if body:
        _check_kind(headers)
        if len(body) > QUICK_BYTES:  # the others go on meanwhile
            await asyncio.to_thread(check_json, bytes(body))
        else:
            check_json(bytes(body))
    left = iter(messages)

    async def give() -> Received:
        return next(left, None) or await receive()

    return give


def _bound_stream(headers: dict[bytes, bytes], receive: Receive, *, most: int) -> Receive:
    """Return what gives out a body of any kind as it comes, and refuses the rest of one that is too large.

    Raises:
        TooLarge: It is said to have too many bytes; none of them was read.
        Unsupported: It is compressed.
    """
    _check_length(headers, most=most)
    _check_coding(headers)
    taken = 0

    async def give() -> Received:
        nonlocal taken
        message = await receive()
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            if taken > most:
                raise TooLarge(f"The body has more than {most} bytes.")
        return message

    return give


def _check_length(headers: dict[bytes, bytes], *, most: int) -> None:
    """Return unless a body is said to have too many bytes.

    Raises:
        TooLarge: It is.
    """
    length = headers.get(b"content-length", b"").lstrip(b"0")
    if length.isdigit() and (len(length) > MAX_DIGITS or int(length) > most):
        raise TooLarge(f"The body has {length[:MAX_DIGITS].decode()} bytes or more; at most {most} are read.")


def _check_kind(headers: dict[bytes, bytes]) -> None:
    """Return if a body is said to be what is read here: a page of a stranger may send all else without asking first.

    Raises:
        Unsupported: It is not.
    """
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json" and not (kind.startswith(b"application/") and kind.endswith(b"+json")):
        raise Unsupported(f"a body of the kind {kind[:80].decode('latin-1')!r} is not read: send JSON, with the header "
                          "`Content-Type: application/json`.")  # fmt: skip
    _check_coding(headers)


def _check_coding(headers: dict[bytes, bytes]) -> None:
    """Return if a body comes as it is: what it becomes when it is inflated is bounded by nothing.

    Raises:
        Unsupported: It does not.
    """
    coding = headers.get(b"content-encoding", b"identity").strip().lower()
    if coding != b"identity":
        raise Unsupported(f"a body in {coding[:80].decode('latin-1')!r} is not read: send it as it is.")


def check_json(body: bytes) -> None:
    """Return if a body is JSON that everybody reads alike.

    Raises:
        InvalidInput: It is too deep, names something twice, holds `NaN` or the like, or is none.
    """
    check_depth(body, what="the body")

    def pair(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) < len(pairs):
            seen: set[str] = set()
            twice = next(name for name, _ in pairs if name in seen or seen.add(name))
            raise InvalidInput(f"the body names {twice[:80]!r} twice in one object.")
        return found

    def refuse(word: str) -> object:
        raise InvalidInput(f"the body holds {word}, which is no number in JSON.")

    try:
        json.loads(body, object_pairs_hook=pair, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"the body is not JSON: {error}") from error


def find_request_id(given: str) -> str:
    """Return the id that a caller gave a request, if it may be written anywhere, else a new one."""
    return given if _ID.fullmatch(given) else new_mark("req")


async def send_problem(send: Send, problem: Problem, error: Exception | None = None) -> None:
    """Answer with a problem."""
    headers = {"content-type": MEDIA_TYPE, **build_headers(problem, error)}
    await send(
        {
            "type": "http.response.start",
            "status": problem.status,
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": encode_problem(problem), "more_body": False})
