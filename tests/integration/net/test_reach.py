"""Ping, ports, names' addresses and ways are measured against this machine itself."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from quorate.errors import ToolError
from quorate.tools.builtin.net.connect import connect_ports
from quorate.tools.builtin.net.icmp import send_echoes
from quorate.tools.builtin.net.ping import ping_by_tcp, ping_host
from quorate.tools.builtin.net.resolve import Unresolved, lookup_system, resolve_target
from quorate.tools.builtin.net.routes import find_path, read_routes
from quorate.tools.builtin.net.trace import reach_by_tcp, trace_route
from quorate.tools.process import CommandMissing, CommandResult, run_command
from quorate.tools.targets import Host, InvalidTarget, ProbePolicy, TargetBlocked, parse_host

OPERATOR = ProbePolicy.operator()


@asynccontextmanager
async def listening() -> AsyncIterator[int]:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@contextmanager
def closed_port() -> Iterator[int]:
    """A port at which nobody listens, and nobody else can: it is taken."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


async def no_programs(argv: Sequence[str], *, timeout_s: float, max_output_bytes: int = 1 << 20) -> CommandResult:
    raise CommandMissing(f"`{argv[0]}` is not installed on this machine.")


class Planted:
    """Runs, in earnest, a program that a test wrote."""

    def __init__(self, directory: Path, body: str) -> None:
        self.path = directory / "program"
        self.path.write_text(f"#!{sys.executable}\nimport sys\n{body}\n")
        self.path.chmod(0o755)
        self.calls: list[list[str]] = []

    async def __call__(
        self, argv: Sequence[str], *, timeout_s: float, max_output_bytes: int = 1 << 20
    ) -> CommandResult:
        self.calls.append(list(argv))
        return await run_command([str(self.path), *argv[1:]], timeout_s=timeout_s, max_output_bytes=max_output_bytes)


async def test_an_open_and_a_closed_port_are_told_apart_with_times() -> None:
    """Ports of this machine are found open and refused, each with a measured time. row: B1"""
    with closed_port() as closed:
        async with listening() as port:
            report = await connect_ports("127.0.0.1", [port, closed], OPERATOR, timeout_s=30)
    assert report.status == "partly_open"
    assert (report.open_ports, report.closed_ports) == ((port,), (closed,))
    refused = report.ports[1]
    assert refused.status == "refused"
    assert refused.error == "Connection refused"
    assert 0 < refused.elapsed_ms < 20_000
    assert 0 < report.ports[0].elapsed_ms < 20_000


async def test_a_name_is_tried_at_each_of_its_addresses() -> None:
    async def two(_: str) -> tuple[object, ...]:
        return ip_address("::1"), ip_address("127.0.0.1")

    async with listening() as port:
        report = await connect_ports("two.test", [port], OPERATOR, timeout_s=30, lookup=two)  # type: ignore[arg-type]
    assert report.open_ports == (port,)
    assert report.ports[0].address == "127.0.0.1"


async def test_a_port_that_stays_silent_ends_in_time() -> None:
    """A full backlog answers nothing; the result is a timeout after the time that was given. rule: deadlines"""
    with socket.socket() as server, socket.socket() as first, socket.socket() as second:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port = server.getsockname()[1]
        for sock in (first, second):
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        report = await connect_ports("127.0.0.1", [port], OPERATOR, timeout_s=0.2)
    assert report.ports[0].status == "timeout"
    assert 150 < report.ports[0].elapsed_ms < 30_000
    assert "no answer within" in report.ports[0].error


async def test_too_many_ports_and_none_are_refused() -> None:
    for ports in ([], list(range(1, 40))):
        with pytest.raises(ToolError, match="Give 1 to 32 ports"):
            await connect_ports("127.0.0.1", ports, OPERATOR, timeout_s=1)


async def test_localhost_needs_no_name_server() -> None:
    assert set(map(str, await lookup_system("localhost"))) <= {"127.0.0.1", "::1"}


async def test_a_name_is_resolved_once_and_every_address_checked() -> None:
    asked: list[str] = []

    async def rebinding(name: str) -> tuple[object, ...]:
        asked.append(name)
        return (ip_address("8.8.8.8"), ip_address("169.254.169.254"))

    with pytest.raises(TargetBlocked, match="link-local"):
        await resolve_target(parse_host("rebind.test"), OPERATOR, timeout_s=1, lookup=rebinding)  # type: ignore[arg-type]
    assert asked == ["rebind.test"]


async def test_a_name_without_an_answer_is_a_status() -> None:
    async def nobody(_: str) -> tuple[object, ...]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    report = await connect_ports("x.test", [80], OPERATOR, timeout_s=1, lookup=nobody)
    assert report.status == "unresolved"
    assert "'x.test' was not resolved: Name or service not known" in report.error
    ping = await ping_host("x.test", 1, OPERATOR, run=no_programs, lookup=nobody)
    assert (ping.status, ping.reachable) == ("unresolved", False)
    assert (await trace_route("x.test", 1, OPERATOR, run=no_programs, lookup=nobody)).status == "unresolved"
    assert (await find_path("x.test", OPERATOR, lookup=nobody)).status == "unresolved"


