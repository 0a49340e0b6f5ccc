"""Are stored values read, changed and followed over HTTP by those who may, and by nobody else?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from tests.integration.server.conftest import PEPPER, Api, build_agents, serve
from tests.integration.server.shared import find_end, read_audit, wipe

from quorate.security.identity import Identity
from quorate.security.keys import KeyRing
from quorate.server.access import Doorkeeper
from quorate.server.streams import Seats

pytestmark = pytest.mark.asyncio(loop_scope="module")
PATIENCE_S = 60
VALUES = "/v1/state/tenant/values"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    tmp_path = tmp_path_factory.mktemp("state")
    async with serve(tmp_path / "quorate.db", *build_agents()) as api:
        yield api


@pytest_asyncio.fixture(loop_scope="module")
async def api(served: Api) -> AsyncIterator[Api]:
    await wipe(served)
    yield served


async def put(api: Api, path: str, value: object, **options: Any) -> Any:
    return await api.ask("PUT", path, body={"value": value}, **options)


async def until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():
            await asyncio.sleep(0.02)


async def test_a_value_is_stored_read_and_forgotten(api: Api) -> None:
    """Its tag is its revision; what is there already is told from what is new, and all of it noted. part of row E5"""
    end = await find_end(api)
    made = await put(api, f"{VALUES}/cart/items", ["tea"])
    assert (made.status, made.json["value"], made.json["scope"]) == (201, ["tea"], "tenant")
    assert made.headers["ETag"] == f'"r{made.json["revision"]}"'
    read = await api.ask("GET", f"{VALUES}/cart/items")
    assert (read.json, read.headers["ETag"]) == (made.json, made.headers["ETag"])
    seen = {"If-None-Match": read.headers["ETag"]}
    assert (await api.ask("GET", f"{VALUES}/cart/items", headers=seen)).status == 304
    again = await put(api, f"{VALUES}/cart/items", None)
    assert (again.status, again.json["value"]) == (200, None)
    assert (await api.ask("GET", f"{VALUES}/cart/items", headers=seen)).json["value"] is None
    assert (await api.ask("DELETE", f"{VALUES}/cart/items")).status == 204
    assert (await api.ask("DELETE", f"{VALUES}/cart/items")).status == 404
    assert (await api.ask("GET", f"{VALUES}/cart/items")).json["code"] == "not_found"
    rows = await read_audit(api, end, "state")
    assert [(row.action, row.outcome, row.object) for row in rows] == [
        ("state.set", "done", "state/tenant/cart/items"),
        ("state.set", "done", "state/tenant/cart/items"),
        ("state.delete", "done", "state/tenant/cart/items"),
        ("state.delete", "refused", "state/tenant/cart/items"),
    ]


async def test_nobody_writes_over_what_they_have_not_seen(api: Api) -> None:
    """part of rows E5 and C11"""
    place = f"{VALUES}/rate"
    assert (await put(api, place, 0, headers={"If-Match": '"r1"'})).status == 412
    assert (await put(api, place, 0, headers={"If-Match": "*"})).status == 412
    first = await put(api, place, 1, headers={"If-None-Match": "*"})
    assert first.status == 201
    assert (await put(api, place, 2, headers={"If-None-Match": "*"})).status == 412
    assert (await put(api, place, 2, headers={"If-Match": "*"})).status == 200
    late = {"If-Match": first.headers["ETag"]}
    for answer in (await put(api, place, 3, headers=late), await api.ask("DELETE", place, headers=late)):
        assert (answer.status, answer.json["code"]) == (412, "conflict")
    assert (await put(api, place, 3, headers={"If-Match": "r1"})).status == 400
    news = [put(api, f"{VALUES}/new", number, headers={"If-None-Match": "*"}) for number in range(10)]
    assert sorted(answer.status for answer in await asyncio.gather(*news)) == [201] + [412] * 9
    assert (await api.ask("GET", place)).json["value"] == 2


async def test_a_hundred_increments_are_a_hundred(api: Api) -> None:
    """Each goes from the revision that it read, and is told where somebody was quicker. part of row E5"""
    place = f"{VALUES}/count"
    await put(api, place, 0)

    async def increment() -> None:
        while True:
            read = await api.ask("GET", place)
            answer = await put(api, place, read.json["value"] + 1, headers={"If-Match": read.headers["ETag"]})
            if answer.status == 200:
                return
            assert (answer.status, answer.json["code"]) == (412, "conflict")

    async with asyncio.timeout(PATIENCE_S * 2), asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(repeat(increment, 25))
    assert (await api.ask("GET", place)).json["value"] == 100


async def repeat(work: Any, times: int) -> None:
    for _ in range(times):
        await work()


async def test_a_value_is_for_those_who_share_it(api: Api) -> None:
    """By scope, role and tenant: what may be read, and what may be changed. part of row E5"""
    await api.ask("POST", "/v1/sessions", body={"id": "mine"})
    await api.ask("POST", "/v1/sessions", body={"id": "ours", "shared_with": ["bob"]})
    run = (await api.ask("POST", "/v1/runs?wait=30", body={"task": "x", "agent": "net"})).json["id"]
    bob = (await api.keys.create(tenant="acme", principal="bob", role="operator")).text.reveal()
    as_bob = {"role": None, "headers": {"Authorization": f"Bearer {bob}"}}
    as_admin, stranger = {"role": "admin"}, {"role": "admin", "tenant": "globex"}
    reads = {200: "may", 201: "may", 404: "absent", 403: "may not"}
    for place, query, expected in (
        ("user", "", ("absent", "may", "may", "absent")),
        ("user", "?id=operator-acme", ("absent", "absent", "may", "absent")),
        ("session", "?id=mine", ("absent", "absent", "may", "absent")),
        ("session", "?id=ours", ("may", "may", "may", "absent")),
        ("agent", "?id=net", ("may", "may", "may", "absent")),
        ("workflow", "?id=w", ("may", "may", "may", "absent")),
        ("tenant", "", ("may", "may", "may", "absent")),
        ("run", f"?id={run}", ("may", "may not", "may", "absent")),
        ("global", "", ("absent", "may not", "may not", "absent")),
    ):  # fmt: skip
        path = f"/v1/state/{place}/values/x{query}"
        if place != "global":
            assert (await put(api, path, 1)).status in (200, 201), path
        read_by_bob, changed_by_bob, changed_by_admin, read_elsewhere = expected
        assert reads[(await api.ask("GET", path, **as_bob)).status] == read_by_bob, path
        for who, wanted in ((as_bob, changed_by_bob), (as_admin, changed_by_admin)):
            assert reads[(await put(api, path, 2, **who)).status] == wanted, (path, who)
        assert reads[(await api.ask("GET", path, **stranger)).status] == read_elsewhere, path
    assert (await api.ask("GET", "/v1/state/user/values/x")).json["value"] == 2  # an admin's


async def test_what_everybody_shares_is_the_operators(tmp_path: Path) -> None:
    """part of row E5"""
    who = Identity(tenant="ops", principal="root", role="admin", platform=True)
    door = Doorkeeper(KeyRing(_Nothing(), pepper=PEPPER), anybody=who)  # type: ignore[arg-type]
    async with serve(tmp_path / "quorate.db", *build_agents(), doorkeeper=door) as api:
        assert (await put(api, "/v1/state/global/values/rate", 5, role=None)).status == 201
        entry = (await api.ask("GET", "/v1/state/global/values/rate", role=None)).json
        assert (entry["value"], entry["scope"], "id" in entry) == (5, "global", False)
        assert (await api.ask("DELETE", "/v1/state/global/values/rate", role=None)).status == 204


class _Nothing:
    async def get(self, key: str) -> None:
        return None


async def test_a_value_goes_when_its_time_is_over(api: Api) -> None:
    """part of row E5"""
    made = await api.ask("PUT", f"{VALUES}/brief", body={"value": 1, "ttl_s": 0.2})
    assert made.json["expires"] is not None

    async def is_gone() -> bool:
        return (await api.ask("GET", f"{VALUES}/brief")).status == 404

    await until(is_gone)


async def test_what_cannot_be_stored_is_refused(api: Api) -> None:
    """Nothing of it is stored, and no secret is told again. part of rows E5 and C11"""
    for body, status in (
        ({"value": {"password": "hunter2-hunter2"}}, 400), ({"value": "sk-ant-api03-" + "A1b2" * 24}, 400),
        ({"value": "x" * 300_000}, 413), ({"value": "x" * (1 << 20)}, 413), ({"value": 1 << 70}, 400), ({}, 400),
        ({"value": 1, "ttl_s": 0}, 400), ({"value": 1, "tenant": "globex"}, 400), ([1], 400),
        ({"value": json.loads("[" * 40 + "]" * 40)}, 400),
    ):  # fmt: skip
        answer = await api.ask("PUT", f"{VALUES}/x", body=body)
        assert answer.status == status, (str(body)[:80], answer.data)
        assert b"hunter2" not in answer.data
        assert b"sk-ant" not in answer.data
    for raw in (b'{"value": NaN}', b'{"value": 1, "value": 2}', b'{"value": 1e999}', b'{"value": "\xff"}'):
        answer = await api.ask("PUT", f"{VALUES}/x", data=raw, headers={"Content-Type": "application/json"})
        assert answer.status == 400, raw
    for name in ("..", "a/../b", "a%2F..%2Fb", "%00", "~x", "a%20b", "x" * 129, "sk-ant-api03-" + "A1b2" * 24):
        assert (await put(api, f"{VALUES}/{name}", 1)).status in (400, 404), name
    for path in ("/v1/state/nowhere/values", "/v1/state/session/values", "/v1/state/tenant/values?id=x",
                 "/v1/state/user/values?prefix=..%2F", "/v1/state/tenant/values?cursor=%00",
                 "/v1/state/user/values?id=%00"):  # fmt: skip
        assert (await api.ask("GET", path, role="admin")).status == 400, path
    assert (await api.ask("GET", VALUES)).json["data"] == []


async def test_values_and_their_owners_are_listed_in_pages(api: Api) -> None:
    """part of row C11"""
    names = [f"n/{number}" for number in range(7)]
    for name in (*names, "other"):
        await put(api, f"{VALUES}/{name}", name)
    found, cursor = list[str](), ""
    while True:
        page = (await api.ask("GET", f"{VALUES}?prefix=n/&limit=3{cursor}")).json
        found += [one["name"] for one in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert found == names
    for owner in ("ann", "bob@acme.com", "c"):
        await put(api, f"/v1/state/user/values/x?id={owner}", 1, role="admin")
    owners, cursor = list[str](), ""
    while True:
        page = (await api.ask("GET", f"/v1/state/user/owners?limit=1{cursor}", role="admin")).json
        owners += [one["id"] for one in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert owners == ["ann", "bob@acme.com", "c"]
    assert (await api.ask("GET", "/v1/state/user/owners")).status == 403


@asynccontextmanager
async def follow(api: Api, query: str = "", **headers: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """Follow the tenant's values; yield what is told from the moment on at which nothing is missed any more."""
    given = {"Accept": "text/event-stream", "Authorization": f"Bearer {await api.key()}", **headers}
    async with (
        asyncio.timeout(PATIENCE_S),
        api.http.get(f"{api.url}/v1/state/tenant/changes{query}", headers=given) as sent,
    ):
        assert sent.status == 200, await sent.text()
        assert await sent.content.readuntil(b"\n\n") == b": still there\n\n"
        yield read_frames(sent)


