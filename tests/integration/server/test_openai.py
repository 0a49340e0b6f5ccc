"""Does the official client of OpenAI work with agents and models here, unchanged?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import openai
import pytest
from openai import AsyncOpenAI
from tests.integration.server.conftest import Api, build_agents, serve

from quorate.messages import ToolCall
from quorate.settings import load_settings
from quorate.testing.provider_server import Answer, Sent, provider_server

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Look.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@asynccontextmanager
async def connect(api: Api, **options: object) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(
        base_url=f"{api.url}/openai/v1",
        api_key=await api.key(**options),
        max_retries=0,  # type: ignore[arg-type]
    ) as client:
        yield client


@pytest.fixture
async def relay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """A server whose gateway asks a provider on this machine."""

    def reply(sent: Sent) -> Answer:
        body = str(sent.body)
        if "weather" in body and "sunny" not in body:
            return Answer(calls=(ToolCall(id="call-1", name="weather", arguments='{"city":"Bern"}'),))
        if "break" in body:
            return Answer(status=500)
        if "hang" in body:
            return Answer(text="x", delay_s=60)
        return Answer(text="It is sunny in Bern.")

    async with provider_server(reply) as provider:
        monkeypatch.setenv("GROQ_API_KEY", "gsk_real_and_long_enough_123")
        monkeypatch.setenv("GROQ_BASE_URL", provider.url)
        async with serve(tmp_path / "quorate.db", *build_agents(), settings=load_settings()) as api:
            yield api, provider


async def test_a_key_for_models_alone_lets_no_agent_work(api: Api) -> None:
    """An agent does more than a model: whoever may begin no run begins none through the door of another protocol."""
    said = [{"role": "user", "content": "Is it up?"}]
    scopes: tuple[str, ...] = ("models:*",)
    for path, body in (
        ("/openai/v1/chat/completions", {"messages": said}), ("/openai/v1/responses", {"input": "Is it up?"}),
        ("/anthropic/v1/messages", {"messages": said, "max_tokens": 9}),
    ):  # fmt: skip
        answer = await api.ask("POST", path, body={"model": "net", **body}, scopes=scopes)
        assert (answer.status, "runs:write" in answer.data.decode()) == (403, True), path
        known = await api.ask("POST", path, body={"model": "net", **body}, scopes=("models:*", "runs:write"))
        assert known.status == 200, path
    assert len((await api.ask("GET", "/v1/runs")).json["data"]) == 3
    rows = (await api.ask("GET", "/v1/audit?action=run.submit&outcome=refused", role="admin")).json["data"]
    assert [row["object"] for row in rows] == ["agent/net"] * 3


async def test_an_agent_is_a_model(api: Api) -> None:
    """Whole and streamed, as a recorded run that the answer names. part of row C11"""
    async with connect(api) as client:
        answer = await client.chat.completions.create(model="net", messages=[{"role": "user", "content": "Is it up?"}])
        assert answer.choices[0].message.content == "Port 8080 is closed."
        assert answer.choices[0].finish_reason == "stop"
        assert (await api.ask("GET", f"/v1/runs/{answer.id}")).json["status"] == "completed"
        stream = await client.chat.completions.create(
            model="agent:net", messages=[{"role": "user", "content": "Is it up?"}], stream=True,
            stream_options={"include_usage": True},
        )  # fmt: skip
        chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Port 8080 is closed."
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage is not None


async def test_a_conversation_goes_to_the_agent(api: Api) -> None:
    async with connect(api) as client:
        answer = await client.chat.completions.create(
            model="net",
            messages=[
                {"role": "system", "content": "Be short."},
                {"role": "user", "content": "I have a server."},
                {"role": "assistant", "content": "Good."},
                {"role": "user", "content": [{"type": "text", "text": "Is it up?"}]},
            ],
        )
    head = (await api.runtime.for_tenant("acme").log.read(answer.id))[0]
    assert [message.role for message in head.messages] == ["user", "user", "assistant", "user"]
    assert head.messages[-1].text == "Is it up?"


async def test_a_plain_model_is_called_with_its_tools(relay) -> None:  # type: ignore[no-untyped-def]
    """Tools, their results, and streams of both."""
    api, provider = relay
    async with connect(api) as client:
        ask = {"model": "groq:llama-3.3-70b-versatile", "tools": [TOOL]}
        messages = [{"role": "user", "content": "How is the weather?"}]
        first = await client.chat.completions.create(messages=messages, **ask)
        [called] = first.choices[0].message.tool_calls
        assert (called.function.name, called.function.arguments) == ("weather", '{"city":"Bern"}')
        assert first.choices[0].finish_reason == "tool_calls"
        result = {"role": "tool", "tool_call_id": called.id, "content": "sunny"}
        messages += [first.choices[0].message.model_dump(exclude_none=True), result]
        second = await client.chat.completions.create(messages=messages, temperature=0.5, **ask)
        assert second.choices[0].message.content == "It is sunny in Bern."
        assert provider.requests[-1].body["temperature"] == 0.5
        pieces = [
            chunk async for chunk in await client.chat.completions.create(messages=messages[:1], stream=True, **ask)
        ]
    calls = [call for chunk in pieces for call in (chunk.choices[0].delta.tool_calls or [])]
    assert calls[0].function.name == "weather"
    assert "".join(call.function.arguments or "" for call in calls) == '{"city":"Bern"}'


async def test_whoever_leaves_stops_the_spending(relay) -> None:  # type: ignore[no-untyped-def]
    """The provider's connection is closed when the client's is. part of row C3"""
    api, provider = relay
    message = [{"role": "user", "content": "hang"}]
    async with connect(api) as client:
        for number, streams in enumerate((False, True), 1):
            asking = asyncio.create_task(
                client.chat.completions.create(  # type: ignore[call-overload]
                    model="groq:llama-3.3-70b-versatile", messages=message, stream=streams
                )
            )
            async with asyncio.timeout(30):
                while len(provider.requests) < number:
                    await asyncio.sleep(0.01)
                asking.cancel()
                await provider.wait_dropped(number)
        async with asyncio.timeout(30):
            while api.listener.server_state.tasks:
                await asyncio.sleep(0.01)


async def test_errors_are_the_clients_own(relay) -> None:  # type: ignore[no-untyped-def]
    """Each kind is the exception that people catch already. part of row C11"""
    api, _ = relay
    message = [{"role": "user", "content": "x"}]
    async with connect(api) as client:
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="nothing", messages=message)
        with pytest.raises(openai.BadRequestError, match="`n` is 2"):
            await client.chat.completions.create(model="net", messages=message, n=2)
        with pytest.raises(openai.BadRequestError, match="instructions only"):
            await client.chat.completions.create(model="net", messages=[{"role": "system", "content": "x"}])
        with pytest.raises(openai.BadRequestError, match="is an agent"):
            await client.chat.completions.create(model="net", messages=message, tools=[TOOL])
        with pytest.raises(openai.ConflictError, match="waits"):
            await client.chat.completions.create(model="payer", messages=message)
        with pytest.raises(openai.InternalServerError):
            await client.chat.completions.create(
                model="groq:llama-3.3-70b-versatile", messages=[{"role": "user", "content": "break"}]
            )
    async with connect(api, role="viewer") as client:
        with pytest.raises(openai.PermissionDeniedError):
            await client.chat.completions.create(model="net", messages=message)
        names = [model.id async for model in client.models.list()]
        assert {"net", "payer", "network-diagnostics"} <= set(names)
    async with AsyncOpenAI(base_url=f"{api.url}/openai/v1", api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(model="net", messages=message)


async def test_a_stream_that_breaks_says_so(api: Api) -> None:
    """It is never taken for a whole one. part of row C5"""
    async with connect(api) as client:

        async def read() -> None:
            message = [{"role": "user", "content": "x"}]
            async for _ in await client.chat.completions.create(model="broken", messages=message, stream=True):
                pass

        with pytest.raises(openai.APIError):
            await read()
