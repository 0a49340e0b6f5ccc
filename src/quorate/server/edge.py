"""What is a request checked for before anything reads it, and what does every answer bear?"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Iterable
from typing import cast

from litestar.types import (
    ASGIApp,
    HTTPReceiveMessage,
    HTTPSendMessage,
    Message,
    Receive,
    Scope,
    Send,
    WebSocketReceiveMessage,
)

from quorate.codec.json import check_depth
from quorate.errors import Forbidden, InvalidInput, QuorateError, TooLarge
from quorate.server.doors import Gone, answer
from quorate.server.problems import MEDIA_TYPE, Problem, build_headers, build_problem, encode_problem

MAX_BODY = 1 << 20
"""How many bytes the body of a request may have, except where a route takes a stream."""
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
)
_PREFLIGHT = {
    "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE",
    "access-control-allow-headers": "authorization, content-type, idempotency-key, last-event-id, x-request-id",
    "access-control-max-age": "600",
}
_ONCE = frozenset({b"host", b"authorization", b"content-length", b"content-type", b"idempotency-key", b"origin"})
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
    """

    def __init__(
        self, inner: ASGIApp, *, hosts: Iterable[str] = (), origins: Iterable[str] = (), is_open: bool = False
    ) -> None:
        self._inner = inner
        self._hosts = frozenset(host.strip("[]").lower() for host in hosts)
        self._origins = frozenset(origin.encode("latin-1") for origin in origins)
        self._is_open = is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; there is nothing here for what is none."""
        if str(scope["type"]) == "lifespan":
            await self._inner(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008, "reason": None})
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        request_id = find_request_id(headers.get(REQUEST_ID.encode(), b"").decode("latin-1"))
        scope.setdefault("state", {})["request_id"] = request_id
        origin = headers.get(b"origin", b"")
        marks = ((REQUEST_ID.encode(), request_id.encode()), *_SECURITY, *self._list_cors(origin))

        async def mark(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                more = [(name, value) for name, value in marks if name not in given]
                message = cast("HTTPSendMessage", {**message, "headers": [*message["headers"], *more]})
            await send(message)

        try:
            _check_once(scope["headers"])
            self._check_host(headers.get(b"host", b"").decode("latin-1"))
            self._check_origin(origin, headers.get(b"sec-fetch-site", b""))
            if origin in self._origins and scope["method"] == "OPTIONS":
                await answer(mark, b"", status=204, headers=_PREFLIGHT)
                return
            receive = await _read_body(headers, receive)
        except Gone:
            return
        except QuorateError as error:
            await send_problem(mark, build_problem(error, request_id=request_id), error)
            return
        await self._inner(scope, receive, mark)

    def _list_cors(self, origin: bytes) -> list[tuple[bytes, bytes]]:
        """List the headers by which a browser lets a page read an answer (WHATWG Fetch, section 3.3)."""
        if not self._origins:
            return []
        varies = (b"vary", b"origin")
        if origin not in self._origins:
            return [varies]
        shown = b"x-request-id, x-quorate-run, location, retry-after"
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
    length = headers.get(b"content-length", b"").lstrip(b"0")
    if length.isdigit() and (len(length) > MAX_DIGITS or int(length) > MAX_BODY):
        raise TooLarge(f"The body has {length[:MAX_DIGITS].decode()} bytes or more; at most {MAX_BODY} are read.")
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


def _check_kind(headers: dict[bytes, bytes]) -> None:
    """Return if a body is said to be what is read here: a page of a stranger may send all else without asking first.

    Raises:
        Unsupported: It is not.
    """
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json" and not (kind.startswith(b"application/") and kind.endswith(b"+json")):
        raise Unsupported(f"a body of the kind {kind[:80].decode('latin-1')!r} is not read: send JSON, with the header "
                          "`Content-Type: application/json`.")  # fmt: skip
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
    return given if _ID.fullmatch(given) else f"req-{os.urandom(12).hex()}"


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
