"""Does a whole gateway, over HTTP, keep what a run may spend, whichever process spends it?"""

import asyncio
from pathlib import Path

from tests.integration.models.processes import open_children, read_words

from quorate.messages import Usage, build_user_message
from quorate.models.budgets.rules import BudgetRule
from quorate.models.cost import NANO
from quorate.models.gateway import Gateway
from quorate.models.ledger import Ledger
from quorate.models.plan import GatewayPlan
from quorate.models.retry import RetryPolicy
from quorate.models.routes import RouteRule
from quorate.specs import Request
from quorate.state.backends.postgres import open_postgres_store
from quorate.state.backends.sqlite import open_sqlite_store
from quorate.testing.provider_server import provider_server
from quorate.testing.provider_server.script import Answer, Sent

SPENDER = Path(__file__).with_name("gateway_spender.py")
READ, WRITTEN = 1000, 400
INPUT = round(READ * 1.75e-6 * NANO)


def answer(sent: Sent) -> Answer:
    """Write 400 tokens, or as many as may be written."""
    most = sent.body.get("max_completion_tokens")
    written = min(WRITTEN, most) if isinstance(most, int) else WRITTEN
    usage = Usage(input_tokens=READ, output_tokens=written)
    return Answer(text="x", usage=usage, delay_s=0.01, stop="" if written == WRITTEN else "length")


def run_children(database: str, url: str) -> list[dict[str, int]]:
    with open_children(SPENDER, [(database, url)] * 4) as children:
        return [read_words(child) for child in children]


async def test_a_run_with_a_cap_never_books_more_than_its_reservation_beyond_it(database: str) -> None:
    """Four processes, half of the calls streamed: of 0.05 dollars nothing is overspent but input nobody foresaw. R26

    row: B10
    """
    async with provider_server(answer, key="a-key") as server:
        said = await asyncio.to_thread(run_children, database, server.url)
    booked, calls = sum(words["booked"] for words in said), sum(words["calls"] for words in said)
    assert sum(words["refused"] for words in said) == 12
    assert calls == len(server.requests)
    assert 0.04 * NANO < booked <= 0.05 * NANO + INPUT
    async with (
        open_postgres_store(database) if database.startswith("postgres") else open_sqlite_store(database) as store
    ):
        rows = [one.row async for one in Ledger(store.values).read()]
        assert sum(row.usd for row in rows) == booked
        assert sum(row.calls for row in rows) == calls


async def test_the_longest_reply_of_a_route_is_paid_for() -> None:
    """Whichever of its models answers: what the shortest writes at most is not what the longest does. R26"""

    def fail_over(sent: Sent) -> Answer:
        return Answer(status=503) if sent.body["model"] == "gpt-4.1" else Answer(text="x")

    plan = GatewayPlan(
        routes=(RouteRule(name="r", models=("openai:gpt-4.1", "openai:gpt-5-mini")),),
        budgets=(BudgetRule(name="b", usd=0.5),),
        retry=RetryPolicy(attempts=1),
    )
    request = Request(messages=(build_user_message("hi"),))
    async with provider_server(fail_over, key="a-key") as server:
        places = {"openai": server.url}
        async with Gateway(plan, credentials={"OPENAI_API_KEY": "a-key"}.get, base_urls=places) as gateway:
            await gateway.find_model("r").complete(request)
    most = server.requests[-1].body["max_completion_tokens"]
    assert isinstance(most, int)
    assert most <= 0.5 / 8e-6, "at the price of the dearer one"
