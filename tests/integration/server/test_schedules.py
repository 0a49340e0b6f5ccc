"""Can work that comes again and again be looked after over HTTP?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.integration.server.conftest import Api, build_agents, serve

pytestmark = pytest.mark.asyncio(loop_scope="module")
HOURLY = {"task": "Is it up?", "agent": "net", "every_s": 3600}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    async with serve(tmp_path_factory.mktemp("schedules") / "quorate.db", *build_agents()) as api:
        yield api


async def add(api: Api, name: str, **terms: object) -> dict[str, Any]:
    answer = await api.ask("POST", "/v1/schedules", body={**HOURLY, "name": name, **terms})
    assert answer.status == 201, answer.data
    return dict(answer.json)


async def test_a_schedule_is_added_shown_and_forgotten(api: Api) -> None:
    """In the name of whoever adds it. part of row C11"""
    added = await api.ask(
        "POST",
        "/v1/schedules",
        body={**HOURLY, "name": "disks", "labels": {"team": "net"}, "late": {"overlap": "skip"}},
    )
    assert (added.status, added.headers["Location"]) == (201, "/v1/schedules/disks")
    one = added.json
    assert (one["status"], one["principal"], one["every_s"]) == ("active", "operator-acme", 3600)
    assert (one["labels"], one["late"]["overlap"], len(one["next"])) == ({"team": "net"}, "skip", 5)
    shown = await api.ask("GET", "/v1/schedules/disks?next=2", role="viewer")
    assert (shown.json["next"], shown.headers["ETag"]) == (one["next"][:2], added.headers["ETag"])
    assert (await api.ask("POST", "/v1/schedules", body={**HOURLY, "name": "disks"})).status == 409
    assert (await api.ask("DELETE", "/v1/schedules/disks")).status == 204
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume"), ("POST", "/run")):
        assert (await api.ask(method, f"/v1/schedules/disks{path}")).status == 404, path


async def test_a_cron_expression_is_kept(api: Api) -> None:
    pytest.importorskip("cronsim")
    terms = {"task": "x", "agent": "net", "cron": "30  6 * * MON-FRI", "zone": "Europe/Berlin"}
    added = await api.ask("POST", "/v1/schedules", body={**terms, "name": "mornings"})
    assert (added.json["cron"], added.json["zone"], "every_s" in added.json) == (
        "30 6 * * MON-FRI",
        "Europe/Berlin",
        False,
    )


async def test_what_was_changed_meanwhile_is_not_overwritten(api: Api) -> None:
    """Of two who read the same, the second one is told. part of row C11"""
    await add(api, "contested")
    path = "/v1/schedules/contested"
    tag = (await api.ask("GET", path)).headers["ETag"]
    match = {"If-Match": tag}
    answers = await asyncio.gather(
        *(api.ask("PUT", path, body={**HOURLY, "every_s": 60 + n}, headers=match) for n in range(8))
    )
    assert sorted(answer.status for answer in answers) == [200] + [412] * 7
    for method, way in (("PUT", ""), ("POST", "/pause"), ("POST", "/resume"), ("DELETE", "")):
        body = HOURLY if method == "PUT" else None
        stale = await api.ask(method, f"{path}{way}", body=body, headers=match)
        assert (stale.status, stale.json["code"]) == (412, "conflict"), way
    paused = await api.ask("POST", f"{path}/pause", headers={"If-Match": (await api.ask("GET", path)).headers["ETag"]})
    assert (paused.status, paused.json["status"], "next" in paused.json) == (200, "paused", False)
    resumed = await api.ask("POST", f"{path}/resume", headers={"If-Match": "*"})
    assert (resumed.status, resumed.json["status"]) == (200, "active")
    there = await api.ask("PUT", path, body=HOURLY, headers={"If-None-Match": "*"})
    assert there.status == 412
    new = await api.ask("PUT", "/v1/schedules/fresh", body=HOURLY, headers={"If-None-Match": "*"})
    assert (new.status, new.json["name"]) == (200, "fresh")
    absent = await api.ask("PUT", "/v1/schedules/absent", body=HOURLY, headers={"If-Match": "*"})
    assert absent.status == 412


async def test_it_is_done_now_on_demand(api: Api) -> None:
    """In the name of whoever asks; under one key once."""
    await add(api, "pulse", labels={"team": "net"})
    headers = {"Idempotency-Key": "pulse-1"}
    begun = [await api.ask("POST", "/v1/schedules/pulse/run", role="admin", headers=headers) for _ in range(2)]
    assert [answer.status for answer in begun] == [202, 202]
    run = begun[0].json["id"]
    assert begun[1].json["id"] == run
    assert begun[0].headers["Location"] == f"/v1/runs/{run}"
    runtime = api.runtime.for_tenant("acme")
    assert (await (await runtime.attach(run)).wait()).output == "Port 8080 is closed."
    assert (await runtime.show(run)).principal == "admin-acme"
    assert (await api.ask("GET", f"/v1/runs/{run}")).json["labels"] == {"team": "net", "schedule": "pulse"}


async def test_schedules_are_listed_a_page_at_a_time(api: Api) -> None:
    """part of row C11"""
    names = [f"list-{number}" for number in range(5)]
    for name in names:
        await add(api, name)
    found, cursor = list[str](), ""
    while True:
        page = (await api.ask("GET", f"/v1/schedules?limit=2{cursor}", role="viewer")).json
        found += [one["name"] for one in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert [name for name in found if name.startswith("list-")] == names
    assert found == sorted(set(found))
    assert (await api.ask("GET", "/v1/schedules?cursor=..%2Fx")).status == 400


async def test_one_that_does_not_read_hides_no_other(api: Api) -> None:
    """It is told by its name why, and can be replaced and forgotten."""
    await add(api, "zz-broken")
    await add(api, "zz-sound")
    await api.runtime.store.values.put("schedule/acme/zz-broken", b"not one")
    page = (await api.ask("GET", "/v1/schedules?cursor=zz-a&limit=1")).json
    assert (page["data"], page["next_cursor"]) == ([], "zz-broken")
    page = (await api.ask("GET", "/v1/schedules?cursor=zz-broken&limit=1")).json
    assert [one["name"] for one in page["data"]] == ["zz-sound"]
    broken = await api.ask("GET", "/v1/schedules/zz-broken")
    assert (broken.status, broken.json["code"]) == (500, "corrupt_state")
    assert (await api.ask("PUT", "/v1/schedules/zz-broken", body=HOURLY)).status == 200
    await api.runtime.store.values.put("schedule/acme/zz-broken", b"not one")
    assert (await api.ask("DELETE", "/v1/schedules/zz-broken")).status == 204


@pytest.mark.parametrize(
    "terms",
    [
        {"every_s": None}, {"cron": "0 0 30 2 *"}, {"cron": "* * * * *"}, {"zone": "Europe/Berlin"}, {"every_s": 0},
        {"agent": "nobody"}, {"task": ""}, {"task": "make me a sandwich", "agent": None}, {"start": 2e9, "end": 1e9},
        {"late": {"most": 0}}, {"labels": {"schedule": "x"}}, {"principal": "somebody"}, {"end": 1.0},
        {"late": {"jitter_s": 1e9}}, {"limits": {"cost_usd": -1}}, {"name": "Disks"}, {"name": "a/b"},
    ],
)  # fmt: skip
async def test_what_cannot_be_kept_is_refused(api: Api, terms: dict[str, object]) -> None:
    """part of row C11"""
    refused = await api.ask("POST", "/v1/schedules", body={**HOURLY, "name": "wrong", **terms})
    assert (refused.status, refused.json["code"]) == (400, "invalid_input"), refused.data
    assert (await api.ask("GET", "/v1/schedules/wrong")).status == 404


async def test_another_tenants_schedule_is_not_there(api: Api) -> None:
    """part of row C12"""
    await add(api, "secret-work")
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume"), ("POST", "/run")):
        theirs = await api.ask(method, f"/v1/schedules/secret-work{path}", tenant="globex")
        nobodys = await api.ask(method, f"/v1/schedules/nobody-work{path}", tenant="globex")
        assert theirs.status == nobodys.status == 404
        same = [{**answer.json, "request_id": ""} for answer in (theirs, nobodys)]
        assert str(same[0]).replace("secret", "nobody") == str(same[1])
    assert (await api.ask("GET", "/v1/schedules", tenant="globex")).json["data"] == []
    mine = await api.ask("PUT", "/v1/schedules/secret-work", tenant="globex", body=HOURLY)
    assert mine.json["principal"] == "operator-globex"
    assert (await api.ask("GET", "/v1/schedules/secret-work")).json["principal"] == "operator-acme"
