"""Who is it that asks, and is the route one that they may take?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, cast, runtime_checkable

from litestar import Litestar
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from litestar.types import Scope
from msgspec import structs

from quorate.errors import Forbidden, InvalidInput, QuorateError, RateLimited, Unauthenticated
from quorate.runtime import Runtime
from quorate.runtime.quotas import Quotas, write_standing
from quorate.runtime.refusals import Refusal
from quorate.security.identity import Area, Identity, Need, Verb
from quorate.server.peers import Guesses, Proxies

NEED = "need"
"""Under which name a route says what it needs."""
OPEN = "open"
"""What a route says that everybody may take."""
STANDING = "standing"
"""Where in a request's state the fields of its answer are that say how its quotas stand."""

Connection = ASGIConnection[BaseRouteHandler, object, object, State]


class Verifier(Protocol):
    """Finds out who bears a credential."""

    async def verify(self, text: str, /) -> Identity:
        """Return who it is.

        Raises:
            Unauthenticated: It lets nobody in.
        """
        ...


@runtime_checkable
class Remembering(Protocol):
    """A verifier that knows credentials that were good lately."""

    def knows(self, text: str, /) -> bool:
        """Whether this very credential let somebody in lately; nothing is looked up."""
        ...


class Doorkeeper:
    """Knows callers by what they bear, and lets in as many of their requests as their quotas do.

    Args:
        keys: Checks API keys.
        tokens: Checks signed tokens, where an issuer is trusted.
        anybody: Who everybody is that bears nothing; only where nobody else can reach us.
    """

    def __init__(self, keys: Verifier, *, tokens: Verifier | None = None, anybody: Identity | None = None) -> None:
        self._keys = keys
        self._tokens = tokens
        self._anybody = anybody
        self._quotas: Quotas | None = None
        self._tenant = ""
        """In whose audit trail it is noted that somebody unknown was refused."""
        self._operator_tenant = ""
        self._proxies = Proxies()
        self._guesses = Guesses()

    def attach(self, runtime: Runtime) -> None:
        """Keep the quotas of a runtime, and its settings of who operates it and which proxies are its own.

        Raises:
            InvalidInput: A proxy has no address.
        """
        chosen = runtime.settings.server
        self._quotas = runtime.quotas
        self._tenant = chosen.operator_tenant or runtime.tenant
        self._operator_tenant = chosen.operator_tenant
        if self._anybody is not None:  # who is at this very machine operates it
            is_operator = chosen.operator_tenant in ("", self._anybody.tenant)
            self._anybody = structs.replace(self._anybody, platform=is_operator)
        self._proxies = Proxies(chosen.proxies)
        self._guesses = Guesses(chosen.guesses, monotonic=runtime.clock.monotonic)

    @property
    def keys(self) -> Verifier:
        """What checks API keys."""
        return self._keys

    @property
    def is_open(self) -> bool:
        """Whether somebody without a credential is let in."""
        return self._anybody is not None

    async def enter(self, scope: Scope, headers: Mapping[str, str], needed: Need) -> Identity:
        """Let in a request that may come in, and count it; whoever is refused is noted in the audit trail.

        Args:
            scope: What is known of the connection; what its quotas are goes into its state, for the answer.
            headers: By their names in small letters.
            needed: What one must be allowed to do.

        Raises:
            Unauthenticated: Nobody is known to ask.
            Forbidden: Whoever asks may not, or their tenant is suspended.
            RateLimited: A quota of theirs is used up; or too many requests of this address let nobody in.
            Unavailable: Nobody can be asked who they are, so nobody is let in.
        """
        peer = ""
        if not self._guesses.is_quiet:
            peer = self._find_peer(scope)
            try:
                self._guesses.check(peer)
            except RateLimited as error:
                if not self._knows(headers):
                    if self._quotas is not None and self._quotas.counted is not None:
                        self._quotas.counted("credentials")
                    self._note(error, object=f"peer/{peer}")
                    raise
        try:
            identity = await self.identify(headers)
        except Unauthenticated as error:
            peer = peer or self._find_peer(scope)
            self._guesses.note(peer)
            self._note(error, object=f"peer/{peer}")
            raise
        except Forbidden as error:
            tenant = str(error.context.get("tenant", self._tenant))
            self._note(error, object=f"tenant/{tenant}", tenant=tenant, detail="suspended")
            raise
        await self._count(scope, identity)  # first: what may not be done is asked for, too
        try:
            identity.check(needed)
        except Forbidden as error:
            self._note(error, object=f"key/{identity.credential}", identity=identity, detail=str(needed))
            raise
        return identity

    async def identify(self, headers: Mapping[str, str]) -> Identity:
        """Find out who asks, by `Authorization` or `x-api-key` alone.

        Raises:
            Unauthenticated: It is not there, or lets nobody in.
            Forbidden: The tenant is suspended.
        """
        given = _find_credential(headers)
        if not given:
            if self._anybody is None:
                raise Unauthenticated("Send an API key: `Authorization: Bearer qk_…`; `quorate keys create` makes one.")
            identity = self._anybody
        else:
            identity = await self._verify(given)
        if self._quotas is not None:
            await self._quotas.check(identity.tenant)
        return identity

    async def _verify(self, given: str) -> Identity:
        scheme, _, text = given.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated("Send an API key or a token as `Authorization: Bearer …`.")
        if not text.startswith("qk_") and self._tokens is not None:
            return await self._tokens.verify(text)
        identity = await self._keys.verify(text)
        return structs.replace(identity, platform=True) if self.is_of_platform(identity) else identity

    def is_of_platform(self, identity: Identity) -> bool:
        """Whether a key may also do what is about all tenants: one of the operator's own tenant, and of no project."""
        return identity.tenant == self._operator_tenant and not identity.project

    async def _count(self, scope: Scope, identity: Identity) -> None:
        """Count a request in the quotas of whoever sends it, and say in the answer how they stand."""
        quotas = self._quotas
        if quotas is None:
            return
        facts = quotas.try_find(identity.tenant) or await quotas.find(identity.tenant)
        if not facts.has_claims:
            return
        try:
            await quotas.enter(facts, identity.payer)
        except RateLimited as error:
            quotas.note_refusal(identity.tenant, identity.payer, error, principal=identity.principal)
            raise
        finally:
            claims = facts.find_claims(identity.payer)
            if claims:
                policy, standing = write_standing(claims, quotas.shares)
                state = cast("dict[str, object]", scope["state"])  # the edge made it
                state[STANDING] = ((b"ratelimit-policy", policy.encode()), (b"ratelimit", standing.encode()))

    def _knows(self, headers: Mapping[str, str]) -> bool:
        """Whether somebody who shares an address with whoever guesses was let in lately."""
        try:
            text = _find_credential(headers).partition(" ")[2]
        except Unauthenticated:
            return False
        verifier = self._keys if text.startswith("qk_") or self._tokens is None else self._tokens
        return bool(text) and isinstance(verifier, Remembering) and verifier.knows(text)

    def _find_peer(self, scope: Scope) -> str:
        client = scope.get("client")  # pyright: ignore[reportUnknownMemberType]
        return self._proxies.find_peer(client[0] if client else "", scope["headers"])

    def _note(
        self, error: QuorateError, *, object: str, identity: Identity | None = None, tenant: str = "", detail: str = ""
    ) -> None:
        """Note a refusal in the audit trail."""
        if self._quotas is None or self._quotas.refusals is None:
            return
        refusal = Refusal(
            tenant=tenant or (self._tenant if identity is None else identity.tenant),
            action="http.refuse",
            principal="-" if identity is None else identity.principal,
            object=object,
            reason=error.code,
            detail=detail,
        )
        self._quotas.refusals.note(refusal)


