"""At which port do requests come in, and how does a server leave without losing one?"""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from types import FrameType

import uvicorn

from quorate.errors import Forbidden, QuorateError, Unavailable
from quorate.models.addresses import is_loopback_name
from quorate.server.admission import ROOM, Admission, Room
from quorate.server.app import Server
from quorate.server.frames import FRAMES, BoundedSocket, FrameBounds
from quorate.server.protocol import BOUNDS, BoundedProtocol, Bounds, Peers
from quorate.server.pulse import Pulse

ACCEPT_S = 5.0
"""How long requests are still taken once readiness says no: who sends them learns of it later."""
FINISH_S = 20
"""How long requests under way may take to end after that; streams of events end at once, as their readers come back."""
LAST_S = 2.0
"""How long requests may take to be put away that did not end in time."""
IDLE_S = 15
"""How long a connection may be quiet between two requests."""


class Listener(uvicorn.Server):
    """Leaves in two steps: first nobody new is sent to us, then nobody new is let in.

    Args:
        config: What it serves, and where.
        drain: Called when it begins to leave.
        close: Called when nobody new is let in any more.
        accept_s: How long lies between the two.
    """

    def __init__(
        self, config: uvicorn.Config, *, drain: Callable[[], None], close: Callable[[], None], accept_s: float
    ) -> None:
        super().__init__(config)
        self.servers = []
        self.failure: QuorateError | None = None
        """Why it does not listen, if it cannot."""
        self._drain = drain
        self._close = close
        self._accept_s = accept_s
        self.ended = asyncio.Event()
        """Set when it listens no more."""
        self.begun = asyncio.Event()
        """Set when it listens, or never will."""
        self._loop = asyncio.get_running_loop()
        self._signals = 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self.begun.set()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Hear of signals while a block lasts, and keep them: who listens decides what follows."""
        numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
        for number in numbers:
            self._loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in numbers:
                self._loop.remove_signal_handler(number)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to leave; a second signal leaves at once."""
        self._signals += 1
        self._drain()
        if self._signals > 1:
            self.force_exit = True
            self.leave()
        elif sig == signal.SIGINT:
            self.leave()
        else:
            self._loop.call_later(self._accept_s, self.leave)

    def leave(self) -> None:
        """Let nobody in any more, and end what is under way."""
        self._drain()
        self._close()
        self.should_exit = True

    async def cut(self) -> None:
        """Leave no connection open, nor the work for one, however it ended; whoever still waits is told so first."""
        for server in self.servers:
            server.close()
        tasks = list(self.server_state.tasks)
        try:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=LAST_S)
        finally:
            for connection in list(self.server_state.connections):
                connection.transport.abort()


def check_host(host: str, *, is_open: bool) -> str:
    """Return an address to listen at.

    Raises:
        Forbidden: Other machines reach it, and nobody would be asked who they are.
    """
    if is_open and not is_loopback_name(host):
        raise Forbidden(
            f"`server.open` lets in everybody without a key, and {host!r} is reached by other machines: listen on "
            "127.0.0.1, or unset it and make keys with `quorate keys create`."
        )
    return host


@asynccontextmanager
async def open_listener(
    server: Server,
    *,
    host: str,
    port: int,
    accept_s: float = ACCEPT_S,
    bounds: Bounds = BOUNDS,
    frames: FrameBounds = FRAMES,
    room: Room = ROOM,
) -> AsyncGenerator[tuple[Listener, int]]:
    """Listen while a block lasts; yield what listens and its port.

    Args:
        server: What answers.
        host: At which address.
        port: At which port; 0 for any that is free.
        accept_s: How long requests are still taken once it begins to leave.
        bounds: What one connection may take.
        frames: What one WebSocket may take.
        room: How much may be under way at once.

    Raises:
        Unavailable: The port is taken, or the address is not one of this machine.
    """
    peers, pulse = Peers(bounds.peer, bounds.total), Pulse()
    looks = server.looks
    looks.pulse = pulse
    watching = looks.runtime.watching
    tell = (lambda: None) if watching is None else (lambda: watching.count("requests_shed"))
    looks.admission = Admission(server.asgi, pulse=pulse, room=room, tell=tell)
    unlook = None if watching is None else watching.look("loop_lag", lambda: [(pulse.lag_s, {})])
    config = uvicorn.Config(
        looks.admission,
        host=host,
        port=port,
        lifespan="off",
        http=partial(BoundedProtocol, bounds=bounds, peers=peers),  # pyright: ignore[reportArgumentType]
        ws=partial(BoundedSocket, bounds=frames, peers=peers),  # pyright: ignore[reportArgumentType]
        ws_per_message_deflate=False,  # what is small here may be large there
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=FINISH_S,
    )
    listener = Listener(config, drain=server.draining.set, close=server.closing.set, accept_s=accept_s)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_serve(listener, host=host, port=port))
            beating = group.create_task(pulse.beat())
            await listener.begun.wait()
            if listener.failure is not None:
                raise listener.failure
            try:
                yield listener, listener.servers[0].sockets[0].getsockname()[1]
            finally:
                listener.leave()  # the group waits for its end
                beating.cancel()
    except BaseExceptionGroup as several:
        if len(several.exceptions) == 1:  # the block's own; the group only carried it
            raise several.exceptions[0] from None
        raise
    finally:
        if unlook is not None:
            unlook()


async def _serve(listener: Listener, *, host: str, port: int) -> None:
    try:
        await listener.serve()
    except SystemExit:
        listener.failure = Unavailable(
            f"Nothing can listen at {host}:{port}: it is taken, or no address of this machine. Choose another one with "
            "`--port` or `--host`."
        )
    finally:
        listener.leave()
        listener.begun.set()
        try:
            await listener.cut()
        finally:
            listener.ended.set()
