"""Does a key let in whom it is for, and can nobody read it back?"""

import asyncio
import pickle
import secrets
from zlib import crc32

import pytest

from quorate.errors import Conflict, InvalidInput, NotFound, Unauthenticated, Unavailable
from quorate.ports import Entry
from quorate.security.keys import MAX_TRUSTED, TRUSTED_S, USED_S, KeyRing, NewKey
from quorate.state.backends.memory import MemoryValues
from quorate.testing import ManualClock

PEPPER = bytes(range(32))


def build(*, pepper: bytes = PEPPER) -> tuple[KeyRing, MemoryValues, ManualClock]:
    clock = ManualClock()
    values = MemoryValues(clock)
    return KeyRing(values, pepper=pepper, clock=clock), values, clock


async def create(ring: KeyRing, **facts: object) -> NewKey:
    return await ring.create(**{"tenant": "acme", "principal": "ann", "role": "operator", **facts})  # type: ignore[arg-type]


async def list_ids(ring: KeyRing, tenant: str = "acme") -> list[str]:
    return [key.id async for key in ring.list_keys(tenant=tenant)]


async def test_a_key_lets_in_whom_it_is_for() -> None:
    ring, _, _ = build()
    new = await create(ring, scopes=("runs:*",), name="deploys")
    identity = await ring.verify(new.text.reveal())
    assert (identity.tenant, identity.principal, identity.role) == ("acme", "ann", "operator")
    assert (identity.scopes, identity.credential) == (("runs:*",), new.key.id)


async def test_a_key_is_shown_once_and_cannot_be_read_back() -> None:
    """Neither what is stored nor any text form of it holds the key; another secret does not make it good. row: C12, B11"""
    ring, values, clock = build()
    new = await create(ring)
    text = new.text.reveal()
    secret = text.split("_", 2)[2][:43]
    stored = [entry async for entry in scan_all(values)]
    assert stored
    assert not any(secret.encode() in entry.value or secret in entry.key for entry in stored)
    assert secret not in repr(new)
    assert secret not in repr(await ring.show(new.key.id, tenant="acme"))
    with pytest.raises(TypeError):
        pickle.dumps(new.text)
    other = KeyRing(values, pepper=secrets.token_bytes(32), clock=clock)
    with pytest.raises(Unauthenticated):
        await other.verify(text)


async def scan_all(values: MemoryValues):  # type: ignore[no-untyped-def]
    page: list[Entry] = await values.scan("", limit=1000)
    for entry in page:
        yield entry


async def test_every_wrong_key_is_refused_alike() -> None:
    """Cut, changed, guessed, of another id, in another case, with more: the same words each time."""
    ring, _, _ = build()
    text, other = (await create(ring)).text.reveal(), (await create(ring)).text.reveal()
    ids = text.split("_", 2)
    wrong = [
        "", "qk_", text[:-1], text + "0", text.upper(), f" {text}", f"{text}\n", text.replace("qk", "sk"),
        f"qk_{ids[1]}_{other.split('_', 2)[2]}", f"qk_{'0' * 16}_{ids[2]}", "x" * 100_000, text.replace("_", "é", 1),
    ]  # fmt: skip
    words = set[str]()
    for one in wrong:
        with pytest.raises(Unauthenticated) as refused:
            await ring.verify(one)
        words.add(str(refused.value))
    assert len(words) == 1
    assert await ring.verify(text)


async def test_an_expired_key_and_a_revoked_one_let_nobody_in() -> None:
    """A revocation reaches other processes within five seconds. part of rows B11 and C12"""
    ring, values, clock = build()
    elsewhere = KeyRing(values, pepper=PEPPER, clock=clock)
    short, long = await create(ring, lasts_s=60.0), await create(ring)
    await elsewhere.verify(long.text.reveal())
    await elsewhere.verify(short.text.reveal())
    clock.advance(60)
    with pytest.raises(Unauthenticated):
        await elsewhere.verify(short.text.reveal())
    await elsewhere.verify(long.text.reveal())
    await ring.revoke(long.key.id, tenant="acme")
    with pytest.raises(Unauthenticated):
        await ring.verify(long.text.reveal())
    clock.advance(TRUSTED_S)
    with pytest.raises(Unauthenticated):
        await elsewhere.verify(long.text.reveal())


async def test_a_rotated_key_goes_on_for_a_while() -> None:
    ring, _, clock = build()
    old = await create(ring, scopes=("runs:read",))
    new = await ring.rotate(old.key.id, tenant="acme", overlap_s=3600)
    assert new.key.replaces == old.key.id
    before, after = await ring.verify(old.text.reveal()), await ring.verify(new.text.reveal())
    assert (before.principal, before.scopes) == (after.principal, after.scopes)
    clock.advance(3600 + TRUSTED_S)
    with pytest.raises(Unauthenticated):
        await ring.verify(old.text.reveal())
    assert await ring.verify(new.text.reveal())
    with pytest.raises(Conflict, match="does not work any more"):
        await ring.rotate(old.key.id, tenant="acme")


