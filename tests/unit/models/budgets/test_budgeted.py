"""Does a budget stop a call before it is overspent, and is what was used booked to the last billionth?"""

import asyncio
from collections.abc import AsyncGenerator
from typing import cast

import pytest
from msgspec import structs
from tests.unit.models.budgets.worlds import CALLER, PRICE, ask, build, build_reply
from tests.unit.models.limits.times import Times

from quorate.errors import BudgetExceeded, DeadlineExceeded, InvalidInput, UpstreamError
from quorate.messages import ReplyDone, TextDelta, Usage
from quorate.models.budgeted import Budgeted
from quorate.models.budgets.budgets import BudgetRecord, Budgets
from quorate.models.budgets.rules import BudgetRule
from quorate.models.cost import NANO
from quorate.models.ledger import Booked, Ledger
from quorate.models.scripted import After
from quorate.specs import Caller
from quorate.testing import ManualClock

COST = 0.2
"""Of one call: 100 tokens of input, 50 of output."""


async def spent(budgets: Budgets, caller: Caller = CALLER) -> list[float]:
    caps = budgets.find_caps(caller, model="openai:gpt-5.2")
    return [(await budgets.find(cap)).usd / NANO for cap in caps]


async def held(budgets: Budgets, caller: Caller = CALLER) -> list[int]:
    caps = budgets.find_caps(caller, model="openai:gpt-5.2")
    return [sum(hold.usd for hold in (await budgets.find(cap)).held.values()) for cap in caps]


async def read(ledger: Ledger) -> list[Booked]:
    return [booked async for booked in ledger.read()]


@pytest.mark.parametrize("scope", ["global", "model", "tenant", "agent", "key", "session", "run"])
async def test_each_scope_stops_before_it_is_overspent(scope: str) -> None:
    """The fourth call could cost 0.3 dollars where 0.1 are left: it is refused, and the model is not asked. row: B10"""
    budgets = Budgets([BudgetRule(scope=scope, usd=0.7)])  # type: ignore[arg-type]
    model, inner = build(budgets)
    for _ in range(3):
        await model.complete(ask())
    with pytest.raises(BudgetExceeded):
        await model.complete(ask())
    assert len(inner.requests) == 3
    assert await spent(budgets) == [pytest.approx(3 * COST)]
    assert await held(budgets) == [0]


async def test_a_refusal_says_which_budget_what_is_left_and_what_to_do() -> None:
    budgets = Budgets([BudgetRule(name="acme a day", scope="tenant", period="day", usd=0.4)])
    model, _ = build(budgets)
    await model.complete(ask())
    with pytest.raises(BudgetExceeded) as caught:
        await model.complete(ask())
    assert caught.value.message == (
        "The budget 'acme a day' of $0.4 for tenant 'acme' cannot pay for this call: $0.200000 is left, and it may take "
        "$0.300000. Raise the budget, lower `max_tokens`, shorten the conversation, or wait for the next day (UTC)."
    )
    assert caught.value.context["limit"] == "acme a day"
    assert caught.value.context["left_usd"] == pytest.approx(0.2)


async def test_others_have_budgets_of_their_own() -> None:
    budgets = Budgets([BudgetRule(scope="tenant", match="a*", usd=0.3)])
    model, _ = build(budgets)
    await model.complete(ask())
    with pytest.raises(BudgetExceeded):
        await model.complete(ask())
    await model.complete(ask(Caller(tenant="abc")))
    for _ in range(5):
        await model.complete(ask(Caller(tenant="other")))


async def test_tokens_are_a_budget_too() -> None:
    """A price is not needed for it."""
    budgets = Budgets([BudgetRule(tokens=350)])
    model, inner = build(budgets, price=None)
    await model.complete(ask())
    await model.complete(ask())
    with pytest.raises(BudgetExceeded, match="50 tokens is left, and it may take 200 tokens"):
        await model.complete(ask())
    assert len(inner.requests) == 2


async def test_days_and_months_begin_anew_in_utc() -> None:
    """What was spent on one day is not spent on the next; a month goes on."""
    clock = ManualClock(1_700_000_000.0)  # 2023-11-14 22:13:20
    budgets = Budgets([BudgetRule(period="day", usd=0.3), BudgetRule(period="month", usd=0.55)], clock=clock)
    model, _ = build(budgets)
    await model.complete(ask())
    with pytest.raises(BudgetExceeded, match="'global day'"):
        await model.complete(ask())
    clock.advance(6399)
    with pytest.raises(BudgetExceeded, match="'global day'"):
        await model.complete(ask())
    clock.advance(1.5)
    await model.complete(ask())
    clock.advance(86_400)
    with pytest.raises(BudgetExceeded, match="'global month'"):
        await model.complete(ask())
    clock.advance(16 * 86_400)
    await model.complete(ask())


