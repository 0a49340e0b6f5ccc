"""A process that spends a run's budget through a whole gateway, over HTTP, and says what it booked."""

import asyncio
import sys

from quorate.errors import BudgetExceeded
from quorate.messages import ReplyDone, build_user_message
from quorate.models.budgets.budgets import Budgets
from quorate.models.gateway import Gateway, GatewayParts
from quorate.models.ledger import Ledger, to_nano
from quorate.models.plan import GatewayPlan
from quorate.specs import Caller, Request
from quorate.state.backends.postgres import open_postgres_store
from quorate.state.backends.sqlite import open_sqlite_store

CALLER = Caller(tenant="acme", run="run-1", agent="net", cost_usd=0.05)


async def main(address: str, url: str) -> None:
    opened = open_postgres_store(address) if address.startswith("postgres") else open_sqlite_store(address)
    credentials = {"OPENAI_API_KEY": "a-key", "OPENAI_BASE_URL": url}
    plan = GatewayPlan(share=None)
    async with opened as store:
        budgets = Budgets(values=store.values, ledger=Ledger(store.values))
        parts = GatewayParts(budgets=budgets)
        async with Gateway(plan, credentials=credentials.get, parts=parts) as gateway:
            model = gateway.find_model("openai:gpt-5.2")
            booked = calls = refused = 0

            async def spend(number: int) -> None:
                nonlocal booked, calls, refused
                while True:
                    request = Request(messages=(build_user_message(f"why {number}?"),), caller=CALLER)
                    try:
                        if number % 2:
                            reply = await model.complete(request)
                        else:
                            (reply,) = [
                                item.reply async for item in model.stream(request) if isinstance(item, ReplyDone)
                            ]
                    except BudgetExceeded:
                        refused += 1
                        return
                    booked += to_nano(reply.cost_usd) or 0
                    calls += 1

            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            async with asyncio.TaskGroup() as group:
                for number in range(3):
                    group.create_task(spend(number))
            print(f"booked={booked} calls={calls} refused={refused}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
