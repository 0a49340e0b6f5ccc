"""Does the store keep each value for those who share it, and lose no change?"""

import asyncio
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.state.scopes.test_places import HOSTILE_NAMES, NAMES, refs

from quorate.errors import Conflict, CorruptState, InvalidInput, TooLarge
from quorate.ports import Entry, KeyValue
from quorate.state.backends.memory import MemoryValues
from quorate.state.places import ScopeRef, build_key
from quorate.state.rows import Patience
from quorate.state.scopes import StateStore
from quorate.testing.clock import ManualClock

SESSION = ScopeRef(scope="session", tenant="default", id="s-1")


async def pause(seconds: float) -> None:
    """Let a turn of the event loop be a millisecond, so that a machine that is busy changes nothing."""
    for _ in range(round(seconds * 1000)):
        await asyncio.sleep(0)


class Slow:
    """A `KeyValue` that lets others go first between a read and the write that follows, as a server does."""

    def __init__(self, inner: KeyValue) -> None:
        self._inner = inner

    async def get(self, key: str) -> Entry | None:
        await asyncio.sleep(0)
        return await self._inner.get(key)

    async def put(self, key: str, value: bytes, *, if_revision: int | None = None, ttl_s: float | None = None) -> Entry:
        await asyncio.sleep(0)
        return await self._inner.put(key, value, if_revision=if_revision, ttl_s=ttl_s)

    async def delete(self, key: str, *, if_revision: int | None = None) -> bool:
        return await self._inner.delete(key, if_revision=if_revision)

    async def scan(self, prefix: str, *, after: str = "", limit: int = 100) -> list[Entry]:
        return await self._inner.scan(prefix, after=after, limit=limit)


def add_one(value: object) -> object:
    return value + 1 if isinstance(value, int) else 1


async def test_a_value_is_read_as_it_was_stored(values: KeyValue) -> None:
    """With its revision; where nothing is, there is nothing."""
    store = StateStore(values)
    assert await store.get(SESSION, "cart") is None
    stored = await store.set(SESSION, "cart", {"items": ["tea"], "total": 1.5, "note": None})
    assert stored.value == {"items": ["tea"], "total": 1.5, "note": None}
    assert await store.get(SESSION, "cart") == stored
    again = await store.set(SESSION, "cart", None)
    assert again.revision > stored.revision
    assert (await store.get(SESSION, "cart")) == again
    assert await store.delete(SESSION, "cart") is True
    assert await store.delete(SESSION, "cart") is False
    assert await store.get(SESSION, "cart") is None


async def test_what_is_read_is_a_copy(values: KeyValue) -> None:
    """Nobody changes what is stored by changing what they hold."""
    store, given_ = StateStore(values), {"items": ["tea"]}
    stored = await store.set(SESSION, "cart", given_)
    given_["items"].append("salt")
    stored.value["items"].append("pepper")  # type: ignore[index]
    entry = await store.get(SESSION, "cart")
    assert entry is not None
    assert entry.value == {"items": ["tea"]}


@given(st.lists(st.tuples(refs(), NAMES), unique=True, min_size=2, max_size=8))
def test_scopes_are_isolated(places: list[tuple[ScopeRef, str]]) -> None:
    """Whatever the owners and names are, each reads and lists exactly what it stored. row: E5"""

    async def check() -> None:
        store = StateStore(MemoryValues(ManualClock()))
        for number, (ref, name) in enumerate(places):
            await store.set(ref, name, number)
        for number, (ref, name) in enumerate(places):
            entry = await store.get(ref, name)
            assert entry is not None
            assert entry.value == number
            assert await store.names(ref) == sorted(other for owner, other in places if owner == ref)
        ref, name = places[0]
        await store.delete(ref, name)
        for other, kept in places[1:]:
            assert await store.get(other, kept) is not None

    asyncio.run(check())


async def test_another_tenant_is_the_same_as_absent(values: KeyValue) -> None:
    """The same names and ids in another tenant hold nothing. row: E5"""
    store = StateStore(values)
    await store.set(ScopeRef(scope="session", tenant="ours", id="s-1"), "cart", 1)
    theirs = ScopeRef(scope="session", tenant="theirs", id="s-1")
    assert await store.get(theirs, "cart") is None
    assert await store.names(theirs) == []
    assert await store.list_owners("session", tenant="theirs") == []
    assert await store.delete(theirs, "cart") is False
    assert await store.clear(theirs) == 0
    assert await store.list_owners("session", tenant="ours") == ["s-1"]


async def test_a_hundred_increments_at_once_are_a_hundred(values: KeyValue) -> None:
    """In one process none of them even meets another. row: E5"""
    store = StateStore(Slow(values))
    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(store.update(SESSION, "count", add_one))
    entry = await store.get(SESSION, "count")
    assert entry is not None
    assert entry.value == 100


