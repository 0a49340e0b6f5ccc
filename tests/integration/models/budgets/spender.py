"""A process that spends from a run's budget as fast as it may, and says on its standard output what it booked."""

import asyncio
import random
import sys

from quorate.errors import BudgetExceeded
from quorate.messages import Message, Reply, Text, Usage, build_user_message
from quorate.models.budgeted import Budgeted
from quorate.models.budgets.budgets import Budgets
from quorate.models.budgets.rules import BudgetRule
from quorate.models.cost import Price, cost_usd
from quorate.models.ledger import Ledger, to_nano
from quorate.models.scripted import After, ScriptedModel
from quorate.specs import Caller, ModelProfile, ModelSettings, Request
from quorate.state.backends.postgres import open_postgres_store
from quorate.state.backends.sqlite import open_sqlite_store

PRICE = Price(input=2.0, output=8.0)
CALLER = Caller(tenant="acme", run="run-1", agent="net", cost_usd=0.05)
REQUEST = Request(messages=(build_user_message("why?"),), settings=ModelSettings(max_tokens=400), caller=CALLER)
RULES = (BudgetRule(name="day", scope="tenant", period="day", usd=1.0),)


def answer(request: Request) -> After:
    """Cost something between a sixteenth and all of what was set aside."""
    usage = Usage(input_tokens=250, output_tokens=random.randint(0, 400), requests=1)
    message = Message(role="assistant", parts=(Text(text="ok"),))
    return After(0.002, Reply(message=message, usage=usage, cost_usd=cost_usd(usage, PRICE)))


async def main(address: str, seconds: str) -> None:
    opened = open_postgres_store(address) if address.startswith("postgres") else open_sqlite_store(address)
    async with opened as store:
        budgets = Budgets(RULES, values=store.values, ledger=Ledger(store.values), wait_s=30.0)
        profile = ModelProfile(name="openai:gpt-5.2", max_output_tokens=1000)
        script = answer if seconds == "0" else (lambda request: After(float(seconds), "never"))
        asked = ScriptedModel(script, profile=profile)
        model = Budgeted(asked, budgets=budgets, price=PRICE, count=lambda request, name: 250)
        booked = calls = refused = 0

        async def spend() -> None:
            nonlocal booked, calls, refused
            while True:
                try:
                    reply = await model.complete(REQUEST)
                except BudgetExceeded:
                    refused += 1
                    return
                booked += to_nano(reply.cost_usd) or 0
                calls += 1

        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(spend())
            if seconds != "0":
                while len(asked.requests) < 5:
                    await asyncio.sleep(0.01)
                print("held=1", flush=True)
        print(f"booked={booked} calls={calls} refused={refused}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
