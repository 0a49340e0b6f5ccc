"""Do all places where answers are kept keep the same promises?"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.unit.models.cache.samples import Counting, ask
from tests.valkey import valkey_server, valkey_url

from quorate.errors import InvalidInput, Unavailable
from quorate.messages import Message, Reply, Text
from quorate.models.cache.key import CacheKey
from quorate.models.cache.memory import MemoryCache
from quorate.models.cache.redis import RedisPlaces
from quorate.models.cache.rule import CacheRule, CacheStore, Invalidation, Stored
from quorate.models.cache.sealed import seal, unseal
from quorate.models.cache.shared import Places, SharedCache, StoredPlaces
from quorate.models.cached import Cached
from quorate.models.redis import open_redis
from quorate.state.backends.memory import open_memory_store
from quorate.state.backends.postgres import open_postgres_store
from quorate.state.backends.sqlite import open_sqlite_store

__all__ = ["valkey_server", "valkey_url"]
SECRET = bytes(range(32))
KEY, OTHER = bytes([7]) * 32, bytes([9]) * 32


def build_stored(text: str = "hi", *, tenant: str = "acme", tag: str = "docs") -> Stored:
    message = Message(role="assistant", parts=(Text(text=text),))
    return Stored(reply=Reply(message=message, cached=True), tenant=tenant, models=("m",), agent="a", tags=(tag,))


SHARED = ["values", "sqlite", "postgres", "valkey"]


@asynccontextmanager
async def open_places(kind: str, address: str) -> AsyncGenerator[Places]:
    if kind == "valkey":
        async with open_redis(address, timeout_s=30) as client:
            yield RedisPlaces(client)
        return
    opened = {"values": lambda _: open_memory_store(), "sqlite": open_sqlite_store, "postgres": open_postgres_store}
    async with opened[kind](address) as store:  # type: ignore[operator]
        yield StoredPlaces(store.values)


@pytest.fixture(params=SHARED)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Where to keep, and its address."""
    name = {"postgres": "postgres_dsn", "valkey": "valkey_url"}.get(request.param)
    return request.param, request.getfixturevalue(name) if name else str(tmp_path / "cache.db")


@pytest.fixture
async def places(place: tuple[str, str]) -> AsyncGenerator[Places]:
    async with open_places(*place) as opened:
        yield opened


@pytest.fixture
def kept_in(places: Places) -> CacheStore:
    return SharedCache(places, secret=SECRET, timeout_s=30.0)


async def test_memory_keeps_the_same_promises() -> None:
    """What shared stores do, a process's own does too."""
    await test_what_is_kept_is_found(MemoryCache())
    await test_what_is_forgotten_is_gone(MemoryCache())


async def test_what_is_kept_is_found(kept_in: CacheStore) -> None:
    """Under its own key, as it was, and the later one in place of the earlier."""
    assert await kept_in.find(KEY) is None
    assert await kept_in.keep(KEY, build_stored(), ttl_s=60)
    assert await kept_in.find(KEY) == build_stored()
    assert await kept_in.find(OTHER) is None
    assert await kept_in.keep(KEY, build_stored("again"), ttl_s=60)
    found = await kept_in.find(KEY)
    assert found is not None
    assert found.reply.message.text == "again"


async def test_what_is_forgotten_is_gone(kept_in: CacheStore) -> None:
    """Only what meets all that is said."""
    keys = [bytes([number]) * 32 for number in range(1, 5)]
    tenants, tags = ("acme", "acme", "other", "other"), ("docs", "prices", "docs", "prices")
    for key, tenant, tag in zip(keys, tenants, tags, strict=True):
        await kept_in.keep(key, build_stored(tenant=tenant, tag=tag), ttl_s=60)
    assert await kept_in.forget(Invalidation(tenant="acme", tag="docs")) == 1
    assert await kept_in.forget(Invalidation(tag="prices")) == 2
    assert [key for key in keys if await kept_in.find(key)] == [keys[2]]
    assert await kept_in.forget(Invalidation()) == 1
    assert await kept_in.forget(Invalidation()) == 0


