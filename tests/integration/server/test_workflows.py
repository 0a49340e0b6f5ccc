"""Are workflows listed, drawn and run over HTTP, with inputs that are checked before anything is recorded?"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio
from tests.integration.server.conftest import MANY_GUESSES, Api, build_agents, serve

from quorate.server.anthropic.door import ROOT as ANTHROPIC
from quorate.server.openai.door import ROOT
from quorate.settings.values import AgentSettings

FLOW = """
name = "look"
description = "Looks at a port, and says how it went."
output = { said = "{steps.net.output}", twice = "=inputs.port * 2" }
[inputs.port]
type = "integer"
description = "The port."
[inputs.tone]
choices = ["brief", "long"]
default = "brief"
[[steps]]
id = "net"
about = "the network"
agent = "net"
task = "Is {port} open?"
"""
TEAM = 'kind = "team"\nname = "crew"\ndescription = "Asks."\npattern = "pipeline"\nmembers = ["net"]\n'


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    folder = tmp_path_factory.mktemp("served")
    flows = folder / "flows"
    flows.mkdir()
    (flows / "look.toml").write_text(FLOW)
    (flows / "crew.toml").write_text(TEAM)
    settings = msgspec.structs.replace(MANY_GUESSES, agents=AgentSettings(workflows=(str(flows),)))
    async with serve(folder / "quorate.db", *build_agents(), settings=settings) as api:
        yield api


async def test_workflows_are_listed_and_shown_with_their_graph(api: Api) -> None:
    listed = (await api.ask("GET", "/v1/workflows?limit=200", role="viewer")).json["data"]
    names = [one["name"] for one in listed]
    assert names == sorted(names)
    assert {"look", "incident-triage", "research-brief"} <= set(names)
    first = (await api.ask("GET", "/v1/workflows?limit=1")).json
    second = (await api.ask("GET", f"/v1/workflows?limit=1&cursor={first['next_cursor']}")).json
    assert [first["data"][0]["name"], second["data"][0]["name"]] == names[:2]
    answer = await api.ask("GET", "/v1/workflows/look", role="viewer")
    card = answer.json
    assert card["inputs"]["port"] == {"type": "integer", "description": "The port.", "required": True}
    assert card["steps"] == [{"id": "net", "kind": "agent", "what": "agent net", "about": "the network"}]
    assert card["mermaid"].startswith("flowchart TD\n")
    again = await api.ask("GET", "/v1/workflows/look", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status, again.data) == (304, b"")
    assert (await api.ask("GET", "/v1/workflows/lok")).status == 404
    brief = (await api.ask("GET", "/v1/workflows/research-brief")).json
    assert (brief["needs_model"], brief["artifacts"]) == (True, ["research-brief.md"])
    assert "You plan research" not in str(brief)


async def test_a_workflow_is_run_with_typed_inputs_once_for_a_key(api: Api) -> None:
    body = {"inputs": {"port": 8080}, "labels": {"team": "net"}}
    headers = {"Idempotency-Key": "look-1"}
    done = await api.ask("POST", "/v1/workflows/look/runs?wait=30", body=body, headers=headers)
    assert (done.status, done.json["status"], done.json["agent"]) == (200, "completed", "look")
    assert done.headers["Location"] == f"/v1/runs/{done.json['id']}"
    report = msgspec.json.decode(done.json["output"])
    assert report["output"] == {"said": "Port 8080 is closed.", "twice": 16160}
    again = await api.ask("POST", "/v1/workflows/look/runs?wait=30", body=body, headers=headers)
    assert again.json["id"] == done.json["id"]
    other = await api.ask("POST", "/v1/workflows/look/runs", body={"inputs": {"port": 1}}, headers=headers)
    assert other.status == 409
    queued = await api.ask("POST", "/v1/workflows/look/runs", body=body)
    assert queued.status == 202


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"inputs": {}}, "'port' is missing: The port"),
        ({"inputs": {"port": "80"}}, "'port' is '80', which is no integer"),
        ({"inputs": {"port": 80, "tone": "loud"}}, "'tone' is 'loud'; choose one of 'brief', 'long'"),
        ({"inputs": {"port": 80, "prot": 1}}, "there is no input 'prot'; did you mean 'port'?"),
        ({"input": {"port": 80}}, "unknown field `input`"),
        ({"inputs": {"port": 80}, "limits": {"steps": -1}}, "limits.steps"),
    ],
)
async def test_a_wrong_input_is_refused_by_its_name(api: Api, body: object, told: str) -> None:
    answer = await api.ask("POST", "/v1/workflows/look/runs", body=body, tenant="initech")
    assert (answer.status, answer.json["code"]) == (400, "invalid_input")
    assert told in answer.json["detail"]
    assert (await api.ask("GET", "/v1/runs", tenant="initech")).json["data"] == []


async def test_who_may_only_read_runs_nothing_and_each_tenant_sees_its_own_runs(api: Api) -> None:
    body = {"inputs": {"port": 1}}
    assert (await api.ask("POST", "/v1/workflows/look/runs", body=body, role="viewer")).status == 403
    run = (await api.ask("POST", "/v1/workflows/look/runs?wait=30", body=body)).json["id"]
    assert (await api.ask("GET", f"/v1/runs/{run}", tenant="globex")).status == 404


async def test_without_a_model_the_agents_of_a_workflow_are_refused(api: Api) -> None:
    answer = await api.ask("POST", "/v1/workflows/research-brief/runs", body={"inputs": {"question": "Why?"}})
    assert (answer.status, "needs a language model" in answer.json["detail"]) == (400, True)


async def test_teams_are_listed_and_asked_like_agents(api: Api) -> None:
    (team,) = (await api.ask("GET", "/v1/teams", role="viewer")).json["data"]
    assert (team["name"], team["pattern"], team["members"]) == ("crew", "pipeline", ["net"])
    assert (await api.ask("GET", "/v1/teams/crew")).json == team
    assert (await api.ask("GET", "/v1/teams/crw")).status == 404
    done = await api.ask("POST", "/v1/runs?wait=30", body={"task": "Is it up?", "agent": "crew"})
    assert msgspec.json.decode(done.json["output"])["answer"] == "Port 8080 is closed."


async def test_workflows_and_teams_are_models_of_both_protocols(api: Api) -> None:
    known = {one["id"] for one in (await api.ask("GET", f"{ROOT}/models")).json["data"]}
    assert {"look", "crew", "net"} <= known
    messages = [{"role": "user", "content": "8080"}]
    asked = {"model": "crew", "messages": messages}
    done = (await api.ask("POST", f"{ROOT}/chat/completions", body=asked)).json
    assert "Port 8080 is closed." in done["choices"][0]["message"]["content"]
    asked = {"model": "look", "max_tokens": 99, "messages": [{"role": "user", "content": '{"port": 8080}'}]}
    headers = {"anthropic-version": "2023-06-01"}
    said = (await api.ask("POST", f"{ANTHROPIC}/messages", body=asked, headers=headers)).json
    assert '"twice":16160' in said["content"][0]["text"]
