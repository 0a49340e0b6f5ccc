"""Is a question answered by whoever fits, and does the answer say who that is and why?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.integration.server.conftest import Api, build_agents, serve

from quorate.catalog.load import load_catalog
from quorate.errors import InvalidInput
from quorate.server.query import Mode, NoAgent, NoRetriever, decide, find_confidence

pytestmark = pytest.mark.asyncio(loop_scope="module")
CLOSED = "why can't I reach http://127.0.0.1:9?"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    async with serve(tmp_path_factory.mktemp("query") / "quorate.db", *build_agents()) as api:
        yield api


async def test_a_question_is_answered_with_the_decision_behind_it(api: Api) -> None:
    """The agent, why, how sure, and the run that found out. part of row A19"""
    done = await api.ask("POST", "/v1/query", body={"query": CLOSED, "labels": {"team": "net"}})
    assert done.status == 200, done.data
    decision, run = done.json["decision"], done.json["run"]
    assert (decision["asked"], decision["mode"], decision["by"]) == ("auto", "agent", "router")
    assert decision["agent"] == run["agent"] == "network-diagnostics"
    assert "a URL" in decision["reason"]
    assert decision["reason"].startswith("no documents are indexed here")
    assert 0.5 < decision["confidence"] < 1
    assert decision["score"] >= 1
    assert "Connection refused" in done.json["answer"]
    assert (run["status"], done.headers["Location"]) == ("completed", f"/v1/runs/{run['id']}")
    labels = (await api.ask("GET", f"/v1/runs/{run['id']}")).json["labels"]
    assert labels == {"team": "net", "route.agent": decision["agent"], "route.reason": decision["reason"]}


async def test_a_named_agent_always_wins(api: Api) -> None:
    """Whatever the words say. part of row A19"""
    for mode in ("auto", "agent"):
        done = (await api.ask("POST", "/v1/query", body={"query": CLOSED, "mode": mode, "agent": "net"})).json
        assert (done["decision"]["agent"], done["decision"]["by"], done["decision"]["confidence"]) == (
            "net",
            "caller",
            1.0,
        )
        assert done["answer"] == "Port 8080 is closed."


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"query": "make me a sandwich"}, "no_agent"),
        ({"query": CLOSED, "mode": "rag"}, "no_retriever"),
        ({"query": CLOSED, "mode": "both"}, "no_retriever"),
        ({"query": CLOSED, "mode": "rag", "agent": "net"}, "no_retriever"),
        ({"query": CLOSED, "agent": "nobody"}, "invalid_input"),
        ({"query": CLOSED, "agent": "nobody", "dry_run": True}, "invalid_input"),
        ({"query": ""}, "invalid_input"),
        ({"query": CLOSED, "mode": "guess"}, "invalid_input"),
        ({"query": CLOSED, "limits": {"seconds": -1}}, "invalid_input"),
    ],
)
async def test_what_cannot_be_answered_is_refused_with_a_code(api: Api, body: dict[str, Any], code: str) -> None:
    """Nothing is begun then. part of row A19"""
    before = len(await api.runtime.for_tenant("acme").list_runs(limit=1000))
    refused = await api.ask("POST", "/v1/query", body=body)
    assert (refused.status, refused.json["code"]) == (400, code)
    assert len(refused.json["detail"]) > 20
    assert len(await api.runtime.for_tenant("acme").list_runs(limit=1000)) == before


async def test_a_decision_alone_begins_nothing(api: Api) -> None:
    before = len(await api.runtime.for_tenant("acme").list_runs(limit=1000))
    decided = await api.ask("POST", "/v1/query", body={"query": CLOSED, "dry_run": True})
    assert (decided.status, "run" in decided.json) == (200, False)
    assert decided.json["decision"]["agent"] == "network-diagnostics"
    assert len(await api.runtime.for_tenant("acme").list_runs(limit=1000)) == before


async def test_waiting_ends_with_its_time(api: Api) -> None:
    waited = await api.ask("POST", "/v1/query?wait=0.05", body={"query": "x", "agent": "slow"})
    assert (waited.status, "answer" in waited.json) == (202, False)
    await api.ask("POST", f"/v1/runs/{waited.json['run']['id']}/cancel")


async def test_the_same_key_is_the_same_run(api: Api) -> None:
    """part of row B11"""
    options: dict[str, Any] = {"headers": {"Idempotency-Key": "question-1"}}
    answers = [await api.ask("POST", "/v1/query", body={"query": CLOSED}, **options) for _ in range(2)]
    assert len({answer.json["run"]["id"] for answer in answers}) == 1
    other = await api.ask("POST", "/v1/query", body={"query": f"{CLOSED} Please."}, **options)
    assert (other.status, other.json["code"]) == (409, "conflict")


async def test_decisions_can_be_tested_without_a_server() -> None:
    """The same question has the same decision, for every example of every agent. part of row A19"""
    catalog = load_catalog()
    modes: tuple[Mode, ...] = ("auto", "agent")
    for name in catalog.names():
        for example in catalog.get(name).examples:
            for mode in modes:
                found = decide(example, mode=mode, agent=None, route=catalog.route)
                assert (found.agent, found.asked) == (catalog.route(example).agent, mode)
                assert 0 < found.confidence < 1
                assert found == decide(example, mode=mode, agent=None, route=catalog.route)
    for mode in ("rag", "both"):
        with pytest.raises(NoRetriever, match="none are indexed"):
            decide(CLOSED, mode=mode, agent="net", route=catalog.route)  # type: ignore[arg-type]
    with pytest.raises(NoAgent, match="sandwich"):
        decide("make me a sandwich", mode="auto", agent=None, route=catalog.route)
    assert issubclass(NoAgent, InvalidInput)
    assert find_confidence(catalog.route(CLOSED)) > find_confidence(catalog.route("review the code, is it up?"))
