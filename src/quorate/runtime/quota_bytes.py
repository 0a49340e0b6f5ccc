"""How many bytes of artifacts does a tenant have, and is there room for more?

What is written is set aside before, piece by piece, and counted when it is there. What went, and what whoever died
left behind, is found by adding up what is really kept, once there seems to be no room.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import suppress

from msgspec import Struct, field

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import BudgetExceeded, InvalidInput, QuorateError, StorageFull
from quorate.ids import PATTERN, new_id
from quorate.models.cells import Act, Cell, Cells
from quorate.ports import BlobInfo, Blobs, KeyValue
from quorate.runtime.quota_slots import SETTLE_S

HOLD_S = 3_600.0
"""How long what is set aside stays so without a word from whoever writes."""
LEAST_HOLD = 64 << 10
MOST_HOLD = 4 << 20
PAGE = 1_000
TRIES = 5
AGAIN_S = 300.0
"""After how long it is added up again, whatever is known, before somebody is refused."""
WORN_S = 60.0
"""After how long it is added up again for whoever reads it, where something was deleted."""
MAX_HOLDS = 5_000

FindMost = Callable[[str], Awaitable[tuple[int | None, float]]]
"""Finds how many bytes a tenant may have, and when that was changed last; `None` for as many as there is room for."""


class Hold(Struct, array_like=True):
    """What somebody who writes may need."""

    size: int
    expires: float


class Holder(Struct):
    """Somebody who writes."""

    id: str
    is_whole: bool = False
    """Whether all of it was handed on, so that it may be stored, whatever is said of it."""


class BytesRow(Struct):
    """What is kept of a tenant's, and what is being written."""

    used: int = 0
    held: dict[str, Hold] = field(default_factory=dict[str, Hold])
    counted: float = 0.0
    """The store's time at which it was added up last."""
    changes: int = 0
    is_stale: bool = True
    """Whether there may be less than it says."""


class Scarce(Struct, frozen=True):
    """That there is no room, or that it is not known."""

    used: int
    changes: int
    can_count: bool
    """Whether adding up may find some."""
    at: float


