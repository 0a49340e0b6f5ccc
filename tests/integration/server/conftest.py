"""A real server on loopback, with keys for each role and tenant, and clients that use them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from msgspec import structs
from yarl import URL

from quorate import Agent, ScriptedModel, tool
from quorate.agent.agent import AnyAgent
from quorate.assembly import open_runtime
from quorate.runtime import Runtime
from quorate.security.identity import Role
from quorate.security.keys import KeyRing
from quorate.server.access import Doorkeeper
from quorate.server.app import Server
from quorate.server.listen import Listener, open_listener
from quorate.server.protocol import BOUNDS
from quorate.settings import Settings
from quorate.settings.values import ServerSettings
from quorate.tools.toolsets import Approved

PEPPER = bytes(range(32))
MANY_GUESSES = Settings(server=ServerSettings(guesses=1_000_000))
"""All tests ask from one address, and many are wrong on purpose."""


@tool(effect="unsafe")
async def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


@dataclass
class Api:
    """A server, and a client of it."""

    url: str
    runtime: Runtime
    keys: KeyRing
    server: Server
    listener: Listener
    http: aiohttp.ClientSession
    texts: dict[tuple[str, str, tuple[str, ...]], str] = field(default_factory=dict)

    async def key(self, role: Role = "operator", *, tenant: str = "acme", scopes: tuple[str, ...] = ()) -> str:
        """The text of a key, made when it is first wanted."""
        place = (role, tenant, scopes)
        if place not in self.texts:
            new = await self.keys.create(tenant=tenant, principal=f"{role}-{tenant}", role=role, scopes=scopes)
            self.texts[place] = new.text.reveal()
        return self.texts[place]

    async def ask(
        self, method: str, path: str, *, body: object = None, role: Role | None = "operator", tenant: str = "acme",
        scopes: tuple[str, ...] = (), headers: dict[str, str] | None = None, **options: Any,
    ) -> Answer:  # fmt: skip
        """Send a request and read its answer."""
        known = {"Authorization": f"Bearer {await self.key(role, tenant=tenant, scopes=scopes)}"} if role else {}
        given = {"json": body} if body is not None else {}
        sent = self.http.request(
            method, URL(f"{self.url}{path}", encoded=True), headers={**known, **(headers or {})}, **given, **options
        )
        async with sent as response:
            data = await response.read()
            return Answer(response.status, response.headers, data)


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    """Whatever the case of their names."""
    data: bytes

    @property
    def json(self) -> Any:
        import json

        return json.loads(self.data)


@asynccontextmanager
async def serve(database: Path, *agents: AnyAgent, **options: Any) -> AsyncIterator[Api]:
    """Serve some agents beside the catalog's."""
    address = options.pop("address", str(database))
    settings = structs.replace(options.pop("settings", MANY_GUESSES), database=address)
    counts = options.pop("counts", False)
    async with open_runtime(settings, agents=agents, counts=counts) as runtime, aiohttp.ClientSession() as http:
        bounds = options.pop("bounds", BOUNDS)
        listening = {name: options.pop(name) for name in ("accept_s", "frames", "room") if name in options}
        keys = KeyRing(runtime.store.values, pepper=PEPPER, clock=runtime.clock)
        server = Server(runtime, options.pop("doorkeeper", None) or Doorkeeper(keys), **options)
        async with open_listener(server, host="127.0.0.1", port=0, bounds=bounds, **listening) as (listener, port):
            yield Api(f"http://127.0.0.1:{port}", runtime, keys, server, listener, http)


def build_agents() -> list[AnyAgent]:
    """One agent that answers, one that asks first, one that never ends, and one that breaks."""

    @tool(effect="idempotent")
    async def hang() -> str:
        """Never come back."""
        import asyncio

        await asyncio.Event().wait()
        return ""

    from quorate.models.scripted import call

    def repeat(*script: Any) -> ScriptedModel:
        return ScriptedModel(list(script) * 200)

    return [
        Agent("net", model=repeat("Port 8080 is closed.")),
        Agent("payer", model=repeat(call("pay", amount=5), "Paid."), tools=[Approved(pay, lambda call: True)]),
        Agent("slow", model=repeat(call("hang")), tools=[hang]),
        Agent("broken", model=ScriptedModel([])),
    ]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serve(tmp_path / "quorate.db", *build_agents()) as api:
        yield api
