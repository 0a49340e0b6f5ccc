"""Are sessions what they are on the command line, for those whose they are, over HTTP?"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from msgspec import structs
from tests.integration.server.conftest import Api, build_agents, serve
from tests.integration.server.shared import find_end, read_audit, wipe

from quorate import Settings
from quorate.assembly import open_runtime
from quorate.state.archive import import_runs

pytestmark = pytest.mark.asyncio(loop_scope="module")
SESSIONS = "/v1/sessions"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    tmp_path = tmp_path_factory.mktemp("sessions")
    async with serve(tmp_path / "quorate.db", *build_agents()) as api:
        yield api


@pytest_asyncio.fixture(loop_scope="module")
async def api(served: Api) -> AsyncIterator[Api]:
    await wipe(served)
    yield served


async def begin(api: Api, id: str | None = None, **body: Any) -> str:
    answer = await api.ask("POST", SESSIONS, body={**({"id": id} if id else {}), **body})
    assert answer.status == 201, answer.data
    return str(answer.json["id"])


async def take_turn(api: Api, session: str, task: str = "Is it up?") -> str:
    answer = await api.ask("POST", "/v1/runs?wait=30", body={"task": task, "agent": "net", "session": session})
    assert answer.status == 200, answer.data
    return str(answer.json["id"])


async def test_a_session_lives_and_ends(api: Api) -> None:
    """Each step says how it stands then, what cannot follow is a conflict, and all of it is noted. part of row E6"""
    end = await find_end(api)
    made = await api.ask("POST", SESSIONS, body={"id": "shop", "title": "Slow shop", "limits": {"max_runs": 1}})
    assert (made.status, made.headers["Location"]) == (201, f"{SESSIONS}/shop")
    assert made.json.items() >= {"object": "session", "status": "active", "owner": "operator-acme"}.items()
    assert made.json["limits"] == {"max_runs": 1}
    assert (await api.ask("POST", SESSIONS, body={"id": "shop"})).status == 409

    for verb, status, stands in (
        ("resume", 409, "active"), ("suspend", 200, "suspended"), ("suspend", 409, "suspended"),
        ("resume", 200, "active"), ("complete", 200, "completed"), ("resume", 409, "completed"),
        ("fail", 409, "completed"), ("archive", 200, "archived"), ("archive", 409, "archived"),
    ):  # fmt: skip
        answer = await api.ask("POST", f"{SESSIONS}/shop/{verb}", body={"reason": "until Monday"})
        assert answer.status == status, (verb, answer.data)
        shown = await api.ask("GET", f"{SESSIONS}/shop")
        assert shown.json["status"] == stands
        if status == 200:
            assert answer.json == shown.json
            assert answer.headers["ETag"] == shown.headers["ETag"]
            assert shown.json["reason"] == "until Monday"

    gone = await api.ask("DELETE", f"{SESSIONS}/shop")
    assert gone.json == {"object": "session.deleted", "id": "shop", "runs": [], "failed_cleanups": []}
    assert (await api.ask("GET", f"{SESSIONS}/shop")).status == 404
    rows = await read_audit(api, end, "session")
    noted = [(row.action, row.outcome) for row in rows]
    assert noted[:3] == [("session.create", "done"), ("session.create", "refused"), ("session.resume", "refused")]
    assert noted[-1] == ("session.delete", "done")
    assert {row.principal for row in rows} == {"operator-acme"}


async def test_a_session_that_rests_takes_no_turn(api: Api) -> None:
    """part of row E6"""
    await begin(api, "shop")
    run = await take_turn(api, "shop")
    await api.ask("POST", f"{SESSIONS}/shop/suspend")
    refused = await api.ask("POST", "/v1/runs", body={"task": "x", "agent": "net", "session": "shop"})
    assert (refused.status, refused.json["code"]) == (409, "conflict")
    usage = (await api.ask("GET", f"{SESSIONS}/shop/usage")).json
    assert (usage["runs"], usage["open"]) == (1, 0)
    assert "is suspended" in usage["refusal"]
    await api.ask("POST", f"{SESSIONS}/shop/resume")
    second = await take_turn(api, "shop")
    [first, last] = (await api.ask("GET", f"{SESSIONS}/shop/runs")).json["data"]
    assert (first["run"]["id"], last["run"]["id"], last["previous"]) == (run, second, run)
    [newest] = (await api.ask("GET", f"{SESSIONS}/shop/runs?order=newest&limit=1")).json["data"]
    assert newest == last


async def test_a_session_is_for_its_own_people(api: Api) -> None:
    """Others find nothing, in the same words as for what never was; those it is shared with read. part of row E6"""
    await begin(api, "shop", shared_with=["viewer-acme"])
    await begin(api, "mine", shared_with=[])
    await take_turn(api, "shop")
    paths = ("", "/messages", "/runs", "/usage", "/export")
    for path in paths:
        for role, tenant, status in (
            ("operator", "acme", 200), ("viewer", "acme", 200), ("admin", "acme", 200), ("operator", "globex", 404),
            ("admin", "globex", 404),
        ):  # fmt: skip
            answer = await api.ask("GET", f"{SESSIONS}/shop{path}", role=role, tenant=tenant)  # type: ignore[arg-type]
            assert answer.status == status, (path, role, tenant)
        known = await api.ask("GET", f"{SESSIONS}/mine{path}", role="viewer", headers={"X-Request-ID": "r"})
        absent = await api.ask("GET", f"{SESSIONS}/none{path}", role="viewer", headers={"X-Request-ID": "r"})
        assert known.status == 404
        assert known.data.replace(b"mine", b"none") == absent.data
    listed = {role: [one["id"] for one in (await api.ask("GET", SESSIONS, role=role)).json["data"]]  # type: ignore[arg-type]
              for role in ("operator", "viewer", "admin")}  # fmt: skip
    assert listed == {"operator": ["mine", "shop"], "viewer": ["shop"], "admin": ["mine", "shop"]}

    shared = await api.key("operator", scopes=("sessions:*",))
    narrowed = await api.key("admin", scopes=("sessions:read",))  # not all rights, so it is only itself
    assert shared
    assert (
        await api.ask("GET", f"{SESSIONS}/shop", role=None, headers={"Authorization": f"Bearer {narrowed}"})
    ).status == 404


async def test_the_runs_of_a_session_are_for_its_own_people(api: Api) -> None:
    """What was said in it is in its runs, too: to others they are absent by whatever way leads to a run."""
    await begin(api, "shop", shared_with=["bob"])
    run = await take_turn(api, "shop")
    loose = str((await api.ask("POST", "/v1/runs?wait=30", body={"task": "x", "agent": "net"})).json["id"])
    said = (await api.ask("POST", f"/v1/runs/{run}/feedback", body={"comment": "so"})).json["id"]
    texts = {
        name: (await api.keys.create(tenant="acme", principal=name, role="operator")).text for name in ("bob", "eve")
    }
    bob, eve = ({"Authorization": f"Bearer {texts[name].reveal()}", "X-Request-ID": "r"} for name in ("bob", "eve"))
    for method, path, body in (
        ("GET", "", None), ("GET", "/events", None), ("GET", "/trace?content=true", None), ("GET", "/export", None),
        ("GET", "/feedback", None), ("GET", f"/feedback/{said}", None), ("POST", "/feedback", {"rating": 0}),
        ("POST", "/replay", {}), ("POST", "/fork", {"at": 1, "rest": True}), ("POST", "/cancel", None),
        ("POST", "/resume", None), ("DELETE", "", None),
    ):  # fmt: skip
        theirs = await api.ask(method, f"/v1/runs/{run}{path}", body=body, role=None, headers=eve)
        nobodys = await api.ask(method, f"/v1/runs/run-none{path}", body=body, role=None, headers=eve)
        assert (theirs.status, theirs.data) == (404, nobodys.data.replace(b"run-none", run.encode())), (method, path)
        if method == "GET":
            for headers in (bob, {"Authorization": f"Bearer {await api.key('admin')}"}):
                assert (await api.ask(method, f"/v1/runs/{run}{path}", role=None, headers=headers)).status == 200, path
    for query in ("", "?limit=1", "?session=shop", "?status=completed&order=updated"):
        found = await api.ask("GET", f"/v1/runs{query}", role=None, headers=eve)
        assert {one["id"] for one in found.json["data"]} <= {loose}, query
        assert run in {one["id"] for one in (await api.ask("GET", "/v1/runs", role=None, headers=bob)).json["data"]}
    fork = (await api.ask("POST", f"/v1/runs/{run}/fork", body={"at": 1, "rest": True}, role=None, headers=bob)).json
    again = (await api.ask("POST", f"/v1/runs/{fork['id']}/fork", body={"at": 1, "rest": True})).json
    for one, status in ((eve, 404), (bob, 200)):  # it holds what was said, and is of no session
        for copy in (fork["id"], again["id"]):
            assert (await api.ask("GET", f"/v1/runs/{copy}/events", role=None, headers=one)).status == status
    found = (await api.ask("GET", "/v1/runs", role=None, headers=eve)).json["data"]
    assert {fork["id"], again["id"]}.isdisjoint(one["id"] for one in found)
    assert (await api.ask("GET", "/v1/feedback", role=None, headers=eve)).json["data"] == []
    values = f"/v1/state/run/values?id={run}"
    assert (await api.ask("GET", values, role=None, headers=eve)).status == 404
    assert (await api.ask("GET", values, role=None, headers=bob)).status == 200


async def test_only_its_owner_changes_a_session(api: Api) -> None:
    """Whoever it is shared with may go on from it in a session of their own. part of row E6"""
    key = await api.keys.create(tenant="acme", principal="bob", role="operator")
    bob = {"Authorization": f"Bearer {key.text.reveal()}"}
    await begin(api, "shop", title="Slow shop", shared_with=["bob"])
    await take_turn(api, "shop")
    for method, path, body in (
        ("PATCH", "", {"title": "Bob's"}), ("DELETE", "", None), ("POST", "/suspend", None), ("POST", "/archive", None),
        ("POST", "/recover", None),
    ):  # fmt: skip
        answer = await api.ask(method, f"{SESSIONS}/shop{path}", body=body, role=None, headers=bob)
        assert (answer.status, answer.json["code"]) == (403, "forbidden"), (method, path)
    fork = await api.ask("POST", f"{SESSIONS}/shop/fork", body={"id": "bobs"}, role=None, headers=bob)
    assert (fork.status, fork.json["owner"], fork.json["parent"]["session"]) == (201, "bob", "shop")
    assert (await api.ask("DELETE", f"{SESSIONS}/shop")).status == 409  # it would lose what was said
    assert (await api.ask("PATCH", f"{SESSIONS}/shop", body={"title": "Hers"}, role="admin")).json["title"] == "Hers"
    assert (await api.ask("GET", f"{SESSIONS}/shop")).json["owner"] == "operator-acme"


async def test_nobody_writes_over_what_they_have_not_seen(api: Api) -> None:
    """part of row C11"""
    await begin(api, "shop", title="a", tags=["x"], metadata={"ticket": 1})
    first = (await api.ask("GET", f"{SESSIONS}/shop")).headers["ETag"]
    assert (await api.ask("GET", f"{SESSIONS}/shop", headers={"If-None-Match": first})).status == 304
    changed = await api.ask("PATCH", f"{SESSIONS}/shop", body={"title": "b"}, headers={"If-Match": first})
    assert changed.json.items() >= {"title": "b", "tags": ["x"], "metadata": {"ticket": 1}}.items()
    for method, path, body in (("PATCH", "", {"title": "c"}), ("DELETE", "", None), ("POST", "/suspend", None)):
        late = await api.ask(method, f"{SESSIONS}/shop{path}", body=body, headers={"If-Match": first})
        assert (late.status, late.json["code"]) == (412, "conflict"), (method, path)

    async def rename(number: int) -> int:
        headers = {"If-Match": changed.headers["ETag"]}
        return (await api.ask("PATCH", f"{SESSIONS}/shop", body={"title": str(number)}, headers=headers)).status

    assert sorted(await asyncio.gather(*[rename(number) for number in range(10)])) == [200] + [412] * 9

    async def suspend(tag: str) -> int:
        return (await api.ask("POST", f"{SESSIONS}/shop/suspend", headers={"If-Match": tag})).status

    last = (await api.ask("GET", f"{SESSIONS}/shop")).headers["ETag"]
    assert sorted(await asyncio.gather(*[suspend(last) for _ in range(10)])) == [200] + [412] * 9
    last = (await api.ask("GET", f"{SESSIONS}/shop")).headers["ETag"]
    assert await suspend(last) == 409  # nobody changed it: it cannot be suspended twice
    assert (await api.ask("DELETE", f"{SESSIONS}/shop", headers={"If-Match": last})).status == 200


async def test_lists_are_filtered_sorted_and_read_in_pages(api: Api) -> None:
    """part of row C11"""
    for number in range(5):
        await begin(api, f"s-{number}", title=f"Shop {number}", tags=["even"] if number % 2 == 0 else [])
    await api.ask("POST", f"{SESSIONS}/s-3/suspend")

    async def read_all(query: str) -> list[str]:
        found, cursor = list[str](), ""
        for _ in range(10):
            page = (await api.ask("GET", f"{SESSIONS}?limit=2&{query}{cursor}")).json
            found += [one["id"] for one in page["data"]]
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"
        raise AssertionError(found)

    assert await read_all("order=oldest") == ["s-0", "s-1", "s-2", "s-3", "s-4"]
    assert await read_all("order=newest") == ["s-4", "s-3", "s-2", "s-1", "s-0"]
    assert (await read_all("order=updated"))[0] == "s-3"
    assert await read_all("order=id&tag=even") == ["s-0", "s-2", "s-4"]
    assert await read_all("status=suspended") == ["s-3"]
    assert await read_all("text=SHOP%202") == ["s-2"]
    assert await read_all("owner=nobody") == []


async def test_what_was_said_is_read_from_either_end(api: Api) -> None:
    """part of row E6"""
    await begin(api, "shop")
    for number in range(3):
        await take_turn(api, "shop", f"Question {number}?")

    async def read_all(order: str) -> list[Any]:
        found, cursor = list[Any](), ""
        while True:
            path = f"{SESSIONS}/shop/messages?limit=4&order={order}{cursor}"
            page = (await api.ask("GET", path)).json
            found += page["data"]
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"

    said = await read_all("oldest")
    assert [one["place"] for one in said] == [1, 2, 3, 4, 5, 6]
    assert [one["parts"][0]["text"] for one in said[::2]] == [f"Question {number}?" for number in range(3)]
    assert {one["role"] for one in said[1::2]} == {"assistant"}
    assert await read_all("newest") == said[::-1]
    assert (await api.ask("GET", f"{SESSIONS}/shop/messages?cursor=1")).status == 400


async def test_a_session_is_exported_and_read_elsewhere(api: Api, tmp_path: Path) -> None:
    """part of row E6"""
    await begin(api, "shop")
    runs = [await take_turn(api, "shop") for _ in range(2)]
    answer = await api.ask("GET", f"{SESSIONS}/shop/export")
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    async with open_runtime(structs.replace(Settings(), database=str(tmp_path / "other.db"))) as other:
        report = await import_runs(other.log, io.BytesIO(answer.data), tenant="acme")
        assert report is not None
        for run in runs:
            assert await other.log.read(run) == await api.runtime.log.read(run)


async def test_one_key_begins_one_session(api: Api) -> None:
    """part of row B11"""
    headers = {"Idempotency-Key": "once"}
    answers = await asyncio.gather(*[api.ask("POST", SESSIONS, body={}, headers=headers) for _ in range(10)])
    assert {answer.status for answer in answers} == {201}
    assert len({answer.json["id"] for answer in answers}) == 1
    assert (await api.ask("POST", SESSIONS, body={"title": "other"}, headers=headers)).status == 409
    assert len((await api.ask("GET", SESSIONS)).json["data"]) == 1


async def test_what_is_no_session_is_refused(api: Api) -> None:
    """part of row C11"""
    for body in (
        {"id": "UPPER"}, {"id": "a/b"}, {"id": ""}, {"title": "x" * 201}, {"title": "a\nb"}, {"tags": ["x" * 65]},
        {"tags": "x"}, {"metadata": {"password": "hunter2-hunter2"}}, {"metadata": {"x": "y" * 20_000}},
        {"limits": {"max_runs": 0}}, {"limits": {"max_cost_usd": -1}}, {"limits": {"surprise": 1}}, {"owner": "bob"},
        {"tenant": "globex"}, {"shared_with": [""]}, [], None,
    ):  # fmt: skip
        answer = await api.ask("POST", SESSIONS, body=body)
        assert answer.status in (400, 413), (body, answer.data)
        assert b"hunter2" not in answer.data
    assert (await api.ask("GET", SESSIONS, role="admin")).json["data"] == []


async def test_ids_that_are_none_lead_nowhere(api: Api) -> None:
    """part of row C11"""
    for name in ("..", "a%2Fb", "a%00b", "A", "x" * 64, "%F0%9F%98%80", "a b"):
        for path in ("", "/messages", "/export"):
            answer = await api.ask("GET", f"{SESSIONS}/{name}{path}".replace(" ", "%20"))
            assert answer.status in (400, 404), (name, path, answer.data)
    for query in ("limit=0", "limit=201", "order=best", "status=nice", "cursor=%3Cx"):
        assert (await api.ask("GET", f"{SESSIONS}?{query}")).status == 400, query


async def test_sessions_that_stay_keep_no_others_from_being_pruned(api: Api) -> None:
    """One that another goes on from stays while that one lives: whoever sends it again gets past it, and to an end."""
    await begin(api, "a-old")
    await take_turn(api, "a-old")
    assert (await api.ask("POST", f"{SESSIONS}/a-old/fork", body={"id": "fork"})).status == 201
    for session in ("a-old", await begin(api, "b-old"), await begin(api, "c-old")):
        await api.ask("POST", f"{SESSIONS}/{session}/complete")
    body = {"delete_after_s": 0, "max_deleted": 1}
    told = [(await api.ask("POST", "/v1/upkeep/sessions/prune", role="admin", body=body)).json for _ in range(3)]
    assert [(one["deleted"], one["more"]) for one in told] == [(["b-old"], True), (["c-old"], True), ([], False)]
    assert [list(one["kept"]) for one in told] == [["a-old"]] * 3


async def test_old_sessions_are_looked_after(api: Api) -> None:
    """part of row E6"""
    for name in ("old", "new"):
        await begin(api, name)
    run = await take_turn(api, "old")
    await api.ask("POST", f"{SESSIONS}/old/complete")
    assert (await api.ask("POST", "/v1/upkeep/sessions/prune", body={})).status == 403
    pruned = await api.ask(
        "POST", "/v1/upkeep/sessions/prune", role="admin", body={"archive_after_s": 0, "delete_after_s": 0}
    )
    assert (pruned.status, pruned.json["changed"], pruned.json["deleted"]) == (200, ["old"], ["old"])
    assert [one["id"] for one in (await api.ask("GET", SESSIONS)).json["data"]] == ["new"]
    assert (await api.ask("GET", f"/v1/runs/{run}")).status == 404
    await api.runtime.store.values.put("session/acme/new", b"{")
    assert (await api.ask("GET", f"{SESSIONS}/new")).status == 500
    mended = (await api.ask("POST", "/v1/upkeep/sessions/recover", role="admin")).json
    assert (mended["looked_at"], list(mended["mended"])) == (1, ["new"])
    assert (await api.ask("GET", f"{SESSIONS}/new", role="admin")).status == 200