class MeteredBlobs:
    """`Blobs` in which no tenant has more bytes than it may; whose they are is the first part of their names.

    Args:
        inner: Where they are kept.
        values: Where it is counted.
        find_most: Finds how many there may be.
        refused: Told of what is refused.
        clock: What durations are measured by.
    """

    def __init__(
        self,
        inner: Blobs,
        values: KeyValue,
        *,
        find_most: FindMost,
        refused: Callable[[str, BudgetExceeded], None] = lambda tenant, error: None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._inner = inner
        self._cells = Cells(values, empty=lambda _: BytesRow(), clock=clock)
        self._find_most = find_most
        self._refused = refused
        self._clock = clock

    async def put(self, name: str, chunks: AsyncIterable[bytes]) -> int:
        """Store bytes; see `quorate.ports.Blobs`.

        Raises:
            BudgetExceeded: The tenant may not have so many.
        """
        tenant = name.partition("/")[0]
        most, changed = await self._find_most(tenant) if PATTERN.fullmatch(tenant) else (None, 0.0)
        if most is None:
            return await self._inner.put(name, chunks)
        hold = Holder(new_id("hold"))
        try:
            size = await self._inner.put(name, self._meter(tenant, hold, chunks, most=most, changed=changed))
        except BaseException as error:
            # Nothing is stored of what never came whole, such as of an upload whose sender left.
            if not hold.is_whole or isinstance(error, (BudgetExceeded, InvalidInput, StorageFull)):
                await self._settle(tenant, hold.id, 0)
            raise
        # Whatever else went wrong, the bytes may be there: what is set aside for them stays until that is known.
        await self._settle(tenant, hold.id, size)
        return size

    def get(self, name: str) -> AsyncIterator[bytes]:
        """Yield the bytes of a blob; see `quorate.ports.Blobs`."""
        return self._inner.get(name)

    async def delete(self, name: str) -> bool:
        """Forget a blob; see `quorate.ports.Blobs`."""
        was_there = await self._inner.delete(name)
        tenant = name.partition("/")[0]
        if was_there and PATTERN.fullmatch(tenant):
            with suppress(QuorateError):  # it is gone, whatever is known of the room
                if (await self._find_most(tenant))[0] is not None:
                    await self._get(tenant).change(_wearing)
        return was_there

    async def list_blobs(self, prefix: str = "", *, after: str = "", limit: int = 1000) -> list[BlobInfo]:
        """List blobs; see `quorate.ports.Blobs`."""
        return await self._inner.list_blobs(prefix, after=after, limit=limit)

    async def find_used(self, tenant: str) -> int:
        """Find how many bytes a tenant has; what was deleted within the last minute may still be in it.

        Raises:
            Unavailable: The store cannot be reached.
        """
        cell = self._get(tenant)

        def see(row: BytesRow, now: float) -> tuple[bool, Scarce]:
            return False, Scarce(row.used, row.changes, row.is_stale and row.counted + WORN_S < now, now)

        seen = await cell.change(see)
        if not seen.can_count:
            return seen.used
        total = await self.measure(tenant)
        await cell.change(_counting(seen, total))
        return total

    async def measure(self, tenant: str) -> int:
        """Add up what a tenant has.

        Raises:
            Unavailable: The store cannot be reached.
        """
        total, after = 0, ""
        while True:
            page = await self._inner.list_blobs(f"{tenant}/", after=after, limit=PAGE)
            total += sum(blob.size for blob in page)
            if len(page) < PAGE:
                return total
            after = page[-1].name

    async def _meter(
        self, tenant: str, hold: Holder, chunks: AsyncIterable[bytes], *, most: int, changed: float
    ) -> AsyncGenerator[bytes]:
        """Hand pieces on for which there is room."""
        given = held = 0
        said = self._clock.monotonic()
        async for chunk in chunks:
            given += len(chunk)
            now = self._clock.monotonic()
            if given > held or now - said > HOLD_S / 4:
                wanted = max(given, held, min(2 * given, given + MOST_HOLD), LEAST_HOLD)
                held, said = await self._hold(tenant, hold.id, given, wanted, most=most, changed=changed), now
            yield chunk
        hold.is_whole = True

    async def _hold(self, tenant: str, hold: str, least: int, wanted: int, *, most: int, changed: float) -> int:
        """Set bytes aside, as many as are wanted or at least as many as there are; return how many."""
        cell = self._get(tenant)
        for _ in range(TRIES):
            outcome = await cell.change(_holding(hold, least, wanted, most, changed))
            if isinstance(outcome, int):
                return outcome
            if not outcome.can_count:
                break
            total = await self.measure(tenant)
            await cell.change(_counting(outcome, total))
            changed = 0.0  # it was counted just now
        error = BudgetExceeded(
            f"The quota of {most:,} bytes of artifacts for tenant {tenant!r} cannot hold {least:,} more: delete some, "
            "or ask whoever operates this for more.",
            source="quota",
            limit="bytes-now",
        )
        self._refused(tenant, error)
        raise error

    async def _settle(self, tenant: str, hold: str, size: int) -> None:
        """Count what was written; where that cannot be noted now, it stays set aside until it is added up."""

        def act(row: BytesRow, now: float) -> tuple[bool, None]:
            row.held.pop(hold, None)
            row.used += size
            row.changes += 1
            return True, None

        with suppress(QuorateError):
            await self._get(tenant).change(act)

    def _get(self, tenant: str) -> Cell[BytesRow]:
        return self._cells.get(f"quotas/bytes/{tenant}")


def _wearing(row: BytesRow, now: float) -> tuple[bool, None]:
    if row.is_stale:
        return False, None
    row.is_stale = True
    return True, None


def _holding(hold: str, least: int, wanted: int, most: int, changed: float) -> Act[BytesRow, int | Scarce]:
    def act(row: BytesRow, now: float) -> tuple[bool, int | Scarce]:
        own = row.held.get(hold)
        others = sum(one.size for name, one in row.held.items() if name != hold)
        room = most - row.used - others
        is_unsure = bool(changed) and row.counted < changed + SETTLE_S
        if is_unsure or room < least or (own is None and len(row.held) >= MAX_HOLDS):
            has_dead = any(one.expires <= now for one in row.held.values())
            can_count = is_unsure or row.is_stale or has_dead or row.counted + AGAIN_S < now
            return False, Scarce(row.used, row.changes, can_count, now)
        size = min(room, wanted)
        row.held[hold] = Hold(size, now + HOLD_S)
        return True, size

    return act


def _counting(seen: Scarce, total: int) -> Act[BytesRow, None]:
    """Note what was added up, unless something was written meanwhile that may not be in it."""

    def act(row: BytesRow, now: float) -> tuple[bool, None]:
        if row.changes != seen.changes:
            return False, None
        row.held = {name: hold for name, hold in row.held.items() if hold.expires > seen.at}
        row.used, row.counted = total, seen.at
        # What is being written may be in both: then there is more room than it says.
        row.is_stale = bool(row.held)
        return True, None

    return act
