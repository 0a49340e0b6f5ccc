"""Do many who read the same runs cost little, see everything once, and leave nothing behind?"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from tests.integration.server.conftest import Api, build_agents, serve

from quorate import Agent, Limits, ScriptedModel, tool
from quorate.errors import NotFound
from quorate.events import ENDINGS, AnyEvent, RunWaiting
from quorate.models.scripted import call
from quorate.server.following import KEPT, Follows
from quorate.server.streams import BEAT, write_events
from quorate.state.around import LogAround

PATIENCE_S = 60
MANY = 300
LAST = {kind.__struct_config__.tag for kind in (*ENDINGS, RunWaiting)}


class CountedLog(LogAround):
    """A log that counts how often it is asked."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.asked = Counter[str]()

    async def read(self, run: str, *, after: int = 0, limit: int | None = None) -> list[AnyEvent]:
        self.asked["read"] += 1
        return await self.inner.read(run, after=after, limit=limit)

    async def last(self, run: str) -> int:
        self.asked["last"] += 1
        return await self.inner.last(run)


class Reader:
    """Somebody who reads a stream of events over a connection of their own."""

    def __init__(self, api: Api, run: str, *, after: int = 0) -> None:
        self._port = int(api.url.rpartition(":")[2])
        self._api, self._run, self._after = api, run, after
        self.writer: asyncio.StreamWriter
        self._reader: asyncio.StreamReader

    async def begin(self) -> None:
        self._reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port)
        self.writer.write(
            f"GET /v1/runs/{self._run}/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
            f"Last-Event-ID: {self._after}\r\nAuthorization: Bearer {await self._api.key()}\r\n\r\n".encode()
        )
        await self._reader.readuntil(b"text/event-stream")

    async def until(self, words: bytes) -> bytes:
        return await self._reader.readuntil(words)

    async def read_places(self) -> list[int]:
        """Read to the end: the places of all events."""
        text = await self._reader.readuntil(b"0\r\n\r\n")
        return [int(place) for place in re.findall(rb"^id: (\d+)$", text, re.MULTILINE)]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serve(tmp_path / "quorate.db", *build_agents()) as api:
        yield api


async def until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.02)


async def begin(api: Api, agent: str) -> str:
    return str((await api.ask("POST", "/v1/runs", body={"task": "x", "agent": agent})).json["id"])


