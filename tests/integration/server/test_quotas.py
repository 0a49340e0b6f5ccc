"""Do quotas hold to the last request, run, token and byte, however many ask at once, and in how many processes?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.integration.server.conftest import Api, build_agents, serve

from quorate import Agent, ScriptedModel, tool
from quorate.agent.agent import AnyAgent
from quorate.errors import Forbidden, RateLimited
from quorate.models.scripted import call
from quorate.runtime.quota_slots import GRACE_S, RunSlots
from quorate.runtime.quotas import Quotas
from quorate.security.quotas import Quota
from quorate.settings import Settings, load_settings
from quorate.settings.values import ServerSettings
from quorate.testing.provider_server import Answer, provider_server

OCTETS = {"Content-Type": "application/octet-stream"}
OPERATOR = Settings(server=ServerSettings(operator_tenant="platform"))


def get_quotas(api: Api) -> Quotas:
    assert api.runtime.quotas is not None
    return api.runtime.quotas


async def bound(api: Api, subject: str = "", *, tenant: str = "acme", **most: tuple[float, str]) -> None:
    """Set quotas, and have the servers know of them at once."""
    quotas = [Quota(kind=kind, most=amount, per=per) for kind, (amount, per) in most.items()]  # type: ignore[arg-type]
    await get_quotas(api).set(tenant, subject, quotas)


def build_waiting() -> AnyAgent:
    """An agent whose runs never end by themselves."""

    @tool(effect="idempotent")
    async def hang() -> str:
        """Never come back."""
        await asyncio.Event().wait()
        return ""

    return Agent("waiting", model=ScriptedModel([call("hang")] * 400), tools=[hang])


@asynccontextmanager
async def serve_two(database: str) -> AsyncGenerator[tuple[Api, Api]]:
    """Two servers over one database, with the same keys."""
    agents = [*build_agents(), build_waiting()]
    unused = Path("unused.db")
    async with (
        serve(unused, *agents, address=database) as first,
        serve(unused, *agents, address=database) as second,
    ):
        second.texts = first.texts
        yield first, second


async def stop(api: Api, run: str) -> None:
    """Stop a run where it is worked on, and wait for its end."""
    assert (await api.ask("POST", f"/v1/runs/{run}/cancel", body={})).status == 202
    async with asyncio.timeout(30):
        while (await api.ask("GET", f"/v1/runs/{run}")).json["status"] != "cancelled":
            pass


async def ask_all(servers: tuple[Api, ...], count: int, method: str, path: str, **options: Any) -> list[Any]:
    """Ask so often at once, in turn at each server."""
    for api in servers:
        await api.key()
    asked = [servers[number % len(servers)].ask(method, path, **options) for number in range(count)]
    return list(await asyncio.gather(*asked))


async def test_fifty_requests_at_once_do_not_exceed_a_quota_by_one(database: str) -> None:
    """Two servers, one database: as many pass as may, and all others are told when to come again. row: C12"""
    async with serve_two(database) as servers:
        first, second = servers
        await bound(first, requests=(20, "hour"))
        get_quotas(second).forget("acme")
        answers = await ask_all(servers, 50, "GET", "/v1/runs")
        statuses = [answer.status for answer in answers]
        assert (statuses.count(200), statuses.count(429)) == (20, 30)
        for answer in answers:
            assert answer.headers["RateLimit-Policy"] == '"tenant-requests-hour";q=20;w=3600'
            if answer.status == 429:
                assert 3500 < int(answer.headers["Retry-After"]) <= 3601
                assert answer.json["code"] == "rate_limited"
        for api in servers:
            again = await api.ask("GET", "/v1/runs")
            assert again.status == 429
            assert again.headers["RateLimit"].startswith('"tenant-requests-hour";r=0;t=')


async def test_fifty_runs_at_once_do_not_exceed_a_quota_by_one(database: str) -> None:
    """As many are under way as may; one that ends, or is stopped, makes room for one. part of row C12"""
    async with serve_two(database) as servers:
        first, second = servers
        await bound(first, runs=(7, "now"))
        get_quotas(second).forget("acme")
        body = {"task": "Wait.", "agent": "waiting"}
        answers = await ask_all(servers, 50, "POST", "/v1/runs", body=body)
        accepted = [answer.json["id"] for answer in answers if answer.status == 202]
        assert [answer.status for answer in answers].count(429) == 43
        assert len(accepted) == 7
        refused = next(answer for answer in answers if answer.status == 429)
        assert refused.headers["Retry-After"] == "1"
        assert "7 runs at once for tenant 'acme'" in refused.json["detail"]
        listed = (await second.ask("GET", "/v1/quotas")).json["data"]
        assert [(one["kind"], one["used"], one["left"]) for one in listed] == [("runs", 7, 0)]

        number = next(number for number, answer in enumerate(answers) if answer.status == 202)
        await stop(servers[number % 2], answers[number].json["id"])
        answers = await ask_all(servers, 10, "POST", "/v1/runs", body=body)
        assert [answer.status for answer in answers].count(202) == 1


async def test_places_are_those_of_runs_that_are_under_way(api: Api) -> None:
    """A run that ends or rests frees its place, also when nobody counted it down; each level counts by itself. part of
    row C12"""
    project = await api.keys.create(tenant="acme", principal="web", role="operator", project="web")
    headers = {"Authorization": f"Bearer {project.text.reveal()}"}
    await bound(api, "project/web", runs=(1, "now"))
    body = {"task": "Pay.", "agent": "payer"}
    rested, answer = list[str](), None
    for _ in range(3):  # one after the other ends, or rests until somebody approves
        answer = await api.ask("POST", "/v1/runs?wait=30", body=body, role=None, headers=headers)
        rested.append(answer.json["status"])
    assert rested == ["waiting", "completed", "waiting"]
    assert answer is not None
    hanging = {"task": "Wait.", "agent": "slow"}
    first = await api.ask("POST", "/v1/runs", body=hanging, role=None, headers=headers)
    assert first.status == 202
    second = await api.ask("POST", "/v1/runs", body=hanging, role=None, headers=headers)
    assert (second.status, "project 'web'" in second.json["detail"]) == (429, True)
    assert (await api.ask("POST", "/v1/runs", body=hanging)).status == 202  # of no project
    again = await api.ask("POST", f"/v1/runs/{answer.json['id']}/resume", role=None, headers=headers)
    assert again.status == 429  # it would be one more
    await stop(api, first.json["id"])
    assert (await api.ask("POST", "/v1/runs", body=hanging, role=None, headers=headers)).status == 202


async def test_whoever_died_keeps_no_place(api: Api) -> None:
    """A place of a run that was never recorded is free after a while; those of recorded runs go by their logs."""
    quotas = get_quotas(api)
    await bound(api, runs=(1, "now"))
    await quotas.take_slot("acme", "run-never-recorded", payer="")
    with pytest.raises(RateLimited):
        await quotas.take_slot("acme", "run-another", payer="")
    slots = RunSlots(api.runtime.store.values, api.runtime.store.log, clock=api.runtime.clock, patience_s=-GRACE_S)
    facts = await quotas.find("acme")
    await slots.take(facts, "run-another", payer="")
    assert await slots.count(facts) == {}  # it was not recorded either


@pytest.fixture
async def relay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    """A server whose gateway asks a provider on this machine."""
    async with provider_server(lambda sent: Answer(text="It is sunny in Bern.")) as provider:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-real_and_long_enough_123")
        monkeypatch.setenv("OPENAI_BASE_URL", provider.url)
        async with serve(tmp_path / "quorate.db", settings=load_settings()) as api:
            yield api


MODEL = "openai:gpt-5.2"
ASKED = {"model": MODEL, "messages": [{"role": "user", "content": "The weather?"}], "max_tokens": 100}


async def test_spending_is_refused_with_402(relay: Api) -> None:
    """Tokens of plain calls and of agents' calls, at once, of a project and of a key. part of row C12"""
    api = relay
    made = await api.keys.create(tenant="acme", principal="web", role="operator", project="web")
    headers = {"Authorization": f"Bearer {made.text.reveal()}"}
    await bound(api, "project/web", tokens=(400, "day"))
    # Equal ones at the same time would be one.
    bodies = [{**ASKED, "messages": [{"role": "user", "content": f"{day}?"}]} for day in range(50)]
    asked = [api.ask("POST", "/openai/v1/chat/completions", body=body, role=None, headers=headers) for body in bodies]
    answers = await asyncio.gather(*asked)
    assert {answer.status for answer in answers} == {200, 402}
    assert all("tokens-day" in answer.data.decode() for answer in answers if answer.status == 402)
    (use,) = await get_quotas(api).list_uses("acme")
    assert 0 < use.used + use.held <= 400
    assert use.left < 200
    assert (await api.ask("POST", "/openai/v1/chat/completions", body=ASKED)).status == 200  # of no project
    await bound(api, f"key/{made.key.id}", usd=(0, "month"))
    await bound(api, "project/web")
    answer = await api.ask("POST", "/openai/v1/chat/completions", body=ASKED, role=None, headers=headers)
    assert (answer.status, "usd-month" in answer.data.decode()) == (402, True)
    run = {"task": "The weather?", "agent": "code-review", "model": MODEL}
    answer = await api.ask("POST", "/v1/runs?wait=30", body=run, role=None, headers=headers)
    assert (answer.json["status"], answer.json["error"]["code"]) == ("incomplete", "incomplete.usd-month")
    answer = await api.ask("POST", "/v1/runs?wait=30", body=run)
    assert "usd-month" not in answer.data.decode()


