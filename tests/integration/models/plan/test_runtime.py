"""Do the agents of a runtime ask their models through the gateway that the settings describe?"""

from pathlib import Path

import pytest

from quorate import Agent, ScriptedModel, Settings, open_runtime
from quorate.assembly import open_gateway, open_store
from quorate.errors import BlockedByPolicy, InvalidFiles, InvalidInput, QuorateError, UnknownName, UpstreamError
from quorate.events import ModelReplied
from quorate.messages import build_user_message
from quorate.models.ledger import Ledger
from quorate.models.observed import CallRecord
from quorate.models.plan import CachePlan, GatewayPlan
from quorate.models.tokenizers import TokenizerRule, Tokenizers
from quorate.models.tokens import count_request
from quorate.runtime import Runtime
from quorate.security.secrets import Secret
from quorate.settings.values import AgentSettings
from quorate.specs import ModelSettings, Request
from quorate.testing.provider_server import Answer, ProviderServer, Script, Sent, provider_server

POET = """+++
name = "poet"
version = "1"
description = "Writes a line."
tier = "task"
domain = "words"
triggers = ["write a line"]
examples = ["write a line"]
+++
You write one line.
"""
ROUTE = """
[[route]]
name = "smart"
models = ["anthropic:claude-haiku-4-5", "openai:gpt-5-mini"]

[retry]
attempts = 1
"""
SECRET = "8f1c0a7d5e3b92644c17fa0e6db85923a1f47c0d9be26853704df1c98a5e6b32"
REQUEST = Request(messages=(build_user_message("hello"),), settings=ModelSettings(temperature=0))


def build_settings(folder: Path, server: ProviderServer, gateway: str = ROUTE, **more: str) -> Settings:
    """Settings of a project with one agent, whose providers are all the test server."""
    (folder / "agents").mkdir(exist_ok=True)
    (folder / "agents/poet.md").write_text(POET, encoding="utf-8")
    (folder / "gateway.toml").write_text(gateway, encoding="utf-8")
    names = {
        "ANTHROPIC_API_KEY": "key-a",
        "ANTHROPIC_BASE_URL": f"{server.origin}/anthropic/v1",
        "GROQ_API_KEY": "key-g",
        "GROQ_BASE_URL": server.url,
        **more,
    }
    settings = Settings(
        database=str(folder / "quorate.db"),
        model="smart",
        gateway=str(folder / "gateway.toml"),
        workspace=str(folder),
        agents=AgentSettings(directories=(str(folder / "agents"),)),
        credentials={name: Secret(value) for name, value in names.items()},
    )
    openai = {"api_key": Secret("key-b"), "base_url": server.url}
    return type(settings)(**{**_fields(settings), "openai": type(settings.openai)(**openai)})


def _fields(settings: Settings) -> dict[str, object]:
    return {name: getattr(settings, name) for name in settings.__struct_fields__}


def answer(sent: Sent) -> Answer:
    """Anthropic is down, the others are well."""
    return Answer(status=503) if "anthropic" in sent.path else Answer(text="A line.")


async def ask_anew(settings: Settings, request: Request) -> str:
    """Ask a model as a process of its own would, and say what came of it."""
    async with open_store(settings) as store, open_gateway(settings, store=store) as gateway:
        try:
            await gateway.find_model("openai:gpt-5.2").complete(request)
        except QuorateError as error:
            return error.code
    return "ok"


async def run_poet(runtime: Runtime):
    handle = await runtime.submit("write a line", agent="poet")
    return await handle.wait()


async def test_an_agent_of_the_catalog_is_answered_through_a_route(tmp_path: Path) -> None:
    """The run's log says which model answered and why; the book has what the log has. row: B10, C16"""
    async with provider_server(answer) as server:
        settings = build_settings(tmp_path, server)
        async with open_runtime(settings) as runtime:
            result = await run_poet(runtime)
            booked = [row async for row in Ledger(runtime.store.values).read()]
    replies = [event.reply for event in result.events if isinstance(event, ModelReplied)]
    assert result.text == "A line."
    assert [reply.route.model for reply in replies if reply.route] == ["openai:gpt-5-mini"]
    assert replies[0].route is not None
    assert replies[0].route.tried == ("anthropic:claude-haiku-4-5 upstream_error",)
    assert [(one.agent, one.model, one.in_run) for one in booked] == [("poet", "openai:gpt-5-mini", True)]
    assert booked[0].row.usd == round((result.cost_usd or 0) * 1e9) > 0


