"""Does everything that a tenant has come back to it, and to nobody else, where the database itself keeps them apart?"""

from __future__ import annotations

import re

from tests.integration.server.conftest import build_agents, serve
from tests.integration.server.test_matrix import list_routes
from tests.integration.server.things import SHARED, THINGS
from tests.integration.state.test_row_security import ROLE, make_role

from quorate.server.openai.door import ROOT
from quorate.settings import Settings
from quorate.state.backends._postgres_tenants import BoundLog

ELSEWHERE = (
    "/v1/runs/{run_id:str}/approvals/{question_id:str}",
    "/v1/runs/{run_id:str}/feedback/{feedback_id:str}",
    f"{ROOT}/responses/{{response_id:str}}",
    "/v1/teams/{team_name:str}",
)
"""Where what is made for each id belongs to another run or principal, or is not there as no file says so."""
LISTS = ("runs", "sessions", "artifacts", "schedules", "webhooks", "keys", "feedback", "approvals", "audit")
ROUTES_OF_PROCESSES = ("/schema", "/livez", "/readyz", "/health", "/metrics")


async def test_whatever_is_read_is_read_by_its_owner_alone(postgres_dsn: str) -> None:
    """Each route that reads, under row-level security, as an admin of either tenant. part of row C12"""
    await make_role(postgres_dsn)
    settings = Settings(database_tenant_role=ROLE)
    async with serve(postgres_dsn, *build_agents(), settings=settings) as api:  # type: ignore[arg-type]
        assert isinstance(api.runtime.for_tenant("acme").store.log, BoundLog)
        things = {name: await make(api) for name, make in THINGS.items()}
        made = {"name": "disks", "task": "Is it up?", "agent": "net", "every_s": 3600}
        assert (await api.ask("POST", "/v1/schedules", body=made)).status == 201
        assert (await api.ask("PUT", "/v1/state/tenant/values/greeting", body={"value": "hello"})).status < 300
        found = dict[str, tuple[int, int]]()
        for method, path, _ in list_routes(api.server):
            if method != "GET" or path.startswith(ROUTES_OF_PROCESSES):
                continue
            place = path
            for name, thing in {**SHARED, **things}.items():
                place = re.sub(rf"{{{name}:\w+}}", thing, place)
            own = await api.ask("GET", place, role="admin")
            strange = await api.ask("GET", place, role="admin", tenant="globex")
            found[path] = own.status, strange.status
            if any(f"{{{name}:" in path for name in things):
                assert strange.status == 404, path
        # Without parameters that they need, some are refused before anything is read.
        assert {path for path, (own, _) in found.items() if own not in (200, 400, 406)} <= {*ELSEWHERE}
        for name in LISTS:
            own, strange = [
                (await api.ask("GET", f"/v1/{name}", role="admin", tenant=tenant)).json["data"]
                for tenant in ("acme", "globex")
            ]
            assert own, name
            assert name in ("keys", "audit") or strange == [], name
