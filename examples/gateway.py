"""Several providers behind one name: failover, a cache, a guard, and a budget that stops before it is passed.

Here the providers are test servers on loopback. With real ones, set their keys, and keep the plan in a file that
`quorate models check` checks and the setting `gateway` names: agents then use it without a line of code.

Prints:

    1. openai:gpt-5-mini says 'Paris.', as anthropic:claude-haiku-4-5 failed (upstream_error)
    2. the same question again: 'Paris.' from the cache, for $0.00
    3. what the provider saw of a.person@example.com: [EMAIL_1]
    4. with $0.0003 a day, 5 of 10 questions were answered: then budget_exceeded
    5. the book says: 7 calls, $0.000210
"""

import asyncio

from quorate.errors import BudgetExceeded
from quorate.messages import Usage, build_user_message
from quorate.models.budgets.budgets import Budgets
from quorate.models.gateway import Gateway, GatewayParts
from quorate.models.ledger import Ledger
from quorate.models.plan import check_plan
from quorate.specs import Caller, ModelSettings, Request
from quorate.testing.provider_server import Answer, Sent, provider_server

PLAN = """
[[route]]
name = "smart"
models = ["anthropic:claude-haiku-4-5", "openai:gpt-5-mini"]

[retry]
attempts = 1

[cache]
models = ["smart"]

[[guard]]
name = "persons"
kind = "pii"

[[budget]]
scope = "tenant"
match = "trial"
period = "day"
usd = 0.0003
"""


def build_request(words: str, *, tenant: str = "acme") -> Request:
    """A question that may be answered from the cache, as it asks for no variety."""
    settings = ModelSettings(temperature=0, max_tokens=20)
    return Request(messages=(build_user_message(words),), settings=settings, caller=Caller(tenant=tenant))


def answer(sent: Sent) -> Answer:
    """Anthropic is down, OpenAI is well."""
    if "anthropic" in sent.path:
        return Answer(status=503)
    return Answer(text="Paris.", usage=Usage(input_tokens=40, output_tokens=10))


async def main() -> None:
    plan = check_plan(PLAN)
    ledger = Ledger()
    async with provider_server(answer) as server:
        credentials = {
            "ANTHROPIC_API_KEY": "key-a",
            "ANTHROPIC_BASE_URL": f"{server.origin}/anthropic/v1",
            "OPENAI_API_KEY": "key-b",
            "OPENAI_BASE_URL": server.url,
        }
        parts = GatewayParts(budgets=Budgets(plan.budgets, ledger=ledger))
        async with Gateway(plan, credentials=credentials.get, parts=parts) as gateway:
            model = gateway.find_model("smart")
            first = await model.complete(build_request("What is the capital of France?"))
            assert first.route is not None
            failed, code = first.route.tried[0].split()
            print(f"1. {first.route.model} says {first.message.text!r}, as {failed} failed ({code})")
            again = await model.complete(build_request("What is the capital of France?"))
            print(f"2. the same question again: {again.message.text!r} from the cache, for ${again.cost_usd:.2f}")
            await model.complete(build_request("Is a.person@example.com in Paris?"))
            seen = server.requests[-1].body["messages"][0]["content"]  # type: ignore[index]
            print("3. what the provider saw of a.person@example.com:", seen.split()[1])
            answered = 0
            try:
                for number in range(10):
                    await model.complete(build_request(f"Question {number}?", tenant="trial"))
                    answered += 1
            except BudgetExceeded as error:
                print(f"4. with $0.0003 a day, {answered} of 10 questions were answered: then {error.code}")
    rows = [booked.row async for booked in ledger.read()]
    print(f"5. the book says: {sum(row.calls for row in rows)} calls, ${sum(row.usd for row in rows) / 1e9:.6f}")


asyncio.run(main())
