"""Is everything that OpenAI's client can ask of a chat completion served, or refused by its name?"""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI
from pydantic import BaseModel
from tests.integration.server.conftest import Api
from tests.integration.server.relays import CLAUDE, EMBEDDER, PIXEL, PLAIN, relay

from quorate.models.ledger import Ledger
from quorate.testing.provider_server import ProviderServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
Relay = tuple[Api, ProviderServer, AsyncOpenAI]


class Verdict(BaseModel):
    cause: str
    sure: float


class Weather(BaseModel):
    """Look."""

    city: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Relay]:
    folder = tmp_path_factory.mktemp("served")
    async with relay(folder) as (api, provider), connect(api, await api.key()) as client:
        yield api, provider, client


@pytest_asyncio.fixture(loop_scope="module")
async def fresh(tmp_path: Path) -> AsyncIterator[Relay]:
    """One of its own, for what leaves traces: a credential that rests, a breaker that is open."""
    async with relay(tmp_path) as (api, provider), connect(api, await api.key()) as client:
        yield api, provider, client


def connect(api: Api, key: str) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{api.url}/openai/v1", api_key=key, max_retries=0)


def say(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


async def test_settings_reach_the_model(served: Relay) -> None:
    """All that a model is told, and what asks for nothing is taken as said."""
    _, provider, client = served
    answer = await client.chat.completions.create(
        model=PLAIN,
        messages=[{"role": "developer", "content": "Be short."}, *say("How is it?")],
        temperature=0.2, top_p=0.9, max_completion_tokens=50, seed=7, stop=["END"], n=1, logprobs=False, user="u", safety_identifier="s", prompt_cache_key="p",
        service_tier="auto", modalities=["text"], metadata={"a": "b"}, verbosity="medium", store=False,
    )  # fmt: skip
    assert answer.choices[0].message.content == "It is sunny in Bern."
    body = provider.requests[-1].body
    assert body["messages"][0] == {"role": "system", "content": "Be short."}
    wanted = {"temperature": 0.2, "top_p": 0.9, "seed": 7, "stop": ["END"]}
    assert wanted.items() <= body.items()
    assert 50 in (body.get("max_tokens"), body.get("max_completion_tokens"))


async def test_forms_of_answers(served: Relay) -> None:
    """A model's, an agent's own, and tools that are parsed."""
    api, _, client = served
    for model in (CLAUDE, "judge"):
        parsed = await client.chat.completions.parse(model=model, messages=say("Why?"), response_format=Verdict)
        assert parsed.choices[0].message.parsed == Verdict(cause="dns", sure=0.5)
    for form in ({"type": "json_object"}, {"type": "text"}):
        await client.chat.completions.create(model="judge", messages=say("x"), response_format=form)  # type: ignore[arg-type]
    with pytest.raises(openai.BadRequestError, match="another form"):
        await client.chat.completions.parse(model="judge", messages=say("Why?"), response_format=Weather)
    tools = [openai.pydantic_function_tool(Weather, name="weather")]
    called = await client.chat.completions.parse(model=PLAIN, messages=say("How is the weather?"), tools=tools)
    [call] = called.choices[0].message.tool_calls or []
    assert call.function.parsed_arguments == Weather(city="Bern")
    labelled = await client.chat.completions.create(model="net", messages=say("x"), metadata={"ticket": "7"})
    head = (await api.runtime.for_tenant("acme").log.read(labelled.id))[0]
    assert head.labels["metadata.ticket"] == "7"


async def test_pictures_sound_and_documents_are_passed_on(served: Relay) -> None:
    _, provider, client = served
    content = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "auto"}},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        {"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,aGVsbG8="}},
    ]
    await client.chat.completions.create(model=PLAIN, messages=[{"role": "user", "content": content}])  # type: ignore[list-item,misc]
    kinds = [one["type"] for one in provider.requests[-1].body["messages"][0]["content"]]
    assert kinds == ["text", "image_url", "image_url", "input_audio", "text"]


async def test_reasoning_is_shown(served: Relay) -> None:
    _, _, client = served
    ask: dict[str, Any] = {"model": CLAUDE, "reasoning_effort": "low", "max_tokens": 9000, "messages": say("think")}
    whole = await client.chat.completions.create(**ask)
    assert whole.choices[0].message.reasoning_content == "One and one."  # type: ignore[attr-defined]
    stream = await client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in stream]
    shown = [getattr(chunk.choices[0].delta, "reasoning_content", None) for chunk in chunks if chunk.choices]
    assert "".join(filter(None, shown)) == "One and one."
    assert chunks[-1].usage is not None


