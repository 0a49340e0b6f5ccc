"""Do log and book agree to the billionth of a dollar when every layer of the gateway has its say?"""

import asyncio
from pathlib import Path

import msgspec
import pytest
from tests.integration.models.plan.test_runtime import REQUEST, build_settings

from quorate import RunResult, open_runtime
from quorate.errors import QuorateError
from quorate.events import ModelReplied
from quorate.messages import Reply, TextDelta
from quorate.models.budgets.account import Account
from quorate.models.ledger import Ledger
from quorate.models.reconcile import Comparison, compare
from quorate.runtime import Runtime
from quorate.testing.provider_server import Answer, Sent, provider_server

GATEWAY = """
[[route]]
name = "smart"
models = ["anthropic:claude-haiku-4-5", "openai:gpt-5-mini"]

[retry]
attempts = 2
base_s = 0.001

[cache]
answers = "all"
scope = "tenant"

[semantic]
embedder = "openai:text-embedding-3-small"
answers = "all"

[share]
streams = true

[[guard]]
name = "personal"
kind = "pii"

[[budget]]
scope = "tenant"
usd = 1.0

[[limit]]
tokens = 1_000_000
"""


def find_replies(result: RunResult[str]) -> list[Reply]:
    return [event.reply for event in result.events if isinstance(event, ModelReplied)]


async def check(runtime: Runtime) -> Comparison:
    found = await compare(Ledger(runtime.store.values), runtime.store.log)
    assert found.gaps == ()
    assert found.log.usd == found.book.usd
    return found


async def test_every_layer_is_in_the_log_and_the_sums_agree(tmp_path: Path) -> None:
    """Failover, a guard's note, an answer from the cache, and one that was only alike. row: A17"""

    def answer(sent: Sent) -> Answer:
        if "anthropic" in sent.path:
            return Answer(status=503)
        return Answer(text="Write to someone@example.org.", vectors=((0.6, 0.8),))

    async with provider_server(answer) as server, open_runtime(build_settings(tmp_path, server, GATEWAY)) as runtime:
        results = [
            await (await runtime.submit(words, agent="poet")).wait()
            for words in ("write a line", "write a line", "please write a line")
        ]
        first, again, alike = [find_replies(result)[0] for result in results]
        found = await check(runtime)
    assert first.route is not None
    assert (first.route.model, first.cached) == ("openai:gpt-5-mini", False)
    assert first.notes == ("personal: email in the output, redacted",)
    assert first.message.text == "Write to [EMAIL]."
    assert (first.cost_usd or 0) > 0
    assert (again.cached, again.cost_usd, again.usage.total_tokens) == (True, 0.0, 0)
    assert alike.cached
    assert any("a question that is alike" in note for note in alike.notes)
    assert 0 < (alike.cost_usd or 0) < (first.cost_usd or 0)
    assert found.log.calls == 1
    assert sum(round((result.cost_usd or 0) * 1e9) for result in results) == found.book.usd


async def test_equal_runs_at_once_are_paid_for_once(tmp_path: Path) -> None:
    """The one that made the call has its cost in the log, the others say that theirs were shared."""

    def answer(sent: Sent) -> Answer:
        return Answer(text="A line.", delay_s=0.1)

    gateway = '[share]\nstreams = true\n[[budget]]\nscope = "tenant"\nusd = 1.0\n'
    async with provider_server(answer) as server:
        settings = build_settings(tmp_path, server, gateway)
        async with open_runtime(settings) as runtime:
            assert runtime.gateway is not None
            model = runtime.gateway.find_model("openai:gpt-5-mini")
            replies = await asyncio.gather(*[model.complete(REQUEST) for _ in range(5)])
            assert sum(reply.cost_usd or 0 for reply in replies) == max(reply.cost_usd or 0 for reply in replies)
            found = await check(runtime)
            assert found.outside.calls == 1


@pytest.mark.parametrize("pieces", [0, 1, 3])
async def test_streams_that_are_left_are_booked_and_hold_nothing(tmp_path: Path, pieces: int) -> None:
    """After so many pieces, or cancelled (0) in the middle, through all layers; nothing is left running."""
    words = "one two three four five six seven eight nine ten " * 1000
    gateway = '[[guard]]\nname = "p"\nkind = "pii"\n[[budget]]\nname = "b"\nscope = "tenant"\nusd = 1.0\n'
    async with (
        provider_server([Answer(text=words, piece=10, pause_s=0.01)] * 2) as server,
        open_runtime(build_settings(tmp_path, server, gateway)) as runtime,
    ):
        assert runtime.gateway is not None
        before = len(asyncio.all_tasks())
        items = runtime.gateway.find_model("openai:gpt-5-mini").stream(REQUEST)
        some = asyncio.Event()
        task = asyncio.ensure_future(_take(items, pieces, some))
        async with asyncio.timeout(60):
            await some.wait()
            if pieces:
                await task
        task.cancel()
        await asyncio.wait((task,))
        booked = [one.row async for one in Ledger(runtime.store.values).read()]
        assert [(row.calls, row.cut_calls) for row in booked] == [(0, 1)]
        assert booked[0].cut_usd > 0
        (entry,) = await runtime.store.values.scan("budgets/b/")
        assert not msgspec.msgpack.decode(entry.value, type=Account).held
        assert len(asyncio.all_tasks()) <= before + 1


async def _take(items, pieces: int, some: asyncio.Event) -> None:  # type: ignore[no-untyped-def]
    taken = 0
    async for item in items:
        taken += isinstance(item, TextDelta)
        if taken:
            some.set()
        if pieces and taken >= pieces:
            await items.aclose()
            return


async def test_a_failed_call_is_in_no_sum(tmp_path: Path) -> None:
    async with (
        provider_server(lambda sent: Answer(status=400, code="bad")) as server,
        open_runtime(build_settings(tmp_path, server, GATEWAY)) as runtime,
    ):
        assert runtime.gateway is not None
        with pytest.raises(QuorateError):
            await runtime.gateway.find_model("openai:gpt-5-mini").complete(REQUEST)
        found = await check(runtime)
        assert (found.log.calls, found.book.calls, found.outside.calls) == (0, 0, 0)
