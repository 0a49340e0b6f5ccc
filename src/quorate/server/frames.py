"""How much may a WebSocket send, how slowly may it read, and how does its connection end?

The server below us bounds the size of a message, and nothing else.
"""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec import Struct
from uvicorn._types import ASGISendEvent  # the only place where it has a name
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import State

from quorate.errors import RateLimited
from quorate.server.denial import POLICY
from quorate.server.problems import build_problem
from quorate.server.protocol import Peers, name_peer
from quorate.server.talk import Failure, write_said

SLICE = 4_096
"""How many bytes are read at a time, so that what is too much is noticed early."""
MUCH = "You send more than is read here: send less at a time."
LEAVING = 1001
LATER = 1013
"""That somebody may come again later."""


class FrameBounds(Struct, frozen=True, kw_only=True):
    """What one WebSocket may take."""

    message_bytes: int = 64 << 10
    """How long a message may be, in all its pieces."""
    pieces: int = 100
    """In how many pieces a message may come."""
    frames: int = 500
    """How many pieces, pings and the like may come in a second."""
    waiting: int = 64
    """How many messages may wait until they are dealt with."""
    beat_s: float = 20.0
    """How often it is asked whether somebody is still there."""
    beat_wait_s: float = 20.0
    """How long the answer to that may take."""
    write_s: float = 30.0
    """How long somebody may read nothing while something waits for them."""
    linger_s: float = 5.0
    """How long the end may take once it was said."""


FRAMES = FrameBounds()


class BoundedSocket(WebSocketsSansIOProtocol):
    """A WebSocket that is closed when it sends too much or reads too slowly, with a last message that says why.

    Args:
        config: As the server gives it.
        server_state: As the server gives it.
        app_state: As the server gives it.
        bounds: What it may take.
        peers: Where its connection is counted, which is let go of when it ends.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],  # as the server gives it
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        bounds: FrameBounds = FRAMES,
        peers: Peers,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.close_timeout = bounds.linger_s
        self.ping_interval, self.ping_timeout = bounds.beat_s, bounds.beat_wait_s
        self.conn.max_message_size = bounds.message_bytes
        self.conn.debug = False  # it would log every header, credentials too
        self._bounds = bounds
        self._peers = peers
        self._second = 0.0
        self._frames = 0
        """How many came since that second began."""
        self._ending: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """End, and let go of what was counted."""
        super().connection_lost(exc)
        self._stop_ending()
        self._peers.leave(name_peer(self.client[0] if self.client else ""))

    def data_received(self, data: bytes) -> None:
        """Read some more, a little at a time."""
        for start in range(0, len(data), SLICE):
            if self.transport.is_closing() or self.disconnected:
                return
            if self.handshake_initiated:
                super().data_received(data[start : start + SLICE])
            else:
                self._read_head(data)
                return

    def handle_connect(self, event: Request) -> None:
        """Begin; what is behind the path is thrown away, as logs would keep it and nothing here wants it."""
        event.path = event.path.partition("?")[0]
        super().handle_connect(event)

    def handle_events(self) -> None:
        """Look at what came, unless it is too much."""
        now = self.loop.time()
        if now - self._second >= 1.0:
            self._second, self._frames = now, 0
        self._frames += len(self.conn.events)
        if self._frames > self._bounds.frames:
            self.conn.events.clear()
            self._end(POLICY, MUCH)
        else:
            super().handle_events()

    def handle_cont(self, event: Frame) -> None:
        """Keep a piece of a message."""
        if len(self.frames) >= self._bounds.pieces:
            self.frames = []
            self._end(POLICY, MUCH)
        else:
            super().handle_cont(event)

    async def send(self, message: ASGISendEvent) -> None:
        """Send something; somebody who is refused needs no handshake any more."""
        await super().send(message)
        if self.close_sent:
            self.handshake_complete = True

    def send_receive_event_to_app(self) -> None:
        """Keep a message until it is dealt with."""
        if self.queue.qsize() >= self._bounds.waiting:
            self.frames = []
            self._end(POLICY, MUCH)
        else:
            super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """End, as what came is none of the protocol."""
        super().handle_parser_exception()
        self._let_go()

    def keepalive_timeout(self) -> None:
        """End, as nobody is there."""
        super().keepalive_timeout()
        if self.close_sent:
            self._let_go()

    def pause_writing(self) -> None:
        """Wait for whoever reads, but not for ever, and read nothing of theirs meanwhile."""
        super().pause_writing()
        self.transport.pause_reading()
        if self._ending is None:
            self._ending = self.loop.call_later(self._bounds.write_s, self._be_slow)

    def resume_writing(self) -> None:
        """Go on, as there is room again."""
        super().resume_writing()
        if not self.close_sent and not self.transport.is_closing():
            self._stop_ending()
            if not self.read_paused:
                self.transport.resume_reading()

    def shutdown(self) -> None:
        """Leave: whoever is there goes to another server."""
        self.stop_keepalive()
        if self.conn.state is State.OPEN:
            self._end(LEAVING, "")
        elif self.handshake_complete:
            self.transport.close()
            self._abort_later()
        else:
            super().shutdown()

    def _read_head(self, head: bytes) -> None:
        super().data_received(head)
        if not self.handshake_initiated:  # it could not be read: why is written already
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def _be_slow(self) -> None:
        self._ending = None
        self._end(LATER, "You read more slowly than there is to read: come back behind the last event that you saw.")

    def _end(self, code: int, why: str) -> None:
        """Say why, where there is a reason, and close; nobody is waited for."""
        if self.conn.state is State.OPEN:
            if why:
                request_id = str(self.scope.get("state", {}).get("request_id", ""))
                problem = build_problem(RateLimited(why), request_id=request_id)
                self.conn.send_text(write_said(Failure(problem=problem)).encode())
            self.conn.send_close(code, "")
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
            self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": ""})
        self._let_go()

    def _let_go(self) -> None:
        """Tell whoever answers that nobody listens, and close the connection, for good in a while."""
        self.stop_keepalive()
        self.disconnected = True
        self.writable.set()
        self.transport.close()
        self._abort_later()

    def _abort_later(self) -> None:
        self._stop_ending()
        self._ending = self.loop.call_later(self._bounds.linger_s, self.transport.abort)

    def _stop_ending(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
