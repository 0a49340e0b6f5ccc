"""How does something reach a provider with its credential, and what is said when it is refused?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from quorate.errors import QuorateError, Unauthenticated
from quorate.models.connections import Connections
from quorate.models.credentials import Credentials
from quorate.models.deadlines import TIMEOUTS, Timeouts
from quorate.models.grants import build_grant
from quorate.models.providers import Dialect, find_dialect
from quorate.models.retry import parse_http_date, read_retry_after
from quorate.models.target import Sending, Target

if TYPE_CHECKING:
    from quorate.models.http import HttpClient, Received

MAX_ERROR_BYTES = 64 << 10
MAX_SKEW_S = 120.0
"""How wrong this machine's clock may be before the provider's is believed instead."""
ERROR_HEADER = "x-amzn-errortype"
STREAM_HEADERS = {"Accept-Encoding": "identity"}


class Sender:
    """Sends what a dialect wrote to one target; whoever asks for replies, vectors or lists uses it.

    It opens connections when they are needed and can be used in one event loop after the other; `aclose` closes them,
    and the end of an event loop does.

    Args:
        target: Whom.
        credentials: Gives the credential, anew for every call.
        timeouts: The deadlines of each call.
        connections: The clients of a gateway; one of its own when there are none.
        now: Wall time, which some providers want signed.
    """

    def __init__(
        self,
        target: Target,
        *,
        credentials: Credentials,
        timeouts: Timeouts = TIMEOUTS,
        connections: Connections | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.target = target
        self.timeouts = timeouts
        self.dialect: Dialect = find_dialect(target.provider)
        self._credentials = credentials
        self._connections = connections or Connections()
        self._is_owner = connections is None
        self._grant = build_grant(target, credentials=credentials, timeouts=timeouts, connections=self._connections)
        self._now = now
        self._skew_s = 0.0
        self._client: HttpClient | None = None

    async def fetch(self, sending: Sending) -> tuple[bytes, Mapping[str, str]]:
        """Send something and return the whole answer and its headers, if it is one of success.

        Raises:
            QuorateError: What the dialect makes of a refusal, or what kept the call from its end.
        """
        client = self._client
        if client is None or self._grant is not None:
            client, signed = await self._begin(sending)
        else:
            signed = self._sign(sending, self._credentials)
        async with client.send(signed.url, signed.body, headers=signed.headers, method=signed.method) as received:
            if not 200 <= received.status < 300:
                raise await self._read_error(received)
            return await received.read(), received.headers

    @asynccontextmanager
    async def open_stream(self, sending: Sending) -> AsyncGenerator[Received]:
        """Send something and give the answer to be read piece by piece; raises what `fetch` raises."""
        client, signed = await self._begin(sending)
        headers = signed.headers | STREAM_HEADERS
        first_s = self.timeouts.first_s
        async with client.send(
            signed.url, signed.body, headers=headers, method=signed.method, first_s=first_s
        ) as received:
            if not 200 <= received.status < 300:
                raise await self._read_error(received)
            yield received

    async def get_client(self) -> HttpClient:
        """Get the client it sends with."""
        provider = self.target.provider.name
        self._client = await self._connections.find_client(self.target.guard, timeouts=self.timeouts, provider=provider)
        return self._client

    async def aclose(self) -> None:
        """Close this event loop's connections, if nobody shares them; they open again when it is used again."""
        if self._grant is not None:
            await self._grant.aclose()
        if self._is_owner:
            await self._connections.aclose()

    async def _begin(self, sending: Sending) -> tuple[HttpClient, Sending]:
        """Get what a call is made with."""
        credentials = self._credentials if self._grant is None else await self._grant.get()
        if self._client is not None:
            return self._client, self._sign(sending, credentials)
        client = await self.get_client()
        # What signs may be a library that takes longer to load than an event loop may be held up.
        return client, await asyncio.to_thread(self._sign, sending, credentials)

    def _sign(self, sending: Sending, credentials: Credentials) -> Sending:
        return self.dialect.sign(sending, self.target, credentials=credentials, now=self._now() + self._skew_s)

    async def _read_error(self, received: Received) -> QuorateError:
        try:
            body = await received.read(most=MAX_ERROR_BYTES)
        except QuorateError:  # the status says enough
            body = b""
        now, body = self._now(), body[:MAX_ERROR_BYTES]
        if ERROR_HEADER in received.headers:
            from quorate.models.frames import name_error  # one provider alone says it so

            body = name_error(received.headers, body)
        retry_after_s = read_retry_after(received.headers, now=now)
        error = self.dialect.decode_error(received.status, body, self.target, retry_after_s=retry_after_s)
        if isinstance(error, Unauthenticated):
            if self._grant is not None:
                self._grant.forget()
            error.retryable = self._learn_skew(received.headers, now) or self._grant is not None
        return error

    def _learn_skew(self, headers: Mapping[str, str], now: float) -> bool:
        """Learn from a refused call that this machine's clock is wrong, and say whether that is news.

        What is signed holds the time, and is refused minutes later: the provider's own time is then the better one.
        """
        at = parse_http_date(headers.get("date", "").strip(), now=now)
        if at is None or abs(at - now - self._skew_s) <= MAX_SKEW_S:
            return False
        self._skew_s = at - now
        return True