async def test_bytes_of_artifacts_are_bounded(api: Api) -> None:
    """As many as may be, at once; what is deleted makes room again. part of row C12"""
    await bound(api, bytes=(100_000, "now"))
    sent = [
        api.ask("POST", f"/v1/artifacts?name=a{number}", data=Random(number).randbytes(20_000), headers=OCTETS)
        for number in range(10)
    ]
    await api.key()
    answers = await asyncio.gather(*sent)
    statuses = [answer.status for answer in answers]
    assert set(statuses) == {201, 402}
    (use,) = await get_quotas(api).list_uses("acme")
    assert use.used <= 100_000
    kept = next(answer.json["id"] for answer in answers if answer.status == 201)
    full = await api.ask("POST", "/v1/artifacts?name=more", data=Random(11).randbytes(90_000), headers=OCTETS)
    assert (full.status, full.json["code"]) == (402, "budget_exceeded")
    assert (await api.ask("DELETE", f"/v1/artifacts/{kept}")).status in (200, 204)
    assert (
        await api.ask("POST", "/v1/artifacts?name=b", data=Random(12).randbytes(20_000), headers=OCTETS)
    ).status == 201


async def test_a_project_of_another_counts_nothing_here(api: Api) -> None:
    """Quotas of one tenant bound nobody else, whatever its projects and keys are called."""
    await bound(api, requests=(1, "hour"))
    await bound(api, "project/web", requests=(1, "hour"))
    other = await api.keys.create(tenant="globex", principal="web", role="operator", project="web")
    headers = {"Authorization": f"Bearer {other.text.reveal()}"}
    statuses = [(await api.ask("GET", "/v1/runs", role=None, headers=headers)).status for _ in range(3)]
    assert statuses == [200, 200, 200]
    assert [(await api.ask("GET", "/v1/runs")).status for _ in range(2)] == [200, 429]
    assert (await api.ask("GET", "/livez", role=None)).status == 200  # whoever is nobody has none


