"""Which sessions ended long ago, and how are many of them forgotten?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from quorate.errors import Conflict, NotFound
from quorate.state.sessions.store import SessionStore

PAGE = 500


async def find_ended(sessions: SessionStore, *, tenant: str, before: float) -> list[str]:
    """Find the ids of the sessions of a tenant that ended before a moment of wall time."""
    found, cursor = list[str](), ""
    while True:
        page = await sessions.list_sessions(tenant=tenant, principal=None, order="id", cursor=cursor, limit=PAGE)
        found += [one.id for one in page.sessions if one.ended is not None and one.ended <= before]
        cursor = page.cursor
        if not cursor:
            return found


async def delete_sessions(
    sessions: SessionStore,
    ids: Sequence[str],
    *,
    tenant: str,
    most: int | None = None,
    report: Callable[[int], object] = lambda _: None,
) -> tuple[list[str], dict[str, str]]:
    """Delete sessions, forks before what they go on from; return which are gone, and why others are not.

    Args:
        sessions: Where they are.
        ids: Which ones.
        tenant: Whose.
        most: After how many that are gone the others are left; none is when not given.
        report: Told after each one how many are gone.
    """
    deleted, kept, left = list[str](), dict[str, str](), [*ids]
    while left:
        kept = dict[str, str]()
        for session in left:
            try:
                await sessions.delete(session, tenant=tenant, principal=None)
            except (Conflict, NotFound) as error:
                kept[session] = error.message
            else:
                deleted.append(session)
                report(len(deleted))
                if len(deleted) == most:
                    return deleted, kept
        if len(kept) == len(left):
            break
        left = [*kept]
    return deleted, kept
