"""Does a watcher see what changed, also that something is gone?"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from quorate.errors import CorruptState, InvalidInput
from quorate.ports import KeyValue
from quorate.state.places import ScopeRef, build_key
from quorate.state.rows import Patience
from quorate.state.scopes import StateStore
from quorate.state.watching import StateChange, StateWatch
from quorate.testing.clock import ManualClock

USER = ScopeRef(scope="user", tenant="default", id="ann")
Step = Callable[[], Awaitable[object]]


class Script:
    """A wait that does the next thing instead, and closes the watch when nothing is left."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.watch: StateWatch | None = None

    async def sleep(self, seconds: float) -> None:
        if self.steps:
            await self.steps.pop(0)()
        elif self.watch is not None:
            self.watch.close()

    async def collect(self, watch: StateWatch) -> list[StateChange]:
        self.watch = watch
        async with watch as changes:
            return [change async for change in changes]


def show(changes: list[StateChange]) -> list[tuple[str, object]]:
    return [(one.name, one.entry.value if one.entry is not None else "gone") for one in changes]


async def test_changes_and_deletions_are_seen(values: KeyValue) -> None:
    """From now on, in the order they happened; of several in between the last. row: E5"""
    store = StateStore(values)
    await store.set(USER, "old", 0)

    async def change_several() -> None:
        await store.set(USER, "b", 1)
        await store.set(USER, "a", 1)
        await store.set(USER, "b", 2)

    async def recreate() -> None:
        await store.delete(USER, "b")
        await store.set(USER, "b", 3)

    script = Script(
        lambda: store.set(USER, "a", 0),
        change_several,
        lambda: store.delete(USER, "a"),
        recreate,
        lambda: store.set(ScopeRef(scope="user", tenant="default", id="bob"), "a", 9),
        lambda: store.delete(USER, "old"),
    )
    watching = StateStore(values, patience=Patience(sleep=script.sleep))
    seen = await script.collect(watching.watch(USER))
    assert show(seen) == [("a", 0), ("a", 1), ("b", 2), ("a", "gone"), ("b", 3), ("old", "gone")]
    assert seen[3].revision == seen[1].revision


async def test_one_value_or_those_of_a_prefix(values: KeyValue) -> None:
    """Others are not looked at."""
    store = StateStore(values)

    def build_steps() -> list[Step]:
        return [lambda: store.set(USER, name, 1) for name in ("cart/1",)] + [
            lambda: store.set(USER, "cart/2", 1),
            lambda: store.set(USER, "other", 1),
            lambda: store.delete(USER, "cart/1"),
        ]

    for asked, expected in (
        ({"name": "cart/1"}, ["cart/1", "cart/1"]),
        ({"prefix": "cart/"}, ["cart/1", "cart/2", "cart/1"]),
        ({"prefix": "x"}, []),
    ):
        await store.clear(USER)
        script = Script(*build_steps())
        watching = StateStore(values, patience=Patience(sleep=script.sleep))
        seen = await script.collect(watching.watch(USER, **asked))  # type: ignore[arg-type]
        assert [change.name for change in seen] == expected


async def test_from_a_revision_on(values: KeyValue) -> None:
    """What was changed since, and with the revisions one knew, what was deleted since. row: E5"""
    store = StateStore(values)
    first = await store.set(USER, "a", 1)
    gone = await store.set(USER, "b", 1)
    await store.set(USER, "c", 1)
    await store.delete(USER, "b")

    script = Script()
    watching = StateStore(values, patience=Patience(sleep=script.sleep))
    assert show(await script.collect(watching.watch(USER, since=first.revision))) == [("c", 1)]
    assert show(await script.collect(watching.watch(USER, since=0))) == [("a", 1), ("c", 1)]
    assert show(await script.collect(watching.watch(USER, name="b", since=gone.revision))) == [("b", "gone")]
    known = {"a": first.revision, "b": gone.revision}
    assert show(await script.collect(watching.watch(USER, since=known))) == [("b", "gone"), ("c", 1)]


async def test_what_has_expired_is_gone(values: KeyValue, clock: ManualClock) -> None:
    """By the store's time."""
    store = StateStore(values)
    await store.set(USER, "code", 1, ttl_s=60)

    async def wait() -> None:
        clock.advance(61)

    script = Script(wait)
    watching = StateStore(values, patience=Patience(sleep=script.sleep))
    assert show(await script.collect(watching.watch(USER))) == [("code", "gone")]


async def test_closing_ends_it_wherever_it_waits(values: KeyValue) -> None:
    """At once, not after the next look."""
    watch = StateStore(values).watch(USER, poll_s=3600)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:

        async def follow() -> list[StateChange]:
            return [change async for change in watch]

        following = group.create_task(follow())
        for _ in range(10):
            await asyncio.sleep(0)
        watch.close()
    assert following.result() == []
    assert [change async for change in watch] == []


async def test_cancelling_a_watcher_is_a_cancellation(values: KeyValue) -> None:
    """It does not end as if it had been closed."""
    watch = StateStore(values).watch(USER, poll_s=3600)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await anext(watch)


async def test_a_value_that_cannot_be_read_is_told_and_passed(values: KeyValue) -> None:
    """The next step goes on behind it."""
    store = StateStore(values)

    async def spoil() -> None:
        await values.put(build_key(USER, "b"), b'{"value":{},"schema":"x","version":"y"}')

    script = Script(spoil, lambda: store.delete(USER, "b"), lambda: store.set(USER, "a", 1))
    watch = StateStore(values, patience=Patience(sleep=script.sleep)).watch(USER)
    await watch.__aenter__()
    with pytest.raises(CorruptState, match="state 'b' of user 'ann' does not verify"):
        await anext(watch)
    assert show([await anext(watch), await anext(watch)]) == [("b", "gone"), ("a", 1)]


def test_names_and_prefixes_are_checked(values: KeyValue) -> None:
    """When the watch is made."""
    store = StateStore(values)
    with pytest.raises(InvalidInput, match="state name"):
        store.watch(USER, name="../x")
    with pytest.raises(InvalidInput, match="no state name begins with"):
        store.watch(USER, prefix="~")
