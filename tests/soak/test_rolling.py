"""Does nobody notice a rolling restart, and do health and overload keep their figures? `make soak`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from tests.acceptance.cli.conftest import AGENT, QUORATE, SLOW
from tests.integration.server.rolling import Proxy, send_many

from quorate.testing.nats_server import open_nats_server
from quorate.testing.postgres_server import open_postgres_server

pytestmark = [pytest.mark.soak, pytest.mark.timeout(0)]

REQUESTS = int(os.environ.get("ROLLING_REQUESTS", "10000"))
PER_SECOND = float(os.environ.get("ROLLING_RATE", "200"))
TASK = {"task": "watch the disk"}


class Replica:
    """A `quorate serve` that is stopped by SIGTERM and begun again."""

    def __init__(self, name: str, project: Path, env: dict[str, str]) -> None:
        self.name = name
        self.url = ""
        self._project = project
        self._env = env
        self._process: asyncio.subprocess.Process | None = None

    async def begin(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            QUORATE, "serve", "--port", "0", "--json", cwd=self._project, env=self._env,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.url = json.loads(await self._process.stdout.readline())["url"]

    async def leave(self) -> int:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return await self._process.wait()

    def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "agents").mkdir()
    (tmp_path / "quorate.toml").write_text('[agents]\ndirectories = ["agents"]\n', encoding="utf-8")
    (tmp_path / "agents/disk-watch.md").write_text(AGENT, encoding="utf-8")
    return tmp_path


def build_env(**more: str) -> dict[str, str]:
    known = {name: value for name, value in os.environ.items() if name != SLOW}
    return {**known, "QUORATE_SERVER__SECRET": bytes(range(32)).hex(), **more}


async def make_key(project: Path, env: dict[str, str]) -> str:
    made = await asyncio.create_subprocess_exec(
        QUORATE, "keys", "create", cwd=project, env=env, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await made.communicate()
    return out.decode().strip()


async def tell(answer: aiohttp.ClientResponse) -> str:
    """Say what an answer is, and why where it is none."""
    return str(answer.status) if answer.ok else f"{answer.status} {(await answer.text())[:300]}"


@asynccontextmanager
async def replicas(project: Path, env: dict[str, str], *names: str) -> AsyncIterator[list[Replica]]:
    found = [Replica(name, project, env) for name in names]
    try:
        for replica in found:
            await replica.begin()
        yield found
    finally:
        for replica in found:
            replica.kill()


async def test_a_rolling_restart_of_two_replicas(project: Path) -> None:
    """200 requests a second, and both replicas restarted again and again: none of 10,000 fails. Promise R12."""
    with open_postgres_server() as database:
        env = build_env(QUORATE_DATABASE=await database.create_database())
        key, proxy = await make_key(project, env), Proxy()
        accepted: set[str] = set()
        async with replicas(project, env, "a", "b") as servers, proxy.open():
            for server in servers:
                proxy.replicas[server.name] = server.url
                await proxy.until(server.name, is_ready=True)
            headers = {"Authorization": f"Bearer {key}"}
            async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0)) as http:

                async def ask(place: int) -> str:
                    if place % 10:
                        async with http.get(f"{proxy.url}/v1/runs?limit=1") as answer:
                            return await tell(answer)
                    async with http.post(f"{proxy.url}/v1/runs", json=TASK) as answer:
                        if answer.status == 202:
                            accepted.add((await answer.json())["id"])
                        return await tell(answer)

                async def restart() -> int:
                    restarts = 0
                    while True:
                        server = servers[restarts % 2]
                        assert await server.leave() == 0
                        await server.begin()
                        proxy.replicas[server.name] = server.url
                        await proxy.until(server.name, is_ready=True)
                        restarts += 1
                        done.append(restarts)

                done: list[int] = []
                async with asyncio.TaskGroup() as group:
                    restarting = group.create_task(restart())
                    found = await send_many(ask, number=REQUESTS, per_second=PER_SECOND, done=lambda place: None)
                    restarting.cancel()
                print(dict(found), "restarts:", len(done))
                assert sum(found.values()) == REQUESTS
                assert set(found) <= {"200", "202"}, found
                assert len(done) >= 2
                left = Counter[str]()
                end = time.monotonic() + 120
                while time.monotonic() < end:
                    left.clear()
                    for run in accepted:
                        async with http.get(f"{proxy.url}/v1/runs/{run}") as answer:
                            left[(await answer.json())["status"]] += 1
                    if set(left) == {"completed"}:
                        break
                    await asyncio.sleep(0.5)
                assert set(left) == {"completed"}, left


async def test_readiness_turns_in_time(project: Path) -> None:
    """Within a second of a loss, and within two of the return, of a database and of a bus. Promise R13."""
    with open_postgres_server() as database, open_nats_server() as nats:
        env = build_env(
            QUORATE_DATABASE=await database.create_database(), QUORATE_BUS_URL=nats.url, QUORATE_BUS__EVENTS="true"
        )
        async with replicas(project, env, "a") as [server], aiohttp.ClientSession() as http:

            async def until(status: int) -> float:
                began = time.monotonic()
                while True:
                    async with http.get(f"{server.url}/readyz") as answer:
                        if answer.status == status:
                            return time.monotonic() - began
                    async with http.get(f"{server.url}/livez") as answer:
                        assert answer.status == 200
                    await asyncio.sleep(0.02)

            await until(200)
            for what in (database, nats):
                for lose, find in ((what.kill, what.start), (what.pause, what.resume)):
                    await asyncio.to_thread(lose)
                    away = await until(503)
                    await asyncio.sleep(3)
                    await asyncio.to_thread(find)
                    back = await until(200)
                    print(type(what).__name__, lose.__name__, f"{away:.2f} s", f"{back:.2f} s")
                    assert away <= 1.0
                    assert back <= 2.0
