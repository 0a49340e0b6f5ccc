"""Is a model asked for as much as it can do, and the rest told so at once?"""

import asyncio

import pytest
from tests.unit.models.gateway.samples import REQUEST, Actor, World, down, forever, limited, read, reply, settle

from quorate.errors import Unavailable, UpstreamError
from quorate.messages import Reply
from quorate.models.bounded import Bounded, BulkheadRule
from quorate.specs import Request


async def test_so_many_at_once_and_the_next_when_one_ends() -> None:
    world = World()
    seen: list[int] = []

    async def work(_: Request) -> Reply:
        seen.append(model.in_flight)
        await world.sleep(1.0)
        return reply()

    model = Bounded(Actor(work), rule=BulkheadRule(max_in_flight=3), monotonic=world.read)

    async def burst() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(9):
                group.create_task(model.complete(REQUEST))

    await world.run(burst())
    assert max(seen) == 3
    assert world.now == 1003.0
    assert (model.in_flight, model.waiting) == (0, 0)


async def test_a_full_queue_refuses_at_once() -> None:
    model = Bounded(Actor(forever), rule=BulkheadRule(max_in_flight=1, max_waiting=2))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(model.complete(REQUEST)) for _ in range(3)]
        await settle()
        with pytest.raises(Unavailable, match="1 calls under way and 2 waiting") as caught:
            await model.complete(REQUEST)
        with pytest.raises(Unavailable):
            await read(model.stream(REQUEST))
        for task in tasks:
            task.cancel()
    assert caught.value.context["reason"] == "overloaded"
    assert caught.value.context["retry_after_s"]
    assert (model.in_flight, model.waiting) == (0, 0)


async def test_a_wait_that_is_too_long_is_not_begun() -> None:
    """By how long calls took so far: nobody waits in vain."""
    world = World()

    async def work(_: Request) -> Reply:
        await world.sleep(4.0)
        return reply()

    rule = BulkheadRule(max_in_flight=1, max_waiting=1000, wait_s=10.0)
    model = Bounded(Actor(work), rule=rule, monotonic=world.read)

    async def burst() -> None:
        await model.complete(REQUEST)
        tasks: list[asyncio.Task[Reply]] = []
        async with asyncio.TaskGroup() as group:
            tasks.append(group.create_task(model.complete(REQUEST)))
            await settle(2)
            for _ in range(2):
                tasks.append(group.create_task(model.complete(REQUEST)))
            await settle(2)
            with pytest.raises(Unavailable) as caught:
                await model.complete(REQUEST)
            assert caught.value.context["retry_after_s"] == 12.0

    await world.run(burst())


async def test_five_times_too_much_loses_no_work() -> None:
    """At five times its capacity a model does all it can do, and those it refuses are refused at once."""
    world = World()
    done: list[float] = []
    waited: list[float] = []

    async def work(_: Request) -> Reply:
        await world.sleep(0.1)
        return reply()

    rule = BulkheadRule(max_in_flight=10, max_waiting=100, wait_s=2.0)
    model = Bounded(Actor(work), rule=rule, monotonic=world.read)

    async def call() -> None:
        began = world.now
        try:
            await model.complete(REQUEST)
            done.append(world.now - began)
        except Unavailable:
            waited.append(world.now - began)

    async def storm() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(2500):  # 500 calls a second for 5 s, where 100 a second can be served
                group.create_task(call())
                await world.sleep(0.002)

    await world.run(storm())
    assert len(done) >= 0.8 * 500
    assert max(waited) == 0.0
    assert max(done) <= 2.2


async def test_a_caller_that_leaves_the_queue_leaves_no_hole() -> None:
    gate = asyncio.Event()

    async def work(_: Request) -> Reply:
        await gate.wait()
        return reply()

    model = Bounded(Actor(work), rule=BulkheadRule(max_in_flight=1))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(model.complete(REQUEST)) for _ in range(4)]
        await settle()
        tasks[1].cancel()
        tasks[2].cancel()
        gate.set()
    assert tasks[3].result().message.text == "Hello."
    assert (model.in_flight, model.waiting) == (0, 0)


async def test_a_place_that_comes_with_a_cancellation_is_passed_on() -> None:
    gate = asyncio.Event()

    async def work(_: Request) -> Reply:
        await gate.wait()
        return reply()

    model = Bounded(Actor(work), rule=BulkheadRule(max_in_flight=1))
    async with asyncio.TaskGroup() as group:
        first = group.create_task(model.complete(REQUEST))
        await settle()
        second = group.create_task(model.complete(REQUEST))
        third = group.create_task(model.complete(REQUEST))
        await settle()
        gate.set()
        await first
        second.cancel()
    assert third.done()
    assert (model.in_flight, model.waiting) == (0, 0)


async def test_a_queue_whose_time_is_over_says_so() -> None:
    model = Bounded(Actor(forever), rule=BulkheadRule(max_in_flight=1, wait_s=0.02))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(model.complete(REQUEST))
        await settle()
        with pytest.raises(Unavailable):
            await model.complete(REQUEST)
        task.cancel()
    assert model.waiting == 0


async def test_a_stream_keeps_its_place_until_it_is_left() -> None:
    model = Bounded(Actor(), rule=BulkheadRule(max_in_flight=1))
    stream = model.stream(REQUEST)
    await anext(stream)
    assert model.in_flight == 1
    await stream.aclose()
    assert model.in_flight == 0


async def test_calls_are_measured() -> None:
    """What routes go by: how long answers take, and how many fail; refusals of the caller's making are no failures."""
    world = World()

    async def work(_: Request) -> Reply:
        await world.sleep(2.0)
        return reply()

    inner = Actor(work)
    model = Bounded(inner, monotonic=world.read)
    await world.run(model.complete(REQUEST))
    await world.run(read(model.stream(REQUEST)))  # type: ignore[arg-type]
    assert (model.health.latency_s, model.health.first_s) == (2.0, 2.0)
    for error in (down(), limited()):
        inner.act = error
        with pytest.raises(type(error)):
            await model.complete(REQUEST)
    inner.act = UpstreamError("bad", status=400)
    with pytest.raises(UpstreamError):
        await model.complete(REQUEST)
    assert (model.health.calls, model.health.failures, model.health.last_error) == (4, 2, "rate_limited")


async def test_a_model_that_failed_comes_back_by_itself() -> None:
    """Half of what was counted is forgotten in half a minute."""
    world = World()
    model = Bounded(Actor(down()), monotonic=world.read)
    for _ in range(6):
        with pytest.raises(UpstreamError):
            await model.complete(REQUEST)
    assert not model.health.is_well
    world.now += 30
    assert model.health.is_well
