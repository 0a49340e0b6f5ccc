"""How does one webhook go out, signed, and come to an end whatever its endpoint does?"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from quorate.clock import Clock
from quorate.errors import DeadlineExceeded, Forbidden, InvalidInput, QuorateError, UpstreamError
from quorate.models.deadlines import Timeouts
from quorate.models.retry import read_retry_after
from quorate.runtime.webhooks.backoff import Answer
from quorate.runtime.webhooks.webhook import Reach, Webhook, check_url
from quorate.security.lookup import look_up
from quorate.security.secrets import Secret
from quorate.security.webhooks import sign_webhook
from quorate.tools.threads import ThreadPool

if TYPE_CHECKING:
    from quorate.models.http import HttpClient, Resolve

CONNECT_S = 5.0
MOST_BYTES = 64 << 10
"""The most that is read of an answer, none of which is looked at."""
MOST_LOOKUPS = 16
"""How many names may be looked up at once."""
BROKEN = "sent what is no HTTP answer"
_logger = logging.getLogger("quorate.webhooks")


class Sender:
    """Sends webhooks over clients that connect to checked addresses only, and follow no redirect.

    Args:
        allow: Which places beside public ones may be reached.
        timeout_s: How long an endpoint may take.
        clock: What is signed as the time.
        resolve: Gives the addresses of a name; the machine's own resolver when nothing is said, in threads of our own:
            a name whose servers never answer holds up no other work.
    """

    def __init__(self, *, allow: Sequence[str], timeout_s: float, clock: Clock, resolve: Resolve | None = None) -> None:
        self._allow = tuple(allow)
        self._timeouts = Timeouts(
            connect_s=min(CONNECT_S, timeout_s), first_s=timeout_s, idle_s=timeout_s, total_s=timeout_s
        )
        self._clock = clock
        self._threads = ThreadPool(MOST_LOOKUPS)
        self._resolve = resolve or self._look_up
        self._clients: dict[Reach, HttpClient] = {}

    async def send(self, webhook: Webhook, message: str, body: bytes, *, secrets: Sequence[Secret]) -> Answer:
        """Send something to a webhook, once, and say how it answered; a failure is an answer too."""
        began = self._clock.monotonic()
        try:
            client = await self._find_client(check_url(webhook.url, allow=self._allow))
            headers = {
                **sign_webhook(message, body, timestamp=int(self._clock.now()), secrets=secrets),
                "content-type": "application/json",
            }
            async with asyncio.timeout(self._timeouts.total_s):
                async with client.send(webhook.url, body, headers=headers) as received:
                    status = received.status
                    await received.drain()
                    asked = {name: received.headers.get(name, "") for name in ("retry-after", "retry-after-ms")}
        except (QuorateError, TimeoutError) as error:
            return Answer(reason=describe_failure(error), took_s=self._clock.monotonic() - began)
        except Exception as error:  # an endpoint may send anything: what breaks the client there harms no other webhook
            _logger.warning("webhook.broken", extra={"webhook": webhook.id, "error": type(error).__name__})
            return Answer(reason=BROKEN, took_s=self._clock.monotonic() - began)
        return Answer(
            status=status,
            retry_after_s=read_retry_after(asked, now=self._clock.now()),
            took_s=self._clock.monotonic() - began,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.aclose()

    async def _look_up(self, host: str, port: int) -> Sequence[str]:
        return await self._threads.run(partial(look_up, host, port))

    async def _find_client(self, reach: Reach) -> HttpClient:
        client = self._clients.get(reach)
        if client is None:
            # Importing an HTTP client takes longer than an event loop may be held up, so a thread does it.
            built = await asyncio.to_thread(_load_client, reach, self._timeouts, self._resolve)
            client = self._clients.setdefault(reach, built)
        return client


def _load_client(reach: Reach, timeouts: Timeouts, resolve: Resolve) -> HttpClient:
    from quorate.models.http import HttpClient

    return HttpClient(guard=reach, timeouts=timeouts, max_bytes=MOST_BYTES, resolve=resolve)


def describe_failure(error: QuorateError | TimeoutError) -> str:
    """Say in a few words why nothing was answered; neither an address of our network nor what was sent is in them."""
    if isinstance(error, DeadlineExceeded | TimeoutError):
        return "did not answer in time"
    if isinstance(error, Forbidden):
        return "is at an address that may not be reached"
    if isinstance(error, InvalidInput):
        return "has a URL that cannot be reached"
    if isinstance(error, UpstreamError):
        return "cannot be reached" if error.retryable else "has a certificate that does not verify"
    return BROKEN
