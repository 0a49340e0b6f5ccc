"""Does a model reach a provider over real sockets, and say what went wrong when it cannot?"""

import asyncio
import gc
import gzip
import socket
import ssl
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from quorate.errors import (
    DeadlineExceeded,
    Forbidden,
    Incomplete,
    InvalidInput,
    NotFound,
    QuorateError,
    RateLimited,
    TooLarge,
    Unauthenticated,
    UnknownName,
    UpstreamError,
)
from quorate.messages import Image, ReplyDone, StreamItem, TextDelta, ToolCall, Usage, build_user_message
from quorate.models.addresses import Guard
from quorate.models.breaking import BreakerPolicy
from quorate.models.deadlines import Timeouts
from quorate.models.gateway import build_model
from quorate.models.http import open_http
from quorate.models.providers.openai.request import encode
from quorate.models.retry import Retrying, RetryPolicy
from quorate.models.target import find_target
from quorate.specs import Request, ToolSpec
from quorate.testing.provider_server import Answer, ProviderServer, build_completion, build_events, provider_server

REQUEST = Request(messages=(build_user_message("Hi"),), tools=(ToolSpec(name="look"),))
ONCE = RetryPolicy(attempts=1)
NEVER_OPEN = BreakerPolicy(failures=100_000, calls=100_000)
KEY = "sk-canary-0123456789"
LATE_S = 30.0
"""Later than any machine is, and sooner than what would end a wait by itself."""
TARGET = find_target("openai:gpt-5.2", credentials={}.get, base_urls={})


def connect(server: ProviderServer | str, *, retry: RetryPolicy = ONCE, **timeouts: float) -> Retrying:
    url = server if isinstance(server, str) else server.url
    return build_model(
        "openai:gpt-5.2",
        credentials={"OPENAI_API_KEY": KEY}.get,
        base_urls={"openai": url},
        timeouts=Timeouts(**timeouts),
        retry=retry,
        breaker=NEVER_OPEN,
    )


async def read(model: Retrying) -> list[StreamItem]:
    return [item async for item in model.stream(REQUEST)]


async def collect(model: Retrying, items: list[StreamItem]) -> None:
    async for item in model.stream(REQUEST):
        items.append(item)


def get_text(items: list[StreamItem]) -> str:
    return "".join(item.text for item in items if isinstance(item, TextDelta))


async def test_a_reply_in_one_piece_and_its_price() -> None:
    usage = Usage(input_tokens=1_000_000, cached_tokens=500_000, output_tokens=100_000)
    async with provider_server([Answer(text="Hello.", usage=usage)], key=KEY) as server, connect(server) as model:
        reply = await model.complete(REQUEST)
    assert reply.message.text == "Hello."
    assert reply.model == "gpt-5.2"
    assert reply.cost_usd == pytest.approx(0.5 * 1.75 + 0.5 * 0.175 + 0.1 * 14)


async def test_a_stream_comes_in_pieces_and_ends_in_the_same_reply() -> None:
    """Chunks arrive before completion, their sum is the final text, usage and cost are recorded for streams also."""
    answer = Answer(text="Hello, dear world.", calls=(ToolCall(id="c", name="look", arguments="{"),))
    async with provider_server([answer, answer]) as server, connect(server) as model:
        items = await read(model)
        whole = await model.complete(REQUEST)
    done = items[-1]
    assert isinstance(done, ReplyDone)
    assert len(items) > 4
    assert get_text(items) == done.reply.message.text == answer.text
    assert done.reply == whole
    assert done.reply.cost_usd
    assert server.requests[0].is_stream


async def test_the_first_piece_comes_before_the_last_is_sent() -> None:
    """The server sends the rest when the first piece was seen, and not before."""
    seen = asyncio.Event()
    first, *rest = build_events(Answer(text="x" * 16))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + first + rest[0])
        await seen.wait()
        writer.write(b"".join(rest[1:]))
        writer.close()
        await writer.wait_closed()

    async with asyncio.timeout(30), await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"http://127.0.0.1:{port}/v1") as model:
            items: list[StreamItem] = []
            async for item in model.stream(REQUEST):
                items.append(item)
                seen.set()
    assert get_text(items) == "x" * 16
    assert len(items) == 3


