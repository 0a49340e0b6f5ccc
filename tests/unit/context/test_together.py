"""Does nobody lose anything when many write at once, and do caps hold then, too?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

import pytest
from tests.unit.context.hive import ACME, member

from quorate.context.memory.kinds import MemoryRules, Retention
from quorate.context.memory.memories import Memories
from quorate.context.memory.rank import cut
from quorate.errors import Unavailable
from quorate.ports import Entry, KeyValue, Store
from quorate.state.backends.memory import open_memory_store
from quorate.state.backends.sqlite import open_sqlite_store
from quorate.testing.clock import ManualClock

SMALL = MemoryRules(semantic=Retention(max_entries=5, max_kb=100, half_life_s=1000.0))
pytestmark = pytest.mark.blocking


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Store]:
    opened: AbstractAsyncContextManager[Store] = (
        open_memory_store(clock=clock)
        if request.param == "memory"
        else open_sqlite_store(tmp_path / "quorate.db", clock=clock)
    )
    async with opened as store:
        yield store


async def no_wait(_: float) -> None:
    await asyncio.sleep(0)


async def test_whoever_says_the_same_at_once_is_counted(store: Store, clock: ManualClock) -> None:
    """Twelve writers in three processes, two of them the same member; and readers beside them."""
    processes = [Memories(store.values, prefix=ACME, clock=clock, sleep=no_wait) for _ in range(3)]
    members = [member(f"agent-{number}") for number in range(6)]
    async with asyncio.TaskGroup() as group:
        for number in range(12):
            hive, who = processes[number % 3], members[number % 6]
            group.create_task(hive.remember("the pump is red", who, visibility="shared", key=f"call-{number}"))
            group.create_task(hive.recall("pump", who, key=f"recall-{number}"))
    found = await processes[0].find("pump", member("reader"), kinds=["semantic"])
    (one,) = found.found
    assert len(one.entry.contributors) == 6
    assert one.entry.times == 12
    (agreed,) = (await processes[0].find("pump", member("reader"), kinds=["collective"])).found
    assert len(agreed.entry.contributors) == 6


async def test_caps_hold_when_many_write_at_once(store: Store, clock: ManualClock) -> None:
    """The most important of all stay, whoever was first, and no more of them than may be. row: D10, A16"""
    processes = [Memories(store.values, prefix=ACME, rules=SMALL, clock=clock, sleep=no_wait) for _ in range(3)]
    async with asyncio.TaskGroup() as group:
        for number in range(24):
            said = processes[number % 3].remember(
                f"pump number{number}", member(f"agent-{number % 4}"), visibility="shared", importance=number / 24
            )
            group.create_task(said)
    found = await processes[0].find("", member(), limit=20)
    assert sorted(one.entry.text for one in found.found) == sorted(f"pump number{n}" for n in range(19, 24))
    small = processes[1].remember("a small thing", member("agent-0"), visibility="shared", importance=0.0)
    full = await small
    assert (full.outcome, full.entry) == ("full", None)
    assert len(await store.values.scan(ACME)) == 5


async def test_who_says_a_lot_does_not_make_others_be_forgotten(store: Store, clock: ManualClock) -> None:
    """A full shelf lets go of what one alone says beyond its share, however important that one finds it."""
    rules = MemoryRules(semantic=Retention(max_entries=8, max_kb=100, half_life_s=1000.0))
    hive = Memories(store.values, prefix=ACME, rules=rules, clock=clock)
    for number in range(3):
        await hive.remember(f"quiet {number}", member(f"quiet-{number}"), visibility="shared", importance=0.1)
    for number in range(20):
        await hive.remember(f"loud {number}", member("loud"), visibility="shared", importance=1.0)
    kept = [one.entry.text.split()[0] for one in (await hive.find("", member(), limit=20)).found]
    assert (kept.count("quiet"), kept.count("loud")) == (3, 5)


async def test_bytes_are_capped_too(store: Store, clock: ManualClock) -> None:
    rules = MemoryRules(semantic=Retention(max_entries=100, max_kb=3, half_life_s=1000.0))
    hive = Memories(store.values, prefix=ACME, rules=rules, clock=clock)
    for number in range(8):
        await hive.remember(f"pump {number} {'x' * 700}", member())
    assert 0 < sum(len(entry.value) for entry in await store.values.scan(ACME)) <= 3000


@pytest.mark.parametrize("kind", ["episodic", "semantic", "procedural", "working"])
async def test_memory_outlives_the_process(tmp_path: Path, clock: ManualClock, kind: str) -> None:
    """Another process finds what this one kept, of every kind. row: A16"""
    async with open_sqlite_store(tmp_path / "kept.db", clock=clock) as store:
        await Memories(store.values, prefix=ACME, clock=clock).remember("the pump is red", member(), kind=kind)
    clock.advance(60.0)
    async with open_sqlite_store(tmp_path / "kept.db", clock=clock) as store:
        found = await Memories(store.values, prefix=ACME, clock=clock).find("pump", member())
    assert [(one.entry.text, one.entry.kind) for one in found.found] == [("the pump is red", kind)]


class Dying:
    """Values that are gone after so many writes, as for a process that dies."""

    def __init__(self, inner: KeyValue, writes: int) -> None:
        self._inner = inner
        self._left = writes

    def _count(self) -> None:
        if self._left <= 0:
            raise Unavailable("It died.")
        self._left -= 1

    async def get(self, key: str) -> Entry | None:
        return await self._inner.get(key)

    async def put(self, key: str, value: bytes, *, if_revision: int | None = None, ttl_s: float | None = None) -> Entry:
        self._count()
        return await self._inner.put(key, value, if_revision=if_revision, ttl_s=ttl_s)

    async def delete(self, key: str, *, if_revision: int | None = None) -> bool:
        self._count()
        return await self._inner.delete(key, if_revision=if_revision)

    async def scan(self, prefix: str, *, after: str = "", limit: int = 100) -> list[Entry]:
        return await self._inner.scan(prefix, after=after, limit=limit)


@pytest.mark.parametrize("writes", range(8))
async def test_a_crash_between_any_two_steps_leaves_nothing_broken(
    open_hive: Callable[..., Memories], store: Store, clock: ManualClock, writes: int
) -> None:
    """The call is made again and ends as if nothing had happened: remembered once, promoted once, within the caps."""
    rules = MemoryRules(semantic=SMALL.semantic, collective=SMALL.semantic)
    for number in range(5):
        await open_hive(rules).remember(f"old {number}", member(), visibility="shared", importance=0.1)
    for agent in ("a", "b"):
        await open_hive(rules).remember("the pump is red", member(agent), visibility="shared")
    dying = Memories(Dying(store.values, writes), prefix=ACME, rules=rules, clock=clock)
    with suppress(Unavailable):
        await dying.remember("the pump is red", member("c"), visibility="shared", key="call-1")
    assert len((await open_hive(rules).find("pump", member())).found) == 1
    done = await open_hive(rules).remember("the pump is red", member("c"), visibility="shared", key="call-1")
    assert done.entry is not None
    assert (done.entry.times, len(done.entry.contributors)) == (3, 3)
    (agreed,) = (await open_hive(rules).find("pump", member(), kinds=["collective"])).found
    assert 1 <= len(agreed.entry.contributors) <= 3
    assert agreed.entry.level == pytest.approx(len(agreed.entry.contributors))
    assert len((await open_hive(rules).find("", member(), kinds=["semantic"], limit=20)).found) == 5


def test_nothing_found_is_cut_to_nothing() -> None:
    assert cut([], limit=1, max_chars=1).found == ()