async def test_the_cap_of_a_run_needs_no_rule() -> None:
    """It holds for the run alone, and for all agents in it. row: B10"""
    budgets = Budgets()
    model, inner = build(budgets)
    await model.complete(ask(cost_usd=0.6))
    await model.complete(ask(structs.replace(CALLER, agent="other"), cost_usd=0.6))
    with pytest.raises(BudgetExceeded) as caught:
        await model.complete(ask(cost_usd=0.6))
    assert caught.value.context["limit"] == "cost_usd"
    assert "for run 'run-1'" in caught.value.message
    await model.complete(ask(structs.replace(CALLER, run="run-2"), cost_usd=0.6))
    assert len(inner.requests) == 3


async def test_a_period_of_a_run_gives_each_run_its_own() -> None:
    budgets = Budgets([BudgetRule(scope="tenant", period="run", usd=0.3)])
    model, _ = build(budgets)
    await model.complete(ask())
    await model.complete(ask(structs.replace(CALLER, run="run-2")))
    with pytest.raises(BudgetExceeded):
        await model.complete(ask())


async def test_a_price_that_nobody_knows_is_refused_where_there_is_a_budget() -> None:
    """Elsewhere the call is made, and booked as of unknown price, never as free. row: B10"""
    ledger = Ledger()
    budgets = Budgets([BudgetRule(scope="tenant", match="acme", usd=1.0)], ledger=ledger)
    reply = structs.replace(build_reply(), cost_usd=None)
    model, inner = build(budgets, lambda request: reply, price=None)
    with pytest.raises(InvalidInput) as caught:
        await model.complete(ask())
    assert "No price is known for model 'openai:gpt-5.2'" in caught.value.message
    assert "add the model's price to the gateway file" in caught.value.message
    assert not inner.requests
    await model.complete(ask(Caller(tenant="free")))
    (booked,) = await read(ledger)
    assert (booked.row.calls, booked.row.unpriced, booked.row.usd) == (1, 1, 0)


async def test_without_a_stated_length_a_reply_is_held_to_what_can_be_paid() -> None:
    """The model may write 1,000 tokens, for 2.1 dollars with the input; 0.9 pay for 400."""
    budgets = Budgets([BudgetRule(name="small", usd=0.9)])
    cut = structs.replace(build_reply(100, 400), stop="length")
    model, inner = build(budgets, [cut])
    reply = await model.complete(ask(max_tokens=None))
    assert inner.requests[0].settings.max_tokens == 400
    assert reply.notes == ("budget: the reply was held to 400 tokens, all that is left of 'small' pays for",)
    assert await spent(budgets) == [pytest.approx(0.9)]
    with pytest.raises(BudgetExceeded):
        await model.complete(ask(max_tokens=None))


async def test_where_there_is_enough_the_request_is_left_as_it_is() -> None:
    budgets = Budgets([BudgetRule(usd=100.0)])
    model, inner = build(budgets)
    request = ask(max_tokens=None)
    await model.complete(request)
    assert inner.requests[0] is request


async def test_calls_at_once_never_overspend() -> None:
    """Of 50 calls at once, each of 0.3 set aside and 0.2 used, as many pass as can be paid, and not one more."""
    budgets = Budgets([BudgetRule(usd=2.0), BudgetRule(scope="tenant", usd=5.0)])
    model, inner = build(budgets, lambda request: After(0.001, build_reply()))
    outcomes = await asyncio.gather(*(model.complete(ask()) for _ in range(50)), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, BudgetExceeded)]
    assert len(inner.requests) == 50 - len(refused) == 9
    assert await spent(budgets) == [pytest.approx(1.8), pytest.approx(1.8)]
    assert await held(budgets) == [0, 0]


