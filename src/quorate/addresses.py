"""What kind of place is an address: public, loopback, private, or one that is never reached?

The table is our own: what the standard library calls global changes between versions, and counts addresses that
carry a private one inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal

Kind = Literal["public", "loopback", "private", "link-local", "metadata", "reserved"]
Address = IPv4Address | IPv6Address

# The first range that holds an address decides, so that the narrow ones stand first.
RANGES: tuple[tuple[str, Kind], ...] = (
    ("168.63.129.16/32", "metadata"),
    ("100.100.100.200/32", "metadata"),
    ("192.0.0.192/32", "metadata"),
    ("169.254.0.0/16", "link-local"),
    ("127.0.0.0/8", "loopback"),
    ("10.0.0.0/8", "private"),
    ("172.16.0.0/12", "private"),
    ("192.168.0.0/16", "private"),
    ("100.64.0.0/10", "private"),
    ("0.0.0.0/8", "reserved"),
    ("192.0.0.0/24", "reserved"),
    ("192.0.2.0/24", "reserved"),
    ("192.31.196.0/24", "reserved"),
    ("192.52.193.0/24", "reserved"),
    ("192.88.99.0/24", "reserved"),
    ("192.175.48.0/24", "reserved"),
    ("198.18.0.0/15", "reserved"),
    ("198.51.100.0/24", "reserved"),
    ("203.0.113.0/24", "reserved"),
    ("224.0.0.0/3", "reserved"),
    ("0.0.0.0/0", "public"),
    ("::1/128", "loopback"),
    ("fd00:ec2::/32", "metadata"),
    ("fd20:ce::/32", "metadata"),
    ("fe80::/10", "link-local"),
    ("fc00::/7", "private"),
    ("fec0::/10", "private"),
    ("2001:db8::/32", "reserved"),
    ("2001::/32", "public"),  # Teredo: what it carries decides
    ("2001::/23", "reserved"),
    ("3fff::/20", "reserved"),
    ("2620:4f:8000::/48", "reserved"),
    ("2000::/3", "public"),
    ("::ffff:0:0/96", "public"),  # mapped: what it carries decides
    ("::ffff:0:0:0/96", "public"),  # translated: what it carries decides
    ("64:ff9b::/96", "public"),  # NAT64: what it carries decides
    ("::/0", "reserved"),
)
TRUST: tuple[Kind, ...] = ("metadata", "link-local", "reserved", "loopback", "private")
"""Kinds that are not public, the worst first."""
MASK = 0xFFFFFFFF
CARRIERS = (0xFFFF, 0xFFFF0000, 0x64FF9B << 64)
"""The upper 96 bits of mapped, translated and NAT64 addresses: the lower 32 are an IPv4 address."""
ISATAP = (0x00005EFE, 0x02005EFE)


def classify(address: str) -> Kind:
    """Say what kind of address this is; one that carries an IPv4 address is of the less trusted kind of the two."""
    kinds = [_find_kind(form) for form in _unwrap(ip_address(address.partition("%")[0]))]
    for kind in TRUST:
        if kind in kinds:
            return kind
    return "public"


def is_loopback_name(host: str) -> bool:
    """Whether a host, as written, is this machine and nothing else."""
    literal = find_literal(host)
    return classify(literal) == "loopback" if literal else host.rstrip(".").lower() == "localhost"


def find_literal(host: str) -> str | None:
    """Find the address that a host is written as, or `None` when it is a name."""
    try:
        return str(ip_address(host.strip("[]").partition("%")[0]))
    except ValueError:
        return None


@cache
def _load_ranges() -> tuple[tuple[IPv4Network | IPv6Network, Kind], ...]:
    return tuple((ip_network(text), kind) for text, kind in RANGES)


def _find_kind(address: Address) -> Kind:
    for network, kind in _load_ranges():
        if address in network:
            return kind
    return "reserved"


def _unwrap(address: Address) -> Iterator[Address]:
    """Yield an address and every IPv4 address that it carries."""
    yield address
    if isinstance(address, IPv4Address):
        return
    number, low = int(address), int(address) & MASK
    if number >> 32 in CARRIERS or number >> 32 & MASK in ISATAP:
        yield IPv4Address(low)
    if number >> 112 == 0x2002:
        yield IPv4Address(number >> 80 & MASK)
    if number >> 96 == 0x20010000:
        yield IPv4Address(number >> 64 & MASK)
        yield IPv4Address(low ^ MASK)