async def test_quotas_are_set_and_read_over_http(tmp_path: Path) -> None:
    """An admin bounds projects and keys; only who operates it bounds the tenant; nobody raises what bounds themselves.
    part of row C12"""
    async with serve(tmp_path / "quorate.db", *build_agents(), settings=OPERATOR) as api:
        boss: dict[str, Any] = {"role": "admin", "tenant": "platform"}
        assert (await api.ask("POST", "/v1/tenants", body={"id": "acme", "name": "Acme"}, **boss)).status == 201
        assert (await api.ask("POST", "/v1/tenants", body={"id": "acme"}, **boss)).status == 409
        made = await api.ask("POST", "/v1/tenants/acme/projects", body={"id": "web"}, role="admin")
        assert (made.status, [one["id"] for one in made.json["projects"]]) == (201, ["web"])
        quotas = [{"kind": "requests", "most": 100, "per": "minute"}, {"kind": "usd", "most": 2.5, "per": "day"}]
        own = await api.ask("PUT", "/v1/quotas", body={"quotas": quotas}, role="admin")
        assert (own.status, own.json["code"]) == (403, "forbidden")
        assert (await api.ask("PUT", "/v1/tenants/acme/quotas", body={"quotas": quotas}, role="admin")).status == 403
        answer = await api.ask("PUT", "/v1/tenants/acme/quotas", body={"quotas": quotas}, **boss)
        assert answer.status == 200
        tag = (await api.ask("GET", "/v1/quotas")).headers["ETag"]
        body = {"project": "web", "quotas": quotas[:1]}
        answer = await api.ask("PUT", "/v1/quotas", body=body, role="admin", headers={"If-Match": tag})
        assert [(one.get("project"), one["kind"]) for one in answer.json["data"]] == [
            (None, "requests"), (None, "usd"), ("web", "requests"),
        ]  # fmt: skip
        again = await api.ask("PUT", "/v1/quotas", body=body, role="admin", headers={"If-Match": tag})
        assert again.status == 412
        wrongs: tuple[tuple[dict[str, Any], str], ...] = (
            ({"project": "nope", "quotas": []}, "no project"),
            ({"project": "web", "key": "0123456789abcdef", "quotas": []}, "one of them"),
            ({"project": "web", "quotas": [{"kind": "bytes", "most": 1, "per": "now"}]}, "whole tenant"),
            ({"project": "web", "quotas": [{"kind": "usd", "most": 1, "per": "hour"}]}, "not per hour"),
            ({"project": "web", "quotas": [quotas[0], quotas[0]]}, "twice"),
            ({"project": "web", "quotas": [{"kind": "runs", "most": 1.5, "per": "now"}]}, "whole number"),
        )
        for wrong, words in wrongs:
            answer = await api.ask("PUT", "/v1/quotas", body=wrong, role="admin")
            assert answer.status in (400, 404), answer.data
            assert words in answer.json["detail"]
        inside = await api.keys.create(tenant="acme", principal="web", role="admin", project="web")
        headers = {"Authorization": f"Bearer {inside.text.reveal()}"}
        changes: tuple[tuple[str, str, dict[str, Any]], ...] = (
            ("PUT", "/v1/quotas", {"project": "web", "quotas": []}),
            ("POST", "/v1/tenants/acme/projects", {"id": "more"}),
        )
        for method, path, change in changes:
            assert (await api.ask(method, path, body=change, role=None, headers=headers)).status == 403
        rows = await api.runtime.for_tenant("acme").audit.read(limit=100)
        acts = [(row.action, row.object, row.outcome, row.principal) for row in rows]
        assert ("quota.set", "tenant/acme", "done", "admin-platform") in acts
        assert ("quota.set", "project/web", "done", "admin-acme") in acts