async def test_many_read_one_run(api: Api) -> None:
    """300 at once, a third of them gone in the middle: the others miss nothing, and the log is asked as for a few.

    part of rows B12 and C3
    """
    run = await begin(api, "slow")
    first = Reader(api, run)
    async with asyncio.timeout(PATIENCE_S):
        await first.begin()
        await first.until(b"tool.started")
        first.writer.transport.abort()
        await until(lambda: not api.listener.server_state.tasks)
        tasks = len(asyncio.all_tasks())
        counted = CountedLog(api.runtime.log)
        api.runtime.log = counted
        readers = [Reader(api, run, after=number % 3) for number in range(MANY)]
        async with asyncio.TaskGroup() as group:
            for reader in readers:
                group.create_task(reader.begin())
        await until(lambda: len(api.server.routes.state.seats) == MANY)
        assert len(api.server.routes.state.follows) == 1
        counted.asked.clear()
        while counted.asked["last"] < 3:  # some looks later
            await asyncio.sleep(0.02)
        assert counted.asked["last"] < MANY / 10
        for reader in readers[: MANY // 3]:
            reader.writer.transport.abort()
        await api.ask("POST", f"/v1/runs/{run}/cancel")
        for number, reader in enumerate(readers[MANY // 3 :], MANY // 3):
            places = await reader.read_places()
            assert places == list(range(number % 3 + 1, places[-1] + 1)), number
            reader.writer.transport.abort()
        await until(lambda: not api.listener.server_state.tasks)
        await until(lambda: len(asyncio.all_tasks()) <= tasks)
    assert not len(api.server.routes.state.follows)
    assert not len(api.server.routes.state.seats)


async def test_a_stream_ends_on_every_end(tmp_path: Path) -> None:
    """Whole, failed, stopped, out of its limits or at rest: the stream ends with it. row: B12"""

    @tool(effect="idempotent")
    async def look() -> str:
        """Look."""
        return "nothing"

    endless = Agent(
        "endless", model=ScriptedModel([call("look")] * 9), tools=[look], limits=Limits(steps=2)
    )  # fmt: skip
    async with serve(tmp_path / "quorate.db", *build_agents(), endless) as api:
        found: set[object] = set()
        for agent in ("net", "broken", "payer", "endless", "slow"):
            run = await begin(api, agent)
            async with asyncio.timeout(PATIENCE_S), AsyncExitStack() as stack:
                reader = Reader(api, run)
                await reader.begin()
                stack.callback(reader.writer.transport.abort)
                if agent == "slow":
                    await reader.until(b"tool.started")
                    await api.ask("POST", f"/v1/runs/{run}/cancel")
                text = (await reader.until(b"0\r\n\r\n")).decode()
                found.add(re.findall(r"^event: (.*)$", text, re.MULTILINE)[-1])
        assert found == LAST


async def test_quiet_times_have_a_sign_of_life() -> None:
    """A comment, which no reader takes for an event. row: B12"""
    frames: list[bytes] = []
    closing = asyncio.Event()

    async def write(frame: bytes) -> None:
        frames.append(frame)
        if len(frames) == 3:
            closing.set()

    async def nothing() -> AsyncIterator[AnyEvent]:
        await asyncio.Event().wait()
        yield  # type: ignore[misc]

    async def check() -> None:
        pass

    async with asyncio.timeout(PATIENCE_S):
        await write_events(write, nothing(), request_id="r", closing=closing, check=check, beat_s=0.01)  # type: ignore[arg-type]
    assert frames == [BEAT] * 3
    assert BEAT.startswith(b":")


async def test_who_is_far_behind_reads_the_log(api: Api) -> None:
    """Whoever leads may leave at any moment, and what is kept is bounded: nobody misses anything."""
    run = await begin(api, "net")
    await api.ask("POST", f"/v1/runs/{run}/cancel")  # over, or over already
    runtime = api.runtime.for_tenant("acme")
    [head, *_] = await runtime.log.read(run)
    log = Growing(head)
    follows = Follows()
    source = Source(log)
    leader = follows.follow(source, "run-x")  # type: ignore[arg-type]
    assert (await anext(leader)).seq == 1
    follower = follows.follow(source, "run-x")  # type: ignore[arg-type]
    assert (await anext(follower)).seq == 1
    waiting = asyncio.create_task(anext(leader))
    await asyncio.sleep(0)
    second = asyncio.create_task(anext(follower))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    log.grow(3 * KEPT)
    assert (await second).seq == 2
    others = [event.seq async for event in take(follower, 3 * KEPT - 2)]
    assert others == list(range(3, 3 * KEPT + 1))
    late = follows.follow(source, "run-x")  # type: ignore[arg-type]
    assert [event.seq async for event in take(late, 3 * KEPT)] == list(range(1, 3 * KEPT + 1))
    log.is_gone = True
    for one in (follower, late):
        with pytest.raises(NotFound):
            await anext(one)
    assert len(follows) == 0


async def take(items: Any, number: int) -> AsyncIterator[AnyEvent]:
    for _ in range(number):
        yield await anext(items)


class Growing:
    """A log of one run that grows when it is told to."""

    def __init__(self, head: AnyEvent) -> None:
        self.events = [head]
        self.is_gone = False
        self.grown = asyncio.Event()

    def grow(self, to: int) -> None:
        self.events += [structs.replace(self.events[0], seq=seq) for seq in range(len(self.events) + 1, to + 1)]
        self.grown.set()

    async def read(self, run: str, *, after: int = 0, limit: int | None = None) -> list[AnyEvent]:
        return self.events[after:][:limit]


class Source:
    """What follows that run, as a runtime does."""

    tenant = "acme"

    def __init__(self, log: Growing) -> None:
        self.log = log

    async def follow(self, run: str, *, after: int = 0) -> AsyncIterator[AnyEvent]:
        while True:
            for event in self.log.events[after:]:
                after = event.seq
                yield event
            if self.log.is_gone:
                raise NotFound(f"Run {run!r} was deleted.")
            if len(self.log.events) <= after:
                self.log.grown.clear()
                waiting = asyncio.create_task(self.log.grown.wait())
                while not waiting.done() and not self.log.is_gone:
                    await asyncio.sleep(0.01)
                waiting.cancel()
