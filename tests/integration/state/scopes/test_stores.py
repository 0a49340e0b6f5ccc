"""Do stored values hold on real databases, over restarts and between processes?"""

import asyncio
import sys
from pathlib import Path

import pytest
from msgspec import Struct
from tests.integration.state.scopes.conftest import Open

from quorate.errors import Conflict, CorruptState
from quorate.ports import StateScope
from quorate.state.places import ScopeRef
from quorate.state.schemas import StateSchema
from quorate.state.scopes import RunStateView, StateStore

TENANT = ScopeRef(scope="tenant", tenant="default")
REFS = [
    ScopeRef(scope="global"),
    TENANT,
    *(
        ScopeRef(scope=scope, tenant=tenant, id=id_)
        for scope in ("user", "session", "agent", "workflow", "run")
        for tenant in ("default", "other")
        for id_ in ("a", "a/b", "a_b", "ann@example.org", "ü ~ %", "..")
    ),
]


def add_one(value: object) -> object:
    return value + 1 if isinstance(value, int) else 1


async def test_values_survive_a_restart(open_again: Open) -> None:
    """Every scope, with its revisions; a second process sees the same. row: E5"""
    async with open_again() as store:
        state = StateStore(store.values)
        entries = [await state.set(ref, f"cart/{place}", {"place": place}) for place, ref in enumerate(REFS)]
        digest = await state.digest()
    async with open_again() as store, open_again() as beside:
        for state in (StateStore(store.values), StateStore(beside.values)):
            for place, ref in enumerate(REFS):
                assert await state.get(ref, f"cart/{place}") == entries[place]
                assert await state.names(ref) == [f"cart/{place}"]
            assert await state.digest() == digest
        owners = await StateStore(store.values).list_owners("user", tenant="default")
        assert sorted(owners) == sorted(["a", "a/b", "a_b", "ann@example.org", "ü ~ %", ".."])


async def test_a_hundred_increments_at_once(open_again: Open) -> None:
    """From one store, and from four that know nothing of each other. row: E5"""
    async with open_again() as first, open_again() as second, open_again() as third, open_again() as fourth:
        stores = [StateStore(one.values) for one in (first, second, third, fourth)]
        async with asyncio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(stores[0].update(TENANT, "one", add_one))
        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(stores[number % 4].update(TENANT, "four", add_one))
        for name in ("one", "four"):
            entry = await stores[0].get(TENANT, name)
            assert entry is not None
            assert entry.value == 100


async def test_increments_of_four_processes(address: str, open_again: Open) -> None:
    """Each is there, or was refused as a conflict. row: E5"""
    async with open_again():
        pass
    program = str(Path(__file__).with_name("counter.py"))
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, program, address, "25", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        for _ in range(4)
    ]
    done = 0
    for process in processes:
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        done += int(out)
    async with open_again() as store:
        entry = await StateStore(store.values).get(TENANT, "count")
    assert entry is not None
    assert (entry.value, done) == (100, 100)


async def test_a_conflict_names_both_revisions(open_again: Open) -> None:
    """Whoever wrote: another store of the same database. row: E5"""
    async with open_again() as first, open_again() as second:
        one, two = StateStore(first.values), StateStore(second.values)
        seen = await one.set(TENANT, "cart", 1, if_revision=0)
        newer = await two.set(TENANT, "cart", 2, if_revision=seen.revision)
        with pytest.raises(Conflict, match=f"has revision {newer.revision}, not {seen.revision}: somebody else wrote"):
            await one.set(TENANT, "cart", 3, if_revision=seen.revision)
        with pytest.raises(Conflict, match=f"has revision {newer.revision}, and nothing was expected there"):
            await one.set(TENANT, "cart", 3, if_revision=0)
        with pytest.raises(Conflict, match=f"has revision {newer.revision}, not {seen.revision}"):
            await one.delete(TENANT, "cart", if_revision=seen.revision)


