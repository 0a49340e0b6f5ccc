"""Can runs be followed over a WebSocket by those who may, and does it hold its bounds?"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import ClientWebSocketResponse, WSMsgType
from tests.integration.server.conftest import Api, build_agents, serve

from quorate.security.identity import Identity, Need, Role
from quorate.server.access import Doorkeeper
from quorate.server.frames import BoundedSocket, FrameBounds
from quorate.server.sockets import PATH, SocketBounds, Sockets

PATIENCE_S = 60
TASK = {"task": "Is it up?", "agent": "net"}
UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
SMALL = FrameBounds(write_s=1.0, linger_s=0.5, frames=200)
"""For those who are too slow; nobody else is served with them, who may be as slow when the machine is."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    """One server for all tests that leave it as it is."""
    async with serve(
        tmp_path_factory.mktemp("sockets") / "quorate.db", *build_agents(), origins=["https://ours.test"]
    ) as api:
        yield api


@asynccontextmanager
async def talk(api: Api, *, role: Role | None = "operator", **headers: str) -> AsyncIterator[ClientWebSocketResponse]:
    """Open a WebSocket, and read what greets us where we said who we are."""
    known = {"Authorization": f"Bearer {await api.key(role)}"} if role else {}
    async with (
        asyncio.timeout(PATIENCE_S),
        api.http.ws_connect(f"{api.url}{PATH}", headers={**known, **headers}, autoping=True) as ws,
    ):
        if role:
            assert (await hear(ws))["type"] == "ready"
        yield ws


async def hear(ws: ClientWebSocketResponse) -> dict[str, Any]:
    message = await ws.receive()
    assert message.type is WSMsgType.TEXT, (message, ws.close_code)
    return json.loads(message.data)


async def hear_end(ws: ClientWebSocketResponse) -> tuple[dict[str, Any], int | None]:
    """Read to the end: the last message, and how it was closed."""
    last: dict[str, Any] = {}
    async for message in ws:
        last = json.loads(message.data)
    return last, ws.close_code


async def hear_run(ws: ClientWebSocketResponse, name: str) -> list[dict[str, Any]]:
    """Read until a subscription ends: its events."""
    found: list[dict[str, Any]] = []
    while (said := await hear(ws))["type"] != "ended" or said["id"] != name:
        if said["type"] == "event" and said["id"] == name:
            found.append(said)
    return found


async def begin(api: Api, **body: object) -> str:
    return str((await api.ask("POST", "/v1/runs", body={**TASK, **body})).json["id"])


async def refused(api: Api, path: str = PATH, **headers: str) -> tuple[int, str]:
    """Ask for a WebSocket that is refused: the status and the code of the answer."""
    port = int(api.url.rpartition(":")[2])
    lines = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "127.0.0.1", **headers}.items())
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\n{lines}{UPGRADE}\r\n\r\n".encode())
            answer = await reader.read()
        finally:
            writer.transport.abort()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head.lower(), answer
    return int(head.split()[1]), json.loads(body)["code"]


@pytest.mark.asyncio(loop_scope="module")
class TestTalk:
    async def test_a_run_of_a_session_is_for_those_whom_the_session_is_for(self, shared: Api) -> None:
        """To others it is absent, like one that never was."""
        run = await begin(shared, session="hers")
        async with talk(shared, role="viewer") as ws:
            for name, wanted in (("theirs", run), ("nobodys", "run-none")):
                await ws.send_json({"type": "subscribe", "id": name, "run": wanted})
                said = await hear(ws)
                assert (said["type"], said["id"], "There is no run" in str(said)) == ("error", name, True)
        async with talk(shared) as ws:
            await ws.send_json({"type": "subscribe", "id": "mine", "run": run})
            assert await hear_run(ws, "mine")

    async def test_several_runs_are_followed_at_once(self, shared: Api) -> None:
        """Each from its place, without loss or doubles, over one connection. part of row B12"""
        runs = {f"run-{number}": await begin(shared) for number in range(3)}
        async with talk(shared) as ws:
            for place, (name, run) in enumerate(runs.items()):
                await ws.send_json({"type": "subscribe", "id": name, "run": run, "after": place})
            found: dict[str, list[int]] = {name: [] for name in runs}
            left = set(runs)
            while left:
                said = await hear(ws)
                if said["type"] == "event":
                    found[said["id"]].append(said["seq"])
                    assert said["event"]["seq"] == said["seq"]
                    assert said["event"]["run"] == runs[said["id"]]
                elif said["type"] == "ended":
                    left.discard(said["id"])
                    assert (said["seq"], said["reason"]) == (5, "over")
        assert found == {"run-0": [1, 2, 3, 4, 5], "run-1": [2, 3, 4, 5], "run-2": [3, 4, 5]}

    @pytest.mark.parametrize(("agent", "last"), [("broken", "run.failed"), ("payer", "run.waiting")])
    async def test_it_ends_however_the_run_does(self, shared: Api, agent: str, last: str) -> None:
        """part of row B12"""
        run = await begin(shared, agent=agent)
        async with talk(shared) as ws:
            await ws.send_json({"type": "subscribe", "id": "a", "run": run})
            events = await hear_run(ws, "a")
            assert events[-1]["event"]["kind"] == last

    async def test_it_is_stopped_and_another_one_begins(self, shared: Api) -> None:
        """What is not wanted any more comes no more, and the name is free again."""
        run = await begin(shared, agent="slow")
        async with talk(shared) as ws:
            for _ in range(2):
                await ws.send_json({"type": "subscribe", "id": "a", "run": run})
                while (await hear(ws)).get("seq") != 3:
                    pass
                await ws.send_json({"type": "unsubscribe", "id": "a"})
                while (said := await hear(ws))["type"] == "event":
                    pass
                assert (said["type"], said["reason"]) == ("ended", "unsubscribed")
            await ws.send_json({"type": "ping", "id": "7"})
            assert await hear(ws) == {"type": "pong", "id": "7"}
        await shared.ask("POST", f"/v1/runs/{run}/cancel")
        await until(lambda: not shared.server.sockets.seats)

    async def test_a_page_says_who_it_is_in_its_first_message(self, shared: Api) -> None:
        """As it can send no header; and it must be a page of ours. part of rows B11 and C12"""
        run = await begin(shared)
        async with talk(shared, role=None, Origin="https://ours.test") as ws:
            await ws.send_json({"type": "authenticate", "token": await shared.key()})
            assert await hear(ws) == {"type": "ready", "tenant": "acme", "principal": "operator-acme"}
            await ws.send_json({"type": "subscribe", "id": "a", "run": run})
            assert len(await hear_run(ws, "a")) == 5
            await ws.send_json({"type": "authenticate", "token": await shared.key("viewer")})
            assert (await hear(ws))["problem"]["code"] == "forbidden"
            await ws.send_json({"type": "authenticate", "token": await shared.key()})
            assert (await hear(ws))["type"] == "ready"
        for origin in ("https://evil.test", "null", shared.url):
            assert await refused(shared, Origin=origin) == (403, "forbidden")

    @pytest.mark.parametrize(
        ("first", "code"),
        [
            ({"type": "authenticate", "token": "qk_nope"}, "unauthenticated"),
            ({"type": "subscribe", "id": "a", "run": "run-1"}, "unauthenticated"),
            ({"type": "dance"}, "invalid_input"),
        ],
    )
    async def test_who_does_not_say_so_is_refused(self, shared: Api, first: object, code: str) -> None:
        """part of row B11"""
        async with talk(shared, role=None) as ws:
            await ws.send_json(first)
            last, closed = await hear_end(ws)
        assert (last["type"], last["problem"]["code"], closed) == ("error", code, 1008)

    async def test_what_cannot_be_opened_is_refused_in_words(self, shared: Api) -> None:
        """With a status, before it opens. part of rows B11 and C11"""
        key = f"Bearer {await shared.key()}"
        narrow = f"Bearer {await shared.key(scopes=('state:*',))}"
        assert await refused(shared, Authorization="Bearer qk_nope") == (401, "unauthenticated")
        assert await refused(shared, Authorization="Basic YTpi") == (401, "unauthenticated")
        assert await refused(shared, Authorization=narrow) == (403, "forbidden")
        assert await refused(shared, "/v1/elsewhere", Authorization=key) == (404, "not_found")
        plain = await shared.ask("GET", PATH)
        assert plain.status == 404

    async def test_every_role_and_tenant_sees_what_is_theirs(self, shared: Api) -> None:
        """By header and by message, and another tenant's run is as one that never was. part of row C12"""
        run, nobodys = await begin(shared), f"run-{'0' * 32}"
        roles: tuple[Role, ...] = ("viewer", "operator", "admin")
        for path, need in shared.server.sockets.routes.items():
            assert isinstance(need, Need)
            for role in roles:
                for scopes in ((), ("runs:*",), ("artifacts:*",)):
                    identity = Identity(tenant="acme", principal="x", role=role, scopes=scopes)
                    key = await shared.key(role, scopes=scopes)
                    async with shared.http.ws_connect(f"{shared.url}{path}") as ws:
                        await ws.send_json({"type": "authenticate", "token": key})
                        assert ((await hear(ws))["type"] == "ready") is identity.may(need)
        async with shared.http.ws_connect(f"{shared.url}{PATH}") as ws:
            await ws.send_json({"type": "authenticate", "token": await shared.key(tenant="globex")})
            assert (await hear(ws))["tenant"] == "globex"
            said: list[str] = []
            for name in (run, nobodys):
                await ws.send_json({"type": "subscribe", "id": "a", "run": name})
                said.append(json.dumps(await hear(ws)).replace(name, "ID"))
            assert said[0] == said[1]
            assert "not_found" in said[0]

    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("{", "invalid_input"),
            ("[" * 500 + "]" * 500, "invalid_input"),
            ('{"type": "ping", "type": "ping"}', "invalid_input"),
            ('{"type": "ping", "id": NaN}', "invalid_input"),
            ('{"type": "subscribe", "id": "a", "run": "r", "after": -1}', "invalid_input"),
            ('{"type": "subscribe", "id": "a", "run": "r", "surprise": 1}', "invalid_input"),
            ('{"type": "unsubscribe", "id": "nothing"}', "not_found"),
            ('{"type": "subscribe", "id": "a", "run": "run-nothing"}', "not_found"),
        ],
    )
    async def test_what_is_none_of_ours_does_no_harm(self, shared: Api, text: str, code: str) -> None:
        """It is said, and the connection goes on. part of row C11"""
        async with talk(shared) as ws:
            await ws.send_str(text)
            said = await hear(ws)
            assert (said["type"], said["problem"]["code"]) == ("error", code)
            await ws.send_bytes(b"{}")
            assert (await hear(ws))["problem"]["code"] == "invalid_input"
            await ws.send_json({"type": "ping"})
            assert (await hear(ws))["type"] == "pong"

    async def test_a_message_that_is_too_long_ends_it(self, shared: Api) -> None:
        """In one piece and in many; and none is compressed, which would be longer than it seems. part of row C11"""
        async with talk(shared) as ws:
            assert ws.compress == 0
            await ws.send_str("x" * (65 << 10))
            assert (await hear_end(ws))[1] == 1009
        port = int(shared.url.rpartition(":")[2])
        head = f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {await shared.key()}\r\n{UPGRADE}\r\n\r\n"
        piece = bytes([0x00, 0xFE]) + (1024).to_bytes(2, "big") + b"\0\0\0\0" + b"x" * 1024
        for pieces, code in ((piece * 70, 1009), (b"\x00\x80\0\0\0\0" * 150, 1008)):
            first = b"\x01\x80\0\0\0\0"
            assert code.to_bytes(2, "big") in (await open_and_send(port, head, first + pieces))[-100:]

    async def test_who_sends_too_much_is_closed(self, shared: Api) -> None:
        """With a reason, whatever they send. part of row C11"""
        async with talk(shared) as ws:
            for _ in range(400):
                await ws.send_str('{"type": "ping"}')
            last, code = await hear_end(ws)
        assert (last["problem"]["code"], code) == ("rate_limited", 1008)
        async with talk(shared) as ws:
            for _ in range(3000):
                await ws.ping(b"x")
            last, code = await hear_end(ws)
        assert (last["problem"]["code"], code) == ("rate_limited", 1008)

    async def test_a_websocket_hides_no_other_request(self, shared: Api) -> None:
        """It has no body, comes behind no other request, and other protocols are not spoken. part of row C11"""
        port = int(shared.url.rpartition(":")[2])
        start = f"GET {PATH} HTTP/1.1\r\nHost: x\r\n{UPGRADE}\r\n"
        inner = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
        for head in (f"{start}Content-Length: {len(inner)}\r\n\r\n", f"{start}Transfer-Encoding: chunked\r\n\r\n"):
            assert (await exchange(port, head.encode() + inner)).startswith(b"HTTP/1.1 400 ")
        answer = await exchange(
            port, b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + inner
        )
        assert answer.count(b"HTTP/1.1 200") == 1
        long = f"{start}Cookie: {'a' * 20_000}\r\n\r\n".encode()
        assert (await exchange(port, long)).startswith(b"HTTP/1.1 4")
        odd = f"{start}\r\n".replace("Version: 13", "Version: 8").encode()
        assert (await exchange(port, odd)).startswith(b"HTTP/1.1 4")