async def test_a_rotation_never_lengthens_a_life() -> None:
    ring, _, clock = build()
    old = await create(ring, lasts_s=10.0)
    await ring.rotate(old.key.id, tenant="acme", overlap_s=3600)
    clock.advance(10)
    with pytest.raises(Unauthenticated):
        await ring.verify(old.text.reveal())


async def test_keys_of_another_tenant_are_not_there() -> None:
    """part of row C12"""
    ring, _, _ = build()
    theirs = await create(ring, tenant="globex")
    mine = await create(ring)
    assert await list_ids(ring) == [mine.key.id]
    errors = list[str]()
    for key_id in (theirs.key.id, "f" * 16, "../x", "access"):
        for act in (ring.show, ring.revoke, ring.rotate):
            with pytest.raises(NotFound) as refused:
                await act(key_id, tenant="acme")
            errors.append(str(refused.value).replace(key_id, "ID"))
    assert len(set(errors)) == 1
    assert await ring.verify(theirs.text.reveal())


async def test_changes_at_once_are_all_there() -> None:
    ring, _, _ = build()
    key = await create(ring)
    await asyncio.gather(ring.note_use(key.key.id), ring.revoke(key.key.id, tenant="acme"), ring.note_use(key.key.id))
    shown = await ring.show(key.key.id, tenant="acme")
    assert shown.revoked is not None


async def test_when_a_key_was_used_is_noted_now_and_then() -> None:
    ring, values, clock = build()
    key = (await create(ring)).key
    await ring.note_use(key.id)
    first = await values.get(f"access/key/{key.id}")
    await ring.note_use(key.id)
    assert first is not None
    assert await values.get(f"access/key/{key.id}") == first
    clock.advance(1000)
    await ring.note_use(key.id)
    assert (await ring.show(key.id, tenant="acme")).used == clock.now()
    await ring.note_use("0" * 16)


async def test_a_store_that_is_away_lets_nobody_in() -> None:
    """It fails closed, and says that it is not the key's fault."""
    ring, _, _ = build()
    text = (await create(ring)).text.reveal()

    class Away:
        async def get(self, key: str) -> Entry | None:
            raise Unavailable("away")

    lost = KeyRing(Away(), pepper=PEPPER)  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        await lost.verify(text)


@pytest.mark.parametrize(
    "facts",
    [{"tenant": "Acme"}, {"principal": "a/b"}, {"role": "root"}, {"scopes": ("runs",)}, {"name": "x\ny"},
     {"name": "x" * 101}, {"lasts_s": 0.0}, {"lasts_s": -5.0}],
)  # fmt: skip
async def test_what_is_no_key_is_not_made(facts: dict[str, object]) -> None:
    ring, values, _ = build()
    with pytest.raises(InvalidInput):
        await create(ring, **facts)
    assert not await values.scan("", limit=10)


@pytest.mark.parametrize("pepper", [b"", b"short", b"a" * 64])
def test_a_weak_secret_stops_the_start(pepper: bytes) -> None:
    with pytest.raises(InvalidInput, match="openssl rand -hex 32"):
        build(pepper=pepper)


async def test_whoever_guesses_pushes_nobody_out() -> None:
    """Keys that are known stay known while others are tried, so that guesses cost those who are in nothing."""
    ring, values, _ = build()
    good = (await create(ring)).text.reveal()
    await ring.verify(good)
    for number in range(MAX_TRUSTED + 10):
        key_id, secret = f"{number:016x}", "A" * 43
        with pytest.raises(Unauthenticated):
            await ring.verify(f"qk_{key_id}_{secret}{crc32(f'{key_id}:{secret}'.encode()):08x}")
    await values.delete(f"access/key/{good[3:19]}")
    assert await ring.verify(good)  # as it is still believed


async def test_whoever_comes_in_is_noted() -> None:
    """Now and then, so that keys which nobody uses are found; and nobody is kept out where it cannot be."""
    ring, values, clock = build()
    new = await create(ring)
    await ring.verify(new.text.reveal())
    first = (await ring.show(new.key.id, tenant="acme")).used
    assert first == clock.now()
    clock.advance(USED_S / 2)
    await ring.verify(new.text.reveal())
    assert (await ring.show(new.key.id, tenant="acme")).used == first

    class ReadOnly:
        get = values.get

        async def put(self, *given: object, **facts: object) -> int:
            raise Unavailable("read only")

    clock.advance(USED_S)
    assert await KeyRing(ReadOnly(), pepper=PEPPER, clock=clock).verify(new.text.reveal())  # type: ignore[arg-type]
