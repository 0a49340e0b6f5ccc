"""How is a session's record built again, or mended, from the logs of its runs?"""

from __future__ import annotations

from msgspec import structs

from quorate.errors import Conflict, CorruptState, NotFound
from quorate.events import RunCreated, RunSummary
from quorate.messages import Message
from quorate.ports import Log
from quorate.state.conversation import load_history
from quorate.state.sessions.records import Records
from quorate.state.sessions.session import Session
from quorate.state.sessions.turns import find_previous, list_session_runs

MOST_NOTES = 20


def note(session: Session, words: str) -> Session:
    """Add what was mended to a record, which keeps the last few."""
    return structs.replace(session, recovered=(*session.recovered, words)[-MOST_NOTES:])


def build_session(*, tenant: str, session: str, principal: str, now: float) -> Session:
    """Build the record of a session that begins now."""
    return Session(id=session, tenant=tenant, principal=principal, created=now, updated=now, active=now)


async def rebuild(log: Log, *, tenant: str, session: str, why: str) -> Session | None:
    """Build a record from the runs that name the session, or return `None` when none does.

    Whoever asked for the first run owns it. Its title, tags, metadata, shares and limits are lost.
    """
    first = await log.list_runs(session=session, tenant=tenant, order="oldest", limit=1)
    if not first:
        return None
    last = await log.list_runs(session=session, tenant=tenant, order="newest", limit=1)
    record = build_session(tenant=tenant, session=session, principal=first[0].principal, now=first[0].created)
    record = structs.replace(record, updated=last[0].updated, active=last[0].updated, last_run=last[0].run)
    return note(record, f"{why}: it was built again from the runs that name the session.")


async def find_or_rebuild(records: Records, log: Log, *, tenant: str, session: str) -> Session | None:
    """Find a session's record, or build and store it where only runs know of the session.

    Raises:
        CorruptState: The record does not verify.
    """
    record = await records.find(tenant, session)
    if record is not None:
        return record
    built = await rebuild(log, tenant=tenant, session=session, why="The record was missing")
    if built is None:
        return None
    try:
        return await records.put(built)
    except Conflict:
        return await records.find(tenant, session)


async def mend_pointer(log: Log, session: Session) -> Session:
    """Return a record that points to a run there is; the same one when nothing is wrong."""
    if not session.last_run or await log.last(session.last_run):
        return session
    last = await log.list_runs(session=session.id, tenant=session.tenant, limit=1)
    words = f"It pointed to run {session.last_run!r}, which is gone."
    return note(structs.replace(session, last_run=last[0].run if last else ""), words)


async def mend_conversation(log: Log, session: Session) -> Session:
    """Return a record whose next turn can begin: behind runs whose history is lost, a new conversation begins."""
    runs = [summary async for summary in list_session_runs(log, session)]
    try:
        await load_known(log, session, runs)
    except (NotFound, CorruptState) as error:
        cut, parent = (runs[0].run, session.parent) if runs else ("", None)
        words = f"{error.message} The next turn begins a new conversation."
        return note(structs.replace(session, cut=cut, parent=parent), words)
    return session


async def load_known(log: Log, session: Session, runs: list[RunSummary]) -> list[Message]:
    """Load what the next turn of a session knows.

    Raises:
        NotFound: A run of the conversation is gone.
        CorruptState: The conversation goes in a circle, or a log does not verify.
    """
    previous, seq = await find_previous(log, session, runs)
    reference = RunCreated(
        run="",
        seq=1,
        time=0.0,
        agent="",
        messages=(),
        tenant=session.tenant,
        session=session.id,
        previous=previous,
        previous_seq=seq,
    )
    return await load_history(log, reference)
