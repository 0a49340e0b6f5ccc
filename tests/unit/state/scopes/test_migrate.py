"""Are all values migrated, or none?"""

from collections.abc import Callable

import msgspec
import pytest

from quorate.errors import Conflict, CorruptState, StorageFull, Unavailable
from quorate.ports import Entry, KeyValue
from quorate.state.places import ScopeRef, build_key
from quorate.state.rows import Patience
from quorate.state.schemas import StateSchema
from quorate.state.scopes import StateStore
from quorate.testing.clock import ManualClock

V1 = StateSchema(name="n", type=int)


def double(value: object) -> object:
    assert isinstance(value, int)
    if value == 666:
        raise ValueError("an unlucky number")
    return {"n": 2 * value}


V2 = StateSchema(name="n", version=2, type=dict[str, int], migrations={1: double})


def user(number: int, tenant: str = "default") -> ScopeRef:
    return ScopeRef(scope="user", tenant=tenant, id=f"u{number:04}")


async def fill(values: KeyValue, count: int, *, special: dict[int, int] | None = None) -> None:
    store = StateStore(values, schemas=[V1])
    for number in range(count):
        await store.set(user(number), "n", (special or {}).get(number, number))
        await store.set(user(number), "other", "stays")


async def dump(values: KeyValue) -> dict[str, bytes]:
    return {entry.key: entry.value for entry in await values.scan("", limit=10_000)}


class Faulty:
    """A `KeyValue` in which something happens before a put."""

    def __init__(self, inner: KeyValue, before_put: Callable[[str], object]) -> None:
        self._inner = inner
        self._before_put = before_put

    async def get(self, key: str) -> Entry | None:
        return await self._inner.get(key)

    async def put(self, key: str, value: bytes, *, if_revision: int | None = None, ttl_s: float | None = None) -> Entry:
        happened = self._before_put(key)
        if hasattr(happened, "__await__"):
            await happened  # type: ignore[misc]
        return await self._inner.put(key, value, if_revision=if_revision, ttl_s=ttl_s)

    async def delete(self, key: str, *, if_revision: int | None = None) -> bool:
        return await self._inner.delete(key, if_revision=if_revision)

    async def scan(self, prefix: str, *, after: str = "", limit: int = 100) -> list[Entry]:
        return await self._inner.scan(prefix, after=after, limit=limit)


async def test_all_values_are_migrated(values: KeyValue) -> None:
    """Those of a schema; the rest stays as it is, and nothing is left behind. row: E5"""
    await fill(values, 450)
    reports: list[tuple[int, int]] = []
    done = await StateStore(values, schemas=[V2]).migrate(report=lambda seen, changed: reports.append((seen, changed)))
    assert (done.seen, done.changed) == (450, 450)
    assert reports[-1] == (450, 450)
    assert len(reports) >= 4
    after = await dump(values)
    assert len(after) == 900
    assert msgspec.json.decode(after[build_key(user(7), "n")]) == {"schema": "n", "version": 2, "value": {"n": 14}}
    again = await StateStore(values, schemas=[V2]).migrate()
    assert (again.seen, again.changed) == (450, 0)
    assert await dump(values) == after


async def test_a_failure_puts_everything_back(values: KeyValue) -> None:
    """Byte by byte; the message names the value, the step, and that nothing is migrated. row: E5"""
    await fill(values, 450, special={430: 666})
    before = await dump(values)
    store = StateStore(values, schemas=[V2])
    digest = await store.digest()
    with pytest.raises(CorruptState) as caught:
        await store.migrate()
    assert str(caught.value) == (
        "state 'n' of user 'u0430': the migration of schema 'n' from version 1 to 2 failed: ValueError: an unlucky "
        "number. The value is left as it is. Nothing is migrated: the values that had been (430) are as they were."
    )
    assert await dump(values) == before
    assert await store.digest() == digest


