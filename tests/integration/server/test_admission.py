"""Does a server that has too much to do say so at once, and go on with what it has?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.server.conftest import Api, build_agents, serve

from quorate.server.admission import MEMORY_SHARE, Admission, Room
from quorate.server.pulse import Pulse, read_memory_bytes
from quorate.server.sockets import PATH

PATIENCE_S = 60
SLOW = {"task": "x", "agent": "slow"}
ROOM = Room(most=3)


@pytest.fixture
async def narrow(tmp_path: Path) -> AsyncIterator[Api]:
    async with serve(tmp_path / "quorate.db", *build_agents(), room=ROOM) as api:
        yield api


async def until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


async def test_what_is_too_much_is_refused_at_once(narrow: Api) -> None:
    """With a code and a time to come again; health is told all the same, and what is under way goes on. part of row C11"""
    admission = narrow.server.looks.admission
    assert admission is not None
    run = (await narrow.ask("POST", "/v1/runs", body=SLOW)).json["id"]
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        waiting = [group.create_task(narrow.ask("POST", "/v1/runs?wait=60", body=SLOW)) for _ in range(ROOM.most)]
        await until(lambda: admission.under_way == ROOM.most)
        for headers in ({}, {"X-Request-ID": "mine"}):
            refused = await narrow.ask("GET", "/v1/runs", headers=headers)
            assert (refused.status, refused.json["code"]) == (503, "overloaded")
            assert refused.json["retryable"] is True
            assert int(refused.headers["Retry-After"]) >= 1
            assert refused.json["request_id"] == headers.get("X-Request-ID", refused.json["request_id"])
        assert (await narrow.ask("GET", "/livez", role=None)).status == 200
        ready = await narrow.ask("GET", "/readyz", role=None)
        assert (ready.status, ready.json["parts"][-1]) == (
            503,
            {"name": "load", "status": "down", "reason": "overloaded"},
        )
        detailed = (await narrow.ask("GET", "/health/detailed")).json
        assert detailed["under_way"] == ROOM.most
        socket = await narrow.ask(
            "GET", PATH, headers={"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                                  "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="},
        )  # fmt: skip
        assert (socket.status, socket.json["code"]) == (503, "overloaded")
        for task in waiting:
            task.cancel()
    await until(lambda: admission.under_way == 0)
    assert (await narrow.ask("GET", "/readyz", role=None)).status == 200
    assert (await narrow.ask("GET", f"/v1/runs/{run}")).json["status"] == "running"


async def test_streams_take_no_room_once_they_begin(narrow: Api) -> None:
    """Neither events nor WebSockets: those have bounds of their own."""
    admission = narrow.server.looks.admission
    assert admission is not None
    run = (await narrow.ask("POST", "/v1/runs", body=SLOW)).json["id"]
    headers = {"Authorization": f"Bearer {await narrow.key()}"}
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        release, begun = asyncio.Event(), list[object]()

        async def read() -> None:
            accept = {**headers, "Accept": "text/event-stream"}
            async with narrow.http.get(f"{narrow.url}/v1/runs/{run}/events", headers=accept) as response:
                assert response.status == 200
                begun.append(response)
                await release.wait()

        async def talk() -> None:
            async with narrow.http.ws_connect(f"{narrow.url}{PATH}", headers=headers) as ws:
                await ws.receive()
                begun.append(ws)
                await release.wait()

        for number in range(4 * ROOM.most):
            group.create_task((read, talk)[number % 2]())
            await until(lambda: len(begun) > number)
        await until(lambda: admission.under_way == 0)
        assert len(narrow.server.routes.state.seats) == 2 * ROOM.most
        assert (await narrow.ask("GET", f"/v1/runs/{run}")).status == 200
        release.set()


async def test_lag_and_memory_refuse_too() -> None:
    """Lag only where much is under way: a moment in which the machine had other things to do is no reason."""
    assert read_memory_bytes() > 1 << 20
    pulse = Pulse()

    async def inner(scope: object, receive: object, send: object) -> None:
        raise AssertionError

    admission = Admission(inner, pulse=pulse, room=Room(calm=10, lag_s=0.1, memory_bytes=1000))  # type: ignore[arg-type]
    pulse.lag_s = pulse.steady_s = 5.0
    admission.under_way = 9
    assert admission.find_refusal() == ""
    admission.under_way = 10
    assert "more to do" in admission.find_refusal()
    pulse.steady_s = 0.05
    assert admission.find_refusal() == ""
    admission.under_way = 20
    assert "more to do" in admission.find_refusal()
    pulse.lag_s = 0.05
    assert admission.find_refusal() == ""
    pulse.memory_bytes = int(1000 * MEMORY_SHARE) + 1
    assert "memory" in admission.find_refusal()
