"""Does this process live, and can it take requests?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.router import Router
from msgspec import Struct

from quorate.errors import describe_error
from quorate.runtime import Runtime
from quorate.server.access import NEED, OPEN, need

CHECK_S = 0.8
"""How long a dependency may take to answer."""

Check = Callable[[], Awaitable[None]]


class Part(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How something that we need is."""

    name: str
    status: Literal["ok", "down"]
    reason: str = ""


class Health(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How this process is."""

    status: Literal["ok", "degraded", "draining", "down"]
    parts: tuple[Part, ...] = ()


Asked = Request[object, object, State]


@get(["/livez", "/health/live"], opt={NEED: OPEN}, summary="Is the process alive?")
async def live() -> Health:
    """Say that the process answers; what it depends on is no matter here."""
    return Health(status="ok")


@get(["/readyz", "/health/ready"], opt={NEED: OPEN}, summary="Can it take requests?")
async def ready(request: Asked) -> Response[Health]:
    """Say whether requests may come: 503 while it drains, or while what it cannot do without is away."""
    if request.app.state.draining.is_set():
        return Response(Health(status="draining"), status_code=503)
    parts = await check_parts(request.app.state.runtime)
    is_down = any(part.status == "down" for part in parts)
    bare = tuple(Part(name=part.name, status=part.status) for part in parts)  # reasons are not for everybody
    return Response(Health(status="down" if is_down else "ok", parts=bare), status_code=503 if is_down else 200)


@get("/health/detailed", opt=need("events", "read"), summary="How is each part?")
async def detailed(request: Asked) -> Health:
    """Say how each part is, and why one is not well."""
    parts = await check_parts(request.app.state.runtime)
    return Health(status="down" if any(part.status == "down" for part in parts) else "ok", parts=parts)


async def check_parts(runtime: Runtime) -> tuple[Part, ...]:
    """Look at what we depend on, side by side, for less than a second."""
    checks: dict[str, Check] = {"database": lambda: _check_database(runtime)}
    async with asyncio.TaskGroup() as group:
        looks = [group.create_task(_look(name, check)) for name, check in checks.items()]
    return tuple(look.result() for look in looks)


async def _check_database(runtime: Runtime) -> None:
    await runtime.store.log.list_runs(limit=1)


async def _look(name: str, check: Check) -> Part:
    try:
        async with asyncio.timeout(CHECK_S):
            await check()
    except TimeoutError:
        return Part(name=name, status="down", reason=f"it did not answer within {CHECK_S:g} s")
    except Exception as error:  # whatever is wrong with it, it is of no use now
        return Part(name=name, status="down", reason=describe_error(error))
    return Part(name=name, status="ok")


def build_router() -> Router:
    """Build the routes about health."""
    return Router("/", route_handlers=[live, ready, detailed], tags=["health"])
