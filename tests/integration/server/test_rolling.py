"""Does anybody notice when replicas are restarted one after the other?"""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
from tests.integration.server.conftest import Api, build_agents, serve
from tests.integration.server.rolling import Proxy, send_many

REQUESTS = 300
PER_SECOND = 150.0
ACCEPT_S = 600.0
"""Requests are taken until the proxy knows, however long that takes here; `quorate serve` gives it some seconds."""


class Replica:
    """A server that is begun again on the same database."""

    def __init__(self, name: str, database: Path, proxy: Proxy) -> None:
        self.name = name
        self._database = database
        self._proxy = proxy
        self._stack = AsyncExitStack()
        self.api: Api

    async def begin(self) -> None:
        self.api = await self._stack.enter_async_context(
            serve(self._database, *build_agents(), accept_s=ACCEPT_S),
        )
        self._proxy.replicas[self.name] = self.api.url

    async def leave(self) -> None:
        self.api.listener.leave()
        await self.api.listener.ended.wait()
        await self._stack.aclose()

    async def restart(self) -> None:
        self.api.listener.handle_exit(signal.SIGTERM, None)
        await self._proxy.until(self.name, is_ready=False)
        await self.leave()
        await self.begin()
        await self._proxy.until(self.name, is_ready=True)


async def test_a_rolling_restart_is_invisible(tmp_path: Path) -> None:
    """Two replicas, each restarted under load: every request is answered, and every run that was accepted is done.

    part of row B13
    """
    database, proxy = tmp_path / "quorate.db", Proxy()
    replicas = [Replica(name, database, proxy) for name in ("a", "b")]
    accepted: set[str] = set()
    begun = 0

    def note(place: int) -> None:
        nonlocal begun
        begun = place

    for replica in replicas:
        await replica.begin()
    try:
        key = await replicas[0].api.key()
        connector = aiohttp.TCPConnector(limit=0)
        async with (
            proxy.open(),
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}, connector=connector) as http,
        ):
            for replica in replicas:
                await proxy.until(replica.name, is_ready=True)

            async def ask(place: int) -> str:
                if place % 5:
                    async with http.get(f"{proxy.url}/v1/runs?limit=1") as answer:
                        return str(answer.status)
                task = {"task": "Is it up?", "agent": "net"}
                async with http.post(f"{proxy.url}/v1/runs?wait=30", json=task) as answer:
                    if answer.status in (200, 202):
                        accepted.add((await answer.json())["id"])
                    return str(answer.status)

            async with asyncio.TaskGroup() as group:
                sending = group.create_task(send_many(ask, number=REQUESTS, per_second=PER_SECOND, done=note))
                for replica, place in zip(replicas, (20, 120), strict=True):
                    while begun < place:
                        await asyncio.sleep(0.01)
                    await replica.restart()
            found = sending.result()
        assert sum(found.values()) == REQUESTS
        assert set(found) <= {"200", "202"}, found
        assert len(accepted) == REQUESTS / 5
        for run in accepted:
            summary = await replicas[0].api.runtime.for_tenant("acme").show(run)
            assert summary.status == "completed"
    finally:
        for replica in replicas:
            await replica.leave()
