"""What does one opened database keep, and what does each of its parts promise?"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from quorate.events import AnyEvent, RunSummary, Status

RunOrder = Literal["newest", "oldest", "updated"]
"""How runs are listed: by birth, youngest or oldest first, or by what happened to them last, latest first."""


class Log(Protocol):
    """The append-only record of runs: the one truth about them."""

    async def append(self, run: str, events: Sequence[AnyEvent], *, expected: int) -> None:
        """Add events to a run whose last `seq` is `expected`; all of them durably, or none.

        The events bear the numbers `expected + 1`, `expected + 2`, … already.

        Raises:
            Conflict: The last `seq` is another one.
            StorageFull: There is no room; nothing was written.
            Unavailable: The store cannot be reached; look before appending again.
        """
        ...

    async def read(self, run: str, *, after: int = 0, limit: int | None = None) -> list[AnyEvent]:
        """Return events with `seq` greater than `after`, in order; none when the run is unknown.

        Raises:
            CorruptState: A row does not verify; the message says which.
        """
        ...

    async def read_many(self, runs: Sequence[str]) -> dict[str, list[AnyEvent]]:
        """Return the whole logs of several runs in one go, by run; unknown ones are left out.

        Raises:
            CorruptState: A row does not verify; the message says which.
        """
        ...

    async def last(self, run: str) -> int:
        """Return the run's last `seq`; 0 when the run is unknown."""
        ...

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
        """List runs that match all that is given; `before` is the last run id of the page before, in the same order.

        Orders are whole: runs that are alike in what they are sorted by follow each other by id.
        A page behind a run that is gone begins where it would have been, by birth; `Conflict` with `order="updated"`.
        """
        ...

    async def delete(self, run: str) -> bool:
        """Forget a run and all its events; say whether there was one. Later appends to it conflict at 0."""
        ...


class Entry(Struct, frozen=True, kw_only=True, gc=False):
    """A stored value and what the store knows of it."""

    key: str
    value: bytes
    revision: int
    """Grows with every change anywhere in the store, so that a value that was deleted and put again is another one."""
    updated: float
    """The store's wall time of the last change."""
    expires: float | None = None
    """The store's wall time from which on it is gone."""


class KeyValue(Protocol):
    """Small values by key; each change is atomic and durable, and names the revision it goes from where that matters.

    A key is 1 to 512 bytes of UTF-8 without NUL; values have at most 1 MiB. What has expired is absent everywhere, by
    the store's own time.
    """

    async def get(self, key: str) -> Entry | None:
        """Return what is stored under a key, or `None`.

        Raises:
            CorruptState: It does not verify.
        """
        ...

    async def put(self, key: str, value: bytes, *, if_revision: int | None = None, ttl_s: float | None = None) -> Entry:
        """Store a value and return its entry; with `if_revision`, only over that very revision (0: where nothing is).

        Raises:
            Conflict: Another revision is there; `context["revision"]` says which.
            InvalidInput: The key is not one.
            TooLarge: The value has more than 1 MiB.
            StorageFull: There is no room; nothing was written.
            Unavailable: The store cannot be reached; look before trying again.
        """
        ...

    async def delete(self, key: str, *, if_revision: int | None = None) -> bool:
        """Forget a key and say whether it was there; with `if_revision`, only that very revision.

        Raises:
            Conflict: Another revision is there.
        """
        ...

    async def scan(self, prefix: str, *, after: str = "", limit: int = 100) -> list[Entry]:
        """Return entries whose keys begin with `prefix`, ordered by the keys' bytes; those behind `after` only."""
        ...


class BlobInfo(Struct, frozen=True, kw_only=True, gc=False):
    """What a store of bytes tells about a blob."""

    name: str
    size: int
    saved: float
    """The store's wall time."""


