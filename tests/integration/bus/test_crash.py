"""Is the work of a process that is killed done by another one, and work that kills put aside?"""

import asyncio
import subprocess
import time
from collections import Counter
from pathlib import Path

from nats.aio.client import Client
from tests.forks import Process, fork
from tests.integration.bus.rules import DEAD, TASK, TASKS

from quorate.bus.backends.nats import open_nats_bus
from quorate.testing.nats_server import NatsServer

ROOT = Path(__file__).resolve().parents[3]


def start(server: NatsServer, journal: Path, mode: str) -> Process:
    command = ["-m", "tests.integration.bus.worker", server.url, journal, mode]
    process = fork(command, stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


def read(journal: Path) -> Counter[str]:
    return Counter(journal.read_text().splitlines() if journal.exists() else ())


def wait_for(journal: Path, line: str, *, times: int = 1) -> None:
    end = time.monotonic() + 60
    while read(journal)[line] < times:
        assert time.monotonic() < end, (line, read(journal))
        time.sleep(0.01)


def kill(process: Process) -> None:
    process.kill()
    process.communicate()


def test_work_of_a_killed_process_is_done_by_another_one(server: NatsServer, tmp_path: Path) -> None:
    """Killed with -9 in the middle of a piece: after its silence the piece is given to another process, and ends
    once."""
    journal = tmp_path / "journal"

    async def enqueue() -> None:
        async with open_nats_bus(server.url, tenant="acme", streams=[TASKS]) as bus:
            await bus.enqueue(TASK, b"job")

    asyncio.run(enqueue())
    first = start(server, journal, "hang")
    wait_for(journal, "began job")
    kill(first)
    second = start(server, journal, "work")
    wait_for(journal, "ended job")
    asyncio.run(wait_until_empty(server))
    kill(second)
    assert read(journal) == {"began job": 2, "ended job": 1}


async def wait_until_empty(server: NatsServer) -> None:
    """Wait until the server has forgotten all work: then none of it can be given out once more."""
    client = Client()
    await client.connect(server.url)
    try:
        async with asyncio.timeout(60):
            while True:
                streams = await client.jetstream().streams_info()
                assert any(TASKS.subjects[0] in (info.config.subjects or ()) for info in streams)
                if all(info.state.messages == 0 for info in streams):
                    return
                await asyncio.sleep(0.02)
    finally:
        await client.close()


def test_work_that_kills_is_put_aside_and_the_rest_is_done(server: NatsServer, tmp_path: Path) -> None:
    """Three processes die of it; the letter says how often it was tried, and everything else is done once."""
    journal = tmp_path / "journal"

    async def enqueue() -> None:
        async with open_nats_bus(server.url, tenant="acme", streams=[TASKS]) as bus:
            await bus.enqueue(TASK, b"poison")
            for number in range(10):
                await bus.enqueue(TASK, f"job-{number}".encode())

    async def read_letter() -> tuple[bytes, str]:
        async with (
            open_nats_bus(server.url, tenant="acme", streams=[TASKS]) as bus,
            bus.subscribe(DEAD, after=0) as letters,
            asyncio.timeout(30),
        ):
            letter = await anext(aiter(letters))
            return letter.data, letter.headers["Quorate-Attempts"]

    asyncio.run(enqueue())
    for number in range(3):
        worker = start(server, journal, "die")
        wait_for(journal, "began poison", times=number + 1)
        worker.communicate(timeout=60)
        assert worker.returncode == -9
    last = start(server, journal, "die")
    assert asyncio.run(read_letter()) == (b"poison", "3")
    for number in range(10):
        wait_for(journal, f"ended job-{number}")
    kill(last)
    counted = read(journal)
    assert counted["began poison"] == 3
    assert all(counted[f"ended job-{number}"] == 1 for number in range(10))
