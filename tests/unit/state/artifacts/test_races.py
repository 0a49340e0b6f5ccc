"""Does garbage collection leave alone what somebody was told of, whoever comes in between?"""

import asyncio
import random

import pytest
from tests.unit.state.artifacts.stores import MINE, RING, Interrupted, InterruptedBlobs

from quorate.errors import NotFound
from quorate.state.artifacts import ArtifactStore, apply_retention, collect_garbage, rotate_keys, verify_artifacts
from quorate.state.artifacts.upkeep import Retention
from quorate.state.backends.memory import open_memory_store
from quorate.testing import ManualClock

CONTENTS = (b"", b"one", b"two" * 9000)


async def play(seed: int) -> None:
    """Savers, deleters, sweepers and rotators at once, as if in four processes, while hours go by."""
    dice, clock = random.Random(seed), ManualClock()
    async with open_memory_store(clock=clock) as opened:
        values = Interrupted(opened.values, dice)
        blobs = InterruptedBlobs(opened.blobs, values)
        keys = RING if seed % 2 else None
        stores = [ArtifactStore(values, blobs, clock=clock, keys=keys) for _ in range(4)]
        kept: dict[str, bytes] = {}

        async def save(store: ArtifactStore) -> None:
            for _ in range(4):
                content = dice.choice(CONTENTS)
                info = await store.save(dice.choice("ab"), content, caller=MINE)
                assert info.id not in kept
                kept[info.id] = content
                clock.advance(dice.choice((0, 4000)))

        async def delete(store: ArtifactStore) -> None:
            for _ in range(4):
                await asyncio.sleep(0)
                if kept:
                    handle = dice.choice(list(kept))
                    kept.pop(handle)
                    await store.delete(handle, caller=MINE)

        async def tidy(store: ArtifactStore) -> None:
            for _ in range(4):
                await collect_garbage(store, "acme", grace_s=60)
                clock.advance(100)
                if keys is not None:
                    async for _ in rotate_keys(store, "acme"):
                        pass

        async with asyncio.TaskGroup() as group:
            for store, work in zip([*stores, *stores], [save, tidy, delete, save, tidy, save, save, tidy], strict=True):
                group.create_task(work(store))

        for handle, content in kept.items():
            assert await stores[0].load(handle, caller=MINE) == content, handle
        assert [c.fault for c in [c async for c in verify_artifacts(stores[1], "acme")]] == [""] * len(kept)
        # And what is not needed goes: in the end only what is named is there.
        clock.advance(90_000)
        await collect_garbage(stores[2], "acme", grace_s=60)
        assert len(await opened.blobs.list_blobs()) == len(set(kept.values()))
        await apply_retention(stores[3], "acme", Retention(max_count=0))
        assert await opened.blobs.list_blobs() == []
        clock.advance(90_000)
        assert await opened.values.scan("artifact/acme/id/") == []
        assert await opened.values.scan("artifact/acme/blob/") == []


@pytest.mark.parametrize("block", range(10))
async def test_sweeping_beside_saving_takes_nothing_that_was_saved(block: int) -> None:
    """What `save` returned can be read until it is deleted, in every order of events that was played.

    row: E11
    """
    for seed in range(30):
        await play(block * 1000 + seed)


async def test_two_that_delete_the_same_at_once_both_have_it_deleted() -> None:
    """Each is told that it is gone."""
    dice, clock = random.Random(1), ManualClock()
    async with open_memory_store(clock=clock) as opened:
        store = ArtifactStore(Interrupted(opened.values, dice), opened.blobs, clock=clock)
        info = await store.save("a", b"x", caller=MINE)
        outcomes = await asyncio.gather(*(store.delete(info.id, caller=MINE) for _ in range(5)), return_exceptions=True)
        assert {type(o) for o in outcomes if isinstance(o, BaseException)} <= {NotFound}
        assert await opened.blobs.list_blobs() == []


async def test_a_hundred_saves_of_one_name_are_a_hundred_versions() -> None:
    """Nobody is overwritten, and the same bytes are there once."""
    dice, clock = random.Random(2), ManualClock()
    async with open_memory_store(clock=clock) as opened:
        values = Interrupted(opened.values, dice)
        stores = [ArtifactStore(values, opened.blobs, clock=clock) for _ in range(4)]
        saved = await asyncio.gather(*(stores[n % 4].save("a", b"same", caller=MINE) for n in range(100)))
        assert sorted(info.version for info in saved) == list(range(1, 101))
        clock.advance(7200)
        await collect_garbage(stores[0], "acme")
        assert len(await opened.blobs.list_blobs()) == 1
