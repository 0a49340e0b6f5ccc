"""Which sessions stand on a page of a list, and where does the next one begin?"""

from __future__ import annotations

from collections.abc import Callable
from heapq import nlargest, nsmallest

from quorate.errors import InvalidInput
from quorate.state.sessions.records import Records
from quorate.state.sessions.session import Session, SessionOrder, SessionPage

Place = tuple[float, str]
MOST_HELD = 1000
"""How many records are held beyond a page before those that cannot be on it are let go."""


async def build_page(
    records: Records,
    tenant: str,
    is_wanted: Callable[[Session], bool],
    *,
    order: SessionOrder,
    cursor: str,
    limit: int,
) -> SessionPage:
    """Build a page; what changes meanwhile is on one page or the other by where it then stands.

    Raises:
        InvalidInput: `cursor` is not from a page before, or `limit` is not above 0.
    """
    if limit < 1:
        raise InvalidInput(f"`limit` is {limit!r}: a page has 1 session or more.")
    mark = _read_cursor(cursor) if cursor else None
    found, corrupt = list[Session](), list[str]()
    async for session, record in records.scan(tenant, after=mark[1] if mark and order == "id" else ""):
        if record is None:
            corrupt.append(session)
        elif is_wanted(record) and (mark is None or _is_behind(_get_place(record, order), mark, order)):
            found.append(record)
            if order == "id" and len(found) > limit:
                break
            if len(found) > MOST_HELD + limit:
                found = _pick(found, order, most=limit + 1)
    page = _pick(found, order, most=limit + 1)
    more = len(page) > limit
    return SessionPage(
        sessions=tuple(page[:limit]),
        cursor=_write_cursor(_get_place(page[limit - 1], order)) if more else "",
        corrupt=tuple(corrupt),
    )


def _pick(found: list[Session], order: SessionOrder, *, most: int) -> list[Session]:
    pick = nsmallest if order in ("oldest", "id") else nlargest
    return pick(most, found, key=lambda record: _get_place(record, order))


def _get_place(record: Session, order: SessionOrder) -> Place:
    if order == "id":
        return 0.0, record.id
    return (record.updated if order == "updated" else record.created), record.id


def _is_behind(place: Place, mark: Place, order: SessionOrder) -> bool:
    return place > mark if order in ("oldest", "id") else place < mark


def _write_cursor(place: Place) -> str:
    return f"{place[0]!r}/{place[1]}"


def _read_cursor(cursor: str) -> Place:
    moment, slash, session = cursor.partition("/")
    try:
        return float(moment), session if slash else ""
    except ValueError as error:
        raise InvalidInput(f"cursor {cursor[:80]!r} is not from a page before: list from the beginning.") from error