async def test_a_call_waits_for_what_others_may_give_back() -> None:
    """What is only set aside is not spent: the second call waits, and passes as soon as the first is settled."""
    budgets = Budgets([BudgetRule(usd=0.5)], wait_s=30.0)
    gate = asyncio.Event()
    model, inner = build(budgets)

    async def slow(request):  # type: ignore[no-untyped-def]
        inner.requests.append(request)
        await gate.wait()
        return build_reply()

    inner.complete = slow  # type: ignore[method-assign]
    async with asyncio.TaskGroup() as group:
        group.create_task(model.complete(ask()))
        second = group.create_task(model.complete(ask()))
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(inner.requests) == 1
        gate.set()
    assert second.done()
    assert await spent(budgets) == [pytest.approx(0.4)]


async def test_nobody_waits_for_ever() -> None:
    times = Times()
    clock = ManualClock()
    budgets = Budgets([BudgetRule(usd=0.5)], wait_s=30.0, clock=clock, pause=times.pause)
    model, _ = build(budgets, lambda request: After(60, build_reply()))
    first = asyncio.ensure_future(model.complete(ask()))
    second = asyncio.ensure_future(model.complete(ask()))
    await times.settle()
    clock.advance(31)
    await times.advance(31)
    with pytest.raises(BudgetExceeded, match=r"\$0.200000 is left"):
        await second
    first.cancel()


async def test_a_refused_call_costs_nothing() -> None:
    """What the provider refuses is not billed; what was set aside is given back."""
    ledger = Ledger()
    budgets = Budgets([BudgetRule(usd=0.3)], ledger=ledger)
    model, _ = build(budgets, [UpstreamError("no", status=500), build_reply()])
    with pytest.raises(UpstreamError):
        await model.complete(ask())
    await model.complete(ask())
    assert [booked.row.calls for booked in await read(ledger)] == [1]


