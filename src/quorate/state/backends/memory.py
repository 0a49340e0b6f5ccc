"""How is everything kept in memory, for scripts and tests?"""

from __future__ import annotations

import bisect
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count, islice, takewhile

from msgspec import structs

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import Fenced, NotFound
from quorate.events import NOTICES, AnyEvent, RunSummary, Status, get_kind, summarize
from quorate.ports import BlobInfo, Entry, Lease, Notice, RunOrder, Store
from quorate.state.backends._checks import (
    MAX_CHUNK,
    build_key_conflict,
    build_page_conflict,
    build_run_conflict,
    can_judge,
    check_blob_name,
    check_key,
    check_text,
    check_value,
    is_living,
)


class MemoryLog:
    """A `Log` that lasts as long as the process, or as whoever holds it."""

    __slots__ = ("_outbox", "_runs")

    def __init__(self, outbox: MemoryOutbox | None = None) -> None:
        self._runs: dict[str, list[AnyEvent]] = {}
        self._outbox = outbox

    async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
        """Add events; see `quorate.ports.Log`."""
        stored = self._runs.get(run, [])
        if len(stored) != expected:
            raise build_run_conflict(run, len(stored), expected)
        if events:
            stored += events
            self._runs[run] = stored
            if self._outbox is not None:
                self._outbox.note(summarize(None, stored[:1]), events)

    async def read(self, run: str, *, after: int = 0, limit: int | None = None) -> list[AnyEvent]:
        """Return events after a position; see `quorate.ports.Log`."""
        return self._runs.get(run, [])[after : None if limit is None else after + limit]

    async def read_many(self, runs: Sequence[str]) -> dict[str, list[AnyEvent]]:
        """Return the whole logs of several runs; see `quorate.ports.Log`."""
        return {run: list(self._runs[run]) for run in runs if self._runs.get(run)}

    async def last(self, run: str) -> int:
        """Return the last position; see `quorate.ports.Log`."""
        return len(self._runs.get(run, ()))

    async def list_runs(
        self,
        *,
        status: Status | None = None,
        agent: str | None = None,
        session: str | None = None,
        tenant: str | None = None,
        order: RunOrder = "newest",
        before: str | None = None,
        limit: int = 50,
    ) -> list[RunSummary]:
        """List runs; see `quorate.ports.Log`."""
        wanted = {"status": status, "agent": agent, "session": session, "tenant": tenant}
        found = [
            summary
            for summary in self.summaries()
            if all(value is None or getattr(summary, name) == value for name, value in wanted.items())
        ]
        found.sort(key=lambda one: _place(one, order), reverse=order != "oldest")
        if before is None:
            return found[:limit]
        if order != "updated":
            return [one for one in found if (one.run > before if order == "oldest" else one.run < before)][:limit]
        mark = summarize(None, self._runs.get(before, ()))
        if mark is None:
            raise build_page_conflict(before)
        return [one for one in found if _place(one, order) < _place(mark, order)][:limit]

    async def delete(self, run: str) -> bool:
        """Forget a run; see `quorate.ports.Log`."""
        return bool(self._runs.pop(run, None))

    def summaries(self) -> list[RunSummary]:
        """Fold every run."""
        folded = (summarize(None, events) for events in self._runs.values())
        return [summary for summary in folded if summary is not None]


def _place(summary: RunSummary, order: RunOrder) -> tuple[float, str]:
    return (summary.updated if order == "updated" else 0.0, summary.run)


