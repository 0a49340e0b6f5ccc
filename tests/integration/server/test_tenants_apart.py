"""Does anything of one tenant reach another that guesses its ids: stored, cached, kept as bytes, counted or traced?"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec import structs
from tests.integration.server.conftest import Api, serve

from quorate import Agent, ScriptedModel, tool
from quorate.agent.artifacts import artifact_tools
from quorate.models.scripted import Answer, call
from quorate.ports import RunContext
from quorate.settings import load_settings
from quorate.settings.values import ServerSettings
from quorate.specs import Request
from quorate.testing.provider_server import ProviderServer, provider_server

SECRET = "the-plan-of-acme"
CHAT = {"model": "plain", "messages": [{"role": "user", "content": "Is it up?"}]}
GATEWAY = """
[[alias]]
name = "plain"
model = "openai:test-model"

[cache]
scope = "tenant"
answers = "all"
store = "database"
"""


@dataclass
class World:
    """A server with what belongs to `acme`, and what stands for its models."""

    api: Api
    provider: ProviderServer
    run: str = ""
    artifact: str = ""
    session: str = ""

    async def read(self, path: str, *, tenant: str = "globex") -> str:
        """Read something as an admin."""
        return (await self.api.ask("GET", path, role="admin", tenant=tenant)).data.decode()

    async def do(self, task: str, *, tenant: str, agent: str, **facts: object) -> dict[str, object]:
        """Do a task to its end."""
        body = {"task": task, "agent": agent, **facts}
        answer = await self.api.ask("POST", "/v1/runs?wait=30", body=body, tenant=tenant)
        assert answer.status < 300, answer.data
        return dict(answer.json)


@tool(effect="idempotent")
async def recall(context: RunContext[object]) -> str:
    """Say what is kept for everybody of the tenant, and for the agent."""
    found = [await context.state.get("plan", scope=scope) for scope in ("tenant", "agent", "user")]
    return json.dumps([None if one is None else str(one) for one in found])


def build_agents() -> list[Agent]:
    """One that reads an artifact by its id, and one that reads what is kept; both say all they found."""

    def read(request: Request) -> Answer:
        last = request.messages[-1]
        if last.role == "user":
            return call("read_artifact", artifact=last.text)
        return str(last.parts)

    def look(request: Request) -> Answer:
        last = request.messages[-1]
        return call("recall") if last.role == "user" else str(last.parts)

    return [
        Agent("reader", model=ScriptedModel(read), tools=artifact_tools()),
        Agent("looker", model=ScriptedModel(look), tools=[recall]),
    ]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    (tmp_path / "gateway.toml").write_text(GATEWAY)
    answers = [f"{SECRET} is what acme was told.", "Something else."]
    async with provider_server(answers) as provider:
        told = {
            "OPENAI_BASE_URL": provider.url, "OPENAI_API_KEY": "sk-test-0123456789",
            "MODEL_CACHE_SECRET": bytes(range(32)).hex(),
        }  # fmt: skip
        settings = structs.replace(
            load_settings(tmp_path, told),
            gateway=str(tmp_path / "gateway.toml"),
            server=ServerSettings(operator_tenant="platform"),
        )
        async with serve(tmp_path / "quorate.db", *build_agents(), settings=settings, counts=True) as api:
            world = World(api, provider)
            world.session = str((await api.ask("POST", "/v1/sessions", body={"title": SECRET})).json["id"])
            await api.ask("PUT", "/v1/state/tenant/values/plan", body={"value": SECRET})
            kept = await api.ask(
                "POST", "/v1/artifacts?name=plan", data=SECRET.encode(), headers={"Content-Type": "text/plain"}
            )
            world.artifact = str(kept.json["id"])
            assert (
                await api.ask("POST", f"/v1/artifacts/{world.artifact}/shares", body={"everybody": True})
            ).status < 300
            world.run = str(
                (await world.do(world.artifact, tenant="acme", agent="reader", session=world.session))["id"]
            )
            yield world


async def check_reference(world: World) -> None:
    """An artifact that a task names is its own tenant's or none."""
    assert SECRET in str(await world.do(world.artifact, tenant="acme", agent="reader"))
    assert SECRET not in str(await world.do(world.artifact, tenant="globex", agent="reader"))


