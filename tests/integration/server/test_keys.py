"""Are keys made, shown, rotated and ended over HTTP as on the command line, and by nobody who may not?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from msgspec import structs
from tests.integration.server.conftest import Api, serve

from quorate.security.identity import Identity, Need
from quorate.server.idempotency import BROKEN_S, Attempt
from quorate.settings import Settings
from quorate.settings.values import ServerSettings

pytestmark = pytest.mark.asyncio(loop_scope="module")
MADE = {"role": "viewer", "scopes": ["runs:read"], "principal": "watcher", "name": "the wall", "lasts_s": 60}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    async with serve(tmp_path_factory.mktemp("keys") / "quorate.db") as api:
        yield api


async def test_a_key_is_shown_once_and_works(api: Api) -> None:
    """Made, used, listed, shown, replaced and ended: its text is in one answer, and nowhere after. row: B11"""
    made = await api.ask("POST", "/v1/keys", role="admin", body={**MADE, "principal": "once"})
    assert made.status == 201
    text, key_id = made.json["text"], made.json["id"]
    assert made.headers["Location"] == f"/v1/keys/{key_id}"
    assert made.json["by"] == "admin-acme"
    assert made.json["state"] == "good"
    bearer = {"Authorization": f"Bearer {text}"}
    assert (await api.ask("GET", "/v1/runs", role=None, headers=bearer)).status == 200
    assert (await api.ask("GET", "/v1/keys", role=None, headers=bearer)).status == 403
    shown = await api.ask("GET", f"/v1/keys/{key_id}", role="viewer")
    assert shown.json["principal"] == "once"
    assert shown.json["scopes"] == ["runs:read"]
    listed = await api.ask("GET", "/v1/keys?principal=once&role=viewer&state=good", role="viewer")
    assert [one["id"] for one in listed.json["data"]] == [key_id]
    new = await api.ask("POST", f"/v1/keys/{key_id}/rotate", role="admin", body={"overlap_s": 0})
    assert new.status == 201
    assert new.json["replaces"] == key_id
    assert new.json["role"] == "viewer"
    assert (await api.ask("GET", "/v1/runs", role=None, headers=bearer)).status == 401
    bearer = {"Authorization": f"Bearer {new.json['text']}"}
    assert (await api.ask("GET", "/v1/runs", role=None, headers=bearer)).status == 200
    ended = await api.ask("DELETE", f"/v1/keys/{new.json['id']}", role="admin")
    assert ended.status == 200
    assert ended.json["state"] == "revoked"
    assert (await api.ask("GET", "/v1/runs", role=None, headers=bearer)).status == 401
    again = await api.ask("POST", f"/v1/keys/{key_id}/rotate", role="admin")
    assert again.status == 409
    for answer in (shown, listed, ended):
        assert b"text" not in answer.data
        assert text.encode() not in answer.data
        assert b"digest" not in answer.data
    rows = await api.runtime.for_tenant("acme").audit.read_last(limit=4)
    assert [row.action for row in rows] == ["key.create", "key.rotate", "key.revoke", "key.rotate"]
    assert [row.outcome for row in rows] == ["done", "done", "done", "refused"]
    assert {row.principal for row in rows} == {"admin-acme"}
    assert not any(secret in str(row) for row in rows for secret in (text, new.json["text"]))


async def test_nobody_gives_out_more_rights_than_they_have(api: Api) -> None:
    """Neither by a higher role, nor by wider scopes, nor by replacing a key that may do more. part of row B11"""
    full = (await api.ask("POST", "/v1/keys", role="admin", body={"role": "admin"})).json["id"]
    reader = ("keys:*", "runs:read")
    for body in (
        {"role": "admin"}, {"role": "viewer"}, {"role": "operator", "scopes": ["runs:*"]},
        {"role": "operator", "scopes": ["*:read"]}, {"role": "admin", "scopes": ["keys:*", "costs:read"]},
    ):  # fmt: skip
        refused = await api.ask("POST", "/v1/keys", role="admin", scopes=reader, body=body)
        assert refused.status == 403, body
    assert (await api.ask("POST", f"/v1/keys/{full}/rotate", role="admin", scopes=reader)).status == 403
    for body in ({"role": "admin", "scopes": ["keys:*"]}, {"role": "viewer", "scopes": ["runs:*", "keys:read"]}):
        given = await api.ask("POST", "/v1/keys", role="admin", scopes=reader, body=body)
        assert given.status == 201, body
        may = Identity(tenant="acme", principal="x", role=given.json["role"], scopes=tuple(given.json["scopes"]))
        assert not may.may(Need("runs", "write"))
    assert (await api.ask("POST", "/v1/keys", role="operator", body={"role": "viewer"})).status == 403
    listed = (await api.ask("GET", "/v1/keys", role="admin")).json["data"]
    assert sum(key["role"] == "admin" and not key["scopes"] for key in listed) == 2  # the caller's own, and `full`


async def test_another_tenant_finds_no_key(api: Api) -> None:
    """part of row C12"""
    key_id = (await api.ask("POST", "/v1/keys", role="admin", body=MADE)).json["id"]
    absent = "0" * 16
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/rotate")):
        there = await api.ask(method, f"/v1/keys/{key_id}{path}", role="admin", tenant="globex")
        nowhere = await api.ask(method, f"/v1/keys/{absent}{path}", role="admin", tenant="globex")
        assert there.status == nowhere.status == 404
        assert there.json["detail"].replace(key_id, "") == nowhere.json["detail"].replace(absent, "")
    assert (await api.ask("GET", f"/v1/keys/{key_id}", role="admin")).json["state"] == "good"
    assert key_id not in str((await api.ask("GET", "/v1/keys", role="admin", tenant="globex")).json)


async def test_keys_are_listed_page_by_page(api: Api) -> None:
    """part of row C11"""
    for _ in range(5):
        await api.ask("POST", "/v1/keys", role="admin", body={**MADE, "principal": "many"})
    whole = [one["id"] for one in (await api.ask("GET", "/v1/keys?principal=many", role="admin")).json["data"]]
    assert len(whole) == 5
    seen, cursor = list[str](), ""
    while True:
        page = (await api.ask("GET", f"/v1/keys?principal=many&limit=2{cursor}", role="admin")).json
        seen += [one["id"] for one in page["data"]]
        if "next_cursor" not in page or page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == whole


async def test_a_key_is_made_once_for_one_idempotency_key(api: Api) -> None:
    """Twenty at once, then one more, then another request, another tenant and a refusal. part of row B11"""
    once = {"Idempotency-Key": "one-key"}
    asked = [api.ask("POST", "/v1/keys", role="admin", body=MADE, headers=once) for _ in range(20)]
    answers = await asyncio.gather(*asked)
    answers.append(await api.ask("POST", "/v1/keys", role="admin", body=dict(reversed(MADE.items())), headers=once))
    assert {answer.status for answer in answers} == {201}
    assert len({answer.json["id"] for answer in answers}) == 1
    first = [answer for answer in answers if "text" in answer.json]
    assert len(first) == 1
    assert "Idempotent-Replayed" not in first[0].headers
    assert sum(answer.headers.get("Idempotent-Replayed") == "true" for answer in answers) == 20
    assert {answer.headers["Location"] for answer in answers} == {first[0].headers["Location"]}
    entries = await api.runtime.store.values.scan("http/once/")
    assert len(entries) == 1
    assert first[0].json["text"].encode() not in entries[0].value
    other = await api.ask("POST", "/v1/keys", role="admin", body={**MADE, "name": "b"}, headers=once)
    assert other.status == 409
    assert other.json["code"] == "conflict"
    elsewhere = await api.ask("POST", "/v1/keys", role="admin", tenant="globex", body=MADE, headers=once)
    assert elsewhere.status == 201
    assert elsewhere.json["id"] != first[0].json["id"]
    again = {"Idempotency-Key": "again"}
    refused = await api.ask("POST", "/v1/keys", role="admin", body={"scopes": ["nothing:read"]}, headers=again)
    assert refused.status == 400  # and is not kept
    assert (await api.ask("POST", "/v1/keys", role="admin", body=MADE, headers=again)).status == 201


async def test_what_broke_off_is_not_done_again(api: Api) -> None:
    """Where nobody knows whether a request was done, the next one is told so, and looks. part of row B11"""
    once = {"Idempotency-Key": "broken"}
    body = {**MADE, "principal": "broken"}
    made = await api.ask("POST", "/v1/keys", role="admin", body=body, headers=once)
    values = api.runtime.store.values
    for entry in await values.scan("http/once/"):
        attempt = msgspec.json.decode(entry.value, type=Attempt)
        if attempt.headers.get("Location") == made.headers["Location"]:
            cut = structs.replace(attempt, status=0, begun=attempt.begun - 2 * BROKEN_S)
            await values.put(entry.key, msgspec.json.encode(cut))
    again = await api.ask("POST", "/v1/keys", role="admin", body=body, headers=once)
    assert again.status == 409
    assert "broke off" in again.json["detail"]
    assert len((await api.ask("GET", "/v1/keys?principal=broken", role="admin")).json["data"]) == 1


async def test_what_was_changed_since_it_was_read_is_not_changed(api: Api) -> None:
    """ETags of a key: they stay while it is used, and change when it is. part of row C11"""
    key_id = (await api.ask("POST", "/v1/keys", role="admin", body=MADE)).json["id"]
    path = f"/v1/keys/{key_id}"
    etag = (await api.ask("GET", path, role="admin")).headers["ETag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        same = await api.ask("GET", path, role="admin", headers={"If-None-Match": known})
        assert (same.status, same.data, same.headers["ETag"]) == (304, b"", etag), known
    assert (await api.ask("GET", path, role="admin", headers={"If-None-Match": '"other"'})).status == 200
    assert (await api.ask("GET", path, role="admin", headers={"If-None-Match": "other"})).status == 400
    assert (
        await api.ask("POST", f"{path}/rotate", role="admin", body={"overlap_s": 9}, headers={"If-Match": etag})
    ).status == 201
    for known in (etag, f"W/{etag}", '"other"'):
        stale = await api.ask("DELETE", path, role="admin", headers={"If-Match": known})
        assert (stale.status, stale.json["code"]) == (412, "conflict"), known
    fresh = (await api.ask("GET", path, role="admin")).headers["ETag"]
    assert (await api.ask("DELETE", path, role="admin", headers={"If-Match": fresh})).status == 200


async def test_whoever_may_do_nothing_about_all_tenants_gives_nobody_that(tmp_path: Path) -> None:
    """Somebody of the operator's own tenant whom an identity provider signed for, neither by a new key nor an old one."""

    class Signed:
        async def verify(self, text: str) -> Identity:
            return Identity(tenant="acme", principal="ada", role="admin", credential="signed")

    settings = Settings(server=ServerSettings(operator_tenant="acme"))
    async with serve(tmp_path / "quorate.db", settings=settings) as api:
        api.server.routes.state.doorkeeper._tokens = Signed()
        old = await api.keys.create(tenant="acme", principal="root", role="admin")
        bearer = {"Authorization": "Bearer signed"}
        for path, body in (("/v1/keys", {"role": "admin"}), (f"/v1/keys/{old.key.id}/rotate", {"overlap_s": 0})):
            refused = await api.ask("POST", path, role=None, headers=bearer, body=body)
            assert (refused.status, refused.json["code"]) == (403, "forbidden")
            assert "of the platform" in refused.json["detail"]
        bearer = {"Authorization": f"Bearer {old.text.reveal()}"}
        assert (await api.ask("POST", "/v1/keys", role=None, headers=bearer, body={"role": "admin"})).status == 201
