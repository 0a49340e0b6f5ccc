"""What must every store of bytes do?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from quorate.errors import InvalidInput, NotFound
from quorate.ports import Blobs, Store
from quorate.testing.contracts.building import expect, run_together

_MIB = 1 << 20


class BlobsContract:
    """What every `Blobs` must do; see `quorate.testing.contracts` on how to use it."""

    async def test_what_was_not_put_is_absent(self, store: Store) -> None:
        """An absent blob is not found, cannot be deleted, and is not listed."""
        with expect(NotFound, "a/b"):
            await _load(store.blobs, "a/b")
        assert not await store.blobs.delete("a/b")
        assert await store.blobs.list_blobs() == []

    async def test_bytes_come_back(self, store: Store) -> None:
        """Of any number, given in one piece, in many, and in pieces of nothing."""
        data = bytes(range(256)) * 20_000
        for size in (0, 1, 300_000, _MIB, _MIB + 1, len(data)):
            for step in (70_001, len(data)):
                assert await store.blobs.put("blob", _cut(data[:size], step)) == size
                assert await _load(store.blobs, "blob") == data[:size]
        assert await store.blobs.put("blob", _give(b"", b"a", b"", b"bc", b"")) == 3
        assert await _load(store.blobs, "blob") == b"abc"

    async def test_pieces_are_small(self, store: Store) -> None:
        """However a blob was given, nobody gets more than a MiB at once, or nothing at all."""
        await store.blobs.put("blob", _give(b"x" * (5 * _MIB)))
        sizes = [len(piece) async for piece in store.blobs.get("blob")]
        assert sum(sizes) == 5 * _MIB
        assert all(0 < size <= _MIB for size in sizes)

    async def test_a_blob_is_replaced_as_a_whole(self, store: Store) -> None:
        """While a new one is written the old one is there; then the new one, by length and bytes."""
        for old, new in ((b"old", b"new and longer" * 90_000), (b"old" * 900_000, b"new")):
            await store.blobs.put("blob", _give(old))
            seen: list[bytes] = []

            async def watch(data: bytes, seen: list[bytes] = seen) -> AsyncIterator[bytes]:
                for begin in range(0, len(data), 500_000):
                    yield data[begin : begin + 500_000]
                    seen.append(await _load(store.blobs, "blob"))

            await store.blobs.put("blob", watch(new))
            assert seen
            assert set(seen) == {old}
            assert await _load(store.blobs, "blob") == new
            assert [(info.name, info.size) for info in await store.blobs.list_blobs()] == [("blob", len(new))]

    async def test_a_reader_of_what_is_replaced_reads_it_to_its_end(self, store: Store) -> None:
        """It gets what it began with, never some of each."""
        await store.blobs.put("blob", _give(b"a" * (3 * _MIB)))
        reading = store.blobs.get("blob")
        read = await anext(reading)
        await store.blobs.put("blob", _give(b"b" * (3 * _MIB)))
        await store.blobs.put("blob", _give(b"c"))
        async for piece in reading:
            read += piece
        assert read == b"a" * (3 * _MIB)
        assert await _load(store.blobs, "blob") == b"c"

    async def test_a_reader_of_what_is_deleted_is_told(self, store: Store) -> None:
        """It gets all, or the error; it never takes half for the whole."""
        await store.blobs.put("blob", _give(b"a" * (3 * _MIB)))
        reading = store.blobs.get("blob")
        read = await anext(reading)
        await store.blobs.delete("blob")
        try:
            async for piece in reading:
                read += piece
        except NotFound:
            return
        assert read == b"a" * (3 * _MIB)

    async def test_an_aborted_put_leaves_nothing(self, store: Store) -> None:
        """When the source fails its error comes through, and what was there before is there still."""
        for size in (0, 1, 3 * _MIB):
            for name, before in (("new", None), ("old", b"before")):
                if before is not None:
                    await store.blobs.put(name, _give(before))
                try:
                    await store.blobs.put(name, _fail_after(b"x" * size))
                except ZeroDivisionError:
                    pass
                else:
                    raise AssertionError("the error of the source did not come through")
                if before is not None:
                    assert await _load(store.blobs, name) == before
        assert [info.name for info in await store.blobs.list_blobs()] == ["old"]

    async def test_a_cancelled_put_leaves_nothing(self, store: Store) -> None:
        """Whoever gives up in the middle has stored nothing."""
        reached = asyncio.Event()

        async def rest() -> AsyncIterator[bytes]:
            yield b"x" * (2 * _MIB)
            reached.set()
            await asyncio.Event().wait()

        async with asyncio.TaskGroup() as group:
            task = group.create_task(store.blobs.put("blob", rest()))
            await reached.wait()
            task.cancel()
        assert task.cancelled()
        assert await store.blobs.list_blobs() == []
        assert await store.blobs.put("blob", _give(b"x")) == 1

    async def test_of_writers_at_once_one_is_last(self, store: Store) -> None:
        """What is read is one writer's bytes, whole."""
        written = [bytes([97 + number]) * (_MIB + number) for number in range(5)]
        await run_together(_put(store.blobs, "blob", data) for data in written)
        assert await _load(store.blobs, "blob") in written

    async def test_a_deleted_blob_is_gone(self, store: Store) -> None:
        """Deleting says whether there was one, and harms no other."""
        for name in ("a", "a/b", "b"):
            await store.blobs.put(name, _give(b"x" * 600_000))
        assert await store.blobs.delete("a")
        assert not await store.blobs.delete("a")
        with expect(NotFound, "'a'"):
            await _load(store.blobs, "a")
        assert [info.name for info in await store.blobs.list_blobs()] == ["a/b", "b"]
        assert await _load(store.blobs, "a/b") == b"x" * 600_000

    async def test_blobs_are_listed_by_name(self, store: Store) -> None:
        """By prefix, which is no pattern, and page by page."""
        names = ["a-1", "a.1", "a/1", "a/2", "a/b/1", "a0", "a_1", "b/1", "zz"]
        for name in reversed(names):
            await store.blobs.put(name, _give(name.encode()))

        async def find(prefix: str = "", after: str = "", limit: int = 1000) -> list[str]:
            infos = await store.blobs.list_blobs(prefix, after=after, limit=limit)
            assert all(info.size == len(info.name) and info.saved > 0 for info in infos)
            return [info.name for info in infos]

        assert await find() == names
        for prefix in ("a", "a/", "a_", "a.", "a/b", "b", "none", "a%"):
            assert await find(prefix) == [name for name in names if name.startswith(prefix)]
        assert await find("a/", limit=2) == ["a/1", "a/2"]
        assert await find("a/", after="a/2") == ["a/b/1"]
        assert await find(after="a/15", limit=2) == ["a/2", "a/b/1"]
        assert await find("a/", after="b") == []
        assert await find(limit=0) == []

    async def test_names_have_a_form(self, store: Store) -> None:
        """No name leads anywhere else, on any system."""
        for name in ("a", "0/1", "a-b_c.d/e.tar.gz", "_", "-", "x" * 255, "/".join(["dir"] * 20)):
            await store.blobs.put(name, _give(b"x"))
            assert await _load(store.blobs, name) == b"x"
        refused = ("", "/etc/passwd", "../a", "a/../b", "a/..", ".", "..", ".a", "a/.b", "a//b", "a/", "/", "A", "a/B")
        for name in (*refused, "a\0b", "a b", "a\\b", "c:a", "é", "a\n", "x" * 256, "\ud800"):
            with expect(InvalidInput, "blob name"):
                await store.blobs.put(name, _give(b"x"))
            with expect(InvalidInput, "blob name"):
                await _load(store.blobs, name)
            with expect(InvalidInput, "blob name"):
                await store.blobs.delete(name)


async def _put(blobs: Blobs, name: str, data: bytes) -> int:
    return await blobs.put(name, _cut(data, 300_000))


async def _load(blobs: Blobs, name: str) -> bytes:
    return b"".join([piece async for piece in blobs.get(name)])


async def _give(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def _cut(data: bytes, step: int) -> AsyncIterator[bytes]:
    for begin in range(0, len(data), step):
        yield data[begin : begin + step]


async def _fail_after(data: bytes) -> AsyncIterator[bytes]:
    if data:
        yield data
    raise ZeroDivisionError