class MemoryOutbox:
    """An `Outbox` that lasts as long as the process."""

    def __init__(self, *, kept: bool) -> None:
        self._kept = kept
        self._notices: dict[int, Notice] = {}
        self._ids = count(1)

    def note(self, beginning: RunSummary | None, events: Sequence[AnyEvent]) -> None:
        """Keep a notice for each event that others want to hear of."""
        for event in events if self._kept else ():
            if isinstance(event, NOTICES):
                number, tenant = next(self._ids), beginning.tenant if beginning is not None else ""
                self._notices[number] = Notice(
                    id=number, run=event.run, seq=event.seq, kind=get_kind(event), tenant=tenant
                )

    async def pending(self, *, limit: int = 100) -> list[Notice]:
        """Return what was not told yet; see `quorate.ports.Outbox`."""
        return list(self._notices.values())[:limit]

    async def done(self, ids: Sequence[int]) -> None:
        """Mark notices as told; see `quorate.ports.Outbox`."""
        for number in ids:
            self._notices.pop(number, None)


class MemoryValues:
    """A `KeyValue` that lasts as long as the process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: dict[str, Entry] = {}
        self._keys: list[bytes] = []
        self._revisions = count(1)

    async def get(self, key: str) -> Entry | None:
        """Return an entry; see `quorate.ports.KeyValue`."""
        return self._find(check_key(key))

    async def put(self, key: str, value: bytes, *, if_revision: int | None = None, ttl_s: float | None = None) -> Entry:
        """Store a value; see `quorate.ports.KeyValue`."""
        check_value(check_key(key), value)
        self._check(key, if_revision)
        now = self._clock.now()
        entry = Entry(
            key=key,
            value=bytes(value),
            revision=next(self._revisions),
            updated=now,
            expires=None if ttl_s is None else now + ttl_s,
        )
        if key not in self._entries:
            bisect.insort(self._keys, key.encode())
        self._entries[key] = entry
        return entry

    async def delete(self, key: str, *, if_revision: int | None = None) -> bool:
        """Forget a key; see `quorate.ports.KeyValue`."""
        self._check(check_key(key), if_revision)
        found = self._find(key) is not None
        self._drop(key)
        return found

    async def scan(self, prefix: str, *, after: str = "", limit: int = 100) -> list[Entry]:
        """Return entries in order; see `quorate.ports.KeyValue`."""
        begin, behind = check_text(prefix, "prefix").encode(), check_text(after, "key").encode()
        first = max(bisect.bisect_left(self._keys, begin), bisect.bisect_right(self._keys, behind))
        keys = (key.decode() for key in takewhile(lambda key: key.startswith(begin), self._keys[first:]))
        return list(islice((entry for key in keys if not self._is_gone(entry := self._entries[key])), limit))

    def _find(self, key: str) -> Entry | None:
        entry = self._entries.get(key)
        if entry is not None and self._is_gone(entry):
            self._drop(key)
            return None
        return entry

    def _is_gone(self, entry: Entry) -> bool:
        return entry.expires is not None and entry.expires <= self._clock.now()

    def _drop(self, key: str) -> None:
        if self._entries.pop(key, None) is not None:
            self._keys.remove(key.encode())

    def _check(self, key: str, if_revision: int | None) -> None:
        entry = self._find(key)
        revision = entry.revision if entry is not None else 0
        if if_revision is not None and revision != if_revision:
            raise build_key_conflict(key, revision, if_revision)


class MemoryBlobs:
    """A `Blobs` that lasts as long as the process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._blobs: dict[str, tuple[bytes, float]] = {}

    async def put(self, name: str, chunks: AsyncIterable[bytes]) -> int:
        """Store bytes; see `quorate.ports.Blobs`."""
        check_blob_name(name)
        body = b"".join([chunk async for chunk in chunks])
        self._blobs[name] = (body, self._clock.now())
        return len(body)

    async def get(self, name: str) -> AsyncIterator[bytes]:
        """Yield bytes; see `quorate.ports.Blobs`."""
        if check_blob_name(name) not in self._blobs:
            raise NotFound(f"There is no blob {name!r}.", name=name)
        body, _ = self._blobs[name]
        for begin in range(0, len(body), MAX_CHUNK):
            yield body[begin : begin + MAX_CHUNK]

    async def delete(self, name: str) -> bool:
        """Forget a blob; see `quorate.ports.Blobs`."""
        return self._blobs.pop(check_blob_name(name), None) is not None

    async def list_blobs(self, prefix: str = "", *, after: str = "", limit: int = 1000) -> list[BlobInfo]:
        """List blobs; see `quorate.ports.Blobs`."""
        names = sorted(name for name in self._blobs if name.startswith(prefix) and name > after)[:limit]
        return [BlobInfo(name=name, size=len(self._blobs[name][0]), saved=self._blobs[name][1]) for name in names]


