"""Does every route, of the framework and beside it, let in those who may and nobody else?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from litestar.routes import HTTPRoute
from tests.integration.server.conftest import Api
from tests.integration.server.things import BODIES, SHARED, THINGS

from quorate.errors import InvalidInput
from quorate.security.identity import Identity, Need, Role
from quorate.server.access import NEED, OPEN, check_routes, need
from quorate.server.anthropic.door import ROOT as ANTHROPIC
from quorate.server.app import Server
from quorate.server.openai.door import ROOT

ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")


def list_routes(server: Server) -> Iterator[tuple[str, str, object]]:
    """List everything that answers: method, path and what it needs."""
    for route in server.routes.routes:
        assert isinstance(route, HTTPRoute)
        for handler in route.route_handlers:
            for method in handler.http_methods:
                yield str(method), route.path, handler.opt.get(NEED)
    for root, door in ((ROOT, server.openai), (ANTHROPIC, server.anthropic)):
        for (method, path), (needed, _) in door.routes.items():
            yield method, f"{root}{path}", needed


def find_status(needed: object, *, role: Role | None, scopes: tuple[str, ...] = ()) -> int:
    """Find how somebody is refused, by what a route says alone; 0 when they are not."""
    if needed == OPEN:
        return 0
    if role is None:
        return 401
    assert isinstance(needed, Need)
    identity = Identity(tenant="acme", principal="x", role=role, scopes=scopes)
    return 0 if identity.may(needed) else 403


async def ask(api: Api, method: str, path: str, template: str, **options: object) -> int:
    body = BODIES.get(template, {}) if method in ("POST", "PUT", "PATCH") else None
    return (await api.ask(method, path, body=body, **options)).status  # type: ignore[arg-type]


async def test_every_route_lets_in_who_may(api: Api) -> None:
    """All routes, roles, tenants and ids: what is told follows from what the route says it needs. row: C12, B11"""
    things = {name: await make(api) for name, make in THINGS.items()}
    routes = list(list_routes(api.server))
    assert {f"{ROOT}/models", "/v1/runs", "/livez"} <= {path for _, path, _ in routes}
    for method, path, needed in routes:
        assert needed == OPEN or isinstance(needed, Need), (method, path)
        place = path.replace("/schema/{path:str}", "/schema/x")
        for name, thing in {**SHARED, **things}.items():
            place = re.sub(rf"{{{name}:\w+}}", thing, place)
        assert "{" not in place, f"{path} has an id: say in things.py what belongs to somebody"
        expected = find_status(needed, role=None)
        for headers in ({}, {"Authorization": "Bearer nothing"}):
            status = await ask(api, method, place, path, role=None, headers=headers)
            assert status == expected if expected else status not in (401, 403), (method, path, status)
        area = needed.area if isinstance(needed, Need) else ""
        for role in ROLES:
            strange = ("artifacts:*",) if role == "admin" else (f"{area}:*",)  # the role adds nothing to a scope
            for scopes in dict.fromkeys(((), (f"{area}:*",), strange)) if area else ((),):
                expected = find_status(needed, role=role, scopes=scopes)
                status = await ask(api, method, place, path, role=role, scopes=scopes)
                assert status == expected if expected else status not in (401, 403), (method, path, role, scopes)
            if any(f"{{{name}:" in path for name in things):  # another tenant's
                status = await ask(api, method, place, path, role=role, tenant="globex")
                assert status in (204, find_status(needed, role=role) or 404), (method, path, role, status)


async def test_no_way_around_leads_in(api: Api) -> None:
    """Other spellings of a path and of a method are answered like the path, or not at all. part of row B11"""
    run = (await api.ask("POST", "/v1/runs?wait=30", body=BODIES["/v1/runs"])).json["id"]
    for path in ("/v1/runs", f"/v1/runs/{run}", f"/v1/runs/{run}/events", f"{ROOT}/models", "/health/detailed"):
        head, _, last = path.rpartition("/")
        for spelled in (
            path, f"{path}/", f"/{path}", f"{head}//{last}", f"{head}/./{last}", f"{head}/x/../{last}", path.upper(),
            f"{head}%2F{last}", f"{head}/%{ord(last[0]):02x}{last[1:]}", f"/schema/..{path}", f"/livez/..{path}",
            f"{path}%00", f"{path};/livez", f"{path}?x=/livez", f"{ROOT}/..{path}", f"{ROOT}{path}", f"{path}/livez",
        ):  # fmt: skip
            for method in ("GET", "HEAD", "POST", "OPTIONS", "PUT", "TRACE", "PROPFIND"):
                answer = await api.ask(method, spelled, role=None)
                is_told = answer.status in (200, 202) and method != "OPTIONS"
                assert not is_told, (method, spelled, answer.status)
                assert run.encode() not in answer.data or answer.status == 404


async def test_methods_that_are_not_there_are_told_so(api: Api) -> None:
    """part of row C11"""
    for path in ("/v1/runs", f"{ROOT}/models"):
        assert (await api.ask("DELETE", path)).status == 405, path
    assert (await api.ask("DELETE", f"{ROOT}/models")).headers["Allow"] == "GET"


async def test_the_server_is_mounted_in_another_application(api: Api) -> None:
    """Its routes are below the place where it is mounted, those beside the framework too. part of row C11"""
    key = f"Bearer {await api.key()}".encode()

    async def get(path: str, *, root: str) -> int:
        statuses: list[int] = []

        async def send(message: Any) -> None:
            statuses.append(message.get("status", 0))

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": path,
            "raw_path": path.encode(), "root_path": root, "query_string": b"", "scheme": "http",
            "server": ("x", 80), "client": ("127.0.0.1", 1), "headers": [(b"authorization", key)],
        }  # fmt: skip
        await api.server.asgi(scope, receive, send)  # type: ignore[arg-type]
        return statuses[0]

    for path in ("/v1/runs", f"{ROOT}/models", "/livez"):
        assert await get(path, root="") == 200
        assert await get(f"/agents{path}", root="/agents") == 200
        assert await get(f"/elsewhere{path}", root="/agents") == 404


async def test_a_route_that_says_nothing_does_not_start(api: Api) -> None:
    """part of row B11"""
    handler = next(one for one in api.server.routes.routes if one.path == "/v1/runs").route_handlers[0]  # type: ignore[union-attr]
    said = handler.opt.pop(NEED)
    try:
        with pytest.raises(InvalidInput, match="/v1/runs"):
            check_routes(api.server.routes)
    finally:
        handler.opt[NEED] = said
    assert need("runs", "read") == {NEED: Need("runs", "read")}
