"""How does a session become something else, end, and go?"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, structs

from quorate.clock import Clock
from quorate.errors import Conflict, CorruptState, Forbidden
from quorate.ports import Log
from quorate.state.sessions.check import check_title
from quorate.state.sessions.cleanup import CleanupHook, claim, find_pending, run_hooks
from quorate.state.sessions.records import Records, build_absent, build_changed
from quorate.state.sessions.recovery import (
    build_session,
    find_or_rebuild,
    mend_conversation,
    mend_pointer,
    note,
    rebuild,
)
from quorate.state.sessions.session import TRANSITIONS, DeletedSession, Session, SessionStatus
from quorate.state.sessions.turns import OPEN, find_expiry, find_refusal, list_session_runs


class Parts(Struct, frozen=True, kw_only=True):
    """What the sessions of a store are made of."""

    records: Records
    log: Log
    clock: Clock
    hooks: tuple[CleanupHook, ...]


def may_see(record: Session, principal: str | None) -> bool:
    """Whether a session is for whoever asks; `None` is whoever operates the store."""
    return principal is None or principal == record.principal or principal in record.shared_with


async def open_session(
    parts: Parts, session: str, *, tenant: str, principal: str | None, owns: bool = False
) -> Session:
    """Find a session for whoever asks; one that only runs know of is built from them.

    Raises:
        NotFound: There is none, or it is not for whoever asks.
        Forbidden: It is shared with whoever asks, and `owns` wants its owner.
        CorruptState: Its record does not verify.
    """
    record = await find_or_rebuild(parts.records, parts.log, tenant=tenant, session=session)
    if record is None or not may_see(record, principal):
        raise build_absent(session)
    if owns and principal not in (None, record.principal):
        raise Forbidden(f"Session {session!r} is shared with {principal!r}: only its owner may change it.")
    return record


async def move(
    parts: Parts, record: Session, status: SessionStatus, *, reason: str, if_revision: int | None = None
) -> Session:
    """Let a session become something else, and clean up where it ends so; with `if_revision`, only that very one.

    Raises:
        Conflict: It does not stand so that this may follow, or somebody else changed it.
    """
    moved = await parts.records.change(
        record.tenant,
        record.id,
        lambda fresh: build_moved(parts, fresh, status, reason=reason),
        if_revision=if_revision,
    )
    return await run_hooks(parts.records, moved, parts.hooks, clock=parts.clock)


def build_moved(parts: Parts, record: Session, status: SessionStatus, *, reason: str) -> Session:
    """Build the record of a session that becomes something else.

    Raises:
        Conflict: It does not stand so that this may follow.
    """
    now = parts.clock.now()
    if status not in TRANSITIONS[record.status]:
        allowed = " or ".join(f"`{one}`" for one in TRANSITIONS[record.status])
        raise Conflict(
            f"Session {record.id!r} is {record.status} and cannot become {status}: "
            f"{f'{allowed} can follow' if allowed else 'nothing can follow'}.",
            session=record.id,
        )
    moved = structs.replace(record, status=status, reason=check_title(reason), updated=now)
    if status == "active":
        moved = structs.replace(moved, active=now)
        refusal = find_refusal(moved, (), now=now) if find_expiry(moved, (), now=now) is not None else None
        if refusal is not None:
            raise Conflict(refusal, session=record.id)
        return moved
    if status == "suspended" or record.is_ended:
        return moved
    return claim(structs.replace(moved, ended=now, holds=()), parts.hooks, now=now)


async def delete_session(parts: Parts, record: Session, *, if_revision: int | None = None) -> DeletedSession:
    """Clean up after a session and forget it with its runs, the record last; with `if_revision`, only that very one.

    Raises:
        Conflict: Runs of it are under way, other sessions go on from them, or somebody else changed it.
    """
    await _check_unused(parts, record)
    if if_revision is not None and record.revision != if_revision:
        raise build_changed(record, if_revision)
    if not record.is_ended:
        record = await move(parts, record, "archived", reason="deleted", if_revision=if_revision)
        await _check_unused(parts, record)  # somebody may have begun a turn before
    record = await run_hooks(parts.records, record, parts.hooks, clock=parts.clock)
    runs = [summary.run async for summary in list_session_runs(parts.log, record)]
    for run in runs:
        await parts.log.delete(run)
    await parts.records.delete(record.tenant, record.id)
    return DeletedSession(session=record.id, runs=tuple(reversed(runs)), cleaned=record.cleaned)


async def _check_unused(parts: Parts, record: Session) -> None:
    session = record.id
    open_runs = [summary.run async for summary in list_session_runs(parts.log, record) if summary.status in OPEN]
    if open_runs:
        raise Conflict(
            f"Session {session!r} has runs under way ({', '.join(open_runs[:3])}): stop them with "
            "`quorate runs cancel`, then delete it.",
            session=session,
        )
    async for name, other in parts.records.scan(record.tenant):
        if other is not None and other.parent is not None and other.parent.session == session:
            raise Conflict(
                f"Session {name!r} goes on from session {session!r} and would lose what was said: delete it first.",
                session=session,
            )


async def sweep_session(parts: Parts, record: Session, *, archive_after_s: float | None) -> Session:
    """End a session that has expired, clean up what was left, archive what ended long ago.

    Raises:
        Conflict: Somebody changed it meanwhile.
        NotFound: Somebody deleted it meanwhile.
    """
    now = parts.clock.now()
    if not record.is_ended:
        return await _expire(parts, record, now=now)
    if find_pending(record, parts.hooks) and record.cleaning <= now:
        record = await parts.records.put(claim(record, parts.hooks, now=now))
        record = await run_hooks(parts.records, record, parts.hooks, clock=parts.clock)
    ended = record.updated if record.ended is None else record.ended
    if archive_after_s is not None and record.status != "archived" and ended + archive_after_s <= now:
        record = await move(parts, record, "archived", reason=record.reason)
    return record


async def _expire(parts: Parts, record: Session, *, now: float) -> Session:
    if find_expiry(record, (), now=now) is None:
        return record
    # What its runs did lately is asked only where the record alone would let it expire.
    runs = await parts.log.list_runs(session=record.id, tenant=record.tenant, limit=10)

    def expire(fresh: Session) -> Session:
        if fresh.is_ended or find_expiry(fresh, runs, now=now) is None:
            return fresh
        return build_moved(parts, fresh, "completed", reason="expired")

    record = await parts.records.change(record.tenant, record.id, expire)
    return await run_hooks(parts.records, record, parts.hooks, clock=parts.clock)


async def recover_session(parts: Parts, session: str, *, tenant: str, principal: str | None) -> Session:
    """Mend a session's record, pointer, conversation and cleanups.

    Raises:
        NotFound: There is neither a record nor a run of it, or it is not for whoever asks.
        Forbidden: It is shared with whoever asks, who does not own it.
    """
    try:
        record = await open_session(parts, session, tenant=tenant, principal=principal, owns=True)
    except CorruptState:
        record = await _rebuild_corrupt(parts, session, tenant=tenant, principal=principal)
    mended = await mend_conversation(parts.log, await mend_pointer(parts.log, record))
    if mended is not record:
        record = await parts.records.put(mended)
    return await run_hooks(parts.records, record, parts.hooks, clock=parts.clock, retry=True)


async def _rebuild_corrupt(parts: Parts, session: str, *, tenant: str, principal: str | None) -> Session:
    why = "The record did not verify"
    built = await rebuild(parts.log, tenant=tenant, session=session, why=why)
    if built is None and principal is None:
        built = build_session(tenant=tenant, session=session, principal="local", now=parts.clock.now())
        built = note(built, f"{why}, and no run names the session: whose it was is not known.")
    if built is None or principal not in (None, built.principal):
        raise build_absent(session)
    return await parts.records.replace(built)


async def find_names(parts: Parts, *, tenant: str, page: int = 500) -> Sequence[str]:
    """Find the ids of all sessions of a tenant, those without a record included."""
    names = dict.fromkeys([session async for session, _ in parts.records.scan(tenant)])
    before: str | None = None
    while True:
        runs = await parts.log.list_runs(tenant=tenant, order="oldest", before=before, limit=page)
        names.update(dict.fromkeys(summary.session for summary in runs if summary.session))
        if len(runs) < page:
            return tuple(names)
        before = runs[-1].run
