"""Does a host answer at all, how fast, and by which way of asking?"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from quorate.addresses import Address
from quorate.tools.builtin.infra.ask import Run
from quorate.tools.builtin.net.dial import dial
from quorate.tools.builtin.net.icmp import SocketKind, send_echoes
from quorate.tools.builtin.net.resolve import Lookup, Unresolved, resolve_target
from quorate.tools.process import CommandMissing
from quorate.tools.targets import ProbePolicy, parse_host

MAX_TRIED = 2
REPLY_S = 1.0
RESOLVE_S = 5.0
TCP_PORTS = (443, 80)
_ANSWERS = ("open", "refused", "reset")
_REPLY_TIME = re.compile(r"time[=<]([0-9]+(?:\.[0-9]+)?) ?ms")
PingMethod = Literal["icmp-command", "icmp-socket", "icmp-raw", "tcp", "none"]
_SOCKETS: tuple[tuple[SocketKind, PingMethod], ...] = (("datagram", "icmp-socket"), ("raw", "icmp-raw"))


class PingReport(Struct, frozen=True, kw_only=True):
    """How a host answers echo requests, or what stands for them."""

    host: str
    status: Literal["ok", "lossy", "no_answer", "unresolved"]
    address: str = ""
    method: PingMethod = "none"
    """`icmp-command` is the `ping` program, the two sockets are our own, `tcp` is for where ICMP may not be sent."""
    note: str = ""
    """Why a weaker method was taken; empty for the first one."""
    sent: int = 0
    received: int = 0
    loss_percent: float = 0.0
    min_ms: float | None = None
    average_ms: float | None = None
    max_ms: float | None = None
    reachable: bool = False
    error: str = ""


async def ping_host(
    host: str, count: int, policy: ProbePolicy, *, run: Run, lookup: Lookup | None = None
) -> PingReport:
    """Ask a host for a sign of life: by the `ping` program, else by a socket of our own, else by TCP.

    Raises:
        InvalidTarget: The host is not well formed.
        TargetBlocked: The policy does not allow it.
    """
    target = parse_host(host)
    try:
        addresses = await resolve_target(target, policy, timeout_s=RESOLVE_S, lookup=lookup)
    except Unresolved as error:
        return PingReport(host=target.text, status="unresolved", error=error.message)
    report: PingReport | None = None
    for address in addresses[:MAX_TRIED]:
        report = await _ping(target.text, address, count, run)
        if report.reachable:
            break
    assert report is not None
    return report


async def _ping(host: str, address: Address, count: int, run: Run) -> PingReport:
    notes: list[str] = []
    times = await _ping_command(address, count, run, notes)
    if times is not None:
        return _report(host, address, "icmp-command", count, times, notes)
    for kind, method in _SOCKETS:
        try:
            times = await send_echoes(address, count, kind=kind, wait_s=REPLY_S)
        except OSError as error:
            notes.append(f"a {kind} socket for ICMP cannot be used ({os.strerror(error.errno or 0)})")
        else:
            return _report(host, address, method, count, times, notes)
    times, port = await ping_by_tcp(address, count)
    notes.append(f"an answer of TCP port {port}, be it a refusal, stands for a reply")
    return _report(host, address, "tcp", count, times, notes)


async def _ping_command(address: Address, count: int, run: Run, notes: list[str]) -> list[float] | None:
    """Run `ping`; `None`, and a note, when it is not there or may not send."""
    argv = ("ping", "-n", "-c", str(count), "-i", "0.2", "-W", f"{REPLY_S:.0f}", "--", str(address))
    try:
        result = await run(argv, timeout_s=2 + (REPLY_S + 0.2) * count, max_output_bytes=65_536)
    except CommandMissing:
        notes.append("the `ping` program is not installed")
        return None
    times = parse_ping(result.stdout)
    # It ends with 1 when no reply came, and with 2 when it could not ask.
    if times or result.timed_out or (result.returncode == 1 and result.stdout):
        return times
    said = " ".join(result.stderr.split())[:200]
    notes.append(f"the `ping` program could not send ({said or f'it ended with {result.returncode}'})")
    return None


def parse_ping(output: str) -> list[float]:
    """Read the time of each reply, in milliseconds, from what `ping` prints."""
    return [float(match[1]) for match in _REPLY_TIME.finditer(output)]


async def ping_by_tcp(address: Address, count: int) -> tuple[list[float], int]:
    """Measure how fast a usual port answers, open or not; the times in milliseconds, and the port."""
    times: list[float] = []
    port = TCP_PORTS[0]
    for port in TCP_PORTS:
        for _ in range(count):
            outcome, sock = await dial(address, port, timeout_s=REPLY_S)
            if sock is not None:
                sock.close()
            if outcome.status in _ANSWERS:
                times.append(outcome.elapsed_ms)
            elif not times:
                break  # silence once is enough to try the next port
        if times:
            break
    return times, port


def _report(
    host: str, address: Address, method: PingMethod, sent: int, times: Sequence[float], notes: Sequence[str]
) -> PingReport:
    return PingReport(
        host=host,
        status="ok" if len(times) >= sent else "lossy" if times else "no_answer",
        address=str(address),
        method=method,
        note="; ".join(notes),
        sent=sent,
        received=len(times),
        loss_percent=round(100 * max(0.0, 1 - len(times) / sent), 1),
        min_ms=min(times, default=None),
        average_ms=round(sum(times) / len(times), 3) if times else None,
        max_ms=max(times, default=None),
        reachable=bool(times),
    )
