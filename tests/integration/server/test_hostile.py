"""Is what no client sends refused, once and in words, by a server that stays as it was?"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.integration.server.conftest import Api, build_agents, serve

from quorate.server.protocol import Bounds
from quorate.server.pulse import read_memory_bytes

PATIENCE_S = 60
ROOMY = Bounds(head_s=100, body_s=100, write_s=100, linger_s=0.2)
HIDDEN = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
"""A request that somebody hides behind another one."""
POST = b"POST /v1/runs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
LARGE = 200 << 20
MUCH_MIB = 64
"""How much more memory a refusal may take, which holds some pieces of what it reads."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    async with serve(tmp_path_factory.mktemp("hostile") / "quorate.db", *build_agents(), bounds=ROOMY) as api:
        yield api


async def exchange(api: Api, *pieces: bytes) -> bytes:
    """Send pieces, end, and read until the server closes."""
    port = int(api.url.rpartition(":")[2])
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.transport.abort()


@pytest.mark.asyncio(loop_scope="module")
class TestHostile:
    @pytest.mark.parametrize(
        "request_bytes",
        [
            POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
            POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + HIDDEN,
            POST + b"Content-Length: 5\r\nContent-Length: 50\r\n\r\nhello" + HIDDEN,
            POST + b"Content-Length: 5, 50\r\n\r\nhello" + HIDDEN,
            POST + b"Content-Length: -5\r\n\r\n" + HIDDEN,
            POST + b"Content-Length: +5\r\n\r\nhello" + HIDDEN,
            POST + b"Content-Length: 0x5\r\n\r\nhello" + HIDDEN,
            POST + b"Content-Length: 99999999999999999999999\r\n\r\n" + HIDDEN,
            POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
            POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + HIDDEN,
            POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
            POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
            POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n" + HIDDEN,
            POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n" + HIDDEN,
            POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n" + HIDDEN,
            POST + b" folded: yes\r\n\r\n" + HIDDEN,
            POST + b"X: a\x00b\r\n\r\n" + HIDDEN,
            POST + b"X: a\rb\r\n\r\n" + HIDDEN,
            POST + b"\xff: a\r\n\r\n" + HIDDEN,
            b"POST /v1/runs HTTP/1.1\nHost: x\nContent-Length: 5\n\nhello" + HIDDEN,
            b"GET /v1/runs\r\n\r\n",
            b"GET /v1/runs HTTP/9.9\r\nHost: x\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET /v1/runs HTTP/1.1 \r\nHost: x\r\n\r\n" + HIDDEN,
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
            b"CONNECT evil.test:443 HTTP/1.1\r\nHost: x\r\n\r\n" + HIDDEN,
        ],
        ids=range(26),
    )  # fmt: skip
    async def test_nothing_is_hidden_in_a_request(self, shared: Api, request_bytes: bytes) -> None:
        """Where two readers could see two requests, there is one answer: a refusal, and the end. part of row C11"""
        answer = await exchange(shared, request_bytes)
        assert answer.count(b"HTTP/1.1 ") == 1, answer
        assert answer.startswith(b"HTTP/1.1 4"), answer
        assert b'"ok"' not in answer
        assert (await shared.ask("GET", "/livez", role=None)).status == 200

    async def test_a_body_without_end_costs_no_memory(self, shared: Api) -> None:
        """200 MB in pieces, told or not: refused from what is read of it, with or without a key. part of row C11"""
        key = f"Authorization: Bearer {await shared.key()}\r\n".encode()
        piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        before = read_memory_bytes()
        for head in (POST, POST + key):
            answer = await exchange(shared, head + b"Transfer-Encoding: chunked\r\n\r\n", *[piece] * (LARGE >> 16))
            assert answer.startswith((b"HTTP/1.1 413 ", b""))
            answer = await exchange(shared, head + b"Content-Length: %d\r\n\r\n" % LARGE)
            assert answer.startswith(b"HTTP/1.1 413 "), answer
        assert read_memory_bytes() - before < MUCH_MIB << 20

    async def test_nobody_is_asked_for_a_body_that_is_refused(self, shared: Api) -> None:
        """Whoever waits for leave to send too much is told no instead. part of row C11"""
        answer = await exchange(shared, POST + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % LARGE)
        assert answer.startswith(b"HTTP/1.1 413 ")

    @pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip"])
    async def test_a_bomb_is_not_opened(self, shared: Api, coding: str) -> None:
        """What is small here and large when it is opened is not read. part of row C11"""
        bomb = zlib.compress(b" " * (32 << 20))
        headers = {"Content-Encoding": coding, "Content-Type": "application/json"}
        before = read_memory_bytes()
        answer = await shared.ask("POST", "/v1/runs", data=bomb, headers=headers)
        assert (answer.status, answer.json["code"]) == (415, "unsupported_media_type")
        assert read_memory_bytes() - before < MUCH_MIB << 20

    async def test_forwarding_headers_say_nothing(self, shared: Api) -> None:
        """Nobody is believed about where they come from, unless a setting says so. part of rows B11 and C11"""
        forged = {
            "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "evil.test", "X-Forwarded-Proto": "https",
            "X-Real-IP": "127.0.0.1", "Forwarded": "for=127.0.0.1;host=evil.test", "X-Original-URL": "/livez",
            "X-Rewrite-URL": "/livez", "X-HTTP-Method-Override": "GET",
        }  # fmt: skip
        assert (await shared.ask("GET", "/v1/runs", role=None, headers=forged)).status == 401
        made = await shared.ask("POST", "/v1/runs", body={"task": "x", "agent": "net"}, headers=forged)
        assert made.status == 202
        assert made.headers["Location"].startswith("/v1/runs/")
        assert b"evil.test" not in made.data

    async def test_requests_in_a_row_are_answered_in_their_order(self, shared: Api) -> None:
        """Each by itself, however they come. part of row C11"""
        asked = b"".join(
            b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Request-ID: r-%d\r\n%s\r\n" % (number, end)
            for number, end in enumerate([b""] * 5 + [b"Connection: close\r\n"])
        )
        for size in (1, 7, len(asked)):
            answer = await exchange(shared, *[asked[place : place + size] for place in range(0, len(asked), size)])
            found = [line.strip() for line in answer.lower().split(b"\r\n") if line.startswith(b"x-request-id")]
            assert found == [b"x-request-id: r-%d" % number for number in range(6)]
