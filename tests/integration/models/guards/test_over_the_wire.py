"""Does what must not leave stay, over a real connection and through the whole stack?"""

import msgspec
import pytest

from quorate.errors import BlockedByPolicy
from quorate.messages import ReplyDone, TextDelta, ToolCall, build_user_message
from quorate.models.cache.rule import CacheRule
from quorate.models.cached import Cached
from quorate.models.gateway import build_model
from quorate.models.guarded import Guarded
from quorate.models.guards.guard import build_guards
from quorate.models.guards.rules import PiiRule, SecretsRule, WordsRule
from quorate.specs import Caller, ModelSettings, Request
from quorate.testing.provider_server import Answer, ProviderServer, provider_server

RULES = (
    PiiRule(name="pii"),
    SecretsRule(name="secrets"),
    WordsRule(name="words", words=("project zeus",), mode="strict"),
)
MAIL, KEY = "alice@example.com", "sk-proj-abcdefghijklmnop1234"


def ask(text: str, tenant: str = "acme") -> Request:
    return Request(
        messages=(build_user_message(text),), settings=ModelSettings(temperature=0.0), caller=Caller(tenant=tenant)
    )


def connect(server: ProviderServer) -> Guarded:
    model = build_model("openai:gpt-5.2", credentials={"OPENAI_API_KEY": "x"}.get, base_urls={"openai": server.url})
    return Guarded(Cached(model, rule=CacheRule()), guards=build_guards(RULES))


async def test_the_provider_never_sees_it_and_the_asker_sees_it_again() -> None:
    """Neither in the request that left nor in the cache; in the answer, in its deltas and in a call's arguments."""
    answer = Answer(
        text="I will write to [EMAIL_1] with [KEY_1].",
        calls=(ToolCall(id="c", name="send", arguments='{"to":"[EMAIL_1]"}'),),
        piece=3,
    )
    async with provider_server([answer]) as server:
        model = connect(server)
        items = [item async for item in model.stream(ask(f"Write to {MAIL} with {KEY}"))]
        again = await model.complete(ask(f"Write to {MAIL} with {KEY}"))
        await model.aclose()
    sent = msgspec.json.encode(server.requests[0].body).decode()
    assert len(server.requests) == 1
    assert MAIL not in sent
    assert KEY not in sent
    assert "[EMAIL_1]" in sent
    done = items[-1]
    assert isinstance(done, ReplyDone)
    text = "".join(item.text for item in items if isinstance(item, TextDelta))
    assert text == done.reply.message.text == f"I will write to {MAIL} with {KEY}."
    assert done.reply.message.tool_calls[0].arguments == '{"to":"alice@example.com"}'
    assert done.reply.notes == ("pii: email in the input, redacted", "secrets: key in the input, redacted")
    assert again.cached
    assert again.message == done.reply.message


async def test_the_same_question_about_another_person_shares_nothing_but_the_words() -> None:
    """The cache holds placeholders: who asks about Bob is given Bob's address, though the answer is Alice's."""
    async with provider_server(["Done: [EMAIL_1]"]) as server:
        model = connect(server)
        await model.complete(ask(f"Write to {MAIL}"))
        reply = await model.complete(ask("Write to bob@example.com"))
        await model.aclose()
    assert (reply.cached, reply.message.text) == (True, "Done: bob@example.com")


async def test_a_block_in_a_stream_leaves_the_connection_and_keeps_nothing() -> None:
    """The upstream is let go at once, and what was blocked is not given out by the cache later."""
    async with provider_server([Answer(text="We call it project zeus. " * 50, pause_s=0.02), "fine"]) as server:
        model = connect(server)
        with pytest.raises(BlockedByPolicy, match=r"^The guard 'words' blocked the output: word\.$"):
            [item async for item in model.stream(ask("What is it called?"))]
        assert (await model.complete(ask("What is it called?"))).message.text == "fine"
        with pytest.raises(BlockedByPolicy, match="blocked the input"):
            await model.complete(ask("Tell me about PROJECT  ZEUS"))
        await model.aclose()
    assert len(server.requests) == 2
