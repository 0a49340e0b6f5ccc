"""What becomes of a task that kills whoever takes it, again and again?"""

import asyncio
import sys
from pathlib import Path

from quorate import Settings
from quorate.agent.errand import build_task_rules, name_task_queue
from quorate.agent.remote import RemoteAgent
from quorate.assembly import open_store
from quorate.bus.backends.nats import open_nats_bus
from quorate.bus.subjects import build_dead_subject
from quorate.events import ATTEMPTS, RunWaiting
from quorate.testing.nats_server import open_nats_server

PROGRAM = Path(__file__).with_name("poisoned.py")
BOUND_S = 120


async def test_a_task_that_kills_its_servers_is_a_dead_letter(tmp_path: Path) -> None:
    """Once, with its reason and how often it was tried; whoever asked is told that it rests. row: C13"""
    database, deaths = str(tmp_path / "quorate.db"), 0
    rules = build_task_rules(["net"], tenant="acme", ack_wait_s=1.0)
    with open_nats_server() as server:
        async with asyncio.timeout(BOUND_S), open_nats_bus(server.url, tenant="acme", streams=rules) as bus:

            async def serve() -> None:
                """Another server comes whenever one has died."""
                nonlocal deaths
                while True:
                    process = await asyncio.create_subprocess_exec(sys.executable, PROGRAM, server.url, database)
                    try:
                        deaths += await process.wait() == -9
                    finally:
                        if process.returncode is None:
                            process.kill()
                            await process.wait()

            async with (
                asyncio.TaskGroup() as group,
                bus.subscribe(build_dead_subject(name_task_queue("net"), "acme"), after=0) as dead,
            ):
                serving = group.create_task(serve())
                asked = RemoteAgent("net", bus=bus, tenant="acme", patience_s=60)
                result = await asked.run("bite")
                letter = await anext(aiter(dead))
                serving.cancel()
        async with open_store(Settings(database=database)) as store:
            log = await store.log.read(result.run_id)
    assert result.status == "waiting"
    assert isinstance(log[-1], RunWaiting)
    assert log[-1].reason == "parked"
    assert sum(isinstance(event, ATTEMPTS) for event in log) == 3  # two that died, and the one that put it aside
    assert deaths == 2
    reason = letter.headers["Quorate-Reason"]
    assert f"Run {result.run_id!r} was put aside, and a person must look at it: 2 attempts in a row ended" in reason
    assert int(letter.headers["Quorate-Attempts"]) >= 3
    assert letter.headers["Quorate-Queue"] == name_task_queue("net")
