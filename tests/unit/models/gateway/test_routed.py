"""Is a model that fails hidden by one that can answer, and is it said which one did?"""

import asyncio

import pytest
from tests.unit.models.gateway.samples import REQUEST, Actor, Cut, World, ask, down, forever, limited, read, settle

from quorate.errors import (
    BlockedByPolicy,
    BudgetExceeded,
    DeadlineExceeded,
    Incomplete,
    InvalidInput,
    NotFound,
    QuorateError,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnknownName,
    UpstreamError,
)
from quorate.messages import Reply, Route
from quorate.models.attempts import RetryBudget
from quorate.models.breaking import Breaker, Breaking
from quorate.models.choice import Candidate
from quorate.models.retry import Retrying
from quorate.models.routed import Routed
from quorate.models.routes import RouteRule
from quorate.specs import Request


def build(*actors: Actor, world: World | None = None, **rule: object) -> Routed:
    world = world or World()
    full = RouteRule(name="r", models=tuple(actor.profile.name for actor in actors), **rule)  # type: ignore[arg-type]
    budget = RetryBudget(monotonic=world.read)
    return Routed(full, [Candidate(actor) for actor in actors], budget=budget, monotonic=world.read)


def actors(*acts: object) -> list[Actor]:
    return [Actor(act, name=f"m:{place}") for place, act in enumerate(acts, 1)]  # type: ignore[arg-type]


def refused() -> Unavailable:
    return Unavailable("open", retry_after_s=4.0, reason="breaker")


async def test_the_first_model_answers_and_the_reply_says_why() -> None:
    """The decision and its reason are in the reply. row: C16"""
    route = build(*actors("one", "two"))
    reply = await route.complete(REQUEST)
    assert (reply.message.text, reply.attempts) == ("one", 1)
    assert reply.route == Route(model="m:1", asked="r", reason="first of the route")


