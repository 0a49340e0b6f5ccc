"""Does everything a store keeps come back from a backup, and is a backup that was changed refused?"""

import asyncio
import os
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from tests.unit.state.backup.filling import add_long_run, build_run, empty, fill, snapshot

from quorate.errors import Conflict, CorruptState, InvalidInput, NotFound, StorageFull, TooLarge, Unavailable
from quorate.ports import BlobInfo, Blobs, Store
from quorate.security.secrets import Secret
from quorate.state.artifacts.access import Caller
from quorate.state.artifacts.keys import KeyRing
from quorate.state.artifacts.store import ArtifactStore
from quorate.state.artifacts.upkeep import rotate_keys
from quorate.state.audit import AuditTrail
from quorate.state.backends.memory import open_memory_store
from quorate.state.backup import create_backup, restore_backup, verify_backup
from quorate.state.sessions.store import SessionStore
from quorate.testing.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def store(clock: ManualClock) -> AsyncIterator[Store]:
    async with open_memory_store(clock=clock) as opened:
        await fill(opened, clock=clock)
        yield opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "quorate.backup"


async def test_everything_comes_back(store: Store, path: Path, clock: ManualClock) -> None:
    """Create, delete everything, restore: runs, sessions, state, artifacts and audit trails are there and verify."""
    before = await snapshot(store)
    manifest = await create_backup(store, path, clock=clock)
    report = await verify_backup(path)
    assert report.ok
    assert (report.events, report.manifest) == (manifest.events, manifest)
    assert [(one.tenant, one.rows) for one in report.audit] == [("acme", 15)]
    await empty(store)
    restored = await restore_backup(store, path, clock=clock)
    assert restored.events == manifest.events
    assert await snapshot(store) == before
    assert (await AuditTrail(store.values, clock=clock, tenant="acme").verify()).rows == 15
    session = await SessionStore(store.values, store.log, clock=clock).get("talk", tenant="acme", principal="ada")
    assert session.title == "A talk"
    artifacts, caller = ArtifactStore(store.values, store.blobs, clock=clock), Caller(tenant="acme", operator=True)
    found = [key for key in before if key.startswith("value artifact/acme/id/")]
    assert len(found) == 3
    for key in found:
        await artifacts.load(key.rpartition("/")[2], caller=caller)


