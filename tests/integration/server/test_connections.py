"""Is a connection closed that takes too long or sends too much, and does everything end that belongs to one?"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from tests.integration.server.conftest import Api, build_agents, serve
from tests.integration.server.shared import wipe

from quorate.errors import Unauthenticated
from quorate.events import AnyEvent
from quorate.server.protocol import Bounds, Peers, name_peer
from quorate.server.streams import write_events

pytestmark = pytest.mark.asyncio(loop_scope="module")
SMALL = Bounds(head_s=1.0, body_s=0.5, write_s=1.0, linger_s=0.5)
"""For those who are too slow; nobody else is served with them, who may be as slow when the machine is."""
ROOMY = Bounds(head_s=100, body_s=100, write_s=100, linger_s=0.5, peer=60)
PATIENCE_S = 60
SEGMENT = 64 << 10


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bounded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    async with serve(tmp_path_factory.mktemp("bounded") / "quorate.db", *build_agents(), bounds=SMALL) as api:
        yield api


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    async with serve(tmp_path_factory.mktemp("roomy") / "quorate.db", *build_agents(), bounds=ROOMY) as api:
        yield api


@pytest_asyncio.fixture(loop_scope="module")
async def roomy(served: Api) -> AsyncIterator[Api]:
    """The server of this module; what a test began there is stopped after it."""
    await wipe(served)
    yield served
    for run in (await served.ask("GET", "/v1/runs")).json["data"]:
        await served.ask("POST", f"/v1/runs/{run['id']}/cancel")


@pytest_asyncio.fixture(loop_scope="module")
async def fresh(tmp_path: Path) -> AsyncIterator[Api]:
    """A server of its own, for what ends it or counts all its connections."""
    async with serve(tmp_path / "quorate.db", *build_agents(), bounds=ROOMY) as api:
        yield api


@asynccontextmanager
async def connect(api: Api) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(api.url.rpartition(":")[2]))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def exchange(api: Api, *pieces: bytes) -> bytes:
    """Send pieces, and read until the server closes."""
    async with asyncio.timeout(PATIENCE_S), connect(api) as (reader, writer):
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        return await read_all(reader)


async def read_all(reader: asyncio.StreamReader) -> bytes:
    found = b""
    try:
        while piece := await reader.read(SEGMENT):
            found += piece
    except ConnectionError:
        pass
    return found


async def until(condition: object) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.02)


def count_connections(api: Api) -> int:
    return len(api.listener.server_state.connections)


async def test_a_silent_connection_is_closed(bounded: Api) -> None:
    """part of row C11"""
    assert await exchange(bounded) == b""


async def test_a_head_that_trickles_is_refused(bounded: Api) -> None:
    """However steadily it comes: its end is what counts. part of row C11"""
    async with asyncio.timeout(PATIENCE_S), connect(bounded) as (reader, writer):
        writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n")

        async def trickle() -> None:
            for _ in range(10_000):
                writer.write(b"a: b\r\n"[:1])
                await asyncio.sleep(0.05)

        async with asyncio.TaskGroup() as group:
            more = group.create_task(trickle())
            answer = await read_all(reader)
            more.cancel()
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_a_connection_is_closed_by_its_second_request_too(bounded: Api) -> None:
    """Blank lines between requests keep nothing open."""
    first = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    for rest in (b"\r\n", b"GET /liv"):
        async with asyncio.timeout(PATIENCE_S), connect(bounded) as (reader, writer):
            writer.write(first)
            await reader.readuntil(b'"ok"}')
            writer.write(rest)
            await read_all(reader)


async def test_a_body_that_trickles_is_refused(bounded: Api) -> None:
    """Told or in pieces, and by whoever has no key too. part of row C11"""
    for kind in (b"Content-Length: 1000", b"Transfer-Encoding: chunked"):
        head = b"POST /v1/runs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + kind + b"\r\n\r\n"
        answer = await exchange(bounded, head, b"5\r\nhello\r\n")
        assert answer.startswith(b"HTTP/1.1 408 "), answer


async def test_a_head_that_is_too_large_is_refused(roomy: Api) -> None:
    """part of row C11"""
    for head in (
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nCookie: " + b"a" * 40_000 + b"\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nCookie: " + b"a" * 400_000,
        b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 200 + b"\r\n",
    ):
        assert (await exchange(roomy, head)).startswith(b"HTTP/1.1 431 ")


async def test_what_is_behind_a_body_is_no_header(roomy: Api) -> None:
    key = await roomy.key()
    head = b"GET /v1/runs HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = await exchange(roomy, head, f"0\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 401 ")


async def test_what_decides_is_said_once(roomy: Api) -> None:
    head = b"GET /livez HTTP/1.1\r\nConnection: close\r\nHost: x\r\nHost: y\r\n\r\n"
    assert (await exchange(roomy, head)).startswith(b"HTTP/1.1 400 ")


async def test_too_many_requests_at_once_are_not_kept(roomy: Api) -> None:
    """A stream is under way, and its reader sends requests without end."""
    run = (await roomy.ask("POST", "/v1/runs", body={"task": "x", "agent": "slow"})).json["id"]
    follow = (
        f"GET /v1/runs/{run}/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
        f"Authorization: Bearer {await roomy.key()}\r\n\r\n"
    ).encode()
    answer = await exchange(roomy, follow, *[b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 20] * 5)
    assert answer.count(b"HTTP/1.1") <= 1
    await until(lambda: not roomy.listener.server_state.tasks)


async def test_whoever_leaves_behind_another_request_is_noticed(roomy: Api) -> None:
    """The stream that is answered is not the request that came last."""
    run = (await roomy.ask("POST", "/v1/runs", body={"task": "x", "agent": "slow"})).json["id"]
    async with connect(roomy) as (reader, writer):
        writer.write(
            f"GET /v1/runs/{run}/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
            f"Authorization: Bearer {await roomy.key()}\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        )
        await reader.readuntil(b"run.created")
    await until(lambda: not roomy.listener.server_state.tasks)


async def test_a_reader_that_reads_nothing_is_dropped(bounded: Api) -> None:
    """Their answers wait within bounds, and not for ever. part of row B12"""
    async with bounded.http.get(f"{bounded.url}/livez") as response:  # an idle one beside it
        await response.read()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", int(bounded.url.rpartition(":")[2])))
    sock.setblocking(False)
    try:
        sent = 0
        asking = b"GET /schema/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"

        def ask() -> bool:
            nonlocal sent
            try:
                sent += sock.send(asking)
            except BlockingIOError:
                pass
            except ConnectionError:
                return True
            return False

        await until(ask)
    finally:
        sock.close()
    await until(lambda: not bounded.listener.server_state.tasks)


async def test_one_address_has_so_many_connections(fresh: Api) -> None:
    """part of row C11"""
    port = int(fresh.url.rpartition(":")[2])
    several = [await asyncio.open_connection("127.0.0.1", port) for _ in range(ROOMY.peer)]
    try:
        assert (await exchange(fresh)).startswith(b"HTTP/1.1 503 ")
    finally:
        for _, writer in several:
            writer.transport.abort()
    await until(lambda: count_connections(fresh) == 0)
    assert (await fresh.ask("GET", "/livez", role=None)).status == 200


async def test_whoever_leaves_a_stream_leaves_nothing_behind(roomy: Api) -> None:
    """200 readers of a run that goes on, gone in the middle: no task and no connection is left. part of row C3"""
    run = (await roomy.ask("POST", "/v1/runs", body={"task": "x", "agent": "slow"})).json["id"]
    follow = (
        f"GET /v1/runs/{run}/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
        f"Authorization: Bearer {await roomy.key()}\r\n\r\n"
    ).encode()
    async with connect(roomy) as (reader, writer):
        writer.write(follow)
        await reader.readuntil(b"tool.started")
    await until(lambda: not roomy.listener.server_state.tasks)
    before = len(asyncio.all_tasks())
    for _ in range(4):
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
            for _ in range(50):
                group.create_task(leave(roomy, follow))
        await until(lambda: not roomy.listener.server_state.tasks)
    await until(lambda: len(asyncio.all_tasks()) <= before)
    assert (await roomy.ask("GET", f"/v1/runs/{run}")).json["status"] != "cancelled"


async def test_a_server_leaves_while_somebody_listens(fresh: Api) -> None:
    """A stream of events ends at once and in order: its reader goes to another server. part of row B13"""
    run = (await fresh.ask("POST", "/v1/runs", body={"task": "x", "agent": "slow"})).json["id"]
    follow = (
        f"GET /v1/runs/{run}/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
        f"Authorization: Bearer {await fresh.key()}\r\n\r\n"
    ).encode()
    async with asyncio.timeout(PATIENCE_S), connect(fresh) as (reader, writer):
        writer.write(follow)
        await reader.readuntil(b"run.created")
        fresh.listener.handle_exit(signal.SIGINT, None)
        assert (await read_all(reader)).endswith(b"0\r\n\r\n")
        await fresh.listener.ended.wait()
    assert not fresh.listener.force_exit


async def test_whoever_waits_is_told_how_it_stands(fresh: Api) -> None:
    """A server that leaves keeps nobody waiting for a run that goes on. part of row B13"""
    asking = asyncio.ensure_future(fresh.ask("POST", "/v1/runs?wait=60", body={"task": "x", "agent": "slow"}))
    await until(lambda: fresh.listener.server_state.tasks)
    async with asyncio.timeout(PATIENCE_S):
        while not (await fresh.ask("GET", "/v1/runs")).json["data"]:
            pass
        fresh.listener.handle_exit(signal.SIGINT, None)
        answer = await asking
        assert (answer.status, answer.json["status"]) == (202, "running")
        await fresh.listener.ended.wait()
    assert not fresh.listener.force_exit


async def test_a_second_signal_leaves_at_once(fresh: Api) -> None:
    """Whatever is under way: who waits for it is told to come again, and not that something broke. part of row B13"""
    chat = {"model": "slow", "messages": [{"role": "user", "content": "x"}]}
    asking = asyncio.ensure_future(fresh.ask("POST", "/openai/v1/chat/completions", body=chat))
    await until(lambda: fresh.listener.server_state.tasks)
    for _ in range(2):
        fresh.listener.handle_exit(signal.SIGTERM, None)
    async with asyncio.timeout(PATIENCE_S):
        await fresh.listener.ended.wait()
        answer = await asking
        assert (answer.status, answer.json["code"], answer.headers["Connection"]) == (503, "unavailable", "close")


async def test_a_stream_ends_with_its_credential(roomy: Api) -> None:
    """part of row C12"""
    said: list[bytes] = []

    async def write(frame: bytes) -> None:
        said.append(frame)

    async def quiet() -> AsyncGenerator[AnyEvent]:
        await asyncio.Event().wait()
        yield

    async def check() -> None:
        raise Unauthenticated("gone")

    async with asyncio.timeout(PATIENCE_S):
        await write_events(
            write, quiet(), request_id="r", closing=asyncio.Event(), check=check, beat_s=0.01
        )  # fmt: skip
    assert b'"code":"unauthenticated"' in said[-1]


async def test_one_credential_reads_so_many_streams(tmp_path: Path) -> None:
    """One more is told to come again; nothing is begun for it. part of row C12"""
    events = {"Accept": "text/event-stream"}
    task = {"task": "x", "agent": "slow"}
    async with serve(tmp_path / "quorate.db", *build_agents(), streams=1) as api:
        headers = {**events, "Authorization": f"Bearer {await api.key()}"}
        async with api.http.post(f"{api.url}/v1/runs", json=task, headers=headers) as response:
            await response.content.readline()
            refused = await api.ask("POST", "/v1/runs", body=task, headers=events)
            assert (refused.status, "Retry-After" in refused.headers) == (429, True)
            assert len((await api.ask("GET", "/v1/runs")).json["data"]) == 1
            run = response.headers["Location"]
        await until(lambda: not api.listener.server_state.tasks)
        async with api.http.get(f"{api.url}{run}/events", headers=headers) as response:
            assert response.status == 200


async def leave(api: Api, follow: bytes) -> None:
    async with connect(api) as (reader, writer):
        writer.write(follow)
        await reader.readuntil(b"run.created")


async def test_an_address_is_counted_however_it_is_written() -> None:
    assert name_peer("::ffff:127.0.0.1") == name_peer("127.0.0.1")
    assert name_peer("2001:db8::1") == name_peer("2001:db8::ffff:1")
    assert name_peer("2001:db8::1") != name_peer("2001:db8:0:1::1")
    assert name_peer("fe80::1%eth0") == name_peer("fe80::2")
    assert name_peer("") == ""
    peers = Peers(1)
    assert peers.enter("a")
    assert not peers.enter("a")
    peers.leave("a")
    peers.leave("a")
    assert len(peers) == 0