@pytest.mark.parametrize("stores", [2, 10, 100])
def test_increments_of_several_processes_are_all_there_or_a_conflict(stores: int) -> None:
    """A hundred, from as many stores as there might be processes: each one counts, or says that it does not. row: E5"""

    async def check() -> None:
        shared = Slow(MemoryValues(ManualClock()))
        patience = Patience(sleep=pause, random=Random(7).random)
        all_stores = [StateStore(shared, patience=patience) for _ in range(stores)]
        done = 0

        async def increment(store: StateStore) -> None:
            nonlocal done
            try:
                await store.update(SESSION, "count", add_one)
            except Conflict:
                return
            done += 1

        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(increment(all_stores[number % stores]))
        entry = await all_stores[0].get(SESSION, "count")
        assert entry is not None
        assert entry.value == done
        assert done == 100

    asyncio.run(check())


async def test_an_update_gives_up_in_the_end(values: KeyValue) -> None:
    """When others are quicker every time, it says so instead of trying for ever; the waits grow and are spread."""
    waits: list[float] = []

    async def pause(seconds: float) -> None:
        waits.append(seconds)

    rival = StateStore(values)
    store = StateStore(values, patience=Patience(attempts=8, sleep=pause, random=lambda: 1.0))

    class Rival(Slow):
        async def get(self, key: str) -> Entry | None:
            entry = await super().get(key)
            await rival.update(SESSION, "count", add_one)
            return entry

    store = StateStore(Rival(values), patience=Patience(attempts=8, sleep=pause, random=lambda: 1.0))
    with pytest.raises(Conflict, match=r"was changed by others 8 times while it was to be changed here \(seen last: "):
        await store.update(SESSION, "count", add_one)
    assert waits == [0.004 * 2**n for n in range(6)] + [0.25, 0.25]


async def test_update_takes_a_plain_function(values: KeyValue) -> None:
    """One that waits would let others write meanwhile."""

    async def change(value: object) -> object:
        return value

    store = StateStore(values)
    with pytest.raises(InvalidInput, match="`update` takes a plain function"):
        await store.update(SESSION, "count", change)
    assert await store.get(SESSION, "count") is None


