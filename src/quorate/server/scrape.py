"""How does Prometheus read what was counted here?"""

from __future__ import annotations

from litestar import MediaType, Response, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.router import Router

from quorate.errors import NotFound
from quorate.runtime import Runtime
from quorate.security.identity import Need
from quorate.server.access import NEED
from quorate.server.asked import Asked


@get(
    "/metrics",
    opt={NEED: Need("events", "read", platform=True)},
    summary="What was counted?",
    media_type=MediaType.TEXT,
    responses={200: ResponseSpec(str, generate_examples=False, media_type="text/plain", description="The counts.")},
)
async def scrape(request: Asked) -> Response[bytes]:
    """Show what this process counted, in Prometheus' text format or in OpenMetrics, as `Accept` says.

    Counts are those of all tenants, so that a key of the operator's own tenant is needed.
    """
    runtime: Runtime = request.app.state.runtime
    if runtime.watching is None:
        raise NotFound("Nothing is counted here: set `server.metrics`, or open the runtime with `counts=True`.")
    body, kind = await runtime.watching.render(request.headers.get("accept", ""))
    return Response(body, headers={"Content-Type": kind}, media_type=kind)


def build_router() -> Router:
    """Build the route for scrapes."""
    return Router("/", route_handlers=[scrape], tags=["health"])
