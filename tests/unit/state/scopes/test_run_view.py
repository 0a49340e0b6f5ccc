"""What may a run reach of stored values, and what do its delegates see of its own?"""

import asyncio
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.errors import Conflict, Forbidden, InvalidInput, Unavailable
from quorate.ports import Entry, KeyValue, RunState, Sharing, StateScope
from quorate.state.backends.memory import MemoryValues
from quorate.state.places import ScopeRef
from quorate.state.scopes import RunStateView, StateStore
from quorate.testing.clock import ManualClock

WRITABLE: tuple[StateScope, ...] = ("run", "session", "user", "agent", "workflow", "tenant")
IDS: dict[StateScope, str | None] = {"user": "ann", "session": "s-1", "agent": "lead", "workflow": "w-1"}


class Noted:
    """What a view told its run's log."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, str, int]] = []

    def __call__(self, scope: StateScope, name: str, revision: int) -> None:
        self.changes.append((scope, name, revision))


def open_view(
    store: StateStore, *, tenant: str = "default", run: str = "run-1", noted: Noted | None = None, **ids: str | None
) -> RunStateView:
    return RunStateView(store, tenant=tenant, run=run, ids={**IDS, **ids}, record=noted or Noted())  # type: ignore[dict-item]


async def read(state: RunState, name: str, scope: StateScope = "run") -> object:
    entry = await state.get(name, scope=scope)
    return entry.value if entry is not None else "absent"


async def test_each_scope_is_kept_apart(values: KeyValue) -> None:
    """A run has its own, its session's, its user's, its agent's, its workflow's and its tenant's values."""
    view: RunState = open_view(StateStore(values))
    for scope in WRITABLE:
        await view.set("x", scope, scope=scope)
    for scope in WRITABLE:
        assert await read(view, "x", scope) == scope
        assert await view.names(scope=scope) == ["x"]
        assert (await view.update("n", lambda value: (value or 0) + 1, scope=scope)).value == 1  # type: ignore[operator]
        assert await view.delete("x", scope=scope) is True
        assert await view.delete("x", scope=scope) is False
        assert await view.names(scope=scope) == ["n"]


async def test_who_shares_a_value_sees_it(values: KeyValue) -> None:
    """Another run of the same user sees the user's values, one of another user does not; and so on. row: E5"""
    store = StateStore(values)
    mine = open_view(store)
    for scope in WRITABLE:
        await mine.set("x", scope, scope=scope)
    for changed, still in (
        ({"user": "bob"}, ("session", "agent", "workflow", "tenant")),
        ({"session": "s-2"}, ("user", "agent", "workflow", "tenant")),
        ({"agent": "helper"}, ("user", "session", "workflow", "tenant")),
        ({"workflow": "w-2"}, ("user", "session", "agent", "tenant")),
    ):
        other = open_view(store, run="run-2", **changed)
        assert {scope for scope in WRITABLE if await read(other, "x", scope) != "absent"} == set(still)


async def test_another_tenant_sees_nothing_of_it(values: KeyValue) -> None:
    """With the very same user, session, agent, workflow and run: all is absent, and nothing is changed."""
    store = StateStore(values)
    mine, theirs = open_view(store, tenant="ours"), open_view(store, tenant="theirs")
    for scope in WRITABLE:
        await mine.set("x", scope, scope=scope)
    for scope in WRITABLE:
        assert await theirs.get("x", scope=scope) is None
        assert await theirs.names(scope=scope) == []
        assert await theirs.delete("x", scope=scope) is False
        assert (await theirs.update("x", lambda value: repr(value), scope=scope)).value == "None"
        assert await read(mine, "x", scope) == scope


