"""Does the official client of Anthropic work with agents and models here, unchanged?"""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from tests.integration.server.conftest import Api
from tests.integration.server.relays import CLAUDE, PIXEL, PLAIN, relay

from quorate.testing.provider_server import ProviderServer

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

TOOL = {
    "name": "weather",
    "description": "Look.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
ASK: dict[str, Any] = {"model": PLAIN, "max_tokens": 100}
HELLO = [{"role": "user", "content": "How is it?"}]
pytestmark = pytest.mark.asyncio(loop_scope="module")
Relay = tuple[Api, ProviderServer, "AsyncAnthropic"]


@pytest.fixture(scope="session")
def anthropic() -> ModuleType:
    """The client, whose import takes seconds that only who uses it should spend."""
    return importlib.import_module("anthropic")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory, anthropic: ModuleType) -> AsyncIterator[Relay]:
    folder = tmp_path_factory.mktemp("served")
    async with relay(folder) as (api, provider), connect(anthropic, api, await api.key()) as client:
        yield api, provider, client


@pytest_asyncio.fixture(loop_scope="module")
async def fresh(tmp_path: Path, anthropic: ModuleType) -> AsyncIterator[Relay]:
    """One of its own, for what leaves traces: a credential that rests, a breaker that is open."""
    async with relay(tmp_path) as (api, provider), connect(anthropic, api, await api.key()) as client:
        yield api, provider, client


def connect(anthropic: ModuleType, api: Api, key: str) -> AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=f"{api.url}/anthropic", api_key=key, max_retries=0)


def say(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


async def test_a_model_answers(served: Relay) -> None:
    """Whole, with what it used, from a provider of another protocol too. part of row C11"""
    api, provider, client = served
    answer = await client.messages.create(
        **ASK, messages=say("How is it?"), system="Be short.", extra_body={"temperature": 0.5}, stop_sequences=["END"],
        metadata={"user_id": "u"},
    )  # fmt: skip
    assert [block.text for block in answer.content if block.type == "text"] == ["It is sunny in Bern."]
    assert (answer.stop_reason, answer.model, answer.role, answer.type) == ("end_turn", PLAIN, "assistant", "message")
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (12, 7)
    body = provider.requests[-1].body
    assert (body["messages"][0], body["temperature"], body["stop"]) == (
        {"role": "system", "content": "Be short."}, 0.5, ["END"],
    )  # fmt: skip
    assert answer._request_id  # the header that this client looks for
    key = await api.key()
    for headers in ({"x-api-key": key}, {"Authorization": f"Bearer {key}"}):
        body = {**ASK, "messages": HELLO}
        assert (await api.ask("POST", "/anthropic/v1/messages", body=body, role=None, headers=headers)).status == 200
    old = {"anthropic-version": "2020-01-01"}
    assert (await api.ask("POST", "/anthropic/v1/messages", body=body, headers=old)).status == 400


async def test_events_tell_how_an_answer_comes_about(served: Relay) -> None:
    """All of them, in their order. part of row C11"""
    api, _, client = served
    events = [event async for event in await client.messages.create(**ASK, messages=say("How is it?"), stream=True)]
    assert list(dict.fromkeys(event.type for event in events)) == [
        "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
        "message_stop",
    ]  # fmt: skip
    async with client.messages.stream(**ASK, messages=say("How is it?")) as stream:
        words = "".join([text async for text in stream.text_stream])
        final = await stream.get_final_message()
    assert words == "It is sunny in Bern."
    assert (final.stop_reason, final.usage.input_tokens, final.usage.output_tokens) == ("end_turn", 12, 7)
    body = {**ASK, "messages": HELLO, "stream": True}
    raw = (await api.ask("POST", "/anthropic/v1/messages", body=body)).data
    assert b'event: ping\ndata: {"type":"ping"}\n\n' in raw
    assert raw.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')


async def test_tools_are_called_by_whoever_asks(served: Relay) -> None:
    """Calls and their results, whole and streamed. part of row C11"""
    _, provider, client = served
    ask: dict[str, Any] = {**ASK, "tools": [TOOL]}
    messages = say("How is the weather?")
    first = await client.messages.create(**ask, messages=messages, tool_choice={"type": "any"})
    [call] = first.content
    assert (call.type, call.name, call.input) == ("tool_use", "weather", {"city": "Bern"})  # type: ignore[union-attr]
    assert first.stop_reason == "tool_use"
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}  # type: ignore[union-attr]
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    second = await client.messages.create(**ask, messages=messages)
    assert second.content[0].text == "It is sunny in Bern."  # type: ignore[union-attr]
    assert [one["role"] for one in provider.requests[-1].body["messages"]] == ["user", "assistant", "tool"]
    async with client.messages.stream(**ask, messages=messages[:1]) as stream:
        final = await stream.get_final_message()
    assert final.content[0].input == {"city": "Bern"}  # type: ignore[union-attr]
    failed = [*messages[:2], {"role": "user", "content": [{**result, "content": "none: sunny", "is_error": True}]}]
    await client.messages.create(**{**ask, "model": CLAUDE}, messages=failed)
    assert provider.requests[-1].body["messages"][2]["content"][0]["is_error"] is True


