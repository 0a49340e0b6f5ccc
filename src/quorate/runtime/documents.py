"""How is a short document fetched from a service that an operator named, within bounds?"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from quorate.errors import DeadlineExceeded, UpstreamError
from quorate.models.addresses import Guard
from quorate.models.deadlines import Timeouts

if TYPE_CHECKING:
    from quorate.models.http import HttpClient

MAX_BYTES = 256 << 10
"""How long a document may be, after inflating."""
TIMEOUTS = Timeouts(connect_s=5.0, first_s=5.0, idle_s=5.0, total_s=10.0)


class Documents:
    """Fetches documents over the guarded client: addresses are checked, redirects refused, size and time bounded.

    Args:
        timeouts: How long each may take.
        max_bytes: How long each may be.
    """

    def __init__(self, *, timeouts: Timeouts = TIMEOUTS, max_bytes: int = MAX_BYTES) -> None:
        self._timeouts = timeouts
        self._max_bytes = max_bytes
        self._clients: dict[Guard, HttpClient] = {}

    async def get(self, url: str, /, *, is_named: bool) -> bytes:
        """Get a document.

        Args:
            url: Where it is.
            is_named: Whether an operator named the place, which then may be in a network of their own.

        Raises:
            Forbidden: Its address may not be reached.
            UpstreamError: The answer is not one of success, or there is none.
            DeadlineExceeded: It took too long.
            TooLarge: It is over the bound.
        """
        status, body = await self.ask(url, is_named=is_named)
        if status != 200:
            # What stands in an answer of somebody else is in no message of ours.
            raise UpstreamError(f"{_cut(url)!r} answered {status}.", status=status, retryable=status >= 500)
        return body

    async def ask(
        self, url: str, body: bytes = b"", *, headers: Mapping[str, str] | None = None, is_named: bool = True
    ) -> tuple[int, bytes]:
        """Send something and return the status and the body of the answer; raises what `get` raises.

        Args:
            url: Where to.
            body: What to post; without anything, it is asked for.
            headers: What to say beside it.
            is_named: Whether an operator named the place.
        """
        scheme = "http" if urlsplit(url).scheme == "http" else "https"
        client = await self._find_client(Guard(scheme=scheme, private=is_named))
        said = {"Accept": "application/json", **(headers or {})}
        if body:
            said["Content-Type"] = "application/json"
        try:
            async with asyncio.timeout(self._timeouts.total_s):
                async with client.send(url, body, headers=said, method="POST" if body else "GET") as received:
                    return received.status, await received.read()
        except TimeoutError as error:
            raise DeadlineExceeded(f"{_cut(url)!r} did not answer in time.", layer="document") from error

    async def aclose(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.aclose()

    async def _find_client(self, guard: Guard) -> HttpClient:
        client = self._clients.get(guard)
        if client is None:
            # Importing an HTTP client takes longer than an event loop may be held up, so a thread does it.
            built = await asyncio.to_thread(_load_client, guard, self._timeouts, self._max_bytes)
            client = self._clients.setdefault(guard, built)
        return client


def _load_client(guard: Guard, timeouts: Timeouts, max_bytes: int) -> HttpClient:
    from quorate.models.http import HttpClient

    return HttpClient(guard=guard, timeouts=timeouts, max_bytes=max_bytes)


def _cut(url: str) -> str:
    return url.partition("?")[0][:200]
