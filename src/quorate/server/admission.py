"""Is there room for one more request, or is it better to say at once that there is none?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from litestar.types import ASGIApp, Message, Receive, Scope, Send
from msgspec import Struct

from quorate.errors import QuorateError, Unavailable
from quorate.server.denial import refuse_socket
from quorate.server.edge import REQUEST_ID, find_request_id, send_problem
from quorate.server.problems import build_problem
from quorate.server.pulse import Pulse

MEMORY_SHARE = 0.8
"""From which share of its cap on nothing more is begun."""
FREE = frozenset({"/livez", "/readyz", "/health/live", "/health/ready", "/health/detailed", "/metrics"})
"""What is answered however busy we are: whoever asks it wants to know just that."""
STREAM = b"text/event-stream"


class Overloaded(QuorateError):
    """There is no room for more: come again in a while."""

    code = "overloaded"
    retryable = True


class Room(Struct, frozen=True, kw_only=True):
    """How much may be under way at once."""

    most: int = 1_000
    """How many requests may be answered at once; streams count until they begin."""
    calm: int = 256
    """Up to how many of them no lag matters: whoever is late with so few is not so because of them."""
    lag_s: float = 0.1
    """From which lag on nothing more is begun beyond that, when it lasts; beyond twice as many also when it does not:
    a moment in which everything stood still is to be noticed by nobody."""
    memory_bytes: int | None = None
    """How much memory this process may have; none where something else bounds it."""


ROOM = Room()


class Admission:
    """An ASGI application around another one that refuses at once what could not be done in time.

    A refusal costs little, so that a process to which too much comes goes on doing as much as it can.

    Args:
        inner: What answers.
        pulse: How busy this process is.
        room: How much may be under way.
        tell: Called for each refusal.
    """

    def __init__(
        self, inner: ASGIApp, *, pulse: Pulse, room: Room = ROOM, tell: Callable[[], None] = lambda: None
    ) -> None:
        self.under_way = 0
        """How many requests are being answered."""
        self._inner = inner
        self._pulse = pulse
        self._room = room
        self._tell = tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or refuse it."""
        if scope["type"] not in ("http", "websocket") or scope["path"] in FREE:
            await self._inner(scope, receive, send)
            return
        why = self.find_refusal()
        if why:
            self._tell()
            await _refuse(scope, send, Overloaded(why))
            return
        is_counted, is_begun = True, False
        self.under_way += 1

        async def watch(message: Message) -> None:
            nonlocal is_counted, is_begun
            is_begun = True
            if is_counted and _begins_stream(message):
                is_counted = False
                self.under_way -= 1
            await send(message)

        try:
            await self._inner(scope, receive, watch)
        except asyncio.CancelledError:
            if is_begun:
                raise
            # We leave, and it was not done in time: whoever asks goes to another process. Nobody is above us.
            await _refuse(scope, send, Unavailable("This server leaves: come again."))
        finally:
            self.under_way -= is_counted

    def find_refusal(self) -> str:
        """Find why nothing more may begin now; empty when it may."""
        room, pulse = self._room, self._pulse
        if self.under_way >= room.most:
            return f"{room.most} requests are under way already: come again in a while."
        lag_s = pulse.steady_s if self.under_way < 2 * room.calm else pulse.lag_s
        if self.under_way >= room.calm and lag_s > room.lag_s:
            return "There is more to do than can be done in time: come again in a while."
        if room.memory_bytes is not None and pulse.memory_bytes > MEMORY_SHARE * room.memory_bytes:
            return "There is too little memory for more: come again in a while."
        return ""


def _begins_stream(message: Message) -> bool:
    if message["type"] == "websocket.accept":
        return True
    if message["type"] != "http.response.start":
        return False
    return any(name == b"content-type" and value.startswith(STREAM) for name, value in message["headers"])


async def _refuse(scope: Scope, send: Send, error: QuorateError) -> None:
    given = next((value for name, value in scope["headers"] if name.lower() == REQUEST_ID.encode()), b"")
    problem = build_problem(error, request_id=find_request_id(given.decode("latin-1")))
    if scope["type"] == "http":
        await send_problem(send, problem, error)
    else:
        await refuse_socket(scope, send, problem, error)
