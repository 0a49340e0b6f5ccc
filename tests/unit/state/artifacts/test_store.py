"""Are bytes kept once, under versions, whole or not at all?"""

import os
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.state.artifacts.stores import KEYS, MINE, RING, build_store, list_blobs, open_store, pieces

from quorate.errors import CorruptState, InvalidInput, NotFound, TooLarge
from quorate.state.artifacts import ArtifactStore, Caller, KeyRing
from quorate.state.artifacts.sealing import Sealer
from quorate.state.artifacts.vault import build_place
from quorate.state.backends.memory import open_memory_store
from quorate.testing import ManualClock

KB10 = 10 << 10


async def test_the_same_bytes_are_kept_once() -> None:
    """Whatever they are called, and whoever of the tenant saves them; another tenant's are its own.

    row: E11
    """
    async with open_store() as store:
        first = await store.save("a.txt", "hello", caller=MINE)
        second = await store.save("b.bin", b"hello", caller=Caller(tenant="acme", principal="bob", run="run-2"))
        assert first.id != second.id
        assert first.digest == second.digest
        assert len(await list_blobs(store)) == 1
        await store.save("a.txt", "hello", caller=Caller(tenant="other", run="run-1"))
        names = [blob.name for blob in await list_blobs(store)]
        assert [name.split("/")[0] for name in names] == ["acme", "other"]


async def test_a_name_has_versions() -> None:
    """They count 1, 2, 3 … within a session or run, and each can be found.

    row: E11
    """
    async with open_store() as store:
        saved = [await store.save("a", f"text {n}", caller=MINE) for n in range(3)]
        assert [info.version for info in saved] == [1, 2, 3]
        last = await store.find("a", caller=MINE)
        assert last == saved[2]
        assert await store.find("a", caller=MINE, version=2) == saved[1]
        assert await store.find(saved[0].id, caller=MINE) == saved[0]
        assert await store.find("a", caller=MINE, version=4) is None
        other = await store.save("a", "x", caller=Caller(tenant="acme", principal="ann", run="run-2"))
        assert other.version == 1


async def test_a_number_is_not_given_twice() -> None:
    """A deleted last version leaves its number behind; a deleted older one leaves the others alone."""
    async with open_store() as store:
        saved = [await store.save("a", f"text {n}", caller=MINE) for n in range(3)]
        await store.delete(saved[2].id, caller=MINE)
        assert (await store.find("a", caller=MINE)) == saved[1]
        assert (await store.save("a", "new", caller=MINE)).version == 4
        await store.delete(saved[0].id, caller=MINE)
        assert await store.find("a", caller=MINE, version=1) is None
        assert (await store.load("a", caller=MINE)) == b"new"


async def test_runs_of_a_session_share_names() -> None:
    """Within a session, versions go on from one run to the next."""
    async with open_store() as store:
        first = Caller(tenant="acme", principal="ann", session="s-1", run="run-1")
        second = Caller(tenant="acme", principal="ann", session="s-1", run="run-2")
        await store.save("a", "1", caller=first)
        assert (await store.save("a", "2", caller=second)).version == 2
        assert await store.load("a", caller=first) == b"2"


@given(data=st.binary(max_size=2000), parts=st.lists(st.integers(0, 2000), max_size=5), encrypt=st.booleans())
async def test_bytes_come_back_as_they_were(data: bytes, parts: list[int], encrypt: bool) -> None:
    """Given whole or in pieces."""
    marks = [0, *sorted(min(part, len(data)) for part in parts), len(data)]
    chunks = [data[a:b] for a, b in pairwise(marks)]
    async with open_store(keys=RING if encrypt else None) as store:
        whole = await store.save("a", data, caller=MINE)
        streamed = await store.save("a", pieces(*chunks), caller=MINE)
        assert (whole.digest, whole.size) == (streamed.digest, streamed.size)
        assert await store.load(streamed, caller=MINE) == data
        assert b"".join([piece async for piece in store.open(whole.id, caller=MINE)]) == data


@pytest.mark.parametrize(
    ("size", "is_smaller"), [(0, False), (1, False), (KB10 - 1, False), (KB10, False), (KB10 + 1, True)]
)
async def test_what_is_above_10_kib_is_compressed_where_that_helps(size: int, is_smaller: bool) -> None:
    """Up to 10 KiB, and what has no pattern, is kept as it is.

    row: E11
    """
    async with open_store() as store:
        info = await store.save("a", (b"quorate " * size)[:size], caller=MINE)
        (blob,) = await list_blobs(store)
        assert (blob.size < size) == is_smaller
        assert len(await store.load(info, caller=MINE)) == size
        await store.save("b", os.urandom(50_000), caller=MINE)
        assert max(blob.size for blob in await list_blobs(store)) < 50_100


