"""On whose behalf does a request act on what a tenant keeps, and how is that noted?"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from quorate.events import RunCreated
from quorate.runtime import Runtime
from quorate.runtime.acts import noted
from quorate.runtime.control import build_absent
from quorate.security.identity import Area, Need
from quorate.server.asked import Asked, find_runtime


def find_root(request: Asked) -> Runtime:
    """Return the runtime that the server was opened with, whose stores are those of all tenants.

    What is asked of them names its tenant each time: the one of the credential.
    """
    runtime: Runtime = request.app.state.runtime
    # Where the database keeps tenants apart, nothing is read for somebody but through what binds them.
    return runtime if runtime.store.bind is None else find_runtime(request)


async def find_created(request: Asked, run: str) -> RunCreated:
    """Find how a run of the tenant began: for whom, and in which session.

    Raises:
        NotFound: The tenant has no such run.
    """
    first = await find_root(request).log.read(run, limit=1)
    if not first or not isinstance(first[0], RunCreated) or first[0].tenant != request.user.tenant:
        raise build_absent(run)
    return first[0]


def find_who(request: Asked, area: Area) -> str | None:
    """Return on whose behalf stores are asked; `None` for whoever may do everything in an area of their tenant."""
    identity = request.user
    return None if identity.may(Need(area, "admin")) else identity.principal


def note_act(
    request: Asked, action: str, *, object: str, reason: str = ""
) -> AbstractAsyncContextManager[dict[str, str]]:
    """Add a row to the audit trail of the tenant when the block is done, or was refused; it may add facts."""
    runtime = find_runtime(request)
    return noted(
        runtime.audit,
        action,
        principal=request.user.principal,
        object=object,
        reason=reason,
        clock=runtime.clock,
        max_wait_s=runtime.settings.worker.patience_s,
    )
