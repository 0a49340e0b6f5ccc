"""Does what goes out go as it was written, through an operator's proxy where there is one, and within bounds?"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from quorate.errors import DeadlineExceeded, Forbidden, Incomplete, InvalidInput, QuorateError, TooLarge, UpstreamError
from quorate.messages import build_user_message
from quorate.models.addresses import Guard
from quorate.models.breaking import BreakerPolicy
from quorate.models.deadlines import Timeouts
from quorate.models.gateway import Gateway, build_model
from quorate.models.http import open_http
from quorate.models.plan import GatewayPlan
from quorate.models.retry import RetryPolicy
from quorate.ports import Model
from quorate.specs import Request
from quorate.testing.provider_server import Answer, provider_server

NEAR = Guard(scheme="http", private=True)
REQUEST = Request(messages=(build_user_message("Hi"),))
KEYS = {"OPENAI_API_KEY": "k"}


async def call(model: Model, how: str) -> None:
    if how == "complete":
        await model.complete(REQUEST)
    else:
        async for _ in model.stream(REQUEST):
            pass


class Proxy:
    """A proxy that notes who asked for what."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split("\r\n", 1)[0].split(" ")
        self.asked.append(f"{method} {target}")
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 502 Nobody there\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        _, _, rest = target.partition("://")
        place, _, path = rest.partition("/")
        host, _, port = place.partition(":")
        inner_reader, inner_writer = await asyncio.open_connection(host, int(port))
        length = next(
            int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length")
        )
        lines = head.split("\r\n", 1)[1].replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
        inner_writer.write(f"{method} /{path} HTTP/1.1\r\n{lines}".encode() + await reader.readexactly(length))
        writer.write(await inner_reader.read())
        await writer.drain()
        inner_writer.close()
        writer.close()


@asynccontextmanager
async def open_proxy() -> AsyncGenerator[Proxy]:
    proxy = Proxy()
    async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
        proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield proxy


async def test_an_operator_s_proxy_is_gone_through() -> None:
    """For the provider it was named for, and for no other."""
    async with provider_server(["through", "direct"]) as server, open_proxy() as proxy:
        plan = GatewayPlan(proxies={"openai": proxy.url})
        urls = {"openai": server.url, "groq": server.url}
        keys = {**KEYS, "GROQ_API_KEY": "g"}
        async with Gateway(plan, credentials=keys.get, base_urls=urls) as gateway:
            assert (await gateway.find_model("openai:x").complete(REQUEST)).message.text == "through"
            assert (await gateway.find_model("groq:x").complete(REQUEST)).message.text == "direct"
    assert proxy.asked == [f"POST {server.url}/chat/completions"]


async def test_a_proxy_does_not_open_the_inside_of_the_network() -> None:
    """Names that mean private addresses are refused here, whatever the proxy would do."""

    async def resolve(host: str, _port: int) -> list[str]:
        return {"inside.test": ["10.0.0.1"], "127.0.0.1": ["127.0.0.1"]}[host]

    async with open_proxy() as proxy, open_http(proxy=proxy.url, resolve=resolve) as client:
        with pytest.raises(Forbidden, match="private"):
            await client.send("https://inside.test/", b"{}", headers={}).__aenter__()
        with pytest.raises(Forbidden, match="never reached"):
            await client.send("https://169.254.169.254/", b"{}", headers={}).__aenter__()
    assert not proxy.asked


async def test_a_name_that_only_the_proxy_knows_is_the_proxy_s_to_find() -> None:
    async def resolve(host: str, _port: int) -> list[str]:
        if host == "127.0.0.1":
            return ["127.0.0.1"]
        raise OSError("no such name")

    async with open_proxy() as proxy, open_http(proxy=proxy.url, resolve=resolve) as client:
        with pytest.raises(UpstreamError):
            await client.send("https://outside.test/v1", b"{}", headers={}).__aenter__()
    assert proxy.asked == ["CONNECT outside.test:443"]


