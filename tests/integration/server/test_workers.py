"""Can a server take tasks that workers do?"""

from __future__ import annotations

from pathlib import Path

from tests.integration.server.conftest import build_agents, serve

from quorate.assembly import open_runtime
from quorate.runtime.worker import Worker
from quorate.settings import Settings


async def test_a_server_takes_what_a_worker_does(tmp_path: Path) -> None:
    """It queues the run; whoever waits there hears of its end from the record."""
    database = tmp_path / "quorate.db"
    async with serve(database, *build_agents(), works=False) as api:
        accepted = await api.ask("POST", "/v1/runs", body={"task": "Is it up?", "agent": "net"})
        assert (accepted.status, accepted.json["status"]) == (202, "queued")
        async with open_runtime(Settings(database=str(database)), agents=build_agents()) as elsewhere:
            await Worker(elsewhere).run(until_idle=True)
        shown = (await api.ask("GET", f"/v1/runs/{accepted.json['id']}")).json
    assert (shown["status"], shown["output"]) == ("completed", "Port 8080 is closed.")