async def test_reasoning_goes_back_to_whom_it_is_from(served: Relay) -> None:
    """With its signature, whole and streamed; what was made up is left out."""
    _, provider, client = served
    ask: dict[str, Any] = {
        "model": CLAUDE, "max_tokens": 9000, "tools": [TOOL], "thinking": {"type": "enabled", "budget_tokens": 2048},
    }  # fmt: skip
    messages = say("How is the weather?")
    whole = await client.messages.create(**ask, messages=messages)
    async with client.messages.stream(**ask, messages=messages) as stream:
        streamed = await stream.get_final_message()
    for answer in (whole, streamed):
        thought, call = answer.content
        assert (thought.type, thought.thinking) == ("thinking", "Bern it is.")  # type: ignore[union-attr]
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}  # type: ignore[union-attr]
        turn = {"role": "user", "content": [result]}
        await client.messages.create(
            **ask, messages=[*messages, {"role": "assistant", "content": answer.content}, turn]
        )
        blocks = provider.requests[-1].body["messages"][1]["content"]
        assert blocks[0] == {"type": "thinking", "thinking": "Bern it is.", "signature": "sig-1"}
        made_up = [{"type": "thinking", "thinking": "No.", "signature": "sig-1"}, call]
        await client.messages.create(**ask, messages=[*messages, {"role": "assistant", "content": made_up}, turn])
        assert [one["type"] for one in provider.requests[-1].body["messages"][1]["content"]] == ["tool_use"]


