"""One server for a module: what a test left is taken away before the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.integration.server.conftest import Api

from quorate.server.changes import MAX_WATCHES
from quorate.server.streams import Seats
from quorate.server.transfers import Transfers
from quorate.state.audit import AuditRow

PATIENCE_S = 60
KEPT = ("session/", "state/", "artifact/", "http/")


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.02)


async def wipe(api: Api) -> None:
    """Take away what a tenant keeps, but for its keys and its audit trail."""
    await until(lambda: not api.listener.server_state.tasks)
    store = api.runtime.store
    while runs := await store.log.list_runs(limit=500):
        for run in runs:
            await store.log.delete(run.run)
    for prefix in KEPT:
        while entries := await store.values.scan(prefix, limit=500):
            for entry in entries:
                await store.values.delete(entry.key)
    for blob in await store.blobs.list_blobs():
        await store.blobs.delete(blob.name)
    api.server.routes.state.transfers = Transfers()
    api.server.routes.state.watches = Seats(MAX_WATCHES, what="watches")
    api.server.closing.clear()


async def find_end(api: Api) -> int:
    """The last row of the audit trail."""
    return (await api.runtime.for_tenant("acme").audit.find_head()).seq


async def read_audit(api: Api, after: int, area: str) -> list[AuditRow]:
    """What was noted about something since."""
    rows = await api.runtime.for_tenant("acme").audit.read(after=after)
    return [row for row in rows if row.action.startswith(f"{area}.")]
