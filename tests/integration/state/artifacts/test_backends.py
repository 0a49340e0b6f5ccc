"""Do artifacts behave alike wherever their rows and their bytes are kept?"""

import asyncio
import os
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from msgspec import structs
from tests.integration.state.artifacts.s3_server import BUCKET, open_s3_server

from quorate.clock import SYSTEM_CLOCK
from quorate.errors import CorruptState, NotFound, TooLarge
from quorate.ports import Store
from quorate.state.artifacts import (
    ArtifactQuery,
    ArtifactStore,
    Caller,
    KeyRing,
    Share,
    collect_garbage,
    rotate_keys,
    search_artifacts,
    verify_artifacts,
)
from quorate.state.backends.files import open_file_blobs
from quorate.state.backends.memory import open_memory_store
from quorate.state.backends.postgres import open_postgres_store
from quorate.state.backends.s3 import open_s3_blobs
from quorate.state.backends.sqlite import open_sqlite_store

MINE = Caller(tenant="acme", principal="ann", session="s-1", run="run-1")
BOB = Caller(tenant="acme", principal="bob", run="run-9")
KEYS = {"first": os.urandom(32), "second": os.urandom(32)}
PLACES = ("memory", "files", "s3", "sqlite", "postgres")

Build = Callable[..., ArtifactStore]


@pytest.fixture(params=PLACES)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """Rows and bytes in one of the places they can be in."""
    async with AsyncExitStack() as stack:
        if request.param == "sqlite":
            yield await stack.enter_async_context(open_sqlite_store(tmp_path / "quorate.db"))
        elif request.param == "postgres":
            server = request.getfixturevalue("postgres_server")
            dsn = await server.create_database()
            stack.push_async_callback(server.drop_database, dsn)
            yield await stack.enter_async_context(open_postgres_store(dsn))
        else:
            store = await stack.enter_async_context(open_memory_store())
            if request.param == "files":
                blobs = await stack.enter_async_context(open_file_blobs(tmp_path / "blobs"))
                store = structs.replace(store, blobs=blobs)
            elif request.param == "s3":
                server = await stack.enter_async_context(open_s3_server())
                opened = open_s3_blobs(f"s3://{BUCKET}/blobs", config=server.config)
                store = structs.replace(store, blobs=await stack.enter_async_context(opened))
            yield store


@pytest.fixture
def build(place: Store) -> Build:
    def build(**options: object) -> ArtifactStore:
        return ArtifactStore(place.values, place.blobs, clock=SYSTEM_CLOCK, **options)  # pyright: ignore[reportArgumentType]

    return build


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_the_life_of_an_artifact(build: Build, place: Store) -> None:
    """Kept once, versioned, found, shared, searched, read, deleted: the same in memory, files, S3 and databases.

    row: E11
    """
    store = build(keys=KeyRing(KEYS))
    text = "the plan\n" * 5000
    first = await store.save("plan.txt", text, caller=MINE, labels={"kind": "plan"})
    second = await store.save("plan.txt", text.encode(), caller=MINE)
    assert (first.version, second.version, first.digest) == (1, 2, second.digest)
    (blob,) = await place.blobs.list_blobs()
    assert blob.size < len(text) / 10
    assert await store.load("plan.txt", caller=MINE) == text.encode()
    with pytest.raises(NotFound):
        await store.load(first.id, caller=BOB)
    await store.share(first.id, Share(kind="principal", who="bob"), caller=MINE)
    assert await store.load(first.id, caller=BOB) == text.encode()
    page = await search_artifacts(store, ArtifactQuery(labels={"kind": "plan"}), caller=BOB)
    assert page.items == (first,)
    assert [checked.fault async for checked in verify_artifacts(store, "acme")] == ["", ""]
    for info in (first, second):
        await store.delete(info.id, caller=MINE)
    assert await place.blobs.list_blobs() == []
    with pytest.raises(NotFound):
        await store.load(first.id, caller=BOB)


@pytest.mark.parametrize("encrypt", [False, True])
async def test_a_changed_byte_is_noticed(build: Build, place: Store, encrypt: bool) -> None:
    """Wherever the bytes are: nothing of them is returned.

    row: E11
    """
    store = build(keys=KeyRing(KEYS) if encrypt else None)
    info = await store.save("a", os.urandom(200_000), caller=MINE)
    (blob,) = await place.blobs.list_blobs()
    kept = b"".join([piece async for piece in place.blobs.get(blob.name)])
    for at in (0, 3, 100_000, len(kept) - 1):
        changed = bytearray(kept)
        changed[at] ^= 1
        await place.blobs.put(blob.name, pieces(bytes(changed)))
        with pytest.raises(CorruptState):
            await store.load(info, caller=MINE)
    await place.blobs.put(blob.name, pieces(kept[:-1]))
    with pytest.raises(CorruptState):
        await store.load(info, caller=MINE)
    await place.blobs.put(blob.name, pieces(kept))
    assert len(await store.load(info, caller=MINE)) == 200_000


