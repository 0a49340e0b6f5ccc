"""Are stored values checked against their schemas, and older ones brought to today's version?"""

from datetime import date

import msgspec
import pytest
from msgspec import Struct

from quorate.errors import Conflict, CorruptState, InvalidInput
from quorate.ports import KeyValue
from quorate.state.places import ScopeRef, build_key
from quorate.state.schemas import StateSchema
from quorate.state.scopes import StateStore

USER = ScopeRef(scope="user", tenant="default", id="ann")


class Profile(Struct):
    name: str
    email: str
    since: date | None = None


def add_email(value: object) -> object:
    assert isinstance(value, dict)
    return {**value, "email": f"{value['name']}@example.org"}


def split_name(value: object) -> object:
    assert isinstance(value, dict)
    return {**value, "name": value["name"].lower()}


V1 = StateSchema(name="profile", type=dict[str, str])
V2 = StateSchema(name="profile", version=2, type=dict[str, str], migrations={1: split_name})
V3 = StateSchema(name="profile", version=3, type=Profile, migrations={1: split_name, 2: add_email})


async def stored(values: KeyValue, name: str = "profile") -> dict[str, object]:
    entry = await values.get(build_key(USER, name))
    assert entry is not None
    return msgspec.json.decode(entry.value)


async def test_a_value_is_what_its_schema_says(values: KeyValue) -> None:
    """It is stored in an envelope with schema and version, and read as its type."""
    store = StateStore(values, schemas=[V3])
    ann = Profile("ann", "ann@example.org", date(2026, 1, 2))
    assert (await store.set(USER, "profile", ann)).value == ann
    entry = await store.get(USER, "profile")
    assert entry is not None
    assert entry.value == ann
    assert await stored(values) == {
        "schema": "profile",
        "version": 3,
        "value": {"name": "ann", "email": "ann@example.org", "since": "2026-01-02"},
    }
    assert (await store.set(USER, "profile", {"name": "a", "email": "b"})).value == Profile("a", "b")
    (info,) = await store.list_values(USER)
    assert (info.schema, info.version) == ("profile", 3)


async def test_what_does_not_fit_is_refused(values: KeyValue) -> None:
    """With the place; what was stored stays."""
    store = StateStore(values, schemas=[V3])
    await store.set(USER, "profile", Profile("ann", "a@b"))
    with pytest.raises(
        InvalidInput, match=r"does not fit schema 'profile' \(version 3\): Expected `str`, got `int` - at `\$\.email`"
    ):
        await store.set(USER, "profile", {"name": "ann", "email": 5})
    with pytest.raises(InvalidInput, match="does not fit schema"):
        await store.update(USER, "profile", lambda value: None)
    entry = await store.get(USER, "profile")
    assert entry is not None
    assert entry.value == Profile("ann", "a@b")


async def test_a_schema_holds_for_what_is_below_its_name(values: KeyValue) -> None:
    """The longest name wins; others have none."""
    store = StateStore(
        values, schemas=[StateSchema(name="cart", type=list[int]), StateSchema(name="cart/note", type=str)]
    )
    await store.set(USER, "cart/1", [1])
    await store.set(USER, "cart/note/a", "text")
    await store.set(USER, "cartoon", {"any": "thing"})
    for name, value in (("cart/1", "text"), ("cart", "text"), ("cart/note", [1])):
        with pytest.raises(InvalidInput, match="does not fit schema"):
            await store.set(USER, name, value)


async def test_an_older_value_is_migrated_when_it_is_read(values: KeyValue) -> None:
    """Step by step; the store has the old one until the next change. row: E5"""
    await StateStore(values, schemas=[V1]).set(USER, "profile", {"name": "Ann"})
    before = await stored(values)
    store = StateStore(values, schemas=[V3])
    entry = await store.get(USER, "profile")
    assert entry is not None
    assert entry.value == Profile("ann", "ann@example.org")
    assert await stored(values) == before
    await store.update(USER, "profile", lambda value: value)
    assert await stored(values) == {
        "schema": "profile",
        "version": 3,
        "value": {"name": "ann", "email": "ann@example.org", "since": None},
    }


async def test_a_migration_that_fails_leaves_the_value_as_it_is(values: KeyValue) -> None:
    """And names value and step, for reads, changes and merges alike. row: E5"""

    def fail(value: object) -> object:
        assert isinstance(value, dict)
        value.clear()
        raise KeyError("no such thing")

    await StateStore(values, schemas=[V1]).set(USER, "profile", {"name": "Ann"})
    before = await values.get(build_key(USER, "profile"))
    broken = StateSchema(name="profile", version=3, type=Profile, migrations={1: split_name, 2: fail})
    store = StateStore(values, schemas=[broken])
    words = (
        "state 'profile' of user 'ann': the migration of schema 'profile' from version 2 to 3 failed: "
        "KeyError: 'no such thing'. The value is left as it is."
    )
    for attempt in (
        store.get(USER, "profile"),
        store.update(USER, "profile", lambda value: value),
        store.set(USER, "profile", {"name": "a", "email": "b"}, conflict=lambda old, new: new),
    ):
        with pytest.raises(CorruptState) as caught:
            await attempt
        assert str(caught.value) == words
    assert await values.get(build_key(USER, "profile")) == before


