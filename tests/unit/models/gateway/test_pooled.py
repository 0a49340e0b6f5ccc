"""Is a call made with the credential that can make it?"""

import asyncio

import pytest
from tests.unit.models.gateway.samples import REQUEST, Actor, Cut, World, down, forever, limited, read, reply, settle

from quorate.errors import InvalidInput, QuorateError, RateLimited, Unauthenticated, Unavailable, UpstreamError
from quorate.models.attempts import RetryBudget
from quorate.models.breaking import Breaker, Breaking
from quorate.models.pooled import Pooled, Slot, choose_names
from quorate.models.retry import Retrying


def build(*actors: Actor, **options: object) -> tuple[Pooled, World]:
    world = World()
    budget = RetryBudget(monotonic=world.read)
    slots = [Slot(actor, name=f"KEY_{place}") for place, actor in enumerate(actors)]
    return Pooled(slots, budget=budget.within, monotonic=world.read, **options), world  # type: ignore[arg-type]


def count(*actors: Actor) -> list[int]:
    return [actor.calls for actor in actors]


async def test_credentials_take_turns() -> None:
    actors = [Actor(), Actor(), Actor()]
    pool, _ = build(*actors)
    for _ in range(9):
        await pool.complete(REQUEST)
        await read(pool.stream(REQUEST))
    assert count(*actors) == [6, 6, 6]


async def test_the_least_used_one_is_the_one_with_the_fewest_calls_under_way() -> None:
    slow, quick = Actor(forever), Actor()
    pool, _ = build(slow, quick, choose="least_used")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(pool.complete(REQUEST))
        await settle()
        for _ in range(5):
            await pool.complete(REQUEST)
        task.cancel()
    assert count(slow, quick) == [1, 5]


@pytest.mark.parametrize("how", ["complete", "stream"])
async def test_a_429_rests_a_credential_and_the_next_one_answers_at_once(how: str) -> None:
    """For as long as the provider says; nobody waits while another credential is there."""
    one, two = Actor(limited(20.0)), Actor()
    pool, world = build(one, two)
    pool._turn = 1

    async def call() -> object:
        return await (pool.complete(REQUEST) if how == "complete" else read(pool.stream(REQUEST)))

    for _ in range(6):
        await call()
    assert count(one, two) == [1, 6]
    assert pool.build_reports()[0].state == "cooling"
    world.now += 20
    one.act = "back"
    for _ in range(4):
        await call()
    assert count(one, two) == [3, 8]


async def test_attempts_with_other_credentials_are_counted() -> None:
    one, two = Actor(limited()), Actor()
    pool, _ = build(one, two)
    pool._turn = 1
    assert (await pool.complete(REQUEST)).attempts == 2
    one.script, pool._turn = [limited()], 1
    pool.slots[0].cooling_until = 0.0
    _, end = await read(pool.stream(REQUEST))
    assert end is not None
    assert end.attempts == 2


async def test_when_all_rest_the_shortest_wait_is_said() -> None:
    """And nobody is called meanwhile."""
    one, two = Actor(limited(30.0)), Actor(limited(7.0))
    pool, world = build(one, two)
    with pytest.raises(RateLimited, match="All its 2 credentials rest for 7 s"):
        await pool.complete(REQUEST)
    world.now += 2
    with pytest.raises(RateLimited, match="5 s") as caught:
        await read(pool.stream(REQUEST))
    assert caught.value.retry_after_s == 5.0
    assert count(one, two) == [1, 1]


async def test_a_single_credential_rests_too() -> None:
    one = Actor(limited(30.0))
    pool, _ = build(one)
    for _ in range(3):
        with pytest.raises(RateLimited):
            await pool.complete(REQUEST)
    assert one.calls == 1


async def test_a_429_without_a_time_rests_for_the_rule_s() -> None:
    one = Actor(limited())
    pool, _ = build(one, cooldown_s=12.0)
    with pytest.raises(RateLimited) as caught:
        await pool.complete(REQUEST)
    assert caught.value.retry_after_s == 12.0


async def test_a_retry_waits_for_the_first_credential_to_be_back() -> None:
    one = Actor("Hello.")
    one.script = [limited(3.0)]
    pool, world = build(one)
    model = Retrying(pool, random=lambda: 0.0, sleep=world.sleep, monotonic=world.read)
    assert (await world.run(model.complete(REQUEST))).attempts == 2
    assert world.now == 1003.0


