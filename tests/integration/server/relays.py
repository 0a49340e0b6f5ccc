"""A server whose gateway asks a provider on this machine, for the tests of all doors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec import Struct, structs
from tests.integration.server.conftest import Api, build_agents, serve

from quorate import Agent, ScriptedModel
from quorate.messages import ToolCall
from quorate.settings import load_settings
from quorate.testing.provider_server import Answer, ProviderServer, Sent, provider_server

PLAIN = "groq:llama-3.3-70b-versatile"
CLAUDE = "anthropic:claude-sonnet-4-5"
EMBEDDER = "openai:text-embedding-3-small"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


class Verdict(Struct):
    """What is found."""

    cause: str
    sure: float


def reply(sent: Sent) -> Answer:
    """What the provider says: the words of the request say which answer is wanted."""
    body = str(sent.body)
    if "weather" in body and "sunny" not in body:
        call = ToolCall(id="call-1", name="weather", arguments='{"city":"Bern"}')
        thinks = "budget_tokens" in body
        return Answer(calls=(call,), thinking="Bern it is." if thinks else "", signature="sig-1" if thinks else None)
    if "refuse me" in body:
        return Answer(text="I will not.", stop="filtered")
    if "too long" in body:
        return Answer(text="It goes on", stop="length")
    if "cut me" in body:
        return Answer(text="It is sunny in Bern. " * 8, cut_at=700)
    for status in (400, 401, 429, 500, 503):
        if f"fail {status}" in body:
            return Answer(status=status, code="rate_limit_error" if status == 429 else "server_error")
    if "hang" in body:
        return Answer(text="x", delay_s=60)
    if "Verdict" in body or "json_schema" in body:
        return Answer(text='{"cause":"dns","sure":0.5}')
    if "think" in body:
        return Answer(text="Two.", thinking="One and one.", signature="sig-2")
    return Answer(text="It is sunny in Bern.")


@asynccontextmanager
async def relay(folder: Path) -> AsyncIterator[tuple[Api, ProviderServer]]:
    """Serve the agents of `build_agents`, one with a form of answer, and models of the provider."""
    judge = Agent("judge", model=ScriptedModel(['{"cause":"dns","sure":0.5}'] * 50), output_type=Verdict)
    async with provider_server(reply) as provider:
        with pytest.MonkeyPatch.context() as monkeypatch:
            for name in ("GROQ", "ANTHROPIC", "OPENAI"):
                monkeypatch.setenv(f"{name}_API_KEY", "gsk_real_and_long_enough_123")
                url = f"{provider.origin}/anthropic/v1" if name == "ANTHROPIC" else provider.url
                monkeypatch.setenv(f"{name}_BASE_URL", url)
            settings = load_settings()
            # What a provider refuses is told at once: how calls are made again is tested with the gateway.
            file = folder / "gateway.toml"
            file.write_text(f"[retry]\nattempts = 1\n\n[[alias]]\nname = 'plain'\nmodel = '{PLAIN}'\n")
            settings = structs.replace(settings, gateway=str(file))
            async with serve(folder / "quorate.db", *build_agents(), judge, settings=settings) as api:
                yield api, provider
