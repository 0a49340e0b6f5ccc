"""Can runs be begun, watched and stopped over HTTP, by those who may and by nobody else?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.integration.server.conftest import Api, build_agents, serve
from tests.integration.server.shared import wipe

pytestmark = pytest.mark.asyncio(loop_scope="module")
SSE = {"Accept": "text/event-stream"}
TASK = {"task": "Is it up?", "agent": "net"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    async with serve(tmp_path_factory.mktemp("runs") / "quorate.db", *build_agents()) as api:
        yield api


@pytest_asyncio.fixture(loop_scope="module")
async def api(served: Api) -> AsyncIterator[Api]:
    await wipe(served)
    yield served


async def read_frames(
    api: Api, path: str, *, headers: dict[str, str] | None = None, **options: Any
) -> list[dict[str, str]]:
    """Read a stream to its end: the fields of each frame."""
    return [frame async for frame in follow(api, path, headers=headers, **options)]


async def follow(
    api: Api, path: str, *, method: str = "GET", headers: dict[str, str] | None = None, **options: Any
) -> AsyncIterator[dict[str, str]]:
    known = {"Authorization": f"Bearer {await api.key()}", **SSE, **(headers or {})}
    async with api.http.request(method, f"{api.url}{path}", headers=known, **options) as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/event-stream")
        frame: dict[str, str] = {}
        async for line in response.content:
            text = line.decode().rstrip("\n")
            if not text:
                if frame:
                    yield frame
                frame = {}
            else:
                name, _, value = text.partition(": ")
                frame[name] = value


async def begin(api: Api, **body: object) -> str:
    answer = await api.ask("POST", "/v1/runs", body={**TASK, **body})
    assert answer.status == 202, answer.data
    return str(answer.json["id"])


async def end(api: Api, run: str) -> dict[str, Any]:
    await read_frames(api, f"/v1/runs/{run}/events")
    return (await api.ask("GET", f"/v1/runs/{run}")).json


async def test_a_run_is_begun_and_read(api: Api) -> None:
    """At once, by waiting, and with its place in `Location`. part of row C11"""
    accepted = await api.ask("POST", "/v1/runs", body=TASK)
    assert accepted.status == 202
    run = accepted.json["id"]
    assert accepted.headers["Location"] == f"/v1/runs/{run}"
    assert (await end(api, run))["output"] == "Port 8080 is closed."
    waited = await api.ask("POST", "/v1/runs?wait=30", body=TASK)
    assert (waited.status, waited.json["status"], waited.json["output"]) == (200, "completed", "Port 8080 is closed.")


async def test_waiting_ends_with_its_time(api: Api) -> None:
    waited = await api.ask("POST", "/v1/runs?wait=0.05", body={"task": "x", "agent": "slow"})
    assert waited.status == 202
    assert waited.json["status"] in ("queued", "running")
    assert (await api.ask("POST", f"/v1/runs/{waited.json['id']}/cancel")).status == 202
    await read_frames(api, f"/v1/runs/{waited.json['id']}/events")
    assert (await api.ask("POST", "/v1/runs?wait=61", body=TASK)).status == 400


async def test_a_run_is_streamed_with_its_text(api: Api) -> None:
    """Events bear their place; text does not. part of row B12"""
    frames = await read_frames(api, "/v1/runs", method="POST", json=TASK)
    events = [frame for frame in frames if "id" in frame]
    assert [frame["id"] for frame in events] == [str(place) for place in range(1, len(events) + 1)]
    assert [frame["event"] for frame in events][-1] == "run.completed"
    assert any(frame["event"] == "text.delta" for frame in frames)


async def test_whoever_comes_back_misses_nothing_and_sees_nothing_twice(api: Api) -> None:
    """With `Last-Event-ID`, at every place. row: B12"""
    run = await begin(api)
    # Whoever comes while it is under way hears its text too, which has no place.
    everything = [frame for frame in await read_frames(api, f"/v1/runs/{run}/events") if "id" in frame]
    assert len(everything) == 5
    for place in range(5):
        later = await read_frames(api, f"/v1/runs/{run}/events", headers={"Last-Event-ID": str(place)})
        assert later == everything[place:]


@pytest.mark.parametrize(
    ("agent", "last"), [("net", "run.completed"), ("broken", "run.failed"), ("payer", "run.waiting")]
)
async def test_a_stream_ends_however_the_run_does(api: Api, agent: str, last: str) -> None:
    """part of row B12"""
    frames = await read_frames(api, "/v1/runs", method="POST", json={"task": "x", "agent": agent})
    assert frames[-1]["event"] == last


async def test_a_stream_ends_when_its_run_is_stopped(api: Api) -> None:
    """part of row B12"""
    run = await begin(api, agent="slow")
    kinds = list[str]()
    async for frame in follow(api, f"/v1/runs/{run}/events"):
        kinds.append(frame["event"])
        if frame["event"] == "tool.started":
            stopped = await api.ask("POST", f"/v1/runs/{run}/cancel", body={"reason": "enough"})
            assert stopped.status == 202
    assert kinds[-1] == "run.cancelled"
    shown = (await api.ask("GET", f"/v1/runs/{run}")).json
    assert (shown["status"], shown["error"]) == ("cancelled", {"code": "cancelled", "message": "enough"})
    again = await api.ask("POST", f"/v1/runs/{run}/cancel")
    assert (again.status, again.json["code"]) == (409, "conflict")


async def test_the_same_key_is_the_same_run(api: Api) -> None:
    """Fifty at once are one run; the same key with another body is a conflict. row: B11"""
    headers = {"Idempotency-Key": "order-7"}
    answers = await asyncio.gather(*(api.ask("POST", "/v1/runs", body=TASK, headers=headers) for _ in range(50)))
    assert len({answer.json["id"] for answer in answers}) == 1
    other = await api.ask("POST", "/v1/runs", body={**TASK, "task": "Another one."}, headers=headers)
    assert (other.status, other.json["code"]) == (409, "conflict")


async def test_lists_are_filtered_and_paged(api: Api) -> None:
    """part of row C11"""
    runs = [await begin(api) for _ in range(5)]
    await asyncio.gather(*(end(api, run) for run in runs))
    await api.ask("POST", "/v1/runs?wait=30", body={"task": "x", "agent": "broken"})
    found, cursor = list[str](), ""
    while True:
        page = (await api.ask("GET", f"/v1/runs?status=completed&order=oldest&limit=2{cursor}")).json
        found += [run["id"] for run in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert found == runs
    failed = (await api.ask("GET", "/v1/runs?agent=broken")).json["data"]
    assert [run["status"] for run in failed] == ["failed"]
    for wrong in ("limit=0", "limit=1000", "status=gone", "order=random"):
        assert (await api.ask("GET", f"/v1/runs?{wrong}")).json["code"] == "invalid_input"


async def test_another_tenants_run_is_not_there(api: Api) -> None:
    """The same in every byte but the ids, whatever is asked of it. row: C12"""
    run = await begin(api)
    ways = [("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/resume")]
    for method, path in ways:
        theirs = await api.ask(method, f"/v1/runs/{run}{path}", tenant="globex")
        nobodys = await api.ask(method, f"/v1/runs/run-{'0' * 32}{path}", tenant="globex")
        for answer in (theirs, nobodys):
            answer.json.pop("request_id")
        assert theirs.status == nobodys.status == 404
        same = [{**answer.json, "request_id": ""} for answer in (theirs, nobodys)]
        assert str(same[0]).replace(run, "ID") == str(same[1]).replace(f"run-{'0' * 32}", "ID")
    assert (await api.ask("GET", "/v1/runs", tenant="globex")).json["data"] == []


async def test_who_may_not_is_refused(api: Api) -> None:
    """By role, by scope, and without a key. part of rows B11 and C12"""
    run = await begin(api)
    assert (await api.ask("GET", f"/v1/runs/{run}", role="viewer")).status == 200
    refused = await api.ask("POST", "/v1/runs", body=TASK, role="viewer")
    assert (refused.status, refused.json["code"]) == (403, "forbidden")
    assert (await api.ask("POST", f"/v1/runs/{run}/cancel", role="viewer")).status == 403
    narrow = await api.ask("GET", "/v1/runs", scopes=("state:*",))
    assert narrow.status == 403
    for headers in ({}, {"Authorization": "Bearer qk_nope"}, {"Authorization": "Basic YTpi"}, {"X-API-Key": "x"}):
        nobody = await api.ask("GET", "/v1/runs", role=None, headers=headers)
        assert (nobody.status, nobody.json["code"]) == (401, "unauthenticated")
        assert nobody.headers["WWW-Authenticate"].startswith("Bearer")


async def test_the_tenant_is_the_keys(api: Api) -> None:
    """No header, body or path says whose a request is. part of row C12"""
    headers = {"X-Tenant": "globex", "Quorate-Tenant": "globex"}
    answer = await api.ask("POST", "/v1/runs?tenant=globex&wait=30", body=TASK, headers=headers)
    summary = await api.runtime.for_tenant("acme").show(answer.json["id"])
    assert summary.tenant == "acme"
    assert (await api.ask("POST", "/v1/runs", body={**TASK, "tenant": "globex"})).status == 400