async def test_what_everybody_shares_is_read_and_never_written(values: KeyValue) -> None:
    """An operator writes it; runs of all tenants read it. row: E5"""
    store = StateStore(values)
    await store.set(ScopeRef(scope="global"), "motd", "hello")
    for tenant in ("ours", "theirs"):
        view = open_view(store, tenant=tenant)
        assert await read(view, "motd", "global") == "hello"
        assert await view.names(scope="global") == ["motd"]
        for attempt in (
            view.set("motd", "bye", scope="global"),
            view.update("motd", lambda value: "bye", scope="global"),
            view.delete("motd", scope="global"),
        ):
            with pytest.raises(Forbidden, match="A run reads what everybody shares, and never changes it"):
                await attempt
    assert await read(open_view(store), "motd", "global") == "hello"


async def test_a_tenants_values_may_be_for_reading_only(values: KeyValue) -> None:
    """As the store says."""
    store = StateStore(values, tenant_writes=False)
    await store.set(ScopeRef(scope="tenant", tenant="default"), "rate", 5)
    view = open_view(store)
    assert await read(view, "rate", "tenant") == 5
    with pytest.raises(Forbidden, match="Runs may not change what their tenant shares"):
        await view.set("rate", 6, scope="tenant")
    await view.set("rate", 6, scope="session")


async def test_a_scope_the_run_has_not(values: KeyValue) -> None:
    """It says which."""
    view = open_view(StateStore(values), session=None, workflow=None)
    with pytest.raises(InvalidInput, match="This run has no session, so it has no state of scope `session`"):
        await view.get("x", scope="session")
    with pytest.raises(InvalidInput, match="This run has no workflow"):
        await view.set("x", 1, scope="workflow")
    with pytest.raises(InvalidInput, match="There is no scope 'sesion'"):
        await view.get("x", scope="sesion")  # type: ignore[arg-type]


async def test_changes_are_noted_with_their_revisions(values: KeyValue) -> None:
    """Every one, and nothing that did not happen."""
    noted = Noted()
    view = open_view(StateStore(values), noted=noted)
    first = await view.set("a", 1)
    second = await view.update("a", lambda value: 2)
    third = await view.set("a", 3, scope="user")
    await view.delete("a")
    await view.delete("a")
    with pytest.raises(Conflict):
        await view.set("a", 4, scope="user", if_revision=1)
    child = view.open_child("inherit", "1/tool/a")
    fourth = await child.set("b", 4)
    assert noted.changes == [
        ("run", "a", first.revision),
        ("run", "a", second.revision),
        ("user", "a", third.revision),
        ("run", "a", 0),
        ("run", "b", fourth.revision),
    ]


async def open_family(values: KeyValue, sharing: Sharing) -> tuple[RunStateView, RunStateView]:
    """A run with two values, and a delegate of it."""
    parent = open_view(StateStore(values))
    await parent.set("a", "parent's")
    await parent.set("b", "parent's")
    return parent, parent.open_child(sharing, "1/tool/call-1")


async def test_inherit(values: KeyValue) -> None:
    """It reads what those above have, as it is at the moment, and keeps its own changes to itself."""
    parent, child = await open_family(values, "inherit")
    assert await child.names() == ["a", "b"]
    entry = await child.set("a", "child's")
    assert (await read(child, "a"), await read(parent, "a")) == ("child's", "parent's")
    await parent.set("b", "changed")
    await parent.set("c", "new")
    assert (await read(child, "b"), await read(child, "c")) == ("changed", "new")
    assert (await child.update("c", lambda value: f"{value}, too")).value == "new, too"
    assert await read(parent, "c") == "new"
    assert (await child.get("a")) == entry
    assert await child.delete("a") is True
    assert await read(child, "a") == "absent"
    assert await child.names() == ["b", "c"]
    assert await read(parent, "a") == "parent's"
    assert await child.delete("a") is False
    assert (await child.set("a", "again", if_revision=0)).value == "again"
    assert await parent.names() == ["a", "b", "c"]