@pytest.mark.filterwarnings("error")
@pytest.mark.usefixtures("swept")
async def test_a_large_picture_is_sent_whole() -> None:
    """In pieces, and with nothing to complain about."""
    data = bytes(range(256)) * (12 << 10)
    asked = Request(messages=(build_user_message((Image(data=data),)),))
    async with provider_server(["A picture."]) as server, connect(server) as model:
        await model.complete(asked)
    assert server.requests[0].body == msgspec.json.decode(encode(asked, TARGET))
    assert int(server.requests[0].headers["content-length"]) > len(data)


async def test_a_provider_that_does_not_count_is_counted_for() -> None:
    async with provider_server([Answer(text="x" * 40, usage=None)] * 2) as server, connect(server) as model:
        reply = await model.complete(REQUEST)
        done = (await read(model))[-1]
    assert reply.usage.output_tokens == 10
    assert reply.usage.input_tokens > 10
    assert isinstance(done, ReplyDone)
    assert done.reply.cost_usd


@pytest.mark.parametrize("cut", ["end", "abort"])
async def test_a_stream_cut_at_any_byte_is_never_a_success(cut: str) -> None:
    """Whether the body ends as if it were whole or the connection breaks; the pieces given out are kept as partial."""
    answer = Answer(text="Grüße!", piece=3, usage=None)
    body = b"".join(build_events(answer, model="gpt-5.2", with_usage=True))
    cuts = [Answer(text=answer.text, piece=3, usage=None, cut_at=end, cut=cut) for end in range(len(body))]
    async with provider_server([*cuts, answer]) as server, connect(server) as model:
        for _ in cuts:
            given: list[StreamItem] = []
            with pytest.raises(Incomplete) as caught:
                await collect(model, given)
            assert caught.value.context["limit"] == "stream"
            assert not any(isinstance(item, ReplyDone) for item in given)
            if given:
                assert caught.value.context["partial"] == get_text(given)
        assert isinstance((await read(model))[-1], ReplyDone)


async def test_a_whole_reply_cut_at_any_byte_is_never_a_success() -> None:
    answer = Answer(text="Hello")
    body = build_completion(answer, model="gpt-5.2")
    cuts = [Answer(text="Hello", cut_at=end, cut=how) for end in range(1, len(body), 5) for how in ("end", "abort")]
    async with provider_server(cuts) as server, connect(server) as model:
        for _ in cuts:
            with pytest.raises((Incomplete, UpstreamError)):
                await model.complete(REQUEST)


@pytest.mark.parametrize(
    ("status", "code", "type_"),
    [
        (400, "context_length_exceeded", TooLarge),
        (401, "invalid_api_key", Unauthenticated),
        (404, "model_not_found", UnknownName),
        (404, "unknown_url", NotFound),
        (429, "insufficient_quota", RateLimited),
        (500, "server_error", UpstreamError),
    ],
)
@pytest.mark.parametrize("how", ["complete", "stream"])
async def test_refusals_are_typed_and_keep_the_key(status: int, code: str, type_: type[QuorateError], how: str) -> None:
    async with provider_server([Answer(status=status, code=code)]) as server, connect(server) as model:
        with pytest.raises(type_) as caught:
            await (model.complete(REQUEST) if how == "complete" else read(model))
    assert "canary" not in f"{caught.value} {caught.value.context}"


async def test_a_wrong_key_is_refused() -> None:
    async with provider_server(["no"], key="another") as server, connect(server) as model:
        with pytest.raises(Unauthenticated, match="OPENAI_API_KEY"):
            await model.complete(REQUEST)


async def test_retry_after_is_kept_and_the_call_is_made_again() -> None:
    """No sooner, and not much later; how much is a matter of waits that are counted elsewhere."""
    script = [Answer(status=429, code="rate_limit_exceeded", headers={"Retry-After": "1"}), "Hello."]
    async with provider_server(script) as server, connect(server, retry=RetryPolicy()) as model:
        began = time.monotonic()
        assert get_text(await read(model)) == "Hello."
        assert 1.0 <= time.monotonic() - began < LATE_S
    assert len(server.requests) == 2


