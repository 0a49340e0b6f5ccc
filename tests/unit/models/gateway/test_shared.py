"""Are equal calls made once, for all who wait for them?"""

import asyncio

import pytest
from tests.unit.models.gateway.samples import REQUEST, Actor, ask, down, read, reply, settle

from quorate.errors import BudgetExceeded, Incomplete, QuorateError, RateLimited, Unavailable, UpstreamError
from quorate.messages import Reply, Usage
from quorate.models.cache.key import CacheKey, new_secret
from quorate.models.crew import Crew
from quorate.models.shared import Shared, ShareRule
from quorate.specs import Request


class Gate:
    """Lets a call end when it is told to."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def __call__(self, _: Request) -> Reply:
        await self.open.wait()
        return reply("Hello.", usage=Usage(input_tokens=7, requests=1), cost_usd=0.5)


def share(inner: Actor, crew: Crew, *, streams: bool = False) -> Shared:
    return Shared(inner, crew=crew, key=CacheKey(new_secret(), model="test:m"), rule=ShareRule(streams=streams))


async def test_five_equal_calls_at_once_are_one_upstream_call() -> None:
    """All get the answer; the first pays."""
    gate = Gate()
    inner = Actor(gate)
    async with Crew() as crew, asyncio.TaskGroup() as group:
        model = share(inner, crew)
        tasks = [group.create_task(model.complete(ask(run=f"run-{number}"))) for number in range(5)]
        await settle()
        assert model.under_way == 1
        gate.open.set()
    replies = [task.result() for task in tasks]
    assert inner.calls == 1
    assert {one.message.text for one in replies} == {"Hello."}
    assert [one.cached for one in replies] == [False, True, True, True, True]
    assert sum((one.usage for one in replies), Usage()) == Usage(input_tokens=7, requests=1)
    assert sum(one.cost_usd or 0 for one in replies) == 0.5
    assert model.under_way == 0


async def test_nothing_is_shared_between_tenants_people_or_questions() -> None:
    gate = Gate()
    inner = Actor(gate)
    requests = [ask(), ask(tenant="other"), ask(principal="other"), ask("Hello?")]
    async with Crew() as crew, asyncio.TaskGroup() as group:
        model = share(inner, crew)
        for request in requests:
            group.create_task(model.complete(request))
        await settle()
        gate.open.set()
    assert inner.calls == 4


async def test_the_next_call_is_made_anew() -> None:
    inner = Actor()
    async with Crew() as crew:
        model = share(inner, crew)
        assert [(await model.complete(REQUEST)).cached for _ in range(2)] == [False, False]
    assert inner.calls == 2


@pytest.mark.parametrize("leaver", [1, 3])
async def test_one_who_leaves_takes_nothing_from_the_others(leaver: int) -> None:
    gate = Gate()
    inner = Actor(gate)
    async with Crew() as crew, asyncio.TaskGroup() as group:
        model = share(inner, crew)
        tasks = [group.create_task(model.complete(REQUEST)) for _ in range(4)]
        await settle()
        tasks[leaver].cancel()
        await settle()
        gate.open.set()
    assert (inner.calls, inner.cancelled) == (1, 0)
    assert sum(task.cancelled() for task in tasks) == 1


async def test_when_the_first_leaves_the_next_one_makes_the_call() -> None:
    """One of them, for all who still wait."""
    gate = Gate()
    inner = Actor(gate)
    async with Crew() as crew, asyncio.TaskGroup() as group:
        model = share(inner, crew)
        tasks = [group.create_task(model.complete(REQUEST)) for _ in range(4)]
        await settle()
        tasks[0].cancel()
        await settle()
        assert (inner.calls, inner.cancelled, model.under_way) == (2, 1, 1)
        gate.open.set()
    assert [task.result().cached for task in tasks[1:]] == [False, True, True]


@pytest.mark.parametrize("error", [BudgetExceeded("spent"), RateLimited("slow", source="gateway")])
async def test_what_holds_back_the_first_alone_is_not_the_others(error: QuorateError) -> None:
    """Its budget and its limits are its own."""
    gate = asyncio.Event()

    async def act(request: Request) -> Reply:
        await gate.wait()
        await settle(3)
        if request.caller.run == "poor":
            raise error
        return reply("Hello.")

    inner = Actor(act)
    async with Crew() as crew, asyncio.TaskGroup() as group:
        model = share(inner, crew)

        async def poor() -> None:
            with pytest.raises(type(error)):
                await model.complete(ask(run="poor"))

        group.create_task(poor())
        await settle()
        others = [group.create_task(model.complete(ask(run=f"r{number}"))) for number in range(3)]
        await settle()
        gate.set()
    assert [task.result().message.text for task in others] == ["Hello."] * 3
    assert inner.calls == 2


async def test_an_answer_that_was_held_short_is_not_the_others() -> None:
    gate = asyncio.Event()

    async def act(_: Request) -> Reply:
        is_first = inner.calls == 1
        await gate.wait()
        await settle(3)
        return reply("Hel", stop="length" if is_first else "end")

    inner = Actor(act)
    async with Crew() as crew, asyncio.TaskGroup() as group:
        model = share(inner, crew)
        tasks = [group.create_task(model.complete(REQUEST)) for _ in range(3)]
        await settle()
        gate.set()
    assert [task.result().stop for task in tasks] == ["length", "end", "end"]
    assert inner.calls == 2


async def test_when_all_leave_the_call_is_cancelled() -> None:
    inner = Actor(Gate())
    async with Crew() as crew:
        model = share(inner, crew)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(model.complete(REQUEST)) for _ in range(3)]
            await settle()
            for task in tasks:
                task.cancel()
        await settle()
        assert (inner.cancelled, inner.open, model.under_way) == (1, 0, 0)
        inner.act = "again"
        assert (await model.complete(REQUEST)).message.text == "again"


@pytest.mark.parametrize("error", [down(), ZeroDivisionError()])
async def test_all_hear_of_a_failure(error: Exception) -> None:
    gate = asyncio.Event()

    async def fail(_: Request) -> Reply:
        await gate.wait()
        raise error

    inner = Actor(fail)
    failures: list[BaseException] = []
    async with Crew() as crew, asyncio.TaskGroup() as group:
        model = share(inner, crew)

        async def call() -> None:
            try:
                await model.complete(REQUEST)
            except (UpstreamError, ZeroDivisionError) as caught:
                failures.append(caught)

        for _ in range(3):
            group.create_task(call())
        await settle()
        gate.set()
    assert failures == [error] * 3
    assert inner.calls == 1


async def test_a_gateway_that_is_not_open_says_so() -> None:
    model = share(Actor(), Crew(), streams=True)
    with pytest.raises(Unavailable, match="async with gateway"):
        await read(model.stream(REQUEST))
    async with Crew() as crew:
        closed = crew
    with pytest.raises(Unavailable):
        await read(share(Actor(), closed, streams=True).stream(REQUEST))


async def test_what_is_under_way_ends_with_the_gateway() -> None:
    inner = Actor(Gate())
    async with asyncio.TaskGroup() as group:
        async with Crew() as crew:
            task = group.create_task(_catch(share(inner, crew, streams=True)))
            await settle()
        assert isinstance(await task, Incomplete)
    assert (inner.cancelled, inner.open) == (1, 0)


async def _catch(model: Shared) -> Exception | None:
    try:
        await read(model.stream(REQUEST))
    except Incomplete as error:
        return error
    return None


async def test_what_goes_wrong_in_a_gateway_s_block_is_raised_as_itself() -> None:
    inner = Actor(Gate())

    async def work() -> None:
        async with Crew() as crew:
            model = share(inner, crew, streams=True)
            asyncio.ensure_future(_catch(model))  # noqa: RUF006
            await settle()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work()
    await settle()
    assert inner.open == 0


async def test_what_has_no_key_is_not_shared() -> None:
    inner = Actor()
    model = Shared(inner, crew=Crew(), key=lambda _: None, rule=ShareRule(streams=True))
    await model.complete(REQUEST)
    await read(model.stream(REQUEST))
    assert inner.calls == 2


async def test_streams_pass_through_unless_the_rule_says_otherwise() -> None:
    inner = Actor()
    async with Crew() as crew:
        await asyncio.wait_for(read(share(inner, crew).stream(REQUEST)), 5)
    assert inner.calls == 1


async def test_a_shared_stream_is_read_once_and_given_to_all_from_its_beginning() -> None:
    gate = Gate()
    inner = Actor(gate)
    async with Crew() as crew, asyncio.TaskGroup() as group:
        model = share(inner, crew, streams=True)
        first = group.create_task(read(model.stream(REQUEST)))
        await settle()
        slow = model.stream(REQUEST)
        begin = asyncio.ensure_future(anext(slow))  # type: ignore[arg-type]
        gate.open.set()
        assert (await begin).text == "Hell"  # type: ignore[union-attr]
        text, end = await read(slow)
    assert inner.calls == 1
    assert first.result()[0] == "Hello."
    assert (text, end is not None and end.cached) == ("o.", True)
    assert first.result()[1] == reply("Hello.", usage=Usage(input_tokens=7, requests=1), cost_usd=0.5)


async def test_a_shared_stream_goes_on_until_the_last_one_leaves() -> None:
    inner = Actor(Gate())
    async with Crew() as crew:
        model = share(inner, crew, streams=True)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(read(model.stream(REQUEST))) for _ in range(2)]
            await settle()
            tasks[0].cancel()
            await settle()
            assert inner.cancelled == 0
            tasks[1].cancel()
        await settle()
        assert (inner.cancelled, inner.open, model.under_way) == (1, 0, 0)


async def test_all_hear_of_a_stream_that_fails() -> None:
    inner = Actor(down())
    async with Crew() as crew:
        model = share(inner, crew, streams=True)
        for _ in range(2):
            with pytest.raises(UpstreamError):
                await read(model.stream(REQUEST))
    assert inner.calls == 2
