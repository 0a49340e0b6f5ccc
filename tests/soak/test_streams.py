"""Do ten thousand readers fit into one process, and is nothing left of them when they are gone? `make soak`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.soak, pytest.mark.timeout(0)]

READERS = int(os.environ.get("STREAM_READERS", "10000"))
ROUNDS = 3
PATIENCE_S = 120
PER_KEY = 1_000
AT_ONCE = 200
MAX_KIB = 64.0
"""How much memory one stream may take."""
MAX_LEFT_MIB = 8.0
"""How much more there may be after a round than after the one before."""
PROGRAM = Path(__file__).with_name("streams_server.py")


class Reader(asyncio.Protocol):
    """Somebody who reads a stream, and keeps nothing of it."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._seen = 0
        self.begun = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._seen += len(data)
        if b"tool.started" in data and not self.begun.done():
            self.begun.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.begun.done():
            self.begun.set_exception(exc or ConnectionError(f"closed after {self._seen} bytes"))


class Served:
    """The server's process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def say(self) -> dict[str, int]:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        return await self.hear()

    async def hear(self) -> dict[str, int]:
        assert self._process.stdout is not None
        return json.loads(await self._process.stdout.readline())

    async def until_gone(self, *, tasks: int) -> dict[str, int]:
        async with asyncio.timeout(PATIENCE_S):
            while (found := await self.say())["connections"] or found["tasks"] > tasks:
                await asyncio.sleep(0.2)
        return found

    def measure_mib(self) -> float:
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


async def test_ten_thousand_streams_then_nobody(tmp_path: Path) -> None:
    """Memory, tasks and connections are flat over rounds of readers that vanish. Promises R11, R15 and R16."""
    keys = -(-READERS // PER_KEY)
    process = await asyncio.create_subprocess_exec(
        sys.executable, PROGRAM, tmp_path, str(keys), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )  # fmt: skip
    served = Served(process)
    try:
        facts: dict[str, object] = dict(await served.hear())
        before, tasks = served.measure_mib(), (await served.say())["tasks"]
        left: list[float] = []
        for _ in range(ROUNDS):
            readers = await open_readers(facts)
            counts, peak = await served.say(), served.measure_mib()
            assert counts["streams"] == READERS
            for reader in readers:
                reader.transport.abort()
            found = await served.until_gone(tasks=tasks)
            left.append(served.measure_mib())
            print(
                f"{READERS} streams: {before:.0f} -> {peak:.0f} -> {left[-1]:.0f} MiB, "
                f"{(peak - before) * 1024 / READERS:.1f} KiB each, {counts['tasks']} -> {found['tasks']} tasks"
            )
            assert (peak - before) * 1024 / READERS <= MAX_KIB
            assert found["streams"] == 0
        assert left[-1] - left[0] <= MAX_LEFT_MIB
    finally:
        process.kill()
        await process.wait()


async def open_readers(facts: dict[str, object]) -> list[Reader]:
    """Open all streams, some at a time, and wait until each has begun."""
    loop, turn = asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE)
    keys = facts["keys"]
    assert isinstance(keys, list)

    async def open_one(number: int) -> Reader:
        request = (
            f"GET /v1/runs/{facts['run']}/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
            f"Authorization: Bearer {keys[number // PER_KEY]}\r\n\r\n"
        ).encode()
        async with turn:
            _, reader = await loop.create_connection(lambda: Reader(request), "127.0.0.1", int(str(facts["port"])))
            await reader.begun
            return reader

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(open_one(number)) for number in range(READERS)]
    return [task.result() for task in tasks]
