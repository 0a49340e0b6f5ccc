"""Is a request bounded before it is read, and does every answer say what it is?"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.integration.server.conftest import PEPPER, Api, build_agents, serve
from tests.integration.server.shared import wipe

from quorate.clock import SYSTEM_CLOCK
from quorate.errors import InvalidInput, Unavailable
from quorate.security.identity import Identity
from quorate.security.keys import KeyRing
from quorate.server.access import Doorkeeper
from quorate.server.edge import Edge, check_json
from quorate.server.openai.door import ROOT as OPENAI
from quorate.state.backends.memory import MemoryValues

pytestmark = pytest.mark.asyncio(loop_scope="module")
JSON = {"Content-Type": "application/json"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    async with serve(tmp_path_factory.mktemp("edge") / "quorate.db", *build_agents()) as api:
        yield api


@pytest_asyncio.fixture(loop_scope="module")
async def api(served: Api) -> AsyncIterator[Api]:
    """The server of this module, with the keys it began with and nothing kept."""
    await wipe(served)
    keys = served.server.routes.state.doorkeeper._keys
    yield served
    served.server.routes.state.doorkeeper._keys = keys
    served.server.draining.clear()


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b'{"task": "a", "task": "b"}', 400, "names 'task' twice"),
        (b'{"task": "a", "limits": {"seconds": NaN}}', 400, "NaN"),
        (b"[" * 5000 + b"]" * 5000, 400, "deeper than 64"),
        (b'{"task": ', 400, "not JSON"),
        (b"\xff\xfe", 400, "not JSON"),
        (b'{"task": "a", "surprise": 1}', 400, "surprise"),
        (b'{"task": 5}', 400, "task"),
        (b'{"task": ""}', 400, "task"),
        (b'{"task": "' + b"x" * (2 << 20) + b'"}', 413, "at most"),
        (b"", 400, ""),
    ],
)  # fmt: skip
async def test_a_body_that_is_none_of_ours_is_refused(api: Api, body: bytes, status: int, words: str) -> None:
    """part of rows B11 and C11"""
    answer = await api.ask("POST", "/v1/runs", data=body, headers=JSON)
    assert answer.status == status, answer.data
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    assert words in problem["detail"]
    assert len(answer.data) < 4000


async def test_a_body_in_pieces_is_bounded_too(api: Api) -> None:
    async def pieces():  # type: ignore[no-untyped-def]
        for _ in range(200):
            yield b"x" * (64 << 10)

    answer = await api.ask("POST", "/v1/runs", data=pieces(), headers=JSON)
    assert answer.status == 413


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/runs", "GET, OPTIONS, POST"),
        ("PUT", "/v1/runs/run-1", "DELETE, GET, OPTIONS"),
        ("HEAD", "/livez", "GET, OPTIONS"),
        ("OPTIONS", "/v1/runs", "GET, OPTIONS, POST"),
    ],
)
async def test_a_path_says_in_which_ways_it_is_asked(api: Api, method: str, path: str, allowed: str) -> None:
    """Wherever its routes come from (RFC 9110, section 15.5.6). part of row B11"""
    answer = await api.ask(method, path)
    assert (answer.status, answer.headers["Allow"]) == (204 if method == "OPTIONS" else 405, allowed)


async def test_an_answer_bears_its_request(api: Api) -> None:
    """An id that fits is echoed; what could forge a log or a header is not. part of row C11"""
    echoed = await api.ask("GET", "/v1/runs", headers={"X-Request-ID": "shop-42.a_b"})
    assert echoed.headers["X-Request-ID"] == "shop-42.a_b"
    for forged in ("a b", "x" * 200, "é", "a;b"):
        own = (await api.ask("GET", "/v1/runs", headers={"X-Request-ID": forged})).headers["X-Request-ID"]
        assert own.startswith("req-")
    for name, value in (
        ("X-Content-Type-Options", "nosniff"),
        ("Cache-Control", "no-store"),
        ("X-Frame-Options", "DENY"),
    ):
        assert echoed.headers[name] == value
    assert "Server" not in echoed.headers


async def test_what_is_not_there_and_what_is_not_done(api: Api) -> None:
    """part of row C11"""
    assert (await api.ask("GET", "/v1/nothing")).json["code"] == "not_found"
    assert (await api.ask("DELETE", "/v1/runs")).json["code"] == "method_not_allowed"
    assert (await api.ask("POST", "/v1/runs", data=b"<run/>", headers={"Content-Type": "text/xml"})).status in {
        400,
        415,
    }


async def test_a_crash_says_nothing_of_itself(api: Api) -> None:
    """part of row B11"""

    class Broken:
        async def verify(self, text: str) -> object:
            raise RuntimeError("the password is hunter2")

    api.server.routes.state.doorkeeper._keys = Broken()
    answer = await api.ask("GET", "/v1/runs")
    assert (answer.status, answer.json["code"]) == (500, "internal")
    assert b"hunter2" not in answer.data
    assert b"Runtime" not in answer.data


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/runs", {"task": "x", "agent": "net", "labels": {str(number): "x" for number in range(65)}}),
        ("/v1/runs", {"task": "x", "agent": "net", "limits": {"seconds": -1}}),
        (f"{OPENAI}/chat/completions", {"model": "net", "messages": [{"role": "user", "content": []}]}),
    ],
)  # fmt: skip
async def test_what_cannot_be_meant_is_refused(api: Api, path: str, body: object) -> None:
    """part of row C11"""
    assert (await api.ask("POST", path, body=body)).status == 400
    assert (await api.ask("GET", "/v1/runs")).json["data"] == []


async def test_failures_of_ours_name_nothing_of_ours(api: Api) -> None:
    """No path, no address, and no blame on the caller's key for what a provider thinks of ours. part of row B11"""

    class Away:
        async def verify(self, text: str) -> object:
            raise Unavailable("/var/lib/quorate.db is away")

    ask = {"model": "groq:x", "messages": [{"role": "user", "content": "x"}]}
    strange = await api.ask("POST", f"{OPENAI}/chat/completions", body=ask)
    assert (strange.status, strange.json["error"]["code"]) == (502, "upstream_error")
    api.server.routes.state.doorkeeper._keys = Away()
    for path in ("/v1/runs", f"{OPENAI}/models"):
        answer = await api.ask("GET", path)
        assert answer.status == 503
        assert b"quorate.db" not in answer.data