async def read_frames(sent: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    while not sent.content.at_eof():
        text = (await sent.content.readuntil(b"\n\n")).decode()
        if text and not text.startswith(":"):
            fields = dict(line.split(": ", 1) for line in text.strip().splitlines())
            yield {**json.loads(fields["data"]), "event": fields["event"], "last": fields.get("id")}


async def test_changes_are_told_as_they_happen(api: Api) -> None:
    """Who comes back behind the last one misses nothing that is still there. part of row E5"""
    await put(api, f"{VALUES}/before", 1)
    async with follow(api) as changes:
        await put(api, f"{VALUES}/a", {"n": 1})
        first = await anext(changes)
        assert (first["event"], first["name"], first["value"], first["is_deleted"]) == (
            "state.changed",
            "a",
            {"n": 1},
            False,
        )
        await api.ask("DELETE", f"{VALUES}/a")
        assert (await anext(changes))["is_deleted"] is True
    await put(api, f"{VALUES}/b", 2)
    async with follow(api, **{"Last-Event-ID": first["last"]}) as changes:
        assert (await anext(changes))["name"] == "b"
    async with follow(api, "?name=before&since=0") as changes:
        assert (await anext(changes))["name"] == "before"

    async def is_left() -> bool:
        return not api.listener.server_state.tasks

    await until(is_left)


async def test_following_is_bounded_and_ends_with_the_server(api: Api) -> None:
    """part of row B12"""
    api.server.routes.state.watches = Seats(1, what="watches")
    plain = await api.ask("GET", "/v1/state/tenant/changes")
    assert (plain.status, plain.json["code"]) == (406, "not_acceptable")
    stream = {"Accept": "text/event-stream"}
    assert (await api.ask("GET", "/v1/state/session/changes?id=none", headers=stream)).status == 404
    assert (await api.ask("GET", "/v1/state/tenant/changes?prefix=..", headers=stream)).status == 400
    async with follow(api) as changes:
        more = await api.ask("GET", "/v1/state/tenant/changes", headers=stream)
        assert (more.status, more.headers["Retry-After"]) == (429, "1")
        api.server.closing.set()
        assert [change async for change in changes] == []