async def test_what_a_change_raises_is_raised_and_nothing_is_stored(values: KeyValue) -> None:
    """And others can go on."""
    store = StateStore(values)
    with pytest.raises(ZeroDivisionError):
        await store.update(SESSION, "count", lambda value: 1 // 0)
    assert (await store.update(SESSION, "count", add_one)).value == 1


async def test_a_conflict_names_both_revisions(values: KeyValue) -> None:
    """What is there, and what was expected. row: E5"""
    store = StateStore(values)
    first = await store.set(SESSION, "cart", 1, if_revision=0)
    second = await store.set(SESSION, "cart", 2, if_revision=first.revision)
    with pytest.raises(Conflict) as caught:
        await store.set(SESSION, "cart", 3, if_revision=first.revision)
    assert str(caught.value) == (
        f"state 'cart' of session 's-1' has revision {second.revision}, not {first.revision}: somebody else wrote "
        "first. Read it again and decide anew."
    )
    assert (caught.value.context["revision"], caught.value.context["expected"]) == (second.revision, first.revision)
    with pytest.raises(Conflict, match=f"has revision {second.revision}, and nothing was expected there"):
        await store.set(SESSION, "cart", 3, if_revision=0)
    with pytest.raises(Conflict, match=f"has revision {second.revision}, not {first.revision}"):
        await store.delete(SESSION, "cart", if_revision=first.revision)
    await store.delete(SESSION, "cart", if_revision=second.revision)
    with pytest.raises(Conflict, match=f"is not there, not {second.revision}"):
        await store.set(SESSION, "cart", 3, if_revision=second.revision)


async def test_a_value_that_was_deleted_and_stored_again_is_another_one(values: KeyValue) -> None:
    """Its revision is new, so whoever knew the old one is told."""
    store = StateStore(values)
    first = await store.set(SESSION, "cart", 1)
    await store.delete(SESSION, "cart")
    await store.set(SESSION, "cart", 1)
    with pytest.raises(Conflict):
        await store.set(SESSION, "cart", 2, if_revision=first.revision)


def unite(old: object, new: object) -> object:
    assert isinstance(old, list)
    assert isinstance(new, list)
    return sorted({*old, *new})


async def test_policies_for_conflicts(values: KeyValue) -> None:
    """Refuse, write all the same, or make one value of both. row: E5"""
    store = StateStore(values)
    first = await store.set(SESSION, "tags", ["a"])
    await store.set(SESSION, "tags", ["a", "b"], if_revision=first.revision)
    with pytest.raises(Conflict):
        await store.set(SESSION, "tags", ["a", "c"], if_revision=first.revision, conflict="refuse")
    merged = await store.set(SESSION, "tags", ["a", "c"], if_revision=first.revision, conflict=unite)
    assert merged.value == ["a", "b", "c"]
    unasked = await store.set(SESSION, "tags", ["d"], if_revision=merged.revision, conflict=unite)
    assert unasked.value == ["d"]
    blind = await store.set(SESSION, "tags", ["e"], conflict=unite)
    assert blind.value == ["d", "e"]
    last = await store.set(SESSION, "tags", ["z"], if_revision=first.revision, conflict="last_write")
    assert last.value == ["z"]
    await store.delete(SESSION, "tags")
    assert (await store.set(SESSION, "tags", ["n"], if_revision=last.revision, conflict=unite)).value == ["n"]


async def test_merges_at_once_lose_nothing(values: KeyValue) -> None:
    """Twenty writers who know nothing of each other."""
    patience = Patience(sleep=pause, random=Random(7).random)
    stores = [StateStore(Slow(values), patience=patience) for _ in range(20)]
    async with asyncio.TaskGroup() as group:
        for number, store in enumerate(stores):
            group.create_task(store.set(SESSION, "tags", [number], conflict=unite))
    entry = await stores[0].get(SESSION, "tags")
    assert entry is not None
    assert entry.value == list(range(20))


async def test_a_value_lasts_as_long_as_it_is_told(values: KeyValue, clock: ManualClock) -> None:
    """Then it is absent everywhere; a change keeps the time that is left, storing anew does not. row: E5"""
    store = StateStore(values, clock=clock)
    stored = await store.set(SESSION, "code", 1, ttl_s=60)
    assert stored.expires == clock.now() + 60
    clock.advance(30)
    changed = await store.update(SESSION, "code", add_one)
    assert (changed.value, changed.expires) == (2, stored.expires)
    clock.advance(29.9)
    assert await store.get(SESSION, "code") is not None
    clock.advance(0.2)
    assert await store.get(SESSION, "code") is None
    assert await store.names(SESSION) == []
    assert await store.delete(SESSION, "code") is False
    assert (await store.update(SESSION, "code", add_one)).expires is None
    await store.set(SESSION, "code", 1, ttl_s=60)
    assert (await store.set(SESSION, "code", 2)).expires is None


@pytest.mark.parametrize("off_s", [3600.0, -3600.0])
async def test_time_is_the_stores_own(values: KeyValue, clock: ManualClock, off_s: float) -> None:
    """A process whose clock is an hour off keeps what is left of a value's time all the same."""
    ours = ManualClock(clock.now() + off_s)
    store = StateStore(values, clock=ours)
    stored = await store.set(SESSION, "code", 1, ttl_s=600)
    other = StateStore(values, clock=ours)
    changed = await other.update(SESSION, "code", add_one)
    assert stored.expires is not None
    assert changed.expires == pytest.approx(stored.expires, abs=1.0)


@pytest.mark.parametrize("ttl_s", [0, -1, float("nan"), float("inf")])
async def test_a_time_that_is_none_is_refused(values: KeyValue, ttl_s: float) -> None:
    """Seconds above 0, or for ever."""
    with pytest.raises(InvalidInput, match="give seconds above 0, or `None` for ever"):
        await StateStore(values).set(SESSION, "code", 1, ttl_s=ttl_s)


async def test_size_is_bounded_as_set(values: KeyValue) -> None:
    """256 KB unless more is asked for, up to 1 MiB; nothing is written."""
    store = StateStore(values)
    await store.set(SESSION, "text", "x" * 250_000)
    with pytest.raises(TooLarge, match="save it as an artifact and store the handle"):
        await store.set(SESSION, "text", "x" * (256 << 10))
    large = StateStore(values, max_bytes=1 << 20)
    await large.set(SESSION, "text", "x" * ((1 << 20) - 100))
    with pytest.raises(TooLarge):
        await large.set(SESSION, "text", '"' * (600 << 10))
    small = StateStore(values, max_bytes=100)
    with pytest.raises(TooLarge, match="at most 100 are kept"):
        await small.set(SESSION, "text", "x" * 95)
    with pytest.raises(InvalidInput, match="`max_bytes` is 1048577; a stored value has 1 to 1048576 bytes"):
        StateStore(values, max_bytes=(1 << 20) + 1)


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
async def test_every_operation_refuses_hostile_names(values: KeyValue, name: str) -> None:
    """Nothing is read, written or deleted."""
    store = StateStore(values)
    operations: list[Callable[[], object]] = [
        lambda: store.get(SESSION, name),
        lambda: store.set(SESSION, name, 1),
        lambda: store.update(SESSION, name, add_one),
        lambda: store.delete(SESSION, name),
    ]
    for operation in operations:
        with pytest.raises(InvalidInput, match="state name "):
            await operation()  # type: ignore[misc]
    assert await values.scan("") == []


async def test_a_name_is_no_place_for_a_secret(values: KeyValue) -> None:
    """Names are shown in logs and lists."""
    key = "sk-proj-abcdefghijklmnop0123"
    with pytest.raises(InvalidInput, match="The name of a value looks like a key or a token") as caught:
        await StateStore(values).set(SESSION, f"keys/{key}", 1)
    assert key not in str(caught.value)


async def test_names_come_in_order_and_in_pages(values: KeyValue) -> None:
    """Those that begin so, behind a name, and so many at most."""
    store = StateStore(values)
    names = sorted(["a", "a/b", "a.b", "a0", "b", "cart/1", "cart/10", "cart/2", "cart", "z", "Z", "_x"])
    for name in names:
        await store.set(SESSION, name, name)
    assert await store.names(SESSION) == names
    assert await store.names(SESSION, prefix="cart/") == ["cart/1", "cart/10", "cart/2"]
    assert await store.names(SESSION, prefix="a") == ["a", "a.b", "a/b", "a0"]
    paged, after = list[str](), ""
    while page := await store.names(SESSION, after=after, limit=5):
        paged += page
        after = page[-1]
    assert paged == names
    for prefix in ("..", "~", "a//", "a\0", "/"):
        with pytest.raises(InvalidInput, match="no state name begins with"):
            await store.names(SESSION, prefix=prefix)


async def test_what_is_known_of_values(values: KeyValue, clock: ManualClock) -> None:
    """Size, revision, times: without reading them."""
    store = StateStore(values, clock=clock)
    entry = await store.set(SESSION, "cart", {"a": 1}, ttl_s=5)
    (info,) = await store.list_values(SESSION)
    assert (info.name, info.revision, info.expires, info.size) == ("cart", entry.revision, entry.expires, 17)
    assert (info.updated, info.schema, info.version) == (clock.now(), "", 0)


async def test_owners_are_listed(values: KeyValue) -> None:
    """Each once, however many values there are, in the order of their keys."""
    store = StateStore(values)
    owners = ["a", "a-b", "a/b", "a0", "a.b", "b", "s-1", "s-10", "ü"]
    for owner in owners:
        for name in ("x", "y/z"):
            await store.set(ScopeRef(scope="session", tenant="default", id=owner), name, 1)
    await store.set(ScopeRef(scope="user", tenant="default", id="ann"), "x", 1)
    assert sorted(await store.list_owners("session", tenant="default")) == sorted(owners)
    assert len(await store.list_owners("session", tenant="default", limit=3)) == 3


async def test_an_owner_is_cleared(values: KeyValue) -> None:
    """A run with its delegates; nobody else."""
    store = StateStore(values)
    run = ScopeRef(scope="run", tenant="default", id="run-1")
    delegate = ScopeRef(scope="run", tenant="default", id="run-1", path="1/tool/a")
    other = ScopeRef(scope="run", tenant="default", id="run-10")
    for ref in (run, delegate, other):
        await store.set(ref, "x", 1)
    assert await store.clear(run) == 2
    assert await store.get(delegate, "x") is None
    assert await store.get(other, "x") is not None


async def test_a_row_that_does_not_verify_is_told(values: KeyValue) -> None:
    """With whose it is and what to do; it stays as it is."""
    store = StateStore(values)
    for data in (b"", b"[]", b"{", b'{"value":', b'{"value": tru}', b"\xff", b"[" * 5000):
        await values.put(build_key(SESSION, "cart"), data)
        with pytest.raises(CorruptState, match=r"^state 'cart' of session 's-1' does not verify: .* Restore it from"):
            await store.get(SESSION, "cart")
        assert await store.names(SESSION) == ["cart"]
        assert "does not verify" in (await store.list_values(SESSION))[0].fault
    await store.set(SESSION, "cart", 1)


async def test_the_digest_tells_whether_all_is_there(values: KeyValue, clock: ManualClock) -> None:
    """The same after everything was copied into another store, another one after the least change. row: E5"""
    store = StateStore(values)
    for number in range(450):
        await store.set(ScopeRef(scope="user", tenant=f"t-{number % 3}", id=f"u{number % 7}"), f"n/{number}", number)
    whole, one = await store.digest(), await store.digest(tenant="t-1")
    restored = MemoryValues(clock)
    for entry in reversed(await values.scan("state/", limit=1000)):
        await restored.put(entry.key, entry.value)
    again = StateStore(restored)
    assert (await again.digest(), await again.digest(tenant="t-1")) == (whole, one)
    await again.set(ScopeRef(scope="user", tenant="t-0", id="u0"), "n/0", -1)
    assert await again.digest() != whole
    assert await again.digest(tenant="t-1") == one