async def exchange(port: int, data: bytes) -> bytes:
    """Send something and read until the server closes."""
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(data)
            return await reader.read()
        finally:
            writer.transport.abort()


async def open_and_send(port: int, head: str, frames: bytes) -> bytes:
    """Open a WebSocket, send frames as they are, and read until the server closes."""
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(head.encode())
            await reader.readuntil(b"ready")
            writer.write(frames)
            return await reader.read()
        finally:
            writer.transport.abort()


def list_sockets(api: Api) -> list[object]:
    return [one for one in api.listener.server_state.connections if isinstance(one, BoundedSocket)]


async def until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.02)


def bound(api: Api, **bounds: Any) -> None:
    api.server.sockets = Sockets(
        api.runtime, api.server.sockets.doorkeeper, seats=api.server.sockets.seats,
        follows=api.server.sockets.follows, closing=api.server.closing, bounds=SocketBounds(**bounds),
    )  # fmt: skip


async def test_it_ends_with_its_credential_and_its_bounds(tmp_path: Path) -> None:
    """A key that is revoked ends what it opened; those who say nothing, and those who open too many. part of row C12"""
    async with serve(tmp_path / "quorate.db", *build_agents()) as api:
        bound(api, beat_s=0.05, hello_s=0.2, subscriptions=2, per_credential=2)
        async with talk(api, role=None) as ws:
            last, code = await hear_end(ws)
            assert (last["problem"]["code"], code) == ("deadline_exceeded", 1008)
        run = await begin(api, agent="slow")
        new = await api.keys.create(tenant="acme", principal="ada", role="viewer")
        async with talk(api) as ws, talk(api):
            for name in ("a", "b", "c", "a"):
                await ws.send_json({"type": "subscribe", "id": name, "run": run})
            codes = set[str]()
            while codes != {"rate_limited", "conflict"}:
                said = await hear(ws)
                codes |= {said["problem"]["code"]} if said["type"] == "error" else set()
            assert await refused(api, Authorization=f"Bearer {await api.key()}") == (429, "rate_limited")
        headers = {"Authorization": f"Bearer {new.text.reveal()}"}
        async with asyncio.timeout(PATIENCE_S), api.http.ws_connect(f"{api.url}{PATH}", headers=headers) as ws:
            await ws.send_json({"type": "subscribe", "id": "a", "run": run})
            while (await hear(ws)).get("seq") != 3:
                pass
            await api.keys.revoke(new.key.id, tenant="acme")
            last, code = await hear_end(ws)
        assert (last["problem"]["code"], code) == ("unauthenticated", 1008)
        await until(lambda: not api.server.sockets.open)


