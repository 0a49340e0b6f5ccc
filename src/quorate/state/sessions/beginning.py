"""How does a session begin: by itself, or going on from an event of another?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import structs

from quorate.errors import Conflict, InvalidInput, NotFound
from quorate.events import RunCreated
from quorate.ids import check_id, new_id
from quorate.state.sessions import check
from quorate.state.sessions.ending import Parts
from quorate.state.sessions.recovery import build_session, find_or_rebuild
from quorate.state.sessions.session import Origin, Session, SessionLimits


def bound(record: Session, limits: SessionLimits) -> Session:
    """Return a record with limits, and the expiry that follows from them."""
    age = check.check_session_limits(limits).max_age_s
    return structs.replace(record, limits=limits, expires=None if age is None else record.created + age)


def build_new(
    *,
    tenant: str,
    session: str | None,
    principal: str,
    now: float,
    title: str = "",
    tags: Sequence[str] = (),
    metadata: Mapping[str, object] | None = None,
    limits: SessionLimits,
    shared_with: Sequence[str] = (),
) -> Session:
    """Build the record of a new session.

    Raises:
        InvalidInput: Something in it is not as it must be.
    """
    record = build_session(
        tenant=tenant,
        session=new_id("session") if session is None else check_id(session, "session"),
        principal=check.check_principal(principal),
        now=now,
    )
    return structs.replace(
        bound(record, limits),
        title=check.check_title(title),
        tags=check.check_tags(tags),
        metadata=check.check_metadata(metadata or {}),
        shared_with=check.check_shares(shared_with),
    )


async def put_new(parts: Parts, record: Session) -> Session:
    """Store the record of a new session.

    Raises:
        Conflict: There is one of that id; also where only runs know of it, which may be somebody else's.
    """
    if await find_or_rebuild(parts.records, parts.log, tenant=record.tenant, session=record.id) is None:
        try:
            return await parts.records.put(record)
        except Conflict:
            pass  # somebody with the same id was quicker
    raise Conflict(f"There is a session {record.id!r} already: choose another id.", session=record.id)


async def build_fork(
    parts: Parts,
    record: Session,
    run: str,
    *,
    seq: int,
    principal: str | None,
    name: str | None,
    title: str | None,
) -> Session:
    """Build the record of a session that goes on from an event of a run of another.

    Raises:
        NotFound: There is no such run in it.
        InvalidInput: The run has no such event.
    """
    events = await parts.log.read(run)
    created = events[0] if events else None
    if not isinstance(created, RunCreated) or (created.tenant, created.session) != (record.tenant, record.id):
        raise NotFound(f"There is no run {run!r} in session {record.id!r}: see `quorate sessions show {record.id}`.")
    if not 0 <= seq <= len(events):
        raise InvalidInput(f"Run {run!r} has {len(events)} events: fork it from one of 1 to {len(events)}, not {seq}.")
    fork = build_new(
        tenant=record.tenant,
        session=name,
        principal=record.principal if principal is None else principal,
        now=parts.clock.now(),
        title=record.title if title is None else title,
        tags=record.tags,
        metadata=record.metadata,
        limits=record.limits,
    )
    return structs.replace(fork, parent=Origin(session=record.id, run=run, seq=seq or len(events)))