async def test_a_key_that_is_replaced_hands_its_quotas_on(api: Api) -> None:
    """Whoever replaces a key is bound by what bound the old one."""
    old = await api.keys.create(tenant="acme", principal="web", role="operator")
    await bound(api, f"key/{old.key.id}", requests=(2, "hour"))
    new = (await api.ask("POST", f"/v1/keys/{old.key.id}/rotate", role="admin")).json
    headers = {"Authorization": f"Bearer {new['text']}"}
    statuses = [(await api.ask("GET", "/v1/runs", role=None, headers=headers)).status for _ in range(3)]
    assert statuses == [200, 200, 429]


async def test_a_suspended_tenant_is_let_in_nowhere(tmp_path: Path) -> None:
    """With a typed refusal, at every door; it is let in again; one with runs is not deleted. part of row C12"""
    async with serve(tmp_path / "quorate.db", *build_agents(), build_waiting(), settings=OPERATOR) as api:
        boss: dict[str, Any] = {"role": "admin", "tenant": "platform"}
        assert (await api.ask("GET", "/v1/tenants/acme")).json["registered"] is False
        assert (await api.ask("POST", "/v1/tenants/acme/suspend", **boss)).status == 404
        await api.ask("POST", "/v1/tenants", body={"id": "acme"}, **boss)
        run = (await api.ask("POST", "/v1/runs", body={"task": "Wait.", "agent": "waiting"})).json["id"]
        answer = await api.ask("POST", "/v1/tenants/acme/suspend", body={"reason": "unpaid"}, **boss)
        assert answer.json["state"] == "suspended"
        for method, path in (("GET", "/v1/runs"), ("GET", "/openai/v1/models"), ("GET", "/v1/tenants/acme")):
            answer = await api.ask(method, path)
            assert (answer.status, "suspended" in answer.data.decode()) == (403, True)
        with pytest.raises(Forbidden, match="suspended"):
            await api.runtime.for_tenant("acme").submit("Is it up?", agent="net")
        assert (await api.ask("GET", "/v1/runs", tenant="globex")).status == 200
        deleted = await api.ask("DELETE", "/v1/tenants/acme", **boss)
        assert (deleted.status, run in deleted.json["detail"]) == (409, True)
        assert (await api.ask("POST", "/v1/tenants/acme/resume", **boss)).json["state"] == "active"
        await stop(api, run)
        assert (await api.ask("DELETE", "/v1/tenants/acme", **boss)).status == 200
        assert (await api.ask("GET", "/v1/runs")).status == 401
        assert (await api.ask("POST", "/v1/tenants", body={"id": "acme"}, **boss)).status == 409
        await api.ask("POST", "/v1/tenants", body={"id": "platform"}, **boss)
        for act in ("POST", "/v1/tenants/platform/suspend"), ("DELETE", "/v1/tenants/platform"):
            assert (await api.ask(*act, **boss)).status == 409  # one's own