async def test_what_is_wanted_at_once_is_counted_one_by_one(tmp_path: Path) -> None:
    """However many ask before the first of them is begun."""
    async with serve(tmp_path / "quorate.db", *build_agents(), streams=2) as api:
        run, asked = await begin(api, agent="slow"), 8
        async with talk(api) as ws:
            for number in range(asked):
                await ws.send_json({"type": "subscribe", "id": f"s{number}", "run": run})
            kinds = list[str]()
            while len(kinds) < asked:
                said = await hear(ws)
                kinds += [said["type"]] if said["type"] in ("subscribed", "error") else []
            assert (kinds.count("subscribed"), kinds.count("error")) == (2, asked - 2)


async def test_it_ends_when_the_server_leaves(tmp_path: Path) -> None:
    """At once and with a reason, so that whoever is there goes to another one. part of row B13"""
    async with serve(tmp_path / "quorate.db", *build_agents()) as api:
        run = await begin(api, agent="slow")
        async with talk(api) as ws:
            await ws.send_json({"type": "subscribe", "id": "a", "run": run})
            while (await hear(ws)).get("seq") != 3:
                pass
            api.listener.leave()
            last, code = await hear_end(ws)
            assert (last["problem"]["code"], code) == ("unavailable", 1001)
        async with asyncio.timeout(PATIENCE_S):
            await api.listener.ended.wait()
        assert not api.listener.force_exit