async def test_revisions_of_what_is_inherited(values: KeyValue) -> None:
    """A child that changes what it read from above is told when that was changed meanwhile."""
    parent, child = await open_family(values, "inherit")
    seen = await child.get("a")
    assert seen is not None
    with pytest.raises(Conflict, match=f"has revision {seen.revision}, and nothing was expected there"):
        await child.set("a", "mine", if_revision=0)
    newer = await parent.set("a", "changed")
    with pytest.raises(Conflict, match=f"has revision {newer.revision}, not {seen.revision}"):
        await child.set("a", "mine", if_revision=seen.revision)
    mine = await child.set("a", "mine", if_revision=newer.revision)
    await parent.set("a", "changed again")
    assert (await child.set("a", "mine, too", if_revision=mine.revision)).value == "mine, too"


async def test_isolate(values: KeyValue) -> None:
    """It begins with nothing, and nothing goes up."""
    parent, child = await open_family(values, "isolate")
    assert (await child.names(), await read(child, "a")) == ([], "absent")
    await child.set("a", "child's")
    await child.set("z", "child's")
    assert (await read(parent, "a"), await parent.names()) == ("parent's", ["a", "b"])
    assert await child.delete("a") is True
    assert await read(child, "a") == "absent"


async def test_copy(values: KeyValue) -> None:
    """As things stood when it began, its own from then on; the same for whoever opens it later."""
    parent, child = await open_family(values, "copy")
    assert await child.names() == ["a", "b"]
    await parent.set("a", "changed")
    await parent.set("c", "new")
    await child.set("b", "child's")
    await child.delete("a")
    again = open_view(StateStore(values)).open_child("copy", "1/tool/call-1")
    for view in (child, again):
        assert (await read(view, "a"), await read(view, "b"), await read(view, "c")) == ("absent", "child's", "absent")
        assert await view.names() == ["b"]
    assert (await read(parent, "a"), await read(parent, "b")) == ("changed", "parent's")


async def test_share(values: KeyValue) -> None:
    """The very same values."""
    parent, child = await open_family(values, "share")
    await child.set("a", "child's")
    await child.delete("b")
    assert (await read(parent, "a"), await parent.names()) == ("child's", ["a"])


async def test_delegates_do_not_see_each_other(values: KeyValue) -> None:
    """Each has a layer under its own call, whatever providers call their calls."""
    parent, _ = await open_family(values, "inherit")
    paths = ["1/tool/a", "1/tool/b", "1/tool/a/1/tool/b", "1/tool/a/", "~", "", "../x", "\ud800", "x" * 5000]
    children = {path: parent.open_child("inherit", path) for path in paths if path}
    for path, child in children.items():
        await child.set("mine", repr(path))
    for path, child in children.items():
        assert await read(child, "mine") == repr(path)
    assert await parent.names() == ["a", "b"]


async def test_other_scopes_are_the_same_for_delegates(values: KeyValue) -> None:
    """Sharing is about run-scoped values alone."""
    parent, _ = await open_family(values, "inherit")
    await parent.set("u", 1, scope="user")
    for sharing in get_args(Sharing):
        child = parent.open_child(sharing, "1/tool/x")
        await child.update("u", lambda value: value + 1, scope="user")  # type: ignore[operator]
    assert await read(parent, "u", "user") == 5


async def test_families_of_three(values: KeyValue) -> None:
    """A grandchild reads through its parent's layer, up to where that one is cut off."""
    parent, _ = await open_family(values, "inherit")
    middle = parent.open_child("inherit", "1/tool/m")
    await middle.set("a", "middle's")
    inner = middle.open_child("inherit", "1/tool/m/1/tool/i")
    assert (await read(inner, "a"), await read(inner, "b")) == ("middle's", "parent's")
    await middle.delete("b")
    assert await read(inner, "b") == "absent"
    await inner.set("b", "inner's")
    assert (await read(middle, "b"), await read(parent, "b")) == ("absent", "parent's")

    copied = middle.open_child("copy", "1/tool/m/1/tool/c")
    assert await copied.names() == ["a"]
    under_copy = copied.open_child("inherit", "1/tool/m/1/tool/c/1/tool/d")
    await parent.set("c", "late")
    assert (await read(under_copy, "a"), await read(under_copy, "c")) == ("middle's", "absent")

    alone = middle.open_child("isolate", "1/tool/m/1/tool/x")
    assert await alone.open_child("inherit", "1/tool/m/1/tool/x/1/tool/y").names() == []
    shared = middle.open_child("share", "1/tool/m/1/tool/s").open_child("inherit", "1/tool/m/1/tool/s/1/tool/t")
    assert await read(shared, "a") == "middle's"


