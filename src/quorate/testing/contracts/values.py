"""What must every store of small values do?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from quorate.errors import Conflict, InvalidInput, TooLarge
from quorate.ports import Entry, KeyValue, Store
from quorate.testing.contracts.building import expect, run_together

PassTime = Callable[[float], Awaitable[None]]
"""Lets seconds go by for the store."""

_MIB = 1 << 20


class KeyValueContract:
    """What every `KeyValue` must do; see `quorate.testing.contracts` on how to use it."""

    async def test_what_was_not_put_is_absent(self, store: Store) -> None:
        """An absent key is `None`, cannot be deleted, and has revision 0."""
        assert await store.values.get("state/a/b") is None
        assert not await store.values.delete("state/a/b")
        assert not await store.values.delete("state/a/b", if_revision=0)
        assert await store.values.scan("") == []
        with expect(Conflict, "state/a/b", "0", "3"):
            await store.values.put("state/a/b", b"x", if_revision=3)
        assert await store.values.get("state/a/b") is None

    async def test_what_was_put_comes_back(self, store: Store) -> None:
        """A value comes back byte by byte, with what the store knows of it."""
        for value in (b"", b"one", bytes(range(256))):
            put = await store.values.put("key", value)
            assert put == await store.values.get("key")
            assert (put.key, put.value, put.expires) == ("key", value, None)

    async def test_revisions_grow_with_every_change_of_the_store(self, store: Store) -> None:
        """No two changes share a revision, whichever keys they are of."""
        entries = [await store.values.put(f"key-{number % 3}", b"x") for number in range(9)]
        revisions = [entry.revision for entry in entries]
        assert sorted(set(revisions)) == revisions
        assert revisions[0] > 0

    async def test_a_change_names_the_revision_it_goes_from(self, store: Store) -> None:
        """Only the revision that is there may be replaced or deleted, and the refusal says which that is."""
        first = await store.values.put("key", b"1", if_revision=0)
        second = await store.values.put("key", b"2", if_revision=first.revision)
        for wrong in (0, first.revision, second.revision + 1):
            assert await _refuse(store.values.put("key", b"3", if_revision=wrong)) == second.revision
            assert await _refuse(store.values.delete("key", if_revision=wrong)) == second.revision
        assert await store.values.get("key") == second
        assert await store.values.delete("key", if_revision=second.revision)
        assert await _refuse(store.values.delete("key", if_revision=second.revision)) == 0
        assert await store.values.get("key") is None

    async def test_a_value_deleted_and_put_again_is_another_one(self, store: Store) -> None:
        """Whoever saw the first one cannot take the second for it."""
        first = await store.values.put("key", b"1")
        await store.values.delete("key")
        second = await store.values.put("key", b"1", if_revision=0)
        assert second.revision > first.revision
        assert await _refuse(store.values.put("key", b"2", if_revision=first.revision)) == second.revision

    async def test_a_hundred_increments_at_once_are_a_hundred(self, store: Store) -> None:
        """Of writers that race from one revision exactly one wins; those that try again lose nothing."""
        await store.values.put("count", b"0")
        await run_together(_increment(store.values, "count") for _ in range(100))
        assert (await _get(store.values, "count")).value == b"100"

    async def test_of_many_beginnings_one_is_first(self, store: Store) -> None:
        """`if_revision=0` is won once."""

        async def begin(number: int) -> bool:
            try:
                await store.values.put("key", str(number).encode(), if_revision=0)
            except Conflict:
                return False
            return True

        won = await run_together(begin(number) for number in range(50))
        assert won.count(True) == 1
        assert (await _get(store.values, "key")).value == str(won.index(True)).encode()

    async def test_many_keys_at_once(self, store: Store) -> None:
        """Writers of different keys do not disturb each other, and a conflict fails nobody else."""
        await store.values.put("key-00", b"taken")

        async def put(number: int) -> bool:
            try:
                await store.values.put(f"key-{number:02}", b"mine", if_revision=0)
            except Conflict:
                return False
            return True

        assert await run_together(put(number) for number in range(100)) == [False, *[True] * 99]
        assert [entry.value for entry in await store.values.scan("key-")] == [b"taken", *[b"mine"] * 99]

    async def test_what_has_expired_is_absent_everywhere(self, store: Store, pass_time: PassTime) -> None:
        """After its time a value is not got, scanned or deleted, and its key is free."""
        put = await store.values.put("key", b"x", ttl_s=60.0)
        assert put.expires is not None
        assert abs(put.expires - put.updated - 60.0) < 0.001
        await store.values.put("other", b"stays")
        await pass_time(30)
        assert (await _get(store.values, "key")).value == b"x"
        await pass_time(31)
        assert await store.values.get("key") is None
        assert [entry.key for entry in await store.values.scan("")] == ["other"]
        assert await _refuse(store.values.put("key", b"y", if_revision=put.revision)) == 0
        assert await _refuse(store.values.delete("key", if_revision=put.revision)) == 0
        assert not await store.values.delete("key")
        again = await store.values.put("key", b"y", if_revision=0)
        assert again.revision > put.revision
        assert (await _get(store.values, "key")).expires is None

    async def test_a_put_sets_the_expiry_anew(self, store: Store, pass_time: PassTime) -> None:
        """The last put says when a value goes, or that it stays."""
        await store.values.put("longer", b"x", ttl_s=60.0)
        await store.values.put("stays", b"x", ttl_s=60.0)
        await pass_time(50)
        await store.values.put("longer", b"x", ttl_s=60.0)
        await store.values.put("stays", b"x")
        await pass_time(50)
        assert [entry.key for entry in await store.values.scan("")] == ["longer", "stays"]
        await pass_time(50)
        assert [entry.key for entry in await store.values.scan("")] == ["stays"]

    async def test_a_value_without_time_left_is_gone_at_once(self, store: Store) -> None:
        """A lifetime of nothing is none."""
        await store.values.put("key", b"x", ttl_s=0)
        assert await store.values.get("key") is None
        assert await store.values.scan("") == []

    async def test_many_that_expired_hide_nobody(self, store: Store, pass_time: PassTime) -> None:
        """A page is as long as it was asked for, whatever has expired before and between."""
        for number in range(40):
            await store.values.put(f"key-{number:02}", b"x", ttl_s=None if number % 4 == 3 else 10.0)
        await pass_time(11)
        await store.values.put("new", b"x", ttl_s=10.0)
        living = [f"key-{number:02}" for number in range(3, 40, 4)]
        assert [entry.key for entry in await store.values.scan("key-", limit=6)] == living[:6]
        assert [entry.key for entry in await store.values.scan("key-", after=living[5], limit=6)] == living[6:]

    async def test_updated_is_the_stores_time(self, store: Store, pass_time: PassTime) -> None:
        """Values of different moments tell how far these are apart."""
        await store.values.put("old", b"x")
        await pass_time(100)
        young, old = await store.values.put("young", b"x"), await _get(store.values, "old")
        assert 99 < young.updated - old.updated < 200

    async def test_keys_are_ordered_by_their_bytes(self, store: Store) -> None:
        """Not by a language's rules, and not by how other encodings order them."""
        keys = ["Z", "a", "a\x01", "a b", "a/", "a/b", "a0", "aa", "b", "z", "é", "\ud7ff", "\ue000", "\uffff"]
        keys += ["\U0001f600", "\U0010ffff", "\U0010ffff\U0010ffff"]
        for key in reversed(keys):
            await store.values.put(key, key.encode())
        found = await store.values.scan("")
        assert [entry.key for entry in found] == sorted(keys, key=str.encode)
        assert all(entry.key.encode() == entry.value for entry in found)

    async def test_a_prefix_is_no_pattern(self, store: Store) -> None:
        """`%`, `_`, `*`, quotes and letters in the other case stand for themselves; any text may be a prefix."""
        keys = ["a%b", "a%c", "a_b", "aXb", "A%b", "a*b", "a'b", 'a"b', "a\\b", "é1", "é2", "\ud7ff1", "\U0010ffff2"]
        for key in keys:
            await store.values.put(key, b"x")
        for prefix in (
            *keys,
            "a%",
            "a_",
            "a*",
            "a'",
            'a"',
            "a\\",
            "A",
            "é",
            "\ud7ff",
            "\ue000",
            "\U0010ffff",
            "",
            "none",
        ):
            wanted = sorted((key for key in keys if key.startswith(prefix)), key=str.encode)
            assert [entry.key for entry in await store.values.scan(prefix)] == wanted, prefix

    async def test_pages_follow_each_other(self, store: Store) -> None:
        """`after` is a key, of the prefix or not, that need not be there."""
        keys = [f"b/{number:02}" for number in range(25)]
        for key in ("a/1", *keys, "c/1"):
            await store.values.put(key, b"x")

        async def scan(after: str, limit: int) -> list[str]:
            return [entry.key for entry in await store.values.scan("b/", after=after, limit=limit)]

        first = await scan("", 10)
        second = await scan(first[-1], 10)
        assert [*first, *second, *await scan(second[-1], 10)] == keys
        assert await scan("b/24", 10) == []
        assert await scan("b/03x", 2) == keys[4:6]
        assert await scan("a/9", 2) == keys[:2]
        assert await scan("c", 10) == []
        assert await scan("", 0) == []

    async def test_values_have_a_size(self, store: Store) -> None:
        """A MiB is kept; a byte more is refused, and what was there stays."""
        await store.values.put("key", b"x" * _MIB)
        assert (await _get(store.values, "key")).value == b"x" * _MIB
        with expect(TooLarge, "key", str(_MIB + 1), str(_MIB)):
            await store.values.put("key", b"y" * (_MIB + 1))
        assert (await _get(store.values, "key")).value == b"x" * _MIB

    async def test_keys_have_a_form(self, store: Store) -> None:
        """512 bytes of UTF-8 are a key; nothing, more, NUL and halves of characters are not."""
        for key in ("k", "k" * 512, "é" * 256, "a b", "../etc", "line\nbreak"):
            await store.values.put(key, b"x")
            assert (await _get(store.values, key)).key == key
        for key in ("", "k" * 513, "é" * 257, "a\0b", "\ud800"):
            with expect(InvalidInput, "key"):
                await store.values.put(key, b"x")
            with expect(InvalidInput, "key"):
                await store.values.get(key)
            with expect(InvalidInput, "key"):
                await store.values.delete(key)
        for prefix, after in (("\ud800", ""), ("a", "\ud800")):
            with expect(InvalidInput, "UTF-8"):
                await store.values.scan(prefix, after=after)


async def _get(values: KeyValue, key: str) -> Entry:
    entry = await values.get(key)
    assert entry is not None, f"{key!r} is not there"
    return entry


async def _increment(values: KeyValue, key: str) -> None:
    while True:
        entry = await _get(values, key)
        try:
            await values.put(key, str(int(entry.value) + 1).encode(), if_revision=entry.revision)
        except Conflict:
            continue
        return


async def _refuse(change: Awaitable[object]) -> object:
    """Expect a conflict and return the revision it met."""
    try:
        await change
    except Conflict as error:
        return error.context["revision"]
    raise AssertionError("`Conflict` was not raised")