async def test_the_limit_is_a_limit() -> None:
    """As many bytes as may be are kept; one more is refused, and nothing of it is left.

    row: E11
    """
    async with open_store(max_bytes=1000) as store:
        assert (await store.save("a", bytes(1000), caller=MINE)).size == 1000
        before = await list_blobs(store), await store.values.scan("")
        for data in (bytes(1001), "x" * 1001, pieces(bytes(1000), b"x"), pieces(*[bytes(100)] * 11)):
            with pytest.raises(TooLarge, match="at most 1000 bytes"):
                await store.save("b", data, caller=MINE)
        assert (await list_blobs(store), await store.values.scan("")) == before


@pytest.mark.blocking
async def test_what_is_too_large_is_not_read_to_its_end() -> None:
    """A stream without an end is refused, too."""
    given_out = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given_out
        while True:
            given_out += 1 << 20
            yield bytes(1 << 20)

    async with open_store(max_bytes=10 << 20) as store:
        with pytest.raises(TooLarge):
            await store.save("a", endless(), caller=MINE)
    assert given_out <= 12 << 20


@pytest.mark.blocking
async def test_whoever_gives_the_bytes_may_fail() -> None:
    """What goes wrong while they are given is raised as it is, and nothing is kept."""

    async def broken() -> AsyncIterator[bytes]:
        yield bytes(6 << 20)
        raise RuntimeError("cut off")

    async with open_store() as store:
        with pytest.raises(RuntimeError, match="cut off"):
            await store.save("a", broken(), caller=MINE)
        assert (await list_blobs(store), await store.values.scan("")) == ([], [])


@pytest.mark.parametrize("encrypt", [False, True])
async def test_a_changed_byte_is_noticed(encrypt: bool) -> None:
    """Nothing of it is returned by `load`, and `open` says so at the end.

    row: E11
    """
    async with open_store(keys=RING if encrypt else None) as store:
        info = await store.save("a", b"all is well", caller=MINE)
        (blob,) = await list_blobs(store)
        kept = b"".join([piece async for piece in store.vault.blobs.get(blob.name)])
        changed = kept[:-1] + bytes([kept[-1] ^ 1])
        await store.vault.blobs.put(blob.name, pieces(changed))
        with pytest.raises(CorruptState, match=r"others than those that were saved|do not verify"):
            await store.load(info, caller=MINE)
        with pytest.raises(CorruptState):
            assert [piece async for piece in store.open(info, caller=MINE)]
        await store.vault.blobs.put(blob.name, pieces(kept[:-1]))
        with pytest.raises(CorruptState, match=r"missing|cut"):
            await store.load(info, caller=MINE)
        await store.vault.blobs.delete(blob.name)
        with pytest.raises(CorruptState, match="are gone"):
            await store.load(info, caller=MINE)


async def test_a_bomb_that_was_put_there_gives_nothing() -> None:
    """A blob that inflates to more than was saved is corrupt, whoever put it there.

    row: E11
    """
    async with open_store() as store:
        info = await store.save("a", b"x" * 20_000, caller=MINE)
        (blob,) = await list_blobs(store)
        sealer = Sealer(build_place("acme", info.digest), compress=True, keys=None)
        bomb = sealer.header + sealer.feed(bytes(100_000_000)) + sealer.finish()
        await store.vault.blobs.put(blob.name, pieces(bomb))
        with pytest.raises(CorruptState, match="more than what was saved"):
            await store.load(info, caller=MINE)


async def test_what_is_encrypted_cannot_be_read_without_the_key() -> None:
    """Nor saved again without it: a store that could not read what it saves says so.

    row: E11
    """
    clock = ManualClock()
    async with open_memory_store(clock=clock) as opened:
        text = b"the plan " * 1000
        info = await build_store(opened, clock, keys=RING).save("a", text, caller=MINE)
        (blob,) = await opened.blobs.list_blobs()
        assert b"plan" not in b"".join([piece async for piece in opened.blobs.get(blob.name)])
        without = build_store(opened, clock)
        for store in (without, build_store(opened, clock, keys=KeyRing({"third": os.urandom(32)}))):
            with pytest.raises(InvalidInput, match="encrypted with key 'second'"):
                await store.load(info, caller=MINE)
        with pytest.raises(CorruptState):
            await build_store(opened, clock, keys=KeyRing({"second": KEYS["first"]})).load(info, caller=MINE)
        with pytest.raises(InvalidInput, match="kept encrypted with key 'second', and no key ring is given"):
            await without.save("b", text, caller=MINE)


