"""How long may a connection take, and how much may it send, before it is closed?

The server below us bounds how long a connection is quiet between two requests, and nothing else.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address
from typing import Any, cast

from msgspec import Struct
from uvicorn._types import ASGI3Application  # the only place where it has a name
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState


class Bounds(Struct, frozen=True, kw_only=True):
    """What one connection may take."""

    head_s: float = 10.0
    """How long a request may take to say what it is, from its first byte or the connection's beginning on."""
    head_bytes: int = 32 << 10
    headers: int = 100
    body_s: float = 10.0
    """How often it is looked whether a body comes fast enough."""
    body_rate: int = 500
    """How many bytes of a body must come in a second, unless it is us who do not read."""
    write_s: float = 30.0
    """How long somebody may read nothing while an answer waits for them."""
    ask_s: float = 1.0
    """How long whoever has just come may take to ask, once we leave."""
    linger_s: float = 2.0
    """How long the rest of a body is thrown away that was refused, so that its sender reads why."""
    pipelined: int = 8
    """How many requests may come before the answer of the first."""
    peer: int = 1_000
    """How many connections one address may have."""
    total: int = 20_000
    """How many connections all of them may have."""


BOUNDS = Bounds()


class Peers:
    """Counts the connections of each address.

    Args:
        most: How many one may have.
        total: How many all may have.
    """

    def __init__(self, most: int, total: int = 20_000) -> None:
        self._most = most
        self._total = total
        self._all = 0
        self._open = Counter[str]()

    def __len__(self) -> int:
        return self._all

    def enter(self, peer: str) -> bool:
        """Count a connection, and say whether it may stay."""
        self._all += 1
        self._open[peer] += 1
        return self._open[peer] <= self._most and self._all <= self._total

    def leave(self, peer: str) -> None:
        """Count a connection no more."""
        if peer not in self._open:
            return
        self._all -= 1
        self._open[peer] -= 1
        if self._open[peer] <= 0:
            del self._open[peer]


