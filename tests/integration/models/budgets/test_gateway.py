"""Does a whole gateway, over HTTP, keep what a run may spend, whichever process spends it?"""

import asyncio
from pathlib import Path

from tests.integration.models.processes import open_children, read_words

from quorate.messages import Usage
from quorate.models.cost import NANO
from quorate.models.ledger import Ledger
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
