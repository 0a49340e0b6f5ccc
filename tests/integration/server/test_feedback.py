"""Can people say over HTTP what an answer was worth, and read what others said?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.integration.server.conftest import Api, build_agents, serve

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    async with serve(tmp_path_factory.mktemp("feedback") / "quorate.db", *build_agents()) as api:
        yield api


async def make_run(api: Api, **options: Any) -> str:
    answer = await api.ask("POST", "/v1/runs?wait=30", body={"task": "x", "agent": "net"}, **options)
    return str(answer.json["id"])


async def say(api: Api, run: str, **said: object) -> dict[str, Any]:
    answer = await api.ask("POST", f"/v1/runs/{run}/feedback", body=said)
    assert answer.status == 201, answer.data
    return dict(answer.json)


async def test_feedback_is_kept_read_changed_and_forgotten(api: Api) -> None:
    """On a run or a step, by whoever bears the key. part of row C11"""
    run = await make_run(api)
    added = await api.ask("POST", f"/v1/runs/{run}/feedback", body={"key": "1/model", "rating": 0.5, "comment": "so"})
    one = added.json
    assert (added.status, one["principal"], one["rating"]) == (201, "operator-acme", 0.5)
    path = added.headers["Location"]
    shown = await api.ask("GET", path, role="viewer")
    assert (shown.json, shown.headers["ETag"]) == (one, added.headers["ETag"])
    cached = await api.ask("GET", path, headers={"If-None-Match": shown.headers["ETag"]})
    assert cached.status == 304
    match = {"If-Match": shown.headers["ETag"]}
    changed = await api.ask("PUT", path, body={"rating": 1.0}, headers=match)
    assert (changed.status, changed.json["rating"], "comment" in changed.json) == (200, 1.0, False)
    assert (await api.ask("PUT", path, body={"rating": 0.0}, headers=match)).status == 412
    assert (await api.ask("DELETE", path, headers=match)).status == 412
    theirs = await api.ask("PUT", path, body={"rating": 0.0}, role="admin")
    assert (theirs.status, theirs.json["code"]) == (409, "conflict")
    assert (await api.ask("DELETE", path)).status == 204
    assert (await api.ask("GET", path)).status == 404
    assert (await api.ask("DELETE", path)).status == 404


async def test_what_others_said_is_theirs(api: Api) -> None:
    """Only whoever looks after the tenant's feedback forgets it for them."""
    run = await make_run(api)
    mine = await say(api, run, rating=1)
    new = await api.keys.create(tenant="acme", principal="eve", role="operator")
    eve = {"Authorization": f"Bearer {new.text.reveal()}"}
    path = f"/v1/runs/{run}/feedback"
    await api.ask("POST", path, body={"rating": 0}, role=None, headers=eve)
    assert (await api.ask("DELETE", f"{path}/{mine['id']}", role=None, headers=eve)).json["code"] == "forbidden"
    assert (await api.ask("DELETE", path, role=None, headers=eve)).json["count"] == 1
    assert (await api.ask("GET", path)).json["data"] == [mine]
    assert (await api.ask("DELETE", path, role="admin")).json["count"] == 1


async def test_of_two_who_change_what_they_said_one_is_told(api: Api) -> None:
    """Each of them read the same, and neither writes over what it has not seen."""
    run = await make_run(api)
    path = f"/v1/runs/{run}/feedback/{(await say(api, run, rating=1))['id']}"
    match = {"If-Match": (await api.ask("GET", path)).headers["ETag"]}
    answers = await asyncio.gather(
        *(api.ask("PUT", path, body={"rating": n / 10}, headers=match) for n in range(10)),
    )
    assert sorted(answer.status for answer in answers) == [200] + [412] * 9