class MemoryLeases:
    """A `Leases` that lasts as long as the process."""

    def __init__(self, log: MemoryLog, clock: Clock) -> None:
        self._log = log
        self._now = clock.now
        self._leases: dict[str, Lease] = {}

    async def beat(self, owner: str, *, ttl_s: float, epoch: int = 0) -> Lease:
        """Begin or prolong a lease; see `quorate.ports.Leases`."""
        now, known = self._now(), self._leases.get(owner)
        if (known.epoch if known is not None else 0) != epoch:
            raise Fenced(f"Owner {owner!r} was declared dead: its runs may be others' now.", owner=owner)
        since = known.since if known is not None and is_living(known, now=now, ttl_s=ttl_s) else now
        lease = self._leases[owner] = Lease(owner=owner, epoch=epoch or 1, since=since, expires=now + ttl_s)
        return lease

    async def drop(self, owner: str) -> None:
        """End a lease; see `quorate.ports.Leases`."""
        self._leases.pop(owner, None)

    async def find_work(
        self, lease: Lease, *, ttl_s: float, limit: int = 10, agents: Sequence[str] | None = None
    ) -> list[RunSummary]:
        """Find runs to take; see `quorate.ports.Leases`."""
        now = self._now()
        summaries = [one for one in self._log.summaries() if agents is None or one.agent in agents]
        dead = self._declare_dead(lease, summaries, now=now, ttl_s=ttl_s)
        found = [one for one in summaries if _is_free(one, now=now, dead=dead)]
        return sorted(found, key=lambda one: one.run)[:limit]

    def _declare_dead(self, judge: Lease, summaries: Sequence[RunSummary], *, now: float, ttl_s: float) -> set[str]:
        """Find owners of what runs that have no living lease; none where `judge` may not say so."""
        stored = self._leases.get(judge.owner)
        if stored is None or stored.epoch != judge.epoch or not can_judge(stored, now=now, ttl_s=ttl_s):
            return set()
        dead = {one.owner for one in summaries if one.status == "running" and one.owner}
        for owner in dead & self._leases.keys():
            lease = self._leases[owner]
            if is_living(lease, now=now, ttl_s=ttl_s):
                dead.remove(owner)
            else:
                self._leases[owner] = structs.replace(lease, epoch=lease.epoch + 1)
        return dead

    async def list_leases(self) -> list[Lease]:
        """List the leases there are; see `quorate.ports.Leases`."""
        return sorted(self._leases.values(), key=lambda lease: lease.owner)


def _is_free(summary: RunSummary, *, now: float, dead: set[str]) -> bool:
    if summary.status == "waiting":
        return summary.wakes is not None and summary.wakes <= now
    return summary.status == "queued" or (summary.status == "running" and summary.owner in dead)


@asynccontextmanager
async def open_memory_store(*, clock: Clock = SYSTEM_CLOCK, outbox: bool = False) -> AsyncGenerator[Store]:
    """Open a store that keeps everything until the block ends.

    Args:
        clock: The store's time.
        outbox: Whether to keep notices of what others want to hear of.
    """
    kept = MemoryOutbox(kept=outbox)
    log = MemoryLog(kept)
    yield Store(
        name="memory",
        log=log,
        values=MemoryValues(clock),
        blobs=MemoryBlobs(clock),
        leases=MemoryLeases(log, clock),
        outbox=kept,
    )
