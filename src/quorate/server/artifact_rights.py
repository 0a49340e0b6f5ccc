"""On whose behalf is an artifact asked for, and which one is meant?"""

from __future__ import annotations

from typing import Annotated

from litestar.params import QueryParameter

from quorate.errors import Forbidden, InvalidInput, NotFound
from quorate.server.acts import find_created, find_root, find_who
from quorate.server.asked import Asked, find_runtime
from quorate.server.session_rights import check_run
from quorate.state.artifacts import ArtifactStore, Caller, Record
from quorate.state.artifacts.names import is_handle

InSession = Annotated[
    str | None,
    QueryParameter(
        name="session",
        max_length=63,
        description="As somebody who works in that session, which must be for them.",
    ),
]


def find_store(request: Asked) -> ArtifactStore:
    """Return where artifacts are."""
    return find_root(request).artifacts


async def find_caller(request: Asked, session: str | None = None, *, run: str | None = None) -> Caller:
    """Say on whose behalf artifacts are asked for; a session must be for whoever asks, and a run must be theirs.

    Raises:
        NotFound: The session or the run is not there, or not for them.
        Forbidden: The run is another's.
        InvalidInput: The run is not of the session.
    """
    who, tenant = find_who(request, "artifacts"), request.user.tenant
    if session is not None:
        await find_root(request).sessions.get(session, tenant=tenant, principal=who)
    if run is not None:
        await check_run(find_runtime(request), request.user, run)
        created = await find_created(request, run)
        if who not in (None, created.principal):
            raise Forbidden(f"Run {run!r} is another's: save the artifact as your own, and share it.")
        if session not in (None, created.session):
            raise InvalidInput(f"Run {run!r} is not of session {session!r}: leave one of them out.")
        session = created.session
    return Caller(
        tenant=tenant,
        principal=request.user.principal,
        session=session,
        run=run or "",
        operator=who is None,
    )


async def show_record(request: Asked, artifact_id: str, *, caller: Caller) -> Record:
    """Return what is known of an artifact by its handle: what a name means changes with each version.

    Raises:
        NotFound: There is none, or it is not for the caller.
    """
    if not is_handle(artifact_id):
        raise NotFound(f"There is no artifact {artifact_id!r}: list them with `quorate artifacts list`.")
    return await find_store(request).show(artifact_id, caller=caller)