async def test_a_stream_that_breaks_after_a_piece_is_not_made_again() -> None:
    """Even though the failure alone would be worth another attempt."""
    garbled = b"".join(build_events(Answer(text="Hello"))[:2]) + b"data: {\n\n"
    async with provider_server([Answer(raw=garbled), "never"]) as server, connect(server, retry=RetryPolicy()) as model:
        with pytest.raises(Incomplete, match="garbled") as caught:
            await read(model)
    assert caught.value.context["partial"] == "Hello"
    assert len(server.requests) == 1


async def test_a_stream_that_is_garbled_from_the_start_is_made_again() -> None:
    quick = RetryPolicy(base_s=0.01)
    async with provider_server([Answer(raw=b"data: {\n\n"), "Hello."]) as server, connect(server, retry=quick) as model:
        assert get_text(await read(model)) == "Hello."


async def test_a_server_that_does_not_stream_is_named() -> None:
    answer = Answer(raw=build_completion(Answer(text="x")), headers={"Content-Type": "application/json"})
    async with provider_server([answer]) as server, connect(server) as model:
        with pytest.raises(UpstreamError, match="'application/json' where a stream"):
            await read(model)


async def test_a_redirect_is_not_followed() -> None:
    async with provider_server(["never"]) as target:
        moved = Answer(status=307, headers={"Location": f"{target.url}/chat/completions"})
        async with provider_server([moved]) as server, connect(server) as model:
            with pytest.raises(UpstreamError, match="redirect"):
                await model.complete(REQUEST)
    assert not target.requests


async def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with provider_server(["Hello."]) as server, connect(server) as model:
        assert (await model.complete(REQUEST)).message.text == "Hello."


@pytest.mark.parametrize("how", ["complete", "stream"])
async def test_a_body_that_inflates_too_far_is_refused(how: str) -> None:
    """64 MiB of nothing in 64 KiB; the size is counted after inflating."""
    bomb = gzip.compress(b" " * (64 << 20))
    headers = {"Content-Encoding": "gzip", "Content-Type": "text/event-stream"}
    async with provider_server([Answer(raw=bomb, headers=headers)]) as server, connect(server) as model:
        with pytest.raises(TooLarge):
            await (model.complete(REQUEST) if how == "complete" else read(model))


async def test_what_is_not_gzip_is_typed() -> None:
    answer = Answer(raw=b"not gzip", headers={"Content-Encoding": "gzip"})
    async with provider_server([answer]) as server, connect(server) as model:
        with pytest.raises((Incomplete, UpstreamError)):
            await model.complete(REQUEST)


@contextmanager
def listen(*, backlog: int = 8) -> Iterator[tuple[socket.socket, str]]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(backlog)
        yield listener, f"127.0.0.1:{listener.getsockname()[1]}"


async def test_nobody_listening_is_named_with_its_place() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        async with connect(f"http://127.0.0.1:{port}/v1") as model:
            with pytest.raises(UpstreamError, match=f"127.0.0.1:{port} cannot be reached") as caught:
                await model.complete(REQUEST)
    assert caught.value.retryable


async def test_a_server_that_accepts_and_says_nothing_meets_the_first_deadline() -> None:
    with listen() as (_, place):
        async with connect(f"http://{place}/v1", first_s=0.3) as model:
            began = time.monotonic()
            with pytest.raises(DeadlineExceeded, match=r"within 0\.3 s"):
                await read(model)
            assert 0.27 <= time.monotonic() - began < LATE_S


async def test_a_handshake_that_does_not_end_meets_the_connect_deadline() -> None:
    with listen() as (_, place):
        async with connect(f"https://{place}/v1", connect_s=0.3) as model:
            began = time.monotonic()
            with pytest.raises(DeadlineExceeded, match=r"no connection .* 0\.3 s") as caught:
                await model.complete(REQUEST)
            assert 0.27 <= time.monotonic() - began < LATE_S
    assert caught.value.retryable


async def test_tls_is_verified_and_there_is_no_plain_way_instead() -> None:
    """A server that answers TLS with plain text gets no second, unprotected call."""
    async with provider_server(["never"]) as server, connect(server.url.replace("http:", "https:")) as model:
        with pytest.raises(UpstreamError, match="TLS") as caught:
            await model.complete(REQUEST)
    assert not server.requests
    assert not caught.value.retryable


