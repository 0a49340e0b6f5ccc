"""Which ways out has this machine, in what state are its network cards, and which of them leads to a host?"""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path
from typing import Literal

from msgspec import Struct

from quorate.addresses import Address
from quorate.errors import MissingExtra
from quorate.tools.builtin.host.facts import load_psutil, read_fact
from quorate.tools.builtin.infra.ports import decode_address
from quorate.tools.builtin.net.dial import family_of
from quorate.tools.builtin.net.resolve import Lookup, Unresolved, resolve_target
from quorate.tools.targets import ProbePolicy, parse_host

USUAL_MTU = 1500
MAX_ROUTES = 200
MAX_INTERFACES = 100
RESOLVE_S = 5.0
_UP = 0x1
_REJECT = 0x200
# From <linux/in.h> and <linux/in6.h>, which the socket module does not name.
_IP_MTU = 14
_IPV6_MTU = 24


class Route(Struct, frozen=True, kw_only=True):
    """Where packets for a range go."""

    destination: str
    """A network, such as `10.0.0.0/8`; `0.0.0.0/0` and `::/0` are the default."""
    interface: str
    gateway: str = ""
    """Empty when the hosts are on the link itself."""
    metric: int = 0


class Interface(Struct, frozen=True, kw_only=True):
    """A network card."""

    name: str
    up: bool
    mtu: int
    addresses: tuple[str, ...] = ()
    receive_errors: int = 0
    transmit_errors: int = 0
    receive_drops: int = 0
    transmit_drops: int = 0
    hint: str = ""
    """What is odd about it."""


class RouteReport(Struct, frozen=True, kw_only=True):
    """The machine's own ways out."""

    status: Literal["ok", "unavailable"]
    reason: str = ""
    has_default: bool = False
    gateways: tuple[Route, ...] = ()
    """The default routes."""
    routes: tuple[Route, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    note: str = ""
    """What could not be read."""


class PathReport(Struct, frozen=True, kw_only=True):
    """What the kernel knows of the way to a host, without sending anything."""

    host: str
    status: Literal["ok", "no_route", "unresolved"]
    address: str = ""
    source: str = ""
    """The address of this machine that would be used."""
    mtu: int = 0
    """The largest packet, as far as the kernel has learned; 0 where it does not say."""
    hint: str = ""
    error: str = ""


def read_routes(proc: Path = Path("/proc/net"), sys: Path = Path("/sys/class/net")) -> RouteReport:
    """Read the routing tables and the network cards, with what is odd about them."""
    table = read_fact(proc / "route")
    if table is None:
        return RouteReport(status="unavailable", reason=f"this system has no {proc}/route")
    routes = [*parse_routes(table), *parse_routes_six(read_fact(proc / "ipv6_route") or "")]
    addresses, note = _find_addresses()
    names = sorted(os.listdir(sys))[:MAX_INTERFACES] if sys.is_dir() else []
    gateways = tuple(route for route in routes if route.destination in ("0.0.0.0/0", "::/0"))
    return RouteReport(
        status="ok",
        has_default=bool(gateways),
        gateways=gateways,
        routes=tuple(routes[:MAX_ROUTES]),
        interfaces=tuple(_read_interface(sys / name, addresses.get(name, ())) for name in names),
        note=note,
    )


def parse_routes(table: str) -> list[Route]:
    """Read `/proc/net/route`; routes that are down or refuse are left out."""
    found: list[Route] = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8 or int(fields[3], 16) & (_UP | _REJECT) != _UP:
            continue
        bits = int(fields[7], 16).bit_count()
        gateway = decode_address(fields[2])
        found.append(
            Route(
                destination=f"{decode_address(fields[1])}/{bits}",
                interface=fields[0],
                gateway="" if int(fields[2], 16) == 0 else gateway,
                metric=int(fields[6]),
            )
        )
    return found


def parse_routes_six(table: str) -> list[Route]:
    """Read `/proc/net/ipv6_route`, without this machine's own addresses, loopback and multicast."""
    found: list[Route] = []
    for line in table.splitlines():
        fields = line.split()
        if len(fields) < 10 or fields[9] == "lo" or fields[0].startswith("ff"):
            continue
        if int(fields[8], 16) & (_UP | _REJECT) != _UP or int(fields[1], 16) == 128:
            continue
        gateway = int(fields[4], 16)
        found.append(
            Route(
                destination=f"{ipaddress.IPv6Address(int(fields[0], 16))}/{int(fields[1], 16)}",
                interface=fields[9],
                gateway=str(ipaddress.IPv6Address(gateway)) if gateway else "",
                metric=int(fields[5], 16),
            )
        )
    return found


async def find_path(host: str, policy: ProbePolicy, *, lookup: Lookup | None = None) -> PathReport:
    """Ask the kernel which way packets to a host would go, and how large they may be; nothing is sent.

    Raises:
        InvalidTarget: The host is not well formed.
        TargetBlocked: The policy does not allow it.
    """
    target = parse_host(host)
    try:
        address = (await resolve_target(target, policy, timeout_s=RESOLVE_S, lookup=lookup))[0]
    except Unresolved as error:
        return PathReport(host=target.text, status="unresolved", error=error.message)
    try:
        source, mtu = _ask_kernel(address)
    except OSError as error:
        said = os.strerror(error.errno or 0)
        return PathReport(host=target.text, status="no_route", address=str(address), error=said)
    return PathReport(host=target.text, status="ok", address=str(address), source=source, mtu=mtu, hint=_hint_mtu(mtu))


def _ask_kernel(address: Address) -> tuple[str, int]:
    six = address.version == 6
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect((str(address), 9))  # of a datagram socket: chooses the route and sends nothing
        source = str(sock.getsockname()[0])
        try:
            level, option = (socket.IPPROTO_IPV6, _IPV6_MTU) if six else (socket.IPPROTO_IP, _IP_MTU)
            return source, sock.getsockopt(level, option)
        except OSError:
            return source, 0  # other systems than Linux do not tell


def _hint_mtu(mtu: int) -> str:
    if not 0 < mtu < USUAL_MTU:
        return ""
    return f"the MTU of {mtu} is below {USUAL_MTU}: large packets may be lost where ICMP is filtered"


def _find_addresses() -> tuple[dict[str, tuple[str, ...]], str]:
    try:
        psutil = load_psutil()
    except MissingExtra as error:
        return {}, f"addresses of network cards are left out: {error.message}"
    rows = psutil.net_if_addrs().items()
    kept = (socket.AF_INET, socket.AF_INET6)
    return {name: tuple(str(one.address) for one in found if one.family in kept) for name, found in rows}, ""


def _read_interface(path: Path, addresses: tuple[str, ...]) -> Interface:
    mtu = _read_number(path / "mtu")
    up = (read_fact(path / "operstate") or "").strip() in ("up", "unknown")
    errors, counts = ("rx_errors", "tx_errors", "rx_dropped", "tx_dropped"), path / "statistics"
    numbers = [_read_number(counts / name) for name in errors]
    return Interface(
        name=path.name,
        up=up,
        mtu=mtu,
        addresses=addresses,
        receive_errors=numbers[0],
        transmit_errors=numbers[1],
        receive_drops=numbers[2],
        transmit_drops=numbers[3],
        hint=_hint_mtu(mtu) if up else "it is down",
    )


def _read_number(path: Path) -> int:
    word = (read_fact(path) or "").strip()
    return int(word) if word.isdecimal() else 0
