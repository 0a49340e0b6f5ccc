"""What changed among stored values since somebody looked?"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from types import TracebackType

from msgspec import Struct

from quorate.ports import StateEntry
from quorate.state.places import ScopeRef, check_name, check_prefix
from quorate.state.rows import Row, Rows

POLL_S = 0.25
"""How often the store is looked at."""


class StateChange(Struct, frozen=True, kw_only=True, gc=False):
    """That a value is another one now, or gone."""

    name: str
    revision: int
    """The new revision; for a value that is gone, the last one that was seen."""
    entry: StateEntry | None = None
    """The value; `None` when it was deleted or has expired."""


class StateWatch:
    """The changes of one value, or of all whose names begin alike, from now on or from a revision on.

    Iterate over it; `close` ends the iteration, wherever it waits. The store is asked again and again, so a value that
    changes several times in between is seen once, as it is last; that it is gone is seen too.

    Entered with `async with`, it sees every change from there on; else from the first step of the iteration on.

    Raises:
        TooLarge: There are too many values to watch at once.
        CorruptState: A value cannot be read; the next step goes on behind it.
    """

    def __init__(
        self,
        rows: Rows,
        ref: ScopeRef,
        *,
        name: str = "",
        prefix: str = "",
        since: int | Mapping[str, int] | None = None,
        poll_s: float = POLL_S,
    ) -> None:
        self._rows = rows
        self._ref = ref
        self._name = check_name(name) if name else ""
        self._prefix = check_prefix(prefix)
        self._since = since
        self._poll_s = poll_s
        self._seen: dict[str, int] | None = None
        self._found: deque[tuple[str, int, Row | None]] = deque()
        self._pause: asyncio.Timeout | None = None
        self._closed = False

    async def __aenter__(self) -> StateWatch:
        """Note how things stand, so that nothing from here on is missed."""
        await self._begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self.close()

    def __aiter__(self) -> StateWatch:
        """Iterate over the changes."""
        return self

    async def __anext__(self) -> StateChange:
        """Wait for the next change."""
        if self._seen is None and not self._closed:
            await self._begin()
        while not self._closed:
            if self._found:
                name, revision, row = self._found.popleft()
                entry = self._rows.open(row) if row is not None else None
                return StateChange(name=name, revision=revision, entry=entry)
            await self._compare()
            if not self._found and not self._closed:
                await self._wait()
        raise StopAsyncIteration

    def close(self) -> None:
        """End the iteration."""
        self._closed = True
        if self._pause is not None:
            self._pause.reschedule(asyncio.get_running_loop().time())

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(None) as self._pause:
                await self._rows.patience.sleep(self._poll_s)
        except TimeoutError:
            if not self._closed:
                raise
        finally:
            self._pause = None

    async def _begin(self) -> None:
        """Take what the watcher knows already: all there is, what it names, or all up to a revision."""
        if isinstance(self._since, Mapping):
            self._seen = dict(self._since)
            return
        rows = await self._read()
        last = self._since
        self._seen = {row.name: row.revision for row in rows if last is None or row.revision <= last}
        if last and self._name and not rows:
            self._seen[self._name] = last  # somebody saw it at that revision, and it is gone

    async def _compare(self) -> None:
        assert self._seen is not None
        known, rows = self._seen, await self._read()
        self._seen = {row.name: row.revision for row in rows}
        changed = [(row.name, row.revision, row) for row in rows if known.get(row.name) != row.revision]
        gone = [(name, revision, None) for name, revision in known.items() if name not in self._seen]
        self._found.extend(sorted([*changed, *gone], key=lambda one: one[1]))

    async def _read(self) -> list[Row]:
        if self._name:
            row = await self._rows.find(self._ref, self._name)
            return [row] if row is not None else []
        return await self._rows.scan_all(self._ref, prefix=self._prefix)
