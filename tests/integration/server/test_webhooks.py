"""Can those be looked after over HTTP who are told of what happens, without giving their secrets away?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.integration.runtime.webhooks.receiver import Receiver, open_receiver
from tests.integration.server.conftest import Api, build_agents, serve

from quorate.runtime.webhooks import WebhookCourier, WebhookSink
from quorate.security.webhooks import verify_webhook
from quorate.settings import Settings
from quorate.settings.values import WebhookSettings

pytestmark = pytest.mark.asyncio(loop_scope="module")


class World:
    """A server, and somebody who receives."""

    def __init__(self, api: Api, receiver: Receiver) -> None:
        self.api = api
        self.receiver = receiver

    async def add(self, id: str, *, tenant: str = "acme", **facts: object) -> dict[str, Any]:
        body: dict[str, object] = {"id": id, "url": self.receiver.url, **facts}
        answer = await self.api.ask("POST", "/v1/webhooks", body=body, tenant=tenant)
        assert answer.status == 201, answer.data
        return dict(answer.json)

    async def tell(self) -> None:
        """Note deliveries of what happened, as a worker does."""
        store = self.api.runtime.store
        sink = WebhookSink(store, clock=self.api.runtime.clock)
        while notices := await store.outbox.pending():
            await sink.take(notices)
            await store.outbox.done([notice.id for notice in notices])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    settings = Settings(webhooks=WebhookSettings(enabled=True, allow=("loopback",)))
    folder = tmp_path_factory.mktemp("webhooks")
    async with (
        open_receiver() as receiver,
        serve(folder / "quorate.db", *build_agents(), settings=settings) as api,
    ):
        yield World(api, receiver)


async def test_a_secret_is_shown_once_and_signs(world: World) -> None:
    """When it is made, and nowhere again: not in lists, not in answers that are given again. part of row B14"""
    api, headers = world.api, {"Idempotency-Key": "hook-1"}
    body = {"id": "pager", "url": f"{world.receiver.url}?token=hidden", "events": ["run.failed", "run.*"]}
    added = await api.ask("POST", "/v1/webhooks", body=body, headers=headers)
    assert (added.status, added.headers["Location"]) == (201, "/v1/webhooks/pager")
    secret = added.json["secret"]
    assert secret.startswith("whsec_")
    again = await api.ask("POST", "/v1/webhooks", body=body, headers=headers)
    assert (again.status, again.json["secret"], again.json["webhook"]) == (201, None, added.json["webhook"])
    for path in ("/v1/webhooks", "/v1/webhooks/pager"):
        shown = await api.ask("GET", path, role="viewer")
        assert shown.status == 200
        assert b"whsec_" not in shown.data
        assert b"hidden" not in shown.data
    rotated = await api.ask("POST", "/v1/webhooks/pager/rotate", body={"overlap_s": 60})
    newer = rotated.json["secret"]
    assert newer != secret
    assert (await api.ask("GET", "/v1/webhooks/pager")).json["secrets"] == 2
    tried = await api.ask("POST", "/v1/webhooks/pager/test")
    assert (tried.json["taken"], tried.json["status"]) == (True, 200)
    received = world.receiver.got[-1]
    for one in (secret, newer):
        assert verify_webhook(received.headers, received.body, secrets=[one])
    assert b"whsec_" not in received.body
    rows = await api.runtime.for_tenant("acme").audit.read(limit=1000)
    assert not any("whsec_" in str(row) or "hidden" in str(row) for row in rows)


async def test_where_nothing_may_be_reached_is_refused(world: World) -> None:
    """Our own network is not asked for anybody outside. part of row B14"""
    for url, status in (
        ("http://169.254.169.254/latest/meta-data", 403), ("http://10.0.0.1/x", 403), ("https://[fd00::1]/x", 403),
        ("http://8.8.8.8/x", 403), ("ftp://example.com/x", 400), ("https://u:p@example.com/x", 400),
        ("file:///etc/passwd", 400), ("nonsense", 400), ("", 400),
    ):  # fmt: skip
        refused = await world.api.ask("POST", "/v1/webhooks", body={"url": url})
        assert refused.status == status, (url, refused.data)
        assert b"p@example" not in refused.data
    await world.add("spelled", url="https://2852039166/x")  # another spelling of 169.254.169.254
    tried = (await world.api.ask("POST", "/v1/webhooks/spelled/test")).json
    assert (tried["taken"], tried["reason"]) == (False, "has a URL that cannot be reached")
    await world.add("moved")
    moved = await world.api.ask("PATCH", "/v1/webhooks/moved", body={"url": "http://169.254.169.254/"})
    assert moved.status == 403
    wrongs: list[dict[str, object]] = [
        {"events": ["nonsense"]},
        {"events": []},
        {"agents": ["A b"]},
        {"description": "a\nb"},
        {"x": 1},
    ]
    for wrong in wrongs:
        body = {"url": world.receiver.url, **wrong}
        assert (await world.api.ask("POST", "/v1/webhooks", body=body)).status == 400, wrong


async def test_what_was_said_is_sent_where_an_admin_says(world: World) -> None:
    """It is what was said in all runs, also in sessions of others: nobody else sends it away, or elsewhere."""
    api, body = world.api, {"id": "said", "url": world.receiver.url, "content": True}
    refused = await api.ask("POST", "/v1/webhooks", body=body)
    assert (refused.status, refused.json["code"]) == (403, "forbidden")
    assert (await api.ask("POST", "/v1/webhooks", body=body, role="admin")).status == 201
    for change in ({"url": f"{world.receiver.url}/mine"}, {"content": False}):
        assert (await api.ask("PATCH", "/v1/webhooks/said", body=change)).status == 403
    assert (await api.ask("PATCH", "/v1/webhooks/said", body={"content": False}, role="admin")).status == 200
    assert (await api.ask("PATCH", "/v1/webhooks/said", body={"content": True})).status == 403


async def test_a_webhook_is_changed_by_who_read_it_last(world: World) -> None:
    """part of row C11"""
    await world.add("hook-a")
    path = "/v1/webhooks/hook-a"
    shown = await world.api.ask("GET", path)
    match = {"If-Match": shown.headers["ETag"]}
    changed = await world.api.ask(
        "PATCH", path, body={"events": ["run.failed"], "description": "For nights."}, headers=match
    )
    assert (changed.status, changed.json["events"], changed.json["description"]) == (200, ["run.failed"], "For nights.")
    for method, body in (("PATCH", {"content": True}), ("DELETE", None)):
        stale = await world.api.ask(method, path, body=body, headers=match)
        assert (stale.status, stale.json["code"]) == (412, "conflict")
    off = await world.api.ask("POST", f"{path}/disable")
    assert off.json["status"] == "off"
    assert (await world.api.ask("POST", f"{path}/redeliver", body={"dead": True})).status == 409
    on = await world.api.ask("POST", f"{path}/enable")
    assert on.json["status"] == "on"
    assert (await world.api.ask("POST", "/v1/webhooks", body={"id": "hook-a", "url": world.receiver.url})).status == 409
    assert (await world.api.ask("DELETE", path, headers={"If-Match": on.headers["ETag"]})).status == 204
    assert (await world.api.ask("GET", path)).status == 404


async def test_deliveries_are_listed_a_page_at_a_time_and_made_again(world: World) -> None:
    """Those that wait, and then those that were taken. part of row B14"""
    api = world.api
    await world.add("counter", tenant="initech", events=["run.completed"])
    runs = [
        (await api.ask("POST", "/v1/runs?wait=30", body={"task": "x", "agent": "net"}, tenant="initech")).json["id"]
        for _ in range(5)
    ]
    await world.tell()
    path = "/v1/webhooks/counter/deliveries"

    async def list_all(query: str = "") -> list[dict[str, Any]]:
        found, cursor = list[dict[str, Any]](), ""
        while True:
            page = (await api.ask("GET", f"{path}?limit=2{query}{cursor}", tenant="initech", role="viewer")).json
            found += page["data"]
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"

    waiting = await list_all()
    assert [(one["id"].partition("/")[0], one["status"]) for one in waiting] == [(run, "pending") for run in runs]
    courier = WebhookCourier(api.runtime)
    await courier.deliver_due()
    taken = await list_all()
    assert [(one["id"], one["status"], one["answered"]) for one in taken] == [
        (one["id"], "delivered", 200) for one in waiting
    ]
    for sought in (taken[0]["id"], taken[1]["message"]):
        again = await api.ask("POST", "/v1/webhooks/counter/redeliver", body={"delivery": sought}, tenant="initech")
        assert (again.status, again.json["deliveries"]) == (202, 1)
    both = await list_all()
    assert [one["status"] for one in both] == ["pending"] * 2 + ["delivered"] * 5
    assert [one["id"] for one in await list_all("&status=pending")] == [one["id"] for one in waiting[:2]]
    for body, status in (({}, 400), ({"delivery": "x/1", "dead": True}, 400), ({"delivery": "run-9/9"}, 404)):
        refused = await api.ask("POST", "/v1/webhooks/counter/redeliver", body=body, tenant="initech")
        assert refused.status == status, body
    assert (await api.ask("GET", f"{path}?cursor=nonsense", tenant="initech")).status == 400


async def test_another_tenants_webhook_is_not_there(world: World) -> None:
    """part of row C12"""
    await world.add("ours-hook")
    for method, path in (
        ("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/enable"), ("POST", "/disable"), ("POST", "/rotate"),
        ("POST", "/test"), ("GET", "/deliveries"), ("POST", "/redeliver"),
    ):  # fmt: skip
        body = {"dead": True} if path == "/redeliver" else {} if method == "PATCH" else None
        theirs = await world.api.ask(method, f"/v1/webhooks/ours-hook{path}", tenant="globex", body=body)
        nobodys = await world.api.ask(method, f"/v1/webhooks/none-hook{path}", tenant="globex", body=body)
        assert theirs.status == nobodys.status == 404, (method, path)
        same = [{**answer.json, "request_id": ""} for answer in (theirs, nobodys)]
        assert str(same[0]).replace("ours", "none") == str(same[1])
    assert (await world.api.ask("GET", "/v1/webhooks", tenant="globex")).json["data"] == []
    assert (await world.api.ask("GET", "/v1/webhooks/ours-hook")).json["secrets"] == 1