async def check_state(world: World) -> None:
    """What a tool reads of the tenant is its run's tenant's."""
    assert SECRET in str(await world.do("?", tenant="acme", agent="looker"))
    assert SECRET not in str(await world.do("?", tenant="globex", agent="looker"))


async def check_session(world: World) -> None:
    """A session of that id is another one, and nothing said in the first is known in it."""
    answer = await world.api.ask(
        "POST", "/v1/runs?wait=30", body={"task": "x", "agent": "looker", "session": world.session}, tenant="globex"
    )
    assert SECRET not in answer.data.decode()
    assert world.run not in await world.read(f"/v1/sessions/{world.session}")
    runs = (await world.api.ask("GET", f"/v1/runs?session={world.session}")).json["data"]
    assert {run["id"] for run in runs} == {world.run}


async def check_cache(world: World) -> None:
    """An answer that one tenant was given is asked for again for another, and then kept for each."""
    path = "/openai/v1/chat/completions"
    for _ in range(2):
        assert SECRET in (await world.api.ask("POST", path, body=CHAT)).data.decode()
    assert len(world.provider.requests) == 1
    for _ in range(2):
        assert SECRET not in (await world.api.ask("POST", path, body=CHAT, tenant="globex")).data.decode()
    assert len(world.provider.requests) == 2


async def check_idempotency(world: World) -> None:
    """The same key and the same request of two tenants are two runs."""
    headers, body = {"Idempotency-Key": "k-1"}, {"task": "x", "agent": "looker"}
    first, again, other = [
        (await world.api.ask("POST", "/v1/runs?wait=30", body=body, tenant=tenant, headers=headers)).json["id"]
        for tenant in ("acme", "acme", "globex")
    ]
    assert (first == again, first == other) == (True, False)


async def check_books(world: World) -> None:
    """Costs, the audit trail and lists of one tenant say nothing of the other."""
    await world.api.ask("POST", "/openai/v1/chat/completions", body=CHAT)
    for path in ("/v1/costs", "/v1/usage", "/v1/audit", "/v1/runs", "/v1/sessions", "/v1/artifacts", "/v1/keys"):
        said = await world.read(path, tenant="initech")
        for thing in (world.run, world.artifact, world.session, SECRET, "operator-acme"):
            assert thing not in said, (path, thing)
    assert "test-model" not in await world.read("/v1/costs", tenant="initech")
    assert "test-model" in await world.read("/v1/costs", tenant="acme")


async def check_traces(world: World) -> None:
    """A trace is its tenant's, and counts that anybody reads name no tenant, run or text."""
    assert world.run in await world.read(f"/v1/runs/{world.run}/trace", tenant="acme")
    assert (await world.api.ask("GET", f"/v1/runs/{world.run}/trace", role="admin", tenant="globex")).status == 404
    answer = await world.api.ask("GET", "/metrics", role="admin", tenant="platform")
    counts = answer.data.decode()
    assert (answer.status, "quorate_" in counts) == (200, True), counts[:500]
    for thing in ("acme", world.run, world.artifact, SECRET):
        assert thing not in counts


CHECKS: Mapping[str, Callable[[World], Awaitable[None]]] = {
    "artifacts that a task names": check_reference,
    "values that a tool reads": check_state,
    "sessions": check_session,
    "idempotency keys": check_idempotency,
    "answers that are kept": check_cache,
    "costs, audit and lists": check_books,
    "traces and metrics": check_traces,
}
"""Each place where something of a tenant is; what is stored and has a route is in the matrix of routes, too."""


async def test_nothing_of_a_tenant_reaches_another(world: World) -> None:
    """Row by row, by guessed ids. part of row C12"""
    wrong: dict[str, AssertionError] = {}
    for place, check in CHECKS.items():
        try:
            await check(world)
        except AssertionError as error:
            wrong[place] = error
    assert wrong == {}