class Dying:
    """A `KeyValue` whose process dies after so many puts."""

    def __init__(self, inner: KeyValue, puts: int) -> None:
        self._inner = inner
        self._left = puts

    async def get(self, key: str) -> Entry | None:
        return await self._inner.get(key)

    async def put(self, key: str, value: bytes, *, if_revision: int | None = None, ttl_s: float | None = None) -> Entry:
        if self._left == 0:
            raise Unavailable("The process died.")
        self._left -= 1
        return await self._inner.put(key, value, if_revision=if_revision, ttl_s=ttl_s)

    async def delete(self, key: str, *, if_revision: int | None = None) -> bool:
        return await self._inner.delete(key, if_revision=if_revision)

    async def scan(self, prefix: str, *, after: str = "", limit: int = 100) -> list[Entry]:
        return await self._inner.scan(prefix, after=after, limit=limit)


async def test_a_copy_that_was_broken_off_is_made_anew() -> None:
    """Wherever its process died: half of one moment and half of another is no copy."""
    for puts in range(12):
        values = MemoryValues(ManualClock())
        parent = open_view(StateStore(values))
        for number in range(10):
            await parent.set(f"n{number}", "before")
        dying = open_view(StateStore(Dying(values, puts))).open_child("copy", "1/tool/c")
        is_whole = puts > 10
        if is_whole:
            assert len(await dying.names()) == 10
        else:
            with pytest.raises(Unavailable):
                await dying.names()
        for number in range(5):
            await parent.delete(f"n{number}")
            await parent.set(f"n{number + 5}", "after")
        again = open_view(StateStore(values)).open_child("copy", "1/tool/c")
        seen = {await read(again, name) for name in await again.names()}
        assert (len(await again.names()), seen) == ((10, {"before"}) if is_whole else (5, {"after"}))


async def test_a_copied_value_lasts_as_long_as_the_original(values: KeyValue, clock: ManualClock) -> None:
    """Not longer."""
    parent = open_view(StateStore(values, clock=clock))
    await parent.set("code", 1, ttl_s=60)
    clock.advance(30)
    child = parent.open_child("copy", "1/tool/c")
    assert await read(child, "code") == 1
    clock.advance(31)
    assert await read(child, "code") == "absent"
    await parent.set("code", 2)
    assert await read(child, "code") == "absent"


@given(
    st.lists(st.tuples(st.sampled_from(["parent", "child"]), st.sampled_from("abc"), st.integers(0, 3)), max_size=12)
)
def test_inheriting_is_looking_through(steps: list[tuple[str, str, int]]) -> None:
    """After any sequence of changes a child sees its own, else its parent's; 0 stands for a deletion."""

    async def check() -> None:
        parent = open_view(StateStore(MemoryValues(ManualClock())))
        child = parent.open_child("inherit", "1/tool/c")
        above: dict[str, int] = {}
        own: dict[str, int | None] = {}
        for who, name, value in steps:
            view = parent if who == "parent" else child
            if value:
                await view.set(name, value)
                (above if who == "parent" else own)[name] = value
                continue
            await view.delete(name)
            if who == "parent":
                above.pop(name, None)
            elif name in above:
                own[name] = None
            elif own.get(name) is not None:
                del own[name]
        seen = {**above, **own}
        assert {name: await read(child, name) for name in await child.names()} == {
            name: value for name, value in seen.items() if value is not None
        }
        assert {name: await read(parent, name) for name in await parent.names()} == above

    asyncio.run(check())