async def test_feedback_is_listed_and_counted(api: Api) -> None:
    """Of a run, of a step, and of all, a page at a time. part of row C11"""
    run = await make_run(api)
    said = [await say(api, run, rating=number / 4, key="1/model" if number % 2 else "") for number in range(5)]
    found, cursor = list[dict[str, Any]](), ""
    while True:
        page = (await api.ask("GET", f"/v1/runs/{run}/feedback?limit=2{cursor}")).json
        found += page["data"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert found == said
    step = (await api.ask("GET", f"/v1/runs/{run}/feedback?key=1/model")).json["data"]
    assert [one["rating"] for one in step] == [0.25, 0.75]
    everything = (await api.ask("GET", "/v1/feedback?limit=200", role="viewer")).json["data"]
    assert [one for one in everything if one["run"] == run] == said
    summary = (await api.ask("GET", f"/v1/runs/{run}/feedback/summary")).json
    assert (summary["count"], summary["rated"], summary["rating"]) == (5, 5, 0.5)
    assert (await api.ask("DELETE", f"/v1/runs/{run}/feedback")).json["count"] == 5
    assert (await api.ask("GET", f"/v1/runs/{run}/feedback")).json["data"] == []


async def test_what_says_nothing_is_refused(api: Api) -> None:
    run = await make_run(api)
    for body, status in (
        ({}, 400), ({"rating": 2}, 400), ({"rating": "up"}, 400), ({"key": "9/model", "rating": 1}, 404),
        ({"comment": "x" * 16_385}, 400), ({"rating": 1, "principal": "somebody"}, 400),
        ({"rating": 1, "labels": {"x" * 65: "y"}}, 400),
    ):  # fmt: skip
        assert (await api.ask("POST", f"/v1/runs/{run}/feedback", body=body)).status == status, body
    for cursor in ("x" * 201, "%00", "..%2Fx"):
        assert (await api.ask("GET", f"/v1/feedback?cursor={cursor}")).status == 400
    assert (await api.ask("POST", f"/v1/runs/{run}/feedback", body={"rating": 1}, role="viewer")).status == 403


async def test_feedback_is_kept_once_under_one_key(api: Api) -> None:
    """part of row B11"""
    run = await make_run(api)
    options: dict[str, Any] = {"body": {"rating": 1}, "headers": {"Idempotency-Key": "said-1"}}
    answers = [await api.ask("POST", f"/v1/runs/{run}/feedback", **options) for _ in range(3)]
    assert len({answer.json["id"] for answer in answers}) == 1


async def test_another_tenants_feedback_is_not_there(api: Api) -> None:
    """part of row C12"""
    run = await make_run(api)
    said = await say(api, run, rating=1)
    for method, path in (
        ("POST", ""), ("GET", ""), ("GET", "/summary"), ("GET", f"/{said['id']}"), ("PUT", f"/{said['id']}"),
        ("DELETE", f"/{said['id']}"), ("DELETE", ""),
    ):  # fmt: skip
        body = {"rating": 0} if method in ("POST", "PUT") else None
        theirs = await api.ask(method, f"/v1/runs/{run}/feedback{path}", tenant="globex", body=body)
        nobodys = await api.ask(method, f"/v1/runs/run-{'0' * 32}/feedback{path}", tenant="globex", body=body)
        assert theirs.status == nobodys.status == 404, (method, path)
        same = [{**answer.json, "request_id": ""} for answer in (theirs, nobodys)]
        assert str(same[0]).replace(run, "ID") == str(same[1]).replace(f"run-{'0' * 32}", "ID")
    for cursor in ("", f"?cursor={run}/{said['id'][:-1]}", "?cursor=acme/x"):
        assert (await api.ask("GET", f"/v1/feedback{cursor}", tenant="globex")).json["data"] == []
    assert len((await api.ask("GET", f"/v1/runs/{run}/feedback")).json["data"]) == 1


async def test_feedback_is_audited(api: Api) -> None:
    run = await make_run(api)
    said = await say(api, run, rating=1)
    await api.ask("DELETE", f"/v1/runs/{run}/feedback/{said['id']}")
    rows = await api.runtime.for_tenant("acme").audit.read(limit=1000)
    assert [row.action for row in rows if row.object == f"run/{run}" and row.action.startswith("feedback")] == [
        "feedback.add",
        "feedback.delete",
    ]