async def test_a_cancelled_call_is_booked_by_our_own_count() -> None:
    """Nobody says what it cost: its input, and what came of it. R11"""
    ledger = Ledger()
    budgets = Budgets([BudgetRule(usd=1.0)], ledger=ledger)
    model, _ = build(budgets, lambda request: After(60, build_reply()))
    call = asyncio.ensure_future(model.complete(ask()))
    for _ in range(5):
        await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await spent(budgets) == [pytest.approx(0.1)]
    assert await held(budgets) == [0]
    (booked,) = await read(ledger)
    assert (booked.row.calls, booked.row.cut_calls, booked.row.cut_usd) == (0, 1, NANO // 10)


@pytest.mark.parametrize("cut", ["closed", "ended", "failed"])
async def test_a_cut_stream_is_booked_by_our_own_count(cut: str) -> None:
    """The input, and four characters for a token of what was given out. R10"""
    ledger = Ledger()
    budgets = Budgets([BudgetRule(usd=1.0)], ledger=ledger)
    model, inner = build(budgets)

    async def stream(request):  # type: ignore[no-untyped-def]
        yield TextDelta("x" * 40)
        if cut == "failed":
            raise UpstreamError("gone", status=None)
        if cut == "closed":
            yield TextDelta("y" * 40)

    inner.stream = stream  # type: ignore[method-assign]
    items = cast("AsyncGenerator[object]", model.stream(ask()))
    assert isinstance(await anext(items), TextDelta)
    if cut == "closed":
        await items.aclose()
    elif cut == "ended":
        assert await anext(items, None) is None
    else:
        with pytest.raises(UpstreamError):
            await anext(items)
    assert await spent(budgets) == [pytest.approx(0.1 + 10 * 0.002)]
    assert await held(budgets) == [0]
    (booked,) = await read(ledger)
    assert (booked.row.cut_calls, booked.row.cut_tokens) == (1, 110)


async def test_a_stream_is_booked_before_its_end_is_given_out() -> None:
    """Whoever leaves at the last item has paid. row: A12"""
    ledger = Ledger()
    budgets = Budgets([BudgetRule(usd=1.0)], ledger=ledger)
    model, _ = build(budgets)
    items = cast("AsyncGenerator[object]", model.stream(ask()))
    async for item in items:
        if isinstance(item, ReplyDone):
            assert await spent(budgets) == [pytest.approx(COST)]
            break
    await items.aclose()
    (booked,) = await read(ledger)
    assert (booked.row.calls, booked.row.cut_calls, booked.row.usd) == (1, 0, NANO // 5)
    assert await spent(budgets) == [pytest.approx(COST)]


async def test_listeners_are_told() -> None:
    told: list[BudgetRecord] = []
    budgets = Budgets([BudgetRule(name="b", scope="tenant", usd=0.3)], listeners=[told.append])
    model, _ = build(budgets)
    await model.complete(ask())
    with pytest.raises(BudgetExceeded):
        await model.complete(ask())
    assert [(one.kind, one.budget, one.value, one.usd, one.tokens) for one in told] == [
        ("reserved", "b", "acme", pytest.approx(0.3), 200),
        ("settled", "b", "acme", pytest.approx(0.2), 150),
        ("exceeded", "b", "acme", pytest.approx(0.3), 200),
    ]


async def test_a_reply_without_a_price_costs_what_was_set_aside() -> None:
    """A route may lead to a model whose price nobody knows: the budget does not take it for free."""
    budgets = Budgets([BudgetRule(usd=1.0)])
    model, _ = build(budgets, [structs.replace(build_reply(), cost_usd=None)])
    await model.complete(ask())
    assert await spent(budgets) == [pytest.approx(0.3)]


async def test_input_that_was_dearer_than_thought_is_booked_in_full() -> None:
    """The estimate is one; what is booked is what the provider counted."""
    budgets = Budgets([BudgetRule(usd=0.35)])
    model, _ = build(budgets, [build_reply(400, 100)])
    await model.complete(ask())
    assert await spent(budgets) == [pytest.approx(0.6)]
    with pytest.raises(BudgetExceeded, match=r"\$0.000000 is left"):
        await model.complete(ask())


async def test_free_models_need_no_money() -> None:
    from quorate.models.cost import FREE

    budgets = Budgets([BudgetRule(usd=0.01)])
    model, _ = build(budgets, lambda request: structs.replace(build_reply(), cost_usd=0.0), price=FREE)
    for _ in range(20):
        await model.complete(ask(max_tokens=None))
    assert PRICE.input
    assert await spent(budgets) == [0]
    assert Usage().total_tokens == 0


async def test_a_provider_that_counts_more_than_we_do_is_believed() -> None:
    """After the first call, what calls really use is set aside: no later one is made that cannot be paid for."""
    budgets = Budgets([BudgetRule(usd=10.0)])
    model, inner = build(budgets, lambda request: build_reply(900, 600))
    for _ in range(4):
        await model.complete(ask(max_tokens=None))
    with pytest.raises(BudgetExceeded, match="it may take"):
        await model.complete(ask(max_tokens=None))
    assert len(inner.requests) == 4
    assert await spent(budgets) == [pytest.approx(4 * 2.1)]


async def test_a_model_of_unknown_length_is_held_to_what_any_model_takes() -> None:
    """A bound above the model's own would be refused by its provider."""
    budgets = Budgets([BudgetRule(usd=40.1)])
    model, inner = build(budgets)
    inner.profile = structs.replace(inner.profile, max_output_tokens=None)
    await model.complete(ask(max_tokens=None))
    assert inner.requests[0].settings.max_tokens == 4096


async def test_a_call_that_never_reached_its_provider_costs_nothing() -> None:
    """A deadline of connecting is none of answering."""
    budgets = Budgets([BudgetRule(usd=1.0)])
    late = DeadlineExceeded("late", layer="connect"), DeadlineExceeded("late", layer="model")
    model, _ = build(budgets, late)
    for cost in (0.0, 0.1):
        with pytest.raises(DeadlineExceeded):
            await model.complete(ask())
        assert await spent(budgets) == [pytest.approx(cost)]


async def test_a_listener_that_fails_stops_no_call() -> None:
    def fail(record: BudgetRecord) -> None:
        raise ValueError("listening is hard")

    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, facts: told.append(facts["exception"]))
    model, _ = build(Budgets([BudgetRule(usd=1.0)], listeners=[fail]))
    await model.complete(ask())
    assert [type(one) for one in told] == [ValueError, ValueError]


async def test_of_several_models_the_longest_reply_is_set_aside() -> None:
    """A route's profile has the shortest bound of its models; whichever answers, it is paid for."""
    budgets = Budgets([BudgetRule(usd=5.0)])
    _, inner = build(budgets)
    model = Budgeted(inner, budgets=budgets, price=PRICE, longest=2000, count=lambda request, name: 100)
    await model.complete(ask(max_tokens=None))
    assert inner.requests[0].settings.max_tokens is None
    await model.complete(ask(max_tokens=None))
    await model.complete(ask(max_tokens=None))
    await model.complete(ask(max_tokens=None))
    await model.complete(ask(max_tokens=None))
    await model.complete(ask(max_tokens=None))
    assert inner.requests[-1].settings.max_tokens == 1000, "4 dollars are left, and 4.1 would be needed"