async def test_without_a_file_models_are_asked_by_name(tmp_path: Path) -> None:
    """Everything works without it, and every call is booked all the same."""
    async with provider_server(["A line."]) as server:
        settings = build_settings(tmp_path, server)
        settings = type(settings)(**{**_fields(settings), "gateway": "", "model": "openai:gpt-5.2"})
        async with open_runtime(settings) as runtime:
            assert (await run_poet(runtime)).text == "A line."
            assert runtime.gateway is not None
            assert runtime.gateway.plan == GatewayPlan()
            assert [row.model async for row in Ledger(runtime.store.values).read()] == ["openai:gpt-5.2"]


async def test_a_model_that_is_given_stands_above_the_gateway(tmp_path: Path) -> None:
    """`open_runtime(models=…)` goes on working."""
    async with provider_server() as server:
        settings = build_settings(tmp_path, server)
        async with open_runtime(settings, models={"smart": ScriptedModel(["by script"])}) as runtime:
            assert (await run_poet(runtime)).text == "by script"
        assert server.requests == []


async def test_an_agent_in_code_can_use_the_gateway(tmp_path: Path) -> None:
    """`runtime.gateway` gives it a model."""
    async with provider_server(answer) as server, open_runtime(build_settings(tmp_path, server)) as runtime:
        assert runtime.gateway is not None
        agent = Agent("mine", model=runtime.gateway.find_model("smart"))
        handle = await runtime.submit("hello", agent=agent)
        assert (await handle.wait()).text == "A line."
        with pytest.raises(UnknownName, match="Did you mean `smart`"):
            runtime.gateway.find_model("smrt")


async def test_a_bad_file_stops_the_start(tmp_path: Path) -> None:
    """With all its faults, and before a database is made."""
    async with provider_server() as server:
        settings = build_settings(tmp_path, server, "[retry]\natempts = 1\n[limitz]\n")
        with pytest.raises(InvalidFiles, match="2 faults in the gateway file"):
            async with open_runtime(settings):
                raise AssertionError("it was opened")
    assert not (tmp_path / "quorate.db").exists()


async def test_a_budget_holds_across_processes_and_restarts(tmp_path: Path) -> None:
    """What one runtime spent is gone for the next one. row: B10"""
    budget = '[[budget]]\nscope = "tenant"\nperiod = "total"\ntokens = 200\n'
    request = Request(messages=(build_user_message("hello"),), settings=ModelSettings(max_tokens=30))
    async with provider_server(answer) as server:
        settings = build_settings(tmp_path, server, ROUTE + budget)
        outcomes = [await ask_anew(settings, request) for _ in range(20)]
    answered = outcomes.index("budget_exceeded")
    assert 1 < answered < 20
    assert outcomes == ["ok"] * answered + ["budget_exceeded"] * (20 - answered)


async def test_answers_are_shared_through_the_database(tmp_path: Path) -> None:
    """Two processes, one question; the secret seals what is kept, and a plan that changed sees none of it. row: A11"""
    cache = '[cache]\nstore = "database"\nanswers = "deterministic"\n'
    asked: list[bool] = []
    async with provider_server(answer) as server:
        for gateway in (ROUTE + cache, ROUTE + cache, ROUTE + cache + "ttl_s = 60\n"):
            settings = build_settings(tmp_path, server, gateway, MODEL_CACHE_SECRET=SECRET)
            async with open_store(settings) as store, open_gateway(settings, store=store) as opened:
                reply = await opened.find_model("openai:gpt-5.2").complete(REQUEST)
                asked.append(reply.cached)
        assert asked == [False, True, False]
        assert len(server.requests) == 2


@pytest.mark.parametrize("secret", ["", "ab", "no hexadecimal", "zz" * 32, "ab" * 32])
async def test_a_shared_cache_needs_a_secret(tmp_path: Path, secret: str) -> None:
    """Which is not shown."""
    async with provider_server() as server:
        settings = build_settings(tmp_path, server, '[cache]\nstore = "database"\n', MODEL_CACHE_SECRET=secret)
        with pytest.raises(InvalidInput, match="A shared cache needs a secret: set `MODEL_CACHE_SECRET`") as caught:
            async with open_gateway(settings):
                raise AssertionError("it was opened")
    assert not secret or secret not in caught.value.message


@pytest.mark.parametrize(
    ("gateway", "said"),
    [
        ('[cache]\nstore = "redis"\n', "`REDIS_URL` holds no address"),
        ('[cache]\nstore = "database"\n', "and none is open: pass a `store`"),
        ('[limits]\nstore = "redis"\n[[limit]]\nrequests = 1\n', "`REDIS_URL` holds no address"),
    ],
)
async def test_what_is_missing_outside_is_told(tmp_path: Path, gateway: str, said: str) -> None:
    """When the gateway opens, not at the first call."""
    async with provider_server() as server:
        settings = build_settings(tmp_path, server, gateway, MODEL_CACHE_SECRET=SECRET)
        with pytest.raises(InvalidInput, match=said):
            async with open_gateway(settings):
                raise AssertionError("it was opened")


