"""Does health tell the truth while a database or a bus comes and goes?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from tests.integration.server.conftest import Api, build_agents, serve

from quorate.errors import StorageFull, Unavailable
from quorate.server.health import CHECK_S, FRESH_S, LATE_S, STUCK_S, Looks, _look
from quorate.server.pulse import STEADY_BEATS, Pulse
from quorate.settings import Settings
from quorate.settings.values import BusSettings
from quorate.testing.nats_server import open_nats_server
from quorate.testing.postgres_server import open_postgres_server

PATIENCE_S = 60


async def ready(api: Api) -> tuple[int, dict[str, str]]:
    """The status of readiness, and of each part that is down the reason."""
    answer = await api.ask("GET", "/readyz", role=None)
    return answer.status, {part["name"]: part["reason"] for part in answer.json.get("parts", ()) if "reason" in part}


async def until_ready(api: Api, status: int) -> dict[str, str]:
    """Wait until readiness says so, and return its reasons; what lives goes on living meanwhile."""
    async with asyncio.timeout(PATIENCE_S):
        while (found := await ready(api))[0] != status:
            assert (await api.ask("GET", "/livez", role=None)).status == 200
            await asyncio.sleep(0.02)
    assert (await api.ask("GET", "/livez", role=None)).status == 200
    return found[1]


def test_a_loss_is_told_within_a_second() -> None:
    """Whatever the dependency does: what is told is at most so old, and nothing is waited for longer. part of row B13"""
    assert CHECK_S + FRESH_S < 1.0


@asynccontextmanager
async def on_postgres(tmp_path: Path) -> AsyncIterator[tuple[Api, Any]]:
    with open_postgres_server() as database:
        dsn = await database.create_database()
        async with serve(tmp_path, *build_agents(), address=dsn) as api:
            yield api, database


async def test_ready_follows_a_database(tmp_path: Path) -> None:
    """Killed, started again, and standing still: what lives goes on living. row: B13"""
    async with on_postgres(tmp_path) as (api, database):
        assert await ready(api) == (200, {})
        await asyncio.to_thread(database.kill)
        reasons = await until_ready(api, 503)
        assert reasons.keys() == {"database"}
        assert reasons["database"] in ("unavailable", "deadline_exceeded")
        answer = await api.ask("GET", "/readyz", role=None)
        assert api.runtime.store.name not in answer.data.decode()
        await asyncio.to_thread(database.start)
        assert await until_ready(api, 200) == {}
        await asyncio.to_thread(database.pause)  # connections stay open, and nothing answers
        assert await until_ready(api, 503) == {"database": "deadline_exceeded"}
        await asyncio.to_thread(database.resume)
        await until_ready(api, 200)
        detailed = (await api.ask("GET", "/health/detailed", role="viewer")).json
        assert (detailed["status"], detailed["parts"]) == ("ok", [{"name": "database", "status": "ok"}])
        assert detailed["memory_bytes"] > 1 << 20


async def test_ready_follows_a_bus_and_its_streams(tmp_path: Path) -> None:
    """Killed and restarted; and one that answers without what keeps its streams is not ready. part of row B13"""
    with open_nats_server() as nats:
        bus = BusSettings(url=nats.url, events=True)
        async with serve(tmp_path / "quorate.db", *build_agents(), settings=Settings(bus=bus)) as api:
            await until_ready(api, 200)
            await asyncio.to_thread(nats.kill)
            assert (await until_ready(api, 503)).keys() == {"bus"}
            detail = (await api.ask("GET", "/health/detailed")).json
            assert detail["status"] == "down"
            assert next(part for part in detail["parts"] if part["name"] == "bus")["detail"]
            await asyncio.to_thread(nats.start)
            await until_ready(api, 200)
            run = await api.ask("POST", "/v1/runs?wait=30", body={"task": "x", "agent": "net"})
            assert run.json["status"] == "completed"
    with open_nats_server(jetstream=False) as nats:
        for events, status in ((True, 503), (False, 200)):
            bus = BusSettings(url=nats.url, events=events)
            async with serve(tmp_path / f"{events}.db", settings=Settings(bus=bus)) as api:
                await until_ready(api, status)


async def test_many_who_ask_cost_no_more_than_one(tmp_path: Path) -> None:
    """A dependency is looked at a few times a second, however often somebody asks."""
    async with serve(tmp_path / "quorate.db") as api:
        looked = 0
        moment = 100.0

        async def check() -> None:
            nonlocal looked
            looked += 1

        store = structs.replace(api.runtime.store, check=check)
        api.runtime.store = store
        looks = Looks(api.runtime, monotonic=lambda: moment)
        await asyncio.gather(*(looks.look() for _ in range(50)))
        assert looked == 1
        moment += FRESH_S * 1.01
        await looks.look()
        assert looked == 2


async def test_what_cannot_be_written_is_not_ready(tmp_path: Path) -> None:
    """A full disk can be read, and a schema may be another one's. part of row B13"""

    class Full:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        async def put(self, key: str, value: bytes, **options: Any) -> None:
            raise StorageFull("there is no room in /var/lib/secret.db")

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

    async def check() -> None:
        raise Unavailable("the tables are those of another version")

    async with serve(tmp_path / "quorate.db") as api:
        assert (await ready(api))[0] == 200
        kept = api.runtime.store
        for broken, reason in (
            (structs.replace(kept, values=Full(kept.values)), "storage_full"),
            (structs.replace(kept, check=check), "unavailable"),
        ):
            api.runtime.store = broken
            looks = api.server.routes.state["looks"] = Looks(api.runtime, monotonic=time.monotonic)
            assert await ready(api) == (503, {"database": reason})
            assert looks.runtime is api.runtime
            assert b"secret" not in (await api.ask("GET", "/readyz", role=None)).data
        assert (await api.ask("GET", "/livez", role=None)).status == 200


