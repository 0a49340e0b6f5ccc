"""Does a host answer, and on which ports?"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
import struct
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from quorate.errors import ToolError
from quorate.tools.process import CommandMissing, run_command
from quorate.tools.targets import ProbePolicy, check_host, check_port, resolve_target

MAX_PORTS = 64
CONNECT_S = 3.0
_REPLY_TIME = re.compile(r"time[=<]([0-9.]+) ?ms")
_STATUS = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.ETIMEDOUT: "timeout",
}

PortStatus = Literal["open", "refused", "timeout", "unreachable", "reset", "error"]


class PortResult(Struct, frozen=True, kw_only=True):
    """What came of connecting to one port."""

    port: int
    status: PortStatus
    elapsed_ms: float
    error: str = ""


class TcpReport(Struct, frozen=True, kw_only=True):
    """What came of connecting to a host."""

    host: str
    address: str
    ports: tuple[PortResult, ...]
    open_ports: tuple[int, ...]
    closed_ports: tuple[int, ...]


class PingReport(Struct, frozen=True, kw_only=True):
    """How a host answers echo requests, or what stands for them."""

    host: str
    address: str
    method: Literal["icmp-command", "icmp-socket", "tcp"]
    note: str
    """Why a weaker method was taken; empty for the first one."""
    sent: int
    received: int
    loss_percent: float
    min_ms: float | None = None
    average_ms: float | None = None
    max_ms: float | None = None
    reachable: bool = False


def classify_failure(error: OSError) -> PortStatus:
    """Say in a word why a connection failed."""
    return _STATUS.get(error.errno or 0, "error")  # type: ignore[return-value]  # the table holds these words alone


async def connect_ports(host: str, ports: Sequence[int], policy: ProbePolicy, timeout_s: float) -> TcpReport:
    """Connect to several ports of a host at once and close again."""
    name = check_host(host)
    if not 1 <= len(ports) <= MAX_PORTS:
        raise ToolError(f"{len(ports)} ports are too many or none: give 1 to {MAX_PORTS}.")
    wanted = [check_port(port) for port in dict.fromkeys(ports)]
    address = (await resolve_target(name, policy))[0]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_connect(address, port, timeout_s)) for port in wanted]
    results = tuple(task.result() for task in tasks)
    return TcpReport(
        host=name,
        address=address,
        ports=results,
        open_ports=tuple(result.port for result in results if result.status == "open"),
        closed_ports=tuple(result.port for result in results if result.status != "open"),
    )


async def _connect(address: str, port: int, timeout_s: float) -> PortResult:
    loop = asyncio.get_running_loop()
    began = loop.time()
    status: PortStatus = "open"
    reason = ""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        try:
            async with asyncio.timeout(timeout_s):
                await loop.sock_connect(sock, (address, port))
        except TimeoutError:
            status, reason = "timeout", f"no answer within {timeout_s:g} s"
        except OSError as error:
            status, reason = classify_failure(error), os.strerror(error.errno or 0)
    return PortResult(port=port, status=status, elapsed_ms=round((loop.time() - began) * 1000, 3), error=reason)


async def ping_host(host: str, count: int, policy: ProbePolicy) -> PingReport:
    """Send echo requests: by the `ping` program, else by a socket of our own, else by TCP; the report says which."""
    name = check_host(host)
    address = (await resolve_target(name, policy))[0]
    notes: list[str] = []
    try:
        times = await _ping_command(address, count)
        if times is not None:
            return _report(name, address, "icmp-command", count, times, notes)
        notes.append("the `ping` program may not send")
    except CommandMissing:
        notes.append("the `ping` program is not installed")
    try:
        times = await _ping_socket(address, count)
        return _report(name, address, "icmp-socket", count, times, notes)
    except (PermissionError, OSError) as error:
        notes.append(f"an ICMP socket is not allowed ({os.strerror(error.errno or 0)})")
    report = await connect_ports(name, [443, 80], policy, 1.0)
    answered = [result.elapsed_ms for result in report.ports if result.status in ("open", "refused", "reset")]
    notes.append("a TCP answer on port 443 or 80, even a refusal, stands for a reply")
    return _report(name, address, "tcp", len(report.ports), answered, notes)


def _report(
    host: str,
    address: str,
    method: Literal["icmp-command", "icmp-socket", "tcp"],
    sent: int,
    times: Sequence[float],
    notes: Sequence[str],
) -> PingReport:
    return PingReport(
        host=host,
        address=address,
        method=method,
        note="; ".join(notes),
        sent=sent,
        received=len(times),
        loss_percent=round(100 * (1 - len(times) / sent), 1),
        min_ms=min(times, default=None),
        average_ms=round(sum(times) / len(times), 3) if times else None,
        max_ms=max(times, default=None),
        reachable=bool(times),
    )


async def _ping_command(address: str, count: int) -> list[float] | None:
    """Run `ping`; `None` when it is there but not allowed to send."""
    argv = ["ping", "-n", "-c", str(count), "-i", "0.2", "-W", "1", "--", address]
    result = await run_command(argv, timeout_s=2 + 1.2 * count, max_output_bytes=65_536)
    if result.returncode not in (0, 1) and not result.timed_out:
        return None
    return [float(match[1]) for match in _REPLY_TIME.finditer(result.stdout)]


async def _ping_socket(address: str, count: int) -> list[float]:
    """Send echo requests by an ICMP datagram socket (RFC 792 and RFC 4443), which needs no privilege where allowed."""
    is_six = ":" in address
    family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if is_six else (socket.AF_INET, socket.IPPROTO_ICMP)
    request, answer = (128, 129) if is_six else (8, 0)
    loop = asyncio.get_running_loop()
    times: list[float] = []
    with socket.socket(family, socket.SOCK_DGRAM, protocol) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, (address, 0))
        for number in range(count):
            packet = struct.pack("!BBHHH", request, 0, 0, 0, number) + b"quorate!"
            if not is_six:
                packet = packet[:2] + struct.pack("!H", _checksum(packet)) + packet[4:]
            began = loop.time()
            await loop.sock_sendall(sock, packet)
            try:
                async with asyncio.timeout(1.0):
                    while True:
                        reply = await loop.sock_recv(sock, 256)
                        if reply[:1] == bytes([answer]) and reply[6:8] == packet[6:8]:
                            break
            except TimeoutError:
                continue
            times.append(round((loop.time() - began) * 1000, 3))
    return times


def _checksum(packet: bytes) -> int:
    """The internet checksum (RFC 1071)."""
    total = sum(int.from_bytes(packet[place : place + 2], "big") for place in range(0, len(packet), 2))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF
