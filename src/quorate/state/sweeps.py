"""What can be done with many stored values at once, page by page?"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator

from quorate.ids import check_id
from quorate.ports import Entry, KeyValue
from quorate.state.places import ROOM, read_key

PAGE = 200


def get_room(tenant: str | None) -> str:
    """Return what the keys of a tenant's values begin with, or those of everybody's."""
    return ROOM if tenant is None else f"{ROOM}{check_id(tenant, 'tenant')}/"


async def scan_pages(values: KeyValue, begin: str) -> AsyncGenerator[list[Entry]]:
    """Yield all entries whose keys begin so, a page at a time; they may be changed or deleted meanwhile."""
    after = ""
    while True:
        page = await values.scan(begin, after=after, limit=PAGE)
        if page:
            yield page
        if len(page) < PAGE:
            return
        after = page[-1].key


async def clear(values: KeyValue, begin: str) -> int:
    """Forget everything whose key begins so, and say how many entries that were."""
    count = 0
    async for page in scan_pages(values, begin):
        for entry in page:
            count += await values.delete(entry.key)
    return count


async def digest(values: KeyValue, *, tenant: str | None) -> str:
    """Return a SHA-256 over all stored values, their names and owners: the same for the same values anywhere.

    Revisions, times and what a store keeps for itself do not count, so that what a backup brought back can be compared
    with what was there.
    """
    whole = hashlib.sha256()
    async for page in scan_pages(values, get_room(tenant)):
        for entry in page:
            if read_key(entry.key) is not None:
                whole.update(f"{entry.key}\0{hashlib.sha256(entry.value).hexdigest()}\n".encode())
    return whole.hexdigest()
