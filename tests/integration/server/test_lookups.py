"""Are agents, tools, models, costs and the audit trail told over HTTP as they are?"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from msgspec import Struct
from tests.integration.server.conftest import Api, build_agents, serve

from quorate import Agent, ScriptedModel
from quorate.messages import Usage
from quorate.models.ledger import Ledger, Spending, to_nano
from quorate.security.secrets import Secret
from quorate.settings import Settings
from quorate.specs import Caller

GATEWAY = """
[[alias]]
name = "quick"
model = "openai:gpt-5-mini"

[[route]]
name = "best"
models = ["openai:gpt-5.2", "anthropic:claude-opus-4-5"]

[[budget]]
name = "ours"
scope = "tenant"
period = "month"
usd = 10

[[budget]]
name = "all of us"
usd = 1000

[[budget]]
name = "theirs"
scope = "tenant"
match = "globex"
usd = 5
"""


CANARY = Secret("sk-canary-0123456789")


class Found(Struct):
    """What was found."""

    port: int


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    place: Path = tmp_path_factory.mktemp("lookups")
    (place / "gateway.toml").write_text(GATEWAY)
    finder = Agent("finder", model=ScriptedModel([]), output_type=Found, description="Finds ports.", version="7")
    settings = Settings(gateway=str(place / "gateway.toml"), credentials={"OPENAI_API_KEY": CANARY})
    async with serve(place / "quorate.db", *build_agents(), finder, settings=settings) as api:
        yield api


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def read_all(api: Api, path: str, **options: Any) -> list[Any]:
    """Read a list page by page."""
    found, cursor = list[Any](), ""
    for _ in range(1000):
        page = (await api.ask("GET", f"{path}{cursor}", **options)).json
        found += page["data"]
        if page.get("next_cursor") is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"
    raise AssertionError("the list has no end")


async def test_agents_are_listed_found_and_shown(api: Api) -> None:
    """Those of the catalog and those of the program, page by page, filtered and sorted. part of row C11"""
    names = [agent["name"] for agent in await read_all(api, "/v1/agents?limit=7")]
    assert names == sorted([*api.runtime.catalog.names(), *api.runtime.given])
    back = [agent["name"] for agent in await read_all(api, "/v1/agents?limit=200&order=-name")]
    assert back == names[::-1]
    core = await read_all(api, "/v1/agents?tier=core&origin=catalog")
    assert core
    assert {agent["tier"] for agent in core} == {"core"}
    tools = core[0]["tools"]
    assert core[0]["name"] in [agent["name"] for agent in await read_all(api, f"/v1/agents?tool={tools[0]}")]
    found = (await api.ask("GET", "/v1/agent-matches?q=tls%20certificate&limit=3")).json["data"]
    assert found[0]["agent"] in api.runtime.catalog
    assert "`tls`" in found[0]["reason"]
    route = await api.ask("POST", "/v1/route", body={"task": "why can't I reach http://127.0.0.1:9?"})
    assert route.json["agent"] in api.runtime.catalog
    assert "URL" in route.json["reason"]
    nobody = await api.ask("POST", "/v1/route", body={"task": "sing me a song"})
    assert nobody.status == 400
    assert nobody.json["code"] in ("no_agent", "invalid_input")
    card = await api.ask("GET", f"/v1/agents/{core[0]['name']}")
    assert card.json["examples"]
    assert card.json["object"] == "agent"
    assert str(Path.cwd()) not in card.data.decode()
    assert "instructions" not in card.json
    same = await api.ask("GET", f"/v1/agents/{core[0]['name']}", headers={"If-None-Match": card.headers["ETag"]})
    assert same.status == 304
    given = (await api.ask("GET", "/v1/agents/finder")).json
    assert given["output_schema"]["properties"]["port"] == {"type": "integer"}
    versions = (await api.ask("GET", "/v1/agents/finder/versions")).json["data"]
    assert [(one["version"], one["current"]) for one in versions] == [("7", True)]
    assert (await api.ask("GET", "/v1/agents/nobody")).status == 404
    assert (await api.ask("GET", "/v1/agents/nobody/versions")).status == 404


async def test_tools_are_shown_in_their_own_form_and_in_that_of_openai(api: Api) -> None:
    """part of row C11"""
    names = [tool["name"] for tool in await read_all(api, "/v1/tools?limit=9")]
    assert names == sorted(api.runtime.tools)
    unsafe = await read_all(api, "/v1/tools?effect=unsafe&limit=200")
    assert {tool["effect"] for tool in unsafe} <= {"unsafe"}
    tool = (await api.ask("GET", "/v1/tools/read_file")).json
    function = (await api.ask("GET", "/v1/tools/read_file?form=openai")).json
    assert function == {
        "type": "function",
        "function": {"name": "read_file", "description": tool["description"], "parameters": tool["parameters"]},
    }
    assert tool["parameters"]["type"] == "object"
    assert tool["timeout_s"] > 0
    assert (await api.ask("GET", "/v1/tools/nothing")).status == 404


async def test_models_aliases_and_routes_are_told_without_keys_or_addresses(api: Api) -> None:
    """part of row C11"""
    cheap = await read_all(api, "/v1/models?provider=openai&capability=vision&order=price&limit=5")
    prices = [model["price"]["output"] for model in cheap]
    assert prices == sorted(prices)
    assert len({model["name"] for model in cheap}) == len(cheap) > 5
    words = {word["name"]: word for word in (await api.ask("GET", "/v1/model-words")).json["data"]}
    assert words["quick"] == {"object": "model.word", "name": "quick", "kind": "alias", "models": ["openai:gpt-5-mini"]}
    shown = await api.ask("GET", "/v1/models/openai:gpt-5.2")
    assert shown.json["ready"] is True
    assert shown.json["price"]["input"] == 1.75
    route = await api.ask("GET", "/v1/models/best")
    assert [member["ready"] for member in route.json["members"]] == [True, False]
    assert b"API_KEY" not in route.data + shown.data
    assert b"http" not in route.data
    assert b"canary" not in route.data
    assert api.runtime.gateway is not None
    api.runtime.gateway.find_model("quick")
    health = (await api.ask("GET", "/v1/model-health?state=well")).json["data"]
    assert [(one["model"], one["state"]) for one in health] == [("openai:gpt-5-mini", "well")]
    assert health[0]["breakers"][0]["state"] == "closed"
    for name in ("nothing", "nobody:model", "openai"):
        assert (await api.ask("GET", f"/v1/models/{name}")).status == 404, name
    assert (await api.ask("GET", "/v1/models?provider=nobody")).json["data"] == []


async def book(api: Api) -> str:
    """Book calls of two tenants today, and return the day."""
    ledger = Ledger(api.runtime.store.values, clock=api.runtime.clock)
    for tenant, principal, agent, model, usd in (
        ("acme", "ann", "net", "openai:gpt-5.2", 0.25),
        ("acme", "bob", "net", "openai:gpt-5.2", 0.5),
        ("acme", "bob", "logs", "groq:llama", None),
        ("globex", "eve", "net", "openai:gpt-5.2", 100.0),
    ):
        usage = Usage(input_tokens=100, output_tokens=10, requests=1)
        await ledger.book(Spending(Caller(tenant=tenant, principal=principal, agent=agent), model, usage, to_nano(usd)))
    return [one.day async for one in ledger.read(tenant="acme")][-1]


async def test_costs_and_usage_are_added_up_by_what_is_asked_for(api: Api) -> None:
    """By agent, model, principal and day, of the caller's tenant alone. part of row C11"""
    day = await book(api)
    costs = (await api.ask("GET", f"/v1/costs?by=principal&by=model&since={day}")).json
    assert [(line["principal"], line["model"], line["cost_usd"]) for line in costs["data"]] == [
        ("ann", "openai:gpt-5.2", 0.25), ("bob", "groq:llama", 0.0), ("bob", "openai:gpt-5.2", 0.5),
    ]  # fmt: skip
    assert costs["total"]["cost_usd"] == 0.75
    assert costs["total"]["unpriced_calls"] == 1
    dearest = await read_all(api, "/v1/costs?by=agent&by=principal&order=-cost&limit=1")
    assert [(line["agent"], line["principal"]) for line in dearest] == [("net", "bob"), ("net", "ann"), ("logs", "bob")]
    usage = (await api.ask("GET", "/v1/usage?by=day&agent=net")).json
    assert [(line["day"], line["calls"], line["input_tokens"]) for line in usage["data"]] == [(day, 2, 200)]
    before = (await api.ask("GET", "/v1/usage?since=2020-01-01&until=2020-01-02")).json
    assert before["data"] == []
    assert before["total"]["calls"] == 0
    for wrong in ("since=2020-01-02&until=2020-01-01", "since=2020-01-01", "by=tenant", "cursor=x", "since=today"):
        assert (await api.ask("GET", f"/v1/costs?{wrong}")).status == 400, wrong
    card = (await api.ask("GET", "/v1/models/openai:gpt-5.2")).json
    assert (card["recent"]["calls"], card["recent"]["cost_usd"]) == (2, 0.75)


