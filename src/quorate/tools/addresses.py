"""Where does an IP address lead: to this machine, a private network, the public one, or nowhere a probe may go?"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from msgspec import Struct

Address = IPv4Address | IPv6Address
Reach = Literal["loopback", "private", "public", "never"]


class Place(Struct, frozen=True, kw_only=True):
    """What kind of place an address stands for."""

    reach: Reach
    why: str
    """The kind in words, for the message of a refusal."""


# Our own table: `ipaddress.is_global` changes with Python's version, calls cloud metadata private or even global, and
# knows nothing of the ways to embed one address in another. The first range that holds the address decides.
_METADATA = "a cloud metadata service"
_RANGES: tuple[tuple[str, Reach, str], ...] = (
    ("169.254.0.0/16", "never", "link-local, where clouds keep their metadata"),
    ("100.100.100.200/32", "never", _METADATA),
    ("168.63.129.16/32", "never", _METADATA),
    ("192.0.0.192/32", "never", _METADATA),
    ("0.0.0.0/8", "never", "no address of a host; name `127.0.0.1` if this machine is meant"),
    ("224.0.0.0/4", "never", "multicast"),
    ("240.0.0.0/4", "never", "reserved or broadcast"),
    ("127.0.0.0/8", "loopback", "loopback"),
    ("10.0.0.0/8", "private", "private"),
    ("172.16.0.0/12", "private", "private"),
    ("192.168.0.0/16", "private", "private"),
    ("100.64.0.0/10", "private", "shared address space of a provider"),
    ("192.0.0.0/24", "private", "kept for protocols"),
    ("192.0.2.0/24", "private", "kept for documentation"),
    ("192.88.99.0/24", "private", "a retired relay range"),
    ("198.18.0.0/15", "private", "kept for benchmarks"),
    ("198.51.100.0/24", "private", "kept for documentation"),
    ("203.0.113.0/24", "private", "kept for documentation"),
    ("0.0.0.0/0", "public", "public"),
    ("::1/128", "loopback", "loopback"),
    ("::/128", "never", "no address of a host; name `::1` if this machine is meant"),
    ("fe80::/10", "never", "link-local"),
    ("fec0::/10", "never", "site-local, which is retired"),
    ("ff00::/8", "never", "multicast"),
    ("fd00:ec2::/32", "never", _METADATA),
    ("fd20:ce::/32", "never", _METADATA),
    ("fd00:42::42/128", "never", _METADATA),
    ("fc00::/7", "private", "private"),
    ("2001:db8::/32", "private", "kept for documentation"),
    ("3fff::/20", "private", "kept for documentation"),
    ("2001::/23", "private", "kept for protocols"),
    ("2000::/3", "public", "public"),
    ("::/0", "never", "outside the ranges that are in use"),
)
_PLACES = tuple((ipaddress.ip_network(text), Place(reach=reach, why=why)) for text, reach, why in _RANGES)
_EMBEDDED_AT_END = tuple(
    ipaddress.IPv6Network(text)
    for text in ("::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "::/96")
)
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
_TEREDO = ipaddress.IPv6Network("2001::/32")
_6TO4 = ipaddress.IPv6Network("2002::/16")
_ISATAP = 0x00005EFE
_NO_HOSTS = (IPv6Address("::"), IPv6Address("::1"))


def find_place(address: Address) -> Place:
    """Find what one address stands for, taken as it is written; see `find_faces` for what may hide in it."""
    return next(place for network, place in _PLACES if network.version == address.version and address in network)


def find_faces(address: Address) -> tuple[Address, ...]:
    """List the addresses that a packet to this one may end up at; a policy must accept each of them.

    IPv6 has many ways to carry an IPv4 address: mapped, compatible, translated, NAT64, 6to4, Teredo and ISATAP.
    """
    if isinstance(address, IPv4Address) or address in _NO_HOSTS:
        return (address,)
    return tuple(_find_embedded(address)) or (address,)


def unmap(address: Address) -> Address:
    """Turn an IPv4-mapped IPv6 address into the IPv4 address that the kernel would use for it."""
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def _find_embedded(address: IPv6Address) -> Iterator[Address]:
    number = int(address)
    if any(address in network for network in _EMBEDDED_AT_END):
        yield _take(number, 96)
    if address in _LOCAL_NAT64:
        # RFC 6052 spreads the address around bits 64-71 when the prefix has 48 bits.
        yield IPv4Address((number >> 64 & 0xFFFF) << 16 | number >> 40 & 0xFFFF)
    elif address in _6TO4:
        yield _take(number, 16)
    elif address in _TEREDO:
        yield _take(number, 32)
        yield IPv4Address(int(_take(number, 96)) ^ 0xFFFFFFFF)
    elif (number >> 32 & 0xFFFFFFFF) & ~0x02000000 == _ISATAP:
        yield address
        yield _take(number, 96)


def _take(number: int, first_bit: int) -> IPv4Address:
    return IPv4Address(number >> (96 - first_bit) & 0xFFFFFFFF)