async def test_a_pause_between_pieces_meets_the_idle_deadline() -> None:
    """What came is kept, and the answer is not whole; pauses that are shorter may be many."""
    # The frame that is left out bears no text, so that "Hello" comes before the pause.
    script = [
        Answer(text="Hello, world", piece=1, pause_s=0.1),
        Answer(text="Hello, world", piece=5, pause_s=60, drop=0),
    ]
    async with provider_server(script) as server, connect(server, idle_s=3) as model:
        assert get_text(await read(model)) == "Hello, world"
        with pytest.raises(Incomplete, match=r"next piece \(3 s\)") as caught:
            await read(model)
    assert caught.value.context["partial"] == "Hello"


async def test_pings_do_not_push_the_first_deadline_away() -> None:
    """A comment is no piece of an answer."""

    async def ping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        try:
            while not writer.is_closing():
                writer.write(b": ping\n\n")
                await writer.drain()
                await asyncio.sleep(0.05)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(ping, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"http://127.0.0.1:{port}/v1", first_s=0.4) as model:
            began = time.monotonic()
            with pytest.raises(DeadlineExceeded, match="first piece"):
                await read(model)
            assert 0.36 <= time.monotonic() - began < LATE_S


async def test_a_stream_that_drips_forever_meets_the_whole_deadline() -> None:
    answer = Answer(text="x" * 10_000, piece=1, pause_s=0.02)
    async with provider_server([answer]) as server, connect(server, total_s=1) as model:
        began = time.monotonic()
        with pytest.raises((DeadlineExceeded, Incomplete), match=r"its end \(1 s\)"):
            await read(model)
        assert 0.95 <= time.monotonic() - began < LATE_S


@pytest.mark.parametrize(
    "answer", [Answer(delay_s=600), Answer(text="x" * 100_000, pause_s=0.05)], ids=["waiting", "streaming"]
)
async def test_cancelling_reaches_the_socket_at_once(answer: Answer) -> None:
    """The provider sees it long before its answer's end, and stops spending."""
    async with provider_server([answer]) as server, connect(server) as model:
        given: list[StreamItem] = []
        task = asyncio.create_task(collect(model, given))
        async with asyncio.timeout(30):
            while not (given if answer.text else server.requests):
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(30):
            await server.wait_dropped()


async def test_leaving_a_stream_reaches_the_socket_at_once() -> None:
    async with provider_server([Answer(text="x" * 100_000, pause_s=0.05)]) as server, connect(server) as model:
        stream = model.stream(REQUEST)
        await anext(stream)
        await stream.aclose()
        async with asyncio.timeout(30):
            await server.wait_dropped()


async def test_a_public_name_that_means_this_machine_is_refused() -> None:
    """A provider of the table is public, whatever its name resolves to."""
    model = build_model("openai:gpt-5.2", credentials={"OPENAI_API_KEY": KEY}.get, retry=ONCE)
    client = await model.inner.inner.sender.get_client()  # type: ignore[attr-defined]

    async def lie(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    client._resolve = lie
    async with model:
        with pytest.raises(Forbidden, match=r"`api.openai.com` \(127\.0\.0\.1\) is a loopback address"):
            await model.complete(REQUEST)


@pytest.mark.parametrize("host", ["169.254.169.254", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "0.0.0.0"])
async def test_metadata_addresses_are_refused_even_when_an_operator_names_them(host: str) -> None:
    async with connect(f"http://{host}/v1") as model:
        with pytest.raises(Forbidden, match="never reached"):
            await model.complete(REQUEST)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "localhost", "[::ffff:127.0.0.1]"])
async def test_an_address_in_disguise_is_not_reached(host: str) -> None:
    """Old and other ways of writing an address are refused, or seen as what they mean; nobody is called."""
    with listen() as (listener, place):
        async with open_http() as client:
            with pytest.raises((Forbidden, InvalidInput, UpstreamError)):
                async with client.send(f"https://{host}:{place.split(':')[1]}/", b"", headers={}):
                    pass
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


async def test_one_bad_address_among_good_ones_refuses_the_name() -> None:
    """Which of them is connected to is not ours to choose."""

    async def resolve(_host: str, _port: int) -> list[str]:
        return ["8.8.8.8", "10.0.0.1"]

    async with open_http(resolve=resolve) as client:
        with pytest.raises(Forbidden, match=r"`api\.test` \(10\.0\.0\.1\) is a private address"):
            await client.send("https://api.test/", b"", headers={}).__aenter__()