async def test_a_resolver_that_hangs_is_left_in_time() -> None:
    async def hang(_: str) -> tuple[object, ...]:
        await asyncio.Event().wait()
        return ()

    with pytest.raises(Unresolved, match=r"not resolved within 0\.05 s"):
        await resolve_target(Host(text="x.test"), OPERATOR, timeout_s=0.05, lookup=hang)  # type: ignore[arg-type]


async def test_without_a_program_this_machine_answers_a_ping_and_the_report_says_how() -> None:
    """Loopback is reachable with true times; the fallback and its reason are named. row: B1"""
    report = await ping_host("127.0.0.1", 2, OPERATOR, run=no_programs)
    assert report.reachable
    assert report.method in ("icmp-socket", "icmp-raw", "tcp")
    assert "`ping` program is not installed" in report.note
    assert (report.sent, report.received, report.loss_percent) == (2, 2, 0.0)
    assert report.min_ms is not None
    assert report.average_ms is not None
    assert 0 < report.min_ms <= report.average_ms < 1000


async def test_a_refusal_of_tcp_stands_for_a_reply() -> None:
    times, port = await ping_by_tcp(ip_address("127.0.0.1"), 2)
    assert port in (443, 80)
    assert len(times) == 2
    assert all(0 < time < 1000 for time in times)
    hops = await reach_by_tcp(ip_address("127.0.0.1"))
    assert [hop.address for hop in hops] == ["127.0.0.1"]


async def test_icmp_sockets_give_times_where_they_are_allowed() -> None:
    for kind in ("datagram", "raw"):
        for address in ("127.0.0.1", "::1"):
            try:
                times = await send_echoes(ip_address(address), 2, kind=kind)
            except OSError:
                continue  # not for this user, or no such family here
            assert len(times) == 2
            assert all(0 < time < 1000 for time in times)


async def test_the_program_is_called_with_a_list_and_its_times_are_read(tmp_path: Path) -> None:
    run = Planted(tmp_path, "print('64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=0.5 ms')")
    report = await ping_host("127.0.0.1", 2, OPERATOR, run=run)
    assert run.calls[0][-2:] == ["--", "127.0.0.1"]
    assert (report.method, report.status, report.received, report.loss_percent) == ("icmp-command", "lossy", 1, 50.0)
    assert report.note == ""


async def test_a_program_that_may_not_send_is_replaced_and_named(tmp_path: Path) -> None:
    run = Planted(tmp_path, "sys.stderr.write('ping: socket: Operation not permitted'); sys.exit(2)")
    report = await ping_host("127.0.0.1", 1, OPERATOR, run=run)
    assert report.reachable
    assert "Operation not permitted" in report.note
    assert report.method != "icmp-command"


async def test_silence_is_told_by_the_program(tmp_path: Path) -> None:
    run = Planted(tmp_path, "print('1 packets transmitted, 0 received'); sys.exit(1)")
    report = await ping_host("127.0.0.1", 1, OPERATOR, run=run)
    assert (report.status, report.reachable, report.min_ms) == ("no_answer", False, None)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_the_way_to_this_machine_is_one_hop(host: str) -> None:
    report = await trace_route(host, 5, OPERATOR, run=no_programs)
    assert report.reached
    assert report.method in ("udp-socket", "tcp")
    assert "`traceroute` program is not installed" in report.note
    assert report.last_answer == host


async def test_hops_of_a_program_are_taken(tmp_path: Path) -> None:
    run = Planted(tmp_path, "print(' 1  127.0.0.9  0.5 ms'); print(' 2  127.0.0.1  0.7 ms')")
    report = await trace_route("127.0.0.1", 5, OPERATOR, run=run)
    assert (report.method, report.reached, len(report.hops)) == ("traceroute", True, 2)
    assert run.calls[0][-2:] == ["--", "127.0.0.1"]


async def test_the_kernel_tells_the_way_and_the_size_of_packets() -> None:
    report = await find_path("127.0.0.1", OPERATOR)
    assert (report.status, report.source, report.hint) == ("ok", "127.0.0.1", "")
    assert report.mtu >= 1500


def test_the_cards_of_this_machine_are_listed() -> None:
    report = read_routes()
    assert report.status == "ok"
    loopback = next(card for card in report.interfaces if card.name == "lo")
    assert loopback.up
    assert loopback.mtu > 1500
    assert "127.0.0.1" in loopback.addresses
    assert report.has_default == bool(report.gateways)


def test_a_system_without_such_tables_is_unavailable(tmp_path: Path) -> None:
    report = read_routes(proc=tmp_path, sys=tmp_path)
    assert report.status == "unavailable"
    assert "has no" in report.reason


async def test_the_served_may_not_look_inside() -> None:
    """What is served to others reaches neither loopback nor, for anybody, metadata."""
    served = ProbePolicy.served()
    with pytest.raises(TargetBlocked, match="loopback"):
        await connect_ports("localhost", [80], served, timeout_s=1)
    with pytest.raises(TargetBlocked, match="loopback"):
        await ping_host("127.0.0.1", 1, served, run=no_programs)
    with pytest.raises(TargetBlocked, match="never probed"):
        await trace_route("169.254.169.254", 1, OPERATOR, run=no_programs)
    with pytest.raises(InvalidTarget):
        await ping_host("-f", 1, OPERATOR, run=no_programs)