async def test_pictures_documents_forms_and_caches_are_passed_on(served: Relay) -> None:
    _, provider, client = served
    content = [
        {"type": "text", "text": "What is it?", "cache_control": {"type": "ephemeral"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
        {"type": "document", "title": "a", "source": {"type": "text", "media_type": "text/plain", "data": "hello"}},
    ]
    form = {"type": "json_schema", "schema": {"type": "object", "properties": {"cause": {"type": "string"}}}}
    answer = await client.messages.create(
        model=CLAUDE, max_tokens=100, messages=[{"role": "user", "content": content}], output_config={"format": form},  # type: ignore[list-item,typeddict-item]
    )  # fmt: skip
    assert json.loads(answer.content[0].text) == {"cause": "dns", "sure": 0.5}  # type: ignore[union-attr]
    body = provider.requests[-1].body
    assert [one["type"] for one in body["messages"][0]["content"]] == ["text", "image", "document"]
    assert body["messages"][0]["content"][-1]["cache_control"] == {"type": "ephemeral"}
    assert body["output_config"]["format"]["type"] == "json_schema"


async def test_an_agent_is_a_model(served: Relay, anthropic: ModuleType) -> None:
    """As a recorded run that the answer names. part of row C11"""
    api, _, client = served
    answer = await client.messages.create(model="net", max_tokens=1, system="Be short.", messages=say("Is it up?"))
    assert answer.content[0].text == "Port 8080 is closed."  # type: ignore[union-attr]
    assert (await api.ask("GET", f"/v1/runs/{answer.id}")).json["status"] == "completed"
    async with client.messages.stream(model="net", max_tokens=1, messages=say("Is it up?")) as stream:
        assert (await stream.get_final_message()).content[0].text == "Port 8080 is closed."  # type: ignore[union-attr]
    with pytest.raises(anthropic.BadRequestError, match="`temperature` is for models"):
        await client.messages.create(model="net", max_tokens=1, messages=say("x"), extra_body={"temperature": 1})
    with pytest.raises(anthropic.ConflictError, match="waits"):
        await client.messages.create(model="payer", max_tokens=1, messages=say("Pay."))


async def test_models_and_tokens(served: Relay, anthropic: ModuleType) -> None:
    api, _, client = served
    names = [model.id async for model in client.models.list()]
    assert {"net", "judge", "plain"} <= set(names)
    assert [model.id async for model in client.models.list(limit=2)] == names  # the client turns the pages
    first = await client.models.list(limit=2, after_id=names[0])
    assert ([model.id for model in first.data], first.has_more) == (names[1:3], True)
    assert [model.id for model in (await client.models.list(limit=1, before_id=names[2])).data] == names[1:2]
    assert (await api.ask("GET", "/anthropic/v1/models?limit=0")).status == 400
    assert (await client.models.retrieve(PLAIN)).id == PLAIN
    with pytest.raises(anthropic.NotFoundError):
        await client.models.retrieve("nothing")
    short = await client.messages.count_tokens(model=CLAUDE, messages=say("Hello."))
    long = await client.messages.count_tokens(model=CLAUDE, messages=say("Hello. " * 500), tools=[TOOL])  # type: ignore[list-item]
    assert 0 < short.input_tokens < 100 < long.input_tokens
    async with connect(anthropic, api, await api.key("viewer")) as viewer:
        await viewer.messages.count_tokens(model="net", messages=say("Hello."))


async def test_whoever_leaves_stops_the_spending(fresh: Relay) -> None:
    """part of row C3"""
    _, provider, client = fresh
    for number, streams in enumerate((False, True), 1):
        asking = asyncio.create_task(client.messages.create(**ASK, messages=say("hang"), stream=streams))
        async with asyncio.timeout(30):
            while len(provider.requests) < number:
                await asyncio.sleep(0.01)
            asking.cancel()
            await provider.wait_dropped(number)


async def test_what_breaks_is_never_taken_for_an_answer(fresh: Relay, anthropic: ModuleType) -> None:
    """A cut stream is an error in the stream; limits and refusals are reasons to stop. part of row C5"""
    _, _, client = fresh
    for model in ("broken", PLAIN):
        with pytest.raises(anthropic.APIStatusError):
            async with client.messages.stream(model=model, max_tokens=9, messages=say("cut me")) as stream:
                await stream.get_final_message()
    assert (await client.messages.create(**ASK, messages=say("too long"))).stop_reason == "max_tokens"
    assert (await client.messages.create(**ASK, messages=say("refuse me"))).stop_reason == "refusal"


async def test_errors_are_the_clients_own(fresh: Relay, anthropic: ModuleType) -> None:
    """Each kind is the exception that people catch already, and says whether trying again may help. part of row C11"""
    api, _, client = fresh
    cases: list[tuple[type[Exception], str, dict[str, Any], str]] = [
        (anthropic.BadRequestError, "invalid_request_error", {"max_tokens": 0}, "false"),
        (anthropic.NotFoundError, "not_found_error", {"model": "nothing"}, "false"),
        (anthropic.InternalServerError, "api_error", {"messages": say("fail 401")}, "false"),
        (anthropic.InternalServerError, "api_error", {"messages": say("fail 500")}, "false"),
        (anthropic.RateLimitError, "rate_limit_error", {"messages": say("fail 429")}, "true"),
    ]
    for expected, kind, fields, retry in cases:
        with pytest.raises(expected) as caught:
            await client.messages.create(**{**ASK, "messages": say("x"), **fields})
        assert caught.value.type == kind, fields
        assert caught.value.response.headers["x-should-retry"] == retry, fields
        assert caught.value.request_id == caught.value.response.headers["x-request-id"]
    async with connect(anthropic, api, await api.key("viewer")) as viewer:
        with pytest.raises(anthropic.PermissionDeniedError):
            await viewer.messages.create(**ASK, messages=say("x"))
    async with connect(anthropic, api, "wrong") as nobody:
        with pytest.raises(anthropic.AuthenticationError) as refused:
            await nobody.messages.create(**ASK, messages=say("x"))
        assert refused.value.type == "authentication_error"
    large = await api.ask("POST", "/anthropic/v1/messages", body={"model": "x" * (1 << 20)})
    assert (large.status, large.json["error"]["type"]) == (413, "request_too_large")
    missing = await api.ask("GET", "/anthropic/v1/nothing")
    assert (missing.status, missing.json["type"]) == (404, "error")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "web_search_20250305"),
    ({"extra_body": {"mcp_servers": [{"url": "x"}]}}, "mcp_servers"),
    ({"extra_body": {"nobody": 1}}, "nobody"),
    ({"extra_body": {"temperature": 1.5}}, "temperature"),
    ({"thinking": {"type": "enabled"}}, "budget_tokens"),
    ({"thinking": {"type": "enabled", "budget_tokens": 2048, "display": "omitted"}}, "display"),
    ({"output_config": {"effort": "max"}}, "effort"),
    ({"container": "c"}, "container"),
    ({"system": [{"type": "image", "source": {"type": "url", "url": "https://x"}}]}, "system"),
    ({"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}]}, "source"),
    ({"messages": [{"role": "user", "content": [{"type": "tool_result", "content": "x"}]}]}, "tool_use_id"),
    ({"messages": [{"role": "user", "content": [{"type": "search_result"}]}]}, "search_result"),
    ({"messages": []}, "messages"),
]  # fmt: skip


async def test_what_is_not_served_is_refused_by_its_name(served: Relay, anthropic: ModuleType) -> None:
    _, _, client = served
    for fields, word in REFUSED:
        with pytest.raises(anthropic.BadRequestError, match=word):
            await client.messages.create(**{**ASK, "messages": say("x"), **fields})