async def test_two_processes_share(places: Places) -> None:
    """What one asked for the other is given, where both have the operator's secret."""
    rule = CacheRule(scope="tenant")
    inner, models = Counting(), list[Cached]()
    for secret in (SECRET, SECRET, bytes(range(1, 33))):
        store = SharedCache(places, secret=secret, timeout_s=30.0)
        key = CacheKey(secret, model="openai:gpt-5.2", scope="tenant")
        models.append(Cached(inner, rule=rule, store=store, key=key))
    one, two, stranger = models
    await one.complete(ask())
    assert (await two.complete(ask(principal="bob"))).cached
    assert not (await two.complete(ask(tenant="other"))).cached
    assert not (await stranger.complete(ask())).cached
    assert await one.invalidate(Invalidation(tenant="acme")) >= 1
    assert not (await two.complete(ask())).cached


async def test_the_store_is_bounded(places: Places) -> None:
    """As many places as there may be entries; a later answer replaces whatever has its place."""
    store = SharedCache(places, secret=SECRET, max_entries=8, max_entry_bytes=1000, timeout_s=30.0)
    for number in range(50):
        await store.keep(number.to_bytes(8, "big") + bytes(24), build_stored(), ttl_s=60)
    assert len([name async for name, _ in places.iterate("cache/")]) == 8
    assert await store.find((49).to_bytes(8, "big") + bytes(24)) is not None
    assert await store.find((41).to_bytes(8, "big") + bytes(24)) is None
    assert not await store.keep(KEY, build_stored("x" * 1000), ttl_s=60)


async def test_what_others_wrote_is_no_answer(places: Places) -> None:
    """Changed, moved to another key, or of another secret: it is as if it were not there."""
    store = SharedCache(places, secret=SECRET, max_entries=1, timeout_s=30.0)
    sealed = seal(KEY, build_stored(), secret=SECRET) or b""
    place = "cache/00000000"
    for data in (
        sealed[:-1] + b"x",
        sealed[:40],
        b"",
        b"\x01" + sealed[1:],
        seal(KEY, build_stored(), secret=bytes(32)) or b"",
        seal(KEY, build_stored(), secret=SECRET, until=1.0) or b"",
    ):
        await places.write(place, data, ttl_s=60)
        assert await store.find(KEY) is None
    await places.write(place, sealed, ttl_s=60)
    assert await store.find(OTHER) is None
    assert await store.find(KEY) == build_stored()
    await places.write(place, b"not ours", ttl_s=60)
    assert await store.forget(Invalidation(tenant="nobody")) == 1
    assert await places.read(place) is None


def test_a_sealed_answer_of_another_version_is_none() -> None:
    """Bytes that verify and are no answer of ours, such as a later version's."""
    assert unseal(seal(KEY, build_stored(), secret=SECRET) or b"", secret=SECRET) == build_stored()


@pytest.mark.parametrize("secret", [b"short", b"a" * 64])
def test_a_weak_secret_is_refused(secret: bytes) -> None:
    """It is not shown."""
    with pytest.raises(InvalidInput, match=r"give 32 random ones") as caught:
        SharedCache(StoredPlaces(None), secret=secret)  # type: ignore[arg-type]
    assert secret.decode() not in str(caught.value)


async def test_a_server_that_is_gone_is_said(valkey_url: str) -> None:
    """The cache goes on without it; a program that asks the store itself is told."""
    async with open_redis("redis://127.0.0.1:1/0") as client:
        store = SharedCache(RedisPlaces(client), secret=SECRET)
        with pytest.raises(Unavailable, match="The cache's Redis server cannot be reached"):
            await store.find(KEY)
        with pytest.raises(Unavailable):
            await store.keep(KEY, build_stored(), ttl_s=1)
        with pytest.raises(Unavailable):
            await store.forget(Invalidation())
        inner = Counting()
        model = Cached(inner, rule=CacheRule(), store=store)
        assert (await model.complete(ask())).message.text == "answer 1"
        assert model.counts.failures == 1


async def test_a_store_that_hangs_is_not_waited_for() -> None:
    """A cache that is slower than the model is none."""

    class Hanging(StoredPlaces):
        async def read(self, name: str) -> bytes | None:
            import asyncio

            await asyncio.Event().wait()
            return None

    store = SharedCache(Hanging(None), secret=SECRET, timeout_s=0.01)  # type: ignore[arg-type]
    with pytest.raises(Unavailable, match=r"did not answer within 0\.01 s"):
        await store.find(KEY)
