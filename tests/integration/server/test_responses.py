"""Does the official client of OpenAI work with Open Responses here, unchanged?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI
from pydantic import BaseModel
from tests.integration.server.conftest import Api
from tests.integration.server.relays import CLAUDE, PIXEL, PLAIN, relay

from quorate.testing.provider_server import ProviderServer

TOOL = {
    "type": "function",
    "name": "weather",
    "description": "Look.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": True,
}
pytestmark = pytest.mark.asyncio(loop_scope="module")
Relay = tuple[Api, ProviderServer, AsyncOpenAI]


class Verdict(BaseModel):
    cause: str
    sure: float


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


async def test_a_model_answers_and_goes_on_from_its_answer(served: Relay) -> None:
    """Create, keep, go on from it, look at it, delete it; nobody else sees it. part of row C11"""
    api, provider, client = served
    first = await client.responses.create(
        model=PLAIN, input="How is it?", instructions="Be short.", metadata={"a": "b"}, temperature=0.5
    )
    assert (first.status, first.output_text, first.object) == ("completed", "It is sunny in Bern.", "response")
    assert first.usage is not None
    assert (first.usage.input_tokens, first.usage.output_tokens) == (12, 7)
    assert (first.metadata, first.temperature, first.instructions) == ({"a": "b"}, 0.5, "Be short.")
    again = await client.responses.create(model="plain", input="And now?", previous_response_id=first.id)
    sent = provider.requests[-1].body["messages"]
    assert [one["role"] for one in sent] == ["user", "assistant", "user"]  # instructions are not taken along
    third = await client.responses.create(model=PLAIN, input="Still?", previous_response_id=again.id, store=False)
    assert len(provider.requests[-1].body["messages"]) == 5
    with pytest.raises(openai.BadRequestError, match="stream"):
        await client.responses.retrieve(first.id, stream=True)
    shown = await client.responses.retrieve(first.id)
    assert shown == first
    with pytest.raises(openai.NotFoundError, match="no response"):
        await client.responses.retrieve(third.id)
    for role, tenant in (("admin", "acme"), ("operator", "globex")):
        async with connect(api, await api.key(role, tenant=tenant)) as other:  # type: ignore[arg-type]
            with pytest.raises(openai.NotFoundError):
                await other.responses.retrieve(first.id)
            with pytest.raises(openai.NotFoundError):
                await other.responses.delete(first.id)
            with pytest.raises(openai.NotFoundError):
                await other.responses.create(model=PLAIN, input="x", previous_response_id=first.id)
    await client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(first.id)
    with pytest.raises(openai.BadRequestError, match="is done"):
        await client.responses.cancel(again.id)


async def test_events_tell_how_a_response_comes_about(served: Relay) -> None:
    """All of them, in their order, numbered from 0 on, `[DONE]` last. part of row C11"""
    api, _, client = served
    events = [event async for event in await client.responses.create(model=PLAIN, input="How?", stream=True)]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = list(dict.fromkeys(event.type.removeprefix("response.") for event in events))
    assert kinds == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.done",
        "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    done = events[-1].response  # type: ignore[union-attr]
    assert done.output_text == "It is sunny in Bern."
    assert {event.item_id for event in events if hasattr(event, "item_id")} == {done.output[0].id}
    assert await client.responses.retrieve(done.id) == done
    body = {"model": PLAIN, "input": "How?", "stream": True}
    raw = (await api.ask("POST", "/openai/v1/responses", body=body)).data
    assert raw.endswith(b"data: [DONE]\n\n")
    assert raw.startswith(b'event: response.created\ndata: {"type":"response.created",')


async def test_tools_are_called_by_whoever_asks(served: Relay) -> None:
    """Calls and their outputs, kept or sent along, whole and streamed. part of row C11"""
    _, provider, client = served
    ask: dict[str, Any] = {"model": PLAIN, "tools": [TOOL]}
    first = await client.responses.create(input="How is the weather?", tool_choice="required", **ask)
    [call] = first.output
    assert (call.type, call.name, call.arguments) == ("function_call", "weather", '{"city":"Bern"}')  # type: ignore[union-attr]
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}  # type: ignore[union-attr]
    kept = await client.responses.create(input=[output], previous_response_id=first.id, **ask)  # type: ignore[list-item]
    assert kept.output_text == "It is sunny in Bern."
    items = [{"role": "user", "content": "How is the weather?"}, *[one.model_dump() for one in first.output], output]
    sent_along = await client.responses.create(input=items, store=False, **ask)  # type: ignore[arg-type]
    assert sent_along.output_text == "It is sunny in Bern."
    one, other = provider.requests[-1].body["messages"], provider.requests[-2].body["messages"]
    assert one == other
    async with client.responses.stream(input="How is the weather?", **ask) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert "response.function_call_arguments.done" in kinds
    assert final.output[0].arguments == '{"city":"Bern"}'  # type: ignore[union-attr]


async def test_reasoning_goes_back_to_whom_it_is_from(served: Relay) -> None:
    """Sealed for the provider that gave it, and left out where it was made up."""
    _, provider, client = served
    ask: dict[str, Any] = {"model": CLAUDE, "tools": [TOOL], "reasoning": {"effort": "low"}, "max_output_tokens": 9000}
    question = {"role": "user", "content": "How is the weather?"}
    first = await client.responses.create(input=[question], **ask)
    thought, call = first.output
    assert (thought.type, thought.summary[0].text) == ("reasoning", "Bern it is.")  # type: ignore[union-attr]
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}  # type: ignore[union-attr]
    await client.responses.create(input=[question, *first.output, output], store=False, **ask)
    blocks = provider.requests[-1].body["messages"][1]["content"]
    assert blocks[0] == {"type": "thinking", "thinking": "Bern it is.", "signature": "sig-1"}
    made_up = thought.model_dump() | {"encrypted_content": "sig-1"}
    await client.responses.create(input=[question, made_up, call, output], store=False, **ask)
    assert [one["type"] for one in provider.requests[-1].body["messages"][1]["content"]] == ["tool_use"]
    async with client.responses.stream(input=[question], **ask) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert "response.reasoning_summary_text.delta" in kinds
    assert [one.type for one in final.output] == ["reasoning", "function_call"]
    await client.responses.create(input=[question, *final.output, output], store=False, **ask)
    assert provider.requests[-1].body["messages"][1]["content"][0]["signature"] == "sig-1"


async def test_answers_have_the_form_that_is_asked_for(served: Relay) -> None:
    """Of a model, and of an agent whose own form it is; parts of a message are pictures and files."""
    _, provider, client = served
    for model in (CLAUDE, "judge"):
        parsed = await client.responses.parse(model=model, input="Why?", text_format=Verdict)
        assert parsed.output_parsed == Verdict(cause="dns", sure=0.5)
    with pytest.raises(openai.BadRequestError, match="in words") as caught:
        await client.responses.parse(model="net", input="Why?", text_format=Verdict)
    assert caught.value.param == "text.format"
    content = [
        {"type": "input_text", "text": "What is it?"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}", "detail": "auto"},
        {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,aGVsbG8="},
    ]
    await client.responses.create(model=CLAUDE, input=[{"role": "user", "content": content}])  # type: ignore[list-item,misc]
    kinds = [one["type"] for one in provider.requests[-1].body["messages"][0]["content"]]
    assert kinds == ["text", "image", "document"]


async def test_an_agent_is_a_model(served: Relay) -> None:
    """Its run is the response; what is said next goes on from it. part of row C11"""
    api, _, client = served
    first = await client.responses.create(model="net", input="Is it up?", instructions="Be short.")
    assert (first.status, first.output_text) == ("completed", "Port 8080 is closed.")
    assert (await api.ask("GET", f"/v1/runs/{first.id}")).json["status"] == "completed"
    assert (await client.responses.retrieve(first.id)).output_text == first.output_text
    async with client.responses.stream(model="net", input="Sure?", previous_response_id=first.id) as stream:
        async for _ in stream:
            pass
        second = await stream.get_final_response()
    head = (await api.runtime.for_tenant("acme").log.read(second.id))[0]
    assert [message.text for message in head.messages] == ["Be short.", "Is it up?", "Port 8080 is closed.", "Sure?"]
    plain = await client.responses.create(model=PLAIN, input="And you?", previous_response_id=second.id)
    assert plain.output_text == "It is sunny in Bern."
    await client.responses.delete(first.id)
    assert (await api.ask("GET", f"/v1/runs/{first.id}")).status == 200
    with pytest.raises(openai.BadRequestError, match="is an agent") as caught:
        await client.responses.create(model="net", input="x", temperature=1)
    assert caught.value.param == "temperature"
    with pytest.raises(openai.ConflictError, match="waits"):
        await client.responses.create(model="payer", input="Pay.")


async def test_work_in_the_background_is_looked_at_and_stopped(served: Relay) -> None:
    """part of row C11"""
    _, _, client = served
    begun = await client.responses.create(model="net", input="Is it up?", background=True)
    assert begun.status == "queued"
    async with asyncio.timeout(30):
        while (shown := await client.responses.retrieve(begun.id)).status != "completed":
            await asyncio.sleep(0.01)
    assert shown.output_text == "Port 8080 is closed."
    slow = await client.responses.create(model="slow", input="x", background=True)
    with pytest.raises(openai.ConflictError, match="no answer yet"):
        await client.responses.create(model="net", input="x", previous_response_id=slow.id)
    assert (await client.responses.cancel(slow.id)).status == "cancelled"
    assert (await client.responses.cancel(slow.id)).status == "cancelled"
    with pytest.raises(openai.BadRequestError, match="for agents"):
        await client.responses.create(model=PLAIN, input="x", background=True)


async def test_what_breaks_is_never_taken_for_an_answer(fresh: Relay) -> None:
    """A cut stream, a failure, a limit, a refusal. part of row C5"""
    _, _, client = fresh
    events = [event async for event in await client.responses.create(model=PLAIN, input="cut me", stream=True)]
    assert events[-1].type == "response.failed"
    assert events[-1].response.error is not None
    assert "response.completed" not in {event.type for event in events}
    long = await client.responses.create(model=PLAIN, input="too long")
    assert (long.status, long.incomplete_details.reason) == ("incomplete", "max_output_tokens")  # type: ignore[union-attr]
    events = [event async for event in await client.responses.create(model=PLAIN, input="refuse me", stream=True)]
    assert events[-1].type == "response.incomplete"
    assert events[-1].response.incomplete_details.reason == "content_filter"  # type: ignore[union-attr]
    with pytest.raises(openai.InternalServerError):
        await client.responses.create(model=PLAIN, input="fail 500", stream=True)
    with pytest.raises(openai.RateLimitError):
        await client.responses.create(model=PLAIN, input="fail 429")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"truncation": "auto"}, "truncation"),
    ({"top_logprobs": 3}, "top_logprobs"),
    ({"max_tool_calls": 3}, "max_tool_calls"),
    ({"conversation": "conv_1"}, "conversation"),
    ({"prompt": {"id": "p"}}, "prompt"),
    ({"service_tier": "flex"}, "service_tier"),
    ({"include": ["message.output_text.logprobs"]}, "include"),
    ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ({"text": {"verbosity": "high"}}, "text.verbosity"),
    ({"temperature": 3}, "temperature"),
    ({"input": ""}, "input"),
    ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
    ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
    (
        {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
        "input[0].content[0].file_id",
    ),
    ({"input": [{"role": "system", "content": "x"}]}, "input"),
    ({"extra_body": {"nobody": 1}}, "nobody"),
    ({"metadata": {"a": "b" * 600}}, "metadata[...]"),
]


async def test_what_is_not_served_is_refused_by_its_name(served: Relay) -> None:
    _, _, client = served
    for fields, param in REFUSED:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.responses.create(**{"model": PLAIN, "input": "x", **fields})
        assert caught.value.param == param, fields
        assert caught.value.code == "invalid_input"