async def test_texts_become_vectors(served: Relay) -> None:
    """As numbers and as bytes, which is what the client asks for by itself. part of row C11"""
    _, _, client = served
    found = await client.embeddings.create(model=EMBEDDER, input=["one", "three"])
    assert [row.embedding[0] for row in found.data] == [3.0, 5.0]
    assert [row.index for row in found.data] == [0, 1]
    plain = await client.embeddings.create(model=EMBEDDER, input="one", encoding_format="float")
    assert plain.data[0].embedding == found.data[0].embedding
    raw = await client.embeddings.with_raw_response.create(model=EMBEDDER, input="one", encoding_format="base64")
    packed = base64.b64decode(raw.http_response.json()["data"][0]["embedding"])
    assert struct.unpack("<3f", packed)[0] == 3.0
    assert plain.usage.prompt_tokens == plain.usage.total_tokens > 0
    refused: list[tuple[dict[str, Any], str]] = [
        ({"input": [1, 2]}, "input"),
        ({"input": [[1, 2]]}, "input"),
        ({"input": [" "]}, "input[0]"),
        ({"input": []}, "input"),
        ({"dimensions": 0}, "dimensions"),
    ]
    for fields, param in refused:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.embeddings.create(**{"model": EMBEDDER, "input": "x", **fields})
        assert caught.value.param == param, fields
    with pytest.raises(openai.NotFoundError):
        await client.embeddings.create(model="nothing", input="x")
    with pytest.raises(openai.BadRequestError, match="vectors"):
        await client.embeddings.create(model=CLAUDE, input="x")


async def test_what_is_used_is_booked_for_whoever_asks(served: Relay) -> None:
    """Through all doors: whole, streamed, and vectors. part of row C12"""
    api, _, _ = served
    values, clock = api.runtime.store.values, api.runtime.clock

    async def count(principal: str) -> int:
        rows = [one async for one in Ledger(values, clock=clock).read(tenant="acme") if one.principal == principal]
        return sum(one.row.calls for one in rows)

    async with connect(api, (key := await api.key("admin"))) as admin:
        before, others = await count("admin-acme"), await count("operator-acme")
        await admin.chat.completions.create(model=PLAIN, messages=say("How is it?"))
        async for _ in await admin.responses.create(model=PLAIN, input="How is it?", stream=True):
            pass
        await admin.embeddings.create(model=EMBEDDER, input="one")
        body = {"model": PLAIN, "max_tokens": 9, "messages": say("How is it?")}
        headers = {"x-api-key": key}
        assert (await api.ask("POST", "/anthropic/v1/messages", body=body, role=None, headers=headers)).status == 200
    assert (await count("admin-acme") - before, await count("operator-acme") - others) == (4, 0)


async def test_one_model_is_shown(served: Relay) -> None:
    _, _, client = served
    for name in ("net", "plain", PLAIN, "groq:meta-llama/llama-4-scout"):
        assert (await client.models.retrieve(name)).id == name
    for name in ("nothing", "nobody:model"):
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve(name)


async def test_the_same_request_is_asked_once(fresh: Relay) -> None:
    """With the same key: also streamed, in another protocol, and never for somebody else. part of row C11"""
    api, provider, client = fresh
    key = {"Idempotency-Key": "k-1"}
    ask: dict[str, Any] = {"model": PLAIN, "messages": say("How is it?"), "extra_headers": key}
    first = await client.chat.completions.create(**ask)
    again = await client.chat.completions.create(**ask)
    assert (again.id, again.choices) == (first.id, first.choices)
    chunks = [chunk async for chunk in await client.chat.completions.create(**ask, stream=True)]
    assert chunks[0].id == first.id
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "It is sunny in Bern."
    assert len(provider.requests) == 1
    with pytest.raises(openai.ConflictError, match="another request"):
        await client.chat.completions.create(**{**ask, "messages": say("Another?")})
    async with connect(api, await api.key("admin")) as other:
        await other.chat.completions.create(**ask)
    assert len(provider.requests) == 2
    failing: dict[str, Any] = {**ask, "messages": say("fail 500"), "extra_headers": {"Idempotency-Key": "k-2"}}
    for _ in range(2):  # what failed may be asked again
        with pytest.raises(openai.InternalServerError):
            await client.chat.completions.create(**failing)
    assert len(provider.requests) == 4
    hanging: dict[str, Any] = {**ask, "messages": say("hang"), "extra_headers": {"Idempotency-Key": "k-3"}}
    asking = asyncio.create_task(client.chat.completions.create(**hanging))
    async with asyncio.timeout(30):
        while len(provider.requests) < 5:
            await asyncio.sleep(0.01)
        with pytest.raises(openai.ConflictError, match="under way"):
            await client.chat.completions.create(**hanging)
        asking.cancel()
        await provider.wait_dropped(1)


