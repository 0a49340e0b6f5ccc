"""How are artifacts saved, found, read, shared and deleted?"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress

from msgspec import structs

from quorate.clock import Clock
from quorate.codec.json import encode
from quorate.errors import (
    Conflict,
    CorruptState,
    Forbidden,
    InvalidInput,
    NotFound,
    QuorateError,
    StorageFull,
    TooLarge,
)
from quorate.ids import check_id
from quorate.ports import ArtifactInfo, Blobs, Entry, KeyValue
from quorate.state.artifacts.access import Access, Caller, Record, Share, may_change, may_read, read_record
from quorate.state.artifacts.keys import KeyRing
from quorate.state.artifacts.names import (
    Keys,
    check_labels,
    check_media_type,
    check_name,
    is_handle,
    new_handle,
    read_version,
)
from quorate.state.artifacts.spool import Data, Spool, open_spool
from quorate.state.artifacts.together import run_together
from quorate.state.artifacts.vault import Held, Vault
from quorate.state.threads import Threads

MAX_BYTES = 100_000_000
COMPRESS_ABOVE = 10 << 10
MAX_SHARES = 100
TRIES = 50
AT_ONCE = 1 << 20
"""Up to how many bytes are written beside the rows about them, not before."""
LOOKED_BACK = 20
"""Among how many versions it is looked for what the same step saved before."""
TOMBSTONE_S = 30 * 86_400.0
"""How long a deleted last version keeps its number from being given again."""


class ArtifactStore:
    """Bytes with a name, a version and an owner, the same bytes of one tenant kept once.

    Everything is asked for on behalf of a `Caller`; what that one may not read is absent, in the same words.
    """

    def __init__(
        self,
        values: KeyValue,
        blobs: Blobs,
        *,
        clock: Clock,
        keys: KeyRing | None = None,
        max_bytes: int = MAX_BYTES,
        compress_above: int = COMPRESS_ABOVE,
    ) -> None:
        self.values = values
        self.clock = clock
        self.max_bytes = max_bytes
        """The most bytes an artifact may have."""
        self.threads = Threads()
        self.vault = Vault(values, blobs, clock=clock, threads=self.threads, keys=keys, compress_above=compress_above)
        """Where the bytes are."""
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    async def save(
        self,
        name: str,
        data: Data,
        *,
        caller: Caller,
        media_type: str = "",
        labels: Mapping[str, str] | None = None,
        access: Access | None = None,
        step: str = "",
    ) -> ArtifactInfo:
        """Keep bytes under a name, as its next version in the caller's session, run or principal.

        Args:
            name: What it is called; not a path, though it may have `/` in it.
            data: The bytes, or text, or pieces of bytes as they come.
            caller: Whose it is.
            media_type: Such as `text/csv`; `text/plain` for text when not given.
            labels: Whatever helps to find it.
            access: Who may read it; the session when there is one, else the run, else the principal.
            step: The key of the step that saves it: the same step with the same bytes gets the same artifact again.

        Raises:
            InvalidInput: The name, the media type or a label is not one.
            TooLarge: There are more bytes than may be kept; nothing is stored.
            StorageFull: There is no room; nothing is stored.
            Unavailable: The store cannot be reached.
        """
        default = "text/plain" if isinstance(data, str) else "application/octet-stream"
        draft = Record(
            info=ArtifactInfo(
                id="",
                name=check_name(name),
                version=0,
                media_type=check_media_type(media_type or default),
                size=0,
                digest="",
                created=0.0,
                tenant=check_id(caller.tenant, "tenant"),
                principal=caller.principal,
                run=check_id(caller.run, "run") if caller.run else "",
                session=check_id(caller.session, "session") if caller.session else "",
                labels=check_labels(labels),
            ),
            access=access or ("session" if caller.session else "run" if caller.run else "principal"),
            step=step,
        )
        _check_access(draft)
        async with open_spool(data, max_bytes=self.max_bytes, threads=self.threads) as spool:
            info = structs.replace(draft.info, size=spool.size, digest=spool.digest)
            draft = structs.replace(draft, info=info)
            for _ in range(TRIES):
                with suppress(Conflict):
                    return (await self._keep(draft, spool)).info
        raise Conflict(f"Artifact {name!r} could not be saved: others changed the same rows {TRIES} times.", name=name)

    async def find(self, artifact: str, *, caller: Caller, version: int | None = None) -> ArtifactInfo | None:
        """Find an artifact by its handle, or by its name among the caller's own; `None` if there is none.

        Args:
            artifact: A handle, or a name.
            caller: Who asks.
            version: Which version of the name; the last one when not given.
        """
        record = await self._find(artifact, caller, version)
        return record.info if record is not None else None

    async def show(self, artifact: str, *, caller: Caller) -> Record:
        """Return what is known of an artifact, with those it is shared with.

        Raises:
            NotFound: There is none, or it is not for the caller.
        """
        return (await self._get(artifact, caller))[0]

    async def open(self, artifact: ArtifactInfo | str, *, caller: Caller) -> AsyncGenerator[bytes]:
        """Yield an artifact's bytes, verified at the end: what was read counts only once it has ended.

        Raises:
            NotFound: There is none, or it is not for the caller.
            CorruptState: The bytes are not those that were saved.
        """
        handle = artifact if isinstance(artifact, str) else artifact.id
        info = (await self._get(handle, caller))[0].info
        pieces = self.vault.read(info.tenant, info.digest, size=info.size)
        try:
            async for piece in pieces:
                yield piece
        except CorruptState:
            await self._get(info.id, caller)  # it was deleted while it was read: then it is not there, and not corrupt
            raise
        finally:
            await pieces.aclose()

    async def load(self, artifact: ArtifactInfo | str, *, caller: Caller, max_bytes: int | None = None) -> bytes:
        """Return all of an artifact's bytes, verified; raises what `open` raises.

        Raises:
            TooLarge: There are more than `max_bytes`.
        """
        record = (await self._get(artifact if isinstance(artifact, str) else artifact.id, caller))[0]
        if max_bytes is not None and record.info.size > max_bytes:
            raise TooLarge(f"artifact {record.info.id!r} has {record.info.size} bytes, more than {max_bytes}: open it.")
        return b"".join([piece async for piece in self.open(record.info, caller=caller)])

    async def delete(self, artifact: str, *, caller: Caller) -> ArtifactInfo:
        """Forget an artifact, and its bytes when nothing else has them.

        Raises:
            NotFound: There is none, or it is not for the caller.
            Forbidden: The caller may read it only.
        """
        record, revision = await self._get(artifact, caller, change="delete")
        for _ in range(TRIES):
            with suppress(Conflict):
                await self._delete(record, revision)
                return record.info
            # It was shared meanwhile; or it is gone, since somebody else deleted it or swept what we left of it.
            entry = await self.values.get(Keys(record.info.tenant).of_handle(record.info.id))
            if entry is not None:
                record = read_record(entry)
            revision = entry.revision if entry is not None else 0
        raise Conflict(f"Artifact {artifact!r} was changed by others {TRIES} times: try again.")

    async def share(self, artifact: str, share: Share, *, caller: Caller) -> Record:
        """Let somebody else read an artifact; who was given it already is given it until the new time.

        Raises:
            NotFound: There is none, or it is not for the caller.
            Forbidden: The caller may read it only.
            InvalidInput: Nobody is named, or the time is over.
            TooLarge: It is shared with too many.
        """
        if (share.kind == "tenant") != (not share.who):
            raise InvalidInput(
                f"share {share.kind!r} with {share.who!r}: name a principal or a session, or a whole tenant."
            )
        if share.until is not None and share.until <= self.clock.now():
            raise InvalidInput("an artifact is shared until a time to come; this one is over.")
        if share.kind == "session":
            check_id(share.who, "session")
        for _ in range(TRIES):
            record, revision = await self._get(artifact, caller, change="share")
            now = self.clock.now()
            others = [s for s in record.shares if not _is_same(s, share) and (s.until is None or s.until > now)]
            if len(others) >= MAX_SHARES:
                raise TooLarge(f"artifact {artifact!r} is shared with {MAX_SHARES} already: take some back.")
            keys, info = Keys(record.info.tenant), record.info
            ttl_s = None if share.until is None else share.until - now
            await self.values.put(keys.of_share(share.kind, share.who, info.id), b"", ttl_s=ttl_s)
            with suppress(Conflict):
                return await self._put(structs.replace(record, shares=(*others, share)), revision)
        raise Conflict(f"Artifact {artifact!r} was changed by others {TRIES} times: try again.")

    async def unshare(self, artifact: str, share: Share, *, caller: Caller) -> bool:
        """Take a share back; say whether there was one. Raises what `share` raises of the artifact."""
        for _ in range(TRIES):
            record, revision = await self._get(artifact, caller, change="share")
            left = tuple(s for s in record.shares if not _is_same(s, share))
            if len(left) == len(record.shares):
                return False
            with suppress(Conflict):
                await self._put(structs.replace(record, shares=left), revision)
                await self.values.delete(Keys(record.info.tenant).of_share(share.kind, share.who, record.info.id))
                return True
        raise Conflict(f"Artifact {artifact!r} was changed by others {TRIES} times: try again.")

    async def _delete(self, record: Record, revision: int) -> None:
        """Take the rows away in the order in which half of it shows no artifact without its bytes."""
        info, keys = record.info, Keys(record.info.tenant)
        own = keys.of_version(record.home, info.name, info.version)
        kept = await self.values.get(own)
        if kept is not None and kept.value:
            last = await self.values.scan(keys.of_name(record.home, info.name), limit=1)
            if last and last[0].key == own:
                await self.values.put(own, b"", if_revision=kept.revision, ttl_s=TOMBSTONE_S)
            else:
                await self.values.delete(own)
        await self.values.delete(keys.of_handle(info.id), if_revision=revision)
        if info.run and info.session:
            await self.values.delete(keys.of_run(info.run, info.id))
        for share in record.shares:
            await self.values.delete(keys.of_share(share.kind, share.who, info.id))
        await self.vault.sweep(info.tenant, info.digest)

    async def _keep(self, draft: Record, spool: Spool) -> Record:
        """Keep bytes and write the rows that name them, in an order that survives a crash after each.

        Raises:
            Conflict: Somebody else changed one of the rows; nothing is left, begin anew.
        """
        tenant, home, name = draft.info.tenant, draft.home, draft.info.name
        async with self._lock(f"{tenant}/{spool.digest}"):
            held = await self.vault.hold(tenant, spool)
            if spool.size > AT_ONCE:
                held = await self.vault.write(tenant, held, spool)
            async with self._lock(f"{tenant}/{home}/{name}"):
                version, repeated = await self._find_repeated(draft)
                if repeated is not None:
                    await self.vault.discard(held)
                    return repeated
                now, handle = self.clock.now(), new_handle(held.row.ref)
                info = structs.replace(draft.info, id=handle, version=version + 1, created=now)
                return await self._commit(structs.replace(draft, info=info), held, spool)

    async def _commit(self, record: Record, held: Held, spool: Spool) -> Record:
        info, keys, encoded = record.info, Keys(record.info.tenant), encode(record)
        own = keys.of_version(record.home, info.name, info.version)

        async def write() -> None:
            nonlocal held
            if spool.size <= AT_ONCE:
                held = await self.vault.write(info.tenant, held, spool)

        works = [write(), self.values.put(keys.of_handle(info.id), encoded, if_revision=0)]
        if info.session and info.run:
            works.append(self.values.put(keys.of_run(info.run, info.id), encoded))
        try:
            # Nothing leads to any of them yet, so they may be written in any order: a store commits them together.
            await run_together(works)
        except QuorateError:
            await self._take_back(record)
            await self.vault.discard(held)
            raise
        # From here on, what was surely not written is taken back; where nobody knows, sweeping finds out and decides.
        try:
            await self.vault.confirm(info.tenant, info.digest, held)
        except (Conflict, StorageFull):
            await self._take_back(record)
            await self.vault.discard(held)
            raise
        try:
            await self.values.put(own, encoded, if_revision=0)
        except (Conflict, StorageFull):
            await self._take_back(record)
            await self.vault.sweep(info.tenant, info.digest)
            raise
        return record

    async def _take_back(self, record: Record) -> None:
        info, keys = record.info, Keys(record.info.tenant)
        with suppress(QuorateError):  # what fails here is left to be swept; why it is taken back matters more
            if info.session and info.run:
                await self.values.delete(keys.of_run(info.run, info.id))
            await self.values.delete(keys.of_handle(info.id))

    async def _find_repeated(self, draft: Record) -> tuple[int, Record | None]:
        """Find the number of the last version, and what the same step saved of the same before."""
        prefix = Keys(draft.info.tenant).of_name(draft.home, draft.info.name)
        found = await self.values.scan(prefix, limit=LOOKED_BACK if draft.step else 1)
        if not found:
            return 0, None
        records = (read_record(entry) for entry in found if entry.value)
        return read_version(found[0].key), next((r for r in records if draft.step and _is_repeated(r, draft)), None)

    async def _find(self, artifact: str, caller: Caller, version: int | None) -> Record | None:
        if is_handle(artifact):
            found = await self._read(artifact, caller)
            return found[0] if found is not None and version in (None, found[0].info.version) else None
        try:
            keys, name = Keys(caller.tenant), check_name(artifact)
        except InvalidInput:
            return None
        if version is not None:
            entry = await self.values.get(keys.of_version(caller.home, name, version)) if 0 < version < 10**10 else None
            return self._admit(entry, caller)
        after = ""
        while found := await self.values.scan(keys.of_name(caller.home, name), after=after, limit=10):
            for entry in found:
                record = self._admit(entry, caller)
                if record is not None:
                    return record
            after = found[-1].key
        return None

    def _admit(self, entry: Entry | None, caller: Caller) -> Record | None:
        record = read_record(entry) if entry is not None and entry.value else None
        return record if record is not None and may_read(record, caller, now=self.clock.now()) else None

    async def _read(self, handle: str, caller: Caller) -> tuple[Record, int] | None:
        entry = await self.values.get(Keys(caller.tenant).of_handle(handle))
        record = self._admit(entry, caller)
        return (record, entry.revision) if entry is not None and record is not None else None

    async def _get(self, artifact: str, caller: Caller, *, change: str = "") -> tuple[Record, int]:
        """Return an artifact and its revision, by handle or name.

        Raises:
            NotFound: There is none, or it is not for the caller.
            Forbidden: The caller may not do what `change` says.
        """
        handle = artifact
        if not is_handle(artifact):
            named = await self._find(artifact, caller, None)
            handle = named.info.id if named is not None else ""
        found = await self._read(handle, caller) if handle else None
        if found is None:
            raise NotFound(f"There is no artifact {artifact!r}: list them with `quorate artifacts list`.")
        if change and not may_change(found[0], caller):
            raise Forbidden(f"You may read artifact {artifact!r}, but not {change} it: ask whoever saved it.")
        return found

    async def _put(self, record: Record, revision: int) -> Record:
        await self.values.put(Keys(record.info.tenant).of_handle(record.info.id), encode(record), if_revision=revision)
        return record

    def _lock(self, name: str) -> asyncio.Lock:
        """Let those of this process who change the same rows wait for each other instead of trying again."""
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        return lock


def _check_access(draft: Record) -> None:
    info, access = draft.info, draft.access
    if (access == "session" and not info.session) or (access == "run" and not info.run):
        raise InvalidInput(f"access {access!r} needs a {access}, and artifact {info.name!r} is saved without one.")


def _is_same(one: Share, other: Share) -> bool:
    return (one.kind, one.who) == (other.kind, other.who)


def _is_repeated(last: Record, draft: Record) -> bool:
    """Whether the same step saved the same before."""
    a, b = last.info, draft.info
    return (last.step, a.run, a.digest, a.media_type, a.labels) == (draft.step, b.run, b.digest, b.media_type, b.labels)