async def test_a_migration_must_give_what_the_schema_says(values: KeyValue) -> None:
    """The result is checked, and a step that is missing is named."""
    await StateStore(values, schemas=[V1]).set(USER, "profile", {"name": "Ann"})
    wrong = StateSchema(name="profile", version=2, type=Profile, migrations={1: lambda value: value})
    with pytest.raises(CorruptState, match="after its migration from version 1: Object missing required field `email`"):
        await StateStore(values, schemas=[wrong]).get(USER, "profile")
    gap = StateSchema(name="profile", version=3, type=Profile, migrations={2: add_email})
    with pytest.raises(InvalidInput, match="there is no migration from 1 to 2: add it to `migrations`"):
        await StateStore(values, schemas=[gap]).get(USER, "profile")


async def test_a_newer_value_is_refused(values: KeyValue) -> None:
    """For reading, changing and writing over: an old program harms nothing. row: E5"""
    await StateStore(values, schemas=[V3]).set(USER, "profile", Profile("ann", "a@b"))
    before = await values.get(build_key(USER, "profile"))
    assert before is not None
    old = StateStore(values, schemas=[V2])
    for attempt in (
        old.get(USER, "profile"),
        old.set(USER, "profile", {"name": "x"}),
        old.set(USER, "profile", {"name": "x"}, if_revision=before.revision),
        old.set(USER, "profile", {"name": "x"}, conflict="last_write"),
        old.update(USER, "profile", lambda value: {"name": "x"}),
        old.migrate(),
    ):
        with pytest.raises(
            CorruptState, match="has version 3 of schema 'profile'; this program knows versions up to 2"
        ):
            await attempt
    assert await values.get(build_key(USER, "profile")) == before


async def test_what_was_stored_before_there_was_a_schema(values: KeyValue) -> None:
    """Counts as version 0: migrated from there, or taken as it is and checked."""
    plain = StateStore(values)
    await plain.set(USER, "profile", {"name": "ann", "email": "a@b"})
    entry = await StateStore(values, schemas=[V3]).get(USER, "profile")
    assert entry is not None
    assert entry.value == Profile("ann", "a@b")

    await plain.set(USER, "profile", "ann")
    from_text = StateSchema(
        name="profile", version=3, type=Profile, migrations={0: lambda v: {"name": v}, 1: split_name, 2: add_email}
    )
    entry = await StateStore(values, schemas=[from_text]).get(USER, "profile")
    assert entry is not None
    assert entry.value == Profile("ann", "ann@example.org")
    with pytest.raises(CorruptState, match="does not fit schema 'profile'"):
        await StateStore(values, schemas=[V3]).get(USER, "profile")


async def test_without_its_schema_a_value_is_read_as_data(values: KeyValue) -> None:
    """A tool that knows no schemas can look."""
    await StateStore(values, schemas=[V3]).set(USER, "profile", Profile("ann", "a@b"))
    entry = await StateStore(values).get(USER, "profile")
    assert entry is not None
    assert entry.value == {"name": "ann", "email": "a@b", "since": None}


async def test_a_schema_says_what_becomes_of_conflicts(values: KeyValue) -> None:
    """For whoever does not say so at the call, such as a run."""
    merging = StateSchema(name="tags", type=list[int], conflict=lambda old, new: sorted({*old, *new}))  # type: ignore[misc]
    store = StateStore(values, schemas=[merging])
    first = await store.set(USER, "tags", [1])
    await store.set(USER, "tags", [2], if_revision=first.revision)
    assert (await store.set(USER, "tags", [3], if_revision=first.revision)).value == [2, 3]
    with pytest.raises(Conflict):
        await store.set(USER, "tags", [4], if_revision=first.revision, conflict="refuse")


def test_schemas_hold_together() -> None:
    """What leads nowhere is told when it is defined."""
    with pytest.raises(InvalidInput, match="schema 'a' has version 0; versions begin with 1"):
        StateSchema(name="a", version=0)
    with pytest.raises(InvalidInput, match=r"schema 'a' has version 2 and migrations from \[2, 3\]"):
        StateSchema(name="a", version=2, migrations={1: split_name, 2: split_name, 3: split_name})
    with pytest.raises(InvalidInput, match="state name 'a b'"):
        StateSchema(name="a b")


async def test_two_schemas_of_one_name(values: KeyValue) -> None:
    """Are refused together; another store over the same values may have the newer."""
    with pytest.raises(InvalidInput, match="there are two schemas 'profile': keep one"):
        StateStore(values, schemas=[V1, V2])
    store = StateStore(values, schemas=[V1]).with_schemas([V3])
    assert (await store.set(USER, "profile", Profile("a", "b"))).value == Profile("a", "b")
