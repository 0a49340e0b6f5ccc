"""Which application answers all requests, and what holds for every route of it?"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from importlib.metadata import version
from typing import cast

from litestar import HttpMethod, Litestar, Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from litestar.routes import BaseRoute, HTTPRoute
from litestar.types import ASGIApp, Receive, Scope, Send

from quorate.errors import QuorateError
from quorate.runtime import Runtime
from quorate.server.access import NEED, OPEN, Doorkeeper, check_routes, guard
from quorate.server.doors import find_path
from quorate.server.edge import Edge
from quorate.server.openai.door import ROOT as OPENAI
from quorate.server.openai.door import OpenAIDoor
from quorate.server.problems import MEDIA_TYPE, Problem, build_headers, build_problem, build_status_problem
from quorate.server.routers import build_routers
from quorate.server.streams import MAX_STREAMS, Seats

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
        self.routes = Litestar(
            route_handlers=build_routers(),
            guards=[guard],
            exception_handlers={
                QuorateError: answer_error,
                HTTPException: answer_refusal,
                Exception: answer_crash,
            },
            openapi_config=build_description(),
            logging_config=None,
            state=State(
                {
                    "runtime": runtime,
                    "doorkeeper": doorkeeper,
                    "draining": self.draining,
                    "closing": self.closing,
                    "works": works,
                    "seats": Seats(streams),
                }
            ),
        )
        for route in self.routes.routes:
            _open_own(route)
        check_routes(self.routes)
        self.openai = OpenAIDoor(runtime, doorkeeper, works=works)
        is_open = doorkeeper.is_open  # then names and origins keep out what a key would
        hosts = list(hosts) or (LOOPBACK if is_open else ())
        self.asgi: ASGIApp = Edge(self._route, hosts=hosts, origins=origins, is_open=is_open)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Choose who answers: what must be quick is beside the framework, under the same bounds and the same keys."""
        if scope["type"] == "http" and find_path(scope).startswith(f"{OPENAI}/"):
            await self.openai(scope, receive, send)
        else:
            await self.routes(scope, receive, send)


def build_description() -> OpenAPIConfig:
    """Build how the routes describe themselves, at `/schema/openapi.json`."""
    return OpenAPIConfig(
        title="Quorate",
        version=version("quorate"),
        description="Runs of agents: recorded, resumable, bounded.",
        use_handler_docstrings=True,
        components=Components(security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer")}),
        security=[{"bearer": []}],
        render_plugins=[],
    )


def _open_own(route: BaseRoute) -> None:
    """Let everybody use what the framework adds: how routes are described, and which methods they know."""
    if isinstance(route, HTTPRoute):
        for handler in route.route_handlers:
            if f"{route.path}/".startswith("/schema/") or handler.http_methods == {HttpMethod.OPTIONS}:
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
    return _build(build_status_problem(error.status_code, detail, request_id=_find_id(request)))


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
