"""Where are the bytes of artifacts, the same bytes of one tenant once, and when do they go?

Bytes are kept under a name that is used once, and a row under their digest says which (`BlobRow`). All of this is
ordered by the row's revision, and by no clock:

- Whoever saves first writes the artifact, which names the row's `ref`, and then changes the row. Whoever sweeps first
  reads the row, then looks whether any artifact names its `ref`, and clears exactly the revision that was read. Of the
  two changes one comes first, and the other one fails and begins anew.
- A blob that no row names is deleted only behind a change of the row that would have named it.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing, suppress
from functools import partial

import msgspec
from msgspec import Struct, structs

from quorate.clock import Clock
from quorate.codec.json import encode
from quorate.errors import Conflict, CorruptState, InvalidInput, NotFound, QuorateError
from quorate.ports import Blobs, KeyValue
from quorate.state.artifacts.keys import KeyRing
from quorate.state.artifacts.names import Keys, new_ref
from quorate.state.artifacts.sealing import PIECE, Opener, Sealer, is_compressible
from quorate.state.artifacts.spool import Spool
from quorate.state.threads import Threads


class BlobRow(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """Where the bytes of a digest are."""

    blob: str
    """The name of the blob; empty for a while after one that no row named was deleted."""
    ref: str
    """What the handles of all artifacts with these bytes begin with."""
    size: int
    stored: int = 0
    """Bytes of the blob."""
    key: str = ""
    """The id of the key that it is encrypted with; empty when it is not."""
    touched: float = 0.0
    """When the same bytes were last saved."""


class Held(Struct, frozen=True, kw_only=True, gc=False):
    """A row and its revision; 0 for one that is not stored yet."""

    row: BlobRow
    revision: int = 0
    is_new: bool = False
    """Whether its blob was written just now and no row names it yet."""
    replaces: str = ""
    """The blob that goes when the row names this one."""


_CLEARED_S = 86_400.0
"""How long a row without a blob stays: longer than any save takes."""
_BLOB_NAME = re.compile(r"([a-z0-9-]+)/([0-9a-f]{64})-[0-9a-f]{16}", re.ASCII)
_decode_row = msgspec.json.Decoder(BlobRow).decode


class Vault:
    """The bytes of all tenants, by digest."""

    def __init__(
        self,
        values: KeyValue,
        blobs: Blobs,
        *,
        clock: Clock,
        threads: Threads,
        keys: KeyRing | None = None,
        compress_above: int,
    ) -> None:
        self.values = values
        self.blobs = blobs
        self.clock = clock
        self.threads = threads
        self.keys = keys
        self._compress_above = compress_above

    async def find(self, tenant: str, digest: str) -> Held | None:
        """Find the row of a digest, or `None`.

        Raises:
            CorruptState: It does not verify.
        """
        key = Keys(tenant).of_blob(digest)
        entry = await self.values.get(key)
        return None if entry is None else Held(row=read_row(entry.value, key), revision=entry.revision)

    async def hold(self, tenant: str, spool: Spool) -> Held:
        """Find where bytes are kept, or plan where to: `write` keeps them, and nothing names them before `confirm`.

        Raises:
            InvalidInput: They are kept encrypted, and there are no keys to read them with.
        """
        held = await self.find(tenant, spool.digest)
        if held is None:
            return Held(row=self._plan(tenant, spool.digest, spool.size), is_new=True)
        if held.row.key and self.keys is None:
            raise InvalidInput(
                f"the same bytes are kept encrypted with key {held.row.key!r}, and no key ring is given: give it."
            )
        if held.row.blob and (held.row.key or self.keys is None):
            return held
        row = self._plan(tenant, spool.digest, spool.size)
        if held.row.blob:
            # What is already named keeps its ref: it is kept anew only because it was not encrypted.
            row = structs.replace(row, ref=held.row.ref)
        return Held(row=row, revision=held.revision, is_new=True, replaces=held.row.blob)

    async def write(self, tenant: str, held: Held, spool: Spool) -> Held:
        """Keep bytes where that was planned, unless they are there already.

        Raises:
            StorageFull: There is no room.
        """
        if not held.is_new:
            return held
        compress = spool.size > self._compress_above and is_compressible(spool.head)
        row = await self._write(tenant, spool.digest, held.row, spool.read(), compress=compress)
        return structs.replace(held, row=row)

    async def confirm(self, tenant: str, digest: str, held: Held) -> None:
        """Say that an artifact with the row's `ref` was written.

        Raises:
            Conflict: The row was changed or deleted meanwhile: take the artifact back and begin anew.
        """
        key, now = Keys(tenant).of_blob(digest), self.clock.now()
        row = structs.replace(held.row, touched=now)
        await self.values.put(key, encode(row), if_revision=held.revision)
        if held.replaces:
            with suppress(QuorateError):  # it is swept otherwise
                await self.blobs.delete(held.replaces)

    async def discard(self, held: Held) -> None:
        """Delete a blob that was written just now and that nothing names; what fails is left to be swept."""
        if held.is_new:
            with suppress(QuorateError):
                await self.blobs.delete(held.row.blob)

    async def read(self, tenant: str, digest: str, *, size: int) -> AsyncGenerator[bytes]:
        """Yield bytes in pieces, and verify them at the end.

        Raises:
            CorruptState: They are not those that were saved, or are gone.
        """
        given, before = 0, ""
        hashed = hashlib.sha256()
        while True:
            held = await self.find(tenant, digest)
            if held is None or not held.row.blob or held.row.blob == before:
                raise CorruptState(f"The bytes of {digest} are gone: restore them from a backup.", digest=digest)
            before, skip = held.row.blob, given
            try:
                async with aclosing(self._open(held.row, build_place(tenant, digest), size=size)) as pieces:
                    async for piece in pieces:
                        if skip >= len(piece):
                            skip -= len(piece)
                            continue
                        fresh, skip = piece[skip:], 0
                        given += len(fresh)
                        await self.threads.compute(partial(hashed.update, fresh), size=len(fresh))
                        yield fresh
                break
            except NotFound:
                continue  # they were encrypted anew meanwhile: go on where that is
        if hashed.hexdigest() != digest:
            raise CorruptState(
                f"The bytes kept as {digest} are others than those that were saved. Restore them from a backup.",
                digest=digest,
            )

    async def sweep(self, tenant: str, digest: str, *, before: float | None = None) -> int | None:
        """Delete bytes that no artifact names; return how many, `None` when they stay.

        Args:
            tenant: Whose.
            digest: Which.
            before: Only when they were last saved before this time.
        """
        held = await self.find(tenant, digest)
        if held is None or not held.row.blob or (before is not None and held.row.touched >= before):
            return None
        if await self.values.scan(Keys(tenant).of_ref(held.row.ref), limit=1):
            return None
        if not await self._clear(tenant, digest, held.revision):
            return None
        await self.blobs.delete(held.row.blob)
        return held.row.stored

    async def sweep_stray(self, tenant: str, name: str) -> bool:
        """Delete a blob unless the row of its digest names it; say whether it was deleted.

        A name that no artifact's bytes can have is left alone: it is somebody else's.
        """
        match = _BLOB_NAME.fullmatch(name)
        if match is None or match[1] != tenant:
            return False
        held = await self.find(tenant, match[2])
        if held is not None and held.row.blob == name:
            return False
        # Whoever was about to name it fails at this change, and keeps the bytes anew.
        if held is None or not held.row.blob:
            changed = await self._clear(tenant, match[2], held.revision if held is not None else 0)
        else:
            changed = await self._touch(tenant, match[2], held)
        if not changed:
            return False
        await self.blobs.delete(name)
        return True

    async def _clear(self, tenant: str, digest: str, revision: int) -> bool:
        """Let a row name nothing, unless it was changed; say whether it does.

        It is not deleted: where there was no row, and is none again, whoever began in between would notice nothing.
        """
        row = BlobRow(blob="", ref=new_ref(), size=0)
        try:
            await self.values.put(Keys(tenant).of_blob(digest), encode(row), if_revision=revision, ttl_s=_CLEARED_S)
        except Conflict:
            return False
        return True

    async def _touch(self, tenant: str, digest: str, held: Held) -> bool:
        try:
            await self.values.put(Keys(tenant).of_blob(digest), encode(held.row), if_revision=held.revision)
        except Conflict:
            return False
        return True

    async def reseal(self, tenant: str, digest: str) -> bool:
        """Encrypt bytes anew with the newest key; say whether that was needed.

        Raises:
            CorruptState: They do not verify.
            Conflict: They were changed meanwhile: try again.
        """
        held = await self.find(tenant, digest)
        newest = self.keys.newest if self.keys is not None else ""
        if held is None or not held.row.blob or held.row.key == newest or not newest:
            return False
        old = held.row
        compress = old.size > self._compress_above and old.stored < old.size
        planned = structs.replace(self._plan(tenant, digest, old.size), ref=old.ref, touched=old.touched)
        pieces = self.read(tenant, digest, size=old.size)
        row = await self._write(tenant, digest, planned, pieces, compress=compress)
        try:
            await self.values.put(Keys(tenant).of_blob(digest), encode(row), if_revision=held.revision)
        except BaseException:
            await self.discard(Held(row=row, is_new=True))
            raise
        await self.blobs.delete(old.blob)
        return True

    def _plan(self, tenant: str, digest: str, size: int) -> BlobRow:
        name = f"{build_place(tenant, digest)}-{secrets.token_hex(8)}"
        return BlobRow(blob=name, ref=new_ref(), size=size, key=self.keys.newest if self.keys is not None else "")

    async def _write(
        self, tenant: str, digest: str, row: BlobRow, pieces: AsyncIterable[bytes], *, compress: bool
    ) -> BlobRow:
        sealer = Sealer(build_place(tenant, digest), compress=compress, keys=self.keys)
        stored = await self.blobs.put(row.blob, self._seal(sealer, pieces))
        return structs.replace(row, stored=stored)

    async def _seal(self, sealer: Sealer, pieces: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
        ready = sealer.header
        async for piece in pieces:
            ready += await self.threads.compute(partial(sealer.feed, piece), size=len(piece))
            if len(ready) >= PIECE:
                yield ready
                ready = b""
        yield ready + sealer.finish()

    async def _open(self, row: BlobRow, place: str, *, size: int) -> AsyncGenerator[bytes]:
        opener, chunks = Opener(place, size=size, keys=self.keys), self.blobs.get(row.blob)
        try:
            async for chunk in chunks:
                pieces = opener.feed(chunk)
                while (piece := await self.threads.compute(partial(next, pieces, None), size=size)) is not None:
                    yield piece
        finally:  # whoever stops reading leaves no file open
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()
        for piece in opener.finish():
            yield piece


def build_place(tenant: str, digest: str) -> str:
    """Build what the names of blobs with these bytes begin with: no two tenants share one."""
    return f"{tenant}/{digest}"


def read_row(value: bytes, key: str) -> BlobRow:
    """Read a stored row.

    Raises:
        CorruptState: It does not verify.
    """
    try:
        return _decode_row(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptState(f"The row under {key!r} does not verify: {error}.", key=key) from error
