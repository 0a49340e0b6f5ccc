"""Does a second call help when the first is slow, and is it paid for?"""

import asyncio
from collections.abc import Callable

import pytest
from tests.unit.models.gateway.samples import REQUEST, Actor, World, down, read, reply, settle

from quorate.errors import QuorateError, UpstreamError
from quorate.messages import Reply
from quorate.models.attempts import RetryBudget
from quorate.models.cost import Price
from quorate.models.hedged import Hedged, HedgeRule
from quorate.specs import Request


def build(world: World, inner: Actor, **rule: object) -> Hedged:
    return Hedged(
        inner,
        rule=HedgeRule(**rule),  # type: ignore[arg-type]
        budget=RetryBudget(monotonic=world.read),
        price=Price(input=1_000_000, output=0),
        sleep=world.sleep,
        monotonic=world.read,
    )


def take_times(world: World, *seconds: float, error: QuorateError | None = None) -> Callable[[Request], object]:
    """Answer after so long, for one call after the other; each says which one it was."""
    left = list(enumerate(seconds, 1))

    async def act(_: Request) -> Reply:
        number, wait = left.pop(0)
        await world.sleep(wait)
        if error is not None:
            raise error
        return reply(str(number), cost_usd=0.5)

    return act


@pytest.mark.parametrize("how", ["complete", "stream"])
async def test_a_slow_call_is_made_again_and_the_quicker_answer_wins(how: str) -> None:
    """The other one is cancelled, and what it has read is on the bill."""
    world = World()
    inner = Actor(take_times(world, 10.0, 1.0))  # type: ignore[arg-type]
    model = build(world, inner, delay_s=2.0)
    if how == "complete":
        got: Reply | None = await world.run(model.complete(REQUEST))
    else:
        _, got = await world.run(read(model.stream(REQUEST)))
    assert got is not None
    assert got.message.text == "2"
    assert world.now == 1003.0
    assert (inner.calls, inner.cancelled, inner.open) == (2, 1, 0)
    assert (got.attempts, got.estimated, got.usage.requests) == (2, True, 2)
    assert got.usage.input_tokens > 0
    assert got.cost_usd == 0.5 + got.usage.input_tokens


async def test_the_first_call_may_still_win() -> None:
    world = World()
    inner = Actor(take_times(world, 3.0, 9.0))  # type: ignore[arg-type]
    got = await world.run(build(world, inner, delay_s=2.0).complete(REQUEST))
    assert (got.message.text, inner.calls, inner.cancelled) == ("1", 2, 1)


async def test_a_quick_call_is_made_once() -> None:
    world = World()
    inner = Actor(take_times(world, 1.0))  # type: ignore[arg-type]
    got = await world.run(build(world, inner, delay_s=2.0).complete(REQUEST))
    assert (got.attempts, got.estimated, inner.calls) == (1, False, 1)


async def test_the_delay_is_what_most_calls_take() -> None:
    """Measured; before enough is measured nothing is hedged."""
    world = World()
    inner = Actor(take_times(world, *[1.0] * 19, 5.0, 1.0))  # type: ignore[arg-type]
    model = build(world, inner, quantile=0.9)

    async def calls() -> None:
        assert model.find_delay() is None
        for _ in range(20):
            await model.complete(REQUEST)
        assert model.find_delay() == 1.0
        assert model.find_delay(stream=True) is None

    await world.run(calls())
    assert inner.calls == 20


async def test_when_both_fail_that_is_the_end() -> None:
    world = World()
    inner = Actor(take_times(world, 3.0, 3.0, error=down()))  # type: ignore[arg-type]
    model = build(world, inner, delay_s=2.0)
    with pytest.raises(UpstreamError):
        await world.run(model.complete(REQUEST))
    assert inner.calls == 2
    assert model._budget.take()  # type: ignore[attr-defined]


async def test_a_call_that_fails_at_once_is_not_hedged() -> None:
    world = World()
    inner = Actor(down())
    with pytest.raises(UpstreamError):
        await world.run(build(world, inner, delay_s=2.0).complete(REQUEST))
    assert inner.calls == 1


async def test_a_crash_is_raised_as_itself() -> None:
    async def crash(_: Request) -> Reply:
        raise ZeroDivisionError

    world = World()
    with pytest.raises(ZeroDivisionError):
        await world.run(build(world, Actor(crash), delay_s=2.0).complete(REQUEST))


async def test_no_second_call_beyond_the_budget() -> None:
    world = World()
    inner = Actor(take_times(world, 5.0))  # type: ignore[arg-type]
    model = build(world, inner, delay_s=2.0)
    while model._budget.take():
        pass
    assert (await world.run(model.complete(REQUEST))).message.text == "1"


@pytest.mark.parametrize("how", ["complete", "stream"])
async def test_cancellation_ends_both(how: str) -> None:
    world = World()
    inner = Actor(take_times(world, 50.0, 50.0))  # type: ignore[arg-type]
    model = build(world, inner, delay_s=2.0)

    async def leave() -> None:
        work = model.complete(REQUEST) if how == "complete" else read(model.stream(REQUEST))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work)  # type: ignore[arg-type]
            await world.sleep(10)
            task.cancel()
        await settle()

    await world.run(leave())
    assert (inner.calls, inner.cancelled, inner.open) == (2, 2, 0)
    assert model._budget._under_way == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("turns", range(6))
async def test_who_leaves_as_the_answer_comes_leaves_no_stream_open(turns: int) -> None:
    """Between the first piece and being told of it: the provider must not go on for nobody."""
    world = World()
    tasks: list[asyncio.Task[object]] = []

    async def act(_: Request) -> Reply:
        def leave(left: int) -> None:
            if left:
                asyncio.get_running_loop().call_soon(leave, left - 1)
            else:
                tasks[0].cancel()

        leave(turns)
        return reply("so far")

    inner = Actor(act)  # type: ignore[arg-type]
    model = build(world, inner, delay_s=2.0)

    async def ask() -> None:
        items = model.stream(REQUEST)
        try:
            await anext(items)
            await asyncio.Event().wait()
        finally:
            await items.aclose()

    async def try_it() -> None:
        tasks.append(asyncio.ensure_future(ask()))
        await asyncio.wait(tasks)
        await settle()

    await world.run(try_it())
    assert tasks[0].cancelled()
    assert (inner.calls, inner.open) == (1, 0)
