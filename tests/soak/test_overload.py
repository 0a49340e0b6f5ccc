"""Does a server to which five times too much comes still do what it can? `make soak`."""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path

import aiohttp
import pytest
from tests.integration.server.rolling import send_many
from tests.soak.test_rolling import TASK, build_env, make_key, project, replicas

__all__ = ["project"]
pytestmark = [pytest.mark.soak, pytest.mark.timeout(0)]

SECONDS = 15.0
CALLERS = 64
TIMES = 5
MIN_SHARE = 0.8
MAX_REFUSAL_S = 0.05


async def test_what_is_too_much_is_shed(project: Path, tmp_path: Path) -> None:
    """At five times capacity four fifths of it are done, and the rest is refused within 50 ms. Promise R14."""
    env = build_env(QUORATE_DATABASE=str(tmp_path / "quorate.db"), QUORATE_SERVER__CONNECTIONS="100000")
    key = await make_key(project, env)
    headers = {"Authorization": f"Bearer {key}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        replicas(project, env, "a") as [server],
        aiohttp.ClientSession(headers=headers, connector=connector) as http,
    ):
        refusals: list[float] = []

        async def ask(place: int) -> str:
            began = time.monotonic()
            async with http.post(f"{server.url}/v1/runs?wait=60", json=TASK) as answer:
                await answer.read()
                if answer.status == 503:
                    refusals.append(time.monotonic() - began)
                return str(answer.status)

        done, end = 0, time.monotonic() + SECONDS

        async def call() -> None:
            nonlocal done
            while time.monotonic() < end:
                status = await ask(0)
                done += status == "200"

        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(call())
        peak = done / SECONDS
        refusals.clear()
        began = time.monotonic()
        found = await send_many(
            ask, number=int(TIMES * peak * SECONDS), per_second=TIMES * peak, done=lambda place: None
        )
        goodput = found["200"] / (time.monotonic() - began)
        p99 = statistics.quantiles(refusals, n=100)[98] if len(refusals) > 1 else 0.0
        print(
            f"peak {peak:.0f}/s, goodput {goodput:.0f}/s of {TIMES * peak:.0f}/s, {dict(found)}, refused in {p99:.3f} s"
        )
        assert set(found) <= {"200", "503"}, found
        assert goodput >= MIN_SHARE * peak
        assert p99 <= MAX_REFUSAL_S
