"""Are requests for vectors limited, paid for and booked as replies are?"""

import asyncio

import pytest
from msgspec import structs

from quorate.errors import BudgetExceeded, InvalidInput, RateLimited, UpstreamError
from quorate.messages import Embeddings, Usage
from quorate.models.budgets.budgets import Budgets
from quorate.models.budgets.rules import BudgetRule
from quorate.models.cost import NANO, Price
from quorate.models.ledger import Booked, Ledger
from quorate.models.limits.limiter import Limiter
from quorate.models.limits.rules import LimitRule
from quorate.models.metered import Metered
from quorate.specs import Caller, EmbedRequest

PRICE = Price(input=1000.0, output=0.0)
REQUEST = EmbedRequest(texts=("a", "b"), caller=Caller(tenant="acme", run="run-1"))


class Vectors:
    """An embedder whose every call costs ten tokens."""

    name = "openai:text-embedding-3-small"

    def __init__(self) -> None:
        self.calls = 0
        self.error: Exception | None = None
        self.seconds = 0.0

    async def embed(self, request: EmbedRequest) -> Embeddings:
        self.calls += 1
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        vectors = tuple((0.0,) for _ in request.texts)
        return Embeddings(vectors=vectors, usage=Usage(input_tokens=10, requests=1), cost_usd=0.01)


def build(*, usd: float = 1.0, price: Price | None = PRICE, **limit: int) -> tuple[Metered, Vectors, Ledger, Budgets]:
    ledger, vectors = Ledger(), Vectors()
    budgets = Budgets([BudgetRule(scope="tenant", usd=usd)], ledger=ledger)
    limiter = Limiter([LimitRule(policy="refuse", **limit)]) if limit else None  # type: ignore[arg-type]
    metered = Metered(vectors, limiter=limiter, budgets=budgets, price=price, count=lambda request, name: 12)
    return metered, vectors, ledger, budgets


async def read(ledger: Ledger) -> list[Booked]:
    return [booked async for booked in ledger.read()]


async def test_what_cannot_be_paid_for_is_not_made() -> None:
    """Each call sets 0.012 aside and costs 0.010: of 0.045 four are made. row: B10"""
    metered, vectors, ledger, _ = build(usd=0.045)
    for _ in range(4):
        assert len((await metered.embed(REQUEST)).vectors) == 2
    with pytest.raises(BudgetExceeded):
        await metered.embed(REQUEST)
    assert vectors.calls == 4
    (one,) = await read(ledger)
    assert (one.row.calls, one.row.usd, one.row.input_tokens) == (4, 4 * NANO // 100, 40)


@pytest.mark.parametrize("limit", [{"requests": 2}, {"tokens": 30}])
async def test_what_the_limits_refuse_holds_no_money(limit: dict[str, int]) -> None:
    metered, vectors, _, budgets = build(**limit)
    for _ in range(2):
        await metered.embed(REQUEST)
    with pytest.raises(RateLimited):
        await metered.embed(REQUEST)
    assert vectors.calls == 2
    (cap,) = budgets.find_caps(REQUEST.caller, model=metered.name)
    account = await budgets.find(cap)
    assert (account.usd, account.held) == (2 * NANO // 100, {})


async def test_a_price_that_nobody_knows_is_refused() -> None:
    metered, vectors, _, _ = build(price=None)
    with pytest.raises(InvalidInput, match="No price is known for model 'openai:text-embedding-3-small'"):
        await metered.embed(REQUEST)
    await metered.embed(structs.replace(REQUEST, texts=()))
    assert vectors.calls == 1


async def test_failures_cost_nothing_and_cuts_what_we_count() -> None:
    metered, vectors, ledger, budgets = build()
    vectors.error = UpstreamError("no", status=500)
    with pytest.raises(UpstreamError):
        await metered.embed(REQUEST)
    vectors.error, vectors.seconds = None, 60.0
    call = asyncio.ensure_future(metered.embed(REQUEST))
    for _ in range(5):
        await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    (one,) = await read(ledger)
    assert (one.row.calls, one.row.cut_calls, one.row.cut_tokens) == (0, 1, 12)
    (cap,) = budgets.find_caps(REQUEST.caller, model=metered.name)
    assert (await budgets.find(cap)).usd == round(0.012 * NANO)
