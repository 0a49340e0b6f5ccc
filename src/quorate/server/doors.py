"""How does a door that is no part of the framework know callers, read requests and notice that somebody left?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from litestar.types import HTTPScope, Receive, Send
from msgspec import Struct

from quorate.security.identity import Identity, Need
from quorate.server.access import Doorkeeper
from quorate.telemetry.context import parse_traceparent

T = TypeVar("T")
JSON = "application/json"
LOOK_S = 0.05
"""After how long it is first looked whether whoever asked is still there."""


class Visit(Struct, frozen=True, kw_only=True):
    """A request that was let in."""

    identity: Identity
    body: bytes
    headers: Mapping[str, str]
    request_id: str
    receive: Receive
    send: Send
    query: str = ""
    """What stands behind the path, as it came."""


class Gone(Exception):
    """Whoever asked has left."""


async def admit(scope: HTTPScope, receive: Receive, send: Send, *, doorkeeper: Doorkeeper, need: Need) -> Visit:
    """Let somebody in and read what they want; the body is bounded already.

    Raises:
        Unauthenticated: Nobody is known to ask.
        Forbidden: Whoever asks may not.
        RateLimited: A quota of theirs is used up.
    """
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    identity = await doorkeeper.enter(scope, headers, need)
    pieces: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Gone
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    return Visit(
        identity=identity,
        body=b"".join(pieces),
        headers=headers,
        request_id=str(scope["state"]["request_id"]),
        receive=receive,
        send=send,
        query=scope["query_string"].decode("latin-1"),
    )


def read_trace(headers: Mapping[str, str]) -> str:
    """Read whose trace asks, as a header of ours; what is none of the kind is nobody's."""
    found = parse_traceparent(headers.get("traceparent", ""))
    return found.traceparent if found is not None else ""


def find_path(scope: HTTPScope) -> str:
    """Find the path below the place where we are mounted."""
    path, root = scope["path"], str(scope.get("root_path", "")).rstrip("/")  # pyright: ignore[reportUnknownMemberType]
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


async def while_there(
    receive: Receive, work: Awaitable[T], *, pulse: Callable[[], Awaitable[None]] | None = None, every_s: float = 0.0
) -> T:
    """Do something for as long as whoever asked is there; it is cancelled at once when they leave.

    Args:
        receive: Says that they left.
        work: What is done.
        pulse: Called again and again meanwhile.
        every_s: How often.

    Raises:
        Gone: They left.
    """
    found: list[T] = []
    failed: list[Exception] = []
    try:
        async with asyncio.TaskGroup() as group:
            watching: list[asyncio.Task[None]] = []

            def watch() -> None:
                watching.append(group.create_task(_await_leaving(receive, pulse, every_s)))

            # Most of what is quick is over before it is worth a task to see whether somebody still waits for it.
            starting = asyncio.get_running_loop().call_later(LOOK_S, watch)
            try:
                found.append(await work)
            except Exception as error:  # raised below, as itself and not as one of a group
                failed.append(error)
            finally:
                starting.cancel()
                for task in watching:
                    task.cancel()
    except* Gone:
        pass
    if failed:
        raise failed[0]
    if not found:
        raise Gone
    return found[0]


async def _await_leaving(receive: Receive, pulse: Callable[[], Awaitable[None]] | None, every_s: float) -> None:
    """Wait until whoever asked is gone.

    Raises:
        Gone: They are; it ends what is done for them.
    """
    while True:
        try:
            async with asyncio.timeout(None if pulse is None else every_s):
                if (await receive())["type"] == "http.disconnect":
                    raise Gone
        except TimeoutError:
            if pulse is not None:
                await pulse()


async def answer(send: Send, body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
    """Answer in one piece."""
    kind = {"content-type": JSON, "content-length": str(len(body))} if body else dict[str, str]()
    given = {**kind, **(headers or {})}
    await send({"type": "http.response.start", "status": status, "headers": encode_headers(given)})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def encode_headers(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Write headers as they go out."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