async def test_a_name_is_resolved_again_for_every_connection_and_checked_again() -> None:
    """A name that was good and turns bad is refused; the connection goes to what was checked."""
    answers = [["127.0.0.1"], ["169.254.169.254"]]

    async def resolve(_host: str, _port: int) -> list[str]:
        return answers.pop(0)

    async with provider_server(["Hello."]) as server:
        url = server.url.replace("127.0.0.1", "api.test") + "/chat/completions"
        async with open_http(guard=Guard(scheme="http", private=True), resolve=resolve) as client:
            async with client.send(url, b"{}", headers={"Connection": "close"}) as received:
                assert received.status == 200
                await received.read()
            with pytest.raises(Forbidden, match="never reached"):
                await client.send(url, b"{}", headers={}).__aenter__()


async def test_a_client_keeps_to_its_scheme() -> None:
    async with open_http() as client:
        with pytest.raises(Forbidden, match="speaks `https` alone"):
            await client.send("http://127.0.0.1/", b"", headers={}).__aenter__()


async def test_a_name_without_an_address_is_named() -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        return []

    async with open_http(resolve=resolve) as client:
        with pytest.raises(UpstreamError, match=r"'api\.test' of the provider has no address"):
            await client.send("https://api.test/", b"", headers={}).__aenter__()


async def test_what_does_not_speak_http_is_typed() -> None:
    async def mumble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-what\r\n\r\n")
        writer.close()

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    for serve, said in ((mumble, "no HTTP answer"), (hang_up, "closed the connection before")):
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with connect(f"http://127.0.0.1:{port}/v1") as model:
                with pytest.raises(UpstreamError, match=said):
                    await model.complete(REQUEST)


async def test_an_error_whose_body_is_cut_keeps_its_status() -> None:
    async def fail(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 503 No\r\nContent-Length: 99\r\nRetry-After: 7\r\n\r\n{"error"')
        writer.close()

    async with await asyncio.start_server(fail, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"http://127.0.0.1:{port}/v1") as model:
            with pytest.raises(UpstreamError, match="HTTP 503") as caught:
                await model.complete(REQUEST)
    assert caught.value.context["retry_after_s"] == 7


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    """The key is not sent to whoever is there."""
    context = build_self_signed(tmp_path)
    heard: list[bytes] = []

    async def listen_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(1000))
        writer.close()

    async with await asyncio.start_server(listen_in, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"https://127.0.0.1:{port}/v1") as model:
            with pytest.raises(UpstreamError, match=r"TLS connection to 127\.0\.0\.1") as caught:
                await model.complete(REQUEST)
    assert not heard
    assert not caught.value.retryable


def build_self_signed(folder: Path) -> ssl.SSLContext:
    """Build a server's context whose certificate is right in all but who signed it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    written = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(written + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@pytest.mark.filterwarnings("error")
@pytest.mark.usefixtures("swept")
async def test_nothing_is_left_open() -> None:
    """No warning about a client or a socket that was forgotten, whether the model is closed, dropped or misused."""
    async with provider_server(["a", Answer(text="x" * 99, pause_s=0.05), Answer(status=500)]) as server:
        model = connect(server)
        await model.complete(REQUEST)
        stream = model.stream(REQUEST)
        await anext(stream)
        await stream.aclose()
        with pytest.raises(UpstreamError):
            await model.complete(REQUEST)
        await model.aclose()
        await model.aclose()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del model, stream
        gc.collect()


async def test_a_closed_model_opens_again() -> None:
    async with provider_server(["a", "b"]) as server:
        model = connect(server)
        for wanted in ("a", "b"):
            async with model:
                assert (await model.complete(REQUEST)).message.text == wanted


async def test_connections_are_used_again() -> None:
    """Whole replies and streams alike."""
    peers: set[str] = set()
    async with provider_server(["a"] * 6) as server, connect(server) as model:
        for _ in range(3):
            await model.complete(REQUEST)
            await read(model)
            client = await model.inner.inner.sender.get_client()  # type: ignore[attr-defined]
            _, session = next(iter(client._open.values()))
            peers |= {
                str(c[0].transport.get_extra_info("sockname"))
                for conns in session.connector._conns.values()
                for c in conns
            }
    assert len(peers) == 1
