"""Does the cache keep nothing that is not an answer, and give nothing out of its time?"""

import pytest
from msgspec import structs
from tests.unit.models.cache.samples import Counting, Time, ask

from quorate.messages import Text
from quorate.models.cache.key import CacheKey
from quorate.models.cache.rule import CacheRule, CacheStore, Invalidation
from quorate.models.cache.shared import SharedCache
from quorate.models.cached import Cached
from quorate.specs import OutputSpec, Request

SECRET = bytes(range(32))


class Places:
    """A store that others can read and write."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}

    async def read(self, name: str) -> bytes | None:
        return self.rows.get(name)

    async def write(self, name: str, data: bytes, *, ttl_s: float) -> None:
        self.rows[name] = data

    async def remove(self, name: str) -> None:
        self.rows.pop(name, None)

    async def iterate(self, prefix: str):  # type: ignore[no-untyped-def]
        for name, data in list(self.rows.items()):
            yield name, data


def with_schema() -> Request:
    return structs.replace(ask(), output=OutputSpec(name="answer", json_schema={"type": "object"}))


@pytest.mark.parametrize(("text", "calls"), [('{"a": 1}', 1), ('{"a": ', 2), ("Sorry, I cannot.", 2), ("[1]", 1)])
async def test_an_answer_that_should_be_json_and_is_not_is_not_kept(text: str, calls: int) -> None:
    """It would fail each time it is given again, and no retry would help."""
    model = Counting(Text(text=text))
    cached = Cached(model, rule=CacheRule())
    for _ in range(2):
        await cached.complete(with_schema())
    assert model.calls == calls


@pytest.mark.parametrize("shared", [False, True])
async def test_an_answer_that_cannot_be_written_down_is_given_and_not_kept(shared: bool) -> None:
    """Half of a character, which models do write."""
    store = SharedCache(Places(), secret=SECRET) if shared else None
    model = Counting(Text(text="so \ud83d"))
    cached = Cached(model, rule=CacheRule(), store=store, key=CacheKey(SECRET, model="openai:gpt-5.2"))
    for _ in range(2):
        assert (await cached.complete(ask())).message.text == "so \ud83d"
    assert (model.calls, cached.counts.refused, cached.counts.failures) == (2, 2, 0)


async def test_an_old_row_that_somebody_puts_back_is_no_answer() -> None:
    """It bears our own seal, and its time is over: a store that was restored, or written to by others."""
    places, time = Places(), Time()
    model = Counting()
    store: CacheStore = SharedCache(places, secret=SECRET, now=time.read)
    cached = Cached(model, rule=CacheRule(ttl_s=60), store=store, key=CacheKey(SECRET, model="openai:gpt-5.2"))
    await cached.complete(ask())
    rows = dict(places.rows)
    await cached.invalidate(Invalidation())
    places.rows.update(rows)
    time.now += 61
    assert (await cached.complete(ask())).message.text == "answer 2"
    time.now -= 61 + 3600
    places.rows.update(rows)
    # Clocks differ, and one may jump: what is not over yet is good.
    assert (await cached.complete(ask())).message.text == "answer 1"
