"""Do small requests for vectors become large ones, and does each get its own back?"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.unit.models.gateway.samples import World, down, settle

from quorate.errors import InvalidInput, QuorateError, RateLimited, TooLarge, Unavailable, UpstreamError
from quorate.messages import Embeddings, Usage
from quorate.models.batching import Batched, BatchRule
from quorate.models.breaking import Breaker, BreakerPolicy
from quorate.models.crew import Crew
from quorate.models.retry import RetryPolicy
from quorate.models.steady import Steady
from quorate.specs import Caller, EmbedRequest


class Vectors:
    """An embedder whose vectors say which text they are of."""

    def __init__(self, act: Callable[[EmbedRequest], Awaitable[object]] | None = None) -> None:
        self.name = "test:vectors"
        self.sizes: list[int] = []
        self.cancelled = 0
        self.script: list[QuorateError] = []
        self._act = act

    async def embed(self, request: EmbedRequest) -> Embeddings:
        self.sizes.append(len(request.texts))
        try:
            if self.script:
                raise self.script.pop(0)
            if self._act is not None:
                await self._act(request)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        size = sum(map(len, request.texts))
        return Embeddings(
            vectors=tuple((float(len(text)), float(ord(text[0]))) for text in request.texts),
            usage=Usage(input_tokens=size, requests=1),
            model="vectors",
            cost_usd=size / 1000,
        )


def want(*texts: str, **facts: object) -> EmbedRequest:
    return EmbedRequest(texts=texts, **facts)  # type: ignore[arg-type]


async def gather(batched: Batched, *requests: EmbedRequest) -> list[Embeddings | BaseException]:
    return await asyncio.gather(*(batched.embed(one) for one in requests), return_exceptions=True)


async def test_what_is_asked_for_at_once_goes_in_one_call() -> None:
    """And each gets its own vectors, in its order."""
    inner = Vectors()
    async with Crew() as crew:
        batched = Batched(inner, crew=crew, rule=BatchRule(wait_s=0))
        got = await gather(batched, want("a", "bb"), want("ccc"), want("d", "ee", "fff"))
    assert inner.sizes == [6]
    assert [[vector[0] for vector in one.vectors] for one in got if isinstance(one, Embeddings)] == [
        [1, 2],
        [3],
        [1, 2, 3],
    ]
    assert batched.waiting == 0


async def test_the_bill_is_split_and_its_sum_stays_the_same() -> None:
    async with Crew() as crew:
        batched = Batched(Vectors(), crew=crew, rule=BatchRule(wait_s=0))
        got = [e for e in await gather(batched, *(want("x" * n) for n in range(1, 8))) if isinstance(e, Embeddings)]
    assert sum((one.usage for one in got), Usage()) == Usage(input_tokens=28, requests=1)
    assert sum(one.cost_usd or 0 for one in got) == pytest.approx(0.028)
    assert [one.usage.input_tokens for one in got] == [1, 2, 3, 4, 5, 6, 7]


async def test_a_full_batch_does_not_wait() -> None:
    world, inner = World(), Vectors()
    async with Crew() as crew:
        batched = Batched(inner, crew=crew, rule=BatchRule(wait_s=1), max_texts=4, sleep=world.sleep)
        await gather(batched, *(want("x") for _ in range(8)))
    assert inner.sizes == [4, 4]
    assert world.now == 1000.0


async def test_a_request_that_fits_no_more_begins_the_next_batch() -> None:
    inner = Vectors()
    async with Crew() as crew:
        batched = Batched(inner, crew=crew, rule=BatchRule(wait_s=0), max_texts=4)
        await gather(batched, want("a", "b", "c"), want("d", "e"))
    assert sorted(inner.sizes) == [2, 3]


async def test_a_request_as_large_as_a_batch_goes_alone_and_none_goes_for_nothing() -> None:
    inner = Vectors()
    batched = Batched(inner, crew=Crew(), max_texts=3)
    assert len((await batched.embed(want("a", "b", "c", "d"))).vectors) == 4
    assert (await batched.embed(want())).vectors == ()


async def test_only_what_is_alike_goes_together() -> None:
    inner = Vectors()
    async with Crew() as crew:
        batched = Batched(inner, crew=crew, rule=BatchRule(wait_s=0))
        kinds = [want("a"), want("b", dimensions=2), want("c", purpose="query"), want("d", caller=Caller(tenant="x"))]
        await gather(batched, *kinds, *kinds)
    assert inner.sizes == [2, 2, 2, 2]


@pytest.mark.parametrize("error", [InvalidInput("empty"), TooLarge("long"), UpstreamError("bad", status=400)])
async def test_a_bad_request_fails_alone(error: QuorateError) -> None:
    async def refuse(request: EmbedRequest) -> None:
        if "!" in request.texts:
            raise error

    async with Crew() as crew:
        batched = Batched(Vectors(refuse), crew=crew, rule=BatchRule(wait_s=0))
        got = await gather(batched, want("a"), want("!"), want("b"))
    assert [type(one) for one in got] == [Embeddings, type(error), Embeddings]


async def test_what_is_nobody_s_fault_fails_for_all_and_is_not_multiplied() -> None:
    inner = Vectors()
    inner.script = [down()]
    async with Crew() as crew:
        batched = Batched(inner, crew=crew, rule=BatchRule(wait_s=0))
        got = await gather(batched, want("a"), want("b"), want("c"))
    assert [type(one) for one in got] == [UpstreamError] * 3
    assert inner.sizes == [3]


async def test_the_wrong_number_of_vectors_is_a_fault() -> None:
    class Short(Vectors):
        async def embed(self, request: EmbedRequest) -> Embeddings:
            return Embeddings(vectors=((1.0,),))

    async with Crew() as crew:
        batched = Batched(Short(), crew=crew, rule=BatchRule(wait_s=0))
        got = await gather(batched, want("a"), want("b"))
    assert [type(one) for one in got] == [UpstreamError] * 2


async def test_one_who_leaves_is_left_out_and_the_last_one_ends_the_call() -> None:
    async def hang(_: EmbedRequest) -> None:
        await asyncio.Event().wait()

    world, inner = World(), Vectors(hang)
    async with Crew() as crew:
        batched = Batched(inner, crew=crew, rule=BatchRule(wait_s=1), max_texts=3, sleep=world.sleep)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(batched.embed(want(text))) for text in "abcd"]
            await settle()
            tasks[3].cancel()  # its batch was still being gathered
            await settle()
            assert inner.sizes == [3]
            for task in tasks[:3]:
                assert inner.cancelled == 0
                task.cancel()
                await settle()
        await settle()
        assert inner.cancelled == 1
        assert (batched.waiting, batched._open) == (0, {})


async def test_a_full_queue_refuses_at_once() -> None:
    world = World()
    async with Crew() as crew:
        batched = Batched(Vectors(), crew=crew, rule=BatchRule(wait_s=1, max_waiting=3), sleep=world.sleep)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(batched.embed(want("a", "b")))
            await settle()
            with pytest.raises(Unavailable, match="2 texts wait"):
                await batched.embed(want("c", "d"))
            task.cancel()


async def test_a_crash_is_heard_by_those_who_wait() -> None:
    async def crash(_: EmbedRequest) -> None:
        raise ZeroDivisionError

    async with Crew() as crew:
        batched = Batched(Vectors(crash), crew=crew, rule=BatchRule(wait_s=0))
        got = await gather(batched, want("a"), want("b"))
    assert [type(one) for one in got] == [ZeroDivisionError] * 2


def steady(inner: Vectors, world: World, **policy: float) -> Steady:
    return Steady(
        inner,
        policy=RetryPolicy(**policy),  # type: ignore[arg-type]
        breaker=Breaker(policy=BreakerPolicy(failures=5), monotonic=world.read),
        random=lambda: 1.0,
        sleep=world.sleep,
        monotonic=world.read,
    )


async def test_vectors_are_asked_for_again_like_replies() -> None:
    world, inner = World(), Vectors()
    inner.script = [down(), RateLimited("slow", retry_after_s=7.0)]
    await world.run(steady(inner, world).embed(want("a")))
    assert world.now == pytest.approx(1000 + 0.5 + 7.7)
    inner.script = [InvalidInput("bad")]
    with pytest.raises(InvalidInput):
        await world.run(steady(inner, world).embed(want("a")))
    assert inner.sizes == [1] * 4


async def test_an_embedder_that_fails_is_left_alone_for_a_while() -> None:
    world, inner = World(), Vectors()
    inner.script = [down() for _ in range(50)]
    model = steady(inner, world, attempts=1)
    for _ in range(20):
        with pytest.raises((UpstreamError, Unavailable)):
            await model.embed(want("a"))
    assert len(inner.sizes) == 5
    inner.script = []
    for _ in range(2):
        world.now += 5
        await model.embed(want("a"))
    assert model.breaker.state == "closed"


async def test_retries_of_vectors_stay_within_the_budget() -> None:
    world, inner = World(), Vectors()
    inner.script = [down() for _ in range(1000)]
    model = Steady(
        inner,
        breaker=Breaker(policy=BreakerPolicy(failures=10_000, calls=10_000)),
        random=lambda: 0.0,
        sleep=world.sleep,
        monotonic=world.read,
    )

    async def storm() -> None:
        for _ in range(100):
            with pytest.raises(UpstreamError):
                await model.embed(want("a"))

    await world.run(storm())
    assert len(inner.sizes) <= 120
