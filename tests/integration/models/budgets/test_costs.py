"""Do the book, the budgets and the logs agree on what runs cost?"""

import random
from pathlib import Path

import pytest
from msgspec import structs

from quorate import Agent, Limits, RunOptions, ScriptedModel, tool
from quorate.events import ModelReplied, RunIncomplete
from quorate.messages import Message, Reply, Text, ToolCall, Usage
from quorate.models.budgeted import Budgeted
from quorate.models.budgets.budgets import Budgets
from quorate.models.budgets.rules import BudgetRule
from quorate.models.cost import NANO, Price, cost_usd
from quorate.models.ledger import Ledger, to_nano
from quorate.models.reconcile import compare
from quorate.models.scripted import call
from quorate.ports import Store
from quorate.specs import ModelProfile, Request
from quorate.state.backends.sqlite import open_sqlite_store

PRICE = Price(input=1.75, cached=0.175, output=14.0)


@tool(effect="idempotent")
async def look(place: str) -> str:
    """Look somewhere."""
    return f"nothing at {place}"


def build_reply(words: str | ToolCall, request: Request) -> Reply:
    """Say something, or call a tool by an id of its own."""
    if isinstance(words, str):
        return Reply(message=Message(role="assistant", parts=(Text(text=words),)))
    made = structs.replace(words, id=f"call-{len(request.messages)}")
    return Reply(message=Message(role="assistant", parts=(made,)), stop="tool_calls")


def build_script(seed: int):  # type: ignore[no-untyped-def]
    """Answer with a call or with words, at odd costs."""
    dice = random.Random(seed)

    def answer(request: Request) -> Reply:
        usage = Usage(
            input_tokens=dice.randint(10, 5000),
            cached_tokens=dice.randint(0, 9),
            output_tokens=dice.randint(1, 900),
            requests=1,
        )
        words = call("look", place=str(dice.random())) if len(request.messages) < 2 * dice.randint(1, 4) else "done"
        return structs.replace(build_reply(words, request), usage=usage, cost_usd=cost_usd(usage, PRICE))

    return answer


def build_agent(name: str, budgets: Budgets, seed: int) -> Agent:
    profile = ModelProfile(name="openai:gpt-5.2", max_output_tokens=2000)
    model = Budgeted(ScriptedModel(build_script(seed), profile=profile), budgets=budgets, price=PRICE)
    return Agent(name, model=model, tools=[look])


async def make_runs(store: Store, budgets: Budgets) -> None:
    """Twelve runs of two agents for three tenants."""
    for number in range(12):
        agent = build_agent(f"agent-{number % 2}", budgets, number)
        result = await agent.run("Look.", options=RunOptions(log=store.log, tenant=f"t-{number % 3}"))
        assert result.status == "completed"


async def test_the_sums_of_the_book_are_those_of_the_logs(tmp_path: Path) -> None:
    """By tenant and in all, to the billionth of a dollar; the budgets agree. row: A17, row: B10"""
    async with open_sqlite_store(tmp_path / "quorate.db") as store:
        ledger = Ledger(store.values)
        budgets = Budgets([BudgetRule(scope="tenant", usd=100.0)], values=store.values, ledger=ledger)
        await make_runs(store, budgets)
        found = await compare(ledger, store.log)
        assert not found.gaps
        assert found.runs == 12
        assert found.log == found.book
        operations: dict[str, int] = {}
        totals: dict[str, float] = {}
        for summary in await store.log.list_runs(limit=100):
            totals[summary.tenant] = totals.get(summary.tenant, 0.0) + (summary.cost_usd or 0.0)
            for event in await store.log.read(summary.run):
                if isinstance(event, ModelReplied):
                    operations[summary.tenant] = operations.get(summary.tenant, 0) + (
                        to_nano(event.reply.cost_usd) or 0
                    )
        booked: dict[str, int] = {}
        async for one in ledger.read():
            booked[one.tenant] = booked.get(one.tenant, 0) + one.row.usd
        assert booked == operations
        for tenant, usd in booked.items():
            assert abs(usd / NANO - totals[tenant]) < 1e-7
            (entry,) = await store.values.scan(f"budgets/tenant total/{tenant}/")
            assert entry.value