async def test_time_left_is_kept(open_again: Open) -> None:
    """By the store's clock, through changes and migrations."""
    v1 = StateSchema(name="code", type=int)
    v2 = StateSchema(name="code", version=2, type=str, migrations={1: str})
    async with open_again() as store:
        state = StateStore(store.values, schemas=[v1])
        stored = await state.set(TENANT, "code", 1, ttl_s=3600)
        changed = await state.update(TENANT, "code", add_one)
        await state.with_schemas([v2]).migrate()
        migrated = await state.with_schemas([v2]).get(TENANT, "code")
    assert migrated is not None
    assert migrated.value == "2"
    for entry in (changed, migrated):
        assert entry.expires == pytest.approx(stored.expires, abs=2.0)


async def test_a_watcher_sees_what_another_process_does(open_again: Open) -> None:
    """Changes, and that something is gone. row: E5"""
    async with open_again() as first, open_again() as second:
        ours, theirs = StateStore(first.values), StateStore(second.values)
        async with ours.watch(TENANT, prefix="cart/", poll_s=0.01) as changes, asyncio.timeout(30):
            await theirs.set(TENANT, "cart/1", "tea")
            await theirs.set(TENANT, "other", "not looked at")
            change = await anext(changes)
            assert change.entry is not None
            assert (change.name, change.entry.value) == ("cart/1", "tea")
            await theirs.delete(TENANT, "cart/1")
            change = await anext(changes)
            assert (change.name, change.entry) == ("cart/1", None)


class Cart(Struct):
    items: list[str]


def list_items(value: object) -> object:
    if value == "poison":
        raise ValueError("it cannot be a list")
    return {"items": [value]}


async def test_a_migration_that_fails_is_rolled_back(open_again: Open) -> None:
    """Every value is byte by byte what it was, and the older program goes on with them. row: E5"""
    v1 = StateSchema(name="cart", type=str)
    v2 = StateSchema(name="cart", version=2, type=Cart, migrations={1: list_items})
    async with open_again() as store:
        old = StateStore(store.values, schemas=[v1])
        for number in range(60):
            await old.set(TENANT, f"cart/{number:03}", "poison" if number == 50 else "tea")
        digest = await old.digest()
        with pytest.raises(CorruptState, match=r"the values that had been \(50\) are as they were"):
            await old.with_schemas([v2]).migrate()
        assert await old.digest() == digest
    async with open_again() as store:
        old = StateStore(store.values, schemas=[v1])
        assert (await old.get(TENANT, "cart/000")).value == "tea"  # type: ignore[union-attr]
        await old.delete(TENANT, "cart/050")
        new = old.with_schemas([v2])
        assert (await new.migrate()).changed == 59
        assert (await new.get(TENANT, "cart/000")).value == Cart(["tea"])  # type: ignore[union-attr]


def open_view(state: StateStore) -> RunStateView:
    def ignore(scope: StateScope, name: str, revision: int) -> None: ...

    return RunStateView(state, tenant="default", run="run-1", ids={"user": "ann"}, record=ignore)


async def test_what_delegates_keep_survives_a_restart(open_again: Open) -> None:
    """Their layers, what they forgot, and a copy as it was taken."""
    async with open_again() as store:
        parent = open_view(StateStore(store.values))
        for number in range(70):
            await parent.set(f"n{number:02}", "before")
        heir, copy = parent.open_child("inherit", "1/tool/a"), parent.open_child("copy", "1/tool/b")
        await heir.set("n00", "heir's")
        await heir.delete("n01")
        assert len(await copy.names()) == 70
        await parent.set("n02", "after")
    async with open_again() as store:
        parent = open_view(StateStore(store.values))
        heir, copy = parent.open_child("inherit", "1/tool/a"), parent.open_child("copy", "1/tool/b")
        seen = {name: await heir.get(name) for name in ("n00", "n01", "n02")}
        assert {name: entry and entry.value for name, entry in seen.items()} == {
            "n00": "heir's",
            "n01": None,
            "n02": "after",
        }
        assert len(await heir.names()) == 69
        copied = await copy.get("n02")
        assert copied is not None
        assert copied.value == "before"