async def test_budgets_are_told_to_those_whose_they_are(api: Api) -> None:
    """What all tenants share is told without what others spent of it. part of row C12"""
    budgets = {one["name"]: one for one in (await api.ask("GET", "/v1/budgets")).json["data"]}
    assert set(budgets) == {"ours", "all of us"}
    assert budgets["ours"]["usd"] == 10
    assert budgets["ours"]["spent_usd"] == 0
    assert "spent_usd" not in budgets["all of us"]


async def test_the_audit_trail_is_read_checked_and_exported(api: Api) -> None:
    """By filters and page by page, from either end; each line of an export is what its hash is over. part of row C20"""
    trail = api.runtime.for_tenant("umbrella").audit
    for place in range(7):
        await trail.append("run.cancel", principal="ann", object=f"run/run-{place}", reason="enough")
    await trail.append("key.create", principal="bob", object="tenant/umbrella", outcome="refused")
    ask: dict[str, Any] = {"role": "viewer", "tenant": "umbrella"}
    newest = await read_all(api, "/v1/audit?limit=3", **ask)
    assert [row["seq"] for row in newest] == [8, 7, 6, 5, 4, 3, 2, 1]
    oldest = await read_all(api, "/v1/audit?limit=2&order=oldest&action=run", **ask)
    assert [row["seq"] for row in oldest] == [1, 2, 3, 4, 5, 6, 7]
    refused = await read_all(api, "/v1/audit?limit=2&outcome=refused&principal=bob&object=tenant", **ask)
    assert [(row["seq"], row["action"]) for row in refused] == [(8, "key.create")]
    assert await read_all(api, "/v1/audit?limit=2", role="viewer", tenant="globex") == []
    checked = (await api.ask("GET", "/v1/audit/verification", **ask)).json
    assert checked["ok"]
    assert checked["rows"] == 8
    again = await api.ask("GET", f"/v1/audit/verification?anchor={checked['anchor']}", **ask)
    assert again.json["ok"]
    wrong = f"{checked['anchor'][:-1]}{'0' if checked['anchor'][-1] != '0' else '1'}"
    assert not (await api.ask("GET", f"/v1/audit/verification?anchor={wrong}", **ask)).json["ok"]
    part = await api.ask("GET", "/v1/audit/export?limit=5&action=run", **ask)
    assert part.headers["Content-Type"] == "application/x-ndjson"
    rest = await api.ask("GET", part.headers["Link"].partition(">")[0].lstrip("<"), **ask)
    assert "Link" not in rest.headers
    rows = [json.loads(line) for line in (part.data + rest.data).splitlines()]
    assert [row["seq"] for row in rows] == [1, 2, 3, 4, 5, 6, 7]
    for line in (part.data + rest.data).splitlines():
        row = json.loads(line)
        digest = row["hash"]
        assert digest == f"sha256:{sha256(line.replace(digest.encode(), b'')).hexdigest()}"
