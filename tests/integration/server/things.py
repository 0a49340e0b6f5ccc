"""What stands for each id in a path, and what a route is sent that wants something."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from tests.integration.server.conftest import Api

from quorate.server.openai.door import ROOT

TASK = {"task": "Is it up?", "agent": "net"}


async def make_run(api: Api) -> str:
    return str((await api.ask("POST", "/v1/runs?wait=30", body=TASK)).json["id"])


THINGS: Mapping[str, Callable[[Api], Awaitable[str]]] = {
    "run_id": make_run,
}
"""What belongs to the tenant `acme`, by the name it has in paths, and how it is made."""

SHARED: Mapping[str, str] = {}
"""What all tenants see, by the name it has in paths."""

BODIES: Mapping[str, object] = {
    "/v1/runs": TASK,
    f"{ROOT}/chat/completions": {"model": "net", "messages": [{"role": "user", "content": "Is it up?"}]},
}
"""What a route is sent, by its path as it is declared; an empty object where it is not here.

Whoever may not is refused before it is read.
"""
