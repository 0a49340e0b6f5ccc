"""Which routers do packets pass on their way to a host?"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import struct
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from quorate.addresses import Address
from quorate.tools.builtin.infra.ask import Run
from quorate.tools.builtin.net.dial import Stopwatch, dial, family_of
from quorate.tools.builtin.net.resolve import Lookup, Unresolved, resolve_target
from quorate.tools.process import CommandMissing
from quorate.tools.targets import ProbePolicy, parse_host

HOP_S = 1.0
RESOLVE_S = 5.0
MAX_SILENT = 5
FIRST_PORT = 33_434
TCP_PORTS = (443, 80)
_HOP_LINE = re.compile(r"^ *(\d{1,2}):? +(?:([0-9a-fA-F.:]{2,45}) +([0-9.]+) ?ms|(\*|no reply))", re.MULTILINE)
# From <linux/in.h>, <linux/in6.h> and <linux/socket.h>, which the socket module does not name.
_IP_RECVERR = 11
_IPV6_RECVERR = 25
_MSG_ERRQUEUE = 0x2000
_ERROR = struct.Struct("=IBBBBII")
_TIME_EXCEEDED = {4: 11, 6: 3}

TraceMethod = Literal["traceroute", "tracepath", "udp-socket", "tcp", "none"]


class TraceHop(Struct, frozen=True, kw_only=True):
    """One router on the way; without an address when it did not answer."""

    hop: int
    address: str = ""
    elapsed_ms: float | None = None


class Trace(Struct, frozen=True, kw_only=True):
    """The way to a host."""

    host: str
    status: Literal["reached", "not_reached", "unresolved"]
    address: str = ""
    method: TraceMethod = "none"
    """The programs; else datagrams of our own; `tcp` only tells whether the end answers."""
    note: str = ""
    """Why a weaker method was taken; empty for the first one."""
    hops: tuple[TraceHop, ...] = ()
    reached: bool = False
    last_answer: str = ""
    """The farthest address that answered: where the way is good at least so far."""
    error: str = ""


async def trace_route(
    host: str, max_hops: int, policy: ProbePolicy, *, run: Run, lookup: Lookup | None = None
) -> Trace:
    """Trace the way to a host by `traceroute` or `tracepath`, else by datagrams of our own, else by TCP.

    Raises:
        InvalidTarget: The host is not well formed.
        TargetBlocked: The policy does not allow it.
    """
    target = parse_host(host)
    try:
        address = (await resolve_target(target, policy, timeout_s=RESOLVE_S, lookup=lookup))[0]
    except Unresolved as error:
        return Trace(host=target.text, status="unresolved", error=error.message)
    notes: list[str] = []
    programs: tuple[tuple[TraceMethod, tuple[str, ...]], ...] = (
        ("traceroute", ("-q", "1", "-w", f"{HOP_S:.0f}")),
        ("tracepath", ()),
    )
    for program, options in programs:
        argv = (program, "-n", *options, "-m", str(max_hops), "--", str(address))
        hops = await _run_program(argv, 2 + HOP_S * max_hops, run, notes)
        if hops:
            return _report(target.text, address, program, hops, notes)
    try:
        return _report(target.text, address, "udp-socket", await _send_datagrams(address, max_hops), notes)
    except OSError as error:
        notes.append(f"datagrams cannot be traced ({os.strerror(error.errno or 0)})")
    hops = await reach_by_tcp(address)
    notes.append("a TCP answer tells that the end is reached, and nothing of the way")
    return _report(target.text, address, "tcp", hops, notes)


async def _run_program(argv: Sequence[str], timeout_s: float, run: Run, notes: list[str]) -> list[TraceHop]:
    try:
        result = await run(argv, timeout_s=timeout_s, max_output_bytes=65_536)
    except CommandMissing:
        notes.append(f"the `{argv[0]}` program is not installed")
        return []
    hops = parse_hops(result.stdout)
    if not hops:
        said = " ".join(result.stderr.split())[:200]
        notes.append(f"the `{argv[0]}` program found nothing ({said or f'it ended with {result.returncode}'})")
    return hops


def parse_hops(output: str) -> list[TraceHop]:
    """Read the hops that `traceroute` or `tracepath` print; of several lines for one hop the last counts."""
    found: dict[int, TraceHop] = {}
    for match in _HOP_LINE.finditer(output):
        hop = int(match[1])
        found[hop] = TraceHop(hop=hop, address=match[2] or "", elapsed_ms=float(match[3]) if match[3] else None)
    return [found[hop] for hop in sorted(found)]


async def _send_datagrams(address: Address, max_hops: int) -> list[TraceHop]:
    """Send datagrams that may live one hop, two hops, …, and learn from the error queue who threw them away."""
    hops: list[TraceHop] = []
    silent = 0
    for hop in range(1, max_hops + 1):
        found, ended = await _send_one(address, hop)
        hops.append(found)
        silent = 0 if found.address else silent + 1
        if ended or silent >= MAX_SILENT:
            break
    return hops


async def _send_one(address: Address, hop: int) -> tuple[TraceHop, bool]:
    six = address.version == 6
    loop = asyncio.get_running_loop()
    level, lifetime, errors = (
        (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, _IPV6_RECVERR)
        if six
        else (socket.IPPROTO_IP, socket.IP_TTL, _IP_RECVERR)
    )
    # A socket for each hop, so that a late answer cannot be taken for that of another hop.
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.setsockopt(level, errors, 1)
        sock.setsockopt(level, lifetime, hop)
        failed = asyncio.Event()
        watch = Stopwatch()
        sock.sendto(b"quorate", (str(address), FIRST_PORT + hop))
        # An error in the queue wakes readers, although there is nothing to read.
        loop.add_reader(sock, failed.set)
        try:
            async with asyncio.timeout(HOP_S):
                await failed.wait()
        except TimeoutError:
            return TraceHop(hop=hop), False
        finally:
            loop.remove_reader(sock)
        elapsed_ms = watch.total_ms
        _, ancillary, _, _ = sock.recvmsg(512, 512, _MSG_ERRQUEUE)
    offender, kind = read_error(ancillary, address, option=errors)
    return TraceHop(hop=hop, address=offender, elapsed_ms=elapsed_ms), kind != _TIME_EXCEEDED[address.version]


def read_error(ancillary: Sequence[tuple[int, int, bytes]], address: Address, *, option: int) -> tuple[str, int]:
    """Read from `struct sock_extended_err` who sent an error, and its ICMP type; 0 when it was the kernel."""
    for _, kind, data in ancillary:
        if kind != option or len(data) < _ERROR.size:
            continue
        icmp_type, rest = _ERROR.unpack_from(data)[2], data[_ERROR.size :]
        start, family, size = (8, socket.AF_INET6, 16) if address.version == 6 else (4, socket.AF_INET, 4)
        if len(rest) >= start + size and int.from_bytes(rest[:2], "little") == family:
            return socket.inet_ntop(family, rest[start : start + size]), icmp_type
    return "", 0


async def reach_by_tcp(address: Address) -> list[TraceHop]:
    """Ask whether the end of the way answers; hop 0, since how far it is stays unknown."""
    for port in TCP_PORTS:
        outcome, sock = await dial(address, port, timeout_s=HOP_S)
        if sock is not None:
            sock.close()
        if outcome.status in ("open", "refused", "reset"):
            return [TraceHop(hop=0, address=str(address), elapsed_ms=outcome.elapsed_ms)]
    return []


def _report(host: str, address: Address, method: TraceMethod, hops: Sequence[TraceHop], notes: Sequence[str]) -> Trace:
    answered = [hop.address for hop in hops if hop.address]
    reached = bool(answered) and answered[-1] == str(address)
    return Trace(
        host=host,
        status="reached" if reached else "not_reached",
        address=str(address),
        method=method,
        note="; ".join(notes),
        hops=tuple(hops),
        reached=reached,
        last_answer=answered[-1] if answered else "",
    )
