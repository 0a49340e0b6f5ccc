"""How does a caller follow several runs over one connection (WebSocket)?"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import aclosing
from typing import cast

from litestar.types import HTTPScope, Receive, Send, WebSocketScope
from msgspec import Struct

from quorate.errors import (
    Conflict,
    DeadlineExceeded,
    Forbidden,
    InvalidInput,
    NotFound,
    QuorateError,
    RateLimited,
    Unauthenticated,
    Unavailable,
)
from quorate.runtime import Runtime
from quorate.security.identity import Identity, Need
from quorate.server.access import Doorkeeper
from quorate.server.denial import POLICY, refuse_socket
from quorate.server.doors import find_path
from quorate.server.edge import check_json
from quorate.server.following import Follows
from quorate.server.problems import build_problem
from quorate.server.session_rights import check_run
from quorate.server.streams import Seats
from quorate.server.talk import (
    Asked,
    Authenticate,
    Ended,
    Failure,
    Happened,
    Ping,
    Pong,
    Ready,
    Said,
    Subscribe,
    Subscribed,
    read_asked,
    write_said,
)

PATH = "/v1/ws"
OVER, LEAVING, BROKEN = 1000, 1001, 1011
"""How a connection is closed (RFC 6455, section 7.4.1)."""
HELLO = 'Say who you are first: {"type": "authenticate", "token": "…"}.'
_logger = logging.getLogger("quorate.server")


class SocketBounds(Struct, frozen=True, kw_only=True):
    """What whoever opened a WebSocket may do with it."""

    hello_s: float = 10.0
    """How long somebody may take to say who they are."""
    beat_s: float = 15.0
    """How often the credential is looked at."""
    subscriptions: int = 100
    """How much may be followed over one connection."""
    per_second: float = 20.0
    """How many messages may come in a second, in the long run."""
    burst: int = 100
    """How many may come at once."""
    per_credential: int = 200
    """How many connections one credential may have."""


SOCKETS = SocketBounds()


class Over(Exception):
    """That a connection ends.

    Args:
        code: How it is closed.
        error: Why; told as the last message.
    """

    def __init__(self, code: int, error: Exception | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.error = error


class Sockets:
    """Tells what happens in runs over WebSockets, as an ASGI application.

    Args:
        runtime: Whose runs; each connection sees those of its credential's tenant.
        doorkeeper: Knows callers.
        seats: Where it is counted who follows runs.
        follows: What follows them.
        closing: When it is set, connections end: whoever is there comes back to another process.
        bounds: What one connection may do.
    """

    def __init__(
        self,
        runtime: Runtime,
        doorkeeper: Doorkeeper,
        *,
        seats: Seats,
        follows: Follows,
        closing: asyncio.Event,
        bounds: SocketBounds = SOCKETS,
    ) -> None:
        self.routes: Mapping[str, Need] = {PATH: Need("runs", "read")}
        """What there is, and what it needs."""
        self.runtime = runtime
        self.doorkeeper = doorkeeper
        self.seats = seats
        self.follows = follows
        self.closing = closing
        self.bounds = bounds
        self.open = Seats(bounds.per_credential, what="connections")
        """Who has opened a WebSocket."""

    async def __call__(self, scope: WebSocketScope, receive: Receive, send: Send) -> None:
        """Open a WebSocket, and follow what is asked for until it ends."""
        request_id = str(scope["state"]["request_id"])
        message = await receive()
        if message["type"] != "websocket.connect":
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        talk = Talk(self, scope, receive, send)
        try:
            path = find_path(cast("HTTPScope", scope))  # it has the same fields about places
            if path not in self.routes:
                raise NotFound(f"There is no WebSocket at {path[:80]!r}: open one at `{PATH}`.")
            cast("dict[str, object]", scope)["path_template"] = path  # under which it is counted
            if self.closing.is_set():
                raise Unavailable("This server leaves: come again.")
            await talk.enter(headers, need=self.routes[path])
        except QuorateError as error:
            await refuse_socket(scope, send, build_problem(error, request_id=request_id), error)
            talk.leave()
            return
        except BaseException:
            talk.leave()
            raise
        try:
            await send({"type": "websocket.accept", "subprotocol": None, "headers": []})
            await talk.hold()
        except OSError:  # they are gone: the server below tells so while we write
            return
        finally:
            talk.leave()


class Subscription(Struct, kw_only=True):
    """Something that is followed."""

    seq: int
    """The place of the last event that was told."""
    task: asyncio.Task[None] | None = None


class Talk:
    """What is said over one connection.

    Args:
        sockets: What all of them share.
        scope: How it was opened.
        receive: Gives what comes.
        send: Takes what goes.
    """

    def __init__(self, sockets: Sockets, scope: WebSocketScope, receive: Receive, send: Send) -> None:
        self._sockets = sockets
        self._scope = scope
        self._receive = receive
        self._send = send
        self._request_id = str(scope["state"]["request_id"])
        self._bounds = sockets.bounds
        self._identity: Identity | None = None
        self._credential: Mapping[str, str] = {}
        self._need = Need("runs", "read")
        self._seat: str | None = None
        """Under which credential the connection is counted."""
        self._subscriptions: dict[str, Subscription] = {}
        self._turn = asyncio.Lock()
        self._room, self._counted = float(self._bounds.burst), 0.0

    async def enter(self, headers: Mapping[str, str], *, need: Need) -> None:
        """Let somebody in by their headers; whoever sends no credential says later who they are.

        Raises:
            Unauthenticated: What they bear lets nobody in.
            Forbidden: They may not.
            RateLimited: They have too many connections already.
        """
        self._need = need
        given = headers.get("authorization", "")
        if given or self._sockets.doorkeeper.is_open:
            await self._admit({"authorization": given} if given else {})

    def leave(self) -> None:
        """Give back what the connection held."""
        if self._seat is not None:
            self._sockets.open.rise(self._seat)
            self._seat = None

    async def hold(self) -> None:
        """Say what happens until the connection ends, and why it does."""
        over = Over(OVER)
        try:
            if self._identity is None:
                await self._greet()
            identity = self._know()
            await self._say(Ready(tenant=identity.tenant, principal=identity.principal))
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch())
                group.create_task(self._listen(group))
        except Over as found:
            over = found
        except ExceptionGroup as several:
            over = self._find_end(several)
        if over.error is not None:
            await self._say(Failure(problem=build_problem(over.error, request_id=self._request_id)))
        if over.code != OVER:
            await self._send({"type": "websocket.close", "code": over.code, "reason": ""})

    def _find_end(self, several: ExceptionGroup) -> Over:
        """Find why a connection ends, of all that went wrong at once."""
        known, strange = several.split((Over, OSError))
        if strange is not None:
            _logger.error("WebSocket %s failed.", self._request_id, exc_info=strange)
            return Over(BROKEN, strange)
        ends = [error for error in (known.exceptions if known is not None else ()) if isinstance(error, Over)]
        return ends[0] if ends else Over(OVER)

    async def _greet(self) -> None:
        """Wait until somebody says who they are."""
        try:
            async with asyncio.timeout(self._bounds.hello_s):
                asked = await self._hear()
                if not isinstance(asked, Authenticate):
                    raise Over(POLICY, Unauthenticated(HELLO))
                await self._admit({"authorization": f"Bearer {asked.token}"})
        except TimeoutError:
            raise Over(POLICY, DeadlineExceeded("You took too long to say who you are.")) from None
        except QuorateError as error:
            raise Over(POLICY, error) from error

    async def _admit(self, credential: Mapping[str, str]) -> None:
        """Let somebody in, or the same one again with another credential."""
        identity = await self._sockets.doorkeeper.enter(self._scope, credential, self._need)
        before = self._identity
        if before is not None and (before.tenant, before.principal) != (identity.tenant, identity.principal):
            raise Forbidden("This is somebody else's credential: open another connection for them.")
        if before is None or before.credential != identity.credential:
            self._take_seat(identity.credential)
        self._identity, self._credential = identity, credential

    def _take_seat(self, credential: str) -> None:
        self._sockets.open.check(credential)
        self.leave()
        self._sockets.open.sit(credential)
        self._seat = credential

    async def _listen(self, group: asyncio.TaskGroup) -> None:
        """Do what is asked, for ever; what cannot be done is said, and does no harm to the rest."""
        while True:
            try:
                asked = await self._hear()
                await self._answer(asked, group)
            except QuorateError as error:
                await self._say(self._fail(error))

    async def _answer(self, asked: Asked, group: asyncio.TaskGroup) -> None:
        if isinstance(asked, Ping):
            await self._say(Pong(id=asked.id))
        elif isinstance(asked, Authenticate):
            await self._admit({"authorization": f"Bearer {asked.token}"})
            identity = self._know()
            await self._say(Ready(tenant=identity.tenant, principal=identity.principal))
        elif isinstance(asked, Subscribe):
            try:
                self._begin(asked, group)
            except QuorateError as error:
                await self._say(self._fail(error, asked.id))
        else:
            await self._end(asked.id)

    def _begin(self, asked: Subscribe, group: asyncio.TaskGroup) -> None:
        if asked.id in self._subscriptions:
            raise Conflict(f"There is a subscription {asked.id!r} already: end it first, or choose another id.")
        if len(self._subscriptions) >= self._bounds.subscriptions:
            raise RateLimited(f"There are {self._bounds.subscriptions} subscriptions already: end some of them first.")
        subscription = Subscription(seq=asked.after)
        self._subscriptions[asked.id] = subscription
        subscription.task = group.create_task(self._follow(asked, subscription))

    async def _end(self, name: str) -> None:
        subscription = self._subscriptions.pop(name, None)
        if subscription is None or subscription.task is None:
            await self._say(self._fail(NotFound(f"There is no subscription {name!r}."), name))
            return
        subscription.task.cancel()
        await asyncio.wait([subscription.task])
        await self._say(Ended(id=name, seq=subscription.seq, reason="unsubscribed"))

    async def _follow(self, asked: Subscribe, subscription: Subscription) -> None:
        """Tell what happens in a run until it ends or rests."""
        identity = self._know()
        runtime = self._sockets.runtime.for_tenant(identity.tenant)
        try:
            self._sockets.seats.check(identity.credential)
            with self._sockets.seats.take(identity.credential):
                await check_run(runtime, identity, asked.run)
                await runtime.show(asked.run)
                await self._say(Subscribed(id=asked.id, run=asked.run, after=asked.after))
                async with aclosing(self._sockets.follows.follow(runtime, asked.run, after=asked.after)) as events:
                    async for event in events:
                        await self._say(Happened(id=asked.id, seq=event.seq, event=event))
                        subscription.seq = event.seq
            last: Said = Ended(id=asked.id, seq=subscription.seq)
        except QuorateError as error:
            last = self._fail(error, asked.id)
        if self._subscriptions.get(asked.id) is subscription:
            del self._subscriptions[asked.id]
        await self._say(last)

    async def _watch(self) -> None:
        """End when whoever is there may be there no more, or when we leave."""
        while True:
            try:
                async with asyncio.timeout(self._bounds.beat_s):
                    await self._sockets.closing.wait()
            except TimeoutError:
                try:
                    (await self._sockets.doorkeeper.identify(self._credential)).check(self._need)
                except (Unauthenticated, Forbidden) as error:
                    raise Over(POLICY, error) from error
                except QuorateError:
                    continue  # nobody can be asked: whoever was let in stays for now
            else:
                raise Over(LEAVING, Unavailable("This server leaves: come back behind the last event that you saw."))

    async def _hear(self) -> Asked:
        """Hear what is asked next.

        Raises:
            Over: They are gone, or ask too much.
            InvalidInput: It is nothing that can be asked.
        """
        message = await self._receive()
        if message["type"] != "websocket.receive":
            raise Over(OVER)
        self._count()
        text = message.get("text")
        if text is None:
            raise InvalidInput("Messages are text here: send JSON.")
        data = text.encode("utf-8", "surrogatepass")
        check_json(data)
        return read_asked(data)

    def _count(self) -> None:
        now = asyncio.get_running_loop().time()
        gained = (now - self._counted) * self._bounds.per_second if self._counted else 0.0
        self._room, self._counted = min(self._bounds.burst, self._room + gained) - 1.0, now
        if self._room < 0:
            raise Over(POLICY, RateLimited(f"You send more than {self._bounds.per_second:g} messages a second."))

    async def _say(self, message: Said) -> None:
        text = write_said(message)
        async with self._turn:
            await self._send({"type": "websocket.send", "bytes": None, "text": text})

    def _fail(self, error: QuorateError, name: str = "") -> Failure:
        problem = build_problem(error, request_id=self._request_id)
        if problem.status >= 500:
            _logger.error("WebSocket %s: %s", self._request_id, error, exc_info=error)
        return Failure(problem=problem, id=name)

    def _know(self) -> Identity:
        assert self._identity is not None  # it is asked for behind the greeting only
        return self._identity
