"""What has one sink not taken yet, while the others go on?"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from quorate.errors import Conflict
from quorate.ids import check_id, new_id
from quorate.ports import Entry, KeyValue, Notice
from quorate.state.sweeps import PAGE

ROOT = "relay/behind/"
_encode = msgspec.msgpack.Encoder().encode
_read = msgspec.msgpack.Decoder(tuple[Notice, ...]).decode


class Page(Struct, frozen=True, kw_only=True):
    """Notices that are given to a sink together."""

    entry: Entry
    notices: tuple[Notice, ...]


class Backlog:
    """The notices that a sink did not take, kept in the database in the order they came.

    A notice is put here before it leaves the outbox, so it is always in one of them.
    """

    def __init__(self, values: KeyValue, sink: str) -> None:
        self._values = values
        self._prefix = f"{ROOT}{check_id(sink, 'sink')}/"
        # Two relays may overlap for a moment: neither writes over what the other one keeps.
        self._me = new_id("page")

    async def add(self, notices: Sequence[Notice]) -> None:
        """Keep notices until `remove`.

        Raises:
            StorageFull: There is no room.
            Unavailable: The store cannot be reached.
        """
        await self._values.put(f"{self._prefix}{notices[0].id:020}-{self._me}", _encode(notices))

    async def find_first(self) -> Page | None:
        """Find the notices that are to be given next.

        Raises:
            Unavailable: The store cannot be reached.
        """
        for entry in await self._values.scan(self._prefix, limit=1):
            return Page(entry=entry, notices=read_page(entry))
        return None

    async def remove(self, page: Page) -> bool:
        """Forget notices that were taken, or gave way; say whether they were there.

        Raises:
            Unavailable: The store cannot be reached.
        """
        try:
            return await self._values.delete(page.entry.key, if_revision=page.entry.revision)
        except Conflict:
            return False  # another relay removed it

    async def count(self) -> int:
        """Count the notices that are kept.

        Raises:
            Unavailable: The store cannot be reached.
        """
        count, after = 0, ""
        while entries := await self._values.scan(self._prefix, after=after, limit=PAGE):
            count += sum(len(read_page(entry)) for entry in entries)
            after = entries[-1].key
        return count


def read_page(entry: Entry) -> tuple[Notice, ...]:
    """Read what is kept in one entry; none where it cannot be read."""
    try:
        return _read(entry.value)
    except msgspec.DecodeError:
        return ()