@pytest.mark.parametrize("proxy", ["proxy.example:3128", "ftp://proxy.example", "http://user:secret@proxy.example"])
async def test_a_proxy_that_is_no_address_is_refused_and_not_shown(proxy: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        async with open_http(proxy=proxy):
            pass
    assert "secret" not in str(caught.value)


async def test_an_address_is_sent_as_it_was_written() -> None:
    """What was signed is what is sent."""
    heard: list[str] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append((await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[0])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server, open_http(guard=NEAR) as client:
        root = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        path = "/model/a%3A0%2Fb/x?token=a%2Fb%2B&alt=sse"
        for method in ("GET", "POST"):
            async with client.send(root + path, b"", headers={}, method=method) as received:
                assert await received.read() == b"{}"
                assert received.headers["Content-Length"] == received.headers["content-length"] == "2"
        for bad in ("/x?a b", "/x?a#b", "/x?ä", "/x\r\nHost: y"):
            with pytest.raises(InvalidInput):
                await client.send(root + bad, b"", headers={}).__aenter__()
    assert heard == [f"GET {path} HTTP/1.1", f"POST {path} HTTP/1.1"]


DEEP = b'{"choices":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.mark.parametrize(
    ("answer", "whole", "streamed"),
    [
        (Answer(raw=DEEP), UpstreamError, Incomplete),
        (Answer(raw=b"data: " + DEEP + b"\n\n"), UpstreamError, UpstreamError),
        (Answer(raw=b" " * (17 << 20)), TooLarge, TooLarge),
        (Answer(raw=b"<html>busy</html>", content_type="text/html"), UpstreamError, UpstreamError),
        (Answer(raw=b"\xff\xfe"), UpstreamError, Incomplete),
        (Answer(raw=b""), UpstreamError, Incomplete),
    ],
    ids=["deep", "deep-event", "long", "html", "no-text", "empty"],
)
@pytest.mark.parametrize("how", ["complete", "stream"])
async def test_answers_that_are_none_are_typed(
    answer: Answer, whole: type[QuorateError], streamed: type[QuorateError], how: str
) -> None:
    async with (
        provider_server([answer]) as server,
        build_model(
            "openai:x", credentials=KEYS.get, base_urls={"openai": server.url}, retry=RetryPolicy(attempts=1)
        ) as model,
    ):
        with pytest.raises(whole if how == "complete" else streamed):
            await call(model, how)


@pytest.mark.parametrize("how", ["complete", "stream"])
async def test_a_body_that_comes_too_slowly_meets_its_deadline(how: str) -> None:
    """Byte by byte, each in time, and the whole too late; or one of them too late."""
    script = [Answer(text="x" * 20_000, drip=4, pause_s=0.05), Answer(text="x" * 2000, drip=40, pause_s=60)]
    async with (
        provider_server(script) as server,
        build_model(
            "openai:x",
            credentials=KEYS.get,
            base_urls={"openai": server.url},
            retry=RetryPolicy(attempts=1),
            breaker=BreakerPolicy(failures=100),
            timeouts=Timeouts(total_s=0.4, idle_s=0.3, first_s=0.3),
        ) as model,
    ):
        for _ in script:
            with pytest.raises(QuorateError) as caught:
                await call(model, how)
            assert caught.value.code in ("deadline_exceeded", "incomplete")


async def test_no_timer_outlives_its_call() -> None:
    once = RetryPolicy(attempts=1)
    async with (
        provider_server([Answer(text="x" * 40, pause_s=0.01), "x", Answer(status=500)]) as server,
        build_model("openai:x", credentials=KEYS.get, base_urls={"openai": server.url}, retry=once) as model,
    ):
        await call(model, "stream")
        await call(model, "complete")
        with pytest.raises(UpstreamError):
            await call(model, "complete")
        timers = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
        assert not [timer for timer in timers if "Watch" in repr(timer) and not timer.cancelled()]


async def test_a_head_that_never_comes_is_given_up_in_time() -> None:
    async with (
        provider_server([Answer(delay_s=600)]) as server,
        build_model(
            "openai:x",
            credentials=KEYS.get,
            base_urls={"openai": server.url},
            timeouts=Timeouts(total_s=0.2),
            retry=RetryPolicy(attempts=1),
        ) as model,
    ):
        with pytest.raises(DeadlineExceeded, match=r"within 0\.2 s"):
            await model.complete(REQUEST)
        async with asyncio.timeout(30):
            await server.wait_dropped()