async def test_only_who_operates_the_platform_sees_all_tenants(tmp_path: Path) -> None:
    """Others see their own, and of the rest nothing but that it is not there. part of row C12"""
    async with serve(tmp_path / "quorate.db", *build_agents(), settings=OPERATOR) as api:
        boss: dict[str, Any] = {"role": "admin", "tenant": "platform"}
        for tenant in ("acme", "globex", "initech"):
            await api.ask("POST", "/v1/tenants", body={"id": tenant}, **boss)
        page = (await api.ask("GET", "/v1/tenants?limit=2", role="viewer", tenant="platform")).json
        rest = (await api.ask("GET", f"/v1/tenants?limit=2&cursor={page['next_cursor']}", **boss)).json
        assert [one["id"] for one in (*page["data"], *rest["data"])] == ["acme", "globex", "initech"]
        own = (await api.ask("GET", "/v1/tenants", role="admin")).json
        assert [one["id"] for one in own["data"]] == ["acme"]
        part = await api.keys.create(tenant="platform", principal="web", role="admin", project="web")
        headers = {"Authorization": f"Bearer {part.text.reveal()}"}
        own = (await api.ask("GET", "/v1/tenants", role=None, headers=headers)).json
        assert [one["id"] for one in own["data"]] == ["platform"]
        bound_self = {"project": "web", "quotas": []}
        for method, path, body in (
            ("PUT", "/v1/tenants/platform/quotas", bound_self),
            ("PUT", "/v1/quotas", bound_self),
            ("POST", "/v1/tenants/globex/suspend", None),
        ):
            answer = await api.ask(method, path, body=body, role=None, headers=headers)
            assert answer.status == 403, path  # a key of a project operates nothing
        for there, absent in (("globex", "nobody"), ("globex/quotas", "nobody/quotas")):
            one = (await api.ask("GET", f"/v1/tenants/{there}", role="admin")).json
            other = (await api.ask("GET", f"/v1/tenants/{absent}", role="admin")).json
            assert one["detail"].replace("globex", "nobody") == other["detail"]
            assert one["code"] == other["code"] == "not_found"