async def test_what_the_book_lacks_is_found(tmp_path: Path) -> None:
    """A run whose model was not paid for through the gateway is named, with how much is missing."""
    async with open_sqlite_store(tmp_path / "quorate.db") as store:
        ledger = Ledger(store.values)
        await make_runs(store, Budgets(ledger=ledger))
        profile = ModelProfile(name="openai:gpt-5.2")
        stray = Agent("stray", model=ScriptedModel(build_script(99), profile=profile), tools=[look])
        await stray.run("Look.", options=RunOptions(log=store.log, tenant="t-1"))
        found = await compare(ledger, store.log)
        (gap,) = found.gaps
        assert (gap.tenant, gap.model) == ("t-1", "openai:gpt-5.2")
        assert gap.log.calls > gap.book.calls
        assert gap.log.usd - gap.book.usd == found.log.usd - found.book.usd > 0


async def test_a_run_over_its_cap_ends_without_overspending(tmp_path: Path) -> None:
    """The call that cannot be paid for is not made; what was booked is what the log has. R26, row: B10"""
    cost = 100 * 1.75e-6 + 1000 * 14e-6

    def answer(request: Request) -> Reply:
        usage = Usage(input_tokens=100, output_tokens=1000, requests=1)
        made = build_reply(call("look", place=str(len(request.messages))), request)
        return structs.replace(made, usage=usage, cost_usd=cost_usd(usage, PRICE))

    async with open_sqlite_store(tmp_path / "quorate.db") as store:
        ledger = Ledger(store.values)
        inner = ScriptedModel(answer, profile=ModelProfile(name="openai:gpt-5.2", max_output_tokens=1200))
        model = Budgeted(inner, budgets=Budgets(values=store.values, ledger=ledger), price=PRICE)
        agent = Agent("spender", model=model, tools=[look])
        result = await agent.run("Look.", limits=Limits(cost_usd=0.05), options=RunOptions(log=store.log))
        assert result.status == "incomplete"
        assert len(inner.requests) == 3
        last = (await store.log.read(result.run_id))[-1]
        assert isinstance(last, RunIncomplete)
        assert last.limit == "cost_usd"
        assert "The budget 'cost_usd' of $0.05 for run" in last.message
        assert last.cost_usd == pytest.approx(3 * cost)
        found = await compare(ledger, store.log)
        assert found.book.usd == found.log.usd == 3 * round(cost * NANO)


async def test_a_reply_cut_by_its_budget_says_so(tmp_path: Path) -> None:
    """The run is incomplete for want of money, not because the model was long-winded."""

    def answer(request: Request) -> Reply:
        usage = Usage(input_tokens=100, output_tokens=request.settings.max_tokens or 9999, requests=1)
        return structs.replace(
            build_reply("so far", request), usage=usage, cost_usd=cost_usd(usage, PRICE), stop="length"
        )

    async with open_sqlite_store(tmp_path / "quorate.db") as store:
        inner = ScriptedModel(answer, profile=ModelProfile(name="openai:gpt-5.2", max_output_tokens=9999))
        agent = Agent("spender", model=Budgeted(inner, budgets=Budgets(values=store.values), price=PRICE))
        result = await agent.run("Look.", limits=Limits(cost_usd=0.05), options=RunOptions(log=store.log))
        last = (await store.log.read(result.run_id))[-1]
        assert isinstance(last, RunIncomplete)
        assert last.limit == "cost_usd"
        assert "all that is left of 'cost_usd' pays for" in last.message
        assert 0.045 < (last.cost_usd or 0) <= 0.051