class Blobs(Protocol):
    """Bytes by name, of any size, moved in pieces; a blob is there as a whole or not at all.

    A name is 1 to 255 of `a-z`, `0-9`, `-`, `_`, `.` and `/`, no part empty or beginning with a dot.
    """

    async def put(self, name: str, chunks: AsyncIterable[bytes]) -> int:
        """Store bytes under a name and return how many; what was there is replaced at the end, at once.

        Raises:
            InvalidInput: The name is not one.
            StorageFull: There is no room; nothing is stored.
            Unavailable: The store cannot be reached.
        """
        ...

    def get(self, name: str) -> AsyncIterator[bytes]:
        """Yield the bytes of a blob in pieces of at most 1 MiB.

        Raises:
            NotFound: There is none, or it was deleted while it was read.
            CorruptState: A piece does not verify.
        """
        ...

    async def delete(self, name: str) -> bool:
        """Forget a blob and say whether there was one."""
        ...

    async def list_blobs(self, prefix: str = "", *, after: str = "", limit: int = 1000) -> list[BlobInfo]:
        """List blobs whose names begin with `prefix`, ordered by name, those behind `after` only."""
        ...


class Lease(Struct, frozen=True, kw_only=True, gc=False):
    """That an owner of runs is alive, by the store's time."""

    owner: str
    epoch: int
    """Grows when somebody else declared the owner dead."""
    since: float
    """Since when it has been beating without a gap."""
    expires: float
    """Until when it counts as alive unless it beats again."""


class Leases(Protocol):
    """Who is alive, and which runs nobody works on; all times are the store's own."""

    async def beat(self, owner: str, *, ttl_s: float, epoch: int = 0) -> Lease:
        """Begin a lease (`epoch` 0), or prolong the one of that epoch, to `ttl_s` from now.

        A beat that comes after the lease had run out begins a new `since`: after an outage everybody looks dead, and
        nobody may say so of others before having been alive for a whole `ttl_s`.

        Raises:
            Fenced: Somebody declared this owner dead: its runs may be others' now. Begin with another owner id.
            Unavailable: The store cannot be reached.
        """
        ...

    async def drop(self, owner: str) -> None:
        """End a lease: what its owner left behind is anybody's at once."""
        ...

    async def find_work(
        self, lease: Lease, *, ttl_s: float, limit: int = 10, agents: Sequence[str] | None = None
    ) -> list[RunSummary]:
        """Find runs that the owner of `lease` may take, oldest first; with `agents`, only those of these agents.

        Those that are queued; those that wait and whose `wakes` has come; and, once `lease` has lasted for `ttl_s`,
        those that run under an owner without a living lease, which is declared dead by this (its epoch grows).
        A run that was never owned (`owner` empty) is left alone. Finding takes nothing: whoever appends the next
        attempt first has the run.
        A lease counts as living while `now <= expires <= now + ttl_s`: one from before a clock was set back does not.
        """
        ...

    async def list_leases(self) -> list[Lease]:
        """List the leases there are, living or not, by owner."""
        ...


class Notice(Struct, frozen=True, kw_only=True, gc=False):
    """That something others want to hear of was recorded; written in the same transaction as the event itself."""

    id: int
    run: str
    seq: int
    kind: str
    tenant: str
    """Empty when the run's beginning is not in the same log."""


class Outbox(Protocol):
    """What was recorded and has not been told yet; kept only where the store was opened with an outbox."""

    async def pending(self, *, limit: int = 100) -> list[Notice]:
        """Return notices that were not marked as told, oldest first."""
        ...

    async def done(self, ids: Sequence[int]) -> None:
        """Mark notices as told; unknown ones do no harm."""
        ...


class Store(Struct, frozen=True, kw_only=True):
    """Everything that one opened database keeps."""

    name: str
    """What it is, for people: `memory`, a file, or a server's address without its password."""
    log: Log
    values: KeyValue
    blobs: Blobs
    leases: Leases
    outbox: Outbox
    check: Callable[[], Awaitable[None]] | None = None
    """Returns if its tables are what this version needs, else raises one of our errors; none where they stay so."""
    bind: Callable[[Store, str], Store] | None = None
    """Returns a store of this one whose reads find a tenant's rows alone, whatever they ask; none where none does."""
