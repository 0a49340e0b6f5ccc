"""Does what nobody needs go, does what is needed stay, and is what is wrong named?"""

import os

import pytest
from tests.unit.state.artifacts.stores import KEYS, MINE, OPERATOR, build_store, list_blobs, open_store, pieces

from quorate.errors import CorruptState, InvalidInput
from quorate.state.artifacts import (
    Caller,
    KeyRing,
    Retention,
    Swept,
    apply_retention,
    collect_garbage,
    rotate_keys,
    verify_artifacts,
)
from quorate.state.backends.memory import open_memory_store
from quorate.testing import ManualClock


async def test_what_is_named_stays_and_what_is_not_goes() -> None:
    """What was left behind by a save that was cut off goes after the grace, and not before.

    row: E11
    """
    clock = ManualClock()
    async with open_store(clock) as store:
        kept = [await store.save(f"a{n}", f"text {n}", caller=MINE) for n in range(3)]
        lost = await store.save("lost", "lost", caller=MINE)
        stray = f"acme/{'0' * 64}-{'1' * 16}"
        await store.vault.blobs.put(stray, pieces(b"half"))
        await store.values.delete(f"artifact/acme/id/{lost.id}")
        assert await collect_garbage(store, "acme") == Swept()
        clock.advance(3601)
        swept = await collect_garbage(store, "acme")
        assert (swept.blobs, swept.strays, swept.orphans) == (1, 1, 0)
        assert swept.bytes > 0
        assert len(await list_blobs(store)) == 3
        for number, info in enumerate(kept):
            assert await store.load(info, caller=MINE) == f"text {number}".encode()
        assert await collect_garbage(store, "acme") == Swept()


async def test_an_artifact_nobody_was_told_of_goes() -> None:
    """Its save was cut off before it had its name."""
    clock = ManualClock()
    async with open_store(clock) as store:
        info = await store.save("a", "x", caller=MINE)
        (own,) = await store.values.scan("artifact/acme/own/")
        await store.values.delete(own.key)
        clock.advance(7200)
        assert (await collect_garbage(store, "acme")).orphans == 1
        assert await store.find(info.id, caller=MINE) is None
        assert await list_blobs(store) == []
        assert (await store.save("a", "x", caller=MINE)).version == 2


async def test_only_blobs_that_can_be_artifacts_are_swept() -> None:
    """Others may keep theirs in the same place; and other tenants' are not looked at."""
    clock = ManualClock()
    async with open_store(clock) as store:
        for name in ("acme/backup", "acme/x/y", "other/" + "0" * 64 + "-" + "1" * 16):
            await store.vault.blobs.put(name, pieces(b"x"))
        clock.advance(7200)
        assert await collect_garbage(store, "acme") == Swept()
        assert len(await list_blobs(store)) == 3


async def test_a_grace_is_a_minute_at_least() -> None:
    async with open_store() as store:
        with pytest.raises(InvalidInput, match="too short"):
            await collect_garbage(store, "acme", grace_s=59)


@pytest.mark.parametrize(
    ("retention", "left"),
    [
        (Retention(), [0, 1, 2, 3, 4]),
        (Retention(max_age_s=250), [3, 4]),
        (Retention(max_count=2), [3, 4]),
        (Retention(max_bytes=1000), [4]),
        (Retention(max_age_s=450, max_count=3), [2, 3, 4]),
        (Retention(max_count=0), []),
    ],
)
async def test_the_oldest_go_first(retention: Retention, left: list[int]) -> None:
    """By age, by count, by size, and for this tenant only.

    row: E11
    """
    clock = ManualClock(1000.0)
    async with open_store(clock) as store:
        for number in range(5):
            await store.save(f"a{number}", bytes([number]) * 600, caller=MINE)
            clock.advance(100)
        await store.save("a", bytes(600), caller=Caller(tenant="other", run="run-1"))
        gone = await apply_retention(store, "acme", retention)
        kept = [n for n in range(5) if await store.find(f"a{n}", caller=MINE)]
        assert kept == left
        assert len(gone) == 5 - len(left)
        assert len(await list_blobs(store)) == len(left) + 1


