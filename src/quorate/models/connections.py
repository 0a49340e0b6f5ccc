"""Which models share an HTTP client, and its connections?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from quorate.models.addresses import Guard
from quorate.models.deadlines import TIMEOUTS, Timeouts

if TYPE_CHECKING:
    from quorate.models.http import HttpClient


class Connections:
    """The HTTP clients of a gateway: models that may reach the same and wait as long share one.

    Args:
        proxies: The operator's own proxy for a provider, by the provider's name; `*` stands for all others.
        trace: Gives the W3C `traceparent` that goes with each request; empty for none.
    """

    def __init__(
        self, *, proxies: Mapping[str, str] | None = None, trace: Callable[[], str] | None = None
    ) -> None:  # fmt: skip
        self._proxies = proxies or {}
        self._trace = trace
        self._clients: dict[tuple[Guard, Timeouts, str | None], HttpClient] = {}

    async def find_client(self, guard: Guard, *, timeouts: Timeouts = TIMEOUTS, provider: str = "") -> HttpClient:
        """Find the client for what a model may reach, or build it; nothing is connected yet."""
        proxy = self._proxies.get(provider) or self._proxies.get("*")
        key = (guard, timeouts, proxy)
        client = self._clients.get(key)
        if client is None:
            # Importing an HTTP client takes longer than an event loop may be held up, so a thread does it.
            built = await asyncio.to_thread(load_client, guard, timeouts, proxy, self._trace)
            client = self._clients.setdefault(key, built)
        return client

    async def aclose(self) -> None:
        """Close this event loop's connections; they open again when a model is used again."""
        for client in list(self._clients.values()):
            await client.aclose()


def load_client(
    guard: Guard, timeouts: Timeouts, proxy: str | None = None, trace: Callable[[], str] | None = None
) -> HttpClient:
    """Load the HTTP client, at its first use: it is most of what a start would cost."""
    from quorate.models.http import HttpClient

    return HttpClient(guard=guard, timeouts=timeouts, proxy=proxy, trace=trace)