async def test_what_is_too_large_leaves_nothing(build: Build, place: Store) -> None:
    """Not a row, not a blob."""
    store = build(max_bytes=10_000_000)
    with pytest.raises(TooLarge):
        await store.save("a", pieces(*[bytes(1 << 20)] * 11), caller=MINE)
    assert await place.blobs.list_blobs() == []
    assert await place.values.scan("artifact/") == []


async def test_many_savers_of_the_same_keep_it_once(build: Build, place: Store) -> None:
    """In several processes, as it were: each has a store of its own."""
    stores = [build() for _ in range(3)]
    saved = await asyncio.gather(*(stores[n % 3].save("a", b"same" * 5000, caller=MINE) for n in range(30)))
    assert sorted(info.version for info in saved) == list(range(1, 31))
    assert all([await stores[0].load(info, caller=MINE) == b"same" * 5000 for info in saved])
    found = await verify_all(stores[0])
    assert found == [""] * 30
    assert len(await place.blobs.list_blobs()) == 1


async def verify_all(store: ArtifactStore) -> list[str]:
    return [checked.fault async for checked in verify_artifacts(store, "acme")]


async def test_keys_are_rotated_everywhere(build: Build, place: Store) -> None:
    """Everything can be read with the newest key alone, and the grace of the sweep spares what was saved just now."""
    old = build(keys=KeyRing({"first": KEYS["first"]}))
    texts = {f"a{n}": os.urandom(3_000_000 if n == 0 else 100) for n in range(3)}
    for name, text in texts.items():
        await old.save(name, text, caller=MINE)
    assert [needed async for needed in rotate_keys(build(keys=KeyRing(KEYS)), "acme")] == [True] * 3
    newest = build(keys=KeyRing({"second": KEYS["second"]}))
    for name, text in texts.items():
        assert await newest.load(name, caller=MINE) == text
    swept = await collect_garbage(newest, "acme", grace_s=60)
    assert (swept.blobs, swept.strays, swept.orphans) == (0, 0, 0)
    assert len(await place.blobs.list_blobs()) == 3


MEASURE = """
import asyncio, os, resource, sys
from contextlib import AsyncExitStack
from quorate.clock import SYSTEM_CLOCK
from quorate.errors import TooLarge
from quorate.state.artifacts import ArtifactStore, Caller, KeyRing
from quorate.state.backends.files import open_file_blobs
from quorate.state.backends.memory import open_memory_store
from quorate.state.backends.sqlite import open_sqlite_store

folder, kind, encrypt = sys.argv[1:]
MINE = Caller(tenant="acme", run="run-1")
SIZE = 100_000_000
NOISE = os.urandom(1 << 20)

async def give(size):
    for begin in range(0, size, len(NOISE)):
        yield NOISE[: size - begin]

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

async def main():
    async with AsyncExitStack() as stack:
        if kind == "sqlite":
            opened = await stack.enter_async_context(open_sqlite_store(folder + "/q.db"))
            blobs = opened.blobs
        else:
            opened = await stack.enter_async_context(open_memory_store())
            blobs = await stack.enter_async_context(open_file_blobs(folder + "/blobs"))
        keys = KeyRing({"a": os.urandom(32)}) if encrypt == "yes" else None
        store = ArtifactStore(opened.values, blobs, clock=SYSTEM_CLOCK, keys=keys)
        info = await store.save("small", give(8_000_000), caller=MINE)
        async for _ in store.open(info, caller=MINE):
            pass
        before = peak()
        info = await store.save("big", give(SIZE), caller=MINE)
        size = 0
        async for piece in store.open(info, caller=MINE):
            size += len(piece)
        assert size == info.size == SIZE
        kept = len(await blobs.list_blobs())
        try:
            await store.save("bigger", give(SIZE + 1), caller=MINE)
        except TooLarge:
            assert len(await blobs.list_blobs()) == kept
            assert await store.find("bigger", caller=MINE) is None
            print(peak() - before)

asyncio.run(main())
"""


@pytest.mark.parametrize("encrypt", ["no", "yes"])
@pytest.mark.parametrize("kind", ["files", "sqlite"])
def test_a_hundred_megabytes_take_little_memory(kind: str, encrypt: str, tmp_path: Path) -> None:
    """They are streamed in and out: the process grows by a few megabytes; one byte more is refused.

    row: E11
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEASURE), str(tmp_path), kind, encrypt],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 32 << 10, f"grew by {done.stdout} KiB"
