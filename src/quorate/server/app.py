"""Which application answers all requests, and what holds for every route of it?"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import cast

from litestar import HttpMethod, Litestar, Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.routes import BaseRoute, HTTPRoute
from litestar.status_codes import HTTP_204_NO_CONTENT, HTTP_405_METHOD_NOT_ALLOWED
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from quorate.errors import QuorateError
from quorate.runtime import Runtime
from quorate.server.access import NEED, OPEN, Doorkeeper, check_routes, guard
from quorate.server.anthropic.door import ROOT as ANTHROPIC
from quorate.server.anthropic.door import AnthropicDoor
from quorate.server.changes import MAX_WATCHES
from quorate.server.contents import UPLOAD
from quorate.server.description import Door, build_document
from quorate.server.document import Description
from quorate.server.doors import answer, find_path
from quorate.server.edge import Edge
from quorate.server.following import Follows
from quorate.server.health import Looks
from quorate.server.heard import Heard
from quorate.server.methods import Methods
from quorate.server.openai.door import ROOT as OPENAI
from quorate.server.openai.door import OpenAIDoor
from quorate.server.parameters import check_query
from quorate.server.problems import MEDIA_TYPE, Problem, build_headers, build_problem, build_status_problem
from quorate.server.routers import build_routers
from quorate.server.sockets import Sockets
from quorate.server.streams import MAX_STREAMS, Seats
from quorate.server.transfers import Transfers
from quorate.server.versions import mark

MAX_DETAIL = 2_000
LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""What this machine is called by itself."""
_logger = logging.getLogger("quorate.server")

Asked = Request[object, object, State]


class Server:
    """The routes over one runtime, as an ASGI application that another one can mount.

    Args:
        runtime: What does the work; each request is for the tenant of its credential.
        doorkeeper: Knows callers.
        works: Whether this process works on runs; otherwise they are queued for workers.
        origins: Web pages of which origins may ask; none when empty.
        hosts: Which `Host` headers are believed; all when empty.
        streams: How many streams one credential may read at once.
    """

    def __init__(
        self,
        runtime: Runtime,
        doorkeeper: Doorkeeper,
        *,
        works: bool = True,
        origins: Iterable[str] = (),
        hosts: Iterable[str] = (),
        streams: int = MAX_STREAMS,
    ) -> None:
        self.draining = asyncio.Event()
        """Set when no new requests are wanted."""
        self.closing = asyncio.Event()
        """Set when those under way should end."""
        doorkeeper.attach(runtime)
        self.looks = Looks(runtime, monotonic=runtime.clock.monotonic)
        """What looks at everything that is depended on."""
        seats, follows = Seats(streams), Follows()
        self.routes = Litestar(
            route_handlers=build_routers(),
            guards=[guard],
            exception_handlers={
                QuorateError: answer_error,
                HTTPException: answer_refusal,
                Exception: answer_crash,
            },
            openapi_config=None,  # what the framework would say of our types is not all that they say
            before_request=check_query,
            before_send=[mark],
            logging_config=None,
            state=State(
                {
                    "runtime": runtime,
                    "doorkeeper": doorkeeper,
                    "draining": self.draining,
                    "closing": self.closing,
                    "works": works,
                    "seats": seats,
                    "transfers": Transfers(),
                    "watches": Seats(MAX_WATCHES, what="watches"),
                    "follows": follows,
                    "looks": self.looks,
                    "description": Description(self.describe),
                }
            ),
        )
        for route in self.routes.routes:
            _open_own(route)
        check_routes(self.routes)
        self.routes.state.methods = self._methods = Methods(self.routes)
        self.openai = OpenAIDoor(runtime, doorkeeper, works=works)
        self.anthropic = AnthropicDoor(runtime, doorkeeper, works=works)
        self._doors = (self.openai, self.anthropic)
        self.sockets = Sockets(runtime, doorkeeper, seats=seats, follows=follows, closing=self.closing)
        is_open = doorkeeper.is_open  # then names and origins keep out what a key would
        hosts = list(hosts) or (LOOPBACK if is_open else ())
        uploads: dict[tuple[str, str], int] = {UPLOAD: runtime.settings.artifacts.max_mb * 1_000_000}
        edge = Edge(self._route, hosts=hosts, origins=origins, is_open=is_open, streams=uploads, refuse=self._refuse)
        self.asgi: ASGIApp = Heard(edge, runtime.watching)

    def describe(self) -> dict[str, object]:
        """Describe all that is answered, as an OpenAPI document."""
        doors = (
            Door(root=OPENAI, tag="openai", routes=self.openai.routes),
            Door(root=ANTHROPIC, tag="anthropic", routes=self.anthropic.routes),
        )
        return build_document(self.routes, doors=doors)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Choose who answers: what must be quick is beside the framework, under the same bounds and the same keys."""
        if scope["type"] == "websocket":
            await self.sockets(scope, receive, send)
            return
        if scope["type"] == "http":
            path = find_path(scope)
            for door in self._doors:
                if path.startswith(door.gate.prefix):
                    await door.gate(scope, receive, send)
                    return
            allowed = self._methods.find(scope) if scope["method"] == HttpMethod.OPTIONS else ""
            if allowed:
                await answer(send, b"", status=HTTP_204_NO_CONTENT, headers={"allow": allowed})
                return
        await self.routes(scope, receive, send)

    async def _refuse(self, scope: HTTPScope, send: Send, error: QuorateError, request_id: str) -> bool:
        """Refuse what does not come in, in the words of the door that it was for."""
        for door in self._doors:
            if await door.gate.refuse(scope, send, error, request_id):
                return True
        return False


def _open_own(route: BaseRoute) -> None:
    """Let everybody use what the framework adds: which methods a path knows."""
    if isinstance(route, HTTPRoute):
        for handler in route.route_handlers:
            if handler.http_methods == {HttpMethod.OPTIONS}:
                handler.opt.setdefault(NEED, OPEN)


def answer_error(request: Asked, error: QuorateError) -> Response[Problem]:
    """Answer with what our own error says."""
    problem = build_problem(error, request_id=_find_id(request))
    if problem.status >= 500:
        _logger.error("Request %s failed: %s", problem.request_id, error, exc_info=error)
    return _build(problem, error)


def answer_refusal(request: Asked, error: HTTPException) -> Response[Problem]:
    """Answer with what the framework refused."""
    detail = _explain(error)
    refusal = _build(build_status_problem(error.status_code, detail, request_id=_find_id(request)))
    if error.status_code == HTTP_405_METHOD_NOT_ALLOWED:
        methods: Methods = request.app.state.methods
        refusal.headers["Allow"] = methods.find(request.scope)
    return refusal


def answer_crash(request: Asked, error: Exception) -> Response[Problem]:
    """Answer that something broke; what it was is in the log, not in the answer."""
    problem = build_problem(error, request_id=_find_id(request))
    _logger.error("Request %s failed.", problem.request_id, exc_info=error)
    return _build(problem)


def _build(problem: Problem, error: Exception | None = None) -> Response[Problem]:
    headers = dict(build_headers(problem, error))
    return Response(problem, status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)


def _find_id(request: Asked) -> str:
    return str(request.scope["state"]["request_id"])


def _explain(error: HTTPException) -> str:
    """Say what does not fit, field by field, without the framework's own words around it."""
    found = cast("list[dict[str, str]]", error.extra) if isinstance(error.extra, list) else []
    faults = [f"{one.get('key', 'body')}: {one.get('message', '')}" for one in found]
    return "; ".join([error.detail.partition(" for ")[0], *faults])[:MAX_DETAIL]