class BoundedProtocol(HttpToolsProtocol):
    """A connection that is closed when it takes too long or sends too much, and whose answer ends when it does."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],  # as the server gives it
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        bounds: Bounds = BOUNDS,
        peers: Peers,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._bounds = bounds
        self._peers = peers
        self._peer = ""
        self._in_head = True
        self._in_body = False
        self._head_bytes = 0
        """Of the head that is read, as far as the parser has told of it."""
        self._raw_bytes = 0
        """Of the head that is read, those that the parser may still hold."""
        self._body_bytes = 0
        self._answered: RequestResponseCycle | None = None
        """The request that is answered, which is not the last one read where they come faster than answers go."""
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None
        self._is_leaving = False
        """Whether we leave, and what is asked next is the last."""
        self._is_upgraded = False
        """Whether somebody else reads from here on."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless its sender has too many connections already."""
        super().connection_made(cast("asyncio.Transport", transport))  # other loops have transports of their own
        peer = name_peer(self.client[0] if self.client else "")
        self._peer = peer
        sock = transport.get_extra_info("socket")
        if sock is not None and hasattr(socket, "TCP_USER_TIMEOUT") and sock.family != socket.AF_UNIX:
            # Whoever is gone without a word is found out by what they do not acknowledge.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self._bounds.write_s * 1000))
        if self._peers.enter(peer):
            self._wait_for_head()
        else:
            self._refuse(503, "There are too many connections.")

    def connection_lost(self, exc: Exception | None) -> None:
        """End, and let the answer that is under way know of it."""
        super().connection_lost(exc)
        self._stop_timers()
        self._peers.leave(self._peer)
        self.pipeline.clear()
        if self._answered is not None and not self._answered.response_complete:
            self._answered.disconnected = True
            self._answered.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Read some more."""
        if self.transport.is_closing():
            return
        was_in_head = self._in_head
        super().data_received(data)
        if self.transport.is_closing() or self._is_upgraded:
            return
        if self._in_head:
            if was_in_head:  # all of it belongs to the head
                self._raw_bytes += len(data)
            if max(self._raw_bytes, self._head_bytes) > self._bounds.head_bytes:
                self._refuse(431, "The head of the request is too large.")
            elif self._reading is None:
                self._wait_for_head()
        elif self._in_body:
            if self._reading is None:
                self._watch_body(0)
        elif not self._is_busy and self._reading is None:
            self._wait_for_head()  # bytes between requests are no request

    def on_message_begin(self) -> None:
        """Begin to read a request."""
        super().on_message_begin()
        if self._reading is not None and not self._in_head:
            self._stop_reading()
        self._in_head, self._in_body = True, False
        self._head_bytes = self._raw_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Read a piece of the address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Read a header; one behind the body is none (RFC 9110, section 6.5.1)."""
        self._count(len(name) + len(value))
        if self._in_head:
            if len(self.headers) >= self._bounds.headers:
                self._head_bytes = self._bounds.head_bytes + 1
                self._count(0)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        if len(self.pipeline) >= self._bounds.pipelined:
            raise ValueError("too many requests at once")
        self._stop_reading()
        self._in_head, self._in_body = False, True
        self._body_bytes = 0
        super().on_headers_complete()
        if self._is_leaving and not self._is_upgrading:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Read a piece of the body."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        super().on_message_complete()
        self._in_body = False
        self._stop_reading()

    def on_response_complete(self) -> None:
        """End an answer; what is still to come of its request is thrown away for a moment."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._abort_later()
        elif self._in_body and self.cycle.response_complete:
            self._stop_reading()
            self._reading = self.loop.call_later(self._bounds.linger_s, self._close)

    def handle_websocket_upgrade(self) -> None:
        """Let a WebSocket have the connection, unless something else is on it."""
        names = {name for name, _ in self.headers}
        if self._is_busy or self.pipeline or names & {b"content-length", b"transfer-encoding"}:
            self._refuse(400, "A WebSocket is opened by a request of its own, without a body.")
            return
        self._stop_timers()
        self._unset_keepalive_if_required()
        self._is_upgraded = True
        super().handle_websocket_upgrade()

    def pause_writing(self) -> None:
        """Wait for whoever reads, but not for ever."""
        super().pause_writing()
        self._abort_later()

    def resume_writing(self) -> None:
        """Go on, as there is room again."""
        super().resume_writing()
        if self._writing is not None and not self.transport.is_closing():
            self._writing.cancel()
            self._writing = None

    def timeout_keep_alive_handler(self) -> None:
        """Close what was quiet for too long."""
        self._close()

    def shutdown(self) -> None:
        """Close what is quiet, and the rest after its answer; whoever has just come may still ask."""
        if self.cycle is None and not self._is_leaving:  # pyright: ignore[reportUnnecessaryComparison] no request yet
            self._is_leaving = True
            self._stop_reading()
            self._reading = self.loop.call_later(self._bounds.ask_s, self._close)
            return
        super().shutdown()
        if self.transport.is_closing():
            self._abort_later()

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser does not take."""
        if self._head_bytes > self._bounds.head_bytes:
            self._refuse(431, "The head of the request is too large.")
        else:
            self._refuse(400, msg)

    def _unsupported_upgrade_warning(self) -> None:
        """Answer whoever wants another protocol in this one, and close: what they send next is in neither."""
        if self.cycle is not None:  # pyright: ignore[reportUnnecessaryComparison] there is none before the first
            self.cycle.keep_alive = False

    @property
    def _is_upgrading(self) -> bool:
        parser = self.parser  # none once the connection is lost
        return parser is not None and parser.should_upgrade() and self._should_upgrade()

    @property
    def _is_busy(self) -> bool:
        return self._answered is not None and not self._answered.response_complete

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._bounds.head_bytes:
            raise ValueError("too many bytes of headers")  # the parser makes an error of its own of it

    def _wait_for_head(self) -> None:
        self._in_head = True
        self._stop_reading()
        self._reading = self.loop.call_later(self._bounds.head_s, self._be_late)

    def _be_late(self) -> None:
        if self._raw_bytes or self._head_bytes:
            self._refuse(408, "The head of the request took too long.")
        else:
            self._close()

    def _watch_body(self, before: int) -> None:
        self._reading = self.loop.call_later(self._bounds.body_s, self._check_body, before)

    def _check_body(self, before: int) -> None:
        """Close a connection whose body comes too slowly, unless it is us who do not read it."""
        is_late = self._body_bytes - before < self._bounds.body_rate * self._bounds.body_s
        if is_late and not self.flow.read_paused:
            self._refuse(408, "The body of the request took too long.")
        else:
            self._watch_body(self._body_bytes)

    def _refuse(self, status: int, words: str) -> None:
        """Say why nothing more is read, unless an answer is on its way already, and close."""
        if not self._is_busy or (self._answered is self.cycle and not self.cycle.response_started):
            phrase, body = HTTPStatus(status).phrase, words.encode()
            head = f"HTTP/1.1 {status} {phrase}\r\ncontent-type: text/plain; charset=utf-8\r\n"
            more = f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            self.transport.write(f"{head}{more}".encode() + body)
        self._close()

    def _close(self) -> None:
        self.transport.close()
        self._abort_later()

    def _abort_later(self) -> None:
        """Close for good in a while: to close in peace takes somebody who reads what is left."""
        self._stop_reading()
        if self._writing is None:
            self._writing = self.loop.call_later(self._bounds.write_s, self.transport.abort)

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _stop_timers(self) -> None:
        self._stop_reading()
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None


def name_peer(host: str) -> str:
    """Name whoever is at an address: whoever has one of IPv6 has all of its network."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    return f"{address.packed[:8].hex()}/64" if isinstance(address, IPv6Address) else str(address)
