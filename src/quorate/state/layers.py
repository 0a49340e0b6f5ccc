"""Which run-scoped values does a delegate see, and where do its own changes go?

A delegate keeps what it changes in a layer of its own, in the store and under the key of the call that it answers: an
attempt that goes on after a crash finds the very same layer.
"""

from __future__ import annotations

import asyncio

from msgspec import Struct

from quorate.errors import Conflict
from quorate.ports import Sharing
from quorate.state.places import LAYER, ScopeRef, build_key, build_prefix
from quorate.state.rows import Row, Rows, Sight, describe
from quorate.state.schemas import GONE
from quorate.state.sweeps import clear

_COPIED = f"{LAYER}copied"
"""What is kept in a layer once its copy is whole; no value can have this name."""
_AT_ONCE = 32
"""How many values are copied side by side, so that a store can commit them together."""


class Layer(Struct, frozen=True, kw_only=True):
    """One agent's run-scoped values."""

    ref: ScopeRef
    """Where its own changes go."""
    above: Layer | None = None
    """Whose values it reads where it has none of its own."""
    source: Layer | None = None
    """Whose values it began with."""

    def open_child(self, sharing: Sharing, path: str) -> Layer:
        """Build the layer of a delegate at `path`."""
        if sharing == "share":
            return self
        ref = ScopeRef(scope=self.ref.scope, tenant=self.ref.tenant, id=self.ref.id, path=path)
        if sharing == "inherit":
            return Layer(ref=ref, above=self)
        return Layer(ref=ref, source=self if sharing == "copy" else None)


async def look_through(rows: Rows, layer: Layer, name: str) -> Sight:
    """Look at what an agent sees under a name."""
    await take_copy(rows, layer)
    row = await rows.find(layer.ref, name)
    own = row.revision if row is not None else 0
    if row is not None:
        return Sight(row=None if row.envelope.gone else row, own=own)
    if layer.above is None:
        return Sight(own=own)
    return Sight(row=(await look_through(rows, layer.above, name)).row, own=own)


async def see_all(rows: Rows, layer: Layer) -> dict[str, Row]:
    """Return everything an agent sees, by name."""
    await take_copy(rows, layer)
    seen = await see_all(rows, layer.above) if layer.above is not None else {}
    for row in await rows.scan_all(layer.ref):
        if row.envelope.gone:
            seen.pop(row.name, None)
        else:
            seen[row.name] = row
    return seen


async def forget(rows: Rows, layer: Layer, name: str) -> bool:
    """Forget a value for an agent, and say whether it was there; what it reads from above stays for those above.

    Raises:
        Conflict: Others were quicker too often.
    """
    for attempt in range(rows.patience.attempts):
        sight = await look_through(rows, layer, name)
        if sight.row is None:
            return False
        is_above = layer.above is not None and (await look_through(rows, layer.above, name)).row is not None
        try:
            if not is_above:
                return await rows.delete(layer.ref, name, if_revision=sight.own)
            await rows.put(build_key(layer.ref, name), GONE, if_revision=sight.own)
        except Conflict:
            await rows.patience.wait(attempt)
        else:
            return True
    raise Conflict(f"{describe(layer.ref, name)} was changed by others while it was to be deleted: try again later.")


async def take_copy(rows: Rows, layer: Layer) -> None:
    """Copy what a layer begins with, once: a copy that was broken off is made anew, a whole one never is."""
    if layer.source is None:
        return
    begin = build_prefix(layer.ref)
    mark = begin + _COPIED
    if await rows.values.get(mark) is not None:
        return
    async with rows.hold(mark):
        if await rows.values.get(mark) is not None:
            return
        seen = list((await see_all(rows, layer.source)).values())
        await clear(rows.values, begin)
        for first in range(0, len(seen), _AT_ONCE):
            await _write_together(rows, begin, seen[first : first + _AT_ONCE])
        await rows.put(mark, GONE)


async def _write_together(rows: Rows, begin: str, seen: list[Row]) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for row in seen:
                group.create_task(rows.put(begin + row.name, row.data, until=row.expires))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed
