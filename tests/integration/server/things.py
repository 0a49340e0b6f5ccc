"""What stands for each id in a path, and what a route is sent that wants something."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from tests.integration.server.conftest import Api

from quorate.runtime.webhooks import Webhook
from quorate.runtime.webhooks.records import Record, Records, Safe
from quorate.security.tenants import TenantBook
from quorate.security.webhooks import new_webhook_secret
from quorate.server.anthropic.door import ROOT as ANTHROPIC
from quorate.server.openai.door import ROOT

TASK = {"task": "Is it up?", "agent": "net"}


async def make_run(api: Api) -> str:
    return str((await api.ask("POST", "/v1/runs?wait=30", body=TASK)).json["id"])


async def make_session(api: Api) -> str:
    return str((await api.ask("POST", "/v1/sessions", body={"title": "Slow shop"})).json["id"])


async def make_artifact(api: Api) -> str:
    headers = {"Content-Type": "text/plain"}
    return str((await api.ask("POST", "/v1/artifacts?name=plan", data=b"The plan", headers=headers)).json["id"])


async def make_response(api: Api) -> str:
    body = {"model": "net", "input": "Is it up?"}
    return str((await api.ask("POST", f"{ROOT}/responses", body=body)).json["id"])


async def make_key(api: Api) -> str:
    """A key that whoever may only work with keys may replace."""
    body = {"role": "viewer", "scopes": ["keys:read"]}
    return str((await api.ask("POST", "/v1/keys", role="admin", body=body)).json["id"])


async def make_tenant(api: Api) -> str:
    """The tenant of all these keys, in the register."""
    book = TenantBook(api.runtime.store.values, clock=api.runtime.clock)
    if await book.find("acme") is None:
        await book.create("acme")
        await book.add_project("acme", "web")
    return "acme"


async def make_question(api: Api) -> str:
    run = (await api.ask("POST", "/v1/runs?wait=30", body={"task": "x", "agent": "payer"})).json["id"]
    return str((await api.ask("GET", f"/v1/runs/{run}/approvals")).json["data"][0]["id"])


async def make_feedback(api: Api) -> str:
    return str((await api.ask("POST", f"/v1/runs/{await make_run(api)}/feedback", body={"rating": 1})).json["id"])


async def make_webhook(api: Api) -> str:
    """A webhook at an address that is never reached."""
    webhook = Webhook(id="matrix", url="https://2852039166/", tenant="acme")
    kept = Safe(None).close(webhook, new_webhook_secret())
    await Records(api.runtime.store.values).put(Record(webhook=webhook, secrets=(kept,)))
    return webhook.id


async def make_decision(api: Api) -> str:
    """One that is closed: what its voter says is no ballot."""
    body = {"question": "Which?", "voters": ["net"], "options": ["a", "b"]}
    return str((await api.ask("POST", "/v1/decisions?wait=30", body=body)).json["decision"])


THINGS: Mapping[str, Callable[[Api], Awaitable[str]]] = {
    "run_id": make_run,
    "key_id": make_key,
    "response_id": make_response,
    "session_id": make_session,
    "artifact_id": make_artifact,
    "tenant_id": make_tenant,
    "question_id": make_question,
    "feedback_id": make_feedback,
    "webhook_id": make_webhook,
    "decision_id": make_decision,
}
"""What belongs to the tenant `acme`, by the name it has in paths, and how it is made."""

SHARED: Mapping[str, str] = {
    "agent_name": "net",
    "project_id": "web",
    "tool_name": "read_file",
    "model_name": "openai:gpt-5.2",
    "model_id": "net",
    "state_scope": "tenant",
    "value_name": "greeting",
    "schedule_id": "disks",
    "workflow_name": "incident-triage",
    "team_name": "crew",
}
"""What all tenants see, by the name it has in paths."""

BODIES: Mapping[str, object] = {
    "/v1/keys": {"role": "viewer", "scopes": ["keys:read"]},
    "/v1/tenants": {"id": "initech"},
    "/v1/tenants/{tenant_id:str}": {"name": "Acme"},
    "/v1/tenants/{tenant_id:str}/projects": {"id": "api"},
    "/v1/quotas": {"key": "0123456789abcdef", "quotas": []},
    "/v1/tenants/{tenant_id:str}/quotas": {"quotas": []},
    "/v1/workflows/{workflow_name:str}/runs": {"inputs": {"sypmtom": "refused, as it is misspelt"}},
    "/v1/route": {"task": "why can't I reach http://127.0.0.1:9?"},
    "/v1/runs": TASK,
    "/v1/runs/{run_id:str}/fork": {"at": 1, "rest": True},
    "/v1/runs/{run_id:str}/inputs/{question_id:str}": {"text": "north"},
    "/v1/runs/{run_id:str}/feedback": {"rating": 1},
    "/v1/runs/{run_id:str}/feedback/{feedback_id:str}": {"rating": 0},
    "/v1/query": {"query": "Is it up?", "agent": "net"},
    "/v1/decisions/{decision_id:str}/ballots": {"choice": "a"},
    "/v1/decisions/{decision_id:str}/outcome": {"truth": "a"},
    "/v1/schedules": {"name": "disks", "task": "Is it up?", "agent": "net", "every_s": 3600},
    "/v1/schedules/{schedule_id:str}": {"task": "Is it up?", "agent": "net", "every_s": 3600},
    "/v1/webhooks/{webhook_id:str}": {"description": "For nights."},
    "/v1/webhooks/{webhook_id:str}/redeliver": {"dead": True},
    "/v1/artifacts/{artifact_id:str}/shares": {"everybody": True},
    "/v1/state/{state_scope:str}/values/{value_name:path}": {"value": "hello"},
    f"{ROOT}/chat/completions": {"model": "none", "messages": [{"role": "user", "content": "Is it up?"}]},
    f"{ROOT}/responses": {"model": "none", "input": "Is it up?"},
    f"{ROOT}/embeddings": {"model": "none", "input": "up"},
    f"{ANTHROPIC}/messages": {
        "model": "none",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "Is it up?"}],
    },
    f"{ANTHROPIC}/messages/count_tokens": {"model": "none", "messages": [{"role": "user", "content": "Is it up?"}]},
}
"""What a route is sent, by its path as it is declared; an empty object where it is not here.

Whoever may not is refused before it is read. The doors of other protocols are asked for no agent: that takes more.
"""
