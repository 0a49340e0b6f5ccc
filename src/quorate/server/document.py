"""Where is the description of the server read?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import sha256

import msgspec
from litestar import Response, get
from litestar.router import Router

from quorate.server.access import NEED, OPEN
from quorate.server.asked import Asked
from quorate.server.schemas import Schema
from quorate.server.tags import IfNoneMatch, tag


class Description:
    """The description of a server, built when it is first read.

    Args:
        build: Builds it, which takes a while.
    """

    def __init__(self, build: Callable[[], Schema]) -> None:
        self._build = build
        self._written: tuple[msgspec.Raw, str] | None = None

    async def read(self) -> tuple[msgspec.Raw, str]:
        """Read it, and a digest of it; both are the same for as long as the server runs."""
        if self._written is None:
            written = msgspec.json.encode(await asyncio.to_thread(self._build))
            self._written = msgspec.Raw(written), sha256(written).hexdigest()
        return self._written


@get("/schema/openapi.json", opt={NEED: OPEN}, summary="Read this document", tags=["description"])
async def read_document(request: Asked, if_none_match: IfNoneMatch = None) -> Response[dict[str, object]]:
    """Read how all routes are called, what they take and what they answer (OpenAPI 3.1)."""
    description: Description = request.app.state.description
    written, digest = await description.read()
    return tag(request, written, revision=digest)  # type: ignore[return-value]  # what a dictionary is written as


def build_router() -> Router:
    """Build the route of the description."""
    return Router("/", route_handlers=[read_document])