async def test_guesses_of_an_address_are_bounded(tmp_path: Path) -> None:
    """Then nothing is looked up for it; whoever is known behind the same address goes on. part of row C12"""
    settings = Settings(server=ServerSettings(guesses=5, proxies=("127.0.0.1",)))
    async with serve(tmp_path / "quorate.db", *build_agents(), settings=settings) as api:
        assert (await api.ask("GET", "/v1/runs")).status == 200
        wrong = {"Authorization": "Bearer qk_wrong"}
        statuses = [(await api.ask("GET", "/v1/runs", role=None, headers=wrong)).status for _ in range(8)]
        assert statuses == [401] * 5 + [429] * 3
        refused = await api.ask("GET", "/v1/runs", role=None)
        assert (refused.status, 1 <= int(refused.headers["Retry-After"]) <= 60) == (429, True)
        assert (await api.ask("GET", "/v1/runs")).status == 200
        unknown = await api.keys.create(tenant="acme", principal="new", role="viewer")
        bearer = {"Authorization": f"Bearer {unknown.text.reveal()}"}
        assert (await api.ask("GET", "/v1/runs", role=None, headers=bearer)).status == 429
        elsewhere = {**bearer, "X-Forwarded-For": "198.51.100.7, 203.0.113.9"}
        assert (await api.ask("GET", "/v1/runs", role=None, headers=elsewhere)).status == 200
        assert (await api.ask("GET", "/livez", role=None)).status == 200


async def test_refusals_are_in_the_audit_trail(api: Api) -> None:
    """Alike ones in one row with their number, and without what was sent; so nobody can flood it. part of row C12"""
    for _ in range(7):
        await api.ask("GET", "/v1/runs", role=None, headers={"Authorization": "Bearer qk_secret-guess"})
    for _ in range(3):
        await api.ask("POST", "/v1/runs", body={"task": "x"}, role="viewer")
    await bound(api, requests=(0, "hour"))
    for _ in range(2):
        assert (await api.ask("GET", "/v1/runs")).status == 429
    quotas = get_quotas(api)
    assert quotas.refusals is not None
    await quotas.refusals.flush()
    strangers = [row for row in await api.runtime.audit.read(limit=50) if row.action == "http.refuse"]
    assert [(row.object, row.reason, row.facts["count"]) for row in strangers] == [
        ("peer/127.0.0.1", "unauthenticated", 7)
    ]
    own = [row for row in await api.runtime.for_tenant("acme").audit.read(limit=50) if row.outcome == "refused"]
    assert [(row.action, row.reason, row.facts["detail"], row.facts["count"]) for row in own] == [
        ("http.refuse", "forbidden", "runs:write", 3),
        ("quota.refuse", "rate_limited", "requests-hour", 2),
    ]
    assert "secret-guess" not in str(strangers)
