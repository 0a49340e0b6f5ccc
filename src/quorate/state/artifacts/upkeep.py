"""How is what nobody needs any more taken away, and what is kept looked after?"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import suppress

from msgspec import Struct

from quorate.errors import Conflict, CorruptState, InvalidInput, NotFound
from quorate.ports import ArtifactInfo, Entry
from quorate.state.artifacts.access import Caller, read_record
from quorate.state.artifacts.names import Keys
from quorate.state.artifacts.search import PAGE, scan_records
from quorate.state.artifacts.store import TOMBSTONE_S, TRIES, ArtifactStore
from quorate.state.artifacts.vault import read_row

GRACE_S = 3600.0
MIN_GRACE_S = 60.0


class Retention(Struct, frozen=True, kw_only=True):
    """How much a tenant keeps; the oldest artifacts go first."""

    max_age_s: float | None = None
    max_count: int | None = None
    max_bytes: int | None = None
    """Of all artifacts together, the same bytes counted for each."""


class Swept(Struct, frozen=True, kw_only=True):
    """What was taken away."""

    blobs: int = 0
    """Bytes that no artifact named, and how many there were."""
    bytes: int = 0
    strays: int = 0
    """Blobs of which no row knew, such as those of a save that was cut off."""
    orphans: int = 0
    """Artifacts whose save was cut off before anybody was told of them."""


class Checked(Struct, frozen=True, kw_only=True):
    """An artifact that was read and compared."""

    info: ArtifactInfo
    fault: str = ""
    """What is wrong with it; empty when it is as it was saved."""


async def collect_garbage(store: ArtifactStore, tenant: str, *, grace_s: float = GRACE_S) -> Swept:
    """Take away what no artifact names; it may be called at any time, beside anything else.

    What is younger than the grace may be a save under way, and is left alone. Correctness does not rest on that: see
    `quorate.state.artifacts.vault`.

    Raises:
        InvalidInput: The grace is shorter than a minute.
    """
    if grace_s < MIN_GRACE_S:
        raise InvalidInput(f"a grace of {grace_s:g} s is too short: saves under way need {MIN_GRACE_S:g} s at least.")
    before = store.clock.now() - grace_s
    orphans = await _sweep_orphans(store, tenant, before)
    taken = [size async for size in _sweep_unnamed(store, tenant, before)]
    strays = await _sweep_strays(store, tenant, before)
    return Swept(blobs=len(taken), bytes=sum(taken), strays=strays, orphans=orphans)


async def _sweep_orphans(store: ArtifactStore, tenant: str, before: float) -> int:
    """Take away artifacts that were written, but not under their name: nobody was ever told of them."""
    gone, place = 0, ""
    while found := await store.values.scan(Keys(tenant).of_handle(""), after=place, limit=PAGE):
        place = found[-1].key
        for entry in found:
            if read_record(entry).info.created < before:
                gone += await _sweep_orphan(store, entry)
    return gone


async def _sweep_orphan(store: ArtifactStore, entry: Entry) -> bool:
    record, values = read_record(entry), store.values
    info, keys = record.info, Keys(record.info.tenant)
    own = keys.of_version(record.home, info.name, info.version)
    named = await values.get(own)
    if named is not None and named.value and read_record(named).info.id == info.id:
        return False
    try:
        if named is None:
            # Whoever is still about to write it there fails at this, and begins anew.
            await values.put(own, b"", if_revision=0, ttl_s=TOMBSTONE_S)
        await values.delete(entry.key, if_revision=entry.revision)
    except Conflict:
        return False
    if info.run and info.session:
        await values.delete(keys.of_run(info.run, info.id))
    return True


async def _sweep_unnamed(store: ArtifactStore, tenant: str, before: float) -> AsyncGenerator[int]:
    keys, place = Keys(tenant), ""
    while found := await store.values.scan(keys.of_blob(""), after=place, limit=PAGE):
        place = found[-1].key
        for entry in found:
            size = await store.vault.sweep(tenant, entry.key.rpartition("/")[2], before=before)
            if size is not None:
                yield size


async def _sweep_strays(store: ArtifactStore, tenant: str, before: float) -> int:
    gone, place = 0, ""
    while found := await store.vault.blobs.list_blobs(f"{tenant}/", after=place, limit=PAGE):
        place = found[-1].name
        for blob in found:
            if blob.saved < before:
                gone += await store.vault.sweep_stray(tenant, blob.name)
    return gone


async def apply_retention(store: ArtifactStore, tenant: str, retention: Retention) -> list[ArtifactInfo]:
    """Delete a tenant's oldest artifacts until what is kept fits; return what was deleted."""
    operator = Caller(tenant=tenant, operator=True)
    now, kept = store.clock.now(), list[tuple[float, str, int]]()
    async for _, record in scan_records(store, (Keys(tenant).of_home(),)):
        kept.append((record.info.created, record.info.id, record.info.size))
    kept.sort()
    count, total, gone = len(kept), sum(size for _, _, size in kept), list[ArtifactInfo]()
    for created, handle, size in kept:
        is_old = retention.max_age_s is not None and created < now - retention.max_age_s
        is_over = (retention.max_count is not None and count > retention.max_count) or (
            retention.max_bytes is not None and total > retention.max_bytes
        )
        if not is_old and not is_over:
            break
        with suppress(NotFound):  # somebody else deleted it meanwhile
            gone.append(await store.delete(handle, caller=operator))
        count, total = count - 1, total - size
    return gone


async def verify_artifacts(store: ArtifactStore, tenant: str) -> AsyncGenerator[Checked]:
    """Read every artifact of a tenant again and yield how each is; the same bytes are read once."""
    faults = dict[str, str]()
    keys = Keys(tenant)
    async for _, record in scan_records(store, (keys.of_home(),)):
        info = record.info
        if info.digest not in faults:
            faults[info.digest] = await _find_fault(store, info)
        fault = faults[info.digest]
        if not fault and await store.values.get(keys.of_handle(info.id)) is None:
            fault = f"artifact {info.id!r} is listed and is not there"
        yield Checked(info=info, fault=fault)


async def _find_fault(store: ArtifactStore, info: ArtifactInfo) -> str:
    try:
        async for _ in store.vault.read(info.tenant, info.digest, size=info.size):
            pass
    except (CorruptState, InvalidInput) as error:
        return error.message
    return ""


async def rotate_keys(store: ArtifactStore, tenant: str) -> AsyncGenerator[bool]:
    """Encrypt everything of a tenant that is not under the newest key anew; yield for each whether it was needed.

    Raises:
        InvalidInput: There are no keys, or an older one is missing.
        CorruptState: Something does not verify; it is left as it is.
    """
    if store.vault.keys is None:
        raise InvalidInput("there are no keys to encrypt with: give the store a key ring.")
    keys, place = Keys(tenant), ""
    while found := await store.values.scan(keys.of_blob(""), after=place, limit=PAGE):
        place = found[-1].key
        for entry in found:
            if read_row(entry.value, entry.key).blob:
                yield await _reseal(store, tenant, entry.key.rpartition("/")[2])


async def _reseal(store: ArtifactStore, tenant: str, digest: str) -> bool:
    for _ in range(TRIES):
        with suppress(Conflict):
            return await store.vault.reseal(tenant, digest)
    raise Conflict(f"The bytes of {digest} were changed by others {TRIES} times: try again.", digest=digest)
