"""How is an echo request sent without a program, and its reply told from others?"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from typing import Literal

from quorate.addresses import Address
from quorate.tools.builtin.net.dial import Stopwatch, family_of

PAUSE_S = 0.05
_HEADER = struct.Struct("!BBHHH")
SocketKind = Literal["datagram", "raw"]


async def send_echoes(address: Address, count: int, *, kind: SocketKind, wait_s: float = 1.0) -> list[float]:
    """Send echo requests (RFC 792, RFC 4443) one after the other and return the times of the replies in milliseconds.

    A datagram socket needs no privilege where the system's `ping_group_range` holds our group; a raw one needs root
    or `CAP_NET_RAW`.

    Raises:
        OSError: Such a socket is not allowed, or nothing leads to the address.
    """
    protocol = socket.IPPROTO_ICMP if address.version == 4 else socket.IPPROTO_ICMPV6
    type_ = socket.SOCK_DGRAM if kind == "datagram" else socket.SOCK_RAW
    times: list[float] = []
    with socket.socket(family_of(address), type_, protocol) as sock:
        sock.setblocking(False)
        # Sends nothing: it sets the peer, so that the kernel drops what others send.
        sock.connect((str(address), 0))
        for number in range(count):
            if number:
                await asyncio.sleep(PAUSE_S)
            reply_ms = await _exchange(sock, address, number, raw=kind == "raw", wait_s=wait_s)
            if reply_ms is not None:
                times.append(reply_ms)
    return times


async def _exchange(sock: socket.socket, address: Address, number: int, *, raw: bool, wait_s: float) -> float | None:
    loop = asyncio.get_running_loop()
    mark = os.urandom(16)
    packet = build_echo(address.version, os.getpid() & 0xFFFF, number, mark)
    watch = Stopwatch()
    try:
        async with asyncio.timeout(wait_s):
            await loop.sock_sendall(sock, packet)
            while True:
                if is_reply(address.version, await loop.sock_recv(sock, 2048), number, mark, raw=raw):
                    return watch.total_ms
    except TimeoutError:
        return None


def build_echo(version: int, identifier: int, number: int, mark: bytes) -> bytes:
    """Build an echo request; for IPv6 the kernel fills the checksum in."""
    if version == 6:
        return _HEADER.pack(128, 0, 0, identifier, number) + mark
    checksum = sum_packet(_HEADER.pack(8, 0, 0, identifier, number) + mark)
    return _HEADER.pack(8, 0, checksum, identifier, number) + mark


def is_reply(version: int, packet: bytes, number: int, mark: bytes, *, raw: bool) -> bool:
    """Whether a packet answers the request with this number and mark; a raw IPv4 socket hands the IP header too."""
    if version == 4 and raw:
        packet = packet[(packet[0] & 0x0F) * 4 :] if packet else b""
    if len(packet) < _HEADER.size:
        return False
    kind, _, _, _, answered = _HEADER.unpack_from(packet)
    # The identifier is not compared: a datagram socket has one of the kernel's choice. The mark is enough.
    return kind == (0 if version == 4 else 129) and answered == number and packet[_HEADER.size :] == mark


def sum_packet(packet: bytes) -> int:
    """Compute the internet checksum (RFC 1071) of a packet of even length."""
    total = sum(int.from_bytes(packet[place : place + 2], "big") for place in range(0, len(packet), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