@pytest.mark.parametrize("error", [StorageFull("full"), Unavailable("away"), KeyboardInterrupt()], ids=repr)
async def test_a_store_that_fails_in_the_middle(values: KeyValue, error: BaseException) -> None:
    """Everything is put back as soon as that works again. row: E5"""
    await fill(values, 20)
    before, left = await dump(values), [25]

    def fail(key: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise error

    with pytest.raises(type(error)):
        await StateStore(Faulty(values, fail), schemas=[V2]).migrate()
    assert await dump(values) == before


async def test_a_process_that_dies_leaves_what_is_needed(values: KeyValue, clock: ManualClock) -> None:
    """The next one goes on from there; when it fails, it puts back what the dead one had changed, too. row: E5"""
    await fill(values, 20, special={15: 666})
    before, dead = await dump(values), [False]

    def die(key: str) -> None:
        dead[0] = dead[0] or key == build_key(user(8), "n")
        if dead[0]:
            raise SystemExit

    with pytest.raises(SystemExit):
        await StateStore(Faulty(values, die), schemas=[V2]).migrate()
    assert await dump(values) != before
    clock.advance(121)
    with pytest.raises(CorruptState, match=r"Nothing is migrated: the values that had been \(15\) are as they were"):
        await StateStore(values, schemas=[V2]).migrate()
    assert await dump(values) == before


async def test_two_versions_back(values: KeyValue, clock: ManualClock) -> None:
    """What a dead migration to version 2 and a failed one to 3 replaced is version 1 again."""
    await fill(values, 10, special={9: 666})
    before, dead = await dump(values), [False]

    def die(key: str) -> None:
        dead[0] = dead[0] or key == build_key(user(5), "n")
        if dead[0]:
            raise SystemExit

    with pytest.raises(SystemExit):
        await StateStore(Faulty(values, die), schemas=[V2]).migrate()
    clock.advance(121)
    v3 = StateSchema(name="n", version=3, type=list[object], migrations={1: double, 2: lambda value: [value]})
    with pytest.raises(CorruptState):
        await StateStore(values, schemas=[v3]).migrate()
    assert await dump(values) == before


async def test_what_was_whole_is_never_put_back(values: KeyValue, clock: ManualClock) -> None:
    """A process that dies while it tidies up has migrated; a later failure goes back to there and no further."""
    await fill(values, 10)

    class Dying(Faulty):
        async def delete(self, key: str, *, if_revision: int | None = None) -> bool:
            raise SystemExit

    with pytest.raises(SystemExit):
        await StateStore(Dying(values, lambda key: None), schemas=[V2]).migrate()
    clock.advance(121)
    store = StateStore(values, schemas=[V2])
    digest = await store.digest()

    def fail(value: object) -> object:
        if value == {"n": 14}:
            raise ValueError("an unlucky number")
        return value

    v3 = StateSchema(name="n", version=3, type=object, migrations={1: double, 2: fail})
    with pytest.raises(CorruptState):
        await store.with_schemas([v3]).migrate()
    assert await store.digest() == digest
    assert len(await dump(values)) == 20


async def test_two_migrations_at_once_are_refused(values: KeyValue, clock: ManualClock) -> None:
    """The second one changes nothing; one that went silent is not waited for."""
    await fill(values, 3)
    second = StateStore(values, schemas=[V2])

    async def meanwhile(seen: int) -> None:
        with pytest.raises(Conflict, match="Somebody else is migrating the stored values"):
            await second.migrate()

    asked: list[str] = []

    async def ask(key: str) -> None:
        if key == build_key(user(1), "n") and not asked:
            asked.append(key)
            await meanwhile(0)

    first = StateStore(Faulty(values, ask), schemas=[V2])
    assert (await first.migrate()).changed == 3
    assert asked


async def test_what_others_write_meanwhile_is_kept(values: KeyValue) -> None:
    """A value that is changed under way is migrated anew; one that was changed since is not put back."""
    await fill(values, 10, special={9: 666})
    others = StateStore(values, schemas=[V2])
    writes: dict[str, int] = {build_key(user(2), "n"): 1, build_key(user(5), "n"): 0}

    async def interfere(key: str) -> None:
        if key == build_key(user(2), "n") and writes.pop(key, None):
            await StateStore(values, schemas=[V1]).set(user(2), "n", 50)
        if key == build_key(user(7), "n") and writes.pop(build_key(user(5), "n"), None) is not None:
            await others.set(user(5), "n", {"n": -5})

    store = StateStore(Faulty(values, interfere), schemas=[V2], patience=Patience(sleep=_no_wait))
    with pytest.raises(CorruptState, match=r"that had been \(8\) are as they were \(1 that others have changed"):
        await store.migrate()
    assert (await others.get(user(5), "n")).value == {"n": -5}  # type: ignore[union-attr]
    assert (await StateStore(values, schemas=[V1]).get(user(2), "n")).value == 50  # type: ignore[union-attr]


async def _no_wait(seconds: float) -> None: ...


async def test_one_tenant_alone(values: KeyValue) -> None:
    """The values of others stay as they are."""
    old = StateStore(values, schemas=[V1])
    await old.set(user(1, "ours"), "n", 1)
    await old.set(user(1, "theirs"), "n", 1)
    await old.set(ScopeRef(scope="global"), "n", 1)
    assert (await StateStore(values, schemas=[V2]).migrate(tenant="ours")).changed == 1
    assert (await old.get(user(1, "theirs"), "n")).value == 1  # type: ignore[union-attr]
    assert (await StateStore(values, schemas=[V2]).migrate()).changed == 2


async def test_a_migrated_value_lasts_as_long_as_before(values: KeyValue, clock: ManualClock) -> None:
    """By the store's time, back and forth."""
    entry = await StateStore(values, schemas=[V1]).set(user(1), "n", 1, ttl_s=3600)
    store = StateStore(values, clock=ManualClock(clock.now() - 7200), schemas=[V2])
    await store.migrate()
    migrated = await store.get(user(1), "n")
    assert migrated is not None
    assert migrated.expires == pytest.approx(entry.expires, abs=1.0)
