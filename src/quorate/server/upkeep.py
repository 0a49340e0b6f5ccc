"""How does whoever looks after a tenant end, mend and take away over HTTP what nobody needs any more?"""

from __future__ import annotations

from litestar import post
from litestar.params import JSONBody
from litestar.router import Router
from litestar.status_codes import HTTP_200_OK

from quorate.server.access import need
from quorate.server.acts import find_root, note_act
from quorate.server.artifact_views import ArtifactsCollected, CollectRequest, view_artifact
from quorate.server.asked import Asked
from quorate.server.session_views import PruneRequest, SessionsMended, SessionsPruned
from quorate.state.artifacts import Retention, apply_retention, collect_garbage
from quorate.state.sessions import delete_sessions, find_ended


@post("/upkeep/sessions/prune", opt=need("sessions", "admin"), status_code=HTTP_200_OK, summary="Prune sessions")
async def prune_sessions(request: Asked, data: JSONBody[PruneRequest]) -> SessionsPruned:
    """End what has expired and clean up after it; archive and delete what ended long ago, if told so.

    A session that another one goes on from is deleted only after that one.
    """
    runtime, tenant = find_root(request), request.user.tenant
    async with note_act(request, "session.sweep", object="session/all") as facts:
        changed = await runtime.sessions.sweep(tenant=tenant, archive_after_s=data.archive_after_s)
        facts["changed"] = str(len(changed))
    old, deleted, kept = list[str](), list[str](), dict[str, str]()
    if data.delete_after_s is not None:
        old = await find_ended(runtime.sessions, tenant=tenant, before=runtime.clock.now() - data.delete_after_s)
        async with note_act(request, "session.prune", object="session/all") as facts:
            deleted, kept = await delete_sessions(runtime.sessions, old, tenant=tenant, most=data.max_deleted)
            facts.update(deleted=str(len(deleted)), kept=str(len(kept)))
    return SessionsPruned(
        changed=tuple(one.id for one in changed),
        deleted=tuple(deleted),
        kept=kept,
        more=len(deleted) == data.max_deleted < len(old),
    )


@post("/upkeep/sessions/recover", opt=need("sessions", "admin"), status_code=HTTP_200_OK, summary="Mend sessions")
async def recover_sessions(request: Asked) -> SessionsMended:
    """Mend all sessions whose record is lost, cannot be read, or goes on from runs that are gone."""
    looked_at, mended = 0, dict[str, tuple[str, ...]]()
    async with note_act(request, "session.recover", object="session/all") as facts:
        async for one in find_root(request).sessions.recover_all(tenant=request.user.tenant):
            looked_at += 1
            if one.recovered:
                mended[one.id] = one.recovered
        facts["sessions"] = str(looked_at)
    return SessionsMended(looked_at=looked_at, mended=mended)


@post(
    "/upkeep/artifacts/collect", opt=need("artifacts", "admin"), status_code=HTTP_200_OK, summary="Clean up artifacts"
)
async def collect_artifacts(request: Asked, data: JSONBody[CollectRequest]) -> ArtifactsCollected:
    """Take away bytes that no artifact names, and with a bound the oldest artifacts above it, too.

    It may be asked for at any time, beside anything else.
    """
    store, tenant = find_root(request).artifacts, request.user.tenant
    retention = Retention(max_age_s=data.max_age_s, max_count=data.max_count, max_bytes=data.max_bytes)
    async with note_act(request, "artifact.collect", object="artifact/all") as facts:
        gone = await apply_retention(store, tenant, retention) if retention != Retention() else []
        swept = await collect_garbage(store, tenant, grace_s=data.grace_s)
        facts.update(deleted=str(len(gone)), blobs=str(swept.blobs + swept.strays), bytes=str(swept.bytes))
    return ArtifactsCollected(
        deleted=[view_artifact(info) for info in gone],
        blobs=swept.blobs + swept.strays,
        bytes=swept.bytes,
    )


def build_router() -> Router:
    """Build the routes about upkeep."""
    return Router("/v1", route_handlers=[prune_sessions, recover_sessions, collect_artifacts], tags=["upkeep"])
