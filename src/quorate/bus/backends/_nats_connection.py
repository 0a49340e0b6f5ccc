"""How does a connection to NATS lose nothing in silence, and hand over what comes without detours?

`nats-py` speaks the protocol, connects again and subscribes again. Four things are done here in another way:

- A ping goes the way of everything else that is sent. In `nats-py` it overtakes what waits to be written, so that its
  answer says nothing about what was published before.
- What was published stays in a window until the answer to a later ping confirms it, and what is in the window is sent
  again over the next connection. In `nats-py` what was written into a dead socket is gone.
- What comes goes straight to whoever listens, with its headers unread, instead of through a queue and a task each.
- Whoever asks for TLS has it: a server that does not offer it is refused before it is told who we are.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from nats import errors
from nats.aio.client import PING_PROTO, Client, Server

from quorate.bus.backends._nats_parse import MessageParser
from quorate.bus.backends._nats_refusals import (
    PUBLISH,
    SUBSCRIPTION,
    Watcher,
    build_refusal,
    explain_end,
    is_lockout,
    read_refusal,
)
from quorate.errors import DeadlineExceeded, QuorateError, Unavailable

Sink = Callable[[bytes, bytes, bytes, bytes | None], None]
"""Takes what came: subject, reply, data, and the block of headers."""

MAX_REFUSED = 1000
MAX_LOCKOUTS = 3
"""How often each server may refuse to let us in again before we believe it."""
MARK_EACH = 512
"""After how many messages a ping asks whether they arrived."""
MARK_S = 0.02
"""After how many seconds it does so for fewer."""


class Connection(Client):
    """A connection to a NATS server, over as many sockets as it takes."""

    def __init__(
        self, *, window_bytes: int, wait_s: float, longest_wait_s: float, regroup_s: float, is_secure: bool
    ) -> None:
        """Build a connection, closed as yet.

        Args:
            window_bytes: How much may be on its way, or wait for a connection.
            wait_s: How long the first wait before connecting again is at most; it doubles.
            longest_wait_s: The longest of those waits.
            regroup_s: How long others are given to come back as well before what was published meanwhile is sent.
            is_secure: Whether only TLS will do.
        """
        super().__init__()
        self.sinks: dict[bytes, Sink] = {}
        """Who takes what comes, by the number of the subscription as it is on the wire."""
        self._ps = MessageParser(self, self.sinks)
        self.lost = 0
        """How many messages were given up with the connection since somebody last asked."""
        self.refused: dict[tuple[str, str], None] = {}
        """What the server does not let us do since somebody last asked: `publish` or `subscription`, and where."""
        self._window: deque[bytes] = deque()
        self._window_bytes = 0
        self._max_window_bytes = window_bytes
        self._sent = 0
        """How many messages were ever put into the window."""
        self._confirmed = 0
        self._marked = 0
        """Up to which message a ping was sent."""
        self._timer: asyncio.TimerHandle | None = None
        self._roomy = asyncio.Event()
        self._wait_s = wait_s
        self._longest_wait_s = longest_wait_s
        self._tries = 0
        self._regroup_s = regroup_s
        self._regrouping: asyncio.TimerHandle | None = None
        """Set while others are given time to come back."""
        self._is_secure = is_secure
        self._pongs: list[asyncio.Future[Any]] = []
        self.did_connect = False
        """Whether there was a connection ever."""
        self.ready = asyncio.Event()
        """Set while there is a connection over which everything is heard that was asked for."""
        self.watcher: Watcher | None = None
        self._is_ending = False
        self._lockouts = 0
        """How often in a row we were not let in again."""

    async def listen(self, subject: str, sink: Sink, *, queue: str = "") -> int:
        """Hear a subject from now on, over every connection; return the number to `leave` it by."""
        number = self._sid + 1
        self.refused.pop((SUBSCRIPTION, subject.lower()), None)  # what was refused before may be allowed now
        self.sinks[b"%d" % number] = sink  # before the first message can come
        await self.subscribe(subject, queue=queue)  # pyright: ignore[reportUnknownMemberType]
        return number

    async def leave(self, number: int) -> None:
        """Hear a subject no more."""
        self.sinks.pop(b"%d" % number, None)
        subscription = self._subs.get(number)
        if subscription is not None and not self.is_closed and not self.is_draining:
            await subscription.unsubscribe()

    async def wait_ready(self, timeout_s: float) -> None:
        """Wait for a connection.

        Raises:
            Unavailable: There is none in time, or there will be none.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self.ready.wait()
        except TimeoutError:
            raise Unavailable(f"there is no connection to NATS, and none was made in {timeout_s:.3g} s.") from None

    async def post(self, command: bytes, *, timeout_s: float, is_awaited: bool = False) -> None:
        """Send a message that must arrive, or be reported.

        After a connection was lost, others are given time to come back as well before they are sent anything; not so
        what `is_awaited`: an answer, or what is said to the server itself.

        Raises:
            Unavailable: As much waits to be confirmed as may, for longer than `timeout_s`; or it is closed for good.
        """
        if self._window_bytes >= self._max_window_bytes:
            await self._wait_room(timeout_s)
        self.check_open()
        size = len(command)
        self._window.append(command)
        self._window_bytes += size
        self._sent += 1
        if self.is_connected and (self._regrouping is None or is_awaited):
            self._pending.append(command)
            self._pending_data_size += size
            if self._regrouping is None and self._sent - self._marked >= MARK_EACH:
                self._mark()
            elif self._timer is None and self._regrouping is None:
                self._timer = asyncio.get_running_loop().call_later(MARK_S, self._mark_late)
            await self.kick()

    async def send(self, command: bytes) -> None:
        """Send what need not arrive: whoever sent it waits for an answer.

        Raises:
            Unavailable: There is no connection.
        """
        if not self.is_connected:
            raise Unavailable("there is no connection to NATS at the moment.")
        await self._send_command(command)
        await self.kick()

    async def kick(self) -> None:
        """See to it that what waits is written."""
        if self._flush_queue is not None and self._flush_queue.empty():
            await self._flush_pending()

    async def confirm(self, *, timeout_s: float) -> None:
        """Wait until the server has everything that was sent.

        Raises:
            Unavailable: Something was given up since somebody last asked.
            Forbidden: It did not take something, as our login may not publish it.
            DeadlineExceeded: It does not answer.
        """
        wanted, end = self._sent, asyncio.get_running_loop().time() + timeout_s
        while self._confirmed < wanted and not self.is_closed:
            if self._can_mark and self._marked < wanted:
                self._mark()
                await self.kick()
            self._roomy.clear()
            try:
                async with asyncio.timeout_at(end):
                    await self._roomy.wait()
            except TimeoutError:
                left = wanted - self._confirmed
                raise DeadlineExceeded(
                    f"NATS did not confirm {left} messages in {timeout_s} s; they are sent again when it is back.",
                    unconfirmed=left,
                ) from None
        refused = [subject for what, subject in self.refused if what == PUBLISH]
        for subject in refused:
            del self.refused[PUBLISH, subject]
        lost, self.lost = self.lost, 0
        if refused:
            raise build_refusal(PUBLISH, *refused)
        if lost:
            raise Unavailable(f"{lost} messages were lost: the connection to NATS ended for good.", lost=lost)

    async def settle(self, *, timeout_s: float) -> None:
        """Wait until the server has heard what was asked of it so far, such as to tell us of a subject.

        Raises:
            Unavailable: There is no connection.
            DeadlineExceeded: It does not answer.
        """
        if not self.is_connected:
            raise Unavailable("there is no connection to NATS at the moment.")
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        await self._send_ping(answer)
        try:
            async with asyncio.timeout(timeout_s):
                await answer
        except TimeoutError:
            raise DeadlineExceeded(f"NATS did not answer in {timeout_s} s.") from None

    def check_open(self) -> None:
        """Raise if it was closed for good.

        Raises:
            Unauthenticated: The server let us in no more.
            Unavailable: It was closed.
        """
        if self.is_closed:
            raise self._explain_end()

    def find_host(self) -> str:
        """Find which machine it leads to, as its address says."""
        server = self._current_server
        return "" if server is None else server.uri.hostname or ""

    async def note_loss(self) -> None:
        """Note that the connection was lost."""
        self.ready.clear()
        if self.watcher is not None:
            self.watcher.lose()

    async def note_return(self) -> None:
        """Note that there is one again."""
        self.ready.set()
        if self.watcher is not None:
            self.watcher.reset()

    async def note_end(self) -> None:
        """Note that there will be none any more."""
        self.give_up()
        await self.note_loss()
        if self.watcher is not None and not self._is_ending:
            self.watcher.fail(self._explain_end())

    def note_refusal(self, words: str) -> None:
        """Note what a server says that it does not let us do, be it to come in again."""
        if self.did_connect and is_lockout(words):
            self._lockouts += 1
            if self._lockouts >= MAX_LOCKOUTS * len(self._server_pool):
                # With no server left to try, the client ends by itself.
                self.options["max_reconnect_attempts"] = 1
                for server in self._server_pool:
                    server.reconnects = 2
        found = read_refusal(words)
        if found is None:
            return
        if len(self.refused) >= MAX_REFUSED:
            del self.refused[next(iter(self.refused))]
        self.refused[found] = None
        if self.watcher is not None:
            self.watcher.refuse(*found)

    def forget_refusal(self, subject: str) -> None:
        """Forget that we may not publish somewhere: whoever did was told."""
        self.refused.pop((PUBLISH, subject.lower()), None)

    def check_heard(self, pattern: str) -> None:
        """Raise if the server does not let us hear a subject.

        Raises:
            Forbidden: It does not.
        """
        place = (SUBSCRIPTION, pattern.lower())
        if place in self.refused:
            del self.refused[place]
            raise build_refusal(SUBSCRIPTION, pattern)

    async def end(self) -> None:
        """Close it for good, if it was ever begun."""
        self._is_ending = True
        if not self.is_connected:
            self._pending, self._pending_data_size = [], 0  # there is nothing to write it to
        if self._flush_queue is not None:
            with suppress(OSError):  # it was lost while it was closed
                await self.close()

    def give_up(self) -> None:
        """Count what is in the window as lost: there will be no other connection."""
        self.lost += len(self._window)
        self._window.clear()
        self._window_bytes = 0
        self._confirmed = self._sent
        for timer in (self._timer, self._regrouping):
            if timer is not None:
                timer.cancel()
        self._timer = self._regrouping = None
        self._roomy.set()

    def choose_server(self, servers: list[Server], info: dict[str, Any]) -> tuple[Server | None, float]:
        """Choose where to connect next and after how long, so that a thousand clients do not come back at once."""
        self._tries += 1
        most = min(self._longest_wait_s, self._wait_s * 2.0 ** min(self._tries - 1, 30))
        return servers[self._tries % len(servers)], random.uniform(0.0, most)

    async def _wait_room(self, timeout_s: float) -> None:
        if self._can_mark and self._marked < self._sent:
            self._mark()
            await self.kick()
        try:
            async with asyncio.timeout(timeout_s):
                while self._window_bytes >= self._max_window_bytes and not self.is_closed:
                    self._roomy.clear()
                    await self._roomy.wait()
        except TimeoutError:
            raise Unavailable(
                f"NATS has not confirmed {len(self._window)} messages ({self._window_bytes} bytes); this one was not "
                "sent. Try again when it is back.",
                unconfirmed=len(self._window),
            ) from None

    def _mark(self) -> None:
        """Ask whether everything so far arrived."""
        upto = self._marked = self._sent

        def settle(answer: asyncio.Future[Any]) -> None:
            if not answer.cancelled():
                self._settle(upto)

        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(settle)
        self._pongs.append(answer)
        self._pending.append(PING_PROTO)
        self._pending_data_size += len(PING_PROTO)

    @property
    def _can_mark(self) -> bool:
        return self.is_connected and self._regrouping is None

    def _mark_late(self) -> None:
        self._timer = None
        if self._can_mark and self._marked < self._sent:
            self._mark()
            self._kick_late()

    def _kick_late(self) -> None:
        if self._flush_queue is not None and self._flush_queue.empty():
            self._flush_queue.put_nowait(asyncio.get_running_loop().create_future())

    def _resend(self) -> None:
        """Send everything that was not confirmed, in order."""
        self._regrouping = None
        if self._window and self.is_connected:
            self._pending.extend(self._window)
            self._pending_data_size += self._window_bytes
            self._mark()
            self._kick_late()

    def _settle(self, upto: int) -> None:
        while self._confirmed < upto and self._window:
            self._window_bytes -= len(self._window.popleft())
            self._confirmed += 1
        self._roomy.set()

    async def _process_connect_init(self) -> None:
        await super()._process_connect_init()
        # What waited to be written on the last connection is in the window, or was given up by whoever sent it.
        self._pending, self._pending_data_size = [], 0
        self._tries = self._lockouts = 0
        if self._regrouping is not None:
            self._regrouping.cancel()
        if self.did_connect:  # those whom it is for have lost their connections, too
            self._regrouping = asyncio.get_running_loop().call_later(self._regroup_s, self._resend)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if initial_connection and self._is_secure and not info.get("tls_required"):
            raise errors.SecureConnWantedError
        await super()._process_info(info, initial_connection)

    async def _send_ping(self, future: asyncio.Future[Any] | None = None) -> None:
        self._pongs.append(future or asyncio.get_running_loop().create_future())
        await self._send_command(PING_PROTO)
        await self._flush_pending()

    async def _process_pong(self) -> None:
        self._pings_outstanding = 0
        if self._pongs:
            future = self._pongs.pop(0)
            if not future.done():  # whoever waited may have gone
                future.set_result(True)

    def _explain_end(self) -> QuorateError:
        words = str(self.last_error or "")
        return explain_end(words, is_locked_out=self._lockouts > 0 or is_lockout(words))

    async def pass_on(self, number: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        """Let `nats-py` deal with a message that is for nobody of ours."""
        await self._process_msg(number, subject, reply, data, headers)
