"""How does a call get a token that must be fetched first?"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import QuorateError, Unauthenticated
from quorate.models.addresses import Guard, check_base_url
from quorate.models.connections import Connections
from quorate.models.credentials import Credentials, find_key
from quorate.models.deadlines import TIMEOUTS, Timeouts
from quorate.models.providers import GrantDialect, Token, find_grant
from quorate.models.retry import parse_http_date, read_retry_after
from quorate.models.target import Sending, Target

if TYPE_CHECKING:
    from quorate.models.http import Received

MARGIN_S = 300.0
"""How long before its end a token is fetched anew."""
LAST_S = 10.0
"""How long before its end a token is not used any more, when no other can be had."""
MAX_SKEW_S = 60.0
MAX_FILE_BYTES = 64 << 10


class Grant:
    """Fetches a target's tokens, and keeps each until shortly before its end.

    Callers that come at once share one fetch. It can be used in one event loop after the other.
    """

    def __init__(
        self,
        target: Target,
        dialect: GrantDialect,
        *,
        credentials: Credentials,
        timeouts: Timeouts = TIMEOUTS,
        connections: Connections | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._target = target
        self._dialect = dialect
        self._credentials = credentials
        self._timeouts = timeouts
        self._connections = connections or Connections()
        self._is_owner = connections is None
        self._clock = clock
        self._skew_s = 0.0
        self._held: tuple[str, Token, float] | None = None
        """With what it was fetched, the token, and when on the monotonic clock it ends."""
        self._lock: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None

    def __repr__(self) -> str:
        return f"<Grant {self._target.provider.name}>"

    async def get(self) -> Credentials:
        """Return the credentials to sign with; the token among them where one had to be fetched.

        Raises:
            Unauthenticated: There is nothing to fetch one with, or it was refused.
            UpstreamError: The token cannot be had at the moment.
        """
        source = self._dialect.find_source(self._target, self._credentials)
        if source is None:
            return self._credentials
        token = self._find_fresh(source)
        if token is None:
            async with self._get_lock():
                token = self._find_fresh(source) or await self._fetch_or_keep(source)
        return self._build(token)

    def forget(self) -> bool:
        """Forget the token, as it was refused, and say whether there was one: another may do better."""
        had, self._held = self._held is not None, None
        return had

    async def aclose(self) -> None:
        """Close this event loop's connections, if nobody shares them."""
        if self._is_owner:
            await self._connections.aclose()

    def _build(self, token: Token) -> Credentials:
        name, value, rest = self._target.provider.key_env, token.value, self._credentials
        return lambda asked: value if asked == name else rest(asked)

    def _find_fresh(self, source: str, *, margin_s: float = MARGIN_S) -> Token | None:
        if self._held is None or self._held[0] != source:
            return None
        _, token, ends = self._held
        # One that never lasts longer than the margin is fetched anew in the last tenth of its life.
        return token if self._clock.monotonic() < ends - min(margin_s, token.lasts_s / 10) else None

    async def _fetch_or_keep(self, source: str) -> Token:
        """Fetch a token; when none can be had at the moment, the old one does while it lasts."""
        started = self._clock.monotonic()
        try:
            token = await self._fetch(source)
        except QuorateError as error:
            kept = self._find_fresh(source, margin_s=LAST_S)
            if kept is None or not error.retryable:
                raise
            return kept
        self._held = (source, token, started + token.lasts_s)
        return token

    async def _fetch(self, source: str) -> Token:
        text = await asyncio.to_thread(read_source, source, self._target)
        try:
            return await self._ask(text)
        except Unauthenticated as error:
            if not error.retryable:
                raise
        return await self._ask(text)

    async def _ask(self, text: str) -> Token:
        now = self._clock.now() + self._skew_s
        # Signing takes longer than an event loop may be held up.
        return await self._send(await asyncio.to_thread(self._dialect.encode, text, self._target, now=now))

    async def _send(self, sending: Sending) -> Token:
        what = f"The address where `{self._target.provider.name}` fetches its token"
        scheme = check_base_url(sending.url, what=what)
        guard = Guard(scheme=scheme, private=self._target.guard.private)
        client = await self._connections.find_client(
            guard, timeouts=self._timeouts, provider=self._target.provider.name
        )
        async with client.send(sending.url, sending.body, headers=sending.headers) as received:
            body = await received.read(most=MAX_FILE_BYTES)
            if not 200 <= received.status < 300:
                raise self._read_error(received, body)
            return self._dialect.decode(body)

    def _read_error(self, received: Received, body: bytes) -> QuorateError:
        now = self._clock.now()
        wait = read_retry_after(received.headers, now=now)
        error = self._dialect.decode_error(received.status, body, self._target, retry_after_s=wait)
        at = parse_http_date(received.headers.get("date", "").strip(), now=now)
        if isinstance(error, Unauthenticated) and at is not None and abs(at - now - self._skew_s) > MAX_SKEW_S:
            # What is signed holds the time: this machine's clock is wrong, and the provider's is tried once.
            self._skew_s = at - now
            error.retryable = True
        return error

    def _get_lock(self) -> asyncio.Lock:
        loop = asyncio.get_running_loop()
        if self._lock is None or self._lock[0] is not loop:
            self._lock = (loop, asyncio.Lock())
        return self._lock[1]


def build_grant(
    target: Target,
    *,
    credentials: Credentials,
    timeouts: Timeouts = TIMEOUTS,
    connections: Connections | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Grant | None:
    """Build what fetches a target's tokens; `None` for a provider that needs none."""
    dialect = find_grant(target.provider)
    if dialect is None:
        return None
    return Grant(target, dialect, credentials=credentials, timeouts=timeouts, connections=connections, clock=clock)


def check_credential(target: Target, credentials: Credentials) -> None:
    """Check that there is something to sign in with; nothing is fetched.

    Raises:
        Unauthenticated: There is nothing; the message says which name to set.
    """
    dialect = find_grant(target.provider)
    if dialect is None or dialect.find_source(target, credentials) is None:
        find_key(target.provider, credentials)


def read_source(source: str, target: Target) -> str:
    """Read a credential's file; text that is the file's content already is returned as it is.

    Raises:
        Unauthenticated: There is no such file, it is too large to be one, or a tenant named it.
    """
    if source.lstrip().startswith("{"):
        return source
    if not target.is_trusted:
        raise Unauthenticated(
            f"The credential file of `{target.provider.name}` cannot be used: a path on this machine is an operator's "
            "to name. Instead of it, give its text.",
            provider=target.provider.name,
        )
    try:
        with Path(source).open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) <= MAX_FILE_BYTES:
            return data.decode()
        why = f"it has more than {MAX_FILE_BYTES} bytes"
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
    raise Unauthenticated(
        f"The credential file of `{target.provider.name}` cannot be used: {why}. Check the path.",
        provider=target.provider.name,
    )