async def test_a_backup_is_for_its_owner_only_and_leaves_nothing_beside_it(store: Store, path: Path) -> None:
    """Mode 0600 from the first byte on, and no part of it under another name."""
    await create_backup(store, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == [path.name] or set(os.listdir(path.parent)) == {path.name, "home"}


async def test_a_file_is_overwritten_only_when_told(store: Store, path: Path) -> None:
    """What is there stays, a link included, until it is said otherwise."""
    path.write_text("precious")
    with pytest.raises(Conflict, match="--force"):
        await create_backup(store, path)
    assert path.read_text() == "precious"
    await create_backup(store, path, force=True)
    assert (await verify_backup(path)).ok
    link = path.with_name("link")
    link.symlink_to(path.with_name("nowhere"))
    with pytest.raises(Conflict):
        await create_backup(store, link)


async def test_a_folder_that_is_not_there_is_said_so(store: Store, tmp_path: Path) -> None:
    """The operating system's words are in the message."""
    with pytest.raises(Unavailable, match="No such file or directory"):
        await create_backup(store, tmp_path / "none" / "b")


async def test_an_empty_store_has_a_backup_too(path: Path) -> None:
    """Nothing is kept and brought back."""
    async with open_memory_store() as store:
        await create_backup(store, path)
        assert (await verify_backup(path)).ok
        assert (await restore_backup(store, path)).events == 0


async def test_a_store_in_use_is_backed_up(store: Store, path: Path, clock: ManualClock) -> None:
    """Runs, rows, values and artifacts that come meanwhile do not break the backup."""
    trail = AuditTrail(store.values, clock=clock, tenant="acme")
    artifacts = ArtifactStore(store.values, store.blobs, clock=clock)

    async def work(number: int) -> None:
        for place in range(60):
            run = f"run-{number}{place:06}"
            events = build_run(run, session="talk")
            await store.log.append(run, events[:3], expected=0)
            await trail.append("run.submit", principal="ada", object=f"run/{run}")
            caller = Caller(tenant="acme", principal="ada", run=run)
            await artifacts.save("x.txt", f"{run}" * 50, caller=caller)
            await store.log.append(run, events[3:], expected=3)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(work(number))
        for _ in range(5):
            await create_backup(store, path, force=True, clock=clock)
            report = await verify_backup(path)
            assert report.ok, report.faults
    async with open_memory_store(clock=clock) as other:
        await restore_backup(other, path, clock=clock)


async def test_what_expires_keeps_its_time(store: Store, path: Path, clock: ManualClock) -> None:
    """A value lives as long as it would have lived; what has expired by now stays away."""
    await create_backup(store, path, clock=clock)
    clock.advance(500)
    async with open_memory_store(clock=clock) as other:
        assert (await restore_backup(other, path, clock=clock)).expired == 0
        entry = await other.values.get("state/acme/tenant/_/short")
        assert entry is not None
        assert entry.expires == pytest.approx(clock.now() + 100, abs=1)
    clock.advance(101)
    async with open_memory_store(clock=clock) as other:
        assert (await restore_backup(other, path, clock=clock)).expired == 1
        assert await other.values.get("state/acme/tenant/_/short") is None


async def test_a_store_with_another_clock_expires_at_the_same_time(
    store: Store, path: Path, clock: ManualClock
) -> None:
    """The database's clock may be an hour off: the value is gone when it should be by the wall."""
    await create_backup(store, path, clock=clock)
    theirs = ManualClock(clock.now() - 300)
    async with open_memory_store(clock=theirs) as other:
        await restore_backup(other, path, clock=clock)
        entry = await other.values.get("state/acme/tenant/_/short")
        assert entry is not None
        assert entry.expires == pytest.approx(clock.now() + 600, abs=1)


async def test_a_store_that_is_not_empty_is_left_alone(store: Store, path: Path, clock: ManualClock) -> None:
    """One run, value or blob is enough to refuse; with leave, what is the same stays and the rest comes."""
    await create_backup(store, path, clock=clock)
    with pytest.raises(Conflict, match="is not empty: it has runs"):
        await restore_backup(store, path, clock=clock)
    again = await restore_backup(store, path, clock=clock, into_nonempty=True)
    assert (again.events, again.values, again.blobs) == (0, 0, 0)
    async with open_memory_store(clock=clock) as other:
        await other.values.put("state/acme/tenant/_/mine", b"1")
        with pytest.raises(Conflict, match="values"):
            await restore_backup(other, path, clock=clock)
        await restore_backup(other, path, clock=clock, into_nonempty=True)
        assert (await other.log.list_runs(limit=100)) == (await store.log.list_runs(limit=100))
    async with open_memory_store(clock=clock) as other:

        async def one() -> AsyncIterator[bytes]:
            yield b"x"

        await other.blobs.put("acme/x", one())
        with pytest.raises(Conflict, match="blobs"):
            await restore_backup(other, path, clock=clock)


@pytest.mark.parametrize("kind", ["run", "value", "blob"])
async def test_what_differs_is_a_conflict_and_nothing_is_written(
    store: Store, path: Path, clock: ManualClock, kind: str
) -> None:
    """Restoring into a store with something else under the same name changes nothing at all."""
    await create_backup(store, path, clock=clock)

    async def other_bytes() -> AsyncIterator[bytes]:
        yield b"another"

    async with open_memory_store(clock=clock) as other:
        if kind == "run":
            await other.log.append("run-live", build_run("run-live", tenant="zeta")[:1], expected=0)
        elif kind == "value":
            await other.values.put("state/acme/tenant/_/answer", b"43")
        else:
            await other.blobs.put((await store.blobs.list_blobs())[0].name, other_bytes())
        before = await snapshot(other)
        with pytest.raises(Conflict, match="already"):
            await restore_backup(other, path, clock=clock, into_nonempty=True)
        assert await snapshot(other) == before


async def test_a_trail_that_went_on_is_not_set_back(store: Store, path: Path, clock: ManualClock) -> None:
    """Restoring over a store whose trail is longer leaves its end where it is."""
    await create_backup(store, path, clock=clock)
    trail = AuditTrail(store.values, clock=clock, tenant="acme")
    await trail.append("a.b", principal="p", object="o")
    await restore_backup(store, path, clock=clock, into_nonempty=True)
    report = await AuditTrail(store.values, clock=clock, tenant="acme").verify()
    assert (report.ok, report.rows) == (True, 16)


async def test_a_restore_that_was_stopped_goes_on(store: Store, path: Path, clock: ManualClock) -> None:
    """Stopped anywhere, everything is there as a whole or not at all, and the same restore completes it."""
    await add_long_run(store, "run-long", 12_000)
    before = await snapshot(store)
    await create_backup(store, path, clock=clock)
    stops = 0
    for moment in range(0, 40, 8):
        async with open_memory_store(clock=clock) as other:
            calls = 0

            def stop(what: str, done: int, total: int) -> None:
                nonlocal calls
                calls += "written" in what
                if calls == moment and (task := asyncio.current_task()) is not None:
                    task.cancel()

            task = asyncio.ensure_future(restore_backup(other, path, clock=clock, progress=stop))
            try:
                await task
            except asyncio.CancelledError:
                stops += 1
            half = await snapshot(other)
            for name, value in half.items():
                assert value == before[name] or name == "run run-long"
            await restore_backup(other, path, clock=clock, into_nonempty=True)
            assert await snapshot(other) == before
    assert stops


async def test_a_backup_that_is_stopped_leaves_no_file(store: Store, path: Path) -> None:
    """Ctrl-C at any moment leaves neither a backup nor a part of one."""
    for moment in range(5):
        calls = 0

        def stop(what: str, done: int, total: int) -> None:
            nonlocal calls
            if calls == moment and (task := asyncio.current_task()) is not None:
                task.cancel()
            calls += 1

        with pytest.raises(asyncio.CancelledError):
            await asyncio.ensure_future(create_backup(store, path, progress=stop))
        assert not [name for name in os.listdir(path.parent) if name != "home"]


@pytest.mark.blocking
async def test_a_backup_that_is_stopped_while_its_file_is_made_leaves_no_file(store: Store, path: Path) -> None:
    """Ctrl-C between the file and whoever waits for it."""
    for turns in range(40):
        task = asyncio.ensure_future(create_backup(store, path))
        while not any(path.parent.glob(".*.part")):
            await asyncio.sleep(0)
        for _ in range(turns // 8):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [name for name in os.listdir(path.parent) if name != "home"] == []


async def test_every_changed_byte_of_a_backup_is_found(store: Store, path: Path) -> None:
    """Flipping any byte, or cutting the file anywhere, never gives a backup that verifies as another one."""
    await create_backup(store, path)
    whole = path.read_bytes()
    good = await verify_backup(path)
    missed = 0
    for place in range(0, len(whole), 53):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            report = await verify_backup(path)
        except (CorruptState, InvalidInput, TooLarge):
            continue
        # What no reader looks at, such as a time in the archive's own table, may change.
        assert report == good
        missed += 1
    assert missed < len(whole) / 53 * 0.05
    for place in range(0, len(whole), 211):
        path.write_bytes(whole[:place])
        with pytest.raises((CorruptState, InvalidInput)):
            await verify_backup(path)


async def test_a_broken_trail_in_a_store_is_seen_in_its_backup(store: Store, path: Path, clock: ManualClock) -> None:
    """What was tampered with before is backed up as it is, told, and restored only when told to."""
    entry = (await store.values.scan("audit/acme/", limit=1))[0]
    await store.values.put(entry.key, entry.value.replace(b"ada", b"eve"))
    await create_backup(store, path, clock=clock)
    report = await verify_backup(path)
    assert not report.ok
    assert "audit trail of tenant 'acme' is broken: row 1 was changed" in report.faults[0]
    async with open_memory_store(clock=clock) as other:
        with pytest.raises(CorruptState, match="--accept-faults"):
            await restore_backup(other, path, clock=clock)
        assert await snapshot(other) == {}
        await restore_backup(other, path, clock=clock, accept_faults=True)
        assert await snapshot(other) == await snapshot(store)


async def test_what_names_something_that_is_gone_is_found(store: Store, path: Path) -> None:
    """Bytes, a run before, and where the bytes are: whatever is missing is named."""
    blobs = await store.blobs.list_blobs()
    await store.blobs.delete(blobs[0].name)
    rows = await store.values.scan("artifact/acme/blob/")
    await store.values.delete(rows[-1].key)
    await store.log.delete("run-0002")
    await store.values.put("session/acme/broken", b"{")
    await create_backup(store, path)
    faults = " ".join((await verify_backup(path)).faults)
    for words in (
        "goes on from run 'run-0002'",
        "bytes of digest",
        "without a word where its bytes are",
        "broken cannot",
    ):
        assert words in faults


async def test_changed_bytes_of_an_artifact_are_found(store: Store, path: Path) -> None:
    """Bytes that are not what their digest says are named although the backup is what was written."""
    blob = (await store.blobs.list_blobs())[1]
    body = bytearray(b"".join([piece async for piece in store.blobs.get(blob.name)]))
    body[-1] ^= 1

    async def give() -> AsyncIterator[bytes]:
        yield bytes(body)

    await store.blobs.put(blob.name, give())
    await create_backup(store, path)
    report = await verify_backup(path)
    assert len(report.faults) == 1
    assert blob.name in report.faults[0]


async def test_deleted_artifacts_are_no_fault(store: Store, path: Path, clock: ManualClock) -> None:
    """A log that names an artifact that somebody deleted is told as such."""
    artifacts = ArtifactStore(store.values, store.blobs, clock=clock)
    caller = Caller(tenant="acme", principal="ada", session="talk", run="run-0000", operator=True)
    await artifacts.delete("a.bin", caller=caller)
    await create_backup(store, path)
    report = await verify_backup(path)
    assert (report.ok, report.dangling) == (True, 1)


class Meanwhile:
    """Blobs to which something happens once when they are listed, or once a piece of one was read."""

    def __init__(self, inner: Blobs, happen: Callable[[], Awaitable[object]], *, reading: bool) -> None:
        self._inner = inner
        self._happen: Callable[[], Awaitable[object]] | None = happen
        self._reading = reading

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    async def _once(self) -> None:
        happen, self._happen = self._happen, None
        if happen is not None:
            await happen()

    async def list_blobs(self, prefix: str = "", *, after: str = "", limit: int = 1000) -> list[BlobInfo]:
        if not self._reading:
            await self._once()
        return await self._inner.list_blobs(prefix, after=after, limit=limit)

    async def get(self, name: str) -> AsyncIterator[bytes]:
        async for piece in self._inner.get(name):
            for begin in range(0, len(piece), 1000):
                yield piece[begin : begin + 1000]
                if self._reading and begin:
                    await self._once()
                    if not [blob for blob in await self._inner.list_blobs(name) if blob.name == name]:
                        raise NotFound(f"There is no blob {name!r}.")


@pytest.mark.parametrize("reading", [False, True])
async def test_what_is_encrypted_anew_meanwhile_is_kept(path: Path, clock: ManualClock, reading: bool) -> None:
    """Bytes that move while the backup is made are in it all the same."""
    pytest.importorskip("cryptography")
    async with open_memory_store(clock=clock) as store:
        caller = Caller(tenant="acme", principal="ada")
        old = ArtifactStore(store.values, store.blobs, clock=clock, keys=KeyRing({"k1": bytes(range(32))}))
        infos = [await old.save(f"a{n}", os.urandom(9000), caller=caller) for n in range(3)]
        ring = KeyRing({"k1": bytes(range(32)), "k2": bytes(range(32, 64))})
        new = ArtifactStore(store.values, store.blobs, clock=clock, keys=ring)

        async def rotate() -> None:
            async for _ in rotate_keys(new, "acme"):
                pass

        moving = msgspec.structs.replace(store, blobs=Meanwhile(store.blobs, rotate, reading=reading))
        await create_backup(moving, path)
        bodies = [await new.load(info.id, caller=caller) for info in infos]
    report = await verify_backup(path, keys=ring)
    assert (report.faults, report.vanished, report.unchecked) == ((), 0, 0)
    async with open_memory_store(clock=clock) as store:
        await restore_backup(store, path, clock=clock)
        back = ArtifactStore(store.values, store.blobs, clock=clock, keys=ring)
        assert [await back.load(info.id, caller=caller) for info in infos] == bodies


@pytest.mark.parametrize("reading", [False, True])
async def test_what_is_deleted_meanwhile_is_told(path: Path, clock: ManualClock, reading: bool) -> None:
    """An artifact that goes while the backup is made is counted, and does not keep the rest from being restored."""
    async with open_memory_store(clock=clock) as store:
        caller = Caller(tenant="acme", principal="ada")
        artifacts = ArtifactStore(store.values, store.blobs, clock=clock)
        infos = [await artifacts.save(f"a{n}", os.urandom(9000), caller=caller) for n in range(3)]
        first = (await store.blobs.list_blobs())[0].name
        victim = next(info for info in infos if info.digest in first)
        moving = msgspec.structs.replace(
            store, blobs=Meanwhile(store.blobs, lambda: artifacts.delete(victim.id, caller=caller), reading=reading)
        )
        await create_backup(moving, path)
    report = await verify_backup(path)
    assert (report.ok, report.vanished) == (True, 1)
    async with open_memory_store(clock=clock) as store:
        assert (await restore_backup(store, path, clock=clock)).blobs == 2


async def test_encrypted_artifacts_are_looked_into_with_their_keys(path: Path, clock: ManualClock) -> None:
    """Without keys they are counted as unchecked; with them they verify."""
    pytest.importorskip("cryptography")
    keys = KeyRing({"k1": bytes(range(32))})
    async with open_memory_store(clock=clock) as store:
        artifacts = ArtifactStore(store.values, store.blobs, clock=clock, keys=keys)
        await artifacts.save("a", b"secret" * 9000, caller=Caller(tenant="acme"))
        await create_backup(store, path)
    assert b"secretsecret" not in path.read_bytes()
    assert (await verify_backup(path)).unchecked == 1
    report = await verify_backup(path, keys=keys)
    assert (report.ok, report.unchecked) == (True, 0)
    assert not (await verify_backup(path, keys=KeyRing({"k1": bytes(range(1, 33))}))).ok


async def test_a_trail_with_a_key_is_checked_with_it(path: Path, clock: ManualClock) -> None:
    """A backup of a keyed trail verifies with its key, not with another one, and says what was not checked."""
    key = Secret("a-key-that-is-long-enough")
    async with open_memory_store(clock=clock) as store:
        await fill(store, clock=clock, key=key)
        await create_backup(store, path)
    assert (await verify_backup(path)).audit[0].unchecked == 15
    assert (await verify_backup(path, audit_key=key)).audit[0].unchecked == 0
    assert not (await verify_backup(path, audit_key=Secret("another-key-of-some-length"))).ok


async def test_a_disk_without_room_is_said_so(store: Store, path: Path) -> None:
    """A full device is `StorageFull`, and nothing is left behind."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full")
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 10, hard))
    try:
        with pytest.raises(StorageFull, match="free some space"):
            await create_backup(store, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not [name for name in os.listdir(path.parent) if name != "home"]


async def test_what_is_no_file_is_no_backup(tmp_path: Path) -> None:
    """A folder, a pipe, a device, nothing."""
    with pytest.raises(NotFound, match="There is no file"):
        await verify_backup(tmp_path / "none")
    with pytest.raises(InvalidInput, match="no plain file"):
        await verify_backup(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidInput, match="no plain file"):
        await verify_backup(tmp_path / "pipe")
    (tmp_path / "text").write_text("hello" * 100)
    with pytest.raises(InvalidInput, match="is no backup"):
        await verify_backup(tmp_path / "text")


async def test_times_of_a_backup_are_told(store: Store, path: Path) -> None:
    """A manifest says when it was begun, so that people know what may be missing."""
    before = time.time()
    manifest = await create_backup(store, path)
    assert before <= manifest.began <= manifest.finished <= time.time()
    assert msgspec.json.encode(manifest)