async def test_errors_are_the_clients_own(fresh: Relay) -> None:
    """Each class, with what to quote, and whether trying again may help. part of row C11"""
    api, _, client = fresh
    cases: list[tuple[type[openai.APIStatusError], str, dict[str, Any], str]] = [
        (openai.BadRequestError, "invalid_input", {"temperature": 3}, "false"),
        (openai.NotFoundError, "not_found", {"model": "nothing"}, "false"),
        (openai.ConflictError, "conflict", {"model": "payer"}, "false"),
        (openai.InternalServerError, "upstream_error", {"messages": say("fail 401")}, "false"),
        (openai.InternalServerError, "upstream_error", {"messages": say("fail 500")}, "false"),
        (openai.RateLimitError, "rate_limited", {"messages": say("fail 429")}, "true"),
    ]
    for expected, code, fields, retry in cases:
        with pytest.raises(expected) as caught:
            await client.chat.completions.create(**{"model": PLAIN, "messages": say("x"), **fields})
        error = caught.value
        assert (error.code, error.response.headers["x-should-retry"]) == (code, retry), fields
        assert error.request_id == error.response.headers["x-request-id"]
        assert ("retry-after" in error.response.headers) >= (retry == "true")
    async with connect(api, await api.key("viewer")) as viewer:
        with pytest.raises(openai.PermissionDeniedError):
            await viewer.chat.completions.create(model=PLAIN, messages=say("x"))
    async with connect(api, "wrong") as nobody:
        with pytest.raises(openai.AuthenticationError):
            await nobody.models.list()
    for body, status in (({"model": "x" * (1 << 20)}, 413), ({"model": 1}, 400)):
        refused = await api.ask("POST", "/openai/v1/chat/completions", body=body)
        assert (refused.status, refused.json["error"]["type"]) == (status, "invalid_request_error")


async def test_a_cut_stream_is_never_a_whole_one(fresh: Relay) -> None:
    """part of row C5"""
    api, _, client = fresh
    with pytest.raises(openai.APIError):
        async for _ in await client.chat.completions.create(model=PLAIN, messages=say("cut me"), stream=True):
            pass
    body = {"model": PLAIN, "messages": say("cut me"), "stream": True}
    raw = (await api.ask("POST", "/openai/v1/chat/completions", body=body)).data
    assert b"[DONE]" not in raw
    assert b'"finish_reason":"' not in raw


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"n": 2}, "n"),
    ({"logprobs": True}, "logprobs"),
    ({"top_logprobs": 2}, "top_logprobs"),
    ({"logit_bias": {"1": 1}}, "logit_bias"),
    ({"functions": [{"name": "x"}]}, "functions"),
    ({"function_call": "auto"}, "function_call"),
    ({"audio": {"voice": "x", "format": "wav"}}, "audio"),
    ({"modalities": ["audio"]}, "modalities"),
    ({"prediction": {"type": "content", "content": "x"}}, "prediction"),
    ({"web_search_options": {}}, "web_search_options"),
    ({"store": True}, "store"),
    ({"verbosity": "high"}, "verbosity"),
    ({"service_tier": "flex"}, "service_tier"),
    ({"extra_body": {"nobody": 1}}, "nobody"),
    ({"temperature": 3}, "temperature"),
    ({"seed": "x"}, "seed"),
    ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
    ({"tools": [{"type": "function", "function": {"name": "no name"}}]}, "tools[0].function.name"),
    ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {}}}, "tool_choice.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}]},
     "messages[0].content[0].image_url.url"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x", "detail": "high"}}]}]},
     "messages[0].content[0].image_url.detail"),
    ({"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "x"}}]}]},
     "messages[0].content[0].input_audio"),
    ({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]},
     "messages[0].content[0].file.file_id"),
    ({"model": "net", "temperature": 1}, "temperature"),
    ({"model": "net", "tools": [{"type": "function", "function": {"name": "x"}}]}, "tools"),
    ({"model": "net", "max_tokens": 9}, "max_tokens"),
    ({"model": "net", "response_format": {"type": "json_object"}}, "response_format"),
    ({"model": "net", "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}, "messages"),
]  # fmt: skip


async def test_what_is_not_served_is_refused_by_its_name(served: Relay) -> None:
    _, provider, client = served
    before = len(provider.requests)
    for fields, param in REFUSED:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(**{"model": PLAIN, "messages": say("x"), **fields})
        assert (caught.value.param, caught.value.type) == (param, "invalid_request_error"), fields
    assert len(provider.requests) == before