async def test_everything_wrong_is_named() -> None:
    """Changed, gone, cut: each artifact that has those bytes, and no other one.

    row: E11
    """
    async with open_store() as store:
        infos = [await store.save(f"a{n}", f"text {n}", caller=MINE) for n in range(4)]
        twin = await store.save("twin", "text 1", caller=MINE)
        names = {blob.name.split("/")[1].split("-")[0]: blob.name for blob in await list_blobs(store)}
        await store.vault.blobs.put(names[infos[1].digest], pieces(b"QA\x01\x00text X"))
        await store.vault.blobs.delete(names[infos[2].digest])
        await store.values.delete(f"artifact/acme/id/{infos[3].id}")
        faults = {checked.info.id: checked.fault async for checked in verify_artifacts(store, "acme")}
        assert faults.pop(infos[0].id) == ""
        assert "others than those that were saved" in faults.pop(infos[1].id)
        assert "others than those that were saved" in faults.pop(twin.id)
        assert "are gone" in faults.pop(infos[2].id)
        assert "listed and is not there" in faults.pop(infos[3].id)
        assert faults == {}


async def test_rotation_encrypts_everything_with_the_newest_key() -> None:
    """Then the old one can be taken away; what was not encrypted at all is encrypted, too.

    row: E11
    """
    clock = ManualClock()
    async with open_memory_store(clock=clock) as opened:
        texts = {f"a{n}": f"text {n} ".encode() * 3000 for n in range(3)}
        plain = build_store(opened, clock)
        old = build_store(opened, clock, keys=KeyRing({"first": KEYS["first"]}))
        for store, name in ((plain, "a0"), (old, "a1"), (old, "a2")):
            await store.save(name, texts[name], caller=MINE)
        both = build_store(opened, clock, keys=KeyRing(KEYS))
        assert [needed async for needed in rotate_keys(both, "acme")] == [True] * 3
        assert [needed async for needed in rotate_keys(both, "acme")] == [False] * 3
        newest = build_store(opened, clock, keys=KeyRing({"second": KEYS["second"]}))
        for name, text in texts.items():
            assert await newest.load(name, caller=MINE) == text
        assert len(await opened.blobs.list_blobs()) == 3
        kept = [b"".join([p async for p in opened.blobs.get(blob.name)]) for blob in await opened.blobs.list_blobs()]
        assert all(len(blob) < 2000 and b"text" not in blob for blob in kept)
        with pytest.raises(InvalidInput, match="no keys to encrypt with"):
            assert [needed async for needed in rotate_keys(plain, "acme")]


async def test_what_is_corrupt_is_not_encrypted_anew() -> None:
    """It stays as it is, for whoever mends it."""
    clock = ManualClock()
    async with open_memory_store(clock=clock) as opened:
        info = await build_store(opened, clock).save("a", b"text", caller=MINE)
        (blob,) = await opened.blobs.list_blobs()
        await opened.blobs.put(blob.name, pieces(b"QA\x01\x00tEXt"))
        with pytest.raises(CorruptState):
            assert [n async for n in rotate_keys(build_store(opened, clock, keys=KeyRing(KEYS)), "acme")]
        assert [b.name for b in await opened.blobs.list_blobs()] == [blob.name]
        assert info.digest in blob.name


async def test_a_reader_goes_on_while_keys_are_rotated() -> None:
    """The old blob is gone under its feet; it finds the new one and goes on where it was."""
    clock = ManualClock()
    async with open_memory_store(clock=clock) as opened:
        text = os.urandom(200_000)
        old = build_store(opened, clock, keys=KeyRing({"first": KEYS["first"]}))
        info = await old.save("a", text, caller=MINE)
        both = build_store(opened, clock, keys=KeyRing(KEYS))
        held = await both.vault.find("acme", info.digest)
        assert held is not None

        class Slow:
            """Blobs of which one is rotated away between its first piece and its second."""

            put, delete, list_blobs = opened.blobs.put, opened.blobs.delete, opened.blobs.list_blobs

            async def get(self, name: str):
                whole = b"".join([piece async for piece in opened.blobs.get(name)])
                yield whole[:100_000]
                if name == held.row.blob:
                    assert [needed async for needed in rotate_keys(both, "acme")] == [True]
                async for rest in opened.blobs.get(name):
                    yield rest[100_000:]

        slow = build_store(opened, clock, keys=KeyRing(KEYS))
        slow.vault.blobs = Slow()
        assert await slow.load(info, caller=OPERATOR) == text