async def test_a_slow_reader_is_dropped_with_a_last_word(tmp_path: Path) -> None:
    """What they do not read waits within bounds, and not for ever. part of row B12"""
    async with serve(tmp_path / "quorate.db", *build_agents(), frames=SMALL) as api:
        key, run = await api.key(), await begin(api, task="x" * 300_000)
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        port = int(api.url.rpartition(":")[2])
        try:
            async with asyncio.timeout(PATIENCE_S):
                await loop.sock_connect(sock, ("127.0.0.1", port))
                head = f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n{UPGRADE}\r\n\r\n"
                asked = [json.dumps({"type": "subscribe", "id": str(name), "run": run}) for name in range(60)]
                await loop.sock_sendall(sock, head.encode())
                await until(lambda: api.server.sockets.open)
                await loop.sock_sendall(sock, b"".join(frame_text(text) for text in asked))
                await until(lambda: len(api.server.sockets.seats) > 30)
                await until(lambda: not api.server.sockets.open)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
                said = b""
                while piece := await loop.sock_recv(sock, 1 << 20):
                    said = (said + piece)[-4000:]
        finally:
            sock.close()
        assert b"rate_limited" in said
        assert said.endswith(b"\x88\x02" + (1013).to_bytes(2, "big"))
        await until(lambda: not list_sockets(api))
        await until(lambda: not api.server.sockets.seats)