async def test_only_a_trace_is_kept_as_one(api: Api) -> None:
    """Whatever else the header holds is nobody's, and in no log."""
    given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    for header, kept in ((given, given), ("x" * 9000, ""), (f"01{given[2:]}-{'x' * 900}", given)):
        run = await api.ask("POST", "/v1/runs", body={"task": "x", "agent": "net"}, headers={"traceparent": header})
        [head, *_] = await api.runtime.for_tenant("acme").log.read(run.json["id"])
        assert head.trace == kept  # type: ignore[union-attr]


async def test_only_hosts_of_ours_are_answered(tmp_path) -> None:  # type: ignore[no-untyped-def]
    async with serve(tmp_path / "quorate.db", hosts=["agents.acme.com", "127.0.0.1"]) as api:
        assert (await api.ask("GET", "/livez", role=None)).status == 200
        for host, status in (("agents.acme.com", 200), ("agents.acme.com:443", 200), ("evil.test", 400), ("", 400)):
            answer = await api.ask("GET", "/livez", role=None, headers={"Host": host})
            assert answer.status == status, host


async def test_a_page_of_a_stranger_asks_nothing_where_no_key_keeps_it_out(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """A browser on this machine would send what any page tells it to. part of row B11"""
    anybody = Identity(tenant="default", principal="local", role="operator")
    keys = KeyRing(MemoryValues(SYSTEM_CLOCK), pepper=PEPPER)
    door = Doorkeeper(keys, anybody=anybody)
    async with serve(tmp_path / "quorate.db", *build_agents(), doorkeeper=door, origins=["https://ours.test"]) as api:
        task = {"task": "x", "agent": "net"}
        for path, body in (("/v1/runs", task), ("/v1/runs/run-1/cancel", None), (f"{OPENAI}/models", None)):
            for headers in (
                {"Origin": "https://evil.test"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
                {"Host": "evil.test"},
            ):  # fmt: skip
                answer = await api.ask("POST", path, body=body, role=None, headers=headers)
                assert answer.status in (400, 403), (path, headers)
        text = {"Content-Type": "text/plain"}
        assert (await api.ask("POST", "/v1/runs", data=json.dumps(task), role=None, headers=text)).status == 415
        for headers in ({}, {"Origin": "https://ours.test"}, {"Host": "localhost:80"}, {"Host": "[::1]:80"}):
            assert (await api.ask("POST", "/v1/runs", body=task, role=None, headers=headers)).status == 202


@pytest.mark.parametrize("kind", ["application/JSON", "text/plain", "application/x-www-form-urlencoded", ""])
async def test_no_kind_of_body_goes_by_its_bounds(api: Api, kind: str) -> None:
    """part of row C11"""
    twice = b'{"task": "a", "agent": "net", "task": "b"}'
    for path in ("/v1/runs", f"{OPENAI}/chat/completions"):
        assert (await api.ask("POST", path, data=twice, headers={"Content-Type": kind})).status in (400, 415)
    packed = await api.ask("POST", "/v1/runs", data=b"x", headers={**JSON, "Content-Encoding": "gzip"})
    assert packed.status == 415


async def test_a_large_body_is_checked_in_time() -> None:
    """Each name is looked at once, whoever sends how many. part of row C11"""
    names = ",".join(f'"{number}":0' for number in range(80_000))
    with pytest.raises(InvalidInput, match="names '79999' twice"):
        check_json(f'{{{names},"79999":1}}'.encode())


async def test_a_body_that_is_cut_is_no_request() -> None:
    """Whoever leaves in the middle of a body has asked for nothing."""

    async def inner(scope: object, receive: object, send: object) -> None:
        raise AssertionError

    messages: list[dict[str, object]] = [
        {"type": "http.request", "body": b'{"task": "a"}', "more_body": True}, {"type": "http.disconnect"},
    ]  # fmt: skip

    async def receive() -> dict[str, object]:
        return messages.pop(0)

    scope = {"type": "http", "path": "/", "headers": [(b"content-type", b"application/json")]}
    await Edge(inner)(scope, receive, inner)  # type: ignore[arg-type]


async def test_web_pages_of_named_origins_may_ask(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """part of row C11"""
    async with serve(tmp_path / "quorate.db", *build_agents(), origins=["https://console.acme.com"]) as api:
        for origin, allowed in (("https://console.acme.com", True), ("https://evil.test", False)):
            for path in ("/v1/runs", f"{OPENAI}/models", "/nowhere"):
                for method, role in (("GET", "operator"), ("GET", None), ("OPTIONS", None)):
                    answer = await api.ask(method, path, role=role, headers={"Origin": origin})  # type: ignore[arg-type]
                    assert (answer.headers.get("Access-Control-Allow-Origin") == origin) is allowed, (method, path)
                    assert answer.headers["Vary"] == "origin"
                    assert "*" not in str(answer.headers)
            assert ("Access-Control-Allow-Methods" in answer.headers) is allowed


async def test_live_and_ready_differ(api: Api) -> None:
    """part of row B13"""
    assert (await api.ask("GET", "/livez", role=None)).json == {"status": "ok"}
    ready = await api.ask("GET", "/readyz", role=None)
    assert (ready.status, ready.json) == (200, {"status": "ok", "parts": [{"name": "database", "status": "ok"}]})
    assert (await api.ask("GET", "/health/detailed", role=None)).status == 401
    api.server.draining.set()
    assert (await api.ask("GET", "/health/ready", role=None)).status == 503
    assert (await api.ask("GET", "/health/live", role=None)).status == 200


async def test_the_schema_is_whole(api: Api) -> None:
    """Every route says who may take it, and is described with what it answers. part of row C11"""
    schema = (await api.ask("GET", "/schema/openapi.json", role=None)).json
    assert schema["openapi"].startswith("3.1")
    assert {"/v1/runs", "/v1/runs/{run_id}", "/v1/runs/{run_id}/events"} <= schema["paths"].keys()
    for path, methods in schema["paths"].items():
        for method, described in methods.items():
            assert described["summary"], (path, method)
            assert described["description"], (path, method)