async def test_a_process_that_is_stuck_says_so(tmp_path: Path) -> None:
    """By how late it is with what it has to do, and by nothing else. part of row B13"""
    async with serve(tmp_path / "quorate.db") as api:
        assert api.server.looks.pulse is not None
        assert (await api.ask("GET", "/health/live", role=None)).status == 200
        api.server.looks.pulse = pulse = Pulse()
        pulse.lag_s = STUCK_S + 1
        assert (await api.ask("GET", "/health/live", role=None)).status == 503


async def test_the_pulse_is_how_late_things_are() -> None:
    """Half a second of work counts, a moment of it does not."""
    now, waits = 0.0, [0.05] * 3 + [1.05] + [0.05] * 3

    async def sleep(seconds: float) -> None:
        nonlocal now
        if not waits:
            raise asyncio.CancelledError
        now += waits.pop(0)

    pulse = Pulse(sleep=sleep, monotonic=lambda: now, read_memory=lambda: 7)
    with pytest.raises(asyncio.CancelledError):
        await pulse.beat()
    assert pulse.memory_bytes == 7
    assert 0.05 < pulse.lag_s < 0.2
    assert pulse.steady_s == 0, "a moment in which everything stood still"
    waits += [0.25] * (2 * STEADY_BEATS)
    with pytest.raises(asyncio.CancelledError):
        await pulse.beat()
    assert 0.1 < pulse.steady_s <= pulse.lag_s, "it lasts"


async def test_who_was_late_looks_again() -> None:
    """That nothing answered while we did nothing ourselves says nothing about it; nothing twice does. part of row B13"""
    looks = list[int]()

    async def check() -> None:
        looks.append(1)
        if len(looks) == 1:
            time.sleep(CHECK_S + 2 * LATE_S)  # the loop stands still, as on a machine that is busy
            await asyncio.Event().wait()

    assert (await _look("database", check)).status == "ok"
    assert len(looks) == 2