def frame_text(text: str) -> bytes:
    """Write a message as a client does, with a mask that changes nothing."""
    data = text.encode()
    assert len(data) < 126
    return bytes([0x81, 0x80 | len(data), 0, 0, 0, 0]) + data


async def test_who_lets_in_everybody_keeps_other_pages_out(tmp_path: Path) -> None:
    """part of row B11"""
    anybody = Identity(tenant="default", principal="local", role="operator")
    async with serve(tmp_path / "quorate.db", *build_agents(), doorkeeper=Doorkeeper(None, anybody=anybody)) as api:  # type: ignore[arg-type]
        async with talk(api, role=None) as ws:
            assert (await hear(ws))["principal"] == "local"
        assert await refused(api, Origin="https://evil.test") == (403, "forbidden")
        assert await refused(api, Host="evil.test") == (400, "invalid_input")


async def test_a_broken_handshake_leaves_nothing(tmp_path: Path) -> None:
    """However often somebody begins and goes. part of row C3"""
    async with serve(tmp_path / "quorate.db", *build_agents()) as api:
        port = int(api.url.rpartition(":")[2])
        for _ in range(50):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n{UPGRADE}\r\n\r\n".encode())
            writer.transport.abort()
        async with aiohttp.ClientSession() as http:
            for _ in range(50):
                ws = await http.ws_connect(f"{api.url}{PATH}", headers={"Authorization": f"Bearer {await api.key()}"})
                await ws.receive()
                ws._response.connection.transport.abort()  # type: ignore[union-attr]
        await until(lambda: not list_sockets(api))
        await until(lambda: not api.listener.server_state.tasks)
        assert not api.server.sockets.open
