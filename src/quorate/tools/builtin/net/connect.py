"""Which ports of a host accept connections?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from quorate.addresses import Address
from quorate.errors import ToolError
from quorate.tools.builtin.net.dial import DialStatus, Stopwatch, dial_first
from quorate.tools.builtin.net.resolve import Lookup, Unresolved, resolve_target
from quorate.tools.targets import ProbePolicy, parse_host, parse_port

MAX_PORTS = 32


class PortResult(Struct, frozen=True, kw_only=True):
    """What came of connecting to one port."""

    port: int
    status: DialStatus
    elapsed_ms: float
    address: str
    error: str = ""
    """Why it failed, in the system's words."""


class TcpReport(Struct, frozen=True, kw_only=True):
    """What came of connecting to the ports of a host."""

    host: str
    status: Literal["open", "partly_open", "closed", "unresolved"]
    address: str = ""
    """The first of the addresses."""
    addresses: tuple[str, ...] = ()
    dns_ms: float = 0.0
    ports: tuple[PortResult, ...] = ()
    open_ports: tuple[int, ...] = ()
    closed_ports: tuple[int, ...] = ()
    error: str = ""
    """Why the name was not resolved."""


async def connect_ports(
    host: str, ports: Sequence[int], policy: ProbePolicy, *, timeout_s: float, lookup: Lookup | None = None
) -> TcpReport:
    """Connect to several ports at once and close the connections again.

    Raises:
        InvalidTarget: The host or a port is not well formed.
        TargetBlocked: The policy does not allow the host.
    """
    target = parse_host(host)
    wanted = [parse_port(port) for port in dict.fromkeys(ports)]
    if not 1 <= len(wanted) <= MAX_PORTS:
        raise ToolError(f"Give 1 to {MAX_PORTS} ports, not {len(wanted)}.")
    watch = Stopwatch()
    try:
        addresses = await resolve_target(target, policy, timeout_s=timeout_s, lookup=lookup)
    except Unresolved as error:
        return TcpReport(host=target.text, status="unresolved", error=error.message, dns_ms=watch.total_ms)
    dns_ms = watch.total_ms
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_try(addresses, port, timeout_s)) for port in wanted]
    results = tuple(task.result() for task in tasks)
    open_ports = tuple(result.port for result in results if result.status == "open")
    failed = tuple(result.port for result in results if result.status != "open")
    return TcpReport(
        host=target.text,
        status="open" if not failed else "partly_open" if open_ports else "closed",
        address=str(addresses[0]),
        addresses=tuple(str(address) for address in addresses),
        dns_ms=dns_ms,
        ports=results,
        open_ports=open_ports,
        closed_ports=failed,
    )


async def _try(addresses: Sequence[Address], port: int, timeout_s: float) -> PortResult:
    outcome, sock = await dial_first(addresses, port, timeout_s=timeout_s)
    if sock is not None:
        sock.close()
    return PortResult(
        port=port,
        status=outcome.status,
        elapsed_ms=outcome.elapsed_ms,
        address=outcome.address,
        error=outcome.detail,
    )
