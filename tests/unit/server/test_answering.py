"""Does a stream show that it lives, end with its reader, and say how it broke?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from quorate.errors import Conflict, Incomplete
from quorate.security.identity import Identity
from quorate.server.answering import send_stream
from quorate.server.doors import Gone, Visit
from quorate.server.problems import Problem

BEAT = b": beat\n\n"


class Reader:
    """Whoever reads: what they got, and whether they are there."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.left = asyncio.Event()
        self.got = asyncio.Event()

    @property
    def visit(self) -> Visit:
        identity = Identity(tenant="acme", principal="x", role="operator")
        return Visit(
            identity=identity, body=b"", headers={}, request_id="req-1", receive=self.receive, send=self.send,
        )  # fmt: skip

    async def receive(self) -> Any:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)
        self.got.set()

    @property
    def bodies(self) -> list[bytes]:
        return [message["body"] for message in self.sent if message["type"] == "http.response.body"]

    async def wait_for(self, body: bytes) -> None:
        async with asyncio.timeout(30):
            while body not in self.bodies:
                self.got.clear()
                await self.got.wait()


def fail(problem: Problem) -> bytes:
    return f"failed {problem.code}".encode()


async def test_quiet_streams_show_that_they_live() -> None:
    """Before the first piece too; what is sent stays in one order, and nothing comes behind the end."""
    reader, may_go_on = Reader(), asyncio.Event()

    async def write() -> AsyncGenerator[bytes]:
        await may_go_on.wait()
        yield b"a"
        yield b"b"

    async with asyncio.TaskGroup() as group:
        group.create_task(send_stream(reader.visit, write(), beat=BEAT, fail=fail, quiet_s=0.001))
        await reader.wait_for(BEAT)
        may_go_on.set()
    assert reader.sent[0]["type"] == "http.response.start"
    assert [body for body in reader.bodies if body != BEAT] == [b"a", b"b", b""]
    assert reader.sent[-1]["more_body"] is False


async def test_a_reader_that_leaves_ends_the_work() -> None:
    reader, closed = Reader(), asyncio.Event()

    async def write() -> AsyncGenerator[bytes]:
        try:
            yield b"a"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async def leave() -> None:
        await reader.wait_for(b"a")
        reader.left.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(leave())
        with pytest.raises(Gone):
            await send_stream(reader.visit, write(), beat=BEAT, fail=fail)
    assert closed.is_set()
    assert reader.bodies == [b"a"]


async def test_what_breaks_at_once_has_its_own_status_and_later_is_said_in_the_stream() -> None:
    async def write(*, first: bool) -> AsyncGenerator[bytes]:
        if first:
            yield b"a"
            raise Incomplete("cut")
        raise Conflict("waits")

    reader = Reader()
    with pytest.raises(Conflict):
        await send_stream(reader.visit, write(first=False), beat=BEAT, fail=fail)
    assert not reader.sent
    await send_stream(reader.visit, write(first=True), beat=BEAT, fail=fail)
    assert reader.bodies == [b"a", b"failed incomplete", b""]
