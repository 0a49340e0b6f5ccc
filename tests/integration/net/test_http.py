"""Each phase of a web request is measured truly, against a server that these tests run on loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_address

import pytest

from quorate.errors import ToolError
from quorate.tools.builtin.net.compare import compare_paths, find_portal
from quorate.tools.builtin.net.http import MAX_BODY_BYTES, Prober
from quorate.tools.targets import InvalidTarget, ProbePolicy, TargetBlocked

SLOW_S = 0.6
OK = b"HTTP/1.1 200 OK\r\nServer: test\r\nContent-Length: 5\r\n\r\nhello"
ANSWERS = {
    "/": OK,
    "/fast": OK,
    "/health": OK,
    "/gone": b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n",
    "/chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel\x00o\r\n3;x=y\r\nabc\r\n0\r\n\r\n",
    "/until-closed": b"HTTP/1.0 200 OK\r\n\r\nhello world",
    "/empty": b"HTTP/1.1 204 No Content\r\n\r\n",
    "/interim": b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
    "/cut": b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhello",
    "/cut-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nhello",
    "/nothing": b"",
    "/ssh": b"SSH-2.0-OpenSSH_9\r\n\r\n",
    "/half": b"HTTP/1.1 200 O",
    "/length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
    "/chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello",
    "/long-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
    "/headers": b"HTTP/1.1 200 OK\r\nA: " + b"x" * 200_000 + b"\r\n\r\n",
    "/interims": b"HTTP/1.1 100 Continue\r\n\r\n" * 20,
    "/large": b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (MAX_BODY_BYTES + 500_000),
    "/moved": b"HTTP/1.1 302 Found\r\nLocation: /fast\r\nContent-Length: 0\r\n\r\n",
    "/round": b"HTTP/1.1 302 Found\r\nLocation: /round\r\nContent-Length: 0\r\n\r\n",
    "/metadata": b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest\r\nContent-Length: 0\r\n\r\n",
    "/file": b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
    "/nowhere": b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        line = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0].decode()
        method, path, _ = line.split(" ")
        if path == "/slow":
            await asyncio.sleep(SLOW_S)
        if path == "/hang":
            await reader.read()
        if path == "/slow-body":
            writer.write(OK[:-1])
            await writer.drain()
            await asyncio.sleep(SLOW_S)
            writer.write(OK[-1:])
        else:
            answer = ANSWERS.get(path, OK)
            writer.write(answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if method == "HEAD" else answer)
        await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


@pytest.fixture
async def base() -> AsyncIterator[str]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.fixture
def prober() -> Prober:
    return Prober(ProbePolicy.operator(), timeout_s=30)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port at which nobody listens, and nobody else can: it is taken."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


async def test_an_answer_is_measured_by_phase(base: str, prober: Prober) -> None:
    """The phases are there and add up to the whole. row: B1"""
    seen = await prober.measure(f"{base}/fast")
    phases = seen.phases
    assert (seen.status, seen.status_code, seen.reason, seen.address) == ("answered", 200, "OK", "127.0.0.1")
    assert (seen.body.size_bytes, seen.body.sample, seen.headers["server"]) == (5, "hello", "test")
    assert phases.connect_ms > 0
    assert phases.first_byte_ms > 0
    assert phases.tls_ms == 0
    spent = phases.dns_ms + phases.connect_ms + phases.send_ms + phases.first_byte_ms + phases.download_ms
    assert spent <= seen.total_ms + 0.01
    assert seen.failed_phase == ""


async def test_a_slow_server_shows_in_the_first_byte_and_a_slow_body_in_the_download(base: str, prober: Prober) -> None:
    slow, body = await prober.measure(f"{base}/slow"), await prober.measure(f"{base}/slow-body")
    assert slow.slowest_phase == "first_byte"
    assert slow.phases.first_byte_ms >= SLOW_S * 900
    assert body.slowest_phase == "download"
    assert body.phases.download_ms >= SLOW_S * 900


async def test_a_refused_port_is_said_to_be_refused_in_the_phase_of_connecting(
    prober: Prober, closed_port: int
) -> None:
    """`connection refused` comes with its time. row: B1"""
    seen = await prober.measure(f"http://127.0.0.1:{closed_port}/")
    assert (seen.status, seen.failed_phase, seen.detail) == ("refused", "connect", "Connection refused")
    assert 0 < seen.phases.connect_ms < 20_000
    assert (seen.status_code, seen.address) == (0, "127.0.0.1")


@pytest.mark.parametrize(
    ("path", "size", "sample"),
    [
        ("/chunked", 8, "hel oabc"),
        ("/until-closed", 11, "hello world"),
        ("/empty", 0, ""),
        ("/interim", 5, "hello"),
    ],
)
async def test_every_framing_of_a_body_is_read(base: str, prober: Prober, path: str, size: int, sample: str) -> None:
    seen = await prober.measure(base + path)
    assert (seen.status, seen.body.size_bytes, seen.body.sample) == ("answered", size, sample)


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/cut", "reset", "before the body was complete"),
        ("/cut-chunk", "reset", "before the body was complete"),
        ("/nothing", "reset", "without an answer"),
        ("/ssh", "malformed", "it begins b'SSH-2.0"),
        ("/half", "malformed", "closed inside the head"),
        ("/length", "malformed", "'-5' is no content-length"),
        ("/chunk", "malformed", "does not begin with its size"),
        ("/long-chunk", "malformed", "longer than its size"),
        ("/headers", "malformed", "larger than 65536 bytes"),
        ("/interims", "malformed", "more than 5 interim answers"),
    ],
)
async def test_a_broken_answer_is_a_status_with_a_reason(
    base: str, prober: Prober, path: str, status: str, said: str
) -> None:
    seen = await prober.measure(base + path)
    assert seen.status == status
    assert said in seen.detail


async def test_a_body_is_read_up_to_its_bound(base: str, prober: Prober) -> None:
    seen = await prober.measure(f"{base}/large")
    assert (seen.status, seen.body.size_bytes, seen.body.truncated) == ("answered", MAX_BODY_BYTES, True)


async def test_a_head_request_leaves_the_body_out(base: str) -> None:
    seen = await Prober(ProbePolicy.operator(), timeout_s=30, method="HEAD").measure(base)
    assert (seen.status_code, seen.body.size_bytes) == (200, 0)


async def test_a_server_that_hangs_ends_in_time_and_names_the_phase(base: str) -> None:
    seen = await Prober(ProbePolicy.operator(), timeout_s=1).measure(f"{base}/hang")
    assert (seen.status, seen.failed_phase) == ("timeout", "first_byte")
    assert 950 < seen.total_ms < 30_000
    assert "within 1 s" in seen.detail


async def test_redirects_are_followed_and_listed(base: str, prober: Prober) -> None:
    seen = await prober.measure(f"{base}/moved", max_redirects=3)
    assert (seen.status, seen.url) == ("answered", f"{base}/fast")
    assert [(hop.url, hop.status_code, hop.location) for hop in seen.redirects] == [(f"{base}/moved", 302, "/fast")]
    unfollowed = await prober.measure(f"{base}/moved")
    assert (unfollowed.status_code, unfollowed.headers["location"]) == (302, "/fast")


async def test_redirects_in_a_circle_end(base: str, prober: Prober) -> None:
    seen = await prober.measure(f"{base}/round", max_redirects=2)
    assert (seen.status, len(seen.redirects)) == ("too_many_redirects", 2)
    assert "more than 2 redirects" in seen.detail


@pytest.mark.parametrize(("path", "said"), [("/metadata", "never probed"), ("/file", "is no URL"), ("/nowhere", "")])
async def test_each_redirect_is_checked_like_the_first_url(base: str, prober: Prober, path: str, said: str) -> None:
    seen = await prober.measure(base + path, max_redirects=3)
    assert seen.status == ("redirect_blocked" if said else "answered")
    assert said in seen.detail


async def test_the_served_may_not_reach_loopback_by_any_spelling(base: str) -> None:
    served = Prober(ProbePolicy.served(), timeout_s=1)
    for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"):
        with pytest.raises(TargetBlocked):
            await served.measure(f"http://{host}/")


async def test_the_connection_goes_to_the_checked_address(base: str) -> None:
    """A name is asked for once, so that a second answer cannot lead elsewhere."""
    asked: list[str] = []

    async def lookup(name: str) -> tuple[object, ...]:
        asked.append(name)
        return (ip_address("127.0.0.1" if len(asked) == 1 else "169.254.169.254"),)

    port = base.rpartition(":")[2]
    prober = Prober(ProbePolicy.operator(), timeout_s=30, lookup=lookup)  # type: ignore[arg-type]
    seen = await prober.measure(f"http://rebind.test:{port}/")
    assert (seen.status, seen.address, asked) == ("answered", "127.0.0.1", ["rebind.test"])


async def test_a_name_that_does_not_resolve_is_a_status() -> None:
    async def nobody(_: str) -> tuple[object, ...]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    seen = await Prober(ProbePolicy.operator(), timeout_s=1, lookup=nobody).measure("http://x.test/")
    assert (seen.status, seen.failed_phase) == ("unresolved", "dns")


async def test_the_slow_and_the_failing_path_stand_out(base: str, prober: Prober) -> None:
    """The planted slow path is found among others, also when asked alone. row: B1

    It is so against the others: on a machine that is busy with other things, all of them may be slow once.
    """
    for _ in range(10):
        seen = await compare_paths(f"{base}/ignored", ["/", "/fast", "/slow", "/gone"], prober)
        if seen.slow_paths == ("/slow",):
            break
    assert (seen.slow_paths, seen.failing_paths, seen.slowest) == (("/slow",), ("/gone",), "/slow")
    slow = seen.paths[2]
    assert slow.alone_ms is not None
    assert slow.alone_ms >= SLOW_S * 900
    assert slow.first_byte_ms >= SLOW_S * 900
    assert seen.paths[0].alone_ms is None


async def test_paths_are_paths_and_few(base: str, prober: Prober) -> None:
    with pytest.raises(InvalidTarget, match="begins with `/`"):
        await compare_paths(base, ["@evil.example/"], prober)
    with pytest.raises(ToolError, match="Give 1 to 12 paths"):
        await compare_paths(base, [f"/{number}" for number in range(20)], prober)


async def test_a_changed_answer_hints_at_a_portal(base: str, prober: Prober, closed_port: int) -> None:
    assert (await find_portal(f"{base}/empty", 204, prober)).verdict == "open"
    captive = await find_portal(f"{base}/moved", 204, prober)
    assert (captive.verdict, captive.location) == ("captive", "/fast")
    gone = await find_portal(f"http://127.0.0.1:{closed_port}/", 204, prober)
    assert (gone.verdict, gone.detail) == ("no_answer", "Connection refused")
    with pytest.raises(InvalidTarget, match="uses TLS"):
        await find_portal("https://127.0.0.1/", 204, prober)
