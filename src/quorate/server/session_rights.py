"""Is a run for whoever asks, where it is part of a session that is somebody's?"""

from __future__ import annotations

from collections.abc import Mapping

from litestar.handlers import BaseRouteHandler

from quorate.errors import CorruptState, NotFound
from quorate.events import RunCreated
from quorate.runtime import Runtime
from quorate.runtime.browse import Sees
from quorate.runtime.control import build_absent
from quorate.security.identity import Identity, Need
from quorate.server.access import Connection

ALL_RUNS = Need("runs", "admin")
"""What lets one see the runs of all sessions of one's tenant, as whoever looks after it does."""
FORKED = "fork.run"
"""The label that says which run another one was forked from."""
MOST_FORKS = 32
"""How many forks of forks are gone back."""


async def guard_run(connection: Connection, handler: BaseRouteHandler) -> None:
    """Let nobody reach a run of a session that is not there for them; a run without a session is the tenant's.

    Raises:
        NotFound: It is one, in the words for a run that is not there.
    """
    run = connection.path_params.get("run_id")
    if isinstance(run, str) and "user" in connection.scope:  # nobody asks what methods there are
        runtime, identity = connection.app.state.runtime, connection.user
        assert isinstance(runtime, Runtime)
        assert isinstance(identity, Identity)
        await check_run(runtime.for_tenant(identity.tenant), identity, run)


async def check_run(runtime: Runtime, identity: Identity, run: str) -> None:
    """Return if a run is for whoever asks, or is not there, which is said where it is read.

    Raises:
        NotFound: It is part of a session that is not for them.
    """
    if not identity.may(ALL_RUNS) and not await sees_run(runtime, build_sight(runtime, identity), run):
        raise build_absent(run)


async def sees_run(runtime: Runtime, sees: Sees, run: str) -> bool:
    """Whether a run is for whoever asks, as `build_sight` says, or is not there."""
    created = await _find_created(runtime, run)
    return created is None or await sees(created.session, created.principal, created.labels)


def build_sight(runtime: Runtime, identity: Identity) -> Sees:
    """Build what says whether runs are for whoever asks.

    A fork is of no session, and holds what was said in the run it goes on from: it is for those whom that one is for.
    What is found of a session is remembered, so that this is for one request.
    """
    known: dict[str, bool] = {}
    sees_all = identity.may(ALL_RUNS)

    async def sees(session: str | None, principal: str, labels: Mapping[str, str]) -> bool:
        for _ in range(MOST_FORKS):
            if sees_all or principal == identity.principal:
                return True
            if session is not None:
                return await sees_session(session)
            if FORKED not in labels:
                return True
            origin = await _find_created(runtime, labels[FORKED])
            if origin is None:  # whose it was is not known any more
                return False
            session, principal, labels = origin.session, origin.principal, origin.labels
        return False

    async def sees_session(session: str) -> bool:
        if session not in known:
            try:
                await runtime.sessions.get(session, tenant=runtime.tenant, principal=identity.principal)
                known[session] = True
            except (NotFound, CorruptState):  # whose a session is that does not read is not known either
                known[session] = False
        return known[session]

    return sees


async def _find_created(runtime: Runtime, run: str) -> RunCreated | None:
    first = await runtime.log.read(run, limit=1)
    created = first[0] if first else None
    return created if isinstance(created, RunCreated) and created.tenant == runtime.tenant else None
