"""What is the least that a relay costs? One that knows nobody, counts nothing and keeps nothing.

Used as `python -m benchmarks.server_relay PORT UPSTREAM LOOP`.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import aiohttp
import uvicorn

Message = MutableMapping[str, Any]
HEADERS = {"content-type": "application/json", "authorization": "Bearer test"}


class Relay:
    """An ASGI application that hands on what it is sent, and what comes back."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._session: aiohttp.ClientSession | None = None

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        if scope["type"] != "http":
            return
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=512))
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        async with self._session.post(f"{self._upstream}/v1/chat/completions", data=body, headers=HEADERS) as answer:
            kind = answer.headers["content-type"].encode()
            if kind != b"text/event-stream":
                whole = await answer.read()
                sizes = [(b"content-type", kind), (b"content-length", b"%d" % len(whole))]
                await send({"type": "http.response.start", "status": answer.status, "headers": sizes})
                await send({"type": "http.response.body", "body": whole})
                return
            await send({"type": "http.response.start", "status": answer.status, "headers": [(b"content-type", kind)]})
            async for piece in answer.content.iter_any():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


def main() -> None:
    port, upstream, loop = sys.argv[1:]
    uvicorn.run(
        Relay(upstream),  # type: ignore[arg-type]  # the same protocol under other names
        port=int(port),
        loop=loop,
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