def _find_credential(headers: Mapping[str, str]) -> str:
    """Find what a request bears, as `Authorization` says it.

    Raises:
        Unauthenticated: It bears two.
    """
    given, bare = headers.get("authorization", ""), headers.get("x-api-key", "")
    if bare and given:
        raise Unauthenticated("Send one credential: `Authorization` or `x-api-key`, not both.")
    return f"Bearer {bare}" if bare else given


def need(area: Area, verb: Verb, *, platform: bool = False) -> dict[str, object]:
    """Say what a route needs; it goes into the `opt` of the route.

    Args:
        area: What it is about.
        verb: What it does with it.
        platform: Whether it is about all tenants, so that an admin key of the operator's own tenant is needed.
    """
    return {NEED: Need(area, verb, platform)}


async def guard(connection: Connection, handler: BaseRouteHandler) -> None:
    """Let through who may take a route; a route that does not say what it needs lets nobody through.

    Raises:
        Unauthenticated: Nobody is known to ask.
        Forbidden: Whoever asks may not.
        RateLimited: A quota of theirs is used up.
    """
    needed = handler.opt.get(NEED)
    if needed == OPEN:
        return
    if not isinstance(needed, Need):
        raise InvalidInput("This route does not say what it needs, so that nobody may take it.")
    doorkeeper: Doorkeeper = connection.app.state.doorkeeper
    connection.scope["user"] = await doorkeeper.enter(connection.scope, connection.headers, needed)


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
