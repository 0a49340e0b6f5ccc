"""Who is it that asks, and is the route one that they may take?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from litestar import Litestar
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler

from quorate.errors import InvalidInput, Unauthenticated
from quorate.security.identity import Area, Identity, Need, Verb

NEED = "need"
"""Under which name a route says what it needs."""
OPEN = "open"
"""What a route says that everybody may take."""

Connection = ASGIConnection[BaseRouteHandler, object, object, State]


class Verifier(Protocol):
    """Finds out who bears a credential."""

    async def verify(self, text: str, /) -> Identity:
        """Return who it is.

        Raises:
            Unauthenticated: It lets nobody in.
        """
        ...


class Doorkeeper:
    """Knows callers by what they bear.

    Args:
        keys: Checks API keys.
        tokens: Checks signed tokens, where an issuer is trusted.
        anybody: Who everybody is that bears nothing; only where nobody else can reach us.
    """

    def __init__(self, keys: Verifier, *, tokens: Verifier | None = None, anybody: Identity | None = None) -> None:
        self._keys = keys
        self._tokens = tokens
        self._anybody = anybody

    @property
    def is_open(self) -> bool:
        """Whether somebody without a credential is let in."""
        return self._anybody is not None

    async def identify(self, headers: Mapping[str, str]) -> Identity:
        """Find out who asks, by the `Authorization` header alone.

        Raises:
            Unauthenticated: It is not there, or lets nobody in.
        """
        given = headers.get("authorization", "")
        if not given:
            if self._anybody is not None:
                return self._anybody
            raise Unauthenticated("Send an API key: `Authorization: Bearer qk_…`; `quorate keys create` makes one.")
        scheme, _, text = given.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated("Send an API key or a token as `Authorization: Bearer …`.")
        if text.startswith("qk_") or self._tokens is None:
            return await self._keys.verify(text)
        return await self._tokens.verify(text)


def need(area: Area, verb: Verb) -> dict[str, object]:
    """Say what a route needs; it goes into the `opt` of the route."""
    return {NEED: Need(area, verb)}


async def guard(connection: Connection, handler: BaseRouteHandler) -> None:
    """Let through who may take a route; a route that does not say what it needs lets nobody through.

    Raises:
        Unauthenticated: Nobody is known to ask.
        Forbidden: Whoever asks may not.
    """
    needed = handler.opt.get(NEED)
    if needed == OPEN:
        return
    doorkeeper: Doorkeeper = connection.app.state.doorkeeper
    identity = await doorkeeper.identify(connection.headers)
    if not isinstance(needed, Need):
        raise InvalidInput("This route does not say what it needs, so that nobody may take it.")
    identity.check(needed)
    connection.scope["user"] = identity


def check_routes(app: Litestar) -> None:
    """Return if every route says what it needs.

    Raises:
        InvalidInput: One does not; all of them are named.
    """
    silent: list[str] = []
    for route in app.routes:
        handlers = getattr(route, "route_handlers", ()) or (getattr(route, "route_handler", None),)
        silent += [
            f"{handler} at {route.path}"
            for handler in handlers
            if handler is not None and not isinstance(handler.opt.get(NEED), Need) and handler.opt.get(NEED) != OPEN
        ]
    if silent:
        raise InvalidInput(f"{len(silent)} routes do not say what they need: {', '.join(silent)}.")
