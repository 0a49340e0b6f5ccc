"""How is somebody refused who wanted to open a WebSocket?"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import cast

from litestar.types import Scope, Send, WebSocketSendMessage

from quorate.server.problems import MEDIA_TYPE, Problem, build_headers, encode_problem

POLICY = 1008
"""That somebody does what they may not (RFC 6455, section 7.4.1)."""
DENIAL = "websocket.http.response"
"""The ASGI extension by which a server answers such a request as it does any other."""


async def refuse_socket(scope: Scope, send: Send, problem: Problem, error: Exception | None = None) -> None:
    """Answer with a problem, or close at once where the server cannot answer before it opens."""
    extensions: Container[str] = cast("Mapping[str, Container[str]]", scope).get("extensions") or ()
    if DENIAL not in extensions:
        await send({"type": "websocket.close", "code": POLICY, "reason": problem.code})
        return
    headers = {"content-type": MEDIA_TYPE, **build_headers(problem, error)}
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    start = {"type": f"{DENIAL}.start", "status": problem.status, "headers": encoded}
    body = {"type": f"{DENIAL}.body", "body": encode_problem(problem), "more_body": False}
    for message in (start, body):
        await send(cast("WebSocketSendMessage", message))
