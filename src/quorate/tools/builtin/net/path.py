"""Which way do packets take from this machine?"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from ipaddress import IPv6Address
from pathlib import Path
from typing import Literal

from msgspec import Struct

from quorate.tools.process import CommandMissing, run_command
from quorate.tools.targets import ProbePolicy, check_host, resolve_target

USUAL_MTU = 1500
HOP_S = 1.0
PORT = 33_434
_HOP_LINE = re.compile(r"^\s*(\d+)[:?]?\s+(?:([0-9a-fA-F.:]+)\s+([0-9.]+) ?ms|\*|no reply)", re.MULTILINE)
# From <linux/errqueue.h> and <linux/in.h>, which the socket module does not name.
IP_RECVERR = 11
MSG_ERRQUEUE = 0x2000
TTL_EXCEEDED, UNREACHABLE = 11, 3


class TraceHop(Struct, frozen=True, kw_only=True):
    """One router on the way; without an address when it did not answer."""

    hop: int
    address: str = ""
    elapsed_ms: float | None = None


class Trace(Struct, frozen=True, kw_only=True):
    """The way to a host."""

    host: str
    address: str
    method: Literal["traceroute", "udp-socket", "unavailable"]
    note: str
    """Why a weaker method was taken; empty for the first one."""
    hops: tuple[TraceHop, ...]
    reached: bool


class Interface(Struct, frozen=True, kw_only=True):
    """A network card."""

    name: str
    up: bool
    mtu: int
    receive_errors: int
    transmit_errors: int
    receive_drops: int
    transmit_drops: int
    hint: str = ""


class Gateway(Struct, frozen=True, kw_only=True):
    """Where packets go that have no nearer way."""

    interface: str
    address: str


class RouteReport(Struct, frozen=True, kw_only=True):
    """The machine's own way out."""

    status: Literal["ok", "unavailable"]
    reason: str = ""
    has_default: bool = False
    gateways: tuple[Gateway, ...] = ()
    interfaces: tuple[Interface, ...] = ()


async def trace_route(host: str, max_hops: int, policy: ProbePolicy) -> Trace:
    """Trace the way to a host: by the `traceroute` program, else by datagrams of our own; the report says which."""
    name = check_host(host)
    address = (await resolve_target(name, policy))[0]
    argv = ["traceroute", "-n", "-q", "1", "-w", "1", "-m", str(max_hops), "--", address]
    try:
        result = await run_command(argv, timeout_s=2 + HOP_S * max_hops, max_output_bytes=65_536)
        hops = tuple(
            TraceHop(hop=int(match[1]), address=match[2] or "", elapsed_ms=float(match[3]) if match[3] else None)
            for match in _HOP_LINE.finditer(result.stdout)
        )
        method, note = "traceroute", ""
    except CommandMissing:
        note = "the `traceroute` program is not installed"
        if ":" in address:
            reason = f"{note}, and datagrams of our own trace IPv4 only"
            return Trace(host=name, address=address, method="unavailable", note=reason, hops=(), reached=False)
        method, hops = "udp-socket", await asyncio.get_running_loop().run_in_executor(None, _trace, address, max_hops)
    reached = bool(hops) and hops[-1].address == address
    return Trace(host=name, address=address, method=method, note=note, hops=hops, reached=reached)


def _trace(address: str, max_hops: int) -> tuple[TraceHop, ...]:
    """Send datagrams that may live one hop, two hops, … and read from the error queue who threw them away."""
    import select
    import time

    hops: list[TraceHop] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        for hop in range(1, max_hops + 1):
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hop)
            began = time.monotonic()
            sock.sendto(b"quorate", (address, PORT + hop))
            poller = select.poll()
            poller.register(sock, select.POLLERR)
            if not poller.poll(HOP_S * 1000):
                hops.append(TraceHop(hop=hop))
                continue
            elapsed_ms = round((time.monotonic() - began) * 1000, 3)
            _, ancillary, _, _ = sock.recvmsg(512, 512, MSG_ERRQUEUE)
            offender, kind = _read_error(ancillary, address)
            hops.append(TraceHop(hop=hop, address=offender, elapsed_ms=elapsed_ms))
            if kind != TTL_EXCEEDED:
                break
    return tuple(hops)


def _read_error(ancillary: list[tuple[int, int, bytes]], address: str) -> tuple[str, int]:
    """Read `struct sock_extended_err`: errno, origin, type, code, …, then the address of who sent it."""
    for _, kind, data in ancillary:
        if kind == IP_RECVERR and len(data) >= 24:
            icmp_type = struct.unpack_from("=IBBBB", data)[2]
            offender = socket.inet_ntoa(data[20:24])
            return (offender if offender != "0.0.0.0" else address), icmp_type  # noqa: S104  # compared, not bound
    return address, UNREACHABLE


def read_routes(proc: Path = Path("/proc/net"), sys: Path = Path("/sys/class/net")) -> RouteReport:
    """Read the default gateways and the network cards, with what is odd about them."""
    try:
        table = (proc / "route").read_text()
    except OSError as error:
        return RouteReport(status="unavailable", reason=f"this system has no {proc}/route ({error.strerror})")
    gateways = [*_read_gateways(table), *_read_gateways_six(proc / "ipv6_route")]
    interfaces = tuple(_read_interface(path) for path in sorted(sys.iterdir())) if sys.is_dir() else ()
    return RouteReport(status="ok", has_default=bool(gateways), gateways=tuple(gateways), interfaces=interfaces)


def _read_gateways(table: str) -> list[Gateway]:
    found: list[Gateway] = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and fields[1] == "00000000" and fields[7] == "00000000":
            address = socket.inet_ntoa(struct.pack("<I", int(fields[2], 16)))
            found.append(Gateway(interface=fields[0], address=address))
    return found


def _read_gateways_six(path: Path) -> list[Gateway]:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return []
    fields = [line.split() for line in lines]
    return [
        Gateway(interface=row[9], address=str(IPv6Address(bytes.fromhex(row[4]))))
        for row in fields
        if len(row) > 9 and row[0] == "0" * 32 and row[1] == "00" and row[9] != "lo"
    ]


def _read_interface(path: Path) -> Interface:
    mtu = _read_number(path / "mtu")
    up = _read_word(path / "operstate") in ("up", "unknown")
    small = up and 0 < mtu < USUAL_MTU
    statistics = path / "statistics"
    return Interface(
        name=path.name,
        up=up,
        mtu=mtu,
        receive_errors=_read_number(statistics / "rx_errors"),
        transmit_errors=_read_number(statistics / "tx_errors"),
        receive_drops=_read_number(statistics / "rx_dropped"),
        transmit_drops=_read_number(statistics / "tx_dropped"),
        hint=f"its MTU of {mtu} is below {USUAL_MTU}: large packets may be lost where ICMP is filtered"
        if small
        else "",
    )


def _read_number(path: Path) -> int:
    word = _read_word(path)
    return int(word) if word.isdecimal() else 0


def _read_word(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
