"""How does a door that is no part of the framework know callers, read requests and notice that somebody left?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import TypeVar

from litestar.types import HTTPScope, Receive, Send
from msgspec import Struct

from quorate.security.identity import Identity, Need
from quorate.server.access import Doorkeeper
from quorate.telemetry.context import parse_traceparent

T = TypeVar("T")
JSON = "application/json"


class Visit(Struct, frozen=True, kw_only=True):
    """A request that was let in."""

    identity: Identity
    body: bytes
    headers: Mapping[str, str]
    request_id: str
    receive: Receive
    send: Send


Handler = Callable[[Visit], Awaitable[None]]


class Gone(Exception):
    """Whoever asked has left."""


async def admit(scope: HTTPScope, receive: Receive, send: Send, *, doorkeeper: Doorkeeper, need: Need) -> Visit:
    """Let somebody in and read what they want; the body is bounded already.

    Raises:
        Unauthenticated: Nobody is known to ask.
        Forbidden: Whoever asks may not.
    """
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    identity = await doorkeeper.identify(headers)
    identity.check(need)
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
    )


def read_trace(headers: Mapping[str, str]) -> str:
    """Read whose trace asks, as a header of ours; what is none of the kind is nobody's."""
    found = parse_traceparent(headers.get("traceparent", ""))
    return found.traceparent if found is not None else ""


def find_path(scope: HTTPScope) -> str:
    """Find the path below the place where we are mounted."""
    path, root = scope["path"], str(scope.get("root_path", "")).rstrip("/")  # pyright: ignore[reportUnknownMemberType]
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


async def while_there(receive: Receive, work: Awaitable[T]) -> T:
    """Do something for as long as whoever asked is there; it is cancelled at once when they leave.

    Raises:
        Gone: They left.
    """
    found: list[T] = []
    failed: list[Exception] = []

    async def do() -> None:
        try:
            found.append(await work)
        except Exception as error:  # raised below, as itself and not as one of a group
            failed.append(error)

    async with asyncio.TaskGroup() as group:
        tasks = group.create_task(do()), group.create_task(_await_leaving(receive))
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
    if failed:
        raise failed[0]
    if not found:
        raise Gone
    return found[0]


async def _await_leaving(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def answer(send: Send, body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
    """Answer in one piece."""
    kind = {"content-type": JSON, "content-length": str(len(body))} if body else dict[str, str]()
    given = {**kind, **(headers or {})}
    await send({"type": "http.response.start", "status": status, "headers": _encode(given)})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def answer_stream(send: Send, frames: AsyncGenerator[bytes], *, headers: Mapping[str, str] | None = None) -> None:
    """Answer piece by piece."""
    given = {"content-type": "text/event-stream", **(headers or {})}
    await send({"type": "http.response.start", "status": 200, "headers": _encode(given)})
    async with aclosing(frames):
        async for frame in frames:
            await send({"type": "http.response.body", "body": frame, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _encode(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