async def test_encryption_that_comes_later_covers_what_is_saved_again() -> None:
    """Bytes that were kept plain are kept encrypted from then on, and the plain blob is gone."""
    clock = ManualClock()
    async with open_memory_store(clock=clock) as opened:
        text = b"the plan " * 10
        plain = await build_store(opened, clock).save("a", text, caller=MINE)
        with_keys = build_store(opened, clock, keys=RING)
        again = await with_keys.save("b", text, caller=MINE)
        (blob,) = await opened.blobs.list_blobs()
        assert b"plan" not in b"".join([piece async for piece in opened.blobs.get(blob.name)])
        for info in (plain, again):
            assert await with_keys.load(info, caller=MINE) == text


async def test_the_same_step_saves_the_same_artifact() -> None:
    """A step that is made again after a crash gets what it saved before; another step gets a version of its own."""
    async with open_store() as store:
        first = await store.save("a", "1", caller=MINE, step="1/tool/x")
        second = await store.save("a", "2", caller=MINE, step="1/tool/x")
        assert await store.save("a", "1", caller=MINE, step="1/tool/x") == first
        assert await store.save("a", "2", caller=MINE, step="1/tool/x") == second
        assert (await store.save("a", "1", caller=MINE, step="2/tool/y")).version == 3
        assert (await store.save("a", "1", caller=MINE)).version == 4
        assert len(await list_blobs(store)) == 2


async def test_deleting_the_last_that_has_them_deletes_the_bytes() -> None:
    """And not before."""
    async with open_store() as store:
        one, other = [await store.save(name, "same", caller=MINE) for name in ("a", "b")]
        await store.delete(one.id, caller=MINE)
        assert await store.load(other, caller=MINE) == b"same"
        await store.delete(other.id, caller=MINE)
        assert await list_blobs(store) == []
        with pytest.raises(NotFound):
            await store.delete(other.id, caller=MINE)


@pytest.mark.parametrize("name", ["../x", "a\0b", "/etc/passwd", "a/../../b"])
async def test_names_that_are_paths_are_refused_and_found_nowhere(name: str) -> None:
    """Saving says why; looking for one finds nothing."""
    async with open_store() as store:
        with pytest.raises(InvalidInput, match="artifact name"):
            await store.save(name, b"x", caller=MINE)
        assert await store.find(name, caller=MINE) is None
        with pytest.raises(NotFound, match="There is no artifact"):
            await store.load(name, caller=MINE)


async def test_text_that_is_no_text_is_refused() -> None:
    async with open_store() as store:
        with pytest.raises(InvalidInput, match="lone surrogate at 1"):
            await store.save("a", "a\ud800", caller=MINE)


async def test_load_is_bounded_where_that_is_asked_for() -> None:
    async with open_store() as store:
        await store.save("a", bytes(100), caller=MINE)
        with pytest.raises(TooLarge, match="has 100 bytes, more than 99"):
            await store.load("a", caller=MINE, max_bytes=99)


async def test_a_row_that_is_not_one_is_corrupt() -> None:
    """Nothing is guessed from half a row."""
    async with open_store() as store:
        info = await store.save("a", b"x", caller=MINE)
        await store.values.put(f"artifact/acme/id/{info.id}", b'{"info":')
        with pytest.raises(CorruptState, match="does not verify"):
            await store.find(info.id, caller=MINE)
        await store.values.put(f"artifact/acme/blob/{info.digest}", b"[]")
        with pytest.raises(CorruptState, match="does not verify"):
            await store.save("b", b"x", caller=MINE)


def test_the_store_names_its_limits() -> None:
    """100 MB and 10 KiB are what is promised when nothing is said."""
    from quorate.state.artifacts import store

    assert (store.MAX_BYTES, store.COMPRESS_ABOVE) == (100_000_000, 10_240)
    assert ArtifactStore.__init__.__kwdefaults__ == {"keys": None, "max_bytes": 100_000_000, "compress_above": 10_240}


async def test_what_is_deleted_while_it_is_read_is_not_there() -> None:
    """It is not called corrupt: nobody has to mend anything."""
    async with open_store() as store:
        info = await store.save("a", b"text", caller=MINE)
        reader = store.open(info, caller=MINE)
        (blob,) = await list_blobs(store)
        await store.vault.blobs.delete(blob.name)
        with pytest.raises(CorruptState, match="are gone"):
            await anext(reader)
        await store.delete(info.id, caller=MINE)
        other = await store.save("a", b"text", caller=MINE)
        real = store.vault.blobs

        class Deleting:
            """Blobs of which one is deleted, with its artifact, just before it is read."""

            put, delete, list_blobs = real.put, real.delete, real.list_blobs

            async def get(self, name: str) -> AsyncIterator[bytes]:
                await store.delete(other.id, caller=MINE)
                async for piece in real.get(name):
                    yield piece

        store.vault.blobs = Deleting()
        with pytest.raises(NotFound, match="There is no artifact"):
            await store.load(other, caller=MINE)