async def test_a_refused_credential_is_put_aside_with_a_note() -> None:
    one, two = Actor(Unauthenticated("no")), Actor()
    pool, world = build(one, two)
    for _ in range(6):
        await pool.complete(REQUEST)
    assert one.calls == 1
    report = pool.build_reports()[0]
    assert (report.name, report.state, report.note) == ("KEY_0", "refused", "refused: check the credential")
    world.now += 301
    for _ in range(4):
        await pool.complete(REQUEST)
    assert one.calls == 2


async def test_when_all_are_refused_the_refusal_is_what_is_said() -> None:
    """They are asked again each time: somebody may have put them right."""
    one, two = Actor(Unauthenticated("no")), Actor(Unauthenticated("nor"))
    pool, _ = build(one, two)
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            await pool.complete(REQUEST)
    assert count(one, two) == [2, 2]


async def test_a_credential_whose_breaker_is_open_is_passed_over() -> None:
    world = World()
    breaker = Breaker(monotonic=world.read)
    breaker.hold_open()
    broken, two = Actor(), Actor()
    pool, _ = build(Breaking(broken, breaker=breaker), two)  # type: ignore[arg-type]
    for _ in range(4):
        await pool.complete(REQUEST)
    assert count(broken, two) == [0, 4]
    two.act = down()
    with pytest.raises((UpstreamError, Unavailable)):
        await pool.complete(REQUEST)


@pytest.mark.parametrize("error", [down(), InvalidInput("bad")])
async def test_what_is_no_fault_of_the_credential_is_raised(error: QuorateError) -> None:
    one, two = Actor(error), Actor(error)
    pool, _ = build(one, two)
    with pytest.raises(type(error)):
        await pool.complete(REQUEST)
    assert sum(count(one, two)) == 1


async def test_our_own_limit_does_not_rest_a_credential() -> None:
    own = RateLimited("ours", retry_after_s=9.0, source="gateway", scope="credential")
    one, two = Actor(own), Actor()
    pool, _ = build(one, two)
    for _ in range(2):
        await pool.complete(REQUEST)
    assert pool.build_reports()[0].state == "ready"
    one.act = two.act = RateLimited("ours", source="gateway", scope="tenant")
    with pytest.raises(RateLimited, match="ours"):
        await pool.complete(REQUEST)


async def test_a_stream_that_broke_after_a_piece_is_not_begun_again() -> None:
    one, two = Cut(), Cut()
    pool, _ = build(one, two)
    with pytest.raises(UpstreamError):
        await read(pool.stream(REQUEST))
    assert sum(count(one, two)) == 1


async def test_a_storm_of_429_does_not_ask_every_credential_for_every_call() -> None:
    """Those who come after the first ones wait for what becomes of them."""
    world = World()

    async def refuse(_: object) -> object:
        await world.sleep(0.1)
        raise limited(60.0)

    actors = [Actor(refuse), Actor(refuse), Actor(refuse)]  # type: ignore[arg-type]
    budget = RetryBudget(monotonic=world.read)
    pool = Pooled([Slot(actor) for actor in actors], budget=budget.within, monotonic=world.read)

    async def call() -> None:
        budget.open_call()
        with pytest.raises(RateLimited):
            await pool.complete(REQUEST)
        budget.close_call()

    async def storm() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(call())

    await world.run(storm())
    assert sum(count(*actors)) <= 120


def test_names_are_exchanged_for_the_pool_s_own() -> None:
    values = {"KEY_B": "b", "B_ID": "id", "REGION": "eu"}.get
    assert choose_names(values, "OPENAI_API_KEY", "KEY_B")("OPENAI_API_KEY") == "b"
    several = choose_names(values, None, {"AWS_ACCESS_KEY_ID": "B_ID"})
    assert (several("AWS_ACCESS_KEY_ID"), several("REGION")) == ("id", "eu")


async def test_nothing_is_counted_as_under_way_after_a_cancellation() -> None:
    one = Actor(forever)
    pool, _ = build(one, Actor(reply("x")))
    pool._turn = 1
    async with asyncio.TaskGroup() as group:
        task = group.create_task(pool.complete(REQUEST))
        await settle()
        assert pool.build_reports()[0].in_flight == 1
        task.cancel()
    assert pool.build_reports()[0].in_flight == 0
    assert one.cancelled == 1