@pytest.mark.parametrize(
    "error",
    [
        down(),
        UpstreamError("cannot be reached"),
        limited(30.0),
        Incomplete("cut", limit="stream"),
        DeadlineExceeded("late"),
        Unauthenticated("no"),
        NotFound("gone"),
        UnknownName("model", "m:1"),
        InvalidInput("this format carries no sound"),
        refused(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("how", ["complete", "stream"])
async def test_the_next_model_answers_what_the_first_cannot(error: QuorateError, how: str) -> None:
    """In the order of the fallback chain, and the reply names those that failed. row: A11"""
    one, two, three = actors(error, "two", "three")
    route = build(one, two, three)
    if how == "complete":
        reply: Reply | None = await route.complete(REQUEST)
    else:
        text, reply = await read(route.stream(REQUEST))
        assert text == "two"
    assert reply is not None
    assert reply.message.text == "two"
    assert reply.route == Route(
        model="m:2", asked="r", reason=f"after {error.code} of m:1", tried=(f"m:1 {error.code}",)
    )
    assert (one.calls, two.calls, three.calls) == (1, 1, 0)


async def test_another_model_answers_on_an_error() -> None:
    """Fallback on error. row: C16"""
    assert (await build(*actors(down(), "two")).complete(REQUEST)).message.text == "two"


async def test_attempts_are_counted_over_all_models() -> None:
    route = build(*actors(down(), down(), "three"))
    assert (await route.complete(REQUEST)).attempts == 3
    assert (await build(*actors(refused(), "two")).complete(REQUEST)).attempts == 1


@pytest.mark.parametrize(
    "error", [UpstreamError("bad", status=400), BudgetExceeded("spent"), BlockedByPolicy("no")], ids=lambda e: e.code
)
async def test_what_no_other_model_would_answer_is_raised_at_once(error: QuorateError) -> None:
    one, two = actors(error, "two")
    with pytest.raises(type(error)):
        await build(one, two).complete(REQUEST)
    assert two.calls == 0


async def test_a_stream_that_broke_after_a_piece_is_never_joined_with_another() -> None:
    one, two = Cut(name="m:1"), Actor("two", name="m:2")
    with pytest.raises(UpstreamError):
        await read(build(one, two).stream(REQUEST))
    assert two.calls == 0


async def test_too_large_goes_to_one_that_reads_more() -> None:
    one = Actor(TooLarge("no"), name="m:1", context_tokens=1000)
    two = Actor("two", name="m:2", context_tokens=1000)
    three = Actor("three", name="m:3", context_tokens=9000)
    assert (await build(one, two, three).complete(REQUEST)).message.text == "three"
    assert two.calls == 0


async def test_when_all_fail_the_last_one_s_error_names_those_that_were_tried() -> None:
    route = build(*actors(down(), refused(), limited(3.0)))
    with pytest.raises(QuorateError) as caught:
        await route.complete(REQUEST)
    assert caught.value.context["tried"] == ("m:1 upstream_error", "m:2 unavailable", "m:3 rate_limited")
    assert caught.value.context["attempts"] == 2


async def test_when_all_are_put_aside_the_shortest_wait_is_said() -> None:
    first, second = Unavailable("one", retry_after_s=9.0), Unavailable("two", retry_after_s=2.0)
    with pytest.raises(Unavailable, match="two"):
        await build(*actors(first, second)).complete(REQUEST)


async def test_no_more_models_are_tried_than_the_rule_says() -> None:
    chain = actors(down(), down(), "three")
    with pytest.raises(UpstreamError):
        await build(*chain, tries=2).complete(REQUEST)
    assert chain[2].calls == 0


async def test_no_model_is_asked_after_the_deadline() -> None:
    world = World()

    async def late(_: Request) -> Reply:
        await world.sleep(700.0)
        raise down()

    one, two = Actor(late, name="m:1"), Actor("two", name="m:2")
    with pytest.raises(UpstreamError):
        await world.run(build(one, two, world=world).complete(REQUEST))
    assert two.calls == 0


async def test_the_last_model_is_asked_patiently_and_the_others_are_not() -> None:
    world = World()
    budget = RetryBudget(monotonic=world.read)
    one, two = actors(down(), "two")
    two.script = [down()]

    def candidate(actor: Actor) -> Candidate:
        retry = Retrying(actor, budget=budget.within, sleep=world.sleep, random=lambda: 0.0, monotonic=world.read)
        return Candidate(retry, quick=actor)

    rule = RouteRule(name="r", models=("m:1", "m:2"))
    route = Routed(rule, [candidate(one), candidate(two)], budget=budget, monotonic=world.read)
    reply = await world.run(route.complete(REQUEST))
    assert (one.calls, two.calls, reply.attempts) == (1, 2, 3)


async def test_a_provider_that_dies_is_hidden_from_every_call() -> None:
    """With a hundred calls under way at that moment and a second model that lives, none fails. row: B9"""
    world = World()
    alive = True

    async def mortal(_: Request) -> Reply:
        await world.sleep(0.2)
        if not alive:
            raise down()
        return await Actor("one").complete(REQUEST)

    async def healthy(_: Request) -> Reply:
        await world.sleep(0.3)
        return await Actor("two").complete(REQUEST)

    one, two = Actor(mortal, name="m:1"), Actor(healthy, name="m:2")
    budget = RetryBudget(monotonic=world.read)
    breaker = Breaker(monotonic=world.read)
    route = Routed(
        RouteRule(name="r", models=("m:1", "m:2")),
        [Candidate(Breaking(one, breaker=breaker)), Candidate(two)],
        budget=budget,
        monotonic=world.read,
    )
    answered: list[str] = []

    async def call() -> None:
        answered.append((await route.complete(REQUEST)).message.text)

    async def traffic() -> None:
        nonlocal alive
        async with asyncio.TaskGroup() as group:
            for number in range(3000):
                alive = not 1000 <= number < 2000
                group.create_task(call())
                await world.sleep(0.002)
            await world.sleep(60)
            for _ in range(100):
                group.create_task(call())
                await world.sleep(0.1)

    await world.run(traffic())
    assert len(answered) == 3100
    assert set(answered) == {"one", "two"}
    assert set(answered[-50:]) == {"one"}  # it is well again
    assert one.calls < 2300  # it was left alone while it was dead


async def test_a_hundred_calls_at_once_leave_a_model_that_is_dead_from_the_start() -> None:
    """Though nothing is known of the second one, and the budget is that of no calls before."""
    world = World()

    async def fail(_: Request) -> Reply:
        await world.sleep(0.1)
        raise down()

    async def answer(_: Request) -> Reply:
        await world.sleep(0.1)
        return await Actor("two").complete(REQUEST)

    route = build(Actor(fail, name="m:1"), Actor(answer, name="m:2"), world=world)

    async def burst() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(route.complete(REQUEST))

    await world.run(burst())
    assert world.now < 1000.5


async def test_cancellation_reaches_the_model_and_leaves_nothing() -> None:
    one, two = actors(forever, "two")
    route = build(one, two)
    for work in (route.complete(REQUEST), read(route.stream(REQUEST))):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work)  # type: ignore[arg-type]
            await settle()
            task.cancel()
    assert (one.cancelled, one.open, two.calls) == (2, 0, 0)
    assert (await build(*actors("one")).complete(REQUEST)).message.text == "one"


async def test_the_profile_has_the_name_that_is_asked_for_and_all_are_closed() -> None:
    one, two = actors("one", "two")
    route = build(one, two)
    assert route.profile.name == "r"
    await route.aclose()
    assert (one.closed, two.closed) == (1, 1)


async def test_sessions_reach_their_model() -> None:
    chain = actors("1", "2", "3")
    route = build(*chain, sticky="session")
    replies = [(await route.complete(ask(session=f"s{n % 5}"))).message.text for n in range(50)]
    assert all(len(set(replies[n::5])) == 1 for n in range(5))