async def test_a_limit_is_counted_in_the_database(tmp_path: Path) -> None:
    """So that the next process goes on counting."""
    gateway = '[limits]\nstore = "database"\n[[limit]]\nrequests = 2\nper_s = 3600\npolicy = "refuse"\n'
    async with provider_server(answer) as server:
        settings = build_settings(tmp_path, server, gateway)
        assert [await ask_anew(settings, REQUEST) for _ in range(3)] == ["ok", "ok", "rate_limited"]


async def test_listeners_hear_of_every_call(tmp_path: Path) -> None:
    """Also of one that failed."""
    heard: list[CallRecord] = []
    script: Script = ["ready", Answer(status=400, code="bad")]
    async with provider_server(script) as server:
        settings = build_settings(tmp_path, server)
        async with open_gateway(settings, plan=GatewayPlan(cache=CachePlan()), listeners=[heard.append]) as opened:
            model = opened.find_model("openai:gpt-5.2")
            await model.complete(REQUEST)
            await model.complete(REQUEST)
            with pytest.raises(UpstreamError):
                await model.complete(Request(messages=(build_user_message("other"),)))
    assert [(call.outcome, call.cached) for call in heard] == [("ok", False), ("ok", True), ("upstream_error", False)]


async def test_a_guard_of_ones_own_is_given_by_name(tmp_path: Path) -> None:
    """The file says when it is asked; without it, nothing is let pass."""
    gateway = '[[guard]]\nname = "no-lines"\nkind = "function"\nfunction = "lines"\nmode = "strict"\non = "output"\n'
    async with provider_server(answer) as server:
        settings = build_settings(tmp_path, server, ROUTE + gateway)
        async with open_runtime(
            settings, guards={"lines": lambda seen: "a line" if "line" in seen.text else None}
        ) as runtime:
            with pytest.raises(BlockedByPolicy, match="no-lines"):
                await run_poet(runtime)
        async with open_runtime(settings) as runtime:
            with pytest.raises(UnknownName, match="lines"):
                await run_poet(runtime)


async def test_a_question_that_is_alike_is_answered_where_the_file_says_so(tmp_path: Path) -> None:
    """And only there: it is off until it is written."""
    gateway = '[semantic]\nembedder = "openai:text-embedding-3-small"\n'
    asked: list[list[str]] = []
    for text in ("", gateway):
        async with provider_server(lambda sent: Answer(text="Enough.", vectors=((0.6, 0.8),))) as server:
            async with open_gateway(build_settings(tmp_path, server, text)) as opened:
                model = opened.find_model("openai:gpt-4.1")
                for words in ("What is a quorum?", "what's a quorum"):
                    request = Request(messages=(build_user_message(words),), settings=ModelSettings(temperature=0))
                    assert (await model.complete(request)).message.text == "Enough."
            asked.append([sent.path.rpartition("/")[2] for sent in server.requests])
    assert asked == [["completions", "completions"], ["embeddings", "completions", "embeddings"]]


async def test_tokens_are_counted_where_the_file_says_so(tmp_path: Path) -> None:
    """A real tokenizer decides what a budget lets pass, not the estimate."""
    pytest.importorskip("rs_bpe")
    words = "antidisestablishmentarianism " * 40
    request = Request(messages=(build_user_message(words),), settings=ModelSettings(max_tokens=10))
    budget = '[[budget]]\nscope = "run"\nperiod = "total"\ntokens = {}\n'
    outcomes: list[str] = []
    counted = count_request(request, "openai:gpt-4.1", tokenizers=await load_vocabulary()).count
    for most in (counted + 10, counted + 9):
        text = budget.format(most) + '[[tokenizer]]\nmodels = ["openai:*"]\nkind = "o200k"\n'
        async with provider_server(answer) as server:
            settings = build_settings(tmp_path, server, text.replace('scope = "run"', 'scope = "tenant"'))
            async with open_gateway(settings) as opened:
                try:
                    await opened.find_model("openai:gpt-4.1").complete(request)
                    outcomes.append("ok")
                except QuorateError as error:
                    outcomes.append(error.code)
    assert outcomes == ["ok", "budget_exceeded"]


async def load_vocabulary() -> Tokenizers:
    """What counts as the provider does."""
    found = Tokenizers([TokenizerRule(models=("openai:*",), kind="o200k")])
    await found.load()
    return found
