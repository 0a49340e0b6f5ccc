"""Do the attempts of all layers together stay within what a failing provider is to bear?"""

import asyncio
import random

import pytest
from tests.unit.models.gateway.samples import REQUEST, Act, Actor, World, ask, down, limited, settle

from quorate.errors import QuorateError
from quorate.messages import Reply
from quorate.models.attempts import Lane, RetryBudget
from quorate.models.bounded import Bounded
from quorate.models.breaking import Breaker, BreakerPolicy, Breaking
from quorate.models.choice import Candidate
from quorate.models.pooled import Pooled, Slot
from quorate.models.retry import RETRY_POLICY, Retrying, RetryPolicy
from quorate.models.routed import Routed
from quorate.models.routes import RouteRule
from quorate.ports import Model
from quorate.specs import Request

NEVER = BreakerPolicy(failures=100_000, calls=100_000)
USUAL = BreakerPolicy()


def test_failed_attempts_stay_below_a_fifth_of_the_calls() -> None:
    """Or three, however few calls there are."""
    world = World()
    budget = RetryBudget(monotonic=world.read)
    for _ in range(100):
        budget.open_call()
    taken = 0
    while budget.take():
        budget.settle(failed=True)
        taken += 1
    assert taken == 20
    world.now += 70
    assert budget.left == 3


def test_attempts_that_succeed_cost_nothing() -> None:
    budget = RetryBudget(monotonic=World().read)
    for _ in range(1000):
        budget.open_call()
        assert budget.take()
        budget.settle(failed=False)
        budget.close_call()


def test_those_under_way_stay_below_a_fifth_of_the_calls_under_way() -> None:
    budget = RetryBudget(monotonic=World().read)
    for _ in range(1000):
        budget.open_call()
        budget.close_call()
    assert [budget.take() for _ in range(5)] == [True, True, True, False, False]


async def test_a_place_that_answers_takes_everybody_at_once() -> None:
    """Few go first; once one of them is answered, the others need not wait."""
    budget, lane = RetryBudget(monotonic=World().read), Lane()
    for _ in range(100):
        budget.open_call()
    admitted = 0

    async def go() -> None:
        nonlocal admitted
        is_admitted = await budget.admit(lane)
        admitted += is_admitted

    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(go())
        await settle()
        assert admitted == 19
        budget.leave(lane, failed=False)
        await settle()
        assert admitted == 100


async def test_a_place_that_fails_too_is_left_by_those_who_wait() -> None:
    budget, lane = RetryBudget(monotonic=World().read), Lane()
    for _ in range(100):
        budget.open_call()
    results: list[bool] = []

    async def go() -> None:
        results.append(await budget.admit(lane))

    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(go())
        await settle()
        for _ in range(19):
            budget.leave(lane, failed=True)
        await settle()
    assert sum(results) == 19
    assert budget.left == 1


async def test_one_at_a_time_may_always_look_at_another_place() -> None:
    """So a budget that others have used up hides no provider that lives."""
    budget, lane = RetryBudget(monotonic=World().read), Lane()
    for _ in range(3):
        assert budget.take()
        budget.settle(failed=True)
    assert not budget.take()
    assert await budget.admit(lane)
    budget.leave(lane, failed=None)


async def test_a_caller_that_leaves_while_it_waits_is_not_counted() -> None:
    budget, lane = RetryBudget(floor=0, monotonic=World().read), Lane()
    assert await budget.admit(lane)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(budget.admit(lane))
        await settle()
        task.cancel()
    budget.leave(lane, failed=False)
    assert lane.under_way == 0
    assert budget.left == 0


class Upstreams:
    """What every model of a gateway asks in the end; counts when."""

    def __init__(self, world: World, act: Act) -> None:
        self.world = world
        self.attempts: list[float] = []
        self.act = act

    async def answer(self, request: Request) -> Reply:
        self.attempts.append(self.world.now)
        await self.world.sleep(0.05)
        assert isinstance(self.act, QuorateError)
        raise type(self.act)("down", status=503, retryable=True)  # type: ignore[call-arg]


def build(world: World, upstreams: Upstreams, *, breaker: BreakerPolicy, rule: RouteRule | None, keys: int) -> Model:
    """Build the whole stack of a route, or of one model."""
    budget, spread = RetryBudget(monotonic=world.read), random.Random(7)

    def candidate(name: str) -> tuple[Model, Model]:
        slots = [
            Slot(
                Breaking(Actor(upstreams.answer, name=name), breaker=Breaker(policy=breaker, monotonic=world.read)),
                name=str(place),
            )
            for place in range(keys)
        ]
        inner = Bounded(Pooled(slots, budget=budget.within, monotonic=world.read), monotonic=world.read)

        def retry(budget: object, policy: RetryPolicy = RETRY_POLICY) -> Model:
            return Retrying(
                inner,
                policy=policy,
                budget=budget,  # type: ignore[arg-type]
                random=spread.random,
                sleep=world.sleep,
                monotonic=world.read,
            )

        return retry(budget if rule is None else budget.within), inner

    if rule is None:
        return candidate("a:a")[0]
    candidates = [Candidate(model, quick=quick) for model, quick in map(candidate, ("a:a", "b:b", "c:c"))]
    return Routed(rule, candidates, budget=budget, random=spread.random, monotonic=world.read)


ROUTE = RouteRule(name="r", models=("a:a", "b:b", "c:c"))


@pytest.mark.parametrize("rate", [2, 15])
@pytest.mark.parametrize("rule", [None, ROUTE], ids=["alone", "route"])
@pytest.mark.parametrize("breaker", [NEVER, USUAL], ids=["without-breaker", "whole-stack"])
@pytest.mark.parametrize("error", [down(), limited()], ids=["503", "429"])
async def test_a_total_failure_sees_hardly_more_attempts_than_requests(
    rate: int, rule: RouteRule | None, breaker: BreakerPolicy, error: QuorateError
) -> None:
    """At most 1.2 times as many in any minute, through retries, credentials and failover together."""
    world = World()
    upstreams = Upstreams(world, error if error.code == "upstream_error" else down())
    if error.code == "rate_limited":

        async def refuse(request: Request) -> Reply:
            upstreams.attempts.append(world.now)
            await world.sleep(0.05)
            raise limited()

        upstreams.answer = refuse  # type: ignore[method-assign]
    model = build(world, upstreams, breaker=breaker, rule=rule, keys=2)
    began: list[float] = []

    async def call() -> None:
        began.append(world.now)
        with pytest.raises(QuorateError):
            await model.complete(REQUEST)

    async def storm() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(100 * rate):
                group.create_task(call())
                await world.sleep(1 / rate)

    await world.run(storm())
    for start in range(1000, 1041, 5):
        attempts = sum(start <= at < start + 60 for at in upstreams.attempts)
        requests = sum(start <= at < start + 60 for at in began)
        assert attempts <= 1.2 * requests


async def test_a_burst_into_a_total_failure_is_held_too() -> None:
    """A hundred calls at once, three models, two credentials each, all dead, no breaker to help: 120 attempts."""
    world = World()
    upstreams = Upstreams(world, down())
    model = build(world, upstreams, breaker=NEVER, rule=ROUTE, keys=2)

    async def call() -> None:
        with pytest.raises(QuorateError):
            await model.complete(ask())

    async def storm() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(call())

    await world.run(storm())
    assert len(upstreams.attempts) <= 120
