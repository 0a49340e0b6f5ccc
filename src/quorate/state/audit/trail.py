"""Who did what, who was refused what, and is that record still what was written?"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress

import msgspec
from msgspec import Struct, structs

from quorate.clock import Clock
from quorate.errors import Conflict, CorruptState, QuorateError, Unavailable
from quorate.ids import check_id
from quorate.ports import KeyValue
from quorate.state.audit.chain import (
    HEAD,
    MAX_ROWS,
    AuditHead,
    build_block,
    build_key,
    build_prefix,
    find_end,
    read_block,
    read_head,
    read_seq,
    scan_blocks,
    seal_head,
)
from quorate.state.audit.row import AuditRow, Outcome, Revealing, build_draft, check_key, is_keyed
from quorate.state.audit.verify import AuditReport, ChainCheck

MAX_WAITING = 10_000
"""How many acts may wait for their row at once."""
HEAD_EVERY = 1024
"""After how many rows the end is noted even while more are waiting."""
TRIES = 100


class AuditFilter(Struct, frozen=True, kw_only=True, gc=False):
    """Which rows are wanted; all that is given must fit."""

    principal: str = ""
    action: str = ""
    """The action, or its beginning up to a dot: `run` finds `run.cancel`."""
    object: str = ""
    """The object, or its beginning up to a slash: `run` finds `run/run-1`."""
    outcome: Outcome | None = None
    since: float | None = None
    before: float | None = None

    def fits(self, row: AuditRow) -> bool:
        """Whether a row is wanted."""
        return (
            self.principal in ("", row.principal)
            and self.outcome in (None, row.outcome)
            and (not self.action or row.action == self.action or row.action.startswith(f"{self.action}."))
            and (not self.object or row.object == self.object or row.object.startswith(f"{self.object}/"))
            and (self.since is None or row.time >= self.since)
            and (self.before is None or row.time < self.before)
        )


EVERYTHING = AuditFilter()


class _Slot:
    """A row that waits to be written, and what became of it."""

    __slots__ = ("draft", "error", "row")

    def __init__(self, draft: AuditRow) -> None:
        self.draft = draft
        self.row: AuditRow | None = None
        self.error: QuorateError | None = None


class _Attempt(Struct, frozen=True, gc=False):
    """A block that is being written: whoever was cancelled over it does not know whether it was."""

    slots: list[_Slot]
    rows: list[AuditRow]
    key: str
    value: bytes


class AuditTrail:
    """The chain of one tenant's audit rows.

    Rows of acts that happen at the same time are written together: one of those who wait writes for all. A row that was
    returned is committed; where that cannot be done the error says so, and the act must be refused.
    """

    def __init__(
        self,
        values: KeyValue,
        *,
        clock: Clock,
        tenant: str,
        key: Revealing | None = None,
        secrets: Sequence[Revealing] = (),
    ) -> None:
        """Open the trail of a tenant.

        Args:
            values: Where it is kept.
            clock: What rows are dated by.
            tenant: Whose it is.
            key: With one, rows cannot be forged by whoever can write to the store and does not have it.
            secrets: What must never stand in a row, such as the keys in the settings.

        Raises:
            InvalidInput: The tenant or the key is not one.
        """
        self.tenant = check_id(tenant, "tenant")
        self._values = values
        self._clock = clock
        self._key = check_key(key)
        self._secrets = tuple(secrets)
        self._turn = asyncio.Lock()
        self._waiting: deque[_Slot] = deque()
        self._end: AuditHead | None = None
        self._noted = 0
        self._hint = 0
        self._unsure: _Attempt | None = None

    async def append(
        self,
        action: str,
        *,
        principal: str,
        object: str,
        outcome: Outcome = "done",
        reason: str = "",
        facts: Mapping[str, object] | None = None,
    ) -> AuditRow:
        """Write that somebody did something or was refused; once this returns, it is committed.

        Args:
            action: What was done, such as `run.cancel`.
            principal: Who did it.
            object: To what, such as `run/run-1`.
            outcome: Whether it was done or refused.
            reason: Why.
            facts: What else is worth knowing: short texts and numbers. What looks like a secret is hidden.

        Raises:
            InvalidInput: The action or a fact is not one.
            Unavailable: The store cannot be reached, or too many wait: refuse the act.
            StorageFull: There is no room: refuse the act.
            CorruptState: The end of the chain cannot be read, so nothing can follow it: refuse the act.
        """
        draft = build_draft(
            action,
            time=self._clock.now(),
            tenant=self.tenant,
            principal=principal,
            object=object,
            outcome=outcome,
            reason=reason,
            facts=facts,
            secrets=self._secrets,
        )
        if len(self._waiting) >= MAX_WAITING:
            raise Unavailable(f"{MAX_WAITING} acts wait for their audit row already: try again later.")
        slot = _Slot(draft)
        self._waiting.append(slot)
        try:
            async with self._turn:
                while slot.row is None and slot.error is None:
                    await self._write_group()
        finally:
            if slot.row is None and slot.error is None:
                self._drop(slot)
        if slot.error is not None:
            raise slot.error
        assert slot.row is not None
        return slot.row

    async def read(self, *, after: int = 0, limit: int = 100, match: AuditFilter = EVERYTHING) -> list[AuditRow]:
        """Return rows behind a number that fit, in order.

        Raises:
            CorruptState: A row cannot be read; `verify` says what else is wrong.
        """
        found = list[AuditRow]()
        if limit < 1:
            return found
        # A block is found by its first row: the one that holds the row behind `after` may begin some rows before.
        async with aclosing(self._iterate(max(0, after - MAX_ROWS))) as rows:
            async for row in rows:
                if row.seq > after and match.fits(row):
                    found.append(row)
                    if len(found) >= limit:
                        break
        return found

    async def read_last(
        self, *, limit: int = 100, match: AuditFilter = EVERYTHING, below: int | None = None
    ) -> list[AuditRow]:
        """Return the last rows that fit, in order; those before row `below` if it is given. Raises as `read` does."""
        upper = (await self.find_head()).seq
        if below is not None:
            upper = min(upper, below - 1)
        found, width = list[AuditRow](), max(limit, MAX_ROWS)
        while upper > 0 and len(found) < limit:
            lower = max(0, upper - width)
            part = [row for row in await self.read(after=lower, limit=width) if row.seq <= upper]
            found = [*(row for row in part if match.fits(row)), *found]
            upper, width = lower, 2 * width if width < 4096 else width
        return found[max(0, len(found) - limit) :]

    async def find_head(self) -> AuditHead:
        """Find where the chain ends.

        Raises:
            CorruptState: Its last rows cannot be read.
        """
        return await find_end(self._values, self.tenant, begin=await self._read_hint())

    async def verify(
        self,
        *,
        anchor: AuditHead | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> AuditReport:
        """Look at every row from the first on, and name the first that is not as it was written.

        Args:
            anchor: What an earlier report or `find_head` gave, kept elsewhere: shows that the end was cut off or all of
                it written anew, also to whoever could change everything in the store.
            progress: Is told how many rows verify so far, and how many there are.

        Raises:
            Unavailable: The store cannot be reached.
        """
        check = ChainCheck(self.tenant, key=self._key, anchor=anchor)
        hint, total = None, 0
        try:
            hint = await self._values.get(build_prefix(self.tenant) + HEAD)
            total = read_head(hint.value).seq if hint is not None else 0
        except CorruptState:  # it comes up again once the rows before it are looked at
            pass
        try:
            async with aclosing(scan_blocks(self._values, self.tenant)) as entries:
                async for entry in entries:
                    if entry.key.endswith(f"/{HEAD}"):
                        continue
                    if check.feed(entry.key, entry.value) is not None:
                        break
                    if progress is not None:
                        progress(check.rows, max(total, check.rows))
        except CorruptState as error:
            check.refuse(str(error.context.get("key", "")), error.message)
        return check.finish(hint.value if hint is not None else None)

    async def _iterate(self, after: int) -> AsyncGenerator[AuditRow]:
        async with aclosing(scan_blocks(self._values, self.tenant, after=after)) as entries:
            async for entry in entries:
                if read_seq(entry.key) is not None:
                    for row in read_block(entry):
                        yield row

    async def _read_hint(self) -> AuditHead:
        entry = await self._values.get(build_prefix(self.tenant) + HEAD)
        if entry is not None:
            with suppress(CorruptState):  # it is a hint; `verify` says what is wrong with it
                return read_head(entry.value)
        return AuditHead(seq=0, hash="")

    async def _write_group(self) -> None:
        """Write what waits, as much as fits into one block, behind the end of the chain."""
        group = list(self._waiting)[:MAX_ROWS]
        try:
            if self._unsure is not None and await self._settle_unsure(self._unsure):
                return
            await self._write(group)
        except QuorateError as error:
            # All of them would meet the same, one after the other.
            self._end = self._unsure = None
            for slot in group:
                slot.error = error
                self._drop(slot)
            return
        await self._note_end()

    async def _write(self, group: list[_Slot]) -> None:
        end = self._end if self._end is not None else await self._open()
        for _ in range(TRIES):
            rows, value = build_block([slot.draft for slot in group], seq=end.seq, previous=end.hash, key=self._key)
            attempt = self._unsure = _Attempt(group, rows, build_key(self.tenant, end.seq + 1), value)
            try:
                await self._put(attempt)
            except Conflict:
                self._unsure = None
                end = self._end = await find_end(self._values, self.tenant, begin=end)
                continue
            self._settle(attempt)
            return
        raise Unavailable(f"Others were quicker {TRIES} times at writing an audit row: try again.")

    async def _put(self, attempt: _Attempt) -> None:
        """Store a block where nothing is; after a lost connection, look whether it is there."""
        try:
            await self._values.put(attempt.key, attempt.value, if_revision=0)
        except Unavailable:
            entry = await self._values.get(attempt.key)
            if entry is None or entry.value != attempt.value:
                raise

    async def _settle_unsure(self, attempt: _Attempt) -> bool:
        """Find out whether what somebody was cancelled over was written."""
        entry = await self._values.get(attempt.key)
        if entry is None or entry.value != attempt.value:
            self._unsure = None
            return False
        self._settle(attempt)
        return True

    def _settle(self, attempt: _Attempt) -> None:
        self._unsure = None
        for slot, row in zip(attempt.slots, attempt.rows, strict=False):
            slot.row = row
            self._drop(slot)
        last = attempt.rows[-1]
        keyed_from = self._end.keyed_from if self._end is not None else 0
        if not keyed_from and is_keyed(last.hash):
            keyed_from = attempt.rows[0].seq
        self._end = AuditHead(seq=last.seq, hash=last.hash, keyed_from=keyed_from)

    async def _open(self) -> AuditHead:
        """Find the end, and note that there is a chain before there is one: then its absence tells something."""
        hint = await self._read_hint()
        if not hint.hash:
            with suppress(Conflict):
                await self._values.put(build_prefix(self.tenant) + HEAD, self._encode_head(hint), if_revision=0)
        self._noted = hint.seq
        end = self._end = await find_end(self._values, self.tenant, begin=hint)
        return end

    async def _note_end(self) -> None:
        """Note where the chain ends, unless whoever comes next will."""
        end = self._end
        if end is None or (self._waiting and end.seq - self._noted < HEAD_EVERY):
            return
        name, value = build_prefix(self.tenant) + HEAD, self._encode_head(end)
        with suppress(QuorateError):  # the rows are committed, and this is a hint
            try:
                self._hint = (await self._values.put(name, value, if_revision=self._hint)).revision
            except Conflict:
                stored = await self._values.get(name)
                self._hint = stored.revision if stored is not None else 0
                # A head that cannot be read is left as it is, for `verify` to see.
                if stored is None or read_head(stored.value).seq < end.seq:
                    self._hint = (await self._values.put(name, value, if_revision=self._hint)).revision
        self._noted = end.seq

    def _drop(self, slot: _Slot) -> None:
        with suppress(ValueError):  # it was written, or whoever waited for it was cancelled
            self._waiting.remove(slot)

    def _encode_head(self, head: AuditHead) -> bytes:
        return msgspec.json.encode(seal_head(structs.replace(head, mac=""), self._key))
